"""A name or a file becomes a network."""

from __future__ import annotations

import warnings
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_anysam.errors import CheckpointError, ModelNotFoundError, NotEnoughMemoryError
from napari_anysam.models.catalogue import (
    DEFAULT_MODEL,
    ModelSpec,
    catalogue,
    find_by_sha256,
    find_model,
)
from napari_anysam.models.checkpoint import file_sha256, read_checkpoint
from napari_anysam.models.image_size import check_image_size
from napari_anysam.models.recognition import architecture_of, unlike_members
from napari_anysam.models.store import builtin_folder, default_store
from napari_anysam.networks.device import choose_device, choose_precision
from napari_anysam.networks.native import without_clashing_triton
from napari_anysam.networks.out_of_memory import attempt, say_moved
from napari_anysam.networks.protocol import PROTOCOL_VERSION, Capabilities, ProposalOptions
from napari_anysam.settings import read_settings

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    import torch
    from omegaconf import DictConfig

    from napari_anysam.models.architecture import Architecture
    from napari_anysam.models.checkpoint import Checkpoint
    from napari_anysam.networks.protocol import PromptableModel

__all__ = ["load_model", "load_with_report"]

_SUFFIXES = (".pt", ".pth", ".safetensors", ".ckpt", ".bin")


def load_model(
    name_or_path: str | os.PathLike[str] = DEFAULT_MODEL,
    device: str | torch.device = "auto",
    precision: str = "auto",
    variant: str | None = None,
    image_size: int | None = None,
) -> PromptableModel:
    """Load a model of the catalogue, or a checkpoint file.

    Parameters
    ----------
    name_or_path : str or path
        Catalogue name such as "anysam-nano" or "sam2.1-tiny", or the path of a checkpoint. Which
        network a file holds is told by its content, whatever its name.
    device : str or torch.device
        "auto", "cpu", "cuda", "cuda:1", "mps".
    precision : str
        "auto", "fp32", "bf16" or "fp16".
    variant : str, optional
        Catalogue name of the family member that a file is, where its content cannot tell
        (``models.recognition.possible_variants``). Without it, what was said when the file was
        added counts; else a warning says what is assumed.
    image_size : int, optional
        Side of the square that the network sees, in pixels, where it shall not be the one that it
        was made for: SAM 2 and SAM 2.1 see 1024 and take 512 too, which is several times quicker
        and coarser.

    Raises
    ------
    ModelNotFoundError
        If the name is unknown, the file is missing, or the model is not on disk.
    CheckpointError
        If the file is no checkpoint, is damaged, or its tensors do not fit.
    UnknownArchitectureError
        If its tensors belong to no network that this package knows.
    CapabilityError
        If there is no such device or precision, a package is missing that the model needs, or it
        cannot see images of that size.
    NotEnoughMemoryError
        If it does not fit into memory. A model that does not fit on a graphics card is loaded on
        the CPU, with a warning.
    """
    return load_with_report(name_or_path, device, precision, variant, image_size)


def load_with_report(
    name_or_path: str | os.PathLike[str] = DEFAULT_MODEL,
    device: str | torch.device = "auto",
    precision: str = "auto",
    variant: str | None = None,
    image_size: int | None = None,
    *,
    report: Callable[[str], None] | None = None,
) -> PromptableModel:
    """Load a model as ``load_model`` does, and say in words what is going on.

    Parameters
    ----------
    report : callable, optional
        Gets a few words before each step; what it raises ends the loading.
    """
    say = report or _silent
    chosen = choose_device(device)
    choose_precision(precision, chosen, parameters=0)  # a wrong name is told before reading
    spec, path = _resolve(name_or_path)
    say(f"Reading {path.name} ...")
    checkpoint = read_checkpoint(path)
    architecture = _identify(checkpoint, spec)
    say(f"Checking {path.name} ...")
    sha256 = file_sha256(path)
    known = _known(path, sha256, spec)
    said = _variant(variant, architecture)
    if known is None and said is None:
        said = _remembered(path, architecture)
    name = _name(path, known, said)
    key = f"{architecture}:{sha256}:v{PROTOCOL_VERSION}"

    def build(device: torch.device) -> PromptableModel:
        resolved = choose_precision(precision, device, checkpoint.parameters)
        say(f"Building {name} on {device} in {resolved} ...")
        with without_clashing_triton():  # this imports the networks
            untold = _untold(architecture, known or said, name, image_size)
            model = _build(checkpoint, architecture, name, key, device, resolved, untold)
        check_image_size(name, model.image_size, image_size, other_sizes=False)
        return model

    return _build_where_it_fits(build, name, chosen)


def _build_where_it_fits(
    build: Callable[[torch.device], PromptableModel], name: str, device: torch.device
) -> PromptableModel:
    """Build on a device, or on the CPU if the device has no room."""
    built = attempt(lambda: build(device))
    if built is None and device.type != "cpu":
        say_moved(name, device)
        built = attempt(lambda: build(choose_device("cpu")))
    if built is None:
        raise NotEnoughMemoryError(
            f"There is not enough memory for {name}; close other programs, or choose a smaller "
            "model."
        )
    return built[0]


def _silent(_words: str) -> None:
    """Nobody asked for a report."""


