"""The real images with true labels that quality is measured on, one declarative row per set.

They lie in the folder $ANYSAM_DATA (default ../shared/data beside the repository), whose INDEX.md
says where each comes from. They are for measuring only, never for training.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel
import numpy as np
from PIL import Image
from scipy import ndimage
from skimage import io  # type: ignore[attr-defined]

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

__all__ = [
    "SETS",
    "DataSet",
    "Sample",
    "Target",
    "data_folder",
    "evenly_spaced",
    "targets_in_first_frame",
    "targets_of",
]

STAINED = ("00ae65c1", "4e23ecf6", "87ea7289")
SMEAR = ("5e263abf",)
FLUORESCENT = ("4ee5850b", "02903040", "23830d0e", "14004203")

DEEP_STRUCTURES = {4: "left ventricle", 16: "brain stem", 49: "right thalamus", 12: "left putamen"}
"""FreeSurfer's ids of the structures that are looked at."""

ORGAN_AREA = 200
"""An organ counts if its largest area on one plane is over so many pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """An image or stack with its truth.

    Parameters
    ----------
    name : str
        Unique in its set.
    image : array (H, W), (H, W, C), (N, H, W) or (N, H, W, C)
        Pixels as they are stored; a stack is followed along axis 0.
    labels : int array (H, W) or (N, H, W)
        True objects, 0 is background.
    channel_axis : int or None
        Axis of ``image`` that holds colours; a 2D image is recognised without it.
    """

    name: str
    image: NDArray[np.generic]
    labels: NDArray[np.integer]
    channel_axis: int | None = None

    @property
    def is_stack(self) -> bool:
        """Whether objects can be followed."""
        return self.labels.ndim == 3


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """One true object, and the plane on which it is prompted (0 in a 2D image)."""

    object_id: int
    plane: int
    truth: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class DataSet:
    """One row of the evaluation.

    Parameters
    ----------
    name : str
        As in the table.
    folder : str
        In the data folder.
    load : callable
        Yields the samples that lie in the folder.
    over : int
        Objects count whose largest area on one plane is over so many pixels.
    series : bool
        Also prompted in the first frame and followed through 12.
    film : bool
        Its planes are frames of a film.
    """

    name: str
    folder: str
    load: Callable[[Path], Iterator[Sample]]
    over: int = 0
    series: bool = False
    film: bool = False

    @property
    def through_time(self) -> bool:
        """Whether the axis that objects are followed along is time."""
        return self.series or self.film


def data_folder() -> Path:
    """Return the folder that holds the sets."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    return Path(os.environ.get("ANYSAM_DATA", beside))


def targets_of(sample: Sample, over: int = 0) -> list[Target]:
    """Return every object of a sample on the plane where it is largest, by ascending id."""
    stack = sample.labels if sample.is_stack else sample.labels[None]
    targets = []
    for number, window in enumerate(ndimage.find_objects(stack), 1):
        if window is None:
            continue
        areas = np.count_nonzero(stack[window] == number, axis=(1, 2))
        if areas.max() > over:
            plane = window[0].start + int(areas.argmax())
            truth = stack[plane] == number
            targets.append(Target(number, plane, truth))
    return targets


def targets_in_first_frame(sample: Sample) -> list[Target]:
    """Return every object of a series that is in its first frame, prompted there."""
    frame = sample.labels[0]
    return [Target(int(number), 0, frame == number) for number in np.unique(frame) if number]


def evenly_spaced(targets: list[Target], most: int) -> list[Target]:
    """Return at most so many, evenly spaced among all."""
    if len(targets) <= most:
        return targets
    return [targets[place] for place in np.linspace(0, len(targets) - 1, most).round().astype(int)]


def _dsb2018(names: tuple[str, ...], kind: str) -> Callable[[Path], Iterator[Sample]]:
    """Load images "grey" (their first channel) or "colour" (RGBA as they are shipped)."""

    def load(folder: Path) -> Iterator[Sample]:
        for name in names:
            image = io.imread(folder / f"{name}_image.png")
            labels = io.imread(folder / f"{name}_labels.tif")
            yield Sample(name, image if kind == "colour" else image[..., 0], labels)

    return load


def _tiff(image: str, labels: str) -> Callable[[Path], Iterator[Sample]]:
    def load(folder: Path) -> Iterator[Sample]:
        yield Sample(Path(image).stem, io.imread(folder / image), io.imread(folder / labels))

    return load


def _usiigaci(folder: Path) -> Iterator[Sample]:
    for name in ("set1", "set20"):
        labels = io.imread(folder / f"{name}_instances_ids.png")
        yield Sample(name, io.imread(folder / f"{name}_phase.png"), labels)


def _sammed2d(folder: Path) -> Iterator[Sample]:
    for path in sorted(folder.glob("*.png")):
        image = io.imread(path)
        labels = np.zeros(image.shape[:2], np.int32)
        for number, mask in enumerate(sorted(folder.glob(f"masks/{path.stem}_*.png")), 1):
            labels[io.imread(mask) > 127] = number
        yield Sample(path.stem, image, labels)


def _stills(folder: Path) -> Iterator[Sample]:
    bike = np.asarray(Image.open(folder / "bike_labels.png")).astype(np.int32)
    yield Sample("bike", io.imread(folder / "bike_image.jpg"), bike)
    lemur = (io.imread(folder / "lemur_alpha.png") >= 128).astype(np.int32)
    yield Sample("lemur", io.imread(folder / "lemur_image.png"), lemur)


