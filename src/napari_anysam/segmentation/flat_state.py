"""The state of a run as tensors on the CPU and text, as it is kept and written."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Self

from napari_anysam.networks.tensor_files import DamagedFileError, read_tensors, write_tensors
from napari_anysam.segmentation.state_values import Flattening, unflattened
from napari_anysam.segmentation.tracking_state import RunState

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import torch

__all__ = ["FORMAT", "VERSION", "FlatState"]

FORMAT = "napari-anysam state"
VERSION = "2"


@dataclass(frozen=True, eq=False)
class FlatState:
    """A ``RunState`` that shares nothing with the run.

    Parameters
    ----------
    said : str
        JSON.
    tensors : dict of str to tensor
        On the CPU.
    """

    said: str
    tensors: dict[str, torch.Tensor]

    @classmethod
    def of(cls, state: RunState) -> Self:
        """Copy a state."""
        flattening = Flattening(_types())
        said = {
            "step": state.step,
            "plane": state.plane,
            "follower": flattening.plain(state.follower),
            "watch": flattening.plain(state.watch),
            "kept": flattening.plain(state.kept),
        }
        return cls(json.dumps(said), flattening.tensors)

    @classmethod
    def read(cls, path: Path) -> tuple[Self, dict[str, str]]:
        """Read a file of ``write``; return what else its metadata say, too.

        Raises
        ------
        DamagedFileError
            If it is of another kind, or not as it was written. The message goes on after the path.
        OSError
            If it cannot be read.
        """
        tensors, metadata = read_tensors(path, FORMAT)
        return cls(metadata.get("state", ""), tensors), metadata

    def write(self, path: Path, metadata: Mapping[str, str]) -> None:
        """Write it to a file, whole or not at all.

        Raises
        ------
        OSError
            If the disk refuses.
        """
        said = {"format": FORMAT, "version": VERSION, **metadata, "state": self.said}
        write_tensors(path, self.tensors, said)

    def state(self, device: torch.device) -> RunState:
        """Return the state, for a network on this device.

        Raises
        ------
        DamagedFileError
            If it is none. The message goes on after the path.
        """
        try:
            said = json.loads(self.said)
            # Read as one, for they share values.
            parts = {"tuple": [said[name] for name in ("follower", "watch", "kept")]}
            follower, watch, kept = unflattened(parts, self.tensors, _types(), device)
            return RunState(said["step"], said["plane"], follower, watch, kept)
        except (KeyError, TypeError, ValueError) as error:
            raise DamagedFileError("cannot be understood") from error

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all that it says."""
        import torch

        found = sha256(self.said.encode())
        for name, tensor in self.tensors.items():
            found.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)};".encode())
            found.update(tensor.flatten().view(torch.uint8).numpy().data)
        return found.hexdigest()


def _types() -> dict[str, type]:
    """Return the dataclasses of which a state is made."""
    from napari_anysam.networks.tracking_protocol import Tracked
    from napari_anysam.segmentation.confidence import Assessment, DoubtLimits
    from napari_anysam.segmentation.memory import Memory
    from napari_anysam.segmentation.regions import Region
    from napari_anysam.segmentation.tracking_anchors import Anchor
    from napari_anysam.segmentation.tracking_merge import Kept
    from napari_anysam.segmentation.tracking_results import Answer, PackedAnswer

    kinds = (Anchor, Answer, Assessment, DoubtLimits, Kept, Memory, PackedAnswer, Region, Tracked)
    return {one.__name__: one for one in kinds}
