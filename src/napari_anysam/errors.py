"""Typed errors: each message is one sentence for the user that names the remedy.

Raised headless as they are; the napari side shows them as notifications.
"""

from __future__ import annotations

__all__ = [
    "AnySAMError",
    "AnySAMWarning",
    "Cancelled",
    "CapabilityError",
    "CheckpointError",
    "DownloadError",
    "EmbeddingError",
    "ImageError",
    "LabelFileError",
    "LineageError",
    "ModelNotFoundError",
    "NotEnoughMemoryError",
    "OptionsError",
    "PromptError",
    "RunError",
    "SessionError",
    "SettingsError",
    "UnknownArchitectureError",
]


class AnySAMError(Exception):
    """Base of every error that this package raises on purpose."""


class AnySAMWarning(UserWarning):
    """Work goes on in another way than was asked for; the message says how."""


class ModelNotFoundError(AnySAMError):
    """A model name that the catalogue does not hold, or a model that is not on disk."""


class CheckpointError(AnySAMError):
    """A file that cannot be read as a checkpoint, or whose tensors do not fit the network."""


class DownloadError(AnySAMError):
    """A model's file that could not be fetched; what has arrived is kept where it can be used."""


class SettingsError(AnySAMError):
    """A setting, an environment variable or an option that cannot be understood."""


class UnknownArchitectureError(CheckpointError):
    """A readable checkpoint whose tensors belong to no family that this package knows."""


class CapabilityError(AnySAMError):
    """A request that the chosen model cannot serve, such as tracking with an image model."""


class PromptError(AnySAMError, ValueError):
    """A prompt that contradicts itself or lies outside its image."""


class OptionsError(AnySAMError, ValueError):
    """An option of the result that is out of its range."""


class ImageError(AnySAMError, ValueError):
    """An image that cannot be segmented: empty, of an unknown layout, or not readable."""


class SessionError(AnySAMError):
    """A session's folder that is damaged, open elsewhere, or of another image or version."""


class RunError(AnySAMError):
    """A run through a stack that cannot be described, or cannot go on where it was."""


class EmbeddingError(AnySAMError):
    """A saved embedding that is damaged, or was made by another model."""


class NotEnoughMemoryError(AnySAMError, MemoryError):
    """Work that does not fit into the memory of this computer."""


class LabelFileError(AnySAMError, OSError):
    """A label file that cannot be written where or as it was asked for."""


class LineageError(AnySAMError, ValueError):
    """A lineage that contradicts itself or names objects that are not there."""


class Cancelled(AnySAMError):  # noqa: N818 - an outcome that was asked for, not a fault
    """The work was cancelled on request; what was finished stays."""
