"""What the dock can ask for, and what napari tells: layers, planes, models, runs; no widget.

Everything here runs in the window's thread. Pixels are read and networks are called in the
inference thread only.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels
from psygnal import Signal

from napari_anysam._napari.clicking import Clicking
from napari_anysam._napari.connections import Connections
from napari_anysam._napari.coordinates import show_plane
from napari_anysam._napari.describe import describe
from napari_anysam._napari.encoding_ahead import EncodingAhead
from napari_anysam._napari.found import FoundObjects
from napari_anysam._napari.from_label import labels_like
from napari_anysam._napari.image_control import ImageControl
from napari_anysam._napari.inference import InferenceThread
from napari_anysam._napari.label_target import can_hold
from napari_anysam._napari.object_looks import colours_of
from napari_anysam._napari.objects import Objects
from napari_anysam._napari.preview import is_preview
from napari_anysam._napari.reporting import report, reporting
from napari_anysam._napari.running_mask import Request
from napari_anysam._napari.stack_control import StackControl
from napari_anysam._napari.status import Status
from napari_anysam._napari.tool_use import ToolUse
from napari_anysam._napari.workspace import Workspace
from napari_anysam.errors import ImageError, SessionError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

    from napari_anysam._napari.active_model import ActiveModel
    from napari_anysam._napari.coordinates import PlaneFrame
    from napari_anysam._napari.inference import Ticket
    from napari_anysam._napari.label_target import WritePolicy
    from napari_anysam._napari.object_looks import Colour
    from napari_anysam._napari.running_mask import Answer
    from napari_anysam.networks.protocol import PromptableModel
    from napari_anysam.segmentation.label_prompts import LabelKind
    from napari_anysam.segmentation.mask_options import MaskOptions
    from napari_anysam.segmentation.prompts import Prompt
    from napari_anysam.segmentation.session_files import LoadedSession

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
    looks : ImageControl
        How the image is seen.
    stacks : StackControl
        What is done to many planes or objects.
    found : FoundObjects
        What a search for everything has found, to be looked through.
    ahead : EncodingAhead
        Encodes the next planes while the user moves along a stack.
    """

    changed = Signal()

    def __init__(
        self, viewer: Any, deliver: Callable[[Callable[[], None]], None], active: ActiveModel
    ) -> None:
        self._viewer = viewer
        self._deliver = deliver
        self._active = active
        self._inference = InferenceThread(deliver)
        self._clicking = Clicking(viewer, self._inference, self._tell, self._answer_many)
        self._tools = ToolUse(
            viewer,
            self._clicking,
            self._on_prompts_edited,
            self._on_prompts_relabelled,
            self._on_view,
        )
        self.found = FoundObjects(viewer, self._clicking, self.delete_objects, self._tell)
        self.stacks = StackControl(
            viewer, self._clicking, self._inference, self._tell, self.found.begin
        )
        self.objects = Objects(viewer, self._clicking, self._inference, self._tell)
        self.looks = ImageControl(viewer, self._inference, self._clicking, self._tell)
        self.ahead = EncodingAhead(viewer, self._inference, self._clicking.running)
        self.looks.look_changed.connect(self.ahead.drop)
        self.looks.look_changed.connect(self.stacks.runs.forget_embeddings)
        self._workspaces: dict[Any, Workspace] = {}
        self._policy: WritePolicy = "protect"
        self._of_viewer = Connections()
        self._of_image = Connections()
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
            self.stacks.runs.propagation,
            self.stacks.runs.last,
            drawing=self._tools.drawing(work),
            kept=self._clicking.kept,
            bulk=self.stacks.runs.bulk,
            found=self.stacks.lesions.found,
        )

    def colour_of(self, object_id: int) -> Colour:
        """Return the colour of an object, red to alpha in 0 to 1."""
        red, green, blue, alpha = colours_of(self.labels, [object_id])[0]
        return float(red), float(green), float(blue), float(alpha)

    def image_choices(self) -> list[Any]:
        """Return the image layers of the viewer."""
        return [layer for layer in self._viewer.layers if isinstance(layer, Image)]

    def labels_choices(self) -> list[Any]:
        """Return the Labels layers that can take masks of the chosen image."""
        labels = [layer for layer in self._viewer.layers if isinstance(layer, Labels)]
        image = self.image
        return [
            layer
            for layer in labels
            if image is not None and not is_preview(layer) and can_hold(layer, image)
        ]

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

    def use_tool(self, name: str) -> None:
        """Let clicks and drags in the image say what a tool of ``TOOLS`` says."""
        work = self.workspace
        if work is not None:
            with reporting():
                self._tools.use(name, work, self.labels)

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

    def accept(self) -> None:
        """Keep the mask that is previewed or under way; the next prompt is a new object's."""
        with reporting():
            self._clicking.accept()
        self._tell()

    def new_object(self) -> None:
        """Begin another object; as ``let_next_accept`` says, the running mask is accepted first."""
        work = self.workspace
        if work is not None:
            with reporting():
                if self._clicking.accepts_on_next:
                    self._clicking.accept()
                self._clicking.begin_object(work.next_object_id())
            self._tell()

    def go_to_object(self, object_id: int) -> None:
        """Go on with another object; a mask that was just made is accepted first."""
        work = self.workspace
        if work is not None and object_id != work.object_id:
            with reporting():
                self.objects.resume(object_id)
            self._tell()

    def pick(self) -> None:
        """Let the next click in the labels choose the object to go on with."""
        work = self.workspace
        if work is not None and work.target is not None:
            self._tools.pick(work.target.layer, self._on_picked)

    def name_class(self, object_id: int, name: str) -> None:
        """Say which class an object is of."""
        self.stacks.change(lambda: self.objects.name_class(object_id, name))

    def delete_objects(self, object_ids: Collection[int] | None = None) -> None:
        """Erase objects on all planes; the running one if none is named."""
        work = self.workspace
        if work is not None:
            ids = [work.object_id] if object_ids is None else object_ids
            self.stacks.change(lambda: self.objects.delete(ids))

    def merge_objects(self, object_ids: Collection[int]) -> None:
        """Make objects one, with the lowest of their ids."""
        self.stacks.change(lambda: self.objects.merge(object_ids))

    def split_object(self) -> None:
        """Make what the previewed mask leaves out of its object an object of its own."""
        self.stacks.change(self.objects.split)

    def next_candidate(self) -> None:
        """Preview the next of the candidate masks."""
        self._clicking.running.show_next()
        self._tell()

    def previous_candidate(self) -> None:
        """Preview the candidate before."""
        self._clicking.running.show_previous()
        self._tell()

    def let_each_click_be_new(self, each: bool) -> None:
        """Say whether every positive click is an object of its own."""
        self._clicking.each_click_new = each

    def let_each_box_be_new(self, each: bool) -> None:
        """Say whether a second box is another object, or replaces the first."""
        self._clicking.each_box_new = each

    def let_next_accept(self, accept: bool) -> None:
        """Say whether beginning or choosing another object accepts the running mask."""
        self._clicking.accepts_on_next = accept

    def shape_masks(self, options: MaskOptions) -> None:
        """Turn logits into masks in this way from now on, in the preview too."""
        running = self._clicking.running
        with reporting():
            if running.shape(options) and running.key is not None:
                self._clicking.ask_here(fresh=True)
        self._tell()

    def use_policy(self, policy: WritePolicy) -> None:
        """Say what masks may take from now on."""
        self._policy = policy
        if self.workspace is not None:
            self.workspace.policy = policy

    def labels_to_refine(self) -> list[Any]:
        """Return the Labels layers whose objects can become prompts."""
        image = self.image
        return [] if image is None else labels_like(self._viewer, image)

    def refine_labels(self, layer: Any, kind: LabelKind) -> None:
        """Make every object of a Labels layer a prompt, and write what the model answers."""
        work = self.workspace
        if work is not None and layer is not None:
            with reporting():
                self.stacks.runs.refine_labels(work, layer, kind, ours=layer == self.labels)
            self._tell()

    def find_everything(self) -> None:
        """Write every object that the model finds in the plane that is shown."""
        if self.workspace is not None:
            with reporting():
                self.stacks.runs.find_everything(self.workspace)
            self._tell()

    def clear(self) -> None:
        """Remove the prompts of the running object that no accepted mask came from."""
        with reporting():
            self._clicking.clear()
        self._tell()

    def undo(self) -> None:
        """Take back the last prompt, accepted mask, propagation, or change of objects."""
        self.stacks.change(self._clicking.undo)

    def redo(self) -> None:
        """Do the last step that was undone again."""
        self.stacks.change(self._clicking.redo)

    def cancel(self) -> None:
        """End a propagation after the plane in progress, or drop the request for a mask."""
        if self.stacks.runs.busy:
            self.stacks.cancel()
        elif self._clicking.running.request is not None:
            self._clicking.running.drop()
            self._tell()

    def foresee(
        self,
        frame: PlaneFrame,
        prompt: Prompt,
        on_answer: Callable[[Answer], None],
        on_error: Callable[[Exception], None],
    ) -> Ticket | None:
        """Ask what a prompt on the plane that is shown would give; see ``RunningMask.foresee``."""
        work, running = self.workspace, self._clicking.running
        if work is None or running.request is not None or self.stacks.runs.busy:
            return None
        key = (prompt.object_id, prompt.plane)
        return running.foresee(Request(work, key, frame, prompt, False), on_answer, on_error)

    def point_pressed(self, *, positive: bool) -> None:
        """Say what the point that a mouse press is about to add will mean."""
        work = self.workspace
        if work is None:
            return
        if positive and self._tools.drawing(work) == "points":
            with reporting():
                self._clicking.begin_clicked_object()
        work.prompts.set_next(work.object_id, positive=positive)

    def restore(self, image: Any, loaded: LoadedSession) -> None:
        """Go on with a saved session of an image layer where it was left.

        Raises
        ------
        SessionError
            If a propagation is under way, or the image has been worked on already.
        """
        if self.stacks.runs.propagation is not None:
            raise SessionError("A propagation is under way; wait for its end or cancel it.")
        saved, dims = loaded.session, self._viewer.dims
        missing = dims.ndim - image.ndim
        dims.order = (*range(missing), *(axis + missing for axis in saved.order))
        seen = saved.conditioning
        if seen is not None and not image.rgb and not seen.paints:
            image.contrast_limits = seen.windows[0]
            image.gamma = seen.gamma
        self.choose_image(image)
        work = self.workspace
        if work is None:  # the reason was shown
            return
        with self._clicking.editing_layers():
            work.restore(saved, loaded.labels)
        self.stacks.opened(work)
        show_plane(dims, image, work.frame().numbered(saved.plane))
        self._tools.draw(work, "points", "add")
        self._clicking.use_object(saved.object_id)
        self._clicking.ask_here(fresh=False)
        self._tell()

    def close(self) -> None:
        """Stop the thread and let go of the viewer; the user's layers stay as they are."""
        self.stacks.close()
        for connections in (self._of_viewer, self._of_image):
            connections.disconnect()
        self._tools.stop()
        self.ahead.leave()
        self.looks.look_changed.disconnect(self.ahead.drop)
        self.looks.look_changed.disconnect(self.stacks.runs.forget_embeddings)
        self.looks.leave()
        self.objects.stop()
        self._inference.stop(_PATIENCE_AT_CLOSE)
        self._clicking.running.drop()
        self._clicking.running.preview.remove()
        self.found.end()
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
        work.policy = self._policy
        self._of_image.connect(image.events.data, self._on_pixels)
        for name in _TRANSFORM:
            self._of_image.connect(getattr(image.events, name), self._on_transform)
        self.looks.enter(work)
        self._look()
        self._tools.use_first(work, self.labels)
        self._clicking.use_object(work.object_id)

    def _leave(self) -> None:
        self._tools.stop()
        self.found.end()
        self.ahead.leave()
        self._clicking.running.drop()
        self.stacks.leave()
        self.looks.leave()
        self._of_image.disconnect()
        self._clicking.work = None

    def _tell(self) -> None:
        self.objects.follow()
        self.changed.emit()

    def _on_view(self, _event: Any = None) -> None:
        self._clicking.running.preview.rest()
        self._look()
        self._tell()

    def _look(self) -> None:
        """Take note of the axes that are shown before the next prompt is compared with them."""
        if self.workspace is not None:
            with suppress(ImageError):  # the status line says it
                self.ahead.moved(self.workspace, self.workspace.frame())

    def _on_prompts_edited(self, event: Any) -> None:
        with reporting():
            if not self._clicking.take_edit(event):
                return
            self.stacks.runs.last = None
        self._tell()

    def _on_picked(self, _layer: Any, object_id: int) -> None:
        """Go on with the object that was clicked in the labels, and let points be added again."""
        with reporting():
            self.objects.resume(object_id)
            if self.workspace is not None:
                self._tools.draw(self.workspace, "points", "add")

    def _on_prompts_relabelled(self, event: Any) -> None:
        """Replay prompts whose object or polarity somebody edited in the table of features."""
        with reporting():
            if self._clicking.take_relabelling(event.source):
                self._tell()

    def _on_transform(self, _event: Any = None) -> None:
        if self.workspace is not None:
            self.workspace.copy_transform()
        self.ahead.drop()
        self._clicking.running.drop()
        self._tell()

    def _on_pixels(self, _event: Any = None) -> None:
        """Have other pixels encoded anew; what is previewed was seen on the old ones."""
        if self.workspace is not None:
            self.workspace.identity = object()
        self.stacks.runs.forget_embeddings()
        self.ahead.drop()
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
        layer = event.value
        self.stacks.precomputing.forget(layer)
        self.stacks.runs.layer_removed(layer)
        self._workspaces.pop(layer, None)
        self._clicking.running.preview.forget(layer)
        if layer is self.image:
            self._leave()
            self._clicking.running.forget_embeddings()
            self.stacks.runs.forget_embeddings()
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
        self.stacks.precomputing.cancel()
        self.stacks.runs.forget_embeddings()
        self.ahead.drop()
        work = self.workspace
        if work is not None and self.status.refused_tools.get(self._tools.name(work)):
            self._tools.use_first(work, self.labels)
        with reporting():
            running.use_model(model)
            if running.answer is None:
                self._clicking.ask_here(fresh=True)
        self._tell()

    def _on_load_failed(self, error: Exception) -> None:
        report(error)
        self._tell()

    def _answer_many(self, frame: PlaneFrame, prompts: Sequence[Prompt]) -> None:
        if self.workspace is not None:
            with reporting():
                self.stacks.runs.answer_many(self.workspace, frame, prompts)
            self._tell()
