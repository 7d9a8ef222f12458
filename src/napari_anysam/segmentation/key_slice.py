"""A lesion in a volume from one prompt on one plane, as MedSAM2 does it.

After ``medsam2_infer_3D_CT.py`` of bowang-lab/MedSAM2: the volume is shown in one CT window, a box
on the key slice is followed forward, everything is forgotten, it is followed backward from the same
box, and of all that was found the largest connected component stays. A RECIST line becomes a box as
in ``get_diameter_bbox`` of medfm-flare/MedSAM2-RECIST: a square around its middle, as wide as the
line is long.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from napari_anysam.errors import PromptError
from napari_anysam.images.planes import Planes
from napari_anysam.images.presets import find_window
from napari_anysam.segmentation.prompts import Prompt
from napari_anysam.segmentation.windows import tight_window

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from napari_anysam.networks.protocol import PromptableModel
    from napari_anysam.segmentation.windows import Window

__all__ = [
    "LesionWindow",
    "largest_component",
    "largest_part",
    "lesion_region",
    "recist_box",
    "segment_lesion",
]

LesionWindow: TypeAlias = str | tuple[float, float]
Box: TypeAlias = tuple[float, float, float, float]


def segment_lesion(
    volume: ArrayLike,
    key_slice: int,
    box: Sequence[float] | None = None,
    recist: Sequence[Sequence[float]] | None = None,
    model: PromptableModel | None = None,
    window: LesionWindow = "auto",
    axis: int = 0,
    region: Literal["auto", "plane"] | None = None,
    stop_at_end: bool = False,
) -> NDArray[np.uint8]:
    """Segment one lesion through a volume from its key slice.

    Parameters
    ----------
    volume : array (N, H, W)
        numpy, dask or zarr; planes are read one at a time.
    key_slice : int
        Index of the prompted plane along ``axis``.
    box : (y0, x0, y1, x1), optional
        Around the lesion, half-open pixel edges.
    recist : ((y0, x0), (y1, x1)), optional
        Instead of a box the ends of its longest diameter, in pixels.
    model : PromptableModel, optional
        From ``load_model``, one that follows objects; the shipped model if left out. MedSAM2 is
        made for this.
    window : str or (low, high)
        The name of a CT window ("lung", "abdomen" ...; ``images.presets``), "mr", or the
        intensities shown black and white; "auto" takes the 0.5 and 99.5 percentiles.
    axis : int
        Axis of the planes.
    region : {None, "auto", "plane"}
        "plane" shows whole planes to the network, as MedSAM2's own code does; "auto" zooms to the
        lesion. None chooses as ``lesion_region`` says.
    stop_at_end : bool
        Look for the lesion no more behind the first plane on which the network is unsure of it
        (``tracking_end``). MedSAM2's own code looks for it on all planes.

    Returns
    -------
    uint8 array (N, H, W)
        1 in the lesion, in the order of the volume's axes; all 0 where nothing was found.

    Raises
    ------
    PromptError
        If there are both or neither of box and line, or one lies outside the volume.
    ImageError
        If the volume or the window is none.
    CapabilityError
        If the model cannot follow objects.
    """
    planes = Planes(volume, axis=axis)
    prompt = _prompt(planes.plane_shape, key_slice, box, recist)
    contrast = find_window(window, planes)
    if model is None:
        from napari_anysam.networks.load import load_model

        model = load_model("anysam-nano")
    if region is None:
        region = lesion_region(model, planes.plane_shape)

    from napari_anysam.images.conditioning import resolve_conditioning
    from napari_anysam.segmentation.tracking import Tracker
    from napari_anysam.segmentation.tracking_end import end_rule_for

    tracker = Tracker(
        model,
        planes,
        resolve_conditioning(planes, contrast),
        region=region,
        ending=end_rule_for(model) if stop_at_end else None,
    )
    found = np.zeros((planes.count, *planes.plane_shape), bool)
    for result in tracker.run([prompt]):
        found[result.index] = result.labels > 0
    return np.moveaxis(largest_component(found).astype(np.uint8), 0, axis)


def lesion_region(model: PromptableModel, plane_shape: tuple[int, int]) -> Literal["auto", "plane"]:
    """Return how planes are shown by default.

    Whole, if the network need not shrink them, as networks for medical images were trained. The
    shipped models zoom to the lesion: whole, planes gave them less on every lesion that was tried
    (``docs/medical.md``).
    """
    zooms = model.name.startswith("anysam-") or model.image_size < max(plane_shape)
    return "auto" if zooms else "plane"


def recist_box(recist: Sequence[Sequence[float]], plane_shape: tuple[int, int]) -> Box:
    """Return the square box (y0, x0, y1, x1) that MedSAM2 makes of a RECIST line.

    Parameters
    ----------
    recist : ((y0, x0), (y1, x1))
        Its ends, in pixels.
    plane_shape : (height, width)
        The box ends there.

    Raises
    ------
    PromptError
        If the line has no length or lies outside the plane.
    """
    ends = np.asarray(recist, float)
    height, width = plane_shape
    if ends.shape != (2, 2) or not np.isfinite(ends).all():
        raise PromptError("A RECIST line has two ends; give ((y0, x0), (y1, x1)).")
    if (ends < 0).any() or (ends > (height - 1, width - 1)).any():
        raise PromptError(
            f"The RECIST line from {tuple(ends[0])} to {tuple(ends[1])} lies outside the plane of "
            f"{height} x {width} pixels; draw it on the lesion."
        )
    half = int(math.dist(*ends) / 2)
    if half < 1:
        raise PromptError("The RECIST line is shorter than two pixels; draw it across the lesion.")
    y, x = (int(middle) for middle in ends.mean(axis=0))
    return (
        max(0, y - half),
        max(0, x - half),
        min(height - 1, y + half),
        min(width - 1, x + half),
    )


def largest_component(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the largest part of a mask; voxels that touch at a corner belong together."""
    from skimage.measure import label

    parts = label(mask)
    sizes = np.bincount(parts.ravel())
    if len(sizes) < 2:
        return mask
    largest: NDArray[np.bool_] = parts == np.argmax(sizes[1:]) + 1
    return largest