def _volume(path: Path) -> NDArray[np.generic]:
    """Read a volume that nibabel gives as (x, y, z) into (Z, Y, X)."""
    stored = nibabel.load(path)
    values = np.asanyarray(stored.dataobj)  # type: ignore[attr-defined]
    return np.ascontiguousarray(values.T.astype(values.dtype.newbyteorder("=")))


def _medical(*pairs: tuple[str, str]) -> Callable[[Path], Iterator[Sample]]:
    def load(folder: Path) -> Iterator[Sample]:
        for image, labels in pairs:
            truth = _volume(folder / labels).astype(np.int32)
            yield Sample(image.split(".")[0], _volume(folder / image), truth)

    return load


def _freesurfer(folder: Path) -> Iterator[Sample]:
    """Four structures, on the planes around the brain stem's, cut to the head."""
    labels = _volume(folder / "aparc.a2009s+aseg.mgz").astype(np.int32)
    labels[~np.isin(labels, list(DEEP_STRUCTURES))] = 0
    planes = np.flatnonzero((labels == 16).any(axis=(1, 2)))
    kept = slice(planes[0] - 4, planes[-1] + 5)
    yield Sample("norm", _volume(folder / "norm.mgz")[kept], labels[kept])


def _deeplesion(folder: Path) -> Iterator[Sample]:
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as stored:
            yield Sample(path.stem, stored["imgs"], stored["gts"].astype(np.int32))


def _cho(folder: Path) -> Iterator[Sample]:
    """Two time points, each a small z-stack."""
    images, labels = io.imread(folder / "raw.tif"), io.imread(folder / "labels.tif")
    for time in (0, 3):
        yield Sample(f"time {time}", images[time], labels[time])


def _video(folder: Path) -> Iterator[Sample]:
    frames = [io.imread(path) for path in sorted(folder.glob("JPEGImages/*.jpg"))]
    truth = [np.asarray(Image.open(path)) for path in sorted(folder.glob("Annotations/*.png"))]
    yield Sample("video", np.stack(frames), np.stack(truth).astype(np.int32), channel_axis=-1)


HIPPOCAMPI = [
    (f"hippocampus_{number}_image.nii.gz", f"hippocampus_{number}_labels.nii.gz")
    for number in ("001", "003", "006")
]
CORDS = [("t1w.nii.gz", "t1w_seg-manual.nii.gz"), ("t2.nii.gz", "t2_seg-manual.nii.gz")]
CT = ("example_ct.nii.gz", "example_seg_fast_force_split.nii.gz")
MR = ("example_mr_sm.nii.gz", "example_seg_mr.nii.gz")
TUMOUR = ("brain1_image.nii.gz", "brain1_labels.nii.gz")

SETS = (
    DataSet("dsb2018 fluorescence", "dsb2018_nuclei2d", _dsb2018(FLUORESCENT, "grey")),
    DataSet("dsb2018 fluorescence, RGBA", "dsb2018_nuclei2d", _dsb2018(FLUORESCENT, "colour")),
    DataSet("stardist 2D", "stardist_nuclei2d", _tiff("img2d.tif", "mask2d.tif")),
    DataSet("dsb2018 stained", "dsb2018_nuclei2d", _dsb2018(STAINED, "colour")),
    DataSet("dsb2018 smear", "dsb2018_nuclei2d", _dsb2018(SMEAR, "colour")),
    DataSet("usiigaci phase", "usiigaci_phase2d", _usiigaci),
    DataSet("sammed2d CT slices", "sammed2d_ct_slices", _sammed2d),
    DataSet("natural stills", "natural_stills", _stills),
    DataSet("stardist 3D", "stardist_nuclei3d", _tiff("img3d.tif", "mask3d.tif")),
    DataSet(
        "plantseg ovule",
        "plantseg_ovule3d",
        _tiff("sample_ovule_raw.tif", "sample_ovule_labels.tif"),
    ),
    DataSet(
        "plantseg nuclei 1135",
        "plantseg_ovule3d",
        _tiff("1135_mini_raw.tif", "1135_mini_labels.tif"),
    ),
    DataSet("cho nuclei", "cho_nuclei_3dt", _cho),
    DataSet("fib25 EM", "fib25_em3d", _tiff("raw.tif", "labels.tif")),
    DataSet("totalseg CT organs", "totalseg_ct_abdomen", _medical(CT), over=ORGAN_AREA),
    DataSet("totalseg MR organs", "totalseg_mr_abdomen", _medical(MR), over=ORGAN_AREA),
    DataSet("hippocampus", "msd_hippocampus_mr", _medical(*HIPPOCAMPI)),
    DataSet("spinal cord", "sct_spinalcord_mr", _medical(*CORDS)),
    DataSet("brain tumour", "pyradiomics_braintumour_mr", _medical(TUMOUR)),
    DataSet("deeplesion", "deeplesion_ct", _deeplesion),
    DataSet("freesurfer", "freesurfer_brain_mr", _freesurfer),
    DataSet("psc", "psc_phase_timelapse", _tiff("raw.tif", "tracks.tif"), series=True),
    DataSet("livecyte", "livecyte_timelapse", _tiff("raw.tif", "tracks.tif"), series=True),
    DataSet("davis schoolgirls", "davis_schoolgirls_video", _video, film=True),
    DataSet("pumavos chair", "pumavos_chair_video", _video, film=True),
)
"""Every set, in the order of the table."""
