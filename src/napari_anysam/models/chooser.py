"""Which model to take: for a kind of image, on a machine, with reasons.

The rules: a model trained on that kind of image goes before one for everything; without a graphics
card quick ones go first and nothing above SAM's ViT-B is proposed; what does not fit into the
machine's memory is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from napari_anysam.cores import usable_cores
from napari_anysam.errors import CapabilityError
from napari_anysam.models.catalogue import IMAGE_KINDS, catalogue, check_kind, find_model
from napari_anysam.models.measurements import default_measurements

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from napari_anysam.models.catalogue import ModelSpec
    from napari_anysam.models.measurements import Measurement

__all__ = ["Machine", "Proposal", "propose", "this_machine"]

MOST_PROPOSALS = 3

# What is proposed at all, the stronger of equally fitting ones first. Left out: what another entry
# does better (SAM 2 before 2.1, EfficientSAM, which takes no negative clicks) or more generally
# (MedSAM2's members for single organs).
_PROPOSED = (
    *(f"micro-sam-lm-vit-{size}" for size in "lbt"),
    *(f"micro-sam-em-organelles-vit-{size}" for size in "lbt"),
    *(f"micro-sam-histopathology-vit-{size}" for size in "lbh"),
    *("medsam", "micro-sam-medical-vit-b", "medsam-lite", "sam-med2d", "medsam2"),
    *(f"sam2.1-{size}" for size in ("large", "base-plus", "small", "tiny")),
    *("mobile-sam", "edgetam", "sam-hq-vit-tiny", "sam-vit-b"),
    "anysam-nano-3",
)

# Million parameters of a network at 1024 x 1024 pixels, as a measure of an encoder's work.
_VIT_B = 100.0
_QUICK = 40.0
_QUICK_TRACKING = 20.0  # reading the memories of SAM 2 takes longer than its smallest encoder

# Measured on 2 cores in fp32: SAM ViT-B 14.3 s, SAM 2.1 tiny 2.9 s (0.15 and 0.07 s of two cores
# for a million parameters); an estimate for words, not for figures.
_CORE_SECONDS = 0.2
_QUICK_SECONDS = 3.0

_GPU_SHARE, _CPU_SHARE = 0.8, 0.5  # the rest is for the display, napari and the images
_UNREPORTED_BYTES = 500e6  # what the smallest reported ones take beside their weights


@dataclass(frozen=True, slots=True)
class Machine:
    """What computes.

    Parameters
    ----------
    device : {"cpu", "cuda", "mps"}
        The processor, an NVIDIA graphics card, or Apple's graphics.
    memory_bytes : int
        Of the card with "cuda", else of the machine.
    cores : int
        Processor cores that may be used.

    Raises
    ------
    CapabilityError
        If the device is none of these.
    """

    device: Literal["cpu", "cuda", "mps"]
    memory_bytes: int
    cores: int

    def __post_init__(self) -> None:
        """Check the device."""
        devices = get_args(Literal["cpu", "cuda", "mps"])
        if self.device not in devices:
            raise CapabilityError(
                f"There is no device {self.device!r} to choose a model for; use one of "
                f"{', '.join(devices)}."
            )

    @property
    def has_gpu(self) -> bool:
        """Whether large networks are quick on it."""
        return self.device != "cpu"


@dataclass(frozen=True, slots=True)
class Proposal:
    """A model to take.

    Parameters
    ----------
    spec : ModelSpec
        Its entry in the catalogue.
    reason : str
        One or two sentences for a person: what it was trained on, its speed on that machine, and
        what limits it.
    """

    spec: ModelSpec
    reason: str


def this_machine(device: Literal["auto", "cpu", "cuda"] = "auto") -> Machine:
    """Return what this process can compute with; imports torch.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda"}
        "auto" takes a graphics card that torch can use, else the processor.

    Raises
    ------
    CapabilityError
        If "cuda" is asked for and torch finds no such card.
    """
    import psutil
    import torch

    if device != "cpu" and torch.cuda.is_available():
        return Machine("cuda", torch.cuda.get_device_properties(0).total_memory, usable_cores())
    if device == "cuda":
        raise CapabilityError("torch finds no CUDA graphics card here; choose device='cpu'.")
    apple = device == "auto" and torch.backends.mps.is_available()
    return Machine("mps" if apple else "cpu", psutil.virtual_memory().total, usable_cores())


def propose(
    kind: str, machine: Machine, *, tracking: bool = False, commercial: bool = False
) -> tuple[Proposal, ...]:
    """Propose models, the best one first, three at most.

    Parameters
    ----------
    kind : str
        What is segmented, a key of ``catalogue.IMAGE_KINDS``.
    machine : Machine
        What computes.
    tracking : bool
        Whether objects shall be followed through a stack or a film.
    commercial : bool
        Leave out models whose licence limits the use or is not known.

    Raises
    ------
    ModelNotFoundError
        If there is no such kind; the message lists them.
    """
    check_kind(kind)
    wish = _Wish(kind, machine, tracking, _measured(machine))
    fitting = [
        spec
        for spec in map(find_model, _PROPOSED)
        if _fits(spec, wish) and (spec.for_commerce or not commercial)
    ]
    best = sorted(fitting, key=lambda spec: _rank(spec, wish))[:MOST_PROPOSALS]
    return tuple(Proposal(spec, _reason(spec, wish)) for spec in best)


@dataclass(frozen=True, slots=True)
class _Wish:
    kind: str
    machine: Machine
    tracking: bool
    measured: Mapping[str, Measurement]


def _measured(machine: Machine) -> dict[str, Measurement]:
    measurements = default_measurements()
    found = {
        name: measurements.find(name, machine.device, image_size=find_model(name).image_size)
        for name in _PROPOSED
    }
    return {name: one for name, one in found.items() if one is not None}


def _fits(spec: ModelSpec, wish: _Wish) -> bool:
    machine = wish.machine
    share = _GPU_SHARE if machine.has_gpu else _CPU_SHARE
    return (
        (wish.kind in spec.good_for or _is_general(spec) or spec.builtin)
        and (spec.tracking or not wish.tracking)
        and (machine.has_gpu or _work(spec) <= _VIT_B)
        and _memory(spec) <= share * machine.memory_bytes
    )


def _rank(spec: ModelSpec, wish: _Wish) -> tuple[bool, bool, float]:
    """Sort: trained for the kind first, then the quick, then as listed, or slow ones by work."""
    if wish.machine.has_gpu:
        return not _is_made_for(spec, wish.kind) or spec.builtin, False, 0.0
    quick = _is_quick(spec, wish)
    return not _is_made_for(spec, wish.kind), not quick, 0.0 if quick else _work(spec)


def _is_general(spec: ModelSpec) -> bool:
    return "natural" in spec.good_for


def _is_made_for(spec: ModelSpec, kind: str) -> bool:
    return kind in spec.good_for and (kind == "natural" or not _is_general(spec))


def _work(spec: ModelSpec) -> float:
    return spec.parameters_millions * (spec.image_size / 1024) ** 2


def _memory(spec: ModelSpec) -> float:
    """Bytes that it takes in fp32: as reported for its architecture, else by its weights."""
    reported = [
        one.memory_fp32_mb
        for one in (spec, *catalogue())
        if one.architecture == spec.architecture and one.memory_fp32_mb is not None
    ]
    if reported:
        return reported[0] * 1e6
    return spec.parameters_millions * 4e6 + _UNREPORTED_BYTES


def _is_quick(spec: ModelSpec, wish: _Wish) -> bool:
    measured = wish.measured.get(spec.name)
    if measured is not None and not wish.tracking:
        return measured.encode_seconds <= _QUICK_SECONDS
    return _work(spec) <= (_QUICK_TRACKING if wish.tracking else _QUICK)


def _reason(spec: ModelSpec, wish: _Wish) -> str:
    first = f"{_training(spec, wish.kind)}; {_speed(spec, wish)}."
    notes = "; ".join(_notes(spec, wish))
    return f"{first} {notes[0].upper()}{notes[1:]}." if notes else first


def _training(spec: ModelSpec, kind: str) -> str:
    if spec.builtin:
        return "Comes with the package and needs no download, trained on drawn images"
    if not _is_general(spec):
        return f"Trained on {IMAGE_KINDS[kind]}"
    what = "photographs and films" if spec.tracking else "photographs"
    return f"Trained on {what}" if kind == "natural" else f"A general model, trained on {what}"


def _speed(spec: ModelSpec, wish: _Wish) -> str:
    measured = wish.measured.get(spec.name)
    if measured is not None:
        return f"measured here: {measured.words}"
    if wish.machine.has_gpu:
        return "quick on a graphics card"
    cores = wish.machine.cores
    seconds = _CORE_SECONDS * _work(spec) / cores
    words = next((words for limit, words in _SPEEDS if seconds < limit), _SLOWEST)
    return f"{words} an image on {cores} cores, estimated from its size"


_SPEEDS = ((0.5, "half a second or less"), (1.5, "about a second"), (4.0, "a few seconds"))
_SLOWEST = "ten seconds or so"


def _notes(spec: ModelSpec, wish: _Wish) -> Iterator[str]:
    """Say what a user would else find out too late."""
    if wish.tracking and not wish.machine.has_gpu and not _is_quick(spec, wish):
        yield "following objects takes several times that for each plane"
    if spec.prompts == ("box",):
        yield "takes boxes and no clicks"
    if spec.restricted:
        yield f"its licence limits the use: {spec.licence}"
    elif not spec.for_commerce:
        yield f"its licence is {spec.licence}"
    elif spec.licence.startswith("CC-BY-SA"):
        yield f"changed weights must be shared alike ({spec.licence})"
