"""One image being worked on: its prompt layers, its labels, and one order of undo over both."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_anysam._napari.coordinates import current_frame, spatial_shape
from napari_anysam._napari.label_store import BrushWindow, needs_store, store_layer, store_of
from napari_anysam._napari.label_target import LabelTarget, can_hold
from napari_anysam._napari.prompt_layers import (
    PromptLayers,
    copy_transform,
    find_layer,
    make_labels,
    same_prompt,
)
from napari_anysam.errors import ImageError, PromptError
from napari_anysam.segmentation.session import PromptStep, Session, parts_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from napari.layers import Labels

    from napari_anysam._napari.coordinates import PlaneFrame
    from napari_anysam._napari.label_target import WritePolicy
    from napari_anysam.segmentation.labels import LabelEdit
    from napari_anysam.segmentation.prompts import Prompt
    from napari_anysam.segmentation.session import KeptMask, PromptKey, Step

__all__ = ["LabelChange", "Workspace"]


@dataclass(slots=True)
class LabelChange:
    """What one step does to the labels, collected while it is written."""

    edits: list[LabelEdit] = field(default_factory=list)
    kept: dict[PromptKey, KeptMask | None] = field(default_factory=dict)


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
        self.session = Session()
        self.target: LabelTarget | None = None
        self.object_id = 1
        self.policy: WritePolicy = "protect"
        # Part of the key of cached embeddings; a new one whenever the pixels change.
        self.identity = object()
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
            self.session.prompts.update(self.prompts.collect(frame))
        return frame

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

    def next_object_id(self) -> int:
        """Return an id that no object has yet."""
        largest = 0 if self.target is None else self.target.largest_id
        return max(self.session.next_object_id, largest + 1)

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
    ) -> None:
        """Write masks of one plane into the labels, as a part of one step."""
        target = self.ensure_labels()
        for key, mask in masks.items():
            earlier = change.kept.get(key, self.session.kept.get(key))
            edits = target.write(
                key[0],
                frame,
                None if mask is None else mask.window,
                None if earlier is None else earlier.window,
                policy=self.policy,
                keep_erased=keep_erased,
            )
            change.edits.extend(edits)
            change.kept[key] = mask

    def record(self, change: LabelChange, description: str) -> None:
        """Make what was written one step of the history, if it changed anything."""
        if change.edits or change.kept.keys() - self.session.kept.keys():
            self.session.record_labels(change.edits, description, change.kept)

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
        for layer in (self.prompts.points, self.prompts.shapes):
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
        if self.target is not None and any(not isinstance(part, PromptStep) for part in parts):
            self.target.layer.refresh()

    def _restart(self) -> None:
        """Forget the history; what is in the layers stays."""
        self.session = Session(prompts=dict(self.session.prompts))
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
