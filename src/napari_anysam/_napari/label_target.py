"""The Labels layer that accepted masks go into, and what of it is ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anysam._napari.coordinates import spatial_shape
from napari_anysam._napari.label_store import store_of
from napari_anysam.errors import ImageError
from napari_anysam.segmentation.labels import WritePolicy, write_object

if TYPE_CHECKING:
    from collections.abc import Collection

    from napari.layers import Labels

    from napari_anysam._napari.coordinates import PlaneFrame
    from napari_anysam.segmentation.labels import LabelEdit
    from napari_anysam.segmentation.windows import Window

__all__ = ["LabelTarget", "WritePolicy", "can_hold"]


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
    def stored(self) -> Any:
        """The layer's array in its own order of axes, or the label store that it shows."""
        return self.layer.data if self._store is None else self._store

    @property
    def array(self) -> Any:
        """The layer's array with the plane's rows and columns as its last axes."""
        data = self.stored
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

    @property
    def taken_ids(self) -> Collection[int]:
        """Ids that it may hold; those of labels on disk are not read, so all up to the largest."""
        data = self.layer.data
        if isinstance(data, np.ndarray):
            return set(np.unique(data).tolist())
        return range(1, self.largest_id + 1)

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
        edits = write_object(
            self.array,
            frame.index,
            object_id,
            window,
            earlier,
            policy=policy,
            keep_erased=keep_erased,
        )
        if window is not None:
            self.note(object_id)
        return edits

    def note(self, object_id: int) -> None:
        """Take note of an id that was written past this object."""
        self._largest = max(self._largest, object_id)

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
