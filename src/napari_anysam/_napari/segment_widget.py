"""The Segment dock: it shows the controller's status and passes on what the user asks for."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QSignalBlocker, Qt
from qtpy.QtWidgets import (
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)
from superqt import QElidingLabel

from napari_anysam._napari.active_model import active_model
from napari_anysam._napari.controller import SegmentController
from napari_anysam._napari.delivery import QtDelivery
from napari_anysam._napari.dock_actions import calls_of
from napari_anysam._napari.export_section import ExportSection
from napari_anysam._napari.fold_area import FoldArea
from napari_anysam._napari.help_panel import HelpPanel
from napari_anysam._napari.hover import HoverPreview
from napari_anysam._napari.image_section import ImageSection
from napari_anysam._napari.keys import LayerKeys
from napari_anysam._napari.layer_combo import LayerCombo
from napari_anysam._napari.many_section import ManySection
from napari_anysam._napari.mask_section import MaskSection
from napari_anysam._napari.measuring_objects import MeasuringObjects
from napari_anysam._napari.object_table import ObjectSection
from napari_anysam._napari.precompute_section import PrecomputeSection
from napari_anysam._napari.remembered import Remembered
from napari_anysam._napari.review_section import ReviewSection
from napari_anysam._napari.session_section import SessionSection
from napari_anysam._napari.stack_section import StackSection
from napari_anysam._napari.status import (
    Stage,
    Status,
    prompts_in_words,
    sentence,
    source_in_words,
    why_not,
)
from napari_anysam._napari.store_section import StoreSection
from napari_anysam._napari.time_section import TimeSection
from napari_anysam._napari.tool_row import ToolRow
from napari_anysam._napari.user_keys import in_words, user_keys, with_key

if TYPE_CHECKING:
    from qtpy.QtCore import QObject
    from qtpy.QtGui import QCloseEvent, QHideEvent, QShowEvent

__all__ = ["SegmentWidget"]

MANAGER_NAME = "Model manager"

_TOOLTIPS = {
    "redo": "Do what was undone again.",
    "undo": "Take back the last prompt or mask.",
    "clear": "Remove this object's prompts and its preview.",
    "accept": "Keep this mask in the labels.",
    "new": "Begin another object; as Mask says, this one is kept first.",
    "cycle": "Show the next of the masks that could be meant.",
}


class SegmentWidget(QWidget):  # type: ignore[misc]  # Qt has no types here
    """Click objects, keep their masks, follow them through a stack.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        napari passes it by this name, as a public-only proxy.
    """

    def __init__(self, napari_viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = napari_viewer
        self._closed = self._docked = self._window_closing = False
        self._dirty = self._ran = False
        self._delivery = QtDelivery(self)
        self._active = active_model()
        self.controller = SegmentController(napari_viewer, self._delivery, self._active)
        user_keys().read()
        self._make_widgets()
        self._lay_out()
        self._connect()
        self.remembered.restore()
        self._active.ensure()
        images = self.controller.image_choices()
        if images:
            self.controller.choose_image(_chosen_image(napari_viewer, images))
        self._render()

    def close_quietly(self) -> None:
        """Stop the thread and let go of the viewer; the layers stay as they are."""
        if self._closed:
            return
        self._closed = True
        self._keys.release()
        self._delivery.close()
        self.look.stop()
        self.hover.turn(False)
        self.controller.looks.look_changed.disconnect(self.look.restless)
        self.controller.changed.disconnect(self._render_soon)
        user_keys().changed.disconnect(self._on_keys)
        self.remembered.close_quietly()
        self.export.close_quietly()
        self.measuring.close_quietly()
        if self.help is not None:
            self.help.close_quietly()
        self.session.close_quietly()
        self.controller.close()

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: N802 - Qt's name
        """Clean up when the widget itself is closed."""
        self.close_quietly()
        super().closeEvent(event)

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802 - Qt's name
        """Watch the window that the widget is shown in for its end."""
        self.window().installEventFilter(self)
        # Two lines always, so that nothing below moves when the words change.
        self.hint.setMinimumHeight(2 * self.hint.fontMetrics().lineSpacing() + 8)
        super().showEvent(event)

    def hideEvent(self, event: QHideEvent) -> None:  # noqa: N802 - Qt's name
        """Clean up when the window was closed; a tab that is turned away hides too."""
        super().hideEvent(event)
        if self._window_closing and not self.window().isVisible():
            self.close_quietly()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802 - Qt's name
        """Note that the window has been asked to close; it may still refuse."""
        if event.type() == QEvent.Type.Close and watched is self.window():
            self._window_closing = True
        return bool(super().eventFilter(watched, event))

    def event(self, event: QEvent) -> bool:
        """Clean up when napari takes the widget out of its dock, which is how docks are closed."""
        if event.type() == QEvent.Type.ParentChange:
            if self.parent() is not None:
                self._docked = True
            elif self._docked:
                self.close_quietly()
        return bool(super().event(event))

    def _make_widgets(self) -> None:
        self.image_combo = LayerCombo("choose an image", "The image to segment")
        self.labels_combo = LayerCombo("new layer", "Where accepted masks go")
        self.model_name = QElidingLabel()
        self.model_name.setElideMode(Qt.TextElideMode.ElideMiddle)
        self.manager_button = QPushButton("Models...")
        self.help_button = QPushButton("Keys...")
        self.help: HelpPanel | None = None
        self.hint = QLabel()
        self.hint.setWordWrap(True)
        self.hint.setObjectName("anysam_hint")
        self.hint.setStyleSheet("font-weight: bold; padding: 2px;")
        self.hint.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        self.tools = ToolRow()
        self.point_button = self.tools.buttons["point"]
        self.box_button = self.tools.buttons["box"]
        self.object_id = QSpinBox()
        self.object_id.setRange(1, 2**31 - 1)
        self.object_id.setKeyboardTracking(False)
        self.score = QLabel()
        self.candidate_button = QPushButton()
        self.prompts = QElidingLabel()
        self.undo_button = QPushButton("Undo")
        self.redo_button = QPushButton("Redo")
        self.clear_button = QPushButton("Clear")
        self.accept_button = QPushButton("Accept (Enter)")
        self.new_button = QPushButton()
        self.objects = ObjectSection()
        self.measuring = MeasuringObjects(self.controller, self.objects, self)
        self.stack = StackSection()
        self.review = ReviewSection()
        self.time = TimeSection(self.controller)
        self.mask = MaskSection()
        self.many = ManySection(self.controller.found)
        self.hover = HoverPreview(self._viewer, self.controller, self)
        self.remembered = Remembered(self.mask, self.many, self)
        self.look = ImageSection()
        self.session = SessionSection(self._viewer, self.controller)
        self.export = ExportSection(self._viewer)
        self.store = StoreSection()
        self.score.setToolTip("How well the model thinks this mask fits; 1 is perfect.")
        self.precompute = PrecomputeSection(self.controller, self.stack.chosen_range)
        self.prompts.setToolTip("What you have marked for this object.")
        self.object_id.setToolTip("The label that this object gets; choose one to go on with it.")

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Image", self.image_combo)
        form.addRow("Labels", self.labels_combo)
        form.addRow("Model", _row((self.model_name, 1), (self.manager_button, 0)))
        form.addRow("Object", _row((self.object_id, 1), (self.candidate_button, 0)))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.addWidget(self.hint)
        layout.addWidget(self.tools)
        self.tools.fill_up(self.help_button)
        layout.addLayout(form)
        layout.addWidget(self.store)
        layout.addWidget(_row((self.prompts, 1), (self.score, 0)))
        layout.addWidget(_row((self.undo_button, 1), (self.redo_button, 1), (self.clear_button, 1)))
        layout.addWidget(_row((self.accept_button, 1), (self.new_button, 1)))
        layout.addWidget(self._make_sections(), 1)
        for button in self.findChildren(QPushButton):
            # By click they would take the keys away from the image.
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)

    def _make_sections(self) -> FoldArea:
        self.sections = area = FoldArea()
        self.stack_fold = area.add("Stack", self.stack, self.precompute)
        self.review_fold = area.add("Review", self.review)
        self.time_fold = area.add("Time", self.time)
        self.objects_fold = area.add("Objects", self.objects)
        area.add("Mask", self.mask)
        area.add("Many objects", self.many)
        area.add("Image", self.look)
        area.add("Session", self.session)
        area.add("Export", self.export)
        return area

    def _connect(self) -> None:
        control = self.controller
        self._keys = LayerKeys(calls_of(self, self._delivery), control.point_pressed)
        user_keys().changed.connect(self._on_keys)
        self.help_button.clicked.connect(self._show_help)
        self.image_combo.chosen.connect(control.choose_image)
        self.labels_combo.chosen.connect(control.choose_labels)
        self.manager_button.clicked.connect(self._open_manager)
        self.tools.chosen.connect(control.use_tool)
        self.object_id.valueChanged.connect(control.go_to_object)
        self.candidate_button.clicked.connect(control.next_candidate)
        self.undo_button.clicked.connect(control.undo)
        self.redo_button.clicked.connect(control.redo)
        self.clear_button.clicked.connect(control.clear)
        self.objects.resume.connect(control.go_to_object)
        self.objects.classed.connect(control.name_class)
        self.objects.delete.connect(control.delete_objects)
        self.objects.merge.connect(control.merge_objects)
        self.objects.split.connect(control.split_object)
        self.objects.pick.connect(control.pick)
        self.objects.measure.connect(self.measuring.measure)
        self.accept_button.clicked.connect(control.accept)
        self.new_button.clicked.connect(control.new_object)
        self._connect_stack()
        self._connect_review()
        self.mask.changed.connect(control.shape_masks)
        self.mask.hover.toggled.connect(self.hover.turn)
        self.hover.turned_off.connect(partial(self.mask.hover.setChecked, False))
        self.mask.policy_changed.connect(control.use_policy)
        self.mask.accept_on_next.toggled.connect(control.let_next_accept)
        self.many.refine.connect(control.refine_labels)
        self.many.everything.connect(control.find_everything)
        self.many.cancel.connect(control.cancel)
        self.many.each_click.toggled.connect(control.let_each_click_be_new)
        self.many.each_box.toggled.connect(control.let_each_box_be_new)
        self.look.window_chosen.connect(control.looks.use_window)
        self.look.blend_chosen.connect(control.looks.blend)
        self.look.follow_chosen.connect(control.looks.follow)
        self.look.voxel_grid_chosen.connect(control.looks.voxel_grid)
        self.look.ahead_chosen.connect(control.ahead.choose)
        self.look.settled.connect(control.looks.encode_again)
        control.looks.look_changed.connect(self.look.restless)
        self.store.chosen.connect(control.keep_labels_in)
        self.store.brush.connect(control.open_brush_window)
        control.changed.connect(self._render_soon)

    def _connect_stack(self) -> None:
        stack, control = self.stack, self.controller
        stack.propagate.connect(control.stacks.propagate)
        stack.propagate_anew.connect(control.stacks.propagate_anew)
        stack.segment_lesion.connect(control.stacks.lesions.segment)
        stack.way_chosen.connect(self._on_way)
        stack.lesion.tool_chosen.connect(control.use_tool)
        stack.lesion.window_chosen.connect(self._on_lesion_window)
        stack.cancel.connect(control.cancel)
        stack.live.toggled.connect(control.stacks.follow_live)
        stack.fast.toggled.connect(control.stacks.use_fast_memory)
        stack.ends.toggled.connect(control.stacks.stop_at_ends)
        stack.axis_chosen.connect(control.stacks.review_along)
        stack.range_chosen.connect(self._render_soon)

    def _connect_review(self) -> None:
        control = self.controller
        self.review.jumped.connect(control.stacks.show_reviewed)
        self.review.doubtful.connect(lambda step: control.stacks.go_to_mark("doubtful", step))
        self.review.prompted.connect(lambda step: control.stacks.go_to_mark("prompt", step))
        self.review.reviewed.connect(control.stacks.toggle_reviewed)
        self.review.repair.connect(control.stacks.repair)

    def _on_way(self, lesion: bool) -> None:
        """Let a drag draw a diameter where lesions are followed."""
        self.controller.use_tool("diameter" if lesion else "point")
        self._render_soon()

    def _on_lesion_window(self, name: str) -> None:
        self.controller.stacks.lesions.note_window(name)
        self.controller.looks.use_window(name)

    def _open_manager(self) -> None:
        """Open the model manager as the plugin menu does."""
        self._viewer.window.add_plugin_dock_widget("napari-anysam", MANAGER_NAME)

    def _show_help(self) -> None:
        """Show all keys in a window of their own."""
        if self.help is None:
            self.help = HelpPanel(self)
        self.help.show()
        self.help.raise_()

    def _on_keys(self) -> None:
        """Bind the keys that the user has chosen, and name them."""
        self._keys.bind_again()
        self._render_soon()

    def _render_soon(self) -> None:
        """Render once, when napari has done what it is doing; many changes come together."""
        if not self._dirty:
            self._dirty = True
            self._delivery(self._render)

    def _render(self) -> None:
        """Show what the controller says; nothing is decided here."""
        self._dirty = False
        control = self.controller
        status = control.status
        self.image_combo.offer(control.image_choices(), control.image)
        self.labels_combo.offer(control.labels_choices(), control.labels)
        self._render_model()
        self.hint.setText(sentence(status))
        self.tools.show_status(status)
        self._render_object(status)
        objects = control.objects.summaries()
        self.sections.fill(self.objects_fold, bool(objects))
        self.objects.show_objects(
            objects,
            status.object_id,
            control.colour_of,
            cannot_split=why_not("split", status),
        )
        self.measuring.follow()
        axes = control.stacks.stack_axes()
        self.stack.show_axes(axes)
        run = control.stacks.take_run_to_resume()
        if run is not None:
            self.stack.choose(run)
        self.stack.show_status(status)
        self._render_run(status)
        self.many.show_status(status, control.labels_to_refine())
        self.look.show_view(control.looks.view, axes, ahead=control.ahead.is_on)
        self.precompute.render_state()
        self.time.render_state()
        self.session.show_keys()
        self.export.work_on(control.labels, control.image)
        self.sections.fill(self.stack_fold, bool(axes))
        review = control.stacks.review.state()
        self.sections.fill(self.review_fold, bool(review.in_words))
        self.review.show_review(review, control.colour_of)
        self._show_review_of(status)
        work = control.workspace
        self.store.show_work(work)
        if work is not None:
            prompts = work.prompts
            self._keys.follow((prompts.points, prompts.shapes, control.image, control.labels))
        else:
            self._keys.follow(())

    def _render_run(self, status: Status) -> None:
        """Show what would be followed, and what that will take."""
        stacks, chosen = self.controller.stacks, self.stack.chosen_range()
        self.stack.show_lesion(stacks.lesions.view(None if chosen is None else chosen.axis), status)
        if chosen is not None and self.stack.follows_lesion:
            self.stack.show_continuation(None)
            self.stack.show_outlook(stacks.lesions.outlook(chosen))
        else:
            self.stack.show_continuation(stacks.continuation(chosen))
            self.stack.show_outlook(stacks.outlook(chosen))

    def _show_review_of(self, status: Status) -> None:
        """Bring up what a run has come to when it ends; while live volume is on, they never end."""
        runs = status.stage is Stage.PROPAGATING
        if self._ran and not runs and status.done and not self.stack.live.isChecked():
            self.sections.bring_up(self.review_fold)
        self._ran = runs

    def _render_model(self) -> None:
        self.manager_button.setToolTip(with_key("Choose, load or download a model.", "models"))
        self.help_button.setToolTip(with_key("Show all keys, and change them.", "help"))
        active = self._active
        name = f"{active.name} ({active.device})" if active.name else active.message or "none"
        self.model_name.setText(name)
        self.model_name.setToolTip(f"Answers clicks and boxes: {name}. {active.hint}".strip())

    def _render_object(self, status: Status) -> None:
        with QSignalBlocker(self.object_id):
            self.object_id.setValue(status.object_id)
        self.object_id.setEnabled(self.controller.image is not None)
        cached = "" if status.encoded else ", cached"
        self.score.setText("" if status.score is None else f"score {status.score:.2f}{cached}")
        source = source_in_words(status)
        self.score.setToolTip(
            f"How well the model thinks this mask fits; 1 is perfect. {source}".strip()
        )
        several = f"Mask {status.candidate}/{status.candidates}"
        self.candidate_button.setText(several if status.candidates else "Mask")
        self.prompts.setText(prompts_in_words(status))
        self.new_button.setText(f"New object ({in_words('new')})")
        for button, action in (
            (self.undo_button, "undo"),
            (self.redo_button, "redo"),
            (self.clear_button, "clear"),
            (self.accept_button, "accept"),
            (self.new_button, "new"),
            (self.candidate_button, "cycle"),
        ):
            reason = why_not(action, status)
            button.setEnabled(not reason)
            button.setToolTip(with_key(reason or _TOOLTIPS[action], action))
        back = with_key("Back to the mask before.", "previous")
        self.candidate_button.setToolTip(f"{self.candidate_button.toolTip()} {back}")


def _row(*parts: tuple[QWidget, int]) -> QWidget:
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    for widget, stretch in parts:
        layout.addWidget(widget, stretch)
    return row


def _chosen_image(viewer: Any, images: list[Any]) -> Any:
    """Return the image that the user has selected, else the topmost."""
    selected = [image for image in images if image in viewer.layers.selection]
    return (selected or images)[-1]
