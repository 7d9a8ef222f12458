"""What a lasso, a scribble and a bare mask had best become for a network.

    python benchmarks/derived_prompts.py --most 12

Every row is one form that the same imperfect prompt is brought to, every column a set of
`quality_sets.py`; the figures are mean IoU on the plane where an object is largest. All forms see
the same region. Masks are the truth made too small, too large, or moved; lassos are loose outlines
around it; scribbles run along its long axis. "As given" is the imperfect mask itself; "of logits"
are other values than the network's own, 10 inside and -10 outside.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from quality_planes import conditioned
from quality_prompts import overlap
from quality_sets import SETS, data_folder, evenly_spaced, targets_of
from scipy import ndimage
from skimage.morphology import convex_hull_image, disk

from napari_anysam import Prompt, load_model
from napari_anysam.segmentation.derived_prompts import interior_points, padded_box, sampled
from napari_anysam.segmentation.regions import Region, mask_in, regions_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from quality_sets import DataSet

    from napari_anysam.networks.protocol import Embedding, PromptableModel

    Mask = NDArray[np.bool_]

NAMES = (
    "dsb2018 fluorescence", "stardist 2D", "dsb2018 stained", "usiigaci phase", "plantseg ovule",
    "totalseg CT organs", "livecyte",
)  # fmt: skip
SCALES = (2.0, 5.0, 10.0, 20.0)


def imperfect(truth: Mask) -> list[Mask]:
    """Return masks that are too small, too large and moved by a fifth of the object's radius."""
    radius = max(1, round(0.2 * float(np.sqrt(truth.sum() / np.pi))))
    smaller = ndimage.binary_erosion(truth, disk(radius))
    larger = ndimage.binary_dilation(truth, disk(radius))
    return [smaller if smaller.any() else truth, larger, moved(truth, radius)]


def moved(mask: Mask, pixels: int) -> Mask:
    """Return the mask moved down and right; as it is where nothing of it would be left."""
    shifted = np.zeros_like(mask)
    shifted[pixels:, pixels:] = mask[:-pixels, :-pixels]
    return shifted if shifted.any() else mask


def lasso_of(truth: Mask) -> Mask:
    """Return what a hand that draws generously encloses."""
    return imperfect(convex_hull_image(truth))[1]


def stroke_of(truth: Mask) -> list[tuple[float, float]]:
    """Return a stroke along the long axis: the truth's deepest pixel in slices across it."""
    depth = ndimage.distance_transform_edt(np.pad(truth, 1))[1:-1, 1:-1]
    places = np.argwhere(depth >= 0.5 * depth.max())
    centred = places - places.mean(axis=0)
    axis = np.linalg.svd(centred, full_matrices=False)[2][0]
    along = centred @ axis
    bins = np.linspace(along.min(), along.max() + 1e-6, 8)
    chosen = []
    for low, high in pairwise(bins):
        inside = places[(along >= low) & (along < high)]
        if len(inside):
            chosen.append(max(map(tuple, inside), key=lambda place: depth[place]))
    return [(float(row), float(column)) for row, column in chosen]


def box_around(mask: Mask) -> tuple[float, float, float, float]:
    rows, columns = np.nonzero(mask)
    return float(rows.min()), float(columns.min()), float(rows.max() + 1), float(columns.max() + 1)


def mask_forms(mask: Mask) -> dict[str, Prompt]:
    """Return the forms of a bare mask or a lasso."""
    box = box_around(mask)
    one, few = interior_points(mask, 1), interior_points(mask, 3)
    wide = padded_box(box, 0.05, mask.shape)
    return {
        "mask": Prompt(mask=mask),
        "mask, 1 point": Prompt(mask=mask, points=one),
        "mask, 3 points": Prompt(mask=mask, points=few),
        "mask, box": Prompt(mask=mask, box=box),
        "mask, box, 3 points": Prompt(mask=mask, box=box, points=few),
        "mask, box + 5 %, 3 points": Prompt(mask=mask, box=wide, points=few),
        "1 point": Prompt(points=one),
        "3 points": Prompt(points=few),
        "box": Prompt(box=box),
        "box, 3 points": Prompt(box=box, points=few),
        "box + 5 %": Prompt(box=wide),
        "box + 5 %, 3 points": Prompt(box=wide, points=few),
    }


