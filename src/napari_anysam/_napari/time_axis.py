"""Which slider of an image is time, and who lives along it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_anysam.segmentation.lifetimes import absences

if TYPE_CHECKING:
    from napari_anysam._napari.coordinates import PlaneFrame
    from napari_anysam._napari.workspace import Workspace
    from napari_anysam.segmentation.session import PromptKey

__all__ = ["absences_along", "is_time", "other_axis", "time_axis"]

_TIME = {"t", "time", "frame", "frames"}
_SPACE = {"z", "depth", "slice", "plane"}


def is_time(name: str) -> bool:
    """Tell whether an axis is called time."""
    return name.lower() in _TIME


def time_axis(names: tuple[str, ...], frame: PlaneFrame) -> int | None:
    """Return the data axis that is time, or None.

    It is the one that is called so, else the first with a slider, unless that is called a depth.

    Parameters
    ----------
    names : tuple of str
        Of all data axes, as the layer has them.
    frame : PlaneFrame
    """
    hidden = _sliders(frame)
    called = [axis for axis in hidden if is_time(names[axis])]
    others = [axis for axis in hidden if names[axis].lower() not in _SPACE]
    return next(iter((*called, *others)), None)


def other_axis(frame: PlaneFrame, time: int | None) -> int | None:
    """Return the one data axis with a slider beside time; None if there is none, or several."""
    others = [axis for axis in _sliders(frame) if axis != time]
    return others[0] if time is not None and len(others) == 1 else None


def absences_along(work: Workspace, frame: PlaneFrame, axis: int) -> frozenset[PromptKey]:
    """Return where objects of a lineage do not live in the stack of a plane, if it is time."""
    if not work.session.parents or axis != time_axis(work.image.axis_labels, frame):
        return frozenset()
    count = frame.shape[frame.order.index(axis)]
    numbers = (frame.at(axis, position).number for position in range(count))
    return absences(
        work.session,
        {number: time for time, number in enumerate(numbers) if number is not None},
    )


def _sliders(frame: PlaneFrame) -> list[int]:
    hidden = sorted(zip(frame.order[:-2], frame.hidden_shape, strict=True))
    return [axis for axis, length in hidden if length > 1]
