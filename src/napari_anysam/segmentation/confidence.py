"""How far to trust one object's answer on one plane, and what speaks against it.

Four signs count, each between 0 and 1, and 1 is best:

==========  ==================================================================================
presence    tanh(object logit / 2) where a mask was drawn, tanh(-object logit / 2) where none
            was, at least 0: how sure the network is that the object is there, or is not
score       predicted IoU; of a drawn mask only
steadiness  the smaller area over the larger one, of this plane and the one visited before it;
            of two drawn masks only, and not on prompted planes
agreement   IoU of the masks of the two passes, where both of them looked
==========  ==================================================================================

``confidence`` is the smallest of them, as each one alone is enough for a wrong mask, and 0 where an
object has collapsed onto another one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from napari_anysam.errors import OptionsError

__all__ = ["Assessment", "DoubtLimits", "Reason"]

Reason = Literal["lost", "low score", "jump", "disagreement", "collapsed"]

_UNKNOWN = math.nan


@dataclass(frozen=True, slots=True)
class DoubtLimits:
    """From where on an answer is doubtful.

    Parameters
    ----------
    low_score : float
        Presence or score below it: "low score".
    jump : float
        Steadiness below it: "jump". 0.5 is an area that doubles or halves.
    disagreement : float
        Agreement below it: "disagreement".
    lost_after : int
        Planes running on which nothing was found: "lost" from the last of them on, until the object
        is found again.
    collapsed_overlap : float
        Two objects whose masks have an IoU above it show the same thing.
    collapsed_after : int
        Planes running on which they do: "collapsed" from the last of them on, for the one with the
        lower score. Objects that did so from the first plane that both are on are left alone.

    Raises
    ------
    OptionsError
        If a limit is not between 0 and 1, or a number of planes is below 1.
    """

    low_score: float = 0.65
    jump: float = 0.5
    disagreement: float = 0.7
    lost_after: int = 3
    collapsed_overlap: float = 0.9
    collapsed_after: int = 3

    def __post_init__(self) -> None:
        """Check every limit."""
        for name in ("low_score", "jump", "disagreement", "collapsed_overlap"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise OptionsError(f"{name} is {value!r}; use a number from 0 to 1.")
        for name in ("lost_after", "collapsed_after"):
            value = getattr(self, name)
            if value != int(value) or value < 1:
                raise OptionsError(f"{name} is {value!r}; use a number of planes from 1 up.")


@dataclass(frozen=True, slots=True)
class Assessment:
    """What is known of one object's answer on one plane.

    Parameters
    ----------
    score : float
        Predicted IoU; 1 for a mask that was given.
    object_logit : float
        Positive where the network holds the object to be on the plane.
    area : int
        Pixels of the mask; overlaps with other objects count.
    area_change : float
        Relative to the plane visited before it: 0.1 is a tenth larger. NaN on prompted planes and
        where one of the two masks is empty.
    agreement : float
        IoU of the masks of the two passes; 1 where neither found the object. NaN where only one
        looked: everywhere but between two prompted planes of the object, in direction "both".
    lost, collapsed : bool
        See ``DoubtLimits``.
    limits : DoubtLimits
        From where on it is doubtful.
    """

    score: float
    object_logit: float
    area: int
    area_change: float = _UNKNOWN
    agreement: float = _UNKNOWN
    lost: bool = False
    collapsed: bool = False
    limits: DoubtLimits = field(default=DoubtLimits(), repr=False)

    @property
    def presence(self) -> float:
        """How sure the network is that the object is there, or is not there; 0 to 1."""
        return max(0.0, math.tanh((self.object_logit if self.area else -self.object_logit) / 2))

    @property
    def steadiness(self) -> float:
        """The smaller area over the larger one; NaN where the change is not known."""
        grown = 1 + self.area_change
        return grown if grown <= 1 else 1 / grown

    @property
    def confidence(self) -> float:
        """The smallest of the signs that are known, 0 to 1."""
        if self.collapsed:
            return 0.0
        signs = [self.presence, *self._known(self.steadiness), *self._known(self.agreement)]
        if self.area:
            signs.append(min(max(self.score, 0.0), 1.0))
        return min(signs)

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Why the answer is doubtful; empty where nothing speaks against it."""
        limits = self.limits
        weak = self.presence < limits.low_score
        found: dict[Reason, bool] = {
            "lost": self.lost,
            "low score": weak or (self.area > 0 and self.score < limits.low_score),
            "jump": self.steadiness < limits.jump,
            "disagreement": self.agreement < limits.disagreement,
            "collapsed": self.collapsed,
        }
        return tuple(reason for reason, holds in found.items() if holds)

    @property
    def doubtful(self) -> bool:
        """Whether anything speaks against the answer."""
        return bool(self.reasons)

    @staticmethod
    def _known(sign: float) -> tuple[float, ...]:
        return () if math.isnan(sign) else (sign,)
