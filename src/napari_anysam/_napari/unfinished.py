"""A run that ended before its end, as the last thing in a journal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_anysam._napari.coordinates import level0

if TYPE_CHECKING:
    from napari_anysam._napari.appearance import Look
    from napari_anysam.segmentation.journal import Entry
    from napari_anysam.segmentation.recent_states import Reached
    from napari_anysam.segmentation.saved_session import ImageRecord, SavedSession

__all__ = ["Unfinished", "saved_run"]


@dataclass(slots=True, eq=False)
class Unfinished:
    """What it takes to go on with a run.

    Parameters
    ----------
    entry : Entry
        What it wrote; it can go on as long as this is the last entry of the journal.
    reached : Reached
    tokens : tuple or None
        ``Look.tokens`` of the pixels that it saw; None of a run of a saved session, until the
        layers were compared with those that were saved.
    others : sequence of ImageRecord
        What is known of them from there.
    """

    entry: Entry
    reached: Reached
    tokens: tuple[object, ...] | None
    others: tuple[ImageRecord, ...] = ()

    def saw(self, look: Look, image: Any) -> bool:
        """Tell whether the run saw the pixels of these layers; reads them if nobody did yet."""
        if self.tokens is None:
            records = {record.name: record for record in self.others}
            # The image itself was compared when its session was opened.
            beside = [layer for layer in look.layers if layer is not image]
            if all(
                layer.name in records and records[layer.name].is_of(level0(layer))
                for layer in beside
            ):
                self.tokens = look.tokens
        return self.tokens == look.tokens


def saved_run(saved: SavedSession) -> Unfinished | None:
    """Return the run with which a saved session ends, if it can go on."""
    if saved.reached is None or not saved.journal:
        return None
    return Unfinished(saved.journal[-1], saved.reached, None, saved.others)
