"""What the dock shows again when it is opened the next time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer

from napari_anysam._napari.preferences import Preferences, change_preferences, read_preferences
from napari_anysam._napari.reporting import report, reporting
from napari_anysam.errors import SettingsError

if TYPE_CHECKING:
    from napari_anysam._napari.many_section import ManySection
    from napari_anysam._napari.mask_section import MaskSection

__all__ = ["Remembered"]

_QUIET_MS = 500
"""A slider that is dragged writes once, when it has come to rest."""


class Remembered(QObject):  # type: ignore[misc]  # Qt has no types here
    """Restores and saves what is set in two sections of the dock.

    Parameters
    ----------
    mask : MaskSection
    many : ManySection
    """

    def __init__(self, mask: MaskSection, many: ManySection, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._mask, self._many = mask, many
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_QUIET_MS)
        self._timer.timeout.connect(self._save)

    def restore(self) -> None:
        """Set the sections as they were, and remember changes from now on."""
        try:
            before = read_preferences()
        except SettingsError as error:
            report(error)
            before = Preferences()
        self._mask.show_settings(before.mask, before.policy, accept_on_next=before.accept_on_next)
        self._many.each_click.setChecked(before.each_click)
        self._many.each_box.setChecked(before.each_box)
        self._mask.hover.setChecked(before.hover)
        mask, many = self._mask, self._many
        for changed in (mask.changed, mask.policy_changed, mask.accept_on_next.toggled):
            changed.connect(self._save_soon)
        for box in (many.each_click, many.each_box, mask.hover):
            box.toggled.connect(self._save_soon)

    def close_quietly(self) -> None:
        """Save what was not saved yet."""
        if self._timer.isActive():
            self._timer.stop()
            self._save()

    def _save_soon(self, _value: object) -> None:
        self._timer.start()

    def _save(self) -> None:
        with reporting():
            change_preferences(
                mask=self._mask.options,
                policy=self._mask.chosen_policy,
                accept_on_next=self._mask.accept_on_next.isChecked(),
                each_click=self._many.each_click.isChecked(),
                each_box=self._many.each_box.isChecked(),
                hover=self._mask.hover.isChecked(),
            )
