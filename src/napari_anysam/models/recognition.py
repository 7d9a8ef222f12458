"""Which member of a family a file is, where its tensors cannot tell.

MedSAM has SAM's tensors and MedSAM2 those of SAM 2.1 tiny, but images reach them in another way.
The hash of a published file says which it is. Of a file that somebody fine-tuned only its owner
knows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_anysam.errors import CheckpointError
from napari_anysam.models.architecture import identify
from napari_anysam.models.catalogue import catalogue, find_by_sha256
from napari_anysam.models.checkpoint import file_sha256, read_checkpoint

if TYPE_CHECKING:
    import os

    from napari_anysam.models.architecture import Architecture
    from napari_anysam.models.catalogue import ModelSpec
    from napari_anysam.models.checkpoint import Checkpoint

__all__ = ["architecture_of", "distinction", "possible_variants", "unlike_members"]


def architecture_of(checkpoint: Checkpoint) -> Architecture:
    """Tell the architecture of a file that was read.

    Raises
    ------
    UnknownArchitectureError
        If no network of this package has such tensors; the message names the file.
    """
    try:
        return identify(checkpoint.shapes)
    except CheckpointError as error:
        raise type(error)(f"{checkpoint.path} cannot be loaded. {error}") from error


def possible_variants(path: str | os.PathLike[str]) -> tuple[ModelSpec, ...]:
    """Return what a file may be, where that makes a difference and cannot be told from it.

    Parameters
    ----------
    path : str or path
        A checkpoint file. Its tensors are mapped, and its hash computed where it matters.

    Returns
    -------
    tuple of ModelSpec
        One member of the family for each way in which the file could be treated, the one that is
        assumed without an answer first; ``distinction`` tells them apart in words. The answer's
        ``name`` is the ``variant`` of ``load_model`` and ``ModelStore.add``. Empty if all are
        treated alike, or if it is a published file, known by its hash.

    Raises
    ------
    ModelNotFoundError
        If there is no such file.
    CheckpointError
        If it is no checkpoint, or of no network that this package knows.
    """
    members = unlike_members(architecture_of(read_checkpoint(path)))
    if len(members) < 2 or find_by_sha256(file_sha256(path)) is not None:
        return ()
    return members


def unlike_members(architecture: Architecture) -> tuple[ModelSpec, ...]:
    """Return the catalogue's first member for each way of treating files of an architecture."""
    first: dict[object, ModelSpec] = {}
    for spec in _members(str(architecture)):
        first.setdefault(_treatment(spec), spec)
    return tuple(first.values())


def distinction(spec: ModelSpec) -> str:
    """Say in one sentence what sets a member apart from the others of its architecture."""
    alike = [
        other for other in _members(spec.architecture) if _treatment(other) == _treatment(spec)
    ]
    example = f" (such as {alike[1].title})" if len(alike) > 1 else ""
    own = ", preprocessed in a way of their own" if spec.preprocessing else ""
    only = " only" if len(spec.prompts) == 1 else ""
    return (
        f"{spec.title} or a model that was fine-tuned from it{example}: it sees images of "
        f"{spec.image_size} x {spec.image_size} pixels{own}, and takes {spec.taken}{only}."
    )


def _members(architecture: str) -> list[ModelSpec]:
    return [spec for spec in catalogue() if spec.architecture == architecture]


def _treatment(spec: ModelSpec) -> tuple[str, int, frozenset[str]]:
    return spec.preprocessing, spec.image_size, frozenset(spec.prompts)
