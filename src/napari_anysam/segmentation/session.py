"""A session: the prompts of every object, what was written for them, and one order of undo.

The session knows no layers. Whoever shows it calls ``set_prompt`` and ``record_labels`` as the
user works, and after ``undo`` or ``redo`` brings its layers to the state that the step names.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_anysam.segmentation.labels import LabelEdit
    from napari_anysam.segmentation.prompts import Prompt

__all__ = ["LabelStep", "PromptKey", "PromptStep", "Session", "Step"]

PromptKey = tuple[int, int | None]
"""(object id, plane)"""


@dataclass(frozen=True, slots=True, eq=False)
class PromptStep:
    """One change of one object's prompt on one plane; None stands for no prompt."""

    key: PromptKey
    before: Prompt | None
    after: Prompt | None


@dataclass(frozen=True, slots=True, eq=False)
class LabelStep:
    """One or more label edits made together: an accepted mask, or a whole propagated run."""

    edits: tuple[LabelEdit, ...]
    description: str

    @property
    def nbytes(self) -> int:
        """Bytes that its edits hold."""
        return sum(edit.nbytes for edit in self.edits)


Step = PromptStep | LabelStep


@dataclass(slots=True)
class Session:
    """Objects with their prompts, and one history across prompts and labels.

    Parameters
    ----------
    max_steps : int
        How many steps can be undone; older ones are forgotten.
    """

    max_steps: int = 500
    prompts: dict[PromptKey, Prompt] = field(default_factory=dict)
    _done: list[Step] = field(default_factory=list)
    _undone: list[Step] = field(default_factory=list)

    @property
    def object_ids(self) -> tuple[int, ...]:
        """Ids that have a prompt, ascending."""
        return tuple(sorted({object_id for object_id, _ in self.prompts}))

    @property
    def next_object_id(self) -> int:
        """One more than the highest id that has a prompt."""
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

    def set_prompt(self, key: PromptKey, prompt: Prompt | None) -> PromptStep:
        """Replace the prompt of one object on one plane; None removes it."""
        step = PromptStep(key, self.prompts.get(key), prompt)
        self._set(key, prompt)
        self._record(step)
        return step

    def record_labels(self, edits: Sequence[LabelEdit], description: str) -> LabelStep:
        """Record edits that were already written, as one step."""
        step = LabelStep(tuple(edits), description)
        self._record(step)
        return step

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
        if isinstance(step, PromptStep):
            self._set(step.key, step.before)
        else:
            for edit in reversed(step.edits):
                edit.undo(labels)
        return step

    def redo(self, labels: Any = None) -> Step | None:
        """Do the last undone step again and return it, or None if there is none."""
        if not self._undone:
            return None
        step = self._undone.pop()
        self._done.append(step)
        if isinstance(step, PromptStep):
            self._set(step.key, step.after)
        else:
            for edit in step.edits:
                edit.redo(labels)
        return step

    def _set(self, key: PromptKey, prompt: Prompt | None) -> None:
        if prompt is None:
            self.prompts.pop(key, None)
        else:
            self.prompts[key] = prompt

    def _record(self, step: Step) -> None:
        self._done.append(step)
        del self._done[: -self.max_steps]
        self._undone.clear()
