"""The running mask as a layer of its own: light fill, clear outline, never a second volume."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap
from scipy.ndimage import binary_erosion

from napari_anysam._napari.prompt_layers import copy_transform

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_anysam._napari.coordinates import PlaneFrame
    from napari_anysam.segmentation.windows import Window

__all__ = ["PREVIEW_NAME", "Preview", "below_prompts", "is_preview"]

PREVIEW_NAME = "AnySAM preview"
_FILL, _OUTLINE = 1, 2
_CLEAR = (0.0, 0.0, 0.0, 0.0)
_COLOURS = {
    None: _CLEAR,
    0: _CLEAR,
    _FILL: (1.0, 0.85, 0.1, 0.28),
    _OUTLINE: (1.0, 0.85, 0.1, 1.0),
}
_OUTLINE_PER_PIXEL = 1 / 600
_OUTLINE_REACH = 40
"""The outline is as wide as in a view of so many times the mask, or of the plane."""

_LARGEST = 2048
"""Rows and columns of the layer; of larger masks every second, third ... pixel is shown."""


class Preview:
    """One Labels layer, as large as the mask's window, that lies on the mask's plane.

    Parameters
    ----------
    viewer : napari viewer
        The layer is added when there is first something to show.
    name : str
        Of the layer.
    opacity : float
        Of the layer, 0 to 1.
    """

    def __init__(self, viewer: Any, name: str = PREVIEW_NAME, opacity: float = 1.0) -> None:
        self._viewer = viewer
        self._name = name
        self.layer: Labels | None = None
        self._opacity = opacity

    def show(self, image: Any, frame: PlaneFrame, window: Window | None) -> None:
        """Show a mask on one plane of an image layer; None hides the one before."""
        if window is None:
            self.hide()
            return
        # In a huge plane the view is far smaller than the plane.
        seen = min(max(frame.plane_shape), _OUTLINE_REACH * max(window.shape))
        step = -(-max(window.shape) // _LARGEST)
        width = max(1, round(seen * _OUTLINE_PER_PIXEL / step))
        data = _oriented(_drawn(window.thinned(step), width), frame)
        if self.layer is None or self.layer.ndim != data.ndim:
            self.remove()
            self._add(data, image, frame, window.origin, step)
        else:
            self.layer.data = data
            self._lay(self.layer, image, frame, window.origin, step)
            if self.is_hidden:
                self.layer.opacity = self._opacity
            if not self.layer.visible:
                self.layer.visible = True

    @property
    def is_hidden(self) -> bool:
        """Whether there is nothing to be seen."""
        return self.layer is None or not self.layer.visible or self.layer.opacity == 0

    def hide(self) -> None:
        """Show nothing; the layer stays for the next mask.

        It is made clear, because napari takes 20 ms to draw a layer as invisible or visible again.
        """
        if self.layer is not None and not self.is_hidden:
            self._opacity = self.layer.opacity
            self.layer.opacity = 0.0

    def rest(self) -> None:
        """Let napari slice a hidden layer no more, now that another plane is looked at."""
        if self.layer is not None and self.is_hidden and self.layer.visible:
            self.layer.visible = False

    def remove(self) -> None:
        """Take the layer away."""
        layer, self.layer = self.layer, None
        if layer is not None and layer in self._viewer.layers:
            self._viewer.layers.remove(layer)

    def forget(self, layer: Any) -> None:
        """Note that somebody else removed a layer, which may be this one."""
        if layer is self.layer:
            self.layer = None

    def _lay(
        self, layer: Labels, image: Any, frame: PlaneFrame, origin: tuple[int, int], step: int
    ) -> None:
        """Lay the layer, every step-th pixel of the image, where its window begins."""
        middle = (step - 1) / 2
        corner = frame.coordinates((origin[0] + middle, origin[1] + middle))[0]
        copy_transform(image, layer, corner)
        if step > 1:
            steps = [step if axis in frame.order[-2:] else 1 for axis in range(layer.ndim)]
            layer.scale = np.multiply(layer.scale, steps)

    def _add(
        self,
        data: NDArray[np.uint8],
        image: Any,
        frame: PlaneFrame,
        origin: tuple[int, int],
        step: int,
    ) -> None:
        layer = Labels(
            data,
            name=self._name,
            opacity=self._opacity,
            colormap=DirectLabelColormap(color_dict=_COLOURS),
            metadata={"anysam": {"role": "preview", "image": str(image.unique_id)}},
        )
        self._lay(layer, image, frame, origin, step)
        layer.editable = False
        self.layer = layer
        layers = self._viewer.layers
        active = layers.selection.active
        layers.insert(below_prompts(layers), layer)
        layers.selection.active = active


def is_preview(layer: Any) -> bool:
    """Tell whether a layer shows a mask that nobody accepted."""
    return bool(layer.metadata.get("anysam", {}).get("role") == "preview")


def _drawn(mask: NDArray[np.bool_], width: int) -> NDArray[np.uint8]:
    inner = binary_erosion(mask, iterations=width)
    drawn: NDArray[np.uint8] = np.where(mask, np.where(inner, _FILL, _OUTLINE), 0).astype(np.uint8)
    return drawn


def _oriented(drawn: NDArray[np.uint8], frame: PlaneFrame) -> NDArray[np.uint8]:
    """Give a plane the image's axes; hidden ones have length 1."""
    full = drawn.reshape((1,) * len(frame.index) + drawn.shape)
    return full.transpose(np.argsort(frame.order))


def below_prompts(layers: Any) -> int:
    """Return the position below the prompt layers, so that points stay on top."""
    prompts = [
        position
        for position, layer in enumerate(layers)
        if layer.metadata.get("anysam", {}).get("role") in ("points", "boxes")
    ]
    return min(prompts, default=len(layers))
