"""The Labels layer that accepted masks go into, and what of it is ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_anysam._napari.coordinates import spatial_shape
from napari_anysam._napari.label_store import store_of
from napari_anysam.errors import ImageError
from napari_anysam.segmentation.labels import write_mask
from napari_anysam.segmentation.windows import Window, seen_from

if TYPE_CHECKING:
    from napari.layers import Labels
    from numpy.typing import NDArray

    from napari_anysam._napari.coordinates import PlaneFrame
    from napari_anysam.segmentation.labels import LabelEdit

__all__ = ["LabelTarget", "WritePolicy", "can_hold"]


WritePolicy = Literal["protect", "over", "background"]
"""What a mask may take: background and the object's own earlier mask ("protect"), other objects
too ("over"), or background alone, so that an object only grows ("background")."""


def can_hold(layer: Any, image: Any) -> bool:
    """Tell whether a Labels layer has an image's pixels and can be written to."""
    store = store_of(layer)
    if store is not None:
        return store.shape == spatial_shape(image)
    if layer.multiscale or layer.ndim != image.ndim:
        return False
    if tuple(layer.data.shape) != spatial_shape(image):
        return False
    if isinstance(layer.data, np.ndarray):
        return bool(layer.data.flags.writeable)
    return type(layer.data).__module__.partition(".")[0] == "zarr"


class LabelTarget:
    """Writes masks of objects into one Labels layer.

    A better mask takes the place of the object's earlier one without touching what the user
    painted.

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
        self._store = store_of(layer)
        self._largest = _largest(layer.data) if self._store is None else self._store.largest_id

    @property
    def array(self) -> Any:
        """The layer's array with the plane's rows and columns as its last axes."""
        data = self.layer.data if self._store is None else self._store
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
        painted = 0 if self._store is None else self._store.largest_id
        return max(self._largest, painted)

    def write(
        self,
        object_id: int,
        frame: PlaneFrame,
        window: Window | None,
        earlier: Window | None,
        *,
        policy: WritePolicy = "protect",
        keep_erased: bool = False,
    ) -> list[LabelEdit]:
        """Write an object's mask; its own earlier mask on the plane gives way.

        Parameters
        ----------
        object_id : int
        frame : PlaneFrame
            The plane.
        window : Window or None
            The new mask; None if the object is not on the plane.
        earlier : Window or None
            The mask that was written for the object on this plane before.
        policy : {"protect", "over", "background"}
            What the mask may take; see ``WritePolicy``.
        keep_erased : bool
            Whether pixels of the earlier mask that somebody erased since stay erased.
        """
        self._check_id(object_id)
        edits: list[LabelEdit] = []
        if earlier is not None and policy != "background":
            edits.extend(
                self._take_back(object_id, frame, window, part) for part in earlier.strips()
            )
        for part in () if window is None else window.strips():
            mask = part.mask
            if keep_erased and earlier is not None:
                mask &= ~(seen_from(earlier, part) & (self._values(frame, part) == 0))
            written = write_mask(
                self.array,
                frame.index,
                part.origin,
                mask,
                object_id,
                policy="over" if policy == "over" else "background",
            )
            edits.append(written)
            self.note(object_id)
        return [edit for edit in edits if edit.changed_pixels]

    def note(self, object_id: int) -> None:
        """Take note of an id that was written past this object."""
        self._largest = max(self._largest, object_id)

    def _take_back(
        self, object_id: int, frame: PlaneFrame, window: Window | None, earlier: Window
    ) -> LabelEdit:
        """Erase what the earlier mask has and the new one has not, where it still stands."""
        stale = earlier.mask & (self._values(frame, earlier) == object_id)
        if window is not None:
            stale &= ~seen_from(window, earlier)
        return write_mask(self.array, frame.index, earlier.origin, stale, 0, policy="over")

    def _values(self, frame: PlaneFrame, window: Window) -> NDArray[Any]:
        return np.asarray(self.array[(*frame.index, *window.slices)])

    def _check_id(self, object_id: int) -> None:
        dtype = np.dtype(self.array.dtype)
        if object_id > np.iinfo(dtype).max:
            raise ImageError(
                f"{self.layer.name!r} holds {dtype} and cannot take object {object_id}; convert it "
                "(right-click > Convert data type) or choose a new labels layer."
            )


def _largest(data: Any) -> int:
    """Return the largest value, reading a large array piece by piece."""
    if isinstance(data, np.ndarray):
        return int(data.max(initial=0))
    import dask.array as da

    return int(da.from_array(data).max().compute())