def largest_part(windows: Mapping[int, Window | None]) -> dict[int, Window | None]:
    """Return what becomes of those planes that hold more than the largest component.

    Parameters
    ----------
    windows : mapping of int to Window or None
        Position of a plane along the axis to the object's mask there. What is not named is empty.

    Returns
    -------
    mapping of int to Window or None
        Only of planes that lose pixels; None where nothing stays. As in ``largest_component``.
    """
    known = {position: window for position, window in windows.items() if window is not None}
    if not known:
        return {}
    first, top = min(known), min(window.origin[0] for window in known.values())
    left = min(window.origin[1] for window in known.values())
    bottom = max(window.slices[0].stop for window in known.values())
    right = max(window.slices[1].stop for window in known.values())
    found = np.zeros((max(known) - first + 1, bottom - top, right - left), bool)
    for position, window in known.items():
        (row, column), (height, width) = window.origin, window.shape
        plane = found[position - first, row - top :, column - left :]
        plane[:height, :width] = window.mask
    stays = largest_component(found)
    return {
        position: tight_window(stays[position - first], (top, left))
        for position, window in known.items()
        if np.count_nonzero(stays[position - first]) < window.area
    }


def _prompt(
    plane_shape: tuple[int, int],
    key_slice: int,
    box: Sequence[float] | None,
    recist: Sequence[Sequence[float]] | None,
) -> Prompt:
    if (box is None) == (recist is None):
        raise PromptError("Give either a box or a RECIST line on the key slice.")
    if recist is not None:
        return Prompt(1, key_slice, box=recist_box(recist, plane_shape))
    corners: Any = tuple(float(edge) for edge in box or ())
    return Prompt(1, key_slice, box=corners)
