"""Labels that fit no memory: a pyramid on disk, the layer that shows it, the window to paint in.

napari shows labels of any size as a pyramid, but paints only into one array. So the pyramid has a
Labels layer that cannot be edited, and a brush works in a second one: a copy of a window of the
first level, whose changes are written back as they are made.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels

from napari_anysam._napari.coordinates import spatial_shape
from napari_anysam._napari.prompt_layers import copy_transform, find_layer, metadata_of
from napari_anysam._napari.visible import visible_box
from napari_anysam.errors import ImageError
from napari_anysam.images.label_pyramid import LabelPyramid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_anysam._napari.coordinates import PlaneFrame

__all__ = ["BrushWindow", "needs_store", "store_layer", "store_of", "suggested_store"]

LARGEST_PLANE = 2**28
"""Pixels of the largest plane whose labels are kept in memory (1 GiB of ids)."""

BRUSH_SIDE = 2048
"""Rows and columns of the largest window to paint in."""

_ID_BYTES = 4
_STORE, _BRUSH = "anysam_store", "anysam_brush"


def needs_store(image: Any) -> bool:
    """Tell whether an image's labels are too large to be held in memory."""
    import psutil

    shape = spatial_shape(image)
    if math.prod(shape[-2:]) > LARGEST_PLANE:
        return True
    return bool(_ID_BYTES * math.prod(shape) > psutil.virtual_memory().total)


def suggested_store(image: Any) -> Path:
    """Return where an image's labels would be looked for: a folder beside it."""
    source = getattr(image.source, "path", None)
    folder = Path.home() if source is None else Path(source).parent
    name = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in image.name)
    return folder / f"{name}-labels.zarr"


def store_of(layer: Any) -> LabelPyramid | None:
    """Return the pyramid that a layer shows, or None."""
    found = layer.metadata.get(_STORE)
    return found if isinstance(found, LabelPyramid) else None


def store_layer(image: Any, path: Path) -> Labels:
    """Make a layer of the labels in a folder; a new folder gets empty ones of the image's shape.

    Raises
    ------
    ImageError
        If the folder holds something else, or labels of another image.
    LabelFileError
        If the disk refuses.
    """
    shape = spatial_shape(image)
    if path.exists():
        pyramid = LabelPyramid(path)
        if pyramid.shape != shape:
            raise ImageError(
                f"{path.name} holds labels of {' x '.join(map(str, pyramid.shape))} pixels and "
                f"{image.name!r} has {' x '.join(map(str, shape))}; choose another folder."
            )
    else:
        pyramid = LabelPyramid.create(path, shape, scale=[abs(size) for size in image.scale])
    several = len(pyramid.levels) > 1  # napari takes a list of one level for its rows
    layer = Labels(
        list(pyramid.levels) if several else pyramid.levels[0],
        multiscale=several,
        name=f"{image.name} labels",
        metadata={**metadata_of("labels", image), _STORE: pyramid},
    )
    copy_transform(image, layer)
    layer.editable = False  # strokes go through a BrushWindow, whatever napari could do itself
    return layer


class BrushWindow:
    """A Labels layer on a window of a pyramid's first level; what is painted is written at once.

    Parameters
    ----------
    viewer : napari viewer
    image : napari Image
    shown : napari Labels
        From ``store_layer``.
    """

    def __init__(self, viewer: Any, image: Any, shown: Labels) -> None:
        self._viewer, self._image, self._shown = viewer, image, shown
        self.layer: Labels | None = None
        self._window: tuple[int | slice, ...] = ()
        self._known: NDArray[Any] = np.zeros(0, np.int32)
        self._version = -1

    @property
    def _pyramid(self) -> LabelPyramid:
        pyramid = store_of(self._shown)
        if pyramid is None:
            raise ImageError(f"{self._shown.name!r} shows no label store; choose one again.")
        return pyramid

    def open(self, frame: PlaneFrame) -> Labels:
        """Put the window where the user looks; the layer is made, or moved there.

        Raises
        ------
        ImageError
            If more is visible than a window may have.
        """
        if frame.order != tuple(range(len(frame.order))):
            raise ImageError(
                "The label store is painted in its own order of axes; roll the view's axes back."
            )
        box = visible_box(self._viewer, self._image, frame) or (0, 0, *frame.plane_shape)
        top, left, bottom, right = (round(edge) for edge in box)
        if max(bottom - top, right - left) > BRUSH_SIDE:
            raise ImageError(
                f"The view is {bottom - top} x {right - left} pixels and a brush window at most "
                f"{BRUSH_SIDE} x {BRUSH_SIDE}; zoom in to where you want to paint."
            )
        earlier = find_layer(self._viewer, self._image, "brush")
        if earlier is not None:
            earlier.metadata[_BRUSH].close()
        self._window = (*frame.index, slice(top, bottom), slice(left, right))
        self._known = self._pyramid[self._window]
        self._version = self._pyramid.version
        full = self._known.reshape((1,) * len(frame.index) + self._known.shape).copy()
        layer = Labels(
            full,
            name=f"{self._shown.name} (brush)",
            # napari's events hold no listener; the window lives as long as its layer.
            metadata={**metadata_of("brush", self._image), _BRUSH: self},
        )
        copy_transform(self._image, layer, frame.coordinates((top, left))[0])
        self.layer = layer
        self._viewer.layers.insert(self._viewer.layers.index(self._shown) + 1, layer)
        self._viewer.layers.selection.active = layer
        layer.mode = "paint"
        layer.events.paint.connect(self._write_back)
        layer.events.set_data.connect(self._write_back)  # napari's own undo tells no more
        self._shown.events.set_data.connect(self._reload)
        return layer

    def close(self) -> None:
        """Take the layer away; all that was painted is in the store."""
        self._write_back()
        layer, self.layer = self.layer, None
        if layer is None:
            return
        layer.events.paint.disconnect(self._write_back)
        layer.events.set_data.disconnect(self._write_back)
        self._shown.events.set_data.disconnect(self._reload)
        if layer in self._viewer.layers:
            self._viewer.layers.remove(layer)

    def _write_back(self, _event: Any = None) -> None:
        """Write what is different from the store as it was last known."""
        if self.layer is None:
            return
        values = np.asarray(self.layer.data).reshape(self._known.shape)
        rows, columns = (np.flatnonzero((values != self._known).any(axis=axis)) for axis in (1, 0))
        if not rows.size:
            return
        *leading, of_rows, of_columns = self._window
        part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        window = (
            *leading,
            _moved(part[0], of_rows.start),  # type: ignore[union-attr]  # the last two are slices
            _moved(part[1], of_columns.start),  # type: ignore[union-attr]
        )
        self._known[part] = values[part]
        pyramid = self._pyramid
        pyramid[window] = values[part]
        self._version = pyramid.version
        self._shown.refresh()

    def _reload(self, _event: Any = None) -> None:
        """Show what others wrote into the store."""
        if self.layer is None or self._version == self._pyramid.version:
            return
        self._version = self._pyramid.version
        self._known = self._pyramid[self._window]
        self.layer.data[...] = self._known.reshape(self.layer.data.shape)
        self.layer.refresh()


def _moved(part: slice, start: int) -> slice:
    return slice(int(part.start) + start, int(part.stop) + start)
