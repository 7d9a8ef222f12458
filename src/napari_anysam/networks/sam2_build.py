"""SAM 2 networks from their configuration files, with strict loading.

Configurations are the ``sam2`` package's own YAML files, or files of the same layout. They are
instantiated directly: hydra's global state, which ``sam2.build_sam`` initialises on import of the
package, is not used.

The official builder adds settings that the YAML files lack (``sam2/build_sam.py``, arguments
``apply_postprocessing``). Followed here, because the published results were made with them:

- ``dynamic_multimask_via_stability`` with delta 0.05 and threshold 0.98 (both builders): a single
  mask that is not stable gives way to the best of three.
- ``binarize_mask_from_pts_for_mem_enc`` (video builder): a prompted plane is remembered as the mask
  that the user saw. It has no effect on images.

Not followed: ``fill_hole_area=8``, which needs the package's optional CUDA extension; without it
the official code skips that step with a warning.
"""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any

from napari_anysam.errors import CheckpointError
from napari_anysam.networks.weights import fill_network

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import torch
    from omegaconf import DictConfig
    from sam2.modeling.sam2_base import SAM2Base

__all__ = [
    "build_network",
    "official_configuration",
    "read_configuration",
    "resized_configuration",
]

_FILES = {"tiny": "t", "small": "s", "base_plus": "b+", "large": "l"}
_ENCODER_STRIDE = 16  # of the features that memories are read into: SAM2Base.backbone_stride
_STABILITY = {
    "dynamic_multimask_via_stability": True,
    "dynamic_multimask_stability_delta": 0.05,
    "dynamic_multimask_stability_thresh": 0.98,
}


def official_configuration(version: str, size: str) -> DictConfig:
    """Return the official configuration of a published network.

    Parameters
    ----------
    version : {"2", "2.1"}
        SAM 2 or SAM 2.1.
    size : {"tiny", "small", "base_plus", "large"}
        Size of the encoder.

    Raises
    ------
    CheckpointError
        If there is no such network.
    """
    if version not in ("2", "2.1") or size not in _FILES:
        raise CheckpointError(
            f"There is no SAM {version} of size {size!r}; versions are 2 and 2.1, sizes "
            f"{', '.join(_FILES)}."
        )
    name = f"configs/sam{version}/sam{version}_hiera_{_FILES[size]}.yaml"
    return _parsed(files("sam2").joinpath(name).read_text(encoding="utf-8"))


def resized_configuration(configuration: DictConfig, image_size: int) -> DictConfig:
    """Return the configuration of the same network for images of another size.

    Three values differ, as bowang-lab/MedSAM2 has them in ``sam2/configs/sam2.1_hiera_t512.yaml``:
    the size, and the rotary encodings' grids in both attentions of the memory.

    Parameters
    ----------
    configuration : DictConfig
        With a ``model`` node; see ``official_configuration``.
    image_size : int
        Side of the square input in pixels, a multiple of 32.
    """
    from omegaconf import OmegaConf

    side = image_size // _ENCODER_STRIDE
    grid = {"feat_sizes": [side, side]}
    layer = {"self_attention": grid, "cross_attention": grid}
    changed = {"image_size": image_size, "memory_attention": {"layer": layer}}
    merged: DictConfig = OmegaConf.merge(configuration, {"model": changed})
    return merged


def read_configuration(path: Path | str) -> DictConfig:
    """Read a configuration file of the layout of the ``sam2`` package's own."""
    from pathlib import Path

    return _parsed(Path(path).read_text(encoding="utf-8"))


def build_network(
    tensors: Mapping[str, torch.Tensor],
    configuration: DictConfig,
    name: str,
    device: torch.device,
) -> SAM2Base:
    """Build a network in float32, in evaluation mode, and load its tensors.

    Parameters
    ----------
    tensors : mapping of str to tensor
        The whole state of the network, of any floating type.
    configuration : DictConfig
        With a ``model`` node; see ``official_configuration``.
    name : str
        For messages.
    device : torch.device
        Where the network shall compute.

    Raises
    ------
    CheckpointError
        If tensors are missing, left over or of another shape; the message lists them.
    """
    from hydra.utils import instantiate

    network: SAM2Base = instantiate(_with_builder_settings(configuration).model, _recursive_=True)
    fill_network(network, tensors, name, device)
    network = network.to(device)
    _keep_constants(network)
    return network


def forget_constants(network: SAM2Base) -> None:
    """Have the positional constants computed anew: the network is on another device now."""
    from napari_anysam.networks.sam2_constants import KEEPERS

    for module in network.modules():
        if isinstance(module, KEEPERS):
            module.cache.clear()


def _keep_constants(network: SAM2Base) -> None:
    """Let the encoder compute its positional constants once, not with every image.

    A module gets a subclass rather than a function that holds it: without such a circle, a network
    that is let go is freed at once.
    """
    from napari_anysam.networks.sam2_constants import KEEPERS

    for module in network.modules():
        for kept in KEEPERS:
            if type(module) is kept.__base__:
                module.__class__ = kept
                module.cache = {}


def _parsed(text: str) -> DictConfig:
    from omegaconf import OmegaConf

    configuration: DictConfig = OmegaConf.create(text)
    return configuration


def _with_builder_settings(configuration: DictConfig) -> DictConfig:
    from omegaconf import OmegaConf

    settings: dict[str, Any] = {
        "model": {
            "sam_mask_decoder_extra_args": _STABILITY,
            "binarize_mask_from_pts_for_mem_enc": True,
        }
    }
    merged: DictConfig = OmegaConf.merge(configuration, settings)
    return merged
