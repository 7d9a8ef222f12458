"""Labels as OME-Zarr: a pyramid with colours and classes, alone or among an image's labels.

Format: NGFF 0.5 (https://ngff.openmicroscopy.org/0.5), or 0.4 inside an image of 0.4: "multiscales"
and "image-label" metadata. Written with zarr alone: ome-zarr and ngio would each bring dozens of
packages (cloud storage, data frames) for two records of JSON.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any

from napari_anysam.errors import LabelFileError
from napari_anysam.export.colours import colour_of
from napari_anysam.export.label_image import LabelImage
from napari_anysam.export.units import known_units
from napari_anysam.images.label_encoding import smallest_dtype
from napari_anysam.images.pixel_sizes import ome_zarr_sizes
from napari_anysam.images.safe_writing import disk_errors, replace_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_anysam.export.job import ExportJob

__all__ = ["image_around", "is_label_group", "write", "write_into_image"]

VERSIONS = ("0.4", "0.5")
CHUNK = 512
_BLOCK = 2048
_TYPES = {"T": "time", "C": "channel"}


def write(job: ExportJob, path: Path) -> None:
    """Write labels of their own, in NGFF 0.5."""
    _write_group(job, path, "0.5", inside_image=False)


def image_around(path: Path) -> Path | None:
    """Return the OME-Zarr image that a path ``IMAGE/labels/NAME`` lies in, or None."""
    image = path.parent.parent
    inside = path.parent.name == "labels" and "multiscales" in (_attributes(image) or {})
    return image if inside else None


def is_label_group(path: Path) -> bool:
    """Whether a folder is an OME-Zarr of labels, and not one of an image."""
    attributes = _attributes(path)
    return attributes is not None and "image-label" in attributes


def write_into_image(job: ExportJob, target: Path) -> None:
    """Write labels into an OME-Zarr image's group of labels, in the image's version of NGFF.

    Parameters
    ----------
    job : ExportJob
        Its labels take the image's pixel sizes where they have none.
    target : Path
        ``IMAGE/labels/NAME``; what is there is replaced.

    Raises
    ------
    LabelFileError
        If the image's version is another one, the labels have not its shape along an axis, or the
        disk refuses.
    """
    image = target.parent.parent
    attributes = _attributes(image)
    if attributes is None or not attributes.get("multiscales"):
        raise LabelFileError(f"{image} is no OME-Zarr image; choose another name.")
    multiscale = attributes["multiscales"][0]
    version = str(attributes.get("version", multiscale.get("version", "0.4")))
    if version not in VERSIONS:
        raise LabelFileError(
            f"{image.name} is an OME-Zarr image of version {version}, and labels can join versions "
            f"{' and '.join(VERSIONS)}; export them on their own."
        )
    job = replace(job, labels=_like_image(job.labels, image, multiscale))
    with disk_errors(target):
        _ensure_labels_group(target.parent, version)
    replace_folder(target, lambda path: _write_group(job, path, version, inside_image=True))
    with disk_errors(target):
        _list_label(target, version)


def _write_group(job: ExportJob, path: Path, version: str, *, inside_image: bool) -> None:
    import zarr

    labels = job.labels
    # Ids are read before anything is written: they decide the type of the pixels.
    dtype = smallest_dtype(0, int(labels.ids.max(initial=0)))
    group = zarr.create_group(path, zarr_format=_zarr_format(version))
    arrays = [_new_array(group, 0, labels.shape, dtype, labels.axes, version)]
    for key, block in labels.blocks(edge=_BLOCK):
        arrays[0][key] = block
    while max(arrays[-1].shape[-2:]) > CHUNK:
        shape = tuple(-(-size // 2) for size in arrays[-1].shape[-2:])
        smaller = _new_array(
            group, len(arrays), (*labels.shape[:-2], *shape), dtype, labels.axes, version
        )
        _halve(arrays[-1], smaller)
        arrays.append(smaller)
    label: dict[str, Any] = {
        "colors": [
            {"label-value": one, "rgba": [*colour_of(one), 255]} for one in labels.ids.tolist()
        ],
        "properties": [
            {"label-value": one, **_properties(job, one)} for one in labels.ids.tolist()
        ],
    }
    if inside_image:
        label["source"] = {"image": "../../"}
    multiscale = _multiscale(labels, target_name=job.name, levels=len(arrays))
    _set_attributes(group, version, {"multiscales": [multiscale], "image-label": label})


def _new_array(
    group: Any, level: int, shape: tuple[int, ...], dtype: Any, axes: str, version: str
) -> Any:
    names = {} if version == "0.4" else {"dimension_names": [*axes.lower()]}
    chunks = (*(1 for _ in shape[:-2]), *(min(CHUNK, size) for size in shape[-2:]))
    encoding = "v2" if version == "0.4" else "default"
    return group.create_array(
        str(level),
        shape=shape,
        dtype=dtype,
        chunks=chunks,
        chunk_key_encoding={"name": encoding, "separator": "/"},
        **names,
    )


def _halve(larger: Any, smaller: Any) -> None:
    """Take every second row and column, chunk by chunk; a mean of labels would be another label."""
    for key in _chunks(smaller):
        rows, columns = (slice(2 * part.start, 2 * part.stop) for part in key[-2:])
        smaller[key] = larger[(*key[:-2], rows, columns)][..., ::2, ::2]


def _chunks(array: Any) -> Iterator[tuple[slice, ...]]:
    steps = [range(0, size, step) for size, step in zip(array.shape, array.chunks, strict=True)]
    for starts in product(*steps):
        yield tuple(
            slice(start, min(start + step, size))
            for start, step, size in zip(starts, array.chunks, array.shape, strict=True)
        )


def _multiscale(labels: LabelImage, target_name: str, levels: int) -> dict[str, Any]:
    """Describe the pyramid; a pixel of a level is centred on the one that it was taken from."""
    axes = []
    for axis, unit in zip(labels.axes, labels.units, strict=True):
        record = {"name": axis.lower(), "type": _TYPES.get(axis, "space")}
        axes.append(record if unit is None else {**record, "unit": unit.name})
    base = labels.scale or (1.0,) * len(labels.axes)
    datasets = []
    for level in range(levels):
        scale = [*base[:-2], *(size * 2**level for size in base[-2:])]
        transform = {"type": "scale", "scale": scale}
        datasets.append({"path": str(level), "coordinateTransformations": [transform]})
    return {"name": target_name, "axes": axes, "datasets": datasets, "type": "nearest"}


def _properties(job: ExportJob, one: int) -> dict[str, Any]:
    found: dict[str, Any] = {"name": job.objects.class_of(one)}
    if one in job.objects.scores:
        found["score"] = job.objects.scores[one]
    if one in job.objects.models:
        found["model"] = job.objects.models[one]
    return found


def _like_image(labels: LabelImage, image: Path, multiscale: dict[str, Any]) -> LabelImage:
    """Check that labels fit an image, axis by axis, and give them its pixel sizes."""
    import zarr

    dataset = multiscale["datasets"][0]
    shape = zarr.open_array(image / dataset["path"], mode="r").shape
    names = "".join(axis["name"][:1].upper() for axis in multiscale["axes"])
    sizes = dict(zip(names, shape, strict=True))
    for axis, size in zip(labels.axes, labels.shape, strict=True):
        if size not in (sizes.get(axis), 1):
            raise LabelFileError(
                f"The labels have {size} pixels along {axis} and the image {image.name} has "
                f"{sizes.get(axis, 'no such axis')}; give the labels of this image."
            )
    if labels.scale is not None:
        return labels
    scale, units = ome_zarr_sizes(multiscale, 0)
    if scale is None:
        return labels
    kept = [names.index(axis) for axis in labels.axes]
    steps = [scale[place] for place in kept]
    spelled = known_units([units[place] for place in kept], labels.axes)
    return LabelImage(labels.array, labels.axes, steps, spelled)


def _ensure_labels_group(path: Path, version: str) -> None:
    """Make the group in one step, so that a killed process leaves none or a whole one."""
    import zarr

    def make(new: Path) -> None:
        _set_attributes(
            zarr.create_group(new, zarr_format=_zarr_format(version)), version, {"labels": []}
        )

    if not path.exists():
        replace_folder(path, make)


def _list_label(target: Path, version: str) -> None:
    """Name the labels in their group, last of all: until then readers do not see them."""
    import zarr

    group = zarr.open_group(target.parent, mode="r+", use_consolidated=False)
    attributes = _attributes(target.parent) or {}
    listed = [str(name) for name in attributes.get("labels", ())]
    if target.name not in listed:
        _set_attributes(group, version, {"labels": [*listed, target.name]})
    image = target.parent.parent
    if zarr.open_group(image, mode="r").metadata.consolidated_metadata is not None:
        zarr.consolidate_metadata(str(image))


def _attributes(path: Path) -> dict[str, Any] | None:
    """Return the NGFF metadata of a group, or None where there is no group."""
    import zarr

    try:
        attributes = dict(zarr.open_group(path, mode="r", use_consolidated=False).attrs)
    except (FileNotFoundError, NotADirectoryError, zarr.errors.ContainsArrayError):
        return None
    return dict(attributes.get("ome", attributes))


def _set_attributes(group: Any, version: str, values: dict[str, Any]) -> None:
    """Write NGFF metadata where its version has it."""
    if version != "0.4":
        group.attrs["ome"] = {"version": version, **values}
        return
    if "multiscales" in values:
        values["multiscales"][0]["version"] = version
        values["image-label"]["version"] = version
    group.attrs.update(values)


def _zarr_format(version: str) -> int:
    return 2 if version == "0.4" else 3
