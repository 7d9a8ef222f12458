"""The Labels layer that accepted masks go into, and what of it is ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anysam._napari.coordinates import spatial_shape
from napari_anysam.errors import ImageError
from napari_anysam.segmentation.labels import write_mask

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari.layers import Labels
    from numpy.typing import NDArray

    from napari_anysam._napari.coordinates import PlaneFrame
    from napari_anysam.segmentation.labels import LabelEdit
    from napari_anysam.segmentation.session import PromptKey

__all__ = ["LabelTarget", "Window", "can_hold", "tight_window"]


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """A mask in its bounding box.

    Parameters
    ----------
    origin : (row, column)
        Upper left pixel in the plane.
    shape : (h, w)
    bits : uint8 array
        ``numpy.packbits`` of the mask.
    """

    origin: tuple[int, int]
    shape: tuple[int, int]
    bits: NDArray[np.uint8]

    @property
    def mask(self) -> NDArray[np.bool_]:
        """The mask, bool (h, w)."""
        height, width = self.shape
        return np.unpackbits(self.bits, count=height * width).astype(bool).reshape(self.shape)

    @property
    def slices(self) -> tuple[slice, slice]:
        """The index expression of the window in its plane."""
        (row, column), (height, width) = self.origin, self.shape
        return slice(row, row + height), slice(column, column + width)

    def whole(self, plane_shape: tuple[int, int]) -> NDArray[np.bool_]:
        """Return the mask in its plane, bool (H, W)."""
        plane = np.zeros(plane_shape, dtype=bool)
        plane[self.slices] = self.mask
        return plane


def tight_window(mask: NDArray[np.bool_], origin: tuple[int, int] = (0, 0)) -> Window | None:
    """Return a mask cut to its bounding box, or None if it is empty."""
    if not mask.any():
        return None
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    mask = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    corner = (origin[0] + int(rows[0]), origin[1] + int(columns[0]))
    return Window(corner, (mask.shape[0], mask.shape[1]), np.packbits(mask))


def can_hold(layer: Any, image: Any) -> bool:
    """Tell whether a Labels layer has an image's pixels and can be written to."""
    if layer.multiscale or layer.ndim != image.ndim:
        return False
    if tuple(layer.data.shape) != spatial_shape(image):
        return False
    if isinstance(layer.data, np.ndarray):
        return bool(layer.data.flags.writeable)
    return type(layer.data).__module__.partition(".")[0] == "zarr"


class LabelTarget:
    """Writes masks of objects into one Labels layer.

    It remembers which mask it wrote for which object on which plane, so that a better mask takes
    the place of an earlier one without touching what the user painted.

    Parameters
    ----------
    layer : napari Labels
        One that ``can_hold`` the image.
    order : tuple of int
        The layer's axes as hidden ones, then row and column; see ``PlaneFrame.order``.
    """

    def __init__(self, layer: Labels, order: tuple[int, ...]) -> None:
        self.layer = layer
        self.order = order
        self.written: dict[PromptKey, Window] = {}
        self._largest = _largest(layer.data)

    @property
    def array(self) -> Any:
        """The layer's array with the plane's rows and columns as its last axes."""
        data = self.layer.data
        if self.order == tuple(range(len(self.order))):
            return data
        if not isinstance(data, np.ndarray):
            raise ImageError(
                f"{self.layer.name!r} lies in a store that is written in its own order of axes; "
                "roll the view's axes back, or choose a new labels layer."
            )
        return data.transpose(self.order)

    @property
    def largest_id(self) -> int:
        """The largest id that the layer held when it was chosen, or that was written since."""
        return self._largest

    def write(
        self,
        key: PromptKey,
        frame: PlaneFrame,
        window: Window | None,
        *,
        keep_erased: bool = False,
    ) -> list[LabelEdit]:
        """Write an object's mask onto background; its own earlier mask on the plane gives way.

        Parameters
        ----------
        key : (object id, plane number)
        frame : PlaneFrame
            The plane.
        window : Window or None
            The new mask; None if the object is not on the plane.
        keep_erased : bool
            Whether pixels of the earlier mask that somebody erased since stay erased.
        """
        object_id = key[0]
        self._check_id(object_id)
        edits = self._take_back(key, frame, window)
        if window is None:
            self.written.pop(key, None)
            return edits
        mask = window.mask
        if keep_erased:
            mask &= ~self._erased(key, frame, window)
        edits.append(write_mask(self.array, frame.index, window.origin, mask, object_id))
        self.written[key] = window
        self._largest = max(self._largest, object_id)
        return [edit for edit in edits if edit.changed_pixels]

    def restore(self, written: Iterable[tuple[PromptKey, Window | None]]) -> None:
        """Set what counts as written for some keys, after an undo or redo."""
        for key, window in written:
            if window is None:
                self.written.pop(key, None)
            else:
                self.written[key] = window

    def _take_back(
        self, key: PromptKey, frame: PlaneFrame, window: Window | None
    ) -> list[LabelEdit]:
        """Erase what the earlier mask has and the new one has not, where it still stands."""
        earlier = self.written.get(key)
        if earlier is None:
            return []
        stale = earlier.mask & (self._values(frame, earlier) == key[0])
        if window is not None:
            stale &= ~_seen_from(window, earlier)
        edit = write_mask(self.array, frame.index, earlier.origin, stale, 0, policy="over")
        return [edit] if edit.changed_pixels else []

    def _erased(self, key: PromptKey, frame: PlaneFrame, window: Window) -> NDArray[np.bool_]:
        earlier = self.written.get(key)
        if earlier is None:
            return np.zeros(window.shape, dtype=bool)
        erased: NDArray[np.bool_] = self._values(frame, window) == 0
        return _seen_from(earlier, window) & erased

    def _values(self, frame: PlaneFrame, window: Window) -> NDArray[Any]:
        return np.asarray(self.array[(*frame.index, *window.slices)])

    def _check_id(self, object_id: int) -> None:
        dtype = np.dtype(self.layer.data.dtype)
        if object_id > np.iinfo(dtype).max:
            raise ImageError(
                f"{self.layer.name!r} holds {dtype} and cannot take object {object_id}; convert it "
                "(right-click > Convert data type) or choose a new labels layer."
            )


def _seen_from(one: Window, other: Window) -> NDArray[np.bool_]:
    """Return one window's mask in the pixels of another."""
    seen = np.zeros(other.shape, dtype=bool)
    top = max(one.origin[0], other.origin[0])
    left = max(one.origin[1], other.origin[1])
    bottom = min(one.origin[0] + one.shape[0], other.origin[0] + other.shape[0])
    right = min(one.origin[1] + one.shape[1], other.origin[1] + other.shape[1])
    if bottom > top and right > left:
        target = np.s_[
            top - other.origin[0] : bottom - other.origin[0],
            left - other.origin[1] : right - other.origin[1],
        ]
        source = np.s_[
            top - one.origin[0] : bottom - one.origin[0],
            left - one.origin[1] : right - one.origin[1],
        ]
        seen[target] = one.mask[source]
    return seen


def _largest(data: Any) -> int:
    """Return the largest value, reading a large array piece by piece."""
    if isinstance(data, np.ndarray):
        return int(data.max(initial=0))
    import dask.array as da

    return int(da.from_array(data).max().compute())
