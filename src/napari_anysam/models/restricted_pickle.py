"""Reading the tensors of a checkpoint whose author pickled other objects beside them.

``torch.load(weights_only=True)`` refuses such files as a whole. This unpickler refuses them too,
unless all that lies beside the tensors is the usual bookkeeping of a training run (an optimiser,
numpy numbers, command line options), of which nothing is built: an inert stand-in takes its place.
A network that was pickled as a whole becomes a tree of stand-ins that keep its tensors
(``models/pickled_module.py``). No other name of the file is ever looked up, so no code that it asks
for can run.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict, defaultdict
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NoReturn

from napari_anysam.models.pickled_module import PickledModule, Sealed, is_module_name

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["restricted_pickle"]

# Modules (and all below them) whose objects are known as bookkeeping.
_BOOKKEEPING = (
    "torch.optim", "numpy", "_codecs", "argparse", "pathlib", "omegaconf", "datetime",
)  # fmt: skip

_CONTAINERS: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("collections", "defaultdict"): defaultdict,
    ("builtins", "dict"): dict,
    ("builtins", "list"): list,
    ("builtins", "set"): set,
}


class _Inert(metaclass=Sealed):
    """Stands for an object that is not built: takes any arguments and state, and forgets them."""

    __slots__ = ()

    def __new__(cls, *_args: object, **_kwargs: object) -> _Inert:
        return super().__new__(cls)

    def __setstate__(self, _state: object) -> None:
        """Forget the state."""

    def __setitem__(self, _key: object, _value: object) -> None:
        """Forget an item."""

    def append(self, _value: object) -> None:
        """Forget an item."""

    def extend(self, _values: object) -> None:
        """Forget items."""


class _Function(metaclass=Sealed):
    """A function that a pickle can call and not change."""

    __slots__ = ("_call",)
    _call: Callable[..., Any]

    def __init__(self, call: Callable[..., Any]) -> None:
        object.__setattr__(self, "_call", call)

    def __setattr__(self, name: str, _value: object) -> NoReturn:
        raise pickle.UnpicklingError(f"The file tries to change the function {name}.")

    def __call__(self, *args: object) -> Any:
        return self._call(*args)


class _Unpickler(pickle.Unpickler):
    """Looks up tensors, plain containers and stand-ins only."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what may be built for a name of the file; called by the pickle machine."""
        import torch

        module = "builtins" if module == "__builtin__" else module
        if module == "torch._utils" and name in {"_rebuild_tensor_v2", "_rebuild_parameter"}:
            return _Function(getattr(torch._utils, name))
        if module == "torch" and isinstance(found := getattr(torch, name, None), torch.dtype):
            return found
        if module == "torch" and name == "Size":
            return torch.Size
        if module in {"torch", "torch.storage"} and name.endswith("Storage"):
            return _storage(name)
        if (module, name) in _CONTAINERS:
            return _CONTAINERS[module, name]
        return _stand_in(module, name)


def _stand_in(module: str, name: str) -> Any:
    """Return what takes the place of a class that is not looked up."""
    if any(module == known or module.startswith(f"{known}.") for known in _BOOKKEEPING):
        return _Inert
    if is_module_name(module, name):
        return PickledModule
    raise pickle.UnpicklingError(f"The file asks for the global {module}.{name}.")


def _storage(name: str) -> Any:
    """Return one of torch's typed storages, whose names are all that files use."""
    import torch

    found = getattr(torch, name, None)
    if not (isinstance(found, type) and issubclass(found, torch.storage._LegacyStorage)):
        raise pickle.UnpicklingError(f"The file asks for the global torch.{name}.")
    return found


def _load(file: Any, **options: Any) -> Any:
    return _Unpickler(file, **options).load()


# What torch.load calls its pickle_module.
restricted_pickle = SimpleNamespace(
    Unpickler=_Unpickler, load=_load, UnpicklingError=pickle.UnpicklingError, __name__="restricted"
)
