"""Questions about many objects: prompts answered in batches, in the inference thread.

Nothing here touches a layer: what is asked about was taken in the window's thread before.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_anysam.errors import PromptError
from napari_anysam.segmentation.canvas import shaped_window
from napari_anysam.segmentation.everything import objects_of_plane
from napari_anysam.segmentation.label_prompts import prompts_on_largest_planes
from napari_anysam.segmentation.prompts import Prompt
from napari_anysam.segmentation.session import KeptMask
from napari_anysam.segmentation.windows import Window, tight_window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_anysam._napari.coordinates import PlaneFrame
    from napari_anysam._napari.pixels import PlaneSource
    from napari_anysam.images.axis_view import AxisView
    from napari_anysam.segmentation.interactive import PlanePredictor
    from napari_anysam.segmentation.label_prompts import LabelKind
    from napari_anysam.segmentation.mask_options import MaskOptions
    from napari_anysam.segmentation.prompts import Box

    SourceOf = Callable[[PlaneFrame], PlaneSource]

__all__ = [
    "Answered",
    "Cancelled",
    "Progress",
    "answer_in_turns",
    "answer_prompts",
    "everything_in",
    "refine_labels",
]

_AT_ONCE = 16
"""Prompts of one turn of a run: clicks come in between."""

Cancelled = Callable[[], bool]


@dataclass(frozen=True, slots=True, eq=False)
class Answered:
    """One object of a run.

    Parameters
    ----------
    prompt : Prompt
    mask : KeptMask or None
        None where nothing was found.
    standing : Window or None
        A mask of the object that stands in the labels already and gives way.
    """

    prompt: Prompt
    mask: KeptMask | None
    standing: Window | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Progress:
    """One turn of a run: how far it is, and what was answered in this turn."""

    done: int
    total: int
    answered: Sequence[Answered] = ()


def answer_prompts(
    predictor: PlanePredictor,
    source: PlaneSource,
    prompts: Sequence[Prompt],
    options: MaskOptions,
    cancelled: Cancelled,
    view: Box | None = None,
) -> list[Answered]:
    """Answer prompts on one plane, of which the user sees ``view``."""
    predictions = predictor.predict_many(
        source.pixels(),
        source.key,
        source.frame.plane_shape,
        prompts,
        cancelled=cancelled,
        box_padding=options.box_padding,
        view=view,
    )
    answered = []
    for prompt, prediction in zip(prompts, predictions, strict=True):
        best = prediction.best
        window = shaped_window(best, options, prompt)
        kept = None if window is None else KeptMask(window, best.score, predictor.model.name)
        answered.append(Answered(prompt, kept))
    return answered


def answer_in_turns(
    predictor: PlanePredictor,
    source_of: SourceOf,
    frame: PlaneFrame,
    prompts: Sequence[Prompt],
    options: MaskOptions,
    cancelled: Cancelled,
) -> Iterator[Progress]:
    """Answer prompts, each on its own plane, some in each turn."""
    planes: dict[int | None, list[Prompt]] = {}
    for prompt in prompts:
        planes.setdefault(prompt.plane, []).append(prompt)
    done = 0
    for number, of_plane in planes.items():
        source = source_of(frame.numbered(number))
        for start in range(0, len(of_plane), _AT_ONCE):
            some = of_plane[start : start + _AT_ONCE]
            answered = answer_prompts(predictor, source, some, options, cancelled)
            done += len(some)
            yield Progress(done, len(prompts), answered)


def refine_labels(
    predictor: PlanePredictor,
    source_of: SourceOf,
    frame: PlaneFrame,
    labels: AxisView,
    kind: LabelKind,
    options: MaskOptions,
    taken: Collection[int],
    cancelled: Cancelled,
    *,
    name: str,
    ours: bool,
) -> Iterator[Progress]:
    """Make every object of a Labels layer a prompt, on its largest plane, and answer it.

    Parameters
    ----------
    predictor : PlanePredictor
    source_of : callable
    frame : PlaneFrame
    labels : AxisView
        The layer's array in the frame's order of axes.
    kind : {"box", "mask", "points"}
    options : MaskOptions
    taken : collection of int
        Ids that other objects have; those of the layer itself if masks are written into it.
    cancelled : callable
    name : str
        Of the layer, for the message.
    ours : bool
        Whether masks are written into it.

    Raises
    ------
    PromptError
        If the layer holds no object, or an id is taken already.
    """
    asked = prompts_on_largest_planes(labels, kind)
    clash = sorted({prompt.object_id for prompt in asked} & set(taken))
    if clash and not ours:
        raise PromptError(
            f"Object {clash[0]} of {name!r} has the id of an object that is there already; "
            "choose a new layer as Labels, or this one, so that ids can be kept."
        )
    standing = {
        prompt.object_id: tight_window(np.asarray(prompt.mask), prompt.mask_origin or (0, 0))
        for prompt in (prompts_on_largest_planes(labels, "mask") if ours else ())
    }
    for turn in answer_in_turns(predictor, source_of, frame, asked, options, cancelled):
        answered = [
            replace(one, standing=standing.get(one.prompt.object_id)) for one in turn.answered
        ]
        yield replace(turn, answered=answered)


def everything_in(
    predictor: PlanePredictor,
    source_of: SourceOf,
    frame: PlaneFrame,
    options: MaskOptions,
    cancelled: Cancelled,
) -> Iterator[Progress]:
    """Look for every object of a plane; they come in the last turn, numbered from 1."""
    source = source_of(frame)
    last = None
    for last in objects_of_plane(
        predictor, source.pixels(), source.key, frame.plane_shape, options, cancelled
    ):
        yield Progress(last.done, last.total)
    if last is not None:
        answered = [
            Answered(_from_mask(number, frame, mask.window), mask)
            for number, mask in enumerate(last.objects, start=1)
        ]
        yield Progress(last.done, last.total, answered)


def _from_mask(object_id: int, frame: PlaneFrame, window: Window) -> Prompt:
    return Prompt(object_id, frame.number, mask=window.mask, mask_origin=window.origin)
