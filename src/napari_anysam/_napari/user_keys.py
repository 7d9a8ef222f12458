"""The keys of this user: the default ones, or those that were chosen in the help panel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Image, Labels, Points, Shapes
from napari.settings import get_settings
from napari.utils.key_bindings import coerce_keybinding
from psygnal import Signal
from qtpy.QtGui import QAction, QKeySequence
from qtpy.QtWidgets import QApplication, QMenu

from napari_anysam._napari.actions import ACTIONS, action_named
from napari_anysam._napari.preferences import change_preferences, read_preferences
from napari_anysam._napari.reporting import report
from napari_anysam.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["POINTS_KEYS", "UserKeys", "in_words", "keys_of_napari", "user_keys", "with_key"]

POINTS_KEYS: Mapping[str, str] = {"accept": "Enter", "cancel": "Escape"}
"""On Points layers these are free too; on Shapes and Labels they belong to napari's drawings."""

_MODIFIERS = frozenset({"Ctrl", "Shift", "Alt", "Meta"})
_DEFAULTS = {action.name: action.key for action in ACTIONS}


class UserKeys:
    """Which key does what; the same in all windows.

    Attributes
    ----------
    changed : psygnal signal ()
        Some keys are others now.
    """

    changed = Signal()

    def __init__(self) -> None:
        self._keys = dict(_DEFAULTS)

    @property
    def keys(self) -> Mapping[str, str]:
        """Keys by the names of their actions, in the order of ``ACTIONS``."""
        return self._keys

    def read(self) -> None:
        """Take the keys that the user has chosen before; a word about those that do not work."""
        try:
            chosen = read_preferences().keys
        except SettingsError as error:
            report(error)
            chosen = {}
        keys = dict(_DEFAULTS)
        wanted = {name: key for name, key in chosen.items() if name in keys}
        keys.update(wanted)
        for name, key in wanted.items():
            try:
                keys[name] = _checked(name, key, keys)
            except SettingsError as error:
                keys[name] = _DEFAULTS[name]
                report(error)
        self._use(keys)

    def change(self, name: str, key: str) -> None:
        """Give an action another key, now and in future.

        Parameters
        ----------
        name : str
            Of the action.
        key : str
            Such as "Q" or "Ctrl+Shift+K".

        Raises
        ------
        SettingsError
            If it is no key, another action or napari has it, or it cannot be saved.
        """
        keys = {**self._keys, name: _checked(name, key, self._keys)}
        change_preferences(keys=_chosen(keys))
        self._use(keys)

    def restore(self) -> None:
        """Give every action its default key again.

        Raises
        ------
        SettingsError
            If that cannot be saved.
        """
        change_preferences(keys={})
        self._use(dict(_DEFAULTS))

    def _use(self, keys: dict[str, str]) -> None:
        if keys != self._keys:
            self._keys = keys
            self.changed.emit()


_USER_KEYS = UserKeys()


def user_keys() -> UserKeys:
    """Return the keys of this process."""
    return _USER_KEYS


def in_words(name: str) -> str:
    """Return the keys of an action as a tooltip names them."""
    key = _USER_KEYS.keys[name]
    more = POINTS_KEYS.get(name)
    return f"{more} or {key}" if more else key


def with_key(words: str, name: str) -> str:
    """Return a tooltip with the keys of the action that it is about."""
    return f"{words} ({in_words(name)})"


def keys_of_napari() -> dict[str, str]:
    """Return what napari uses on images, prompts and labels: what for, by key.

    Its shortcuts as the user has set them, the keys of its layers, and those of the menus of open
    windows.
    """
    used: dict[str, str] = {}
    for command, keys in get_settings().shortcuts.shortcuts.items():
        used.update((str(key), str(command)) for key in keys)
    for kind in (Image, Points, Shapes, Labels):
        for key, function in kind.class_keymap.items():
            used[str(key)] = getattr(function, "__name__", kind.__name__)
    application = QApplication.instance()
    for window in application.topLevelWidgets() if application is not None else ():
        actions = [action for menu in window.findChildren(QMenu) for action in menu.actions()]
        for action in (*actions, *window.findChildren(QAction)):
            for shortcut in action.shortcuts():
                text = shortcut.toString(QKeySequence.SequenceFormat.PortableText)
                used.setdefault(text, action.text().replace("&", ""))
    return used


def _checked(name: str, key: str, keys: Mapping[str, str]) -> str:
    """Return a key as napari writes it, if an action can have it beside these other keys."""
    title = action_named(name).title
    try:
        written = str(coerce_keybinding(key))
    except (ValueError, KeyError, TypeError) as error:
        raise SettingsError(
            f"{key!r} is no key; {title} keeps its own. Write it like Q or Ctrl+Shift+K."
        ) from error
    if " " in written or written.rpartition("+")[2] in {"", *_MODIFIERS}:
        raise SettingsError(
            f"{key!r} is not one key with its modifiers; press another one for {title}."
        )
    for other, taken in keys.items():
        if other != name and taken == written:
            raise SettingsError(
                f"{written} is the key of {action_named(other).title}; choose another one for "
                f"{title}, or change that one first."
            )
    owner = keys_of_napari().get(written)
    if owner is not None or written in POINTS_KEYS.values():
        raise SettingsError(
            f"{written} belongs to napari ({owner or 'drawings'}); choose another key for {title}."
        )
    return written


def _chosen(keys: Mapping[str, str]) -> dict[str, str]:
    return {name: key for name, key in keys.items() if key != _DEFAULTS[name]}
