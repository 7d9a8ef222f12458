"""Medical volumes and films opened in napari (File > Open, drag and drop, ``viewer.open``).

napari's world is then the patient's in mm: its axes are (z, y, x) of ITK and DICOM and point to the
superior, posterior and left side, so that axial planes look as radiologists see them. A volume
whose axes are those of the world has ``scale`` and ``translate``; any other one ``scale`` and an
``affine`` that turns and flips it. ``metadata["geometry"]`` keeps what the file says.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anysam.images.file_kinds import (
    DICOM,
    VIDEOS,
    VOLUMES,
    ending_of,
    is_dicom_file,
    is_dicom_folder,
    stem_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from napari_anysam.images.files import ImageFile
    from napari_anysam.images.geometry import Geometry

    LayerData = tuple[Any, dict[str, Any], str]
    Reader = Callable[[str | Sequence[str]], list[LayerData]]

__all__ = ["film_reader", "layer_of_volume", "medical_reader"]


def medical_reader(path: str | Sequence[str]) -> Reader | None:
    """Return a reader for NIfTI, NRRD, MetaImage and DICOM files and folders of DICOM files."""
    return _read_medical if all(_is_medical(one) for one in _paths(path)) else None


def film_reader(path: str | Sequence[str]) -> Reader | None:
    """Return a reader for MP4, AVI and MOV files, as layers (T, H, W, 3)."""
    return _read_films if all(ending_of(one) in VIDEOS for one in _paths(path)) else None


def layer_of_volume(file: ImageFile, name: str) -> LayerData:
    """Return a layer for what a medical file holds: labels of a DICOM-SEG, else an image."""
    geometry = file.geometry
    coloured = file.axes.endswith("S")
    ndim = file.array.ndim - coloured
    settings: dict[str, Any] = {
        "name": name,
        "metadata": dict(file.about),
        "scale": (file.scale or ())[:ndim] or None,
        "units": tuple(unit or "pixel" for unit in file.units[:ndim]) or None,
        "axis_labels": tuple(file.axes[:ndim].lower()),
    }
    if geometry is not None:
        settings["metadata"]["geometry"] = geometry.to_dict()
        if geometry.ndim <= ndim:
            settings |= _placed(geometry, ndim)
    if file.about.get("modality") == "SEG":
        return file.array, settings, "labels"
    return file.array, {**settings, "rgb": coloured}, "image"


def _placed(geometry: Geometry, ndim: int) -> dict[str, Any]:
    """Return where the first voxel lies and how the axes are turned; none of it along time."""
    space, affine, scale = geometry.ndim, geometry.affine, geometry.scale
    if geometry.is_straight:
        return {"translate": (0.0,) * (ndim - space) + tuple(affine[:-1, -1])}
    turned = np.eye(ndim + 1)
    turned[-space - 1 : -1, -space - 1 : -1] = affine[:-1, :-1] / scale
    turned[-space - 1 : -1, -1] = affine[:-1, -1]
    return {"affine": turned}


def _read_medical(path: str | Sequence[str]) -> list[LayerData]:
    return [
        layer_of_volume(file, name) for one in _paths(path) for file, name in _volumes(Path(one))
    ]


def _volumes(path: Path) -> Iterator[tuple[ImageFile, str]]:
    """Yield what a path holds: of a folder every series, under the names that they have."""
    from napari_anysam.images.files import read_image
    from napari_anysam.images.medical import read_series, series_of

    if not path.is_dir():
        yield read_image(path), stem_of(path)
        return
    for series in series_of(path):
        file = read_series(path, series)
        yield file, str(file.about.get("description", path.name))


def _read_films(path: str | Sequence[str]) -> list[LayerData]:
    import dask.array as da

    from napari_anysam.images.video import Video

    layers: list[LayerData] = []
    for one in _paths(path):
        film = Video(one)
        frames = da.from_array(film, chunks=(1, *film.shape[1:]), name=False)
        settings = {"name": stem_of(one), "rgb": True, "axis_labels": ("t", "y", "x")}
        layers.append((frames, settings, "image"))
    return layers


def _is_medical(path: str) -> bool:
    ending = ending_of(path)
    if ending == DICOM:
        return is_dicom_file(Path(path))
    return ending in VOLUMES or is_dicom_folder(Path(path))


def _paths(path: str | Sequence[str]) -> list[str]:
    return [path] if isinstance(path, str) else list(path)
