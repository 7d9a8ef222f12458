"""Which layouts go with which appearance, and how often."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from scenes import appearance, layouts
from scenes.camera import photograph
from scenes.layouts import BlobStyle, Layout

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

NUCLEI = BlobStyle(
    radius=(0.02, 0.16), elongation=(1.0, 1.8), roughness=(0, 0.1), spacing=(0.72, 1.2), fill=0.5
)
DISCS = BlobStyle(
    radius=(0.04, 0.2), elongation=(1.0, 1.15), roughness=(0, 0.02), spacing=(1.0, 1.4), spread=0.15
)
CELLS = BlobStyle(
    radius=(0.03, 0.18), elongation=(1.0, 3.0), roughness=(0, 0.2), spacing=(0.7, 1.3), hollow=0.15
)
SPINDLES = BlobStyle(
    radius=(0.02, 0.1), elongation=(1.0, 3.0), roughness=(0, 0.1), spacing=(0.8, 1.6),
    spread=0.4, fill=0.2, spikes=(0, 3),
)  # fmt: skip
SPREAD = BlobStyle(
    radius=(0.04, 0.2), elongation=(1.0, 3.0), roughness=(0.0, 0.25), spacing=(0.7, 1.5),
    spread=0.4, fill=0.3, spikes=(0, 7),
)  # fmt: skip
BODIES = BlobStyle(
    radius=(0.08, 0.35), elongation=(1.0, 2.2), roughness=(0, 0.25), spacing=(0.9, 1.3), hollow=0.3
)


class Recipe(NamedTuple):
    """One kind of scene: its name, its share of the pool, a layout and an appearance."""

    name: str
    share: float
    layout: Callable[[np.random.Generator, tuple[int, int, int]], Layout]
    appearance: Callable[[np.random.Generator, Layout], NDArray[np.float32]]


def _blobs(style: BlobStyle) -> Callable[[np.random.Generator, tuple[int, int, int]], Layout]:
    return partial(layouts.blobs, style=style)


RECIPES = (
    Recipe("nuclei", 0.2, _blobs(NUCLEI), appearance.fluorescence),
    Recipe("cells", 0.04, _blobs(CELLS), appearance.fluorescence),
    Recipe("spindles", 0.06, _blobs(SPINDLES), appearance.fluorescence),
    Recipe("coins", 0.05, _blobs(DISCS), appearance.solid),
    Recipe("bodies", 0.05, _blobs(BODIES), appearance.solid),
    Recipe("relief", 0.03, _blobs(CELLS), appearance.relief),
    Recipe("phase", 0.05, _blobs(CELLS), appearance.phase),
    Recipe("outlined", 0.14, _blobs(SPREAD), appearance.outlined),
    Recipe("rings", 0.02, _blobs(DISCS), appearance.outlined),
    Recipe("spread", 0.03, _blobs(SPREAD), appearance.phase),
    Recipe("membranes", 0.08, layouts.packed_cells, appearance.membranes),
    Recipe("tissue", 0.03, layouts.packed_cells, appearance.fluorescence),
    Recipe("electron", 0.04, partial(layouts.packed_cells, merge=0.5), appearance.electron),
    Recipe("scan", 0.05, layouts.organs, appearance.scan),
    Recipe("organs", 0.07, layouts.organs, appearance.soft_tissue),
    Recipe("abdomen", 0.14, layouts.abdomen, appearance.soft_tissue),
    Recipe("stain", 0.09, _blobs(NUCLEI), appearance.stain),
    Recipe("natural", 0.05, layouts.overlapping_shapes, appearance.natural),
    Recipe("vessels", 0.03, layouts.tubes, appearance.scan),
)


class Scene(NamedTuple):
    """Images (planes, rows, columns, 3) and labels (planes, rows, columns), both uint8."""

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    name: str


def make_scene(seed: int, planes: int = 1, size: int = 256, name: str | None = None) -> Scene:
    """Make one scene; the same arguments give the same pixels.

    Parameters
    ----------
    seed
        Seed of everything random.
    planes
        Planes of the stack; 1 for an image.
    size
        Rows and columns.
    name
        Name of a recipe; drawn by share if None.
    """
    rng = np.random.default_rng(seed)
    shares = np.array([recipe.share for recipe in RECIPES])
    drawn = RECIPES[rng.choice(len(RECIPES), p=shares / shares.sum())]
    recipe = next((one for one in RECIPES if one.name == name), drawn)
    layout = recipe.layout(rng, (planes, size, size))
    images = photograph(rng, recipe.appearance(rng, layout))
    return Scene(images, layout.labels, recipe.name)
