"""The side of a network's input: the one it was made for, or another one that was asked for.

The networks of SAM 2 take images of other sizes than they were trained with, as the official code
does with ``model.image_size``: the encoder interpolates its positions, and the grids of prompts and
memories follow.
"""

from __future__ import annotations

from napari_anysam.errors import CapabilityError

__all__ = ["SMALLER_IMAGE_SIZE", "check_image_size", "smaller_size"]

SMALLER_IMAGE_SIZE = 512
"""What is proposed where a network made for more is too slow or too large."""

_STEP = 32  # the stride of the encoder's coarsest features
_SMALLEST, _LARGEST = 128, 1024


def smaller_size(image_size: int, *, other_sizes: bool) -> int | None:
    """Return the size to propose instead of this one; None where there is none."""
    return SMALLER_IMAGE_SIZE if other_sizes and image_size > SMALLER_IMAGE_SIZE else None


def check_image_size(name: str, own: int, asked: int | None, *, other_sizes: bool) -> int:
    """Return the side of a network's input in pixels: what is asked for, else its own.

    Parameters
    ----------
    name : str
        Of the network, for the message.
    own : int
        Side that it was made for.
    asked : int or None
        Side that is wanted, if any.
    other_sizes : bool
        Whether it takes others than its own.

    Raises
    ------
    CapabilityError
        If it cannot see images of that size.
    """
    if asked is None or asked == own:
        return own
    if not other_sizes:
        raise CapabilityError(
            f"{name} sees images of {own} x {own} pixels and of no other size; leave the image "
            "size out, or choose SAM 2 or SAM 2.1."
        )
    if asked % _STEP or not _SMALLEST <= asked <= _LARGEST:
        raise CapabilityError(
            f"{name} cannot see images of {asked} x {asked} pixels; give a multiple of {_STEP} "
            f"from {_SMALLEST} to {_LARGEST} as the image size, such as {SMALLER_IMAGE_SIZE}."
        )
    return asked
