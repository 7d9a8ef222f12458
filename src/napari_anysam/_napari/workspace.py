"""One image being worked on: its prompt layers, its labels, and one order of undo over both."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from napari.layers import Image

from napari_anysam._napari.appearance import Appearance
from napari_anysam._napari.coordinates import current_frame, spatial_shape
from napari_anysam._napari.label_store import BrushWindow, needs_store, store_layer, store_of
from napari_anysam._napari.label_target import LabelTarget, can_hold
from napari_anysam._napari.object_looks import colours_of, features_of
from napari_anysam._napari.prompt_layers import (
    PromptLayers,
    copy_transform,
    find_layer,
    make_labels,
    same_prompt,
)
from napari_anysam._napari.standing_masks import beside, standing_window
from napari_anysam._napari.unfinished import Unfinished, saved_run
from napari_anysam.errors import ImageError, PromptError, SessionError
from napari_anysam.images.label_pyramid import LabelPyramid
from napari_anysam.segmentation.journal import Write, Writing
from napari_anysam.segmentation.object_summaries import ObjectSummaries
from napari_anysam.segmentation.prompts import merge_prompts
from napari_anysam.segmentation.session import PromptStep, Session, parts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from pathlib import Path

    from napari.layers import Labels
    from numpy.typing import NDArray

    from napari_anysam._napari.coordinates import PlaneFrame
    from napari_anysam._napari.label_target import WritePolicy
    from napari_anysam.segmentation.journal import Run
    from napari_anysam.segmentation.label_census import FoundObject, LabelCensus
    from napari_anysam.segmentation.labels import LabelEdit
    from napari_anysam.segmentation.object_summaries import ObjectSummary
    from napari_anysam.segmentation.prompts import Prompt
    from napari_anysam.segmentation.recent_states import Reached
    from napari_anysam.segmentation.saved_session import SavedSession
    from napari_anysam.segmentation.session import KeptMask, PromptKey, Step
    from napari_anysam.segmentation.windows import Window

__all__ = ["LabelChange", "Workspace"]


@dataclass(slots=True)
class LabelChange:
    """What one step does to the labels, collected while it is written."""

    edits: list[LabelEdit] = field(default_factory=list)
    kept: dict[PromptKey, KeptMask | None] = field(default_factory=dict)
    writes: list[Write] = field(default_factory=list)


class Workspace:
    """The layers and the history of one image.

    Parameters
    ----------
    viewer : napari viewer
    image : napari Image
        Its prompt layers are found again if they were made before.
    """

    def __init__(self, viewer: Any, image: Any) -> None:
        self._viewer = viewer
        self.image = image
        self.prompts = PromptLayers(viewer, image)
        self.appearance = Appearance(viewer, image)
        self.session = Session()
        self.target: LabelTarget | None = None
        self.object_id = 1
        self.policy: WritePolicy = "protect"
        # Part of the key of cached embeddings; a new one whenever the pixels change.
        self.identity = object()
        # Objects in the labels, made here or not, and their count, which FoundLabels looks after.
        self.found: dict[int, FoundObject] = {}
        # Masks in the labels that nobody kept here, and that give way to the next of their object.
        self.standing: dict[PromptKey, Window] = {}
        self.census: LabelCensus | None = None
        # While a run writes into the labels: what it has written, and where it can go on, for
        # whoever saves the session; and of the last run that ended before its end.
        self.run_so_far: Callable[[], tuple[Writing, Reached | None] | None] | None = None
        self.unfinished: Unfinished | None = None
        self._summaries = ObjectSummaries()
        self._shows_kin = False
        self._order: tuple[int, ...] | None = None
        existing = find_layer(viewer, image, "labels")
        if existing is not None and can_hold(existing, image):
            self.choose_labels(existing)

    def frame(self) -> PlaneFrame:
        """Return the plane that the viewer shows; a new order of axes starts a new history.

        Raises
        ------
        ImageError
            If no single plane of the image is shown.
        """
        frame = current_frame(self._viewer.dims, self.image)
        if frame.order != self._order:
            self._order = frame.order
            self._restart()
            self.prompts.forget_held()
            self.session.prompts.update(self.prompts.collect(frame))
        return frame

    def shows(self, planes: Collection[PlaneFrame]) -> bool:
        """Tell whether the viewer may show some of these planes now; in 3D it shows all."""
        try:
            shown = current_frame(self._viewer.dims, self.image)
        except ImageError:
            return bool(planes)
        return any(one == shown or one.order != shown.order for one in planes)

    def choose_labels(self, layer: Labels | None) -> None:
        """Write into this layer from now on; None stands for a new layer at the first mask."""
        if layer is not None:
            self._check(layer)
        order = self._order or tuple(range(self.image.ndim))
        self.target = None if layer is None else LabelTarget(layer, order)
        self._restart()
        if self.target is not None:
            self.object_id = max(self.object_id, self.target.largest_id + 1)

    def ensure_labels(self) -> LabelTarget:
        """Return the labels to write into; made and added to the viewer if there are none."""
        if self.target is None:
            layer = self._new_labels()
            self._add_above_image(layer)
            self.target = LabelTarget(layer, self._order or tuple(range(self.image.ndim)))
        self._check(self.target.layer)
        return self.target

    def restore(self, saved: SavedSession, labels: NDArray[Any] | LabelPyramid) -> None:
        """Go on with a saved session in a new Labels layer; what is undone starts afresh.

        Raises
        ------
        SessionError
            If something was done with the image already, or its axes are shown in another order.
        """
        frame = self.frame()
        if self.session.revision:
            raise SessionError(
                f"{self.image.name!r} has been worked on already; open the session in a new viewer."
            )
        if frame.order != saved.order:
            raise SessionError(
                f"The session needs the axes of {self.image.name!r} in the order {saved.order}; "
                "roll the axes."
            )
        for key in self.session.prompts:
            self.prompts.replace(key, None, frame)
        if isinstance(labels, LabelPyramid):
            layer = store_layer(self.image, labels.path)
        else:
            layer = make_labels(self.image)
            layer.data = labels
        self._add_above_image(layer)
        self.choose_labels(layer)
        self.session = Session(
            prompts={(prompt.object_id, prompt.plane): prompt for prompt in saved.prompts},
            kept=saved.kept,
            classes=dict(saved.classes),
            reviewed=set(saved.reviewed),
            parents=dict(saved.parents),
            dismissed=set(saved.dismissed),
            missed=saved.missed,
            journal=list(saved.journal),
        )
        self.prompts.show(self.session.prompts, frame)
        self.unfinished = saved_run(saved)

    def unfinished_run(self) -> Unfinished | None:
        """Return the run that the journal ends with, if it can go on."""
        journal, unfinished = self.session.journal, self.unfinished
        if unfinished is None or not journal or journal[-1] is not unfinished.entry:
            return None
        return unfinished

    @property
    def needs_store(self) -> bool:
        """Whether labels have to be kept on disk, and nobody said where yet."""
        return self.target is None and needs_store(self.image)

    @property
    def has_store(self) -> bool:
        """Whether the chosen labels are a pyramid on disk."""
        return self.target is not None and store_of(self.target.layer) is not None

    def keep_labels_in(self, path: Path) -> None:
        """Write into a pyramid on disk from now on; see `label_store.store_layer`."""
        layer = store_layer(self.image, path)
        self._add_above_image(layer)
        self.choose_labels(layer)

    def open_brush_window(self) -> None:
        """Let the brush work where the user looks, in labels that are a pyramid on disk."""
        if self.target is None or not self.has_store:
            raise ImageError("These labels can be painted as they are; choose their layer.")
        brush = BrushWindow(self._viewer, self.image, self.target.layer)
        brush.open(self.frame()).selected_label = self.object_id

    def layers_named(self, names: Collection[str]) -> list[Any]:
        """Return the image layers of the viewer that have one of these names."""
        return [
            layer
            for layer in self._viewer.layers
            if layer.name in names and isinstance(layer, Image)
        ]

    def next_object_id(self) -> int:
        """Return an id that no object has yet."""
        largest = 0 if self.target is None else self.target.largest_id
        return max(largest, *(one.object_id for one in self.summaries()), 0) + 1

    def summaries(self) -> tuple[ObjectSummary, ...]:
        """Return the objects of the session and those that its labels hold beside them, by id."""
        return self._summaries.of(self.session, self.found)

    def forget_found(self, object_ids: Collection[int]) -> None:
        """Take objects out of what was found, until their labels are counted again."""
        self.found = {key: one for key, one in self.found.items() if key not in set(object_ids)}
        self.show_features()

    def is_object(self, object_id: int) -> bool:
        """Whether the labels hold pixels of an object."""
        return any(one.kept for one in self.summaries() if one.object_id == object_id)

    def is_written(self, key: PromptKey) -> bool:
        """Whether a mask of this object was accepted or propagated on this plane."""
        return key in self.session.kept

    def changes(self, frame: PlaneFrame) -> dict[PromptKey, Prompt | None]:
        """Return what is different in the prompt layers from what the session knows.

        Raises
        ------
        PromptError
            If something lies outside the image; the layers are put back as they were.
        """
        found = self.prompts.collect(frame)
        known = self.session.prompts
        changed = {
            key: found.get(key)
            for key in {**known, **found}
            if not same_prompt(known.get(key), found.get(key))
        }
        count = None if frame.number is None else math.prod(frame.hidden_shape)
        for key, prompt in changed.items():
            try:
                if prompt is not None:
                    prompt.check_inside(frame.plane_shape, count)
            except PromptError:
                self.prompts.replace(key, known.get(key), frame)
                raise
        return changed

    def take_up_labels(self, changes: dict[PromptKey, Prompt | None], frame: PlaneFrame) -> None:
        """Let what the labels show of an object be a part of its first prompt on a plane.

        That is what a run has drawn there, or the label of an object that was not made here.
        """
        for key, prompt in changes.items():
            if prompt is None or prompt.mask is not None or key in self.session.prompts:
                continue
            here = frame.numbered(key[1])
            window = standing_window(self, key[0], here)
            rough = None if window is None else beside(self, prompt, window, here)
            if window is None or rough is None:
                continue
            if key not in self.session.kept:
                self.standing[key] = window
            changes[key] = merge_prompts([rough, prompt])[key]
            self.prompts.hold(rough)
            self.prompts.replace(key, changes[key], frame)

    def is_relabelled(self, frame: PlaneFrame) -> bool:
        """Whether prompts in the layers belong to other objects, or mean the opposite, now."""
        found, known = self.prompts.collect(frame), self.session.prompts
        return found.keys() != known.keys() or any(
            _polarity(found[key]) != _polarity(known[key]) for key in found
        )

    def remove_prompts(self, keys: Iterable[PromptKey], frame: PlaneFrame) -> None:
        """Take prompts away, from the session and from the layers."""
        for key in keys:
            self.session.set_prompt(key, None)
            self.prompts.replace(key, None, frame)

    def write(
        self,
        change: LabelChange,
        masks: Mapping[PromptKey, KeptMask | None],
        frame: PlaneFrame,
        *,
        keep_erased: bool = False,
        standing: Mapping[PromptKey, Window | None] | None = None,
    ) -> None:
        """Write masks of one plane into the labels, as a part of one step.

        ``standing`` names masks in the labels that nobody kept here, and that give way; left out,
        those that became prompts.
        """
        target = self.ensure_labels()
        for key, mask in masks.items():
            earlier = change.kept.get(key, self.session.kept.get(key))
            found = (self.standing if standing is None else standing).get(key)
            edits = target.write(
                key[0],
                frame,
                None if mask is None else mask.window,
                found if earlier is None else earlier.window,
                policy=self.policy,
                keep_erased=keep_erased,
            )
            change.edits.extend(edits)
            change.kept[key] = mask
            change.writes.append(Write(key, mask))

    def record(self, change: LabelChange, description: str, run: Run | None = None) -> None:
        """Make what was written one step of the history, if it changed anything.

        Parameters
        ----------
        change : LabelChange
        description : str
            For the user.
        run : Run, optional
            The propagation that gave the masks.
        """
        if not (change.edits or change.kept.keys() - self.session.kept.keys()):
            return
        entry = None
        if run is not None or all(_has_recipe(write) for write in change.writes):
            entry = Writing(tuple(change.writes), self.policy, run)
        self.session.record_labels(change.edits, description, change.kept, entry)

    def edit(self, change: Callable[[Session, Any], None]) -> None:
        """Change session and labels by ``change(session, labels)``, and show what came of it."""
        frame = self.frame()
        before = dict(self.session.prompts)
        change(self.session, self._array())
        after = self.session.prompts
        for key in before.keys() | after.keys():
            if before.get(key) is not after.get(key):
                self.prompts.replace(key, after.get(key), frame)
        self.publish()

    def publish(self) -> None:
        """Show the labels as they are now, the objects as their features, and their colours."""
        layer = None if self.target is None else self.target.layer
        if layer is not None:
            layer.refresh()
            self.show_features()
        self.paint()

    def show_features(self) -> None:
        """Show the objects as the features of their labels."""
        if self.target is not None:
            layer = self.target.layer
            parents = self.session.parents
            self._shows_kin |= bool(parents)
            kin = parents if self._shows_kin else None
            layer.features = features_of(self.summaries(), layer.features, kin)

    def paint(self) -> None:
        """Give prompts the colours of their objects."""
        layer = None if self.target is None else self.target.layer
        self.prompts.paint(partial(colours_of, layer))

    def undo(self, frame: PlaneFrame) -> Step | None:
        """Take back the last step, in the labels and in the prompt layers."""
        step = self.session.undo(self._array())
        self._show(step, frame)
        return step

    def redo(self, frame: PlaneFrame) -> Step | None:
        """Do the last undone step again, in the labels and in the prompt layers."""
        step = self.session.redo(self._array())
        self._show(step, frame)
        return step

    def copy_transform(self) -> None:
        """Give the layers made for the image its transform again."""
        labels = find_layer(self._viewer, self.image, "labels")
        for layer in (self.prompts.points, self.prompts.shapes, labels):
            if layer is not None:
                copy_transform(self.image, layer)

    def _array(self) -> Any:
        return None if self.target is None else self.target.array

    def _show(self, step: Step | None, frame: PlaneFrame) -> None:
        """Bring the layers to what the session says after a step was undone or redone."""
        if step is None:
            return
        parts = list(parts_of(step))
        for key in {part.key: None for part in parts if isinstance(part, PromptStep)}:
            self.prompts.replace(key, self.session.prompts.get(key), frame)
        if any(not isinstance(part, PromptStep) for part in parts):
            self.publish()
        else:
            self.paint()

    def _restart(self) -> None:
        """Forget the history; what is in the layers stays."""
        self.session = Session(prompts=dict(self.session.prompts))
        self.found, self.standing = {}, {}
        if self.target is not None and self._order is not None:
            self.target = LabelTarget(self.target.layer, self._order)

    def _check(self, layer: Labels) -> None:
        if not can_hold(layer, self.image):
            raise ImageError(
                f"{layer.name!r} cannot take masks of {self.image.name!r}: it needs the same "
                "shape, one level, and an array in memory or in a Zarr store."
            )

    def _new_labels(self) -> Labels:
        if needs_store(self.image):
            raise ImageError(
                f"Labels of {self.image.name!r} are too large for the memory; choose where to keep "
                "them with 'Label store...' in the Segment dock."
            )
        try:
            return make_labels(self.image)
        except MemoryError as error:
            raise ImageError(
                f"There is no memory for labels of {self.image.name!r} "
                f"({' x '.join(map(str, spatial_shape(self.image)))}); make a Labels layer on a "
                "Zarr store and choose it."
            ) from error

    def _add_above_image(self, layer: Labels) -> None:
        layers = self._viewer.layers
        active = layers.selection.active
        layers.insert(layers.index(self.image) + 1, layer)
        layers.selection.active = active


def _polarity(prompt: Prompt) -> tuple[bool, ...]:
    return (*prompt.polarity, *(stroke.positive for stroke in prompt.scribbles))


def _has_recipe(write: Write) -> bool:
    return write.mask is not None and write.mask.recipe is not None
