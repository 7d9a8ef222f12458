"""How the chosen image looks to the user: which layers are drawn over each other, and how."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakKeyDictionary

import numpy as np
from napari.layers import Image
from psygnal import Signal

from napari_anysam._napari.connections import Connections
from napari_anysam._napari.coordinates import layer_map, level0, spatial_shape
from napari_anysam.images.blending import Blending, Paint
from napari_anysam.images.conditioning import Conditioning

if TYPE_CHECKING:
    from napari_anysam._napari.coordinates import PlaneFrame
    from napari_anysam.images.following import Follow

__all__ = ["Appearance", "Look", "conditioning_of", "lies_on", "record_look", "same_grid"]

_CONDITIONING = "anysam_conditioning"
_LOOKS = ("contrast_limits", "gamma", "colormap", "opacity", "blending", "visible")
_PLACES = ("scale", "translate", "rotate", "shear", "affine", "units")
_MOST_STOPS = 16
_SAME_PIXEL = 1e-3


@dataclass(frozen=True, slots=True)
class Look:
    """What is encoded, as one value.

    Parameters
    ----------
    layers : tuple of napari Image
        From the bottom up; more than one are channels of one picture.
    conditioning : Conditioning
        For these layers, in their order.
    follow_axis : int or None
        Data axis that the conditioning follows.
    tokens : tuple
        Change when a layer's pixels change.
    """

    layers: tuple[Any, ...]
    conditioning: Conditioning
    follow_axis: int | None = None
    tokens: tuple[object, ...] = ()

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Names of the layers that are blended; empty for one layer alone."""
        several = len(self.layers) > 1
        return tuple(layer.name for layer in self.layers) if several else ()

    def at(self, frame: PlaneFrame) -> Conditioning:
        """Return the conditioning of one plane."""
        hidden = dict(zip(frame.order[:-2], frame.index, strict=True))
        axis = self.follow_axis
        return self.conditioning.at(None if axis is None else hidden.get(axis))

    def along(self, axis: int, frame: PlaneFrame) -> Conditioning:
        """Return the conditioning of the planes along a data axis, of which one is the frame."""
        return self.conditioning if axis == self.follow_axis else self.at(frame)


class Appearance:
    """What of the viewer decides how an image looks.

    Layers of the same grid are channels of one picture, drawn as napari draws them, unless one
    hides the other. RGB layers, and images that are not shown, are taken alone.

    Parameters
    ----------
    viewer : napari viewer
    image : napari Image
        The chosen one.

    Attributes
    ----------
    changed : psygnal signal ()
        While it is watched: the image looks different now.
    """

    changed = Signal()

    def __init__(self, viewer: Any, image: Any) -> None:
        self._viewer = viewer
        self._image = image
        self._blended = True
        self._follows: tuple[Follow, ...] = ()
        self._follow_axis: int | None = None
        self._followed: tuple[object, ...] = ()
        self._tokens: WeakKeyDictionary[Any, object] = WeakKeyDictionary()
        self._of_viewer, self._of_layers = Connections(), Connections()
        self._last: Look | None = None

    @property
    def blended(self) -> bool:
        """Whether other layers of the same grid are channels of the picture."""
        return self._blended

    @blended.setter
    def blended(self, value: bool) -> None:
        self._blended = value
        self._compare()

    def follow(self, axis: int | None, follows: tuple[Follow, ...] = ()) -> None:
        """Let the contrast follow brightness along a data axis, or fix it.

        It ends when another layer becomes a channel or pixels change.

        Parameters
        ----------
        axis : int or None
        follows : tuple of Follow
            One per channel.
        """
        self._follow_axis, self._follows = axis, follows
        self._followed = self._tokens_of(self._layers())
        self._compare()

    def alone(self) -> Look:
        """Return how the chosen image looks without other layers."""
        return Look((self._image,), conditioning_of(self._image))

    def look(self) -> Look:
        """Return what would be encoded now."""
        layers = self._layers()
        conditioning = conditioning_of(layers[0]) if len(layers) == 1 else _blended(layers)
        axis = None
        tokens = self._tokens_of(layers)
        if self._follows and tokens == self._followed:
            conditioning, axis = replace(conditioning, follows=self._follows), self._follow_axis
        return Look(layers, conditioning, axis, tokens)

    def watch(self) -> None:
        """Begin to tell of changes."""
        layers = self._viewer.layers.events
        for emitter in (layers.inserted, layers.removed, layers.reordered):
            self._of_viewer.connect(emitter, self._on_layers)
        self._on_layers()
        self._last = self.look()

    def leave(self) -> None:
        """Stop telling of changes."""
        self._of_viewer.disconnect()
        self._of_layers.disconnect()
        self._last = None

    def _layers(self) -> tuple[Any, ...]:
        """Return the layers that make the picture, from the bottom up."""
        image = self._image
        if not self._blended or image.rgb or not image.visible:
            return (image,)
        drawn = [
            layer
            for layer in self._viewer.layers
            if layer is image or (_is_channel(layer) and same_grid(layer, image))
        ]
        if image not in drawn:  # for a moment, while layers come and go
            return (image,)
        where = drawn.index(image)
        above = [layer for layer in drawn[where + 1 :] if not _hides(layer)]
        below = drawn[: where + 1]
        hiding = [number for number, layer in enumerate(below) if _hides(layer)]
        return (*below[hiding[-1] if hiding else 0 :], *above)

    def token_of(self, layer: Any) -> object:
        """Return what stands for a layer's pixels, another object whenever they change."""
        return self._tokens_of((layer,))[0]

    def _tokens_of(self, layers: tuple[Any, ...]) -> tuple[object, ...]:
        """Return what stands for the layers' pixels, without keeping the layers."""
        return tuple(self._tokens.setdefault(layer, object()) for layer in layers)

    def _on_layers(self, _event: Any = None) -> None:
        self._of_layers.disconnect()
        for layer in self._viewer.layers:
            if isinstance(layer, Image):
                for name in (*_LOOKS, *_PLACES):
                    self._of_layers.connect(getattr(layer.events, name), self._compare)
                self._of_layers.connect(layer.events.data, self._on_pixels)
        self._compare()

    def _on_pixels(self, event: Any) -> None:
        self._tokens.pop(event.source, None)
        self._compare()

    def _compare(self, _event: Any = None) -> None:
        if self._last is not None and self._image in self._viewer.layers:
            before, self._last = self._last, self.look()
            if self._last != before:
                self.changed.emit()


