"""Where an object ends: from there on a pass looks for it no more.

A small network goes on painting beyond the end of an object, but is less sure there that the object
is present, or predicts a worse mask. Behind the object's last prompt of a pass, the first plane on
which it is too unsure is where it ends; between two prompts it exists. Measured in
``docs/benchmarks.md``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_anysam.errors import OptionsError
from napari_anysam.networks.tracking_protocol import NO_OBJECT_LOGIT
from napari_anysam.segmentation.regions import Region
from napari_anysam.segmentation.tracking_results import Answer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_anysam.networks.protocol import PromptableModel

__all__ = ["EndRule", "Ends", "end_rule_for"]

LOW_SCORE = 0.45
"""Where the predicted IoU is below it, the network has to be surer that the object is there."""

SURER = 1.75
"""By so much."""


@dataclass(frozen=True, slots=True)
class EndRule:
    """When an object has ended.

    Parameters
    ----------
    object_logit : float
        On the first plane with an object logit below it, or below 1.75 times it where the predicted
        IoU is below 0.45. Networks differ: the shipped one has about 5 to 8 where an object is and
        2 to 5 beyond its end. At 0 an object ends where the network no longer finds it, and higher
        values end it sooner.

    Raises
    ------
    OptionsError
        If it is negative or not a number.
    """

    object_logit: float = 2.0

    def __post_init__(self) -> None:
        """Check the limit."""
        if not (math.isfinite(self.object_logit) and self.object_logit >= 0):
            raise OptionsError(
                f"The object logit of EndRule is {self.object_logit!r}; use a number from 0 up."
            )

    def limit(self, score: float) -> float:
        """Return the object logit below which an answer with this predicted IoU is an end."""
        return self.object_logit * (SURER if score < LOW_SCORE else 1.0)


def end_rule_for(model: PromptableModel) -> EndRule:
    """Return the rule that a run stops at ends with.

    For the shipped model it is the measured one; with others an object ends where nothing is found.
    """
    return EndRule() if model.name.startswith("anysam-") else EndRule(0.0)


class Ends:
    """Remembers which objects of a pass have ended.

    Parameters
    ----------
    rule : EndRule or None
        None ends nothing.
    """

    def __init__(self, rule: EndRule | None) -> None:
        self._rule = rule
        self._ended: dict[int, Answer] = {}

    def forget(self) -> None:
        """Start a new pass."""
        self._ended.clear()

    def known(self, number: int) -> Answer | None:
        """Return the answer for an object that has ended, None for one to be looked for."""
        return self._ended.get(number)

    def note(self, number: int, answer: Answer) -> Answer:
        """Return an answer as it is, or without its mask if it ends the object.

        The object logit of the latter is lower by the limit, so that the end is as doubtful as the
        network was near to going on.
        """
        if self._rule is None:
            return answer
        limit = self._rule.limit(answer.score)
        if answer.object_logit >= limit:
            return answer
        # One pixel stands for all.
        place = Region(answer.region.row, answer.region.column, 1, 1)
        logits = np.full(place.shape, NO_OBJECT_LOGIT, np.float32)
        ended = Answer(place, logits, answer.score, answer.object_logit - limit)
        self._ended[number] = ended
        return ended

    def state(self) -> dict[int, Answer]:
        """Return what it remembers; ``restore`` takes it back."""
        return dict(self._ended)

    def restore(self, state: Mapping[int, Answer]) -> None:
        """Remember the ends that another one did."""
        self._ended = dict(state)
