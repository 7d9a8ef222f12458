"""What was written into the labels, in order, and how every mask came about.

Whoever walks through a journal on an empty label array gets the labels again: with the masks as
they were recorded, or with masks that a network makes anew from the recorded prompts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_anysam.segmentation.labels import write_object
from napari_anysam.segmentation.mask_options import MaskOptions
from napari_anysam.segmentation.windows import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from napari_anysam.images.conditioning import Conditioning
    from napari_anysam.networks.protocol import PromptableModel
    from napari_anysam.segmentation.labels import LabelEdit, WritePolicy
    from napari_anysam.segmentation.prompts import Box, Prompt
    from napari_anysam.segmentation.session import KeptMask, PromptKey

    Windows = dict[PromptKey, Window | None]
    Masks = Iterable[tuple[PromptKey, Window | None]]

__all__ = [
    "Asked",
    "Entry",
    "ModelRecord",
    "Paint",
    "Painting",
    "Recipe",
    "Run",
    "Write",
    "Writing",
    "blended_layers",
    "painting_of",
    "plane_index",
    "record_of",
    "recorded_masks",
    "rewrite",
]


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """What answered: enough to see that a network gives the same answers.

    Parameters
    ----------
    name : str
        As a catalogue or a checkpoint's file names it.
    key : str
        ``PromptableModel.key``: architecture, SHA-256 of the weights, precision, preprocessing.
    device : str
        Where it computed, such as "cpu".
    precision : str
        Resolved: "fp32", "bf16" or "fp16".
    threads : int
        Threads of torch; their number decides how sums are rounded.
    image_size : int or None
        Side of the network's input in pixels; None in records that do not tell, whose networks saw
        what they were made for.
    """

    name: str
    key: str
    device: str
    precision: str
    threads: int
    image_size: int | None = None


def record_of(model: PromptableModel) -> ModelRecord:
    """Describe a network; to be called in the thread that calls the network."""
    import torch

    device = str(model.device)
    threads = torch.get_num_threads()
    return ModelRecord(model.name, model.key, device, model.precision, threads, model.image_size)


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """One prompt that was answered, and which of its candidates was chosen.

    Parameters
    ----------
    prompt : Prompt
        In pixels of its plane.
    conditioning : Conditioning
        How the plane was shown to the network.
    choice : int
        Position of the chosen candidate.
    options : MaskOptions
        The padding of its box, and how the chosen logits became a mask.
    view : (y0, x0, y1, x1) or None
        What the user saw of the plane; it bounds the regions of a click in a huge one.
    layers : tuple of str
        Names of the layers that were blended, from the bottom up; empty for the image alone.
    """

    prompt: Prompt
    conditioning: Conditioning
    choice: int = 0
    options: MaskOptions = field(default_factory=MaskOptions)
    view: Box | None = None
    layers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Recipe:
    """How a clicked mask came about.

    Parameters
    ----------
    asked : sequence of Asked
        In order; each but the first refined the logits that were chosen before it.
    model : ModelRecord
        The network that answered all of them.
    """

    asked: tuple[Asked, ...]
    model: ModelRecord


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """How objects were followed.

    Parameters
    ----------
    axis : int
        Data axis of the image.
    plane : int
        Number of any plane of the stack; it says where the other hidden axes stand.
    start, stop : int
        Half-open range along the axis.
    direction : {"both", "forward", "backward"}
    prompts : sequence of Prompt
        ``plane`` counts along the axis.
    conditioning : Conditioning
    model : ModelRecord
    results : int
        How many results were written before the run ended or was cancelled.
    begun : int
        How many an earlier run with the same request had written, with which this one went on.
    locked : frozenset of (object id, plane)
        What was reviewed before the run, and left as it was.
    repaired : (object id, position along the axis) or None
        Of a repair: what was corrected, and where; it followed that object alone.
    layers : tuple of str
        As in ``Asked``.
    memory : {"full", "fast"}
        As of ``Tracker``.
    ending : float or None
        ``EndRule.object_logit``; None where objects were looked for on all planes.
    absent : frozenset of (object id, plane)
        Where objects of a lineage do not live; see ``lifetimes``.
    ended : frozenset of (object id, plane)
        Masks of mothers that are erased where the run comes to a plane after their division.
    across : int or None
        Of objects followed through volumes and time: the data axis of depth, ``axis`` being that of
        time. ``plane`` of the prompts counts all hidden axes then.
    depths : (int, int) or None
        Half-open range of planes along ``across``; None for all.
    region : {"auto", "plane"}
        As of ``Tracker``.
    largest : bool
        Whether only the largest component of what was found of each object was kept at the end.
    """

    axis: int
    plane: int
    start: int
    stop: int
    direction: Literal["both", "forward", "backward"]
    prompts: tuple[Prompt, ...]
    conditioning: Conditioning
    model: ModelRecord
    results: int
    locked: frozenset[PromptKey] = frozenset()
    repaired: tuple[int, int] | None = None
    layers: tuple[str, ...] = ()
    memory: Literal["full", "fast"] = "full"
    ending: float | None = None
    absent: frozenset[PromptKey] = frozenset()
    ended: frozenset[PromptKey] = frozenset()
    across: int | None = None
    begun: int = 0
    depths: tuple[int, int] | None = None
    region: Literal["auto", "plane"] = "auto"
    largest: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Write:
    """One mask that was written; None where an object was found to be absent."""

    key: PromptKey
    mask: KeptMask | None


@dataclass(frozen=True, slots=True, eq=False)
class Writing:
    """Masks of a network that were written together.

    Parameters
    ----------
    writes : sequence of Write
        In their order; all masks carry a recipe, unless they come from a run.
    policy : {"protect", "over", "background"}
    run : Run or None
        The propagation that gave them.
    """

    writes: tuple[Write, ...]
    policy: WritePolicy
    run: Run | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Paint:
    """Pixels of one plane that got a value; ``index`` is along the leading axes of the labels."""

    index: tuple[int, ...]
    window: Window
    value: int


@dataclass(frozen=True, slots=True, eq=False)
class Painting:
    """Pixels that were changed without asking a network: deleted, merged, split.

    Parameters
    ----------
    paints : sequence of Paint
        In their order.
    kept : mapping of (object id, plane) to KeptMask or None
        What counts as kept from then on.
    """

    paints: tuple[Paint, ...]
    kept: Mapping[PromptKey, KeptMask | None]


Entry = Writing | Painting


def painting_of(edits: Iterable[LabelEdit], kept: Mapping[PromptKey, KeptMask | None]) -> Painting:
    """Return edits as the pixels that they changed."""
    paints = [
        Paint(
            edit.index,
            Window(edit.origin, edit.shape, edit.changed, edit.changed_pixels),
            edit.after,
        )
        for edit in edits
        if edit.changed_pixels
    ]
    return Painting(tuple(paints), dict(kept))


def blended_layers(entries: Iterable[Entry]) -> set[str]:
    """Return the names of all layers that were blended for anything in a journal."""
    names: set[str] = set()
    for entry in entries:
        if isinstance(entry, Painting):
            continue
        if entry.run is not None:
            names.update(entry.run.layers)
        for write in entry.writes:
            recipe = None if write.mask is None else write.mask.recipe
            for asked in () if recipe is None else recipe.asked:
                names.update(asked.layers)
    return names


def recorded_masks(writing: Writing, _known: Windows) -> Masks:
    """Return the masks as they were written."""
    for write in writing.writes:
        yield write.key, None if write.mask is None else write.mask.window


def rewrite(
    entries: Iterable[Entry],
    labels: Any,
    masks: Callable[[Writing, Windows], Masks] = recorded_masks,
) -> None:
    """Write everything into an array again, in order.

    Parameters
    ----------
    entries : iterable of Entry
        A journal.
    labels : array (..., H, W)
        Empty at first.
    masks : callable
        Gives the masks of one entry, knowing what was there before it; by default those that were
        recorded.
    """
    windows: Windows = {}
    for entry in entries:
        if isinstance(entry, Painting):
            _paint(entry, labels)
            for key, mask in entry.kept.items():
                windows[key] = None if mask is None else mask.window
            continue
        for key, window in masks(entry, windows):
            write_object(
                labels,
                plane_index(key[1], labels.shape[:-2]),
                key[0],
                window,
                windows.get(key),
                policy=entry.policy,
                keep_erased=entry.run is not None,
            )
            windows[key] = window


def plane_index(number: int | None, hidden_shape: Sequence[int]) -> tuple[int, ...]:
    """Return where a plane lies along the hidden axes; ``()`` in 2D."""
    if number is None:
        return ()
    return tuple(int(value) for value in np.unravel_index(number, tuple(hidden_shape)))


def _paint(painting: Painting, labels: Any) -> None:
    for paint in painting.paints:
        where = (*paint.index, *paint.window.slices)
        values = np.asarray(labels[where]).copy()
        values[paint.window.mask] = paint.value
        labels[where] = values
