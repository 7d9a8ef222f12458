"""Memory and disks that run out on purpose, with the errors of torch and of the kernel."""

import signal
from contextlib import contextmanager

import pytest
import torch

CPU = torch.device("cpu")
CARD = torch.device("cpu:0")
"""torch's other name for the CPU: a model that was built there takes it for another device."""


def network_of(model):
    """Return the module behind a model."""
    return model.network if hasattr(model, "network") else model._network


def decoder_of(model):
    """Return the module that decodes a batch of objects."""
    network = network_of(model)
    return getattr(network, "sam_mask_decoder", None) or network.mask_decoder


@contextmanager
def no_room_for(decoder, *, more_than):
    """Let a mask decoder run out of memory with more objects; yields the numbers it refused."""
    refused = []

    def refuse(_module, _inputs, named):
        count = len(named["sparse_prompt_embeddings"])
        if count > more_than:
            refused.append(count)
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")

    hook = decoder.register_forward_pre_hook(refuse, with_kwargs=True)
    try:
        yield refused
    finally:
        hook.remove()


@contextmanager
def no_room_on_the_card(model, module, *, after=0):
    """Let a module run out of memory while its model is on ``CARD``, after so many good calls."""
    calls = []

    def refuse(*_):
        calls.append(model.device)
        if model.device == CARD and len(calls) > after:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    hook = module.register_forward_pre_hook(refuse)
    try:
        yield calls
    finally:
        hook.remove()


@contextmanager
def no_file_larger_than(nbytes):
    """Let the kernel refuse to write more into a file, as a full disk does (EFBIG)."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (nbytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
