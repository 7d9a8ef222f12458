"""The objects' paths through time as a napari Tracks layer, with who descends from whom."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anysam._napari.inference import Priority
from napari_anysam._napari.prompt_layers import copy_transform, find_layer, metadata_of
from napari_anysam._napari.reporting import report
from napari_anysam._napari.time_axis import time_axis
from napari_anysam.errors import ImageError, LabelFileError
from napari_anysam.export.tracks import tracks_from_labels
from napari_anysam.images.planes import first_level

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_anysam._napari.clicking import Clicking
    from napari_anysam._napari.inference import InferenceThread, Ticket
    from napari_anysam._napari.workspace import Workspace
    from napari_anysam.export.tracks import Tracks

__all__ = ["TracksLayer"]

_AXES = {3: "TYX", 4: "TZYX"}


class TracksLayer:
    """Makes the layer of the chosen image, or brings it up to date.

    Parameters
    ----------
    viewer : napari viewer
    clicking : Clicking
        Whose labels are measured.
    inference : InferenceThread
        Measures them.
    on_change : callable
        Called when the layer was made, or could not be.
    """

    def __init__(
        self,
        viewer: Any,
        clicking: Clicking,
        inference: InferenceThread,
        on_change: Callable[[], None],
    ) -> None:
        self._viewer = viewer
        self._clicking = clicking
        self._inference = inference
        self._on_change = on_change
        self._ticket: Ticket | None = None

    @property
    def why_not(self) -> str:
        """Say why there can be no tracks now; empty when there can."""
        work = self._clicking.work
        if work is None:
            return "Choose an image first."
        if self._ticket is not None:
            return "The labels are being measured."
        if work.target is None:
            return "There are no labels yet."
        try:
            time = time_axis(work.image.axis_labels, work.frame())
        except ImageError as error:
            return str(error)
        if time != 0 or work.image.ndim not in _AXES:
            return "Tracks need an image whose first axis is time: (T, Y, X) or (T, Z, Y, X)."
        return ""

    def show(self) -> None:
        """Measure the labels beside the window, and show their tracks."""
        work = self._clicking.work
        if work is None or work.target is None or self.why_not:
            return
        labels = first_level(work.target.layer.data)
        if isinstance(labels, np.ndarray):
            labels = labels.copy()  # the user goes on painting
        axes, parents = _AXES[work.image.ndim], dict(work.session.parents)
        self._ticket = self._inference.ask(
            lambda _cancelled: tracks_from_labels(labels, axes, parents),
            partial(self._take, work),
            self._failed,
            priority=Priority.BACKGROUND,
        )
        self._on_change()

    def _take(self, work: Workspace, tracks: Tracks) -> None:
        self._ticket = None
        if work.image in self._viewer.layers:
            if len(tracks.data):
                _show(self._viewer, work.image, tracks)
            else:
                report(LabelFileError("The labels hold no object; mark one first."))
        self._on_change()

    def _failed(self, error: Exception) -> None:
        self._ticket = None
        report(error)
        self._on_change()


def _show(viewer: Any, image: Any, tracks: Tracks) -> None:
    """Put tracks into the image's layer of them; made if there is none."""
    from napari.layers import Tracks as Layer

    layer = find_layer(viewer, image, "tracks")
    if layer is None:
        layer = Layer(
            tracks.data,
            graph=tracks.graph,
            properties=tracks.properties,
            name=f"{image.name} tracks",
            metadata=metadata_of("tracks", image),
        )
        copy_transform(image, layer)
        active = viewer.layers.selection.active
        viewer.add_layer(layer)
        viewer.layers.selection.active = active  # the next click still marks an object
        return
    layer.graph = {}  # of tracks that may be gone
    layer.data = tracks.data
    layer.properties = tracks.properties
    layer.graph = tracks.graph
