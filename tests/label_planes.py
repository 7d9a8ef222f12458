"""Planes of labels as ``LabelStack.write`` asks for them."""

from __future__ import annotations


def whole(plane):
    """Return what gives rows and columns of a plane that is held as a whole."""
    return lambda rows, columns: plane[rows, columns]
