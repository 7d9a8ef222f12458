"""The Model manager's question "what do you segment, and on what?", and its answer."""

from __future__ import annotations

import html
from dataclasses import replace
from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QTextBrowser,
    QVBoxLayout,
    QWidget,
)

from napari_anysam._napari.background import Background
from napari_anysam.models.catalogue import IMAGE_KINDS

if TYPE_CHECKING:
    from qtpy.QtGui import QShowEvent

    from napari_anysam.models.chooser import Machine, Proposal

__all__ = ["LINK_COLOUR", "ModelChooser"]

LINK_COLOUR = "#3d8bfd"  # Qt's own blue cannot be read on a dark theme


class ModelChooser(QWidget):  # type: ignore[misc]  # Qt has no types here
    """Asks two questions and proposes up to three models, with reasons.

    Attributes
    ----------
    chosen : Qt signal (str)
        The name of a model that was proposed first, or clicked.
    """

    chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._background = Background(self)
        self._machine: Machine | None = None
        self.kind = QComboBox()
        self.kind.addItem("choose ...", "")
        for key, words in IMAGE_KINDS.items():
            self.kind.addItem(words, key)
        self.kind.setToolTip("What your images show, or how they were taken.")
        self.stacks = QCheckBox("through stacks or films")
        self.stacks.setToolTip("Only models that follow objects from plane to plane.")
        self.device = QComboBox()
        self.device.setToolTip("Where the model shall compute.")
        self.device.addItem("this computer", "")
        self.commercial = QCheckBox("for commercial use")
        self.commercial.setToolTip("Leave out models whose licence forbids it, or that state none.")
        self.answer = QTextBrowser()
        self.answer.setOpenLinks(False)
        self.answer.setMaximumHeight(10 * self.answer.fontMetrics().lineSpacing())
        self._lay_out()
        self.kind.activated.connect(self._ask)
        self.device.activated.connect(self._ask)
        self.stacks.toggled.connect(self._ask)
        self.commercial.toggled.connect(self._ask)
        self.answer.anchorClicked.connect(lambda link: self.chosen.emit(link.toString()))
        self._show("")

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        form = QFormLayout()
        form.addRow("I segment", self.kind)
        form.addRow("", self.stacks)
        form.addRow("on", self.device)
        form.addRow("", self.commercial)
        layout.addLayout(form)
        layout.addWidget(self.answer)
        for combo in (self.kind, self.device):
            combo.setMinimumContentsLength(8)
            combo.setSizeAdjustPolicy(
                QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
            )

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802 - Qt's name
        """Find out what this computer has, on a thread: torch, which knows, is slow to import."""
        super().showEvent(event)
        if self._machine is None:
            self._background.ask(_this_machine, self._learn, self._fail)

    def _learn(self, machine: Machine) -> None:
        self._machine = machine
        with QSignalBlocker(self.device):
            self.device.clear()
            self.device.addItem(f"this computer ({_words(machine)})", "")
            for device, words in (("cuda", "an NVIDIA graphics card"), ("cpu", "a processor only")):
                if device != machine.device:
                    self.device.addItem(words, device)
        self._ask()

    def _fail(self, error: Exception) -> None:
        self._show(html.escape(f"This computer could not be examined ({error})."))

    def _ask(self, _: object = None) -> None:
        """Propose, once it is known what is segmented and on what."""
        kind = self.kind.currentData()
        if self._machine is None or not kind:
            self._show("")
            return
        from napari_anysam.models.chooser import propose

        machine = self._machine
        device = self.device.currentData()
        if device:
            machine = replace(machine, device=device, memory_bytes=_USUAL_MEMORY[device])
        proposals = propose(
            kind, machine, tracking=self.stacks.isChecked(), commercial=self.commercial.isChecked()
        )
        self._show(_as_html(proposals))
        if proposals:
            self.chosen.emit(proposals[0].spec.name)

    def _show(self, text: str) -> None:
        self.answer.setHtml(text)
        self.answer.setVisible(bool(text))


# Of a computer that the user has in mind, not at hand.
_USUAL_MEMORY = {"cuda": 12 * 2**30, "cpu": 16 * 2**30}


def _this_machine() -> Machine:
    from napari_anysam.models.chooser import this_machine

    return this_machine()


def _words(machine: Machine) -> str:
    if machine.device == "cpu":
        return f"processor, {machine.cores} cores"
    card = "Apple graphics" if machine.device == "mps" else "graphics card"
    return f"{card}, {machine.memory_bytes / 2**30:.0f} GB"


def _as_html(proposals: tuple[Proposal, ...]) -> str:
    if not proposals:
        return "No model of the list fits; leave out a condition."
    lines = [
        f'<p style="margin: 0 0 4px 0">'
        f'<a href="{proposal.spec.name}" style="color: {LINK_COLOUR}">'
        f"{html.escape(proposal.spec.title)}</a>: {html.escape(proposal.reason)}</p>"
        for proposal in proposals
    ]
    return "".join(lines)
