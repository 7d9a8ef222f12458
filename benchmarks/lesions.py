"""Lesions from one prompt on their key slice: what a diameter and a box reach, and in what time.

    python benchmarks/lesions.py --model anysam-nano

The key slice is the one on which the lesion is largest. The diameter is the longest of its true
mask there, the box goes around that mask. Dice is that of all voxels, and of the key slice alone.
"""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from quality_sets import data_folder
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist, squareform

from napari_anysam import load_model, segment_lesion

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_anysam.segmentation.key_slice import LesionWindow

HIPPOCAMPI = ("001", "003", "006")
GALLBLADDER = 4


class Case(NamedTuple):
    """A volume (N, H, W) with axial planes, the mask of one object, and how it is shown."""

    name: str
    volume: NDArray[np.generic]
    truth: NDArray[np.bool_]
    window: LesionWindow


def cases(folder: Path) -> Iterator[Case]:
    with np.load(folder / "deeplesion_ct" / "CT_Lesion_000002_03_01_035-047.npz") as file:
        yield Case("CT lesion (DeepLesion)", file["imgs"], file["gts"] > 0, (0, 255))
    brain = folder / "pyradiomics_braintumour_mr"
    tumour = _axial(brain / "brain1_labels.nii.gz") > 0
    yield Case("MR brain tumour", _axial(brain / "brain1_image.nii.gz"), tumour, "mr")
    for number in HIPPOCAMPI:
        path = folder / "msd_hippocampus_mr" / f"hippocampus_{number}"
        image, labels = (_axial(f"{path}_{kind}.nii.gz") for kind in ("image", "labels"))
        yield Case(f"MR hippocampus {number}", image, labels > 0, "mr")
    abdomen = folder / "totalseg_ct_abdomen"
    organs = _axial(abdomen / "example_seg_fast_force_split.nii.gz")
    volume = _axial(abdomen / "example_ct.nii.gz")
    yield Case("CT gallbladder (silver truth)", volume, organs == GALLBLADDER, "abdomen")


def _axial(path: object) -> NDArray[np.generic]:
    import nibabel

    return np.ascontiguousarray(np.asarray(nibabel.load(path).dataobj).transpose(2, 1, 0))


def diameter_of(mask: NDArray[np.bool_]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the ends of the longest diameter of a mask."""
    pixels = np.argwhere(mask)
    corners = pixels[ConvexHull(pixels).vertices]
    distances = squareform(pdist(corners))
    ends = corners[list(np.unravel_index(distances.argmax(), distances.shape))].tolist()
    return tuple(ends[0]), tuple(ends[1])


def box_of(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    (y0, x0), (y1, x1) = np.argwhere(mask).min(axis=0), np.argwhere(mask).max(axis=0) + 1
    return int(y0), int(x0), int(y1), int(x1)


def dice(found: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    return float(2 * (found & truth).sum() / (found.sum() + truth.sum()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="anysam-nano", help="a catalogue name or a file")
    parser.add_argument("--variant", help="medsam2, for a file of unknown weights")
    parser.add_argument("--region", choices=("auto", "plane"), help="by default as the window does")
    parser.add_argument("--stop-at-end", action="store_true", help="as the window does by default")
    options = parser.parse_args()
    model = load_model(options.model, variant=options.variant)
    print("| volume | planes, with it | diameter: Dice (key slice) | box: Dice (key slice) | s |")
    print(f"|{'---|' * 5}")
    reached = []
    for case in cases(data_folder()):
        key = int(case.truth.sum(axis=(1, 2)).argmax())
        mask, start, figures = case.truth[key], time.perf_counter(), []
        for prompt in ({"recist": diameter_of(mask)}, {"box": box_of(mask)}):
            found = segment_lesion(
                case.volume,
                key,
                **prompt,
                model=model,
                window=case.window,
                region=options.region,
                stop_at_end=options.stop_at_end,
            )
            figures.append((dice(found > 0, case.truth), dice(found[key] > 0, mask)))
        seconds = (time.perf_counter() - start) / 2
        reached.append(figures)
        cells = " | ".join(f"{whole:.2f} ({slice_:.2f})" for whole, slice_ in figures)
        planes = f"{len(case.volume)}, {int(case.truth.any(axis=(1, 2)).sum())}"
        print(f"| {case.name} | {planes} | {cells} | {seconds:.0f} |", flush=True)
    means = np.mean(reached, axis=0)
    print(f"| mean | | {' | '.join(f'{one:.2f} ({other:.2f})' for one, other in means)} | |")


if __name__ == "__main__":
    main()
