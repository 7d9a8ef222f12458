"""Measure weights by clicks and boxes on planes: by what `export.py` judges a run.

Real images with true labels are measured by `benchmarks/quality.py`, through the plugin itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from network import BOX_END, BOX_START, POSITIVE, WEIGHTS, build_network, decode, encode, normalise
from safetensors.torch import load_file
from scipy import ndimage
from skimage import data, filters, measure, segmentation
from torch.nn import functional

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from sam2.modeling.sam2_base import SAM2Base

    Image = NDArray[np.uint8]
    Mask = NDArray[np.bool_]
    Labels = NDArray[np.integer]


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


def region_around(box: Region, shape: tuple[int, ...], factor: float = 1.5) -> Region:
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
    network: SAM2Base, image: Image, labels: Labels, *, most: int = 40
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
    """
    names = [name for name in np.unique(labels) if name]
    found: dict[str, list[float]] = {"click": [], "box": []}
    for name in names[:: max(1, len(names) // most)]:
        truth = labels == name
        box = bounding_box(truth)
        region = region_around(box, truth.shape)
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
