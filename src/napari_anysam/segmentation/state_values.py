"""Values of a run as JSON and tensors, and back: what is one object stays one object.

Known are plain values, dictionaries, lists, tuples, numpy arrays, tensors, and the dataclasses that
are named; a record's fields are found by themselves, so that nothing a run holds is forgotten.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Flattening", "bytes_of", "unflattened"]

_PLAIN = (bool, int, float, str, type(None))


class Flattening:
    """Turns values into JSON, and puts their tensors aside.

    Parameters
    ----------
    types : mapping of str to type
        Dataclasses that may occur, by the names that they get.

    Attributes
    ----------
    tensors : dict of str to tensor
        On the CPU, contiguous, none a part of another.
    """

    def __init__(self, types: Mapping[str, type]) -> None:
        self.tensors: dict[str, torch.Tensor] = {}
        self._names = {kind: name for name, kind in types.items()}
        self._seen: dict[int, dict[str, Any]] = {}
        self._alive: list[Any] = []  # an id is one object's only while the object lives
        self._count = 0

    def plain(self, value: Any) -> Any:
        """Return JSON for a value.

        Raises
        ------
        TypeError
            If there is a value of a type that is not known.
        """
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, _PLAIN):
            return value
        if isinstance(value, dict):
            return {"pairs": [[self.plain(key), self.plain(one)] for key, one in value.items()]}
        if isinstance(value, list):
            return {"list": [self.plain(one) for one in value]}
        if isinstance(value, tuple):
            return {"tuple": [self.plain(one) for one in value]}
        known = self._seen.get(id(value))
        if known is not None:
            return {"same": known["number"]}
        self._count += 1
        described = {"number": self._count, **self._described(value)}
        self._seen[id(value)] = described
        self._alive.append(value)
        return described

    def _described(self, value: Any) -> dict[str, Any]:
        if isinstance(value, torch.Tensor):
            own = value.detach().cpu().clone(memory_format=torch.contiguous_format)
            return {"tensor": self._put(own), "device": value.device.type}
        if isinstance(value, np.ndarray):
            array = value.view(np.uint8) if value.dtype == bool else value
            return {"array": self._put(torch.tensor(array)), "bool": value.dtype == bool}
        if is_dataclass(value) and type(value) in self._names:
            said = {one.name: self.plain(getattr(value, one.name)) for one in fields(value)}
            return {"record": self._names[type(value)], "fields": said}
        raise TypeError(f"a {type(value).__name__} is no part of a run's state")

    def _put(self, tensor: torch.Tensor) -> str:
        name = str(len(self.tensors))
        self.tensors[name] = tensor
        return name


def unflattened(
    value: Any,
    tensors: Mapping[str, torch.Tensor],
    types: Mapping[str, type],
    device: torch.device,
) -> Any:
    """Return the values that a ``Flattening`` described.

    Parameters
    ----------
    value : JSON
        What ``Flattening.plain`` returned.
    tensors : mapping of str to tensor
        Its tensors.
    types : mapping of str to type
        As they were given to it.
    device : torch.device
        Where tensors go that were not on the CPU.

    Raises
    ------
    KeyError, TypeError, ValueError
        If it is no such description.
    """
    return _Reading(tensors, types, device).value(value)


def bytes_of(value: Any) -> int:
    """Return how many bytes the arrays and tensors of a value hold, each counted once."""
    return sum({id(one): int(one.nbytes) for one in _arrays_in(value)}.values())


def _arrays_in(value: Any) -> Iterator[Any]:
    if isinstance(value, torch.Tensor | np.ndarray):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from _arrays_in(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _arrays_in(one)
    elif is_dataclass(value):
        for field in fields(value):
            yield from _arrays_in(getattr(value, field.name))


class _Reading:
    def __init__(
        self,
        tensors: Mapping[str, torch.Tensor],
        types: Mapping[str, type],
        device: torch.device,
    ) -> None:
        self._tensors, self._types, self._device = tensors, types, device
        self._made: dict[int, Any] = {}

    def value(self, said: Any) -> Any:
        if not isinstance(said, dict):
            return said
        if "pairs" in said:
            return {self.value(key): self.value(one) for key, one in said["pairs"]}
        if "list" in said:
            return [self.value(one) for one in said["list"]]
        if "tuple" in said:
            return tuple(self.value(one) for one in said["tuple"])
        if "same" in said:
            return self._made[said["same"]]
        made = self._made[said["number"]] = self._object(said)
        return made

    def _object(self, said: dict[str, Any]) -> Any:
        if "tensor" in said:
            tensor = self._tensors[said["tensor"]]
            return tensor if said["device"] == "cpu" else tensor.to(self._device)
        if "array" in said:
            array = self._tensors[said["array"]].numpy()
            return array.view(bool) if said["bool"] else array
        fields = {name: self.value(one) for name, one in said["fields"].items()}
        return self._types[said["record"]](**fields)
