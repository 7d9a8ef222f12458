"""What the dock can ask for, and what napari tells: layers, planes, models, runs; no widget.

Everything here runs in the window's thread. Pixels are read and networks are called in the
inference thread only.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels
from napari.utils.notifications import show_warning
from psygnal import Signal

from napari_anysam._napari.clicking import Clicking
from napari_anysam._napari.connections import Connections
from napari_anysam._napari.describe import describe
from napari_anysam._napari.inference import InferenceThread
from napari_anysam._napari.label_target import can_hold
from napari_anysam._napari.propagation import Propagation, StackAxis
from napari_anysam._napari.reporting import report, reporting
from napari_anysam._napari.status import Status
from napari_anysam._napari.workspace import Workspace
from napari_anysam.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_anysam._napari.active_model import ActiveModel
    from napari_anysam._napari.propagation import StackRange
    from napari_anysam.networks.protocol import PromptableModel

__all__ = ["SegmentController"]

_PATIENCE_AT_CLOSE = 3.0
"""Seconds that closing waits for a read or a network that cannot be interrupted."""

_TRANSFORM = ("scale", "translate", "rotate", "shear", "affine", "units")


class SegmentController:
    """Turns what the user does to layers into masks.

    Parameters
    ----------
    viewer : napari viewer
        Or a ``ViewerModel``; a public-only proxy will do.
    deliver : callable
        Has a function called later in the window's thread, whichever thread hands it over.
    active : ActiveModel
        Whose model answers.

    Attributes
    ----------
    changed : psygnal signal ()
        The status or the chosen layers are different now.
    """

    changed = Signal()

    def __init__(
        self, viewer: Any, deliver: Callable[[Callable[[], None]], None], active: ActiveModel
    ) -> None:
        self._viewer = viewer
        self._deliver = deliver
        self._active = active
        self._inference = InferenceThread(deliver)
        self._clicking = Clicking(viewer, self._inference, self._tell)
        self._workspaces: dict[Any, Workspace] = {}
        self._propagation: Propagation | None = None
        self._last_run: Propagation | None = None
        self._of_viewer = Connections()
        self._of_image = Connections()
        self._of_prompts = Connections()
        self._connect_viewer()
        if active.model is not None:
            self._clicking.running.use_model(active.model)

    # What is chosen, and what is shown

    @property
    def workspace(self) -> Workspace | None:
        """The layers and the history of the chosen image."""
        return self._clicking.work

    @property
    def image(self) -> Any:
        """The chosen image layer, or None."""
        return None if self.workspace is None else self.workspace.image

    @property
    def labels(self) -> Any:
        """The chosen Labels layer; None stands for a new one."""
        target = None if self.workspace is None else self.workspace.target
        return None if target is None else target.layer

    @property
    def status(self) -> Status:
        """All that the dock shows about the work."""
        work = self.workspace
        if work is None:
            return Status()
        return describe(
            work,
            self._clicking.running,
            self._active,
            self._propagation,
            self._last_run,
            drawing=self._drawing(work),
            kept=self._clicking.kept,
        )

    def image_choices(self) -> list[Any]:
        """Return the image layers of the viewer."""
        return [layer for layer in self._viewer.layers if isinstance(layer, Image)]

    def labels_choices(self) -> list[Any]:
        """Return the Labels layers that can take masks of the chosen image."""
        preview = self._clicking.running.preview.layer
        labels = [layer for layer in self._viewer.layers if isinstance(layer, Labels)]
        image = self.image
        return [
            layer
            for layer in labels
            if image is not None and layer is not preview and can_hold(layer, image)
        ]

    def stack_axes(self) -> list[StackAxis]:
        """Return the axes that can be propagated along: those with a slider."""
        work = self.workspace
        try:
            frame = None if work is None else work.frame()
        except ImageError:
            frame = None
        if work is None or frame is None:
            return []
        names = work.image.axis_labels
        hidden = zip(frame.order[:-2], frame.hidden_shape, strict=True)
        return [StackAxis(axis, str(names[axis]), length) for axis, length in hidden if length > 1]

    # What the user asks for

    def choose_image(self, image: Any) -> None:
        """Work on this image layer from now on; None works on nothing."""
        if image is self.image:
            return
        self._leave()
        if image is not None:
            with reporting():
                self._enter(image)
        self._tell()

    def choose_labels(self, layer: Any) -> None:
        """Write into this Labels layer from now on; None makes a new one at the first mask."""
        work = self.workspace
        if work is None or layer is self.labels:
            return
        with reporting():
            self._clicking.keep_fresh()
            work.choose_labels(layer)
            self._clicking.use_object(work.next_object_id())
        self._tell()

    def keep_labels_in(self, path: Path) -> None:
        """Write into a label pyramid in this folder from now on."""
        work = self.workspace
        if work is not None:
            with reporting():
                work.keep_labels_in(path)
                self._clicking.use_object(work.next_object_id())
            self._tell()

    def open_brush_window(self) -> None:
        """Let napari's brush work in the label pyramid, where the user looks."""
        if self.workspace is not None:
            with reporting():
                self.workspace.open_brush_window()

    def draw_points(self) -> None:
        """Let clicks in the image add points."""
        self._draw("points", "add")

    def draw_boxes(self) -> None:
        """Let drags in the image add boxes."""
        self._draw("shapes", "add_rectangle")

    def accept(self) -> None:
        """Keep the mask that is previewed or under way; the next prompt is a new object's."""
        with reporting():
            self._clicking.accept()
        self._tell()

    def new_object(self) -> None:
        """Accept the running mask, if there is one, and begin another object."""
        work = self.workspace
        if work is not None:
            with reporting():
                self._clicking.accept()
                self._clicking.begin_object(work.next_object_id())
            self._tell()

    def go_to_object(self, object_id: int) -> None:
        """Go on with another object; a mask that was just made is accepted first."""
        work = self.workspace
        if work is None or object_id < 1 or object_id == work.object_id:
            return
        with reporting():
            self._clicking.keep_fresh()
            self._clicking.use_object(object_id)
            self._clicking.ask_here(fresh=False)
        self._tell()

    def next_candidate(self) -> None:
        """Preview the next of the candidate masks."""
        self._clicking.running.show_next()
        self._tell()

    def clear(self) -> None:
        """Remove the prompts of the running object that no accepted mask came from."""
        with reporting():
            self._clicking.clear()
        self._tell()

    def undo(self) -> None:
        """Take back the last prompt, accepted mask or propagation."""
        if self._propagation is None:
            with reporting():
                self._clicking.undo()
            self._tell()

    def propagate(self, where: StackRange) -> None:
        """Follow all objects that are marked in the stack, from the planes they are marked on."""
        work, model = self.workspace, self._clicking.running.model
        if work is None or model is None or self._propagation is not None:
            return
        with reporting():
            self._clicking.keep_fresh()
            run = Propagation(work, work.frame(), where, model, self._tell, self._run_ended)
            run.start(self._inference)
            self._propagation = run
        self._tell()

    def cancel(self) -> None:
        """End a propagation after the plane in progress, or drop the request for a mask."""
        if self._propagation is not None:
            self._propagation.cancel()
        elif self._clicking.running.request is not None:
            self._clicking.running.drop()
            self._tell()

    def point_pressed(self, *, positive: bool) -> None:
        """Say what the point that a mouse press is about to add will mean."""
        work = self.workspace
        if work is not None:
            work.prompts.set_next(work.object_id, positive=positive)

    def close(self) -> None:
        """Stop the thread and let go of the viewer; the user's layers stay as they are."""
        if self._propagation is not None:
            self._propagation.abandon()
        for connections in (self._of_viewer, self._of_image, self._of_prompts):
            connections.disconnect()
        self._inference.stop(_PATIENCE_AT_CLOSE)
        self._clicking.running.drop()
        self._clicking.running.preview.remove()
        self._clicking.work = None
        self._workspaces.clear()

    # What napari tells

    def _connect_viewer(self) -> None:
        layers, dims = self._viewer.layers, self._viewer.dims
        self._of_viewer.connect(layers.events.inserted, self._on_inserted)
        self._of_viewer.connect(layers.events.removed, self._on_removed)
        self._of_viewer.connect(layers.selection.events.active, self._on_view)
        for emitter in (dims.events.point, dims.events.order, dims.events.ndisplay):
            self._of_viewer.connect(emitter, self._on_view)
        self._of_viewer.connect(self._active.loading, self._on_view)
        self._of_viewer.connect(self._active.loaded, self._on_loaded)
        self._of_viewer.connect(self._active.failed, self._on_load_failed)

    def _enter(self, image: Any) -> None:
        if image not in self._workspaces:
            self._workspaces[image] = Workspace(self._viewer, image)
        work = self._clicking.work = self._workspaces[image]
        self._of_image.connect(image.events.data, self._on_pixels)
        for name in _TRANSFORM:
            self._of_image.connect(getattr(image.events, name), self._on_transform)
        self._look()
        self._draw("points", "add")
        self._clicking.use_object(work.object_id)

    def _leave(self) -> None:
        self._clicking.running.drop()
        if self._propagation is not None:
            self._propagation.cancel()
        self._of_image.disconnect()
        self._of_prompts.disconnect()
        self._clicking.work = self._last_run = None

    def _draw(self, role: str, mode: str) -> None:
        """Make a prompt layer, if it is missing, and let the user draw in it."""
        work = self.workspace
        if work is None:
            return
        with self._clicking.editing_layers():
            work.prompts.ensure()
            work.prompts.set_next(work.object_id)
        self._of_prompts.disconnect()
        for layer in (work.prompts.points, work.prompts.shapes):
            if layer is not None:
                self._of_prompts.connect(layer.events.data, self._on_prompts_edited)
                self._of_prompts.connect(layer.events.mode, self._on_view)
        layer = getattr(work.prompts, role)
        self._viewer.layers.selection.active = layer
        layer.mode = mode
        self._tell()

    def _drawing(self, work: Workspace) -> str:
        selection = self._viewer.layers.selection
        points, shapes = work.prompts.points, work.prompts.shapes
        if points is not None and selection.active == points and str(points.mode) == "add":
            return "points"
        if shapes is not None and selection.active == shapes and "add" in str(shapes.mode):
            return "boxes"
        return ""

    def _tell(self) -> None:
        self.changed.emit()

    def _on_view(self, _event: Any = None) -> None:
        self._look()
        self._tell()

    def _look(self) -> None:
        """Take note of the axes that are shown before the next prompt is compared with them."""
        if self.workspace is not None:
            with suppress(ImageError):  # the status line says it
                self.workspace.frame()

    def _on_prompts_edited(self, event: Any) -> None:
        with reporting():
            if not self._clicking.take_edit(event):
                return
            self._last_run = None
        self._tell()

    def _on_transform(self, _event: Any = None) -> None:
        if self.workspace is not None:
            self.workspace.copy_transform()
        self._clicking.running.drop()
        self._tell()

    def _on_pixels(self, _event: Any = None) -> None:
        """Have other pixels encoded anew; what is previewed was seen on the old ones."""
        if self.workspace is not None:
            self.workspace.identity = object()
        self._clicking.running.drop()
        self._tell()

    def _on_inserted(self, event: Any) -> None:
        if self.workspace is None and isinstance(event.value, Image):
            # napari selects the new layer after this event; the points layer must come last.
            self._deliver(self._choose_newest_image)
        self._tell()

    def _choose_newest_image(self) -> None:
        images = self.image_choices()
        if self.workspace is None and images:
            self.choose_image(images[-1])

    def _on_removed(self, event: Any) -> None:
        layer, run = event.value, self._propagation
        if run is not None and run.uses(layer):
            run.abandon()
            show_warning(f"{layer.name!r} was removed, so the propagation has ended.")
        self._workspaces.pop(layer, None)
        self._clicking.running.preview.forget(layer)
        if layer is self.image:
            self._leave()
            self._clicking.running.forget_embeddings()
        elif self.workspace is not None:
            self._lose(self.workspace, layer)
        self._tell()

    def _lose(self, work: Workspace, layer: Any) -> None:
        """Go on without a layer that somebody removed."""
        if layer is self.labels:
            work.choose_labels(None)
        elif work.prompts.forget(layer):
            with reporting():
                self._clicking.follow_layers()

    def _on_loaded(self, model: PromptableModel) -> None:
        running = self._clicking.running
        running.use_model(model)
        with reporting():
            if running.answer is None:
                self._clicking.ask_here(fresh=True)
        self._tell()

    def _on_load_failed(self, error: Exception) -> None:
        report(error)
        self._tell()

    def _run_ended(self, error: Exception | None) -> None:
        self._last_run, self._propagation = self._propagation, None
        if error is not None:
            report(error)
        self._tell()
