"""Checkpoint files of the shipped architecture, with seeded random weights."""

import torch
from hydra.utils import instantiate
from safetensors.torch import save_file

from napari_anysam.models.store import builtin_folder
from napari_anysam.networks.sam2_build import read_configuration


def write_nano(file, seed=0):
    torch.manual_seed(seed)
    configuration = read_configuration(builtin_folder() / "anysam-nano.yaml")
    save_file(instantiate(configuration.model, _recursive_=True).state_dict(), file)
    return file
