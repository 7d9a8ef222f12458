"""Measure a file of weights on real images, which are for measuring only, never for training.

`coins` comes with scikit-image; the other sets are read from the folder in $ANYSAM_DATA (default
../shared/data beside the repository) and left out where it is missing.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import struct
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from network import BOX_END, BOX_START, POSITIVE, WEIGHTS, build_network, decode, encode, normalise
from safetensors.torch import load_file
from scipy import ndimage
from skimage import data, filters, io, measure, segmentation
from torch.nn import functional

from tracking import Anchor, Course, propagate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from sam2.modeling.sam2_base import SAM2Base

    Image = NDArray[np.uint8]
    Mask = NDArray[np.bool_]
    Labels = NDArray[np.integer]

REPOSITORY = Path(__file__).parents[2]
STAINED = ("00ae65c1", "4e23ecf6", "87ea7289")
FLUORESCENT = ("4ee5850b", "02903040", "23830d0e", "14004203")


class Region(NamedTuple):
    """A rectangle of a plane, half-open."""

    top: int
    left: int
    bottom: int
    right: int


def load_network(path: Path = WEIGHTS) -> SAM2Base:
    """Build the network with the weights of a safetensors file, in float32."""
    network = build_network().eval()
    network.load_state_dict({name: value.float() for name, value in load_file(path).items()})
    return network


def to_rgb(image: NDArray[np.generic]) -> Image:
    """Stretch a grey image between its 0.5 and 99.5 percentiles; leave uint8 RGB alone."""
    if image.ndim == 3:
        return np.ascontiguousarray(image[..., :3])
    low, high = np.percentile(image, (0.5, 99.5))
    grey = np.clip((image - low) / max(high - low, 1e-6), 0, 1)
    return np.repeat(np.rint(grey * 255).astype(np.uint8)[..., None], 3, axis=-1)


def to_tensor(planes: Image, size: int) -> torch.Tensor:
    """Turn (N, H, W, 3) uint8 into what the network reads, (N, 3, size, size)."""
    pixels = torch.from_numpy(planes).permute(0, 3, 1, 2).float() / 255
    pixels = functional.interpolate(pixels, (size, size), mode="bilinear", antialias=True)
    return normalise(pixels)


def bounding_box(mask: Mask) -> Region:
    """Half-open bounding box of a mask."""
    rows, columns = np.nonzero(mask)
    return Region(rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)


def region_around(box: Region, shape: tuple[int, ...], factor: float = 2.0) -> Region:
    """Square of `factor` times the box's longer side, moved into the plane."""
    side = int(np.ceil(factor * max(box.bottom - box.top, box.right - box.left)))
    height, width = min(side, shape[0]), min(side, shape[1])
    top = np.clip((box.top + box.bottom - height) // 2, 0, shape[0] - height)
    left = np.clip((box.left + box.right - width) // 2, 0, shape[1] - width)
    return Region(int(top), int(left), int(top + height), int(left + width))


@torch.inference_mode()
def segment(
    network: SAM2Base, image: Image, region: Region, points: NDArray[np.float64], labels: list[int]
) -> Mask:
    """Encode a region and decode one prompt.

    Parameters
    ----------
    network
        The network.
    image
        The whole plane, RGB.
    region
        What to encode.
    points
        (P, 2) as (row, column) of the plane, pixel centres or box edges.
    labels
        One per point, as SAM's prompt encoder reads them.

    Returns
    -------
    array of bool
        The mask in the whole plane; of one click the candidate with the best predicted IoU, else
        the single mask.
    """
    top, left, bottom, right = region
    size = network.image_size
    features = encode(network, to_tensor(image[None, top:bottom, left:right].copy(), size))
    scale = np.array([size / (bottom - top), size / (right - left)])
    local = (points - (top, left)) * scale
    coordinates = torch.tensor(local[None, :, ::-1].copy(), dtype=torch.float32)
    decoded = decode(network, features, coordinates, torch.tensor([labels]), None)
    token = int(decoded.iou[0, 1:].argmax()) + 1 if len(points) == 1 else 0
    logits = decoded.logits[:, token : token + 1]
    inside = functional.interpolate(logits, (bottom - top, right - left), mode="bilinear") > 0
    mask = np.zeros(image.shape[:2], bool)
    mask[top:bottom, left:right] = inside[0, 0].numpy()
    return mask


def overlap(mask: Mask, truth: Mask) -> float:
    """Intersection over union."""
    union = np.count_nonzero(mask | truth)
    return np.count_nonzero(mask & truth) / union if union else 1.0


def interior_pixel(mask: Mask) -> NDArray[np.float64]:
    """Return the pixel farthest from the mask's border, as (1, 2) row and column."""
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    return np.array([np.unravel_index(depth.argmax(), mask.shape)], float)


def click_and_box(
    network: SAM2Base, image: Image, labels: Labels, *, most: int = 40, whole: bool = False
) -> dict[str, list[float]]:
    """IoU of a click in the middle and of a box padded by 5 %, for up to `most` objects.

    Parameters
    ----------
    network
        The network.
    image
        RGB plane.
    labels
        True objects.
    most
        Number of objects, evenly spaced among all.
    whole
        Encode the whole plane instead of twice the object's box.
    """
    names = [name for name in np.unique(labels) if name]
    found: dict[str, list[float]] = {"click": [], "box": []}
    for name in names[:: max(1, len(names) // most)]:
        truth = labels == name
        box = bounding_box(truth)
        region = Region(0, 0, *truth.shape) if whole else region_around(box, truth.shape)
        clicked = segment(network, image, region, interior_pixel(truth), [POSITIVE])
        padding = 0.05 * np.array([box.bottom - box.top, box.right - box.left])
        corners = np.array([[box.top, box.left], [box.bottom, box.right]], float)
        corners += np.array([[-1], [1]]) * padding
        boxed = segment(network, image, region, corners, [BOX_START, BOX_END])
        found["click"].append(overlap(clicked, truth))
        found["box"].append(overlap(boxed, truth))
    return found


def coins() -> tuple[Image, Labels]:
    """Scikit-image's coins with a truth made by thresholds.

    The truth floods the edge strength (Sobel) from the pixels below 30 and above 150, fills the
    holes, and leaves out what is smaller than 200 pixels or touches the border.
    """
    image = data.coins()
    markers = np.where(image < 30, 1, np.where(image > 150, 2, 0))
    flooded = segmentation.watershed(filters.sobel(image), markers) == 2
    filled = ndimage.binary_fill_holes(flooded)
    labels = segmentation.clear_border(measure.label(filled))
    areas = np.bincount(labels.ravel())
    return to_rgb(image), np.where(areas[labels] >= 200, labels, 0)


def planes_with_truth(folder: Path) -> Iterator[tuple[str, Image, Labels]]:
    """Yield the 2D sets that are there: name of the case, RGB plane, labels."""
    for path in sorted(folder.glob("dsb2018_nuclei2d/*_image.png")):
        name = path.name[:8]
        kind = "stained tissue" if name in STAINED else "fluorescent nuclei"
        if name in (*STAINED, *FLUORESCENT):
            image = io.imread(path)[..., :3]
            grey = kind == "fluorescent nuclei"
            labels = io.imread(next(path.parent.glob(f"{name}*_labels.tif")))
            yield kind, to_rgb(image[..., 0] if grey else image), labels
    for path in folder.glob("stardist_nuclei2d/img2d.tif"):
        yield "fluorescent nuclei", to_rgb(io.imread(path)), io.imread(path.with_name("mask2d.tif"))
    for path in sorted(folder.glob("usiigaci_phase2d/*_phase.png")):
        labels = path.with_name(path.name.replace("_phase", "_instances_ids"))
        yield "phase contrast", to_rgb(io.imread(path)), io.imread(labels)


def read_nifti(path: Path) -> NDArray[np.generic]:
    """Read a little-endian NIfTI-1 volume (x, y, z), without its scaling and affine."""
    content = gzip.decompress(path.read_bytes())
    rank, *shape = struct.unpack_from("<8h", content, 40)
    (code,) = struct.unpack_from("<h", content, 70)
    (start,) = struct.unpack_from("<f", content, 108)
    kind = {2: np.uint8, 4: np.int16, 8: np.int32, 16: np.float32, 64: np.float64}[code]
    shape = shape[:rank]
    values = np.frombuffer(content, kind, int(np.prod(shape)), int(start))
    return values.reshape(shape, order="F")


def stacks_with_truth(folder: Path) -> Iterator[tuple[str, str, Image, Labels]]:
    """Yield the stacks that are there: name, kind of prompt, RGB planes, labels along axis 0."""
    for path in folder.glob("stardist_nuclei3d/img3d.tif"):
        labels = io.imread(path.with_name("mask3d.tif"))
        yield "nuclei 3D", "box", _stretch_stack(io.imread(path)), labels
    for path in folder.glob("sct_spinalcord_mr/t2.nii.gz"):
        labels = read_nifti(path.with_name("t2_seg-manual.nii.gz"))
        yield "spinal cord", "mask", _stretch_stack(read_nifti(path)), labels


def _stretch_stack(stack: NDArray[np.generic]) -> Image:
    return to_rgb(stack.reshape(stack.shape[0], -1)).reshape(*stack.shape, 3)


@torch.inference_mode()
def follow(network: SAM2Base, stack: Image, truth: NDArray[np.bool_], kind: str) -> list[float]:
    """IoU on every plane where the object is, prompted once at its largest plane, whole planes."""
    start = int(truth.sum((1, 2)).argmax())
    images = to_tensor(stack, network.image_size)
    anchor = _anchor(truth[start], kind, network.image_size)
    found = []
    for reverse in (False, True):
        order = range(start, -1, -1) if reverse else range(start, len(stack))
        steps = list(order)
        course = Course(start, len(stack), reverse)
        index = torch.zeros(1, dtype=torch.long)
        results = propagate(network, images[steps], index, {0: anchor}, course, len(steps))
        for plane, result in list(zip(steps, results, strict=True))[1:]:
            if truth[plane].any():
                best = int(result.iou[0].argmax())
                logits = result.logits[:, best : best + 1]
                mask = functional.interpolate(logits, truth.shape[1:], mode="bilinear") > 0
                found.append(overlap(mask[0, 0].numpy(), truth[plane]))
    return found


def _anchor(truth: Mask, kind: str, size: int) -> Anchor:
    scale = np.array([size / truth.shape[0], size / truth.shape[1]])
    if kind == "mask":
        mask = torch.from_numpy(truth)[None, None].float()
        return Anchor(mask=functional.interpolate(mask, (size, size), mode="bilinear") > 0.5)
    box = bounding_box(truth)
    corners = np.array([[box.top, box.left], [box.bottom, box.right]]) * scale
    points = torch.tensor(corners[None, :, ::-1].copy(), dtype=torch.float32)
    return Anchor(points, torch.tensor([[BOX_START, BOX_END]]))


def measure_all(network: SAM2Base, folder: Path, most: int = 40) -> dict[str, float]:
    """Mean IoU per case over all its objects (or planes)."""
    found: dict[str, list[float]] = {}

    def add(case: str, values: dict[str, list[float]]) -> None:
        for prompt, numbers in values.items():
            found.setdefault(f"{case}, {prompt}", []).extend(numbers)

    image, labels = coins()
    add("coins whole plane", click_and_box(network, image, labels, whole=True))
    add("coins region", click_and_box(network, image, labels))
    for case, plane, truth in planes_with_truth(folder):
        add(f"{case} region", click_and_box(network, plane, truth, most=most))
    for case, kind, stack, truth in stacks_with_truth(folder):
        sizes = np.bincount(truth.ravel())
        sizes[0] = 0
        largest = [name for name in np.argsort(sizes)[::-1][:most] if sizes[name]]
        for name in largest[: max(1, most // 4)]:
            add(f"{case} propagated", {kind: follow(network, stack, truth == name, kind)})
    return {case: float(np.mean(numbers)) for case, numbers in found.items()}


def main() -> None:
    """Print a table, and JSON where asked."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("weights", type=Path, nargs="?", default=WEIGHTS)
    parser.add_argument("--most", type=int, default=40, help="objects per image")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    folder = Path(os.environ.get("ANYSAM_DATA", REPOSITORY / ".." / "shared" / "data"))
    figures = measure_all(load_network(options.weights), folder, options.most)
    for case, value in figures.items():
        print(f"{case:40s} {value:.3f}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
