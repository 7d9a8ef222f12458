"""A session: what was said and kept of every object, and one order of undo over all of it.

The session knows no layers. Whoever shows it calls its methods as the user works, and after
``undo`` or ``redo`` brings its layers to the state that the step names.
"""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_anysam.segmentation.journal import painting_of
from napari_anysam.segmentation.lineage import check_lineage
from napari_anysam.segmentation.losses import missed_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from napari_anysam.segmentation.journal import Entry, Recipe
    from napari_anysam.segmentation.labels import LabelEdit
    from napari_anysam.segmentation.lineage import Lineage
    from napari_anysam.segmentation.prompts import Prompt
    from napari_anysam.segmentation.windows import Window

__all__ = [
    "ClassStep",
    "CompoundStep",
    "DismissStep",
    "KeptMask",
    "LabelStep",
    "ParentStep",
    "PromptKey",
    "PromptStep",
    "ReviewStep",
    "Session",
    "Step",
    "keys_of",
    "parts_of",
]

_REMEMBERED = 64

PromptKey = tuple[int, int | None]
"""(object id, plane)"""


@dataclass(frozen=True, slots=True, eq=False)
class KeptMask:
    """The mask that was written for one object on one plane.

    Parameters
    ----------
    window : Window
    score : float or None
        Predicted IoU; None where nobody predicted one.
    model : str
        Name of the model that made it; empty for masks made by hand.
    recipe : Recipe or None
        The prompts that led to it; None of masks that no click asked for.
    confidence : float or None
        0 to 1, how far a propagated mask can be trusted; None of one that somebody accepted.
    doubts : tuple of str
        Why a propagated mask should be looked at, for the user; empty where nothing is wrong.
    """

    window: Window
    score: float | None = None
    model: str = ""
    recipe: Recipe | None = None
    confidence: float | None = None
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class PromptStep:
    """One change of one object's prompt on one plane; None stands for no prompt."""

    key: PromptKey
    before: Prompt | None
    after: Prompt | None


@dataclass(frozen=True, slots=True, eq=False)
class LabelStep:
    """Label edits made together, and what counts as kept before and after them.

    Parameters
    ----------
    edits : tuple of LabelEdit
    description : str
    entry : Entry
        What the journal holds as long as the step is done.
    before, after : mapping of (object id, plane) to KeptMask or None
        Of the same keys.
    missed : frozenset of (object id, plane)
        Which of these a run had looked for in vain before the step.
    """

    edits: tuple[LabelEdit, ...]
    description: str
    entry: Entry
    before: Mapping[PromptKey, KeptMask | None] = field(default_factory=dict)
    after: Mapping[PromptKey, KeptMask | None] = field(default_factory=dict)
    missed: frozenset[PromptKey] = frozenset()

    @property
    def nbytes(self) -> int:
        """Bytes that its edits hold."""
        return sum(edit.nbytes for edit in self.edits)


@dataclass(frozen=True, slots=True, eq=False)
class ClassStep:
    """One object's class was named; an empty name stands for none."""

    object_id: int
    before: str
    after: str


@dataclass(frozen=True, slots=True, eq=False)
class ReviewStep:
    """Objects on planes were marked as reviewed, or no longer; only those that changed."""

    keys: tuple[PromptKey, ...]
    reviewed: bool


@dataclass(frozen=True, slots=True, eq=False)
class ParentStep:
    """One object was said to descend from another; None stands for no mother."""

    child: int
    before: int | None
    after: int | None


@dataclass(frozen=True, slots=True, eq=False)
class DismissStep:
    """A division of this object at this time point was said to be none."""

    mother: int
    time: int


@dataclass(frozen=True, slots=True, eq=False)
class CompoundStep:
    """Steps that are undone and redone together."""

    steps: tuple[Step, ...]
    description: str


SimpleStep = PromptStep | LabelStep | ClassStep | ReviewStep | ParentStep | DismissStep
Step = SimpleStep | CompoundStep


def parts_of(step: Step) -> Iterator[SimpleStep]:
    """Walk through the simple steps that a step consists of, in the order they were made."""
    if isinstance(step, CompoundStep):
        for part in step.steps:
            yield from parts_of(part)
    else:
        yield step


