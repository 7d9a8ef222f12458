"""The part of the dock that says where the session is saved, and opens one."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_info
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QHBoxLayout,
    QPushButton,
    QVBoxLayout,
    QWidget,
)
from superqt import QElidingLabel

from napari_anysam._napari.background import Background
from napari_anysam._napari.delivery import QtDelivery
from napari_anysam._napari.reporting import report, reporting
from napari_anysam._napari.session_keeper import SessionKeeper
from napari_anysam._napari.user_keys import with_key
from napari_anysam.segmentation.session_files import load_session

if TYPE_CHECKING:
    from napari_anysam._napari.controller import SegmentController
    from napari_anysam.segmentation.session_files import LoadedSession

__all__ = ["SessionSection"]


class SessionSection(QWidget):  # type: ignore[misc]  # Qt has no types here
    """Save every step or not, where to, and go on with an earlier session.

    Parameters
    ----------
    viewer : napari viewer
    control : SegmentController
    """

    def __init__(
        self, viewer: Any, control: SegmentController, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._delivery = QtDelivery(self)
        self._background = Background(self)
        self._told: Path | None = None
        self.keeper = SessionKeeper(viewer, control, self._delivery)
        self.save = QCheckBox("Save every step")
        self.save.setChecked(True)
        self.folder_button = QPushButton("Folder...")
        self.open_button = QPushButton("Open session...")
        self.earlier_button = QPushButton()
        self.earlier_button.setVisible(False)
        self.words = QElidingLabel()
        self.show_keys()
        self._lay_out()
        self.save.toggled.connect(self._enable)
        self.folder_button.clicked.connect(self._ask_for_folder)
        self.open_button.clicked.connect(self._ask_for_session)
        self.earlier_button.clicked.connect(self._open_earlier)
        self.keeper.changed.connect(self._show)

    def open(self, folder: Path) -> None:
        """Read a session off the window's thread, and go on with it."""
        self._background.ask(
            partial(load_session, folder), partial(self._go_on, folder), self._refuse
        )

    def show_keys(self) -> None:
        """Say what the buttons do, with their keys."""
        words = (
            "Keep prompts, objects and labels in a folder NAME.anysam beside the image's file, so "
            "that the work can be opened again and replayed."
        )
        self.save.setToolTip(with_key(words, "save"))
        words = "Choose the folder that sessions are saved in."
        self.folder_button.setToolTip(with_key(words, "folder"))
        words = "Go on with an earlier session: choose its folder NAME.anysam."
        self.open_button.setToolTip(with_key(words, "open"))

    def close_quietly(self) -> None:
        """Save what was not saved yet; the controller is still open."""
        self._background.forget()
        self.keeper.changed.disconnect(self._show)
        self.keeper.close()
        self._delivery.close()

    def _lay_out(self) -> None:
        buttons = QHBoxLayout()
        buttons.addWidget(self.folder_button)
        buttons.addWidget(self.open_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.save)  # beside the buttons it is too wide for a narrow dock
        layout.addLayout(buttons)
        layout.addWidget(self.earlier_button)
        layout.addWidget(self.words)

    def _enable(self, enabled: bool) -> None:
        self.keeper.enabled = enabled
        self.keeper.note()

    def _ask_for_folder(self) -> None:
        chosen = QFileDialog.getExistingDirectory(
            self, "Save sessions in", str(self.keeper.folder or "")
        )
        if chosen:
            self.keeper.save_in(Path(chosen))

    def _ask_for_session(self) -> None:
        folder = str(self.keeper.folder or "")
        chosen = QFileDialog.getExistingDirectory(self, "Open a session (NAME.anysam)", folder)
        if chosen:
            self.open(Path(chosen))

    def _open_earlier(self) -> None:
        if self.keeper.earlier is not None:
            self.open(self.keeper.earlier)

    def _go_on(self, folder: Path, loaded: LoadedSession) -> None:
        with reporting():
            self.keeper.resume(folder, loaded)

    def _refuse(self, error: Exception) -> None:
        report(error)

    def _show(self) -> None:
        self.words.setText(self.keeper.words)
        self.words.setToolTip(self.keeper.words)
        earlier = self.keeper.earlier
        self.earlier_button.setVisible(earlier is not None)
        if earlier is not None:
            self.earlier_button.setText(f"Go on with {earlier.name}")
            self.earlier_button.setToolTip(f"Open what was saved last of this image: {earlier}")
            if earlier != self._told:
                show_info(
                    f"This image was worked on before: 'Go on with {earlier.name}' in the section "
                    "Session opens that."
                )
        self._told = earlier
