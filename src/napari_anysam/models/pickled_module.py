"""A network that was pickled as a whole, read as a tree of data.

ultralytics does not save a state dict but the network object itself. No class of such a file is
looked up: every module of the tree becomes a ``PickledModule``, which keeps the state that
``torch.nn.Module`` would have had and can do nothing but list the tensors in it.
"""

from __future__ import annotations

import pickle
import re
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["PickledModule", "Sealed", "is_module_name"]

# Packages whose classes are networks and their layers. Functions begin in lower case there, and are
# refused as in every other package.
_PACKAGES = ("ultralytics.", "torch.nn.")
_CLASS = re.compile(r"[A-Z]\w*")


def is_module_name(module: str, name: str) -> bool:
    """Tell whether a global of a file is a class that ``PickledModule`` may stand for."""
    return module.startswith(_PACKAGES) and _CLASS.fullmatch(name) is not None


class Sealed(type):
    """Classes whose attributes a pickle cannot change."""

    def __setattr__(cls, name: str, value: object) -> NoReturn:
        """Refuse; called by the pickle machine."""
        raise pickle.UnpicklingError(f"The file tries to change {cls.__name__}.{name}.")


class PickledModule(metaclass=Sealed):
    """Stands for a ``torch.nn.Module`` that is not built.

    It is made without arguments and gets a dict as its state, as pickle does with every module that
    says nothing else; whatever differs is refused.
    """

    __slots__ = ("_state",)
    _state: dict[str, Any]

    def __new__(cls, *args: object, **kwargs: object) -> PickledModule:
        """Make an empty one; called by the pickle machine."""
        if args or kwargs:
            raise pickle.UnpicklingError("The file builds a module with arguments.")
        module = super().__new__(cls)
        module._state = {}
        return module

    def __setstate__(self, state: object) -> None:
        """Keep the attributes of the module; called by the pickle machine."""
        if not isinstance(state, dict):
            raise pickle.UnpicklingError("The file gives a module a state that is no dict.")
        self._state = state

    def tensors(self) -> dict[str, Tensor]:
        """List the tensors as ``torch.nn.Module.state_dict`` names them.

        A module that lies at several places of the tree is listed at the first of them. Values are
        not checked to be tensors.

        Raises
        ------
        UnpicklingError
            If the tree is none.
        """
        found: dict[str, Any] = {}
        seen = set()
        waiting = [("", self)]
        while waiting:
            prefix, module = waiting.pop()
            if id(module) in seen:  # and cycles end
                continue
            seen.add(id(module))
            found |= {f"{prefix}{name}": value for name, value in module._own_tensors().items()}
            children = [(f"{prefix}{name}.", child) for name, child in module._children().items()]
            waiting.extend(reversed(children))
        return found

    def _own_tensors(self) -> dict[str, Any]:
        passing = self._state.get("_non_persistent_buffers_set", ())
        buffers = self._filled("_buffers").items()
        return self._filled("_parameters") | {n: value for n, value in buffers if n not in passing}

    def _children(self) -> dict[str, PickledModule]:
        children = self._filled("_modules")
        if not all(isinstance(child, PickledModule) for child in children.values()):
            raise pickle.UnpicklingError("The file has something else in the place of a module.")
        return children

    def _filled(self, kind: str) -> dict[str, Any]:
        """Return what a module registers under a kind; a layer without bias registers None."""
        entries = self._state.get(kind, {})
        if not isinstance(entries, dict):
            raise pickle.UnpicklingError(f"The file has a module whose {kind} are no dict.")
        return {str(name): value for name, value in entries.items() if value is not None}
