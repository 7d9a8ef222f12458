"""What the dock says: the state of the work as one value, and that value as words."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING

from napari_anysam._napari.user_keys import in_words, user_keys

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "Stage",
    "Status",
    "progress_in_words",
    "prompts_in_words",
    "seconds_in_words",
    "sentence",
    "source_in_words",
    "why_not",
]


_HOW_TO_BEGIN = {
    "boxes": "Drag a box around an object.",
    "lasso": "Drag a line all around an object.",
    "diameter": "Drag along the longest diameter.",
    "scribble": "Drag along an object. Ctrl-drag along what to leave out.",
    "label": "Click a label: it becomes a rough mask, to be refined.",
}

_HOW_TO_GO_ON = {
    "boxes": "Draw a box around the next object.",
    "lasso": "Or draw the lasso again.",
    "scribble": "Or go on drawing; Ctrl-drag leaves out.",
    "label": "Or press Point to correct it.",
}


class Stage(Enum):
    """Where the user is on the way from an open image to kept masks."""

    NO_IMAGE = auto()
    LOADING = auto()
    NO_MODEL = auto()
    NO_PLANE = auto()
    READY = auto()
    WORKING = auto()
    PREVIEW = auto()
    NOTHING_FOUND = auto()
    PROPAGATING = auto()
    IN_BULK = auto()


@dataclass(frozen=True, slots=True)
class Status:
    """All that the dock shows about the work.

    Parameters
    ----------
    stage : Stage
    detail : str
        Words for the stage: what is being loaded, what runs over many objects, why there is no
        plane to prompt on, or why the image is looked at again.
    object_id : int
        Object that the next prompt belongs to.
    positive, negative, boxes : int
        Prompts of that object on all planes.
    prompted_planes : int
        Planes on which it has any.
    score : float or None
        Predicted IoU of the mask that is previewed.
    candidate, candidates : int
        Which of how many masks is previewed, counted from 1.
    kept : int
        Masks that were accepted so far.
    shapes : int
        Lassos, scribbles and labels of that object on all planes.
    drawing : str
        "points", "boxes", "lasso", "scribble", "label" or "diameter" while that tool is used;
        else "".
    refused_tools : mapping of str to str
        Why the model cannot take what a tool says, by the tool's name.
    can_undo : bool
    cannot_propagate : str
        Why there is nothing to propagate; empty when there is.
    done, total : int
        Planes of the propagation that runs, or of the one that ended last.
    seconds_left : float or None
        None until it can be estimated.
    at_most : bool
        Whether what runs may end before, because objects end.
    from_memory, from_disk, encoded : int
        Where the embeddings of the mask that is previewed came from.
    found : str
        What the run that ended last has found, in words; empty for most.
    """

    stage: Stage = Stage.NO_IMAGE
    detail: str = ""
    object_id: int = 1
    positive: int = 0
    negative: int = 0
    boxes: int = 0
    shapes: int = 0
    prompted_planes: int = 0
    score: float | None = None
    candidate: int = 0
    candidates: int = 0
    kept: int = 0
    drawing: str = ""
    refused_tools: Mapping[str, str] = field(default_factory=dict)
    can_undo: bool = False
    can_redo: bool = False
    cannot_split: str = "Choose an image first."
    cannot_propagate: str = "Choose an image first."
    done: int = 0
    total: int = 0
    seconds_left: float | None = None
    at_most: bool = False
    from_memory: int = 0
    from_disk: int = 0
    encoded: int = 0
    found: str = ""

    @property
    def has_prompts(self) -> bool:
        """Whether the current object has any prompt."""
        return bool(self.positive or self.negative or self.boxes or self.shapes)


def sentence(status: Status) -> str:
    """Return the words that say the next step, or what runs.

    In a dock of 250 pixels about 56 letters fit on two lines; with a third the buttons below move.
    """
    fixed = {
        Stage.NO_IMAGE: "Open an image first: drop a file here, or File > Open Sample > AnySAM.",
        Stage.NO_MODEL: "No model is active. Choose one in the model manager.",
        Stage.WORKING: status.detail or "Looking at the image ...",
        Stage.NOTHING_FOUND: "Nothing found there. Add a point, or draw a box.",
    }
    if status.stage in fixed:
        return fixed[status.stage]
    if status.stage in (Stage.LOADING, Stage.NO_PLANE):
        return status.detail
    if status.stage is Stage.PROPAGATING:
        return f"Propagating: {progress_in_words(status)}. {in_words('cancel')} stops it."
    if status.stage is Stage.IN_BULK:
        key = user_keys().keys["cancel"]
        return f"{status.detail.capitalize()}: {status.done} of {status.total}. {key} stops it."
    if status.stage is Stage.PREVIEW:
        return _preview_sentence(status)
    return status.found or _ready_sentence(status)


def why_not(action: str, status: Status) -> str:
    """Say why an action is not possible now; empty when it is.

    Parameters
    ----------
    action : str
        A tool's name, "accept", "new", "undo", "redo", "clear", "cycle", "split", "many",
        "propagate" or "cancel".
    """
    if action == "cancel":
        running = status.stage in (Stage.PROPAGATING, Stage.IN_BULK)
        return "" if running else "Nothing is being propagated."
    if status.stage is Stage.NO_IMAGE:
        return "Choose an image first."
    reasons = {
        **status.refused_tools,
        "undo": "" if status.can_undo else "There is nothing to undo yet.",
        "redo": "" if status.can_redo else "Nothing was undone.",
        "split": status.cannot_split,
        "clear": "" if status.has_prompts else "This object has no prompts yet.",
        "new": "" if status.has_prompts else "This object is new already: click it.",
        "accept": ""
        if status.stage in (Stage.PREVIEW, Stage.WORKING)
        else "There is no mask to accept yet: click an object.",
        "cycle": "" if status.candidates > 1 else "There is no other mask to choose from.",
        "propagate": "A propagation is running already."
        if status.stage is Stage.PROPAGATING
        else status.cannot_propagate,
        "many": "Wait for the propagation to end, or cancel it."
        if status.stage is Stage.PROPAGATING
        else "",
    }
    if action in ("undo", "redo", "split") and status.stage is Stage.PROPAGATING:
        return "Wait for the propagation to end, or cancel it."
    if status.stage is Stage.IN_BULK and action in ("undo", "propagate", "many"):
        return "Wait until all objects are done, or cancel that."
    return reasons.get(action, "")


def progress_in_words(status: Status) -> str:
    """Return how far a propagation is."""
    left = status.seconds_left
    words = "" if left is None else f", {seconds_in_words(left, at_most=status.at_most)} left"
    return f"{status.done} of {status.total} planes{words}"


def prompts_in_words(status: Status) -> str:
    """Say which prompts the current object has."""
    parts = [
        _count(status.positive, "point"),
        _count(status.negative, "negative point"),
        _count(status.boxes, "box"),
        _count(status.shapes, "shape"),
    ]
    said = ", ".join(part for part in parts if part)
    if not said:
        return "No prompts yet"
    return said if status.prompted_planes < 2 else f"{said} on {status.prompted_planes} planes"


def source_in_words(status: Status) -> str:
    """Say whether the mask that is previewed took the network's encoder, or what is kept of it."""
    parts = [
        f"{status.from_memory} from memory" if status.from_memory else "",
        f"{status.from_disk} from disk" if status.from_disk else "",
        f"{status.encoded} encoded now" if status.encoded else "",
    ]
    said = ", ".join(part for part in parts if part)
    return f"Encoded image regions: {said}." if said else ""


