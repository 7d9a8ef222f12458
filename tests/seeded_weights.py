"""Weights that are a function of a tensor's name and shape, so that any code can make them again.

Numbers that an official network gave with them, once and elsewhere, are test vectors here: the same
network must give them again. Some were made with one function of each kind, some with the other, so
neither can replace the other.
"""

import math
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
    """Return a tensor for every name, large enough that its loss would be noticed.

    Matrices keep the size of what they meet; ``shapes`` maps names to tuples.
    """
    return {name: _tensor(name, _unit_values(name, tuple(s))) for name, s in shapes.items()}


def he_seeded_state(shapes, gain=1.0):
    """Return a tensor for every name, matrices as He et al. begin training with them.

    ``shapes`` maps names to tuples, or to tensors. ``gain`` scales the matrices: below 1, deep
    networks without normalisation stay in range.
    """
    shapes = {name: tuple(getattr(s, "shape", s)) for name, s in shapes.items()}
    return {name: _tensor(name, _he_values(name, shape, gain)) for name, shape in shapes.items()}


def seeded_image(height, width):
    """Return an image of smooth shapes and some noise, uint8 (H, W, 3)."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / 9 + k) + np.cos(y / (7 + k)) for k in range(3)]
    noise = np.random.RandomState(height).standard_normal((height, width, 3))
    return np.clip(128 + 45 * np.stack(waves, -1) + 10 * noise, 0, 255).astype(np.uint8)


def seeded_disc(height, width):
    """Return an image of stripes and noise with a bright disc, uint8 (H, W, 3)."""
    rows, columns = np.mgrid[:height, :width]
    noise = np.random.RandomState(7).randint(0, 60, (height, width, 3))
    radius = 0.25 * min(height, width)
    disc = (rows - 0.4 * height) ** 2 + (columns - 0.6 * width) ** 2 < radius**2
    image = 40 + 60 * np.sin(columns / 9)[..., None] * [0.5, 0.8, 1] + 90 * disc[..., None] + noise
    return image.clip(0, 255).astype(np.uint8)


def sample(tensor, count=16):
    """Return values spread evenly over a tensor, as a list of numbers of five digits."""
    flat = tensor.detach().float().flatten()
    places = torch.linspace(0, flat.numel() - 1, count).long()
    return [float(f"{value:.5g}") for value in flat[places].tolist()]


def nearest_sample(tensor):
    """Return 16 values from the places nearest to an even spread; ``sample`` cuts places off."""
    flat = tensor.detach().float().flatten()
    places = np.linspace(0, len(flat) - 1, 16).round().astype(int)
    return flat[torch.from_numpy(places)].numpy()


def _tensor(name, values):
    dtype = torch.long if name.endswith("num_batches_tracked") else torch.float32
    return torch.tensor(values, dtype=dtype)


def _normal(name, shape):
    # RandomState is frozen: its numbers are the same in every version of numpy.
    return np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)


def _unit_values(name, shape):
    values = _normal(name, shape)
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape)
    if name.endswith("running_var"):
        return 1 + 0.2 * np.abs(values)
    if name.endswith(("bias", "running_mean")):
        return 0.1 * values
    if len(shape) == 1:
        return 1 + 0.1 * values
    return values if _ADDED.search(name) else values / np.sqrt(np.prod(shape[1:]))


def _he_values(name, shape, gain):
    values = _normal(name, shape)
    if name.endswith("num_batches_tracked"):
        return np.ones(shape)
    if name.endswith("running_var"):
        return 1 + 0.1 * np.abs(values)
    if "gaussian_matrix" in name:
        return values
    if len(shape) > 1 and not name.endswith(("_pos_h", "_pos_w", "pos_embed")):
        return values * gain * math.sqrt(2 / np.prod(shape[1:]))
    return 1 + 0.1 * values if name.endswith("weight") else 0.1 * values