def scribble_forms(stroke: list[tuple[float, float]], shape: tuple[int, int]) -> dict[str, Prompt]:
    forms = {"1 point": Prompt(points=sampled(stroke, 1))}
    forms |= {f"{most} points": Prompt(points=sampled(stroke, most)) for most in (3, 5, 8)}
    drawn = np.zeros(shape, bool)
    rows, columns = np.round(np.transpose(sampled(stroke, 50))).astype(int)
    drawn[rows, columns] = True
    rough = convex_hull_image(ndimage.binary_dilation(drawn, disk(2)))
    forms["8 points, hull as mask"] = Prompt(points=sampled(stroke, 8), mask=rough)
    forms["8 points, hull's box"] = Prompt(points=sampled(stroke, 8), box=box_around(rough))
    return forms


def answer(
    model: PromptableModel,
    embedding: Embedding,
    prompt: Prompt,
    region: Region,
    scale: float | None,
) -> Mask:
    """Return the mask in the region; a mask prompt's logits may be scaled as no network does."""
    y, x = region.row, region.column
    points = [(row - y, column - x) for row, column in prompt.points]
    box = None if prompt.box is None else tuple(np.subtract(prompt.box, (y, x, y, x)))
    mask = None if prompt.mask is None else mask_in(prompt, region)
    previous = None
    if scale is not None and mask is not None:
        side = model.image_size // 4
        inside = torch.from_numpy(mask.copy()).float()[None, None]
        small = torch.nn.functional.interpolate(inside, (side, side), mode="area")
        previous, mask = scale * (2 * small - 1), None
    local_prompt = replace(prompt, points=points, polarity=(), box=box, mask=mask)
    found = model.decode(embedding, [local_prompt], previous_logits=previous)
    best = int(found.scores[0].argmax())
    logits = model.upscale(found.logits[:, best : best + 1], region.shape)
    return logits[0, 0].numpy() > 0


def measure(model: PromptableModel, row: DataSet, most: int) -> Iterator[tuple[str, str, float]]:
    """Yield (prompt, form, IoU), object by object."""
    for sample in row.load(data_folder() / row.folder):
        for target in evenly_spaced(targets_of(sample, row.over), most):
            plane, shape = conditioned(sample, target.plane), target.truth.shape
            given = [("mask", mask) for mask in imperfect(target.truth)]
            for kind, mask in [*given, ("lasso", lasso_of(target.truth))]:
                region = regions_for(Prompt(mask=mask), shape, model.image_size)[0]
                embedding = model.encode(np.ascontiguousarray(plane[region.slices]))
                seen = target.truth[region.slices]
                missed = np.count_nonzero(target.truth) - np.count_nonzero(seen)
                yield kind, "(as given)", overlap(mask, target.truth)
                for form, prompt in mask_forms(mask).items():
                    found = answer(model, embedding, prompt, region, None)
                    if kind == "lasso":
                        found &= mask[region.slices]
                    yield kind, form, _iou(found, seen, missed)
                for scale in SCALES if kind == "mask" else ():
                    form = mask_forms(mask)["mask, 3 points"]
                    found = answer(model, embedding, form, region, scale)
                    yield kind, f"mask of logits {scale:g}, 3 points", _iou(found, seen, missed)
            stroke = stroke_of(target.truth)
            region = regions_for(Prompt(box=box_around(target.truth)), shape, model.image_size)[0]
            embedding = model.encode(np.ascontiguousarray(plane[region.slices]))
            seen = target.truth[region.slices]
            for form, prompt in scribble_forms(stroke, shape).items():
                yield (
                    "scribble",
                    form,
                    _iou(answer(model, embedding, prompt, region, None), seen, 0),
                )


def _iou(found: Mask, seen: Mask, missed: int) -> float:
    union = np.count_nonzero(found | seen) + missed
    return np.count_nonzero(found & seen) / union if union else 1.0


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--model", default="anysam-nano")
    parser.add_argument("--most", type=int, default=12, help="objects per image")
    options = parser.parse_args()
    model = load_model(options.model, device="cpu", precision="fp32")
    columns: dict[str, dict[tuple[str, str], list[float]]] = {}
    for row in (one for one in SETS if one.name in NAMES):
        print(row.name, file=sys.stderr)
        column = columns.setdefault(row.name, {})
        for kind, form, iou in measure(model, row, options.most):
            column.setdefault((kind, form), []).append(iou)
    print("| prompt | becomes | mean | " + " | ".join(columns) + " |")
    print("|---" * (len(columns) + 3) + "|")
    for kind, form in next(iter(columns.values())):
        means = [float(np.mean(column[kind, form])) for column in columns.values()]
        figures = " | ".join(f"{value:.2f}" for value in means)
        print(f"| {kind} | {form} | {np.mean(means):.3f} | {figures} |")


if __name__ == "__main__":
    main()
