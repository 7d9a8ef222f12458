"""Weights that are a function of a tensor's name and shape, so that any code can make them again.

Numbers that an official network gave with them, once and elsewhere, are test vectors here: the same
network must give them again.
"""

import re
import zlib

import numpy as np
import torch

# Added to what they meet, not multiplied with it: they stay as large as that.
_ADDED = re.compile(
    r"(token|tokens|point_embed|mask_embed|point_embeddings\.\d)\.weight$"
    r"|pos_embed$|attention_biases$|rel_pos_[hw]$|gaussian_matrix$"
)


def seeded_state(shapes):
    """Return tensors for a mapping of names to shapes."""
    return {name: seeded_tensor(name, tuple(shape)) for name, shape in shapes.items()}


def seeded_tensor(name, shape):
    """Return the tensor of this name: large enough everywhere that its loss would be noticed."""
    if name.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.long)
    # RandomState is frozen: its numbers are the same in every version of numpy.
    random = np.random.RandomState(zlib.crc32(name.encode()))
    values = random.standard_normal(shape)
    if name.endswith("running_var"):
        values = 1 + 0.2 * np.abs(values)
    elif name.endswith(("bias", "running_mean")):
        values = 0.1 * values
    elif len(shape) == 1:
        values = 1 + 0.1 * values
    elif not _ADDED.search(name):
        values = values / np.sqrt(np.prod(shape[1:]))
    return torch.from_numpy(values.astype(np.float32))


def seeded_image(height, width):
    """Return an image of smooth shapes and some noise, uint8 (H, W, 3)."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / 9 + k) + np.cos(y / (7 + k)) for k in range(3)]
    noise = np.random.RandomState(height).standard_normal((height, width, 3))
    return np.clip(128 + 45 * np.stack(waves, -1) + 10 * noise, 0, 255).astype(np.uint8)


def sample(tensor, count=16):
    """Return values spread evenly over a tensor, as a list of numbers of five digits."""
    flat = tensor.detach().float().flatten()
    places = torch.linspace(0, flat.numel() - 1, count).long()
    return [float(f"{value:.5g}") for value in flat[places].tolist()]
