"""Which tool clicks and drags in the image belong to: drawing in prompt layers, picking labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_anysam._napari.connections import Connections
from napari_anysam._napari.from_label import LabelPicker, pickable_layers
from napari_anysam._napari.reporting import reporting
from napari_anysam._napari.tools import TOOLS, drawing_in, why_no_tool

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_anysam._napari.clicking import Clicking
    from napari_anysam._napari.workspace import Workspace

__all__ = ["ToolUse"]


class ToolUse:
    """The tool in use.

    Parameters
    ----------
    viewer : napari viewer
    clicking : Clicking
        Takes labels that were clicked as prompts.
    on_edited, on_relabelled : callable
        Called with napari's event when data or features of a prompt layer change.
    on_change : callable
        Called when another tool is in use, with or without an event.
    """

    def __init__(
        self,
        viewer: Any,
        clicking: Clicking,
        on_edited: Callable[[Any], None],
        on_relabelled: Callable[[Any], None],
        on_change: Callable[..., None],
    ) -> None:
        self._viewer = viewer
        self._clicking = clicking
        self._on_edited = on_edited
        self._on_relabelled = on_relabelled
        self._on_change = on_change
        self._picker = LabelPicker(viewer)
        self._connections = Connections()

    def use(self, name: str, work: Workspace, labels: Any) -> None:
        """Let clicks and drags in the image say what a tool of ``TOOLS`` says.

        Raises
        ------
        ImageError
            If the tool picks labels and there are none.
        """
        tool = next(tool for tool in TOOLS if tool.name == name)
        if tool.layer:
            self.draw(work, tool.layer, tool.mode)
        else:
            layers = pickable_layers(self._viewer, work.image, labels)
            self._picker.start(layers, self._take_label)
            self._on_change()

    def use_first(self, work: Workspace, labels: Any) -> None:
        """Use the first tool that the model takes; nobody should begin with one that it refuses."""
        model = self._clicking.running.model
        first = next(tool.name for tool in TOOLS if not why_no_tool(tool.name, model))
        self.use(first, work, labels)

    def draw(self, work: Workspace, role: str, mode: str) -> None:
        """Make a prompt layer, if it is missing, and let the user draw in it."""
        with self._clicking.editing_layers():
            work.prompts.ensure()
            work.prompts.set_next(work.object_id)
        self._connections.disconnect()
        for layer in (work.prompts.points, work.prompts.shapes):
            if layer is not None:
                self._connections.connect(layer.events.data, self._on_edited)
                self._connections.connect(layer.events.features, self._on_relabelled)
                self._connections.connect(layer.events.mode, self._on_change)
        self._picker.stop()
        layer = getattr(work.prompts, role)
        self._viewer.layers.selection.active = layer
        layer.mode = mode
        self._on_change()

    def pick(self, layer: Any, on_pick: Callable[[Any, int], None]) -> None:
        """Let the next click in a Labels layer pick one of its labels."""
        layer.visible = True
        self._picker.start([layer], on_pick)
        self._on_change()

    def drawing(self, work: Workspace) -> str:
        """Return what is drawn now, as ``Tool.drawing`` names it; "" for nothing."""
        if self._picker.waits:
            return "label"
        active = self._viewer.layers.selection.active
        return drawing_in(active, work.prompts.points, work.prompts.shapes)

    def name(self, work: Workspace) -> str:
        """Return the name of the tool in use; "" for none."""
        drawing = self.drawing(work)
        return next((tool.name for tool in TOOLS if tool.drawing == drawing), "")

    def stop(self) -> None:
        """Leave the layers to napari again."""
        self._picker.stop()
        self._connections.disconnect()

    def _take_label(self, layer: Any, value: int) -> None:
        with reporting():
            self._clicking.take_label(layer, value)
        self._on_change()
