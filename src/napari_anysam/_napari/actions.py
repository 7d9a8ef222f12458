"""All actions of the Segment dock: what each does, and the key that it has by default."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ACTIONS", "Action", "action_named"]


@dataclass(frozen=True, slots=True)
class Action:
    """Something that the user can have done by a button or a key.

    Parameters
    ----------
    name : str
    group : str
        Actions of one group are shown together.
    title : str
        As the help panel names it.
    does : str
        One sentence.
    key : str
        By default, as napari writes keys: "Q", "Shift+N".
    """

    name: str
    group: str
    title: str
    does: str
    key: str


ACTIONS = (
    Action("point", "Tools", "Point", "Clicks in the image add points.", "Alt+Q"),
    Action("box", "Tools", "Box", "Drags in the image add boxes.", "Alt+G"),
    Action("lasso", "Tools", "Lasso", "Drag a line all around an object.", "Alt+J"),
    Action("scribble", "Tools", "Scribble", "Drag strokes along an object.", "Alt+K"),
    Action("label", "Tools", "From label", "A click makes a label a rough mask.", "Alt+N"),
    Action("diameter", "Tools", "Diameter", "Drag an object's longest diameter.", "Alt+H"),
    Action("accept", "Mask", "Accept", "Keep this mask in the labels.", "Q"),
    Action("new", "Mask", "New object", "Begin another object.", "N"),
    Action("cycle", "Mask", "Next mask", "Show the next mask that could be meant.", "W"),
    Action("previous", "Mask", "Previous mask", "Go back to the mask before.", "Shift+W"),
    Action("undo", "Mask", "Undo", "Take back the last prompt, mask or change.", "U"),
    Action("redo", "Mask", "Redo", "Do what was undone again.", "Shift+U"),
    Action("clear", "Mask", "Clear", "Remove this object's prompts and its preview.", "Alt+U"),
    Action("pick", "Objects", "Pick", "A click in the image chooses an object.", "Shift+N"),
    Action("split", "Objects", "Split", "What this mask leaves out becomes an object.", "Shift+Q"),
    Action("merge", "Objects", "Merge", "Make the selected objects one.", "Shift+G"),
    Action("delete", "Objects", "Delete", "Erase the selected objects everywhere.", "Shift+H"),
    Action("measure", "Objects", "Measure", "Measure objects in mL and mm.", "Ctrl+Alt+X"),
    Action("propagate", "Stack", "Propagate", "Follow marked objects through planes.", "G"),
    Action("anew", "Stack", "Begin anew", "Propagate again from the marked planes.", "Ctrl+Alt+A"),
    Action("precompute", "Stack", "Precompute", "Encode the stack ahead.", "Ctrl+Shift+G"),
    Action("live", "Stack", "Live volume", "Follow masks at once, or not.", "Ctrl+Shift+N"),
    Action("cancel", "Stack", "Cancel", "Stop what runs; what is done stays.", "H"),
    Action("doubtful_before", "Review", "< doubtful", "Show the doubtful plane before.", "J"),
    Action("doubtful_next", "Review", "doubtful >", "Show the next doubtful plane.", "K"),
    Action("prompt_before", "Review", "< prompt", "Show the prompted plane before.", "Ctrl+H"),
    Action("prompt_next", "Review", "prompt >", "Show the next prompted plane.", "Ctrl+Shift+Q"),
    Action("reviewed", "Review", "Reviewed", "Lock the masks of this plane, or not.", "Shift+K"),
    Action("repair", "Review", "Repair", "Follow this object anew from this plane.", "Shift+J"),
    Action("each_click", "Many", "Each click", "Each click is an object, or not.", "Ctrl+Shift+J"),
    Action("each_box", "Many", "Each box", "Each box is an object, or not.", "Ctrl+Shift+K"),
    Action("refine", "Many", "Refine all", "Refine all objects of a Labels layer.", "Ctrl+Shift+H"),
    Action("everything", "Many", "Everything", "Find every object of this plane.", "Ctrl+Shift+U"),
    Action(
        "found_previous", "Many", "Previous found", "Look at the found object before.", "Ctrl+J"
    ),
    Action("found_keep", "Many", "Keep found", "Keep it, and look at the next.", "Ctrl+K"),
    Action("found_drop", "Many", "Drop found", "Delete it, and look at the next.", "Ctrl+Alt+K"),
    Action("save", "Session", "Save every step", "Save every step, or not.", "Ctrl+Alt+Q"),
    Action("folder", "Session", "Session folder", "Choose where to save.", "Ctrl+Alt+H"),
    Action("open", "Session", "Open session", "Go on with an earlier session.", "Ctrl+Alt+N"),
    Action("export", "Session", "Export", "Write the labels for other programs.", "Ctrl+Alt+G"),
    Action("store", "Session", "Label store", "Choose where huge labels are kept.", "Ctrl+Alt+U"),
    Action("brush", "Session", "Brush window", "Paint in huge labels.", "Ctrl+Alt+W"),
    Action("models", "Session", "Models", "Choose, load or download a model.", "Ctrl+Alt+J"),
    Action("help", "Session", "Keys", "Show all keys, and change them.", "Ctrl+Shift+W"),
)
"""In the order in which the help panel shows them."""

_BY_NAME = {action.name: action for action in ACTIONS}


def action_named(name: str) -> Action:
    """Return the action of this name; KeyError if there is none."""
    return _BY_NAME[name]
