"""Calls of a network that go on when memory runs out.

A batch of objects that does not fit is tried again in halves. If one object, or the encoder, does
not fit on the graphics card, the network moves to the CPU for good, and an ``AnySAMWarning`` says
so. What does not fit there either ends in one ``NotEnoughMemoryError``.

Nothing is lost by the move: embeddings and memories stay where they are, and follow the network
when they are used (``PromptableModel.to``).
"""

from __future__ import annotations

import warnings
from dataclasses import fields
from typing import TYPE_CHECKING, TypeVar

from napari_anysam.errors import AnySAMWarning, NotEnoughMemoryError
from napari_anysam.networks.measuring import measured_encode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    import torch
    from numpy.typing import NDArray

    from napari_anysam.networks.protocol import BatchedModel, Embedding, Masks, PromptableModel
    from napari_anysam.networks.tracking_protocol import Recall, Tracked, TrackingModel
    from napari_anysam.segmentation.prompts import Prompt

__all__ = [
    "anchor",
    "attempt",
    "decode",
    "decode_each",
    "encode",
    "follow",
    "remember",
    "say_moved",
    "upscale",
]

_T = TypeVar("_T")

# torch has a type of its own for CUDA only; the others are RuntimeErrors of these words: Apple's
# "MPS backend out of memory", "DefaultCPUAllocator: can't allocate memory" (Windows: "not enough
# memory"), and cuBLAS, whose workspace is not torch's.
_PHRASES = ("out of memory", "DefaultCPUAllocator", "CUBLAS_STATUS_ALLOC_FAILED")


def encode(
    model: PromptableModel,
    image: NDArray[np.uint8],
    *,
    cancelled: Callable[[], bool] | None = None,
) -> Embedding:
    """Encode an image, and measure it if it is among the first.

    See ``PromptableModel.encode``, and the module for the errors.
    """
    return _in_parts(model, 1, lambda _: measured_encode(model, image, cancelled))[0]


def decode(
    model: PromptableModel,
    embedding: Embedding,
    prompts: Sequence[Prompt],
    *,
    previous_logits: torch.Tensor | None = None,
    multimask: bool | None = None,
) -> Masks:
    """Decode prompts; see ``PromptableModel.decode``, and the module for the errors."""
    from napari_anysam.networks.batches import embedding_rows, join_masks

    def some(part: slice) -> Masks:
        previous = None if previous_logits is None else previous_logits[part]
        return model.decode(
            embedding_rows(embedding, part),
            prompts[part],
            previous_logits=previous,
            multimask=multimask,
        )

    return join_masks(_in_parts(model, len(prompts), some))


def decode_each(
    model: BatchedModel, embeddings: Sequence[Embedding], prompts: Sequence[Prompt]
) -> Masks:
    """Decode a prompt on each of several images; see ``BatchedModel``, and the module."""
    from napari_anysam.networks.batches import join_masks

    def some(part: slice) -> Masks:
        return model.decode_each(embeddings[part], prompts[part])

    return join_masks(_in_parts(model, len(prompts), some))


def upscale(
    model: PromptableModel, logits: torch.Tensor, image_shape: tuple[int, int]
) -> torch.Tensor:
    """Bring logits to pixels, on the CPU if they do not fit where they are.

    See ``PromptableModel.upscale``, and the module for the errors. It takes no weights, so the
    network stays where it is.
    """
    done = attempt(lambda: model.upscale(logits, image_shape))
    if done is None and logits.device.type != "cpu":
        done = attempt(lambda: model.upscale(logits.cpu(), image_shape))
    if done is not None:
        return done[0]
    raise _not_enough_memory(model.name)


def anchor(model: TrackingModel, embedding: Embedding, prompts: Sequence[Prompt]) -> Tracked:
    """Answer prompts; see ``TrackingModel.anchor``, and the module for the errors."""
    from napari_anysam.networks.batches import join_tracked

    parts = _in_parts(model, len(prompts), lambda part: model.anchor(embedding, prompts[part]))
    return join_tracked(parts)


def follow(
    model: TrackingModel, embedding: Embedding, recalls: Sequence[Recall], *, plane_count: int
) -> Tracked:
    """Find objects again; see ``TrackingModel.follow``, and the module for the errors."""
    from napari_anysam.networks.batches import embedding_rows, join_tracked

    def some(part: slice) -> Tracked:
        rows = embedding_rows(embedding, part)
        return model.follow(rows, recalls[part], plane_count=plane_count)

    return join_tracked(_in_parts(model, len(recalls), some))


def remember(
    model: TrackingModel, embedding: Embedding, tracked: Tracked, *, anchored: bool
) -> tuple[torch.Tensor, ...]:
    """Encode memories; see ``TrackingModel.remember``, and the module for the errors."""
    from napari_anysam.networks.batches import embedding_rows

    def some(part: slice) -> tuple[torch.Tensor, ...]:
        answers = (getattr(tracked, field.name)[part] for field in fields(tracked))
        rows = embedding_rows(embedding, part)
        return model.remember(rows, type(tracked)(*answers), anchored=anchored)

    parts = _in_parts(model, len(tracked.scores), some)
    return tuple(memory for part in parts for memory in part)


def attempt(work: Callable[[], _T]) -> tuple[_T] | None:
    """Return what ``work()`` returns, in a tuple; None if there was not enough memory for it."""
    try:
        return (work(),)
    except (RuntimeError, MemoryError) as error:
        if not _is_out_of_memory(error):
            raise
        # The next attempt begins after this clause: in here, the error's frames still hold what
        # was allocated.
        return None


def say_moved(name: str, device: torch.device) -> None:
    """Warn that a model left a device that it did not fit on."""
    warnings.warn(
        f"{name} needs more memory than {device} has left, so it goes on on the CPU, which is "
        "slower; to use the graphics card, close other programs that do, or choose a smaller "
        "model, and load it again.",
        AnySAMWarning,
        stacklevel=2,
    )


def _in_parts(model: PromptableModel, count: int, work: Callable[[slice], _T]) -> list[_T]:
    """Do the work for all of so many objects, or for as few at a time as fit."""
    return _do_part(model, 0, count, work)


def _do_part(
    model: PromptableModel, start: int, stop: int, work: Callable[[slice], _T]
) -> list[_T]:
    done = attempt(lambda: work(slice(start, stop)))
    if done is not None:
        return list(done)
    if stop - start > 1:
        middle = (start + stop) // 2
        first = _do_part(model, start, middle, work)
        return first + _do_part(model, middle, stop, work)
    _move_to_cpu(model)
    return _do_part(model, start, stop, work)


def _move_to_cpu(model: PromptableModel) -> None:
    import torch

    before = model.device
    cpu = torch.device("cpu")
    if before == cpu or attempt(lambda: model.to(cpu)) is None:
        raise _not_enough_memory(model.name)
    say_moved(model.name, before)


def _not_enough_memory(name: str) -> NotEnoughMemoryError:
    return NotEnoughMemoryError(
        f"There is not enough memory for {name}; close other programs, segment a smaller part of "
        "the image, or choose a smaller model."
    )


def _is_out_of_memory(error: Exception) -> bool:
    import torch

    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return any(phrase in str(error) for phrase in _PHRASES)
