"""Keys and mouse on our layers: bound to the layers, never to the whole application."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Points, Shapes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["KEYS", "LayerKeys", "in_words"]

KEYS: Mapping[str, str] = {
    "accept": "Q",
    "new": "N",
    "pick": "Shift-N",
    "undo": "U",
    "redo": "Shift-U",
    "cycle": "W",
    "previous": "Shift-W",
    "propagate": "G",
    "cancel": "H",
    "split": "Shift-Q",
    "merge": "Shift-G",
    "delete": "Shift-H",
    "doubtful_before": "J",
    "doubtful_next": "K",
    "prompt_before": "Shift-J",
    "prompt_next": "Shift-K",
    "reviewed": "Alt-K",
    "repair": "Alt-G",
}
"""Keys that napari leaves free on every layer."""

POINTS_KEYS: Mapping[str, str] = {"accept": "Enter", "cancel": "Escape"}
"""On Points layers these are free too; on Shapes and Labels they belong to napari's drawings."""


def in_words(action: str) -> str:
    """Return the keys of an action as a tooltip names them."""
    letter = KEYS.get(action, "").replace("-", "+")
    more = POINTS_KEYS.get(action)
    return f"{more} or {letter}" if more else letter


class LayerKeys:
    """Binds actions to the layers that the user works on, and unbinds them again.

    Parameters
    ----------
    actions : mapping of str to callable
        What each key of ``KEYS`` does.
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
        for layer in wanted:
            self._bind(layer)

    def release(self) -> None:
        """Unbind everything."""
        for layer, key in self._bound:
            layer.bind_key(key, None)
        self._bound.clear()
        for layer in self._layers:
            if self._press in layer.mouse_drag_callbacks:
                layer.mouse_drag_callbacks.remove(self._press)
        self._layers = ()

    def _bind(self, layer: Any) -> None:
        keys = [*KEYS.items(), *(POINTS_KEYS.items() if isinstance(layer, Points) else ())]
        for action, key in keys:
            layer.bind_key(key, _Call(self._actions[action]).press, overwrite=True)
            self._bound.append((layer, key))
        if isinstance(layer, Points | Shapes):
            layer.mouse_drag_callbacks.insert(0, self._press)

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
