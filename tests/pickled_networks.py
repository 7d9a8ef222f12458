"""Networks pickled as a whole, as ultralytics saves them, without ultralytics."""

import sys
from contextlib import contextmanager
from types import ModuleType

import torch


class Conv(torch.nn.Module):
    pass


class SegmentationModel(torch.nn.Module):
    pass


def prompt(*_):
    """A function where a file promises a class."""


# As which global a file names them.
NAMES = {
    Conv: "ultralytics.nn.modules.conv",
    SegmentationModel: "ultralytics.nn.tasks",
    prompt: "ultralytics.models.fastsam.predict",
}

BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


@contextmanager
def ultralytics_while_writing():
    """Let pickle find ``NAMES`` in modules of ultralytics, which are gone afterwards."""
    paths = {path for name in NAMES.values() for path in _parents(name)}
    before = {path: sys.modules[path] for path in paths if path in sys.modules}
    owners = {one: one.__module__ for one in NAMES}
    sys.modules.update({path: ModuleType(path) for path in paths})
    for one, path in NAMES.items():
        one.__module__ = path
        setattr(sys.modules[path], one.__name__, one)
    try:
        yield
    finally:
        for one, owner in owners.items():
            one.__module__ = owner
        for path in paths:
            del sys.modules[path]
        sys.modules.update(before)


def _parents(name):
    words = name.split(".")
    return [".".join(words[:count]) for count in range(1, len(words) + 1)]


def network_of(tensors):
    """Return a tree of modules with these tensors, which begins like ultralytics' networks."""
    network = SegmentationModel()
    for name, tensor in tensors.items():
        *path, own = f"model.{name}".split(".")
        module = network
        for step in path:
            if step not in module._modules:
                module.add_module(step, Conv())
            module = module._modules[step]
        if own in BUFFERS:
            module.register_buffer(own, tensor)
        else:
            module.register_parameter(own, torch.nn.Parameter(tensor))
    return network


def save_as_ultralytics(path, network, **others):
    """Write a checkpoint as the trainer of ultralytics does (engine/trainer.py save_model)."""
    content = {"epoch": -1, "model": network, "ema": None, "train_args": {"task": "segment"}}
    with ultralytics_while_writing():
        torch.save({**content, **others}, path)
