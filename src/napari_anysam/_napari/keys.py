"""Keys and mouse on our layers: bound to the layers, never to the whole application."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Points, Shapes

from napari_anysam._napari.user_keys import POINTS_KEYS, user_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["LayerKeys"]


class LayerKeys:
    """Binds actions to the layers that the user works on, and unbinds them again.

    Parameters
    ----------
    actions : mapping of str to callable
        What each action of ``ACTIONS`` does.
    on_press : callable
        Called with ``positive=`` when the mouse goes down on the points or the shapes layer.
    """

    def __init__(
        self, actions: Mapping[str, Callable[[], None]], on_press: Callable[..., None]
    ) -> None:
        self._actions = actions
        self._on_press = on_press
        self._bound: list[tuple[Any, str]] = []
        self._layers: tuple[Any, ...] = ()

    def follow(self, layers: Iterable[Any]) -> None:
        """Bind to these layers, and to no others."""
        wanted = tuple(layer for layer in layers if layer is not None)
        if wanted == self._layers:
            return
        self.release()
        self._layers = wanted
        self._bind_keys()
        for layer in wanted:
            if isinstance(layer, Points | Shapes):
                layer.mouse_drag_callbacks.insert(0, self._press)

    def bind_again(self) -> None:
        """Bind the keys as they are now, in place of those that were bound."""
        self._unbind_keys()
        self._bind_keys()

    def release(self) -> None:
        """Unbind everything."""
        self._unbind_keys()
        for layer in self._layers:
            if self._press in layer.mouse_drag_callbacks:
                layer.mouse_drag_callbacks.remove(self._press)
        self._layers = ()

    def _bind_keys(self) -> None:
        for layer in self._layers:
            more = POINTS_KEYS if isinstance(layer, Points) else {}
            for action, key in (*user_keys().keys.items(), *more.items()):
                layer.bind_key(key, _Call(self._actions[action]).press, overwrite=True)
                self._bound.append((layer, key))

    def _unbind_keys(self) -> None:
        for layer, key in self._bound:
            layer.bind_key(key, None)
        self._bound.clear()

    def _press(self, _layer: Any, event: Any) -> None:
        if event.type == "mouse_press":
            self._on_press(positive="Control" not in event.modifiers)


class _Call:
    """An action as napari calls a key binding: a named function of the layer."""

    def __init__(self, action: Callable[[], None]) -> None:
        self._action = action

    def press(self, _layer: Any) -> None:
        """Do it; the layer is the one that has the key."""
        self._action()
