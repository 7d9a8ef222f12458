"""The state of a run on disk, so that a run that was ended can go on at the plane it had reached.

What was yielded until then is the caller's to keep; everything else that later planes depend on is
here: anchors, memories, pointers, regions, last masks, and answers that wait for a second pass. A
run that goes on yields what the run would have yielded that was never ended, bit by bit, on the
same kind of device with as many threads.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_anysam.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from napari_anysam.networks.protocol import PromptableModel
    from napari_anysam.segmentation.run_request import RunRequest
    from napari_anysam.segmentation.tracking_merge import Kept

__all__ = ["RunKeeper", "RunState"]

SECONDS = 30.0
"""A state is written at most this often ..."""

SHARE = 0.05
"""... and so seldom that writing takes no more than this part of the time."""

_FORMAT = "napari-anysam state"
_VERSION = "2"


@dataclass(frozen=True, slots=True, eq=False)
class RunState:
    """Where a run is.

    Parameters
    ----------
    step : {1, -1}
        The pass that it is in.
    plane : int
        The last plane that was answered, and whose result was taken.
    follower : mapping
        ``Follower.state()``.
    watch : mapping
        ``Watch.state()``.
    kept : mapping of int to mapping
        Plane to object id to the answer that waits for a later pass.
    """

    step: int
    plane: int
    follower: Mapping[str, Any]
    watch: Mapping[str, Any]
    kept: Mapping[int, Mapping[int, Kept]]


class RunKeeper:
    """Writes the state of one run to a file from time to time, and reads it.

    Parameters
    ----------
    path : Path
        The file; its folder is there.
    request : RunRequest
        What is run.
    seconds : float
        Shortest time between two states; it grows where writing takes more than a twentieth of it.

    Attributes
    ----------
    reached : (step, plane) or None
        The last plane of the state that was written or read last.
    """

    def __init__(self, path: Path, request: RunRequest, seconds: float = SECONDS) -> None:
        self.path = path
        self.reached: tuple[int, int] | None = None
        self._request = request
        self._seconds = seconds
        self._next = time.monotonic() + seconds

    def save_if_due(self, state: Callable[[], RunState]) -> bool:
        """Write a state if the last one is old enough; tell whether it was.

        Parameters
        ----------
        state : callable
            Returns it; not asked where nothing is due.

        Raises
        ------
        RunError
            If the disk refuses.
        """
        start = time.monotonic()
        if start < self._next:
            return False
        self.save(state())
        now = time.monotonic()
        self._next = now + max(self._seconds, (now - start) / SHARE if self._seconds else 0.0)
        return True

    def save(self, state: RunState) -> None:
        """Write a state; the one before stays whole until this one is.

        Raises
        ------
        RunError
            If the disk refuses.
        """
        from napari_anysam.networks.tensor_files import write_tensors
        from napari_anysam.segmentation.state_values import Flattening

        flattening = Flattening(_types())
        said = {
            "step": state.step,
            "plane": state.plane,
            "follower": flattening.plain(state.follower),
            "watch": flattening.plain(state.watch),
            "kept": flattening.plain(state.kept),
        }
        metadata = {
            "format": _FORMAT,
            "version": _VERSION,
            "model_key": self._request.model.key,
            "request": self._request.digest,
            "state": json.dumps(said),
        }
        try:
            write_tensors(self.path, flattening.tensors, metadata)
        except OSError as error:
            raise RunError(
                f"The state of the run could not be written to {self.path} "
                f"({error.strerror or error}); make room, then let the run go on."
            ) from error
        self.reached = state.step, state.plane

    def load(self, model: PromptableModel) -> RunState | None:
        """Read the state that was written last; None if none was.

        Parameters
        ----------
        model : PromptableModel
            The network that goes on, on its device.

        Raises
        ------
        RunError
            If the file is damaged, or of another request, model or version.
        """
        from napari_anysam.networks.tensor_files import DamagedFileError, read_tensors
        from napari_anysam.segmentation.state_values import unflattened

        if not self.path.exists():
            return None
        try:
            tensors, metadata = read_tensors(self.path, _FORMAT)
            self._check(metadata, model)
            said = json.loads(metadata["state"])
            # Read as one, for they share values.
            parts = {"tuple": [said[name] for name in ("follower", "watch", "kept")]}
            follower, watch, kept = unflattened(parts, tensors, _types(), model.device)
            state = RunState(said["step"], said["plane"], follower, watch, kept)
        except (DamagedFileError, KeyError, TypeError) as error:
            fault = str(error) if isinstance(error, DamagedFileError) else "cannot be understood"
            raise RunError(f"{self.path} {fault}; begin the run anew.") from error
        self.reached = state.step, state.plane
        return state

    def _check(self, metadata: Mapping[str, str], model: PromptableModel) -> None:
        fault = ""
        if metadata["version"] != _VERSION:
            fault = "was written by another version of this package; begin the run anew"
        elif metadata["model_key"] != model.key:
            fault = (
                f"was not written with {model.name} as it is loaded now; load the same weights in "
                "the same precision, or begin the run anew"
            )
        elif metadata["request"] != self._request.digest:
            fault = "belongs to another run; ask for the same as before, or begin the run anew"
        if fault:
            raise RunError(f"{self.path} {fault}.")


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
