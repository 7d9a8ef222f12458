"""Labels as one COCO JSON: every plane an image, every object on it an annotation.

Format: https://cocodataset.org/#format-data; masks are encoded by pycocotools.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anysam.export.objects import masks_of
from napari_anysam.export.outlines import part_outlines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_anysam.export.job import ExportJob
    from napari_anysam.export.label_image import LabelPlane
    from napari_anysam.export.objects import ObjectMask

__all__ = ["write_polygons", "write_rle"]


def write_rle(job: ExportJob, path: Path) -> None:
    """Write masks as compressed run lengths: exact, and what pycocotools reads fastest."""
    _write(job, path, polygons=False)


def write_polygons(job: ExportJob, path: Path) -> None:
    """Write masks as polygons along pixel edges; ``outlines`` tells how holes are kept."""
    _write(job, path, polygons=True)


def _write(job: ExportJob, path: Path, *, polygons: bool) -> None:
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    height, width = job.labels.shape[-2:]
    for place, plane in enumerate(job.labels.planes()):
        name = job.file_name(place, plane.suffix)
        images.append({"id": place + 1, "file_name": name, "width": width, "height": height})
        for annotation in _annotations(job, plane, polygons):
            numbers = {"id": len(annotations) + 1, "image_id": place + 1}
            annotations.append(numbers | annotation)
    names = job.objects.names_for({note["category_id"] - 1 for note in annotations})
    categories = [{"id": number, "name": name} for number, name in enumerate(names, start=1)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def _annotations(job: ExportJob, plane: LabelPlane, polygons: bool) -> Iterator[dict[str, Any]]:
    canvas = np.zeros(plane.labels.shape, np.uint8, order="F")
    for found in masks_of(plane.labels):
        rows, columns = found.rows, found.columns
        annotation: dict[str, Any] = {
            "object_id": found.object_id,
            "category_id": job.objects.number_of(found.object_id) + 1,
            "bbox": [
                columns.start,
                rows.start,
                columns.stop - columns.start,
                rows.stop - rows.start,
            ],
            "area": int(np.count_nonzero(found.mask)),
            "iscrowd": 0,
            "segmentation": _polygons(found) if polygons else _run_lengths(found, canvas),
        }
        score = job.objects.scores.get(found.object_id)
        yield annotation if score is None else {**annotation, "score": score}


def _polygons(found: ObjectMask) -> list[list[int]]:
    corner = np.array([found.columns.start, found.rows.start])
    return [(outline + corner).ravel().tolist() for outline in part_outlines(found.mask)]


def _run_lengths(found: ObjectMask, canvas: NDArray[np.uint8]) -> dict[str, Any]:
    """Encode one object of a plane; the canvas is blank before and after."""
    from pycocotools import mask as coco

    canvas[found.rows, found.columns] = found.mask
    encoded = coco.encode(canvas)
    canvas[found.rows, found.columns] = 0
    return {"size": list(encoded["size"]), "counts": encoded["counts"].decode("ascii")}
