"""Labels as a YOLO segmentation data set: polygons per image, and data.yaml with the classes.

Format: https://docs.ultralytics.com/datasets/segment. An object is one line and one polygon, so its
parts are joined, as ``merge_multi_segment`` of ultralytics' ``data/converter.py`` does, and its
holes too: ``outlines`` tells how.
"""

from __future__ import annotations

import json
from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np

from napari_anysam.errors import LabelFileError
from napari_anysam.export.objects import masks_of
from napari_anysam.export.outlines import whole_outline
from napari_anysam.export.pictures import picture_reader, save_png

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_anysam.export.job import ExportJob
    from napari_anysam.export.label_image import LabelPlane

__all__ = ["write"]


def write(job: ExportJob, path: Path) -> None:
    """Write ``labels/NAME.txt`` per plane, ``data.yaml``, and ``images/NAME.png`` of the image.

    Raises
    ------
    LabelFileError
        If two images have names that differ in their endings only.
    """
    stems = [PurePath(name).stem for name in job.file_names]
    if len(set(stems)) < len(stems):
        raise LabelFileError("YOLO's files are named after their images; give each its own name.")
    picture = None if job.image is None else picture_reader(job.image, job.contrast)
    (path / "labels").mkdir(parents=True)
    (path / "images").mkdir()
    used: set[int] = set()
    for place, plane in enumerate(job.labels.planes()):
        stem = PurePath(job.file_name(place, plane.suffix)).stem
        lines = _outlines(job, plane)
        used.update(number for number, _ in lines)
        text = "".join(f"{number} {outline}\n" for number, outline in lines)
        (path / "labels" / f"{stem}.txt").write_text(text, encoding="ascii")
        if picture is not None:
            save_png(path / "images" / f"{stem}.png", picture(place))
    (path / "data.yaml").write_text(_data_yaml(job.objects.names_for(used)), encoding="utf-8")


def _outlines(job: ExportJob, plane: LabelPlane) -> list[tuple[int, str]]:
    """Return class and polygon, x and y as fractions of width and height, of each object."""
    height, width = plane.labels.shape
    found = []
    for one in masks_of(plane.labels):
        outline = whole_outline(one.mask) + np.array([one.columns.start, one.rows.start])
        numbers = (outline / (width, height)).ravel()
        text = " ".join(f"{number:.8g}" for number in numbers)
        found.append((job.objects.number_of(one.object_id), text))
    return found


def _data_yaml(names: Sequence[str]) -> str:
    """Write YAML in which names are quoted as in JSON, which is YAML too."""
    classes = "".join(
        f"  {number}: {json.dumps(name, ensure_ascii=False)}\n" for number, name in enumerate(names)
    )
    # Both are required; whoever trains moves images for validation elsewhere.
    return f"train: images\nval: images\nnames:\n{classes}"
