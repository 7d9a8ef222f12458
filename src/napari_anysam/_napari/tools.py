"""The tools that say what an object is: which layer each draws in, and which models take it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from napari_anysam.networks.protocol import PromptableModel

__all__ = ["TOOLS", "Tool", "drawing_in", "why_no_tool"]


@dataclass(frozen=True, slots=True)
class Tool:
    """One way to say what an object is.

    Parameters
    ----------
    name : str
    title : str
        On its button.
    tooltip : str
    drawing : str
        How the status names it while it is used.
    layer : {"points", "shapes", ""}
        The prompt layer that it draws in; none for a tool that reads other layers.
    mode : str
        That layer's mode.
    in_row : bool
        Whether it has a button in the row of tools; the diameter has one in the Stack section.
    """

    name: str
    title: str
    tooltip: str
    drawing: str
    layer: Literal["points", "shapes", ""]
    mode: str
    in_row: bool = True


TOOLS = (
    Tool(
        "point",
        "Point",
        "Click in the image to add points; Ctrl-click for what is not part of the object.",
        "points",
        "points",
        "add",
    ),
    Tool("box", "Box", "Drag a box around the object.", "boxes", "shapes", "add_rectangle"),
    Tool(
        "lasso",
        "Lasso",
        "Drag a line all around the object; the mask stays inside it.",
        "lasso",
        "shapes",
        "add_polygon_lasso",
    ),
    Tool(
        "scribble",
        "Scribble",
        "Drag a stroke along the object; Ctrl-drag along what is not part of it.",
        "scribble",
        "shapes",
        "add_path",
    ),
    Tool(
        "label",
        "From label",
        "Click a label of any Labels layer: it becomes a rough mask of this object, to be refined.",
        "label",
        "",
        "pick",
    ),
    Tool(
        "diameter",
        "Diameter",
        "Drag the longest diameter across the object: its box is as wide as the line is long.",
        "diameter",
        "shapes",
        "add_line",
        in_row=False,
    ),
)

_SHAPE_MODES = {
    "add_rectangle": "boxes",
    "add_ellipse": "boxes",
    "add_polygon": "lasso",
    "add_polygon_lasso": "lasso",
    "add_path": "scribble",
    "add_polyline": "scribble",
    "add_line": "diameter",
}


def drawing_in(active: Any, points: Any, shapes: Any) -> str:
    """Return what is drawn in the active layer, as ``Tool.drawing`` names it; "" for nothing."""
    if active is None:
        return ""
    if active == points and str(active.mode) == "add":
        return "points"
    return _SHAPE_MODES.get(str(active.mode), "") if active == shapes else ""


def why_no_tool(name: str, model: PromptableModel | None) -> str:
    """Say why a model cannot be prompted with a tool; empty when it can.

    Lassos, scribbles and labels become what the model takes (``derived_prompts.py``).
    """
    if model is None or name not in ("point", "box", "diameter"):
        return ""
    takes = model.capabilities
    if name == "point" and not takes.points:
        return f"{model.name} takes boxes and no clicks; draw a box, or choose another model."
    if name != "point" and not takes.boxes:
        return f"{model.name} takes clicks and no boxes; click, or choose another model."
    return ""