def conditioning_of(layer: Any) -> Conditioning:
    """Return the contrast limits and gamma that the user sees; RGB is taken as it is.

    The colours of a single layer carry no information for a network: it is taken as grey.
    """
    if not layer.rgb:
        return Conditioning((_limits(layer),), float(layer.gamma))
    dtype = np.dtype(level0(layer).dtype)
    # As napari shows RGB: integers over their whole range, floats from 0 to 1.
    high = float(np.iinfo(dtype).max) if dtype.kind in "ui" else 1.0
    return Conditioning(((0.0, high),))


def same_grid(layer: Any, other: Any) -> bool:
    """Tell whether the pixels of two layers lie on each other."""
    if layer.ndim != other.ndim or spatial_shape(layer) != spatial_shape(other):
        return False
    return lies_on(layer, other)


def lies_on(layer: Any, other: Any) -> bool:
    """Tell whether equal data coordinates of two layers are the same place."""
    far = np.asarray(spatial_shape(other), dtype=float)
    corners = np.stack([np.zeros_like(far), far, *np.diag(far)])
    moved = layer_map(layer, other)(corners)
    return bool(np.allclose(moved, corners, rtol=0, atol=_SAME_PIXEL))


def record_look(labels: Any, look: Look) -> None:
    """Let a Labels layer carry the conditioning that its masks were made with."""
    labels.metadata[_CONDITIONING] = {
        **look.conditioning.to_dict(),
        "layers": [layer.name for layer in look.layers],
        "follow_axis": look.follow_axis,
    }


def _is_channel(layer: Any) -> bool:
    return isinstance(layer, Image) and layer.visible and not layer.rgb


def _hides(layer: Any) -> bool:
    """Tell whether nothing of the layers below is seen."""
    blending = str(layer.blending)
    return blending == "opaque" or (blending.startswith("translucent") and layer.opacity == 1)


def _blended(layers: tuple[Any, ...]) -> Conditioning:
    return Conditioning(
        tuple(_limits(layer) for layer in layers),
        tuple(float(layer.gamma) for layer in layers),
        tuple(_paint(layer) for layer in layers),
    )


def _limits(layer: Any) -> tuple[float, float]:
    low, high = (float(value) for value in layer.contrast_limits)
    return low, high


def _paint(layer: Any) -> Paint:
    blending = "translucent" if "translucent" in str(layer.blending) else str(layer.blending)
    return Paint(_colours(layer.colormap), float(layer.opacity), cast("Blending", blending))


def _colours(colormap: Any) -> tuple[str, ...]:
    """Return evenly spaced colours that a linear mix brings back, 256 where fewer do not."""
    stops = np.asarray(colormap.controls, dtype=float)
    even = len(stops) <= _MOST_STOPS and np.allclose(stops, np.linspace(0, 1, len(stops)))
    where = stops if even and str(colormap.interpolation) == "linear" else np.linspace(0, 1, 256)
    colours = np.clip(np.round(np.asarray(colormap.map(where))[:, :3] * 255), 0, 255).astype(int)
    return tuple(f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in colours)
