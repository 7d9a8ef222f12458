"""Weights that are a function of a tensor's name and shape alone, the same everywhere.

With them the numbers that a public implementation gave once can be kept in a test, without the
implementation and without a file of weights.
"""

import math
import zlib

import numpy as np
import torch


def seeded_state(shapes, gain=1.0):
    """Return a tensor for every name; ``shapes`` maps names to tuples, or to tensors.

    ``gain`` scales the matrices: below 1, deep networks without normalisation stay in range.
    """
    return {name: _values(name, tuple(getattr(s, "shape", s)), gain) for name, s in shapes.items()}


def seeded_image(shape):
    """Return a uint8 image (H, W, 3), smooth and noisy, with a bright disc."""
    height, width = shape
    rows, columns = np.mgrid[:height, :width]
    noise = np.random.RandomState(7).randint(0, 60, (height, width, 3))
    disc = (rows - 0.4 * height) ** 2 + (columns - 0.6 * width) ** 2 < (0.25 * min(shape)) ** 2
    image = 40 + 60 * np.sin(columns / 9)[..., None] * [0.5, 0.8, 1] + 90 * disc[..., None] + noise
    return image.clip(0, 255).astype(np.uint8)


def sixteen(values):
    """Return 16 values of a tensor, evenly spaced in its flattened order."""
    flat = values.detach().float().flatten()
    places = np.linspace(0, len(flat) - 1, 16).round().astype(int)
    return flat[torch.from_numpy(places)].numpy()


def _values(name, shape, gain):
    if name.endswith("num_batches_tracked"):
        return torch.tensor(1)
    # RandomState's streams are frozen for ever, unlike those of default_rng.
    normal = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
    if name.endswith("running_var"):
        normal = 1 + 0.1 * np.abs(normal)
    elif "gaussian_matrix" in name:
        pass
    elif len(shape) > 1 and not name.endswith(("_pos_h", "_pos_w", "pos_embed")):
        normal = normal * gain * math.sqrt(2 / np.prod(shape[1:]))
    elif name.endswith("weight"):
        normal = 1 + 0.1 * normal  # of a normalisation
    else:
        normal = 0.1 * normal
    return torch.tensor(normal, dtype=torch.float32)
