"""Filling a network with a checkpoint's tensors: all of them, or none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from napari_anysam.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor, nn

__all__ = ["check_fit", "fill_network", "same_name"]

_SHOWN = 3


def same_name(name: str) -> str:
    """Return the name: a checkpoint calls its tensors as the network does."""
    return name


def fill_network(
    network: nn.Module,
    tensors: Mapping[str, Tensor],
    name: str,
    device: torch.device,
    *,
    file_name: Callable[[str], str] = same_name,
) -> None:
    """Give a network the tensors of its names and shapes, ready to predict on a device.

    Parameters
    ----------
    network : module
        Its parameters may be on the "meta" device; buffers that a state dict leaves out are not
        touched.
    tensors : mapping of str to tensor
        Copied to the device as float32, so that the file behind them can go.
    name : str
        For the message.
    device : torch.device
        Where the network shall compute.
    file_name : callable
        What the checkpoint calls a tensor of the network.

    Raises
    ------
    CheckpointError
        If a tensor is missing, unexpected or of another shape; the network is then unchanged.
    """
    state = network.state_dict()
    check_fit({file_name(key): tensor for key, tensor in state.items()}, tensors, name)
    copies = {key: _copy(tensors[file_name(key)], device) for key in state}
    network.load_state_dict(copies, strict=True, assign=True)
    network.requires_grad_(False).eval()


def _copy(tensor: Tensor, device: torch.device) -> Tensor:
    dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
    return tensor.detach().to(device=device, dtype=dtype, copy=True)


def check_fit(expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor], name: str) -> None:
    """Raise CheckpointError with what is missing, unexpected or mis-shaped, if anything is."""
    faults = [
        _listed("missing", [key for key in expected if key not in tensors]),
        _listed("unexpected", [key for key in tensors if key not in expected]),
        _listed("of a wrong shape", _misshaped(expected, tensors)),
    ]
    found = "; ".join(fault for fault in faults if fault)
    if found:
        raise CheckpointError(
            f"The tensors of {name} do not fit its network: {found}; get the complete file."
        )


def _misshaped(expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> list[str]:
    return [
        f"{key} {tuple(tensors[key].shape)} instead of {tuple(tensor.shape)}"
        for key, tensor in expected.items()
        if key in tensors and tensors[key].shape != tensor.shape
    ]


def _listed(what: str, items: Sequence[str]) -> str:
    if not items:
        return ""
    more = f", and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return f"{len(items)} {what} ({', '.join(items[:_SHOWN])}{more})"