def _resolve(name_or_path: str | os.PathLike[str]) -> tuple[ModelSpec | None, Path]:
    """Tell a catalogue name from a path; a name wins over a file called the same."""
    if isinstance(name_or_path, str) and not _is_path(name_or_path):
        spec = find_model(name_or_path)
        return spec, default_store().locate(spec)
    return None, Path(name_or_path).expanduser()


def _is_path(text: str) -> bool:
    if not text or any(text in spec.all_names for spec in catalogue()):
        return False
    path = Path(text)
    return path.suffix.lower() in _SUFFIXES or path.name != text or path.exists()


def _identify(checkpoint: Checkpoint, spec: ModelSpec | None) -> Architecture:
    """Find the architecture, and see that a catalogue model's file holds what it should."""
    architecture = architecture_of(checkpoint)
    if spec is not None and str(architecture) != spec.architecture:
        raise CheckpointError(
            f"{checkpoint.path} holds {architecture} and not {spec.architecture}; "
            f"put the file of {spec.title} there."
        )
    return architecture


def _variant(variant: str | None, architecture: Architecture) -> ModelSpec | None:
    """Check that the named family member has the architecture that the file holds."""
    if variant is None:
        return None
    members = [spec for spec in catalogue() if spec.architecture == str(architecture)]
    for spec in members:
        if variant in spec.all_names:
            return spec
    known = ", ".join(spec.name for spec in members) or "none; leave variant out"
    raise ModelNotFoundError(
        f"{variant!r} is no variant of {architecture}, which the file holds; use one of: {known}."
    )


def _known(path: Path, sha256: str, spec: ModelSpec | None) -> ModelSpec | None:
    """Find the catalogue model that a file is: the one it was asked as, or the one of its hash."""
    if spec is None:
        return find_by_sha256(sha256)
    if spec.sha256 is not None and spec.sha256 != sha256:
        warnings.warn(
            f"{path} is not the official file of {spec.title} (its SHA-256 differs); "
            "it is used as it is.",
            stacklevel=4,
        )
    return spec


def _remembered(path: Path, architecture: Architecture) -> ModelSpec | None:
    """Find what an added file was said to be; where that matters and is not known, say so."""
    members = unlike_members(architecture)
    if len(members) < 2:
        return None
    name = default_store().remembered_variant(path)
    for spec in catalogue():
        if spec.name == name and spec.architecture == str(architecture):
            return spec
    warnings.warn(
        f"Nothing tells whether {path} is {' or '.join(spec.title for spec in members)}; it is "
        f"used as {members[0].title}. To say what it is, load it with the variant (on the command "
        f"line --variant) {' or '.join(spec.name for spec in members)}.",
        stacklevel=4,
    )
    return None


def _name(path: Path, known: ModelSpec | None, said: ModelSpec | None) -> str:
    """Name a model: as the catalogue does, else by its file and what the caller says of it."""
    if known is not None:
        return known.name
    return path.stem if said is None else f"{path.stem} ({said.name})"


def _build(
    checkpoint: Checkpoint,
    architecture: Architecture,
    name: str,
    key: str,
    device: torch.device,
    precision: str,
    untold: dict[str, Any],
) -> PromptableModel:
    """Build the network; ``untold`` is what its builder needs beside that."""
    family = architecture.family
    # A family is a module of its name with a function of its name.
    build = getattr(import_module(f"napari_anysam.networks.{family}"), f"build_{family}")
    model: PromptableModel = build(
        checkpoint.tensors,
        name=name,
        key=key,
        device=device,
        precision=precision,
        **untold,
    )
    return model


def _untold(
    architecture: Architecture, member: ModelSpec | None, name: str, image_size: int | None
) -> dict[str, Any]:
    """Return what a builder needs to know beside the tensors, where a family's members differ."""
    if architecture.family == "sam2":
        return {"configuration": _configuration(architecture, member, name, image_size)}
    if architecture.family == "sam" and member is not None:
        from napari_anysam.networks.preprocessing import PREPROCESSINGS

        return {
            "preprocessing": PREPROCESSINGS[member.preprocessing or "sam"],
            "capabilities": _capabilities(member),
        }
    if architecture.family == "fast_sam":
        return {"options": _proposal_options()}
    return {}


def _capabilities(member: ModelSpec) -> Capabilities:
    return Capabilities(
        points="point" in member.prompts,
        boxes="box" in member.prompts,
        masks="mask" in member.prompts,
    )


def _proposal_options() -> ProposalOptions:
    settings = read_settings()
    return ProposalOptions(
        conf=settings.fastsam_conf,
        iou=settings.fastsam_iou,
        retina_masks=settings.fastsam_retina_masks,
    )


def _configuration(
    architecture: Architecture, member: ModelSpec | None, name: str, image_size: int | None
) -> DictConfig:
    """Find what describes a network of SAM 2's kind, at the image size asked for or a member's."""
    from napari_anysam.networks.sam2_build import (
        official_configuration,
        read_configuration,
        resized_configuration,
    )

    if architecture.version == "anysam":
        configuration = read_configuration(builtin_folder() / f"anysam-{architecture.size}.yaml")
    else:
        version = architecture.version.removeprefix("sam")
        configuration = official_configuration(version, architecture.size.replace("-", "_"))
    published = int(configuration.model.image_size)
    own = published if member is None else member.image_size
    side = check_image_size(name, own, image_size, other_sizes=True)
    return configuration if side == published else resized_configuration(configuration, side)
