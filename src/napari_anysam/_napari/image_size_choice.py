"""The Model manager's choice of how many pixels the active model sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QComboBox, QWidget

from napari_anysam.models.image_size import SMALLER_IMAGE_SIZE, smaller_size

if TYPE_CHECKING:
    from napari_anysam._napari.active_model import Request
    from napari_anysam.networks.protocol import PromptableModel

__all__ = ["ImageSizeChoice"]

_WORDS = (
    "Side of the square that the model sees of an image or region. SAM 2 and SAM 2.1 see 1024 "
    "pixels; with 512 they follow objects in about a tenth of the time and give coarser masks. A "
    "click is tried in several regions then, as with other models of 512 pixels or fewer."
)
_ONE_SIZE = "This model sees images of one size; SAM 2 and SAM 2.1 take a smaller one too."


class ImageSizeChoice(QComboBox):  # type: ignore[misc]  # Qt has no types here
    """As the model was made for, or the smaller size, where the active model takes one."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.addItem("as trained", None)
        self.addItem(f"{SMALLER_IMAGE_SIZE} pixels (quicker, coarser)", SMALLER_IMAGE_SIZE)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(8)
        self.setEnabled(False)
        self.setToolTip(_ONE_SIZE)

    @property
    def chosen(self) -> int | None:
        """What ``load_model`` takes as ``image_size``."""
        size: int | None = self.currentData()
        return size

    def show_model(self, model: PromptableModel | None, request: Request | None) -> None:
        """Show the size of what is active or on its way, and whether there is another."""
        smaller = None if request is None else request.image_size
        self.setCurrentIndex(0 if smaller is None else 1)
        offered = smaller is not None or (model is not None and _other_size(model) is not None)
        self.setEnabled(offered)
        self.setToolTip(_WORDS if offered else _ONE_SIZE)


def _other_size(model: PromptableModel) -> int | None:
    return smaller_size(model.image_size, other_sizes=model.capabilities.other_sizes)
