"""Images from files: TIFF, PNG, JPEG, NPY, Zarr, medical volumes, films; lazily where possible.

Planes that lie uncompressed in a TIFF or an NPY file are mapped, a Zarr array is opened and not
read, and of a large compressed TIFF pages are decoded as they are asked for. Small compressed files
and medical volumes are read at once: slicing them along another axis would decode every page again
for every plane. Films are decoded frame by frame.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_anysam.errors import ImageError
from napari_anysam.images.file_kinds import DICOM, VIDEOS, VOLUMES, ending_of, is_dicom_folder
from napari_anysam.images.geometry import Geometry
from napari_anysam.images.pixel_sizes import ome_tiff_sizes, ome_zarr_sizes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

__all__ = ["ImageFile", "read_image", "read_labels", "read_levels"]

READ_AT_ONCE_BYTES = 256 * 2**20
_TIFF = (".tif", ".tiff", ".btf", ".lsm")
_PICTURES = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True, slots=True, eq=False)
class ImageFile:
    """An image as its file holds it.

    Parameters
    ----------
    array : array-like
        numpy, memory map, zarr or dask; anything that ``Planes`` takes.
    axes : str
        One capital letter per axis where the file names them ("TCZYX", "S" for colour samples,
        "Q" or "I" for an axis of unknown meaning), else empty.
    scale : tuple of float or None
        Size of a pixel along every axis, where an OME file tells it.
    units : tuple of str or None
        Units of these sizes as the file spells them.
    geometry : Geometry or None
        Where the voxels lie, of a medical file.
    about : mapping
        What a DICOM file says of its values: "modality", "description", "value_unit" ("HU") and
        "rescale_applied", the pairs of slope and intercept that are in the values already.
    """

    array: Any
    axes: str = ""
    scale: tuple[float, ...] | None = None
    units: tuple[str | None, ...] = ()
    geometry: Geometry | None = None
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def channel_axis(self) -> int | None:
        """Position of the only channel or colour axis; None if the file names none, or two."""
        found = [position for position, name in enumerate(self.axes) if name in "CS"]
        return found[0] if len(found) == 1 else None

    def geometry_at(self, fixed: Mapping[int, int]) -> Geometry | None:
        """Return where the voxels of a medical file lie that have single indices along some axes.

        Parameters
        ----------
        fixed : mapping of int to int
            Axis of the array to index.

        Returns
        -------
        Geometry or None
            None where the file has none, or less than a plane in space is left.
        """
        if self.geometry is None or not fixed:
            return self.geometry
        space = "ZYX"[-self.geometry.ndim :]
        left = [name for place, name in enumerate(self.axes) if place not in fixed]
        if sum(name in space for name in left) < 2:
            return None
        taken = {self.axes[place]: index for place, index in fixed.items()}
        across = [(space.index(name), index) for name, index in taken.items() if name in space]
        return self.geometry.section(*across[0]) if across else self.geometry

    def label_geometry(self, channel_axis: int | None = None) -> Geometry | None:
        """Return the geometry that labels of this image have, to be written with them.

        Parameters
        ----------
        channel_axis : int or None
            Axis of the image that its labels do not have.

        Returns
        -------
        Geometry or None
            That of a medical file, else, and in time series, one made of pixel sizes; None where
            neither is known.
        """
        ndim = self.array.ndim
        left_out = {} if channel_axis is None else {channel_axis % ndim: 0}
        kept = [place for place in range(ndim) if place not in left_out]
        if self.geometry is not None and "T" not in [self.axes[place] for place in kept]:
            return self.geometry_at(left_out)
        if self.scale is None:
            return None
        if len(kept) not in (2, 3):
            return None
        # A time series has no length along time: its planes lie 1 apart.
        names = [self.units[place] if self.units else None for place in kept]
        sizes = [
            1.0 if self.axes[place : place + 1] in ("T", "C") else self.scale[place]
            for place in kept
        ]
        return Geometry.from_scale(sizes, names)


def read_image(path: str | PathLike[str], level: int = 0) -> ImageFile:
    """Open an image file.

    Parameters
    ----------
    path : path
        A .tif, .tiff, .btf, .lsm, .png, .jpg, .jpeg or .npy file, or the folder of a Zarr array,
        of a Zarr group with one array, or of an OME-Zarr image (0.4 and 0.5). With the extra
        "medical" a .nii, .nii.gz, .nrrd, .nhdr, .mha, .mhd or .dcm file or a folder with one DICOM
        series; with the extra "video" an .mp4, .avi or .mov file, as (T, H, W, 3).
    level : int
        Resolution level of a pyramid; 0 is the largest.

    Returns
    -------
    ImageFile
        Axes of length one that are neither rows nor columns are left out where they have names.

    Raises
    ------
    ImageError
        If the file is missing, damaged, of another kind, or has no such level.
    """
    path = Path(path)
    if not path.exists():
        raise ImageError(f"There is no file {path}; check its name and folder.")
    ending = ending_of(path)
    if path.is_dir():
        reader = _read_medical if is_dicom_folder(path) else _read_zarr
    elif ending in VOLUMES or ending == DICOM:
        reader = _read_medical
    elif ending in VIDEOS:
        reader = _read_video
    elif path.suffix.lower() in _TIFF:
        reader = _read_tiff
    elif path.suffix.lower() in _PICTURES:
        reader = _read_picture
    elif path.suffix.lower() == ".npy":
        reader = _read_numpy
    else:
        raise ImageError(
            f"{path} is of no kind that can be read; convert it to TIFF, PNG, JPEG, NPY, Zarr, "
            "NIfTI, NRRD or MP4."
        )
    try:
        return reader(path, level)
    except ImageError:
        raise
    except PermissionError as error:
        raise ImageError(f"{path} may not be read; ask for permission to read it.") from error
    except Exception as error:
        # The readers meet damaged files with exceptions of every type.
        remedy = (
            "install imagecodecs to read this compression"
            if "imagecodecs" in str(error)
            else "the file may be damaged or of another kind than its name says, so export it again"
        )
        detail = str(error).strip().rstrip(".") or type(error).__name__
        raise ImageError(f"{path} could not be read ({detail}); {remedy}.") from error


def read_levels(path: str | PathLike[str], level: int = 0) -> list[Any]:
    """Open an image with its coarser levels, as ``read_image`` opens one of them.

    Parameters
    ----------
    path : path
    level : int
        The first one; 0 is the largest.

    Returns
    -------
    list of array-like
        Largest first; one of an image that is no pyramid.

    Raises
    ------
    ImageError
        As ``read_image``.
    """
    first = read_image(path, level).array
    stop = _count_levels(Path(path))
    return [first, *(read_image(path, other).array for other in range(level + 1, stop))]


def _count_levels(path: Path) -> int:
    """Count the levels of a file that was opened before."""
    if path.is_dir() and not is_dicom_folder(path):
        import zarr

        node = zarr.open(str(path), mode="r")
        if isinstance(node, zarr.Group) and "bioformats2raw.layout" in node.attrs:
            node = node["0"]
        multiscales = dict(node.attrs.get("ome", node.attrs)).get("multiscales")
        return len(multiscales[0]["datasets"]) if multiscales else 1
    if path.suffix.lower() in _TIFF:
        import tifffile

        with tifffile.TiffFile(path) as file:
            return len(file.series[0].levels)
    return 1


def read_labels(path: str | PathLike[str], level: int = 0) -> ImageFile:
    """Open a file of labels.

    Parameters
    ----------
    path : path
        A file that ``read_image`` reads. The values of a PNG with a colour table are its indices;
        those of medical volumes, which many programs save as floats, may be floats without
        fractions.
    level : int
        Resolution level of a pyramid; 0 is the largest.

    Raises
    ------
    ImageError
        If it cannot be read, or holds colours or fractions.
    """
    path = Path(path)
    indices = _colour_indices(path) if path.suffix.lower() == ".png" and path.is_file() else None
    if indices is None:
        labels = _whole_numbers(read_image(path, level))
    else:
        _check_level(path, level, 1)
        labels = ImageFile(indices, "YX")
    colours = labels.axes.endswith("S")
    if labels.array.dtype.kind not in "bui" or colours:
        raise ImageError(
            f"{path} holds {'colours' if colours else labels.array.dtype} and no labels; give a "
            "file of integers, one for each object."
        )
    # Three or four planes written by tifffile without a word about them pass for colour planes.
    return replace(labels, axes=labels.axes.replace("S", "Q"))


def _whole_numbers(file: ImageFile) -> ImageFile:
    """Bring a medical volume of floats without fractions to integers."""
    import numpy as np

    if file.geometry is None or file.array.dtype.kind != "f":
        return file
    with np.errstate(invalid="ignore"):  # NaN equals nothing, so it is found below
        whole = file.array.astype(np.int64)
    return replace(file, array=whole) if np.array_equal(whole, file.array) else file


def _colour_indices(path: Path) -> Any:
    import numpy as np
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            return np.asarray(picture) if picture.mode == "P" else None
    except (OSError, UnidentifiedImageError):
        return None  # read_image tells what is wrong


def _read_tiff(path: Path, level: int) -> ImageFile:
    import tifffile

    with tifffile.TiffFile(path) as file:
        series = file.series[0]
        _check_level(path, level, len(series.levels))
        chosen = series.levels[level]
        axes = chosen.axes
        scale, units = ome_tiff_sizes(file.ome_metadata, axes)
        if scale is not None:
            # The file tells the sizes of the largest level.
            shapes = zip(series.levels[0].shape, chosen.shape, scale, strict=True)
            scale = tuple(size * largest / own for largest, own, size in shapes)
        if chosen.dataoffset is None and chosen.nbytes <= READ_AT_ONCE_BYTES:
            return ImageFile(chosen.asarray(), axes, scale, units)
        mappable = chosen.dataoffset is not None and file.filehandle.is_file
    if mappable:
        return ImageFile(tifffile.memmap(path, series=0, level=level, mode="r"), axes, scale, units)
    return ImageFile(_open_pages(path, level), axes, scale, units)


def _open_pages(path: Path, level: int) -> Any:
    import tifffile
    import zarr

    store = tifffile.imread(path, aszarr=True, series=0, level=level)
    return zarr.open(store, mode="r")


def _read_picture(path: Path, level: int) -> ImageFile:
    import imageio.v3 as iio

    _check_level(path, level, 1)
    # Four channels of a CMYK picture would pass for colour and alpha.
    mode = "RGB" if iio.immeta(path, plugin="pillow").get("mode") == "CMYK" else None
    array = iio.imread(path, plugin="pillow", index=0, mode=mode)
    if array.ndim == 3 and array.shape[2] == 2:
        array = array[..., 0]  # grey and alpha
    return ImageFile(array, "YX" if array.ndim == 2 else "YXS")


def _read_numpy(path: Path, level: int) -> ImageFile:
    import numpy as np

    _check_level(path, level, 1)
    return ImageFile(np.load(path, mmap_mode="r", allow_pickle=False))


def _read_medical(path: Path, level: int) -> ImageFile:
    from napari_anysam.images.medical import read_volume

    _check_level(path, level, 1)
    return read_volume(path)


def _read_video(path: Path, level: int) -> ImageFile:
    from napari_anysam.images.video import Video

    _check_level(path, level, 1)
    return ImageFile(Video(path), "TYXS")


def _read_zarr(path: Path, level: int) -> ImageFile:
    import zarr

    try:
        node = zarr.open(str(path), mode="r")
    except FileNotFoundError as error:
        raise ImageError(f"The folder {path} is no Zarr; give a Zarr folder or a file.") from error
    if isinstance(node, zarr.Group) and "bioformats2raw.layout" in node.attrs:
        node = node["0"]
    if isinstance(node, zarr.Array):
        _check_level(path, level, 1)
        return ImageFile(node)
    multiscales = dict(node.attrs.get("ome", node.attrs)).get("multiscales")
    if multiscales:
        return _read_multiscale(path, node, multiscales[0], level)
    names = sorted(name for name, _ in node.arrays())
    if len(names) != 1:
        inside = ", ".join(names) or "none"
        raise ImageError(
            f"{path} is a Zarr group with {len(names)} arrays ({inside}); give the path of one "
            "array inside it."
        )
    _check_level(path, level, 1)
    return ImageFile(node[names[0]])


def _read_multiscale(path: Path, group: Any, image: dict[str, Any], level: int) -> ImageFile:
    """Open a level of an OME-Zarr image and leave out its axes of length one."""
    import dask.array as da

    _check_level(path, level, len(image["datasets"]))
    array = group[image["datasets"][level]["path"]]
    names = [axis["name"] if isinstance(axis, dict) else axis for axis in image.get("axes", ())]
    axes = "".join(name[:1].upper() for name in names)
    if len(axes) != array.ndim:
        return ImageFile(array)
    scale, units = ome_zarr_sizes(image, level)
    kept = [
        position for position, name in enumerate(axes) if array.shape[position] != 1 or name in "YX"
    ]
    if len(kept) < array.ndim:
        key = tuple(slice(None) if position in kept else 0 for position in range(array.ndim))
        array = da.from_zarr(array)[key]
    if scale is not None:
        scale = tuple(scale[position] for position in kept)
        units = tuple(units[position] for position in kept)
    return ImageFile(array, "".join(axes[position] for position in kept), scale, units)


def _check_level(path: Path, level: int, levels: int) -> None:
    if not 0 <= level < levels:
        has = "one resolution level" if levels == 1 else f"resolution levels 0 to {levels - 1}"
        raise ImageError(f"{path} has {has}, not level {level}; leave the level out to take 0.")