def seconds_in_words(seconds: float, *, at_most: bool = False) -> str:
    """Return a time as people say it, "about 40 s" or "at most 3 min"."""
    about = "at most" if at_most else "about"
    if seconds < 90:
        return f"{about} {max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{about} {round(seconds / 60)} min"
    return f"{about} {seconds / 3600:.1f} h"


def _ready_sentence(status: Status) -> str:
    if status.drawing in _HOW_TO_BEGIN:
        return _HOW_TO_BEGIN[status.drawing]
    if status.drawing == "points":
        if status.done and not status.has_prompts:
            key = user_keys().keys["doubtful_next"]
            return f"{status.done} planes done. {key} shows doubtful ones; or click the next."
        if status.kept and not status.has_prompts:
            return "Kept. Click the next object."
        if status.has_prompts:
            return f"Object {status.object_id}: click to add, Ctrl-click to leave out."
        return "Click an object. Ctrl-click what is not part of it."
    return "Press Point or another tool, then mark an object."


def _preview_sentence(status: Status) -> str:
    if status.drawing == "diameter" and not status.cannot_propagate:
        keys = user_keys().keys
        return (
            f"{keys['propagate']} follows it through the stack. {keys['accept']} keeps this slice."
        )
    if status.drawing in _HOW_TO_GO_ON:
        key = user_keys().keys["accept"]
        return f"{key} keeps it. {_HOW_TO_GO_ON[status.drawing]}"
    if status.drawing == "points":
        return "Enter keeps it. Click to add, Ctrl-click to leave out."
    return "Press Accept to keep this mask, or Point to correct it."


def _count(number: int, what: str) -> str:
    plural = f"{what}es" if what.endswith("x") else f"{what}s"
    return "" if not number else f"{number} {what if number == 1 else plural}"
