"""Sample data of the File menu: real images that come with scikit-image, and made-up stacks.

Nothing is downloaded. Each function returns napari layer data: (array, settings, layer type).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_anysam.images.synthetic import STACK_SPACING, synthetic_series, synthetic_stack

if TYPE_CHECKING:
    from numpy.typing import NDArray

    LayerData = tuple[NDArray[Any], dict[str, Any], str]

__all__ = ["cell", "coins", "retina", "series", "stack", "tissue"]


def coins() -> list[LayerData]:
    """Return Greek coins from Pompeii, uint8 (303, 384): many objects on an uneven background."""
    from skimage import data

    return [(data.coins(), {"name": "coins"}, "image")]


def cell() -> list[LayerData]:
    """Return a cell floating in saline, uint8 (660, 550): quantitative phase, one large object."""
    from skimage import data

    return [(data.cell(), {"name": "cell"}, "image")]


def tissue() -> list[LayerData]:
    """Return stained colon tissue, uint8 RGB (512, 512, 3): crowded nuclei and glands."""
    from skimage import data

    return [(data.immunohistochemistry(), {"name": "tissue", "rgb": True}, "image")]


def retina() -> list[LayerData]:
    """Return the fundus of an eye, uint8 RGB (1411, 1411, 3): optic disc and vessels."""
    from skimage import data

    return [(data.retina(), {"name": "retina", "rgb": True}, "image")]


def stack() -> list[LayerData]:
    """Return made-up nuclei, uint16 (Z, Y, X), with their true labels hidden underneath."""
    image, labels = synthetic_stack()
    return _with_truth(image, labels, "nuclei", ("z", "y", "x"), STACK_SPACING)


def series() -> list[LayerData]:
    """Return made-up moving cells, uint16 (T, Y, X), with their true labels hidden underneath."""
    image, labels = synthetic_series()
    return _with_truth(image, labels, "moving cells", ("t", "y", "x"), (1.0, 1.0, 1.0))


def _with_truth(
    image: NDArray[Any],
    labels: NDArray[Any],
    name: str,
    axes: tuple[str, ...],
    spacing: tuple[float, ...],
) -> list[LayerData]:
    """Return the image above its labels, which stay hidden until someone wants to compare."""
    shared = {"axis_labels": axes, "scale": spacing}
    truth = {"name": f"{name} (truth)", "visible": False, **shared}
    return [(labels, truth, "labels"), (image, {"name": name, **shared}, "image")]
