"""What every action of the Segment dock calls."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from qtpy.QtWidgets import QPushButton

    from napari_anysam._napari.segment_widget import SegmentWidget

__all__ = ["calls_of"]


def calls_of(
    dock: SegmentWidget, later: Callable[[Callable[[], None]], None]
) -> Mapping[str, Callable[[], None]]:
    """Return what each action of ``ACTIONS`` does in a dock, by its name.

    Parameters
    ----------
    dock : SegmentWidget
    later : callable
        Has a function called by the event loop. What asks for a file begins there: a dialog must
        not open while napari still handles the key.
    """
    control, objects, many = dock.controller, dock.objects, dock.many
    buttons = {
        "clear": dock.clear_button,
        "measure": objects.measure_button,
        "anew": dock.stack.anew_button,
        "precompute": dock.precompute.run_button,
        "refine": many.refine_button,
        "everything": many.everything_button,
        "found_previous": many.found.previous_button,
        "found_keep": many.found.keep_button,
        "found_drop": many.found.drop_button,
        "folder": dock.session.folder_button,
        "open": dock.session.open_button,
        "export": dock.export.run_button,
        "store": dock.store.store_button,
        "brush": dock.store.brush_button,
        "models": dock.manager_button,
        "help": dock.help_button,
    }
    return {
        **{name: partial(later, partial(_click, button)) for name, button in buttons.items()},
        **{name: partial(control.use_tool, name) for name in dock.tools.buttons},
        "diameter": partial(control.use_tool, "diameter"),
        "accept": control.accept,
        "new": control.new_object,
        "cycle": control.next_candidate,
        "previous": control.previous_candidate,
        "undo": control.undo,
        "redo": control.redo,
        "pick": control.pick,
        "split": control.split_object,
        "merge": lambda: control.merge_objects(objects.selected()),
        "delete": lambda: control.delete_objects(objects.selected() or None),
        "propagate": dock.stack.ask_to_propagate,
        "cancel": control.cancel,
        "live": dock.stack.live.toggle,
        "doubtful_before": partial(control.stacks.go_to_mark, "doubtful", -1),
        "doubtful_next": partial(control.stacks.go_to_mark, "doubtful", 1),
        "prompt_before": partial(control.stacks.go_to_mark, "prompt", -1),
        "prompt_next": partial(control.stacks.go_to_mark, "prompt", 1),
        "reviewed": control.stacks.toggle_reviewed,
        "repair": control.stacks.repair,
        "each_click": many.each_click.toggle,
        "each_box": many.each_box.toggle,
        "save": dock.session.save.toggle,
    }


def _click(button: QPushButton) -> None:
    """Press a button, unless it is not there for this image; one that is grey does nothing."""
    if not button.isHidden():
        button.click()