@dataclass(slots=True)
class Session:
    """Objects with their prompts, kept masks and classes, and one history across all of it.

    Parameters
    ----------
    max_steps : int
        How many steps can be undone; older ones are forgotten.
    journal : list of Entry
        All that was written into the labels, in order, without what was undone.
    reviewed : set of (object id, plane)
        What somebody has looked at and found right; propagations leave it as it is.
    parents : dict
        Daughter to mother, by object id; see ``lineage``.
    dismissed : set of (object id, time)
        Divisions that are none, by what seemed a mother and the time point.
    missed : set of (object id, plane)
        Where a run looked for an object in vain; see ``losses``.

    Attributes
    ----------
    revision : int
        Another one after every step, undo and redo.
    """

    max_steps: int = 500
    prompts: dict[PromptKey, Prompt] = field(default_factory=dict)
    kept: dict[PromptKey, KeptMask] = field(default_factory=dict)
    classes: dict[int, str] = field(default_factory=dict)
    journal: list[Entry] = field(default_factory=list)
    reviewed: set[PromptKey] = field(default_factory=set)
    parents: dict[int, int] = field(default_factory=dict)
    dismissed: set[tuple[int, int]] = field(default_factory=set)
    missed: set[PromptKey] = field(default_factory=set)
    revision: int = field(default=0, init=False)
    _done: list[Step] = field(default_factory=list)
    _undone: list[Step] = field(default_factory=list)
    _group: list[Step] | None = None
    _touched: set[tuple[int, ...]] = field(default_factory=set)
    _latest: deque[tuple[int, Step]] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))

    @property
    def object_ids(self) -> tuple[int, ...]:
        """Ids that have a prompt, a kept mask or a class, ascending."""
        keys = {object_id for keyed in (self.prompts, self.kept) for object_id, _ in keyed}
        return tuple(sorted(keys | set(self.classes)))

    @property
    def next_object_id(self) -> int:
        """One more than the highest id."""
        return max(self.object_ids, default=0) + 1

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to undo."""
        return bool(self._done)

    @property
    def can_redo(self) -> bool:
        """Whether there is an undone step."""
        return bool(self._undone)

    def prompts_of(self, object_id: int) -> tuple[Prompt, ...]:
        """Return the prompts of one object, by plane in the order they were first given."""
        return tuple(prompt for key, prompt in self.prompts.items() if key[0] == object_id)

    def touched_since(self, revision: int, *, reviews: bool = True) -> set[PromptKey] | None:
        """Return the objects and planes that changed since a revision; None if too long ago.

        Parameters
        ----------
        revision : int
        reviews : bool, optional
            Whether it is a change to have been reviewed, or no longer.
        """
        if self.revision - revision > len(self._latest):
            return None
        steps = [step for number, step in self._latest if number > revision]
        parts = [part for step in steps for part in parts_of(step)]
        if not reviews:
            parts = [part for part in parts if not isinstance(part, ReviewStep)]
        return {key for part in parts for key in keys_of(part)}

    def take_touched(self) -> set[tuple[int, ...]]:
        """Return the planes whose labels were changed since the last time this was asked."""
        touched, self._touched = self._touched, set()
        return touched

    def set_prompt(self, key: PromptKey, prompt: Prompt | None) -> None:
        """Replace the prompt of one object on one plane; None removes it."""
        step = PromptStep(key, self.prompts.get(key), prompt)
        self._apply(step, forward=True)
        self._record(step)

    def name_class(self, object_id: int, name: str) -> None:
        """Say which class an object is of; an empty name takes it out of its class."""
        step = ClassStep(object_id, self.classes.get(object_id, ""), name)
        if step.before != step.after:
            self._apply(step, forward=True)
            self._record(step)

    def set_lineage(self, parents: Lineage) -> None:
        """Say who descends from whom, of all objects; one step for every link that changes."""
        checked = check_lineage(parents)
        for child in sorted(self.parents.keys() | checked.keys()):
            step = ParentStep(child, self.parents.get(child), checked.get(child))
            if step.before != step.after:
                self._apply(step, forward=True)
                self._record(step)

    def dismiss(self, mother: int, time: int) -> None:
        """Say that an object does not divide at a time point."""
        if (mother, time) not in self.dismissed:
            step = DismissStep(mother, time)
            self._apply(step, forward=True)
            self._record(step)

    def review(self, keys: Iterable[PromptKey], *, reviewed: bool = True) -> None:
        """Mark objects on planes as reviewed, or take that back."""
        changed = tuple(key for key in keys if (key in self.reviewed) is not reviewed)
        if changed:
            step = ReviewStep(changed, reviewed)
            self._apply(step, forward=True)
            self._record(step)

    def record_labels(
        self,
        edits: Sequence[LabelEdit],
        description: str,
        kept: Mapping[PromptKey, KeptMask | None] | None = None,
        entry: Entry | None = None,
    ) -> None:
        """Record edits that were already written, as one step.

        Parameters
        ----------
        edits : sequence of LabelEdit
            In the order they were written.
        description : str
            For the user, such as "mask of object 3".
        kept : mapping of (object id, plane) to KeptMask or None
            What is kept now of the objects that were written; None of one that was erased.
        entry : Entry, optional
            How to do it again; left out, the journal holds the pixels that were changed.
        """
        after = dict(kept or {})
        before = {key: self.kept.get(key) for key in after}
        missed = frozenset(self.missed.intersection(after))
        entry = painting_of(edits, after) if entry is None else entry
        self._set_kept(after, missed_in(entry))
        self.journal.append(entry)
        self._touched.update(edit.index for edit in edits)
        self._record(LabelStep(tuple(edits), description, entry, before, after, missed))

    @contextmanager
    def together(self, description: str) -> Iterator[None]:
        """Record what happens inside as one step, if anything does."""
        if self._group is not None:  # a part of a larger one
            yield
            return
        self._group = []
        try:
            yield
        finally:
            steps, self._group = tuple(self._group), None
            if steps:
                self._record(CompoundStep(steps, description))

    def undo(self, labels: Any = None) -> Step | None:
        """Take back the last step and return it, or None if there is none.

        Parameters
        ----------
        labels : array-like
            The label array that label steps were written to.
        """
        if not self._done:
            return None
        step = self._done.pop()
        self._undone.append(step)
        self._note(step)
        for part in reversed(tuple(parts_of(step))):
            self._apply(part, forward=False, labels=labels)
        return step

    def redo(self, labels: Any = None) -> Step | None:
        """Do the last undone step again and return it, or None if there is none."""
        if not self._undone:
            return None
        step = self._undone.pop()
        self._done.append(step)
        self._note(step)
        for part in parts_of(step):
            self._apply(part, forward=True, labels=labels)
        return step

    def _apply(self, step: SimpleStep, *, forward: bool, labels: Any = None) -> None:
        if isinstance(step, PromptStep):
            _set(self.prompts, step.key, step.after if forward else step.before)
            return
        if isinstance(step, ClassStep):
            _set(self.classes, step.object_id, (step.after if forward else step.before) or None)
            return
        if isinstance(step, ParentStep):
            _set(self.parents, step.child, step.after if forward else step.before)
            return
        if isinstance(step, DismissStep):
            mark = self.dismissed.add if forward else self.dismissed.remove
            mark((step.mother, step.time))
            return
        if isinstance(step, ReviewStep):
            added = step.reviewed is forward
            change = self.reviewed.update if added else self.reviewed.difference_update
            change(step.keys)
            return
        self._touched.update(edit.index for edit in step.edits)
        if forward:
            for edit in step.edits:
                edit.redo(labels)
            self.journal.append(step.entry)
            self._set_kept(step.after, missed_in(step.entry))
        else:
            for edit in reversed(step.edits):
                edit.undo(labels)
            self.journal.pop()
            self._set_kept(step.before, step.missed)

    def _set_kept(
        self, kept: Mapping[PromptKey, KeptMask | None], missed: Iterable[PromptKey]
    ) -> None:
        for key, mask in kept.items():
            _set(self.kept, key, mask)
        self.missed.difference_update(kept)
        self.missed.update(missed)

    def _note(self, step: Step) -> None:
        self.revision += 1
        self._latest.append((self.revision, step))

    def _record(self, step: Step) -> None:
        self._note(step)
        if self._group is not None:
            self._group.append(step)
            return
        self._done.append(step)
        del self._done[: -self.max_steps]
        self._undone.clear()


def keys_of(step: SimpleStep) -> Iterable[PromptKey]:
    """Return the objects and planes that a simple step is about; none of a class or a family."""
    if isinstance(step, PromptStep):
        return (step.key,)
    if isinstance(step, ReviewStep):
        return step.keys
    return step.after if isinstance(step, LabelStep) else ()


def _set(values: dict[Any, Any], key: Any, value: Any) -> None:
    if value is None:
        values.pop(key, None)
    else:
        values[key] = value
