"""A viewer model with a controller, and no window."""

from __future__ import annotations

import queue
import time

from napari.components import ViewerModel

from napari_anysam._napari.active_model import active_model
from napari_anysam._napari.controller import SegmentController
from napari_anysam._napari.propagation import StackRange
from napari_anysam._napari.status import Stage


class Work:
    """A viewer model with a controller, and the event loop's part played by hand."""

    def __init__(self, data, **options) -> None:
        self.viewer = ViewerModel()
        self.calls: queue.Queue = queue.Queue()
        self.control = SegmentController(self.viewer, self.calls.put, active_model())
        self.image = self.viewer.add_image(data, **options)
        self.wait(lambda: self.control.image is self.image)

    @property
    def stage(self):
        return self.control.status.stage

    @property
    def labels(self):
        return self.control.labels.data

    @property
    def points(self):
        return self.control.workspace.prompts.points

    def wait(self, condition) -> None:
        end = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < end
            try:
                self.calls.get(timeout=0.05)()
            except queue.Empty:
                continue

    def click(self, place, *stages) -> None:
        """Add a point and wait for what comes of it; by default a mask."""
        self.control.point_pressed(positive=True)
        self.points.add(place)
        self.wait(lambda: self.stage is not Stage.WORKING)
        assert self.stage in (stages or (Stage.PREVIEW,))

    def propagate(self, axis=0, first=0, last=None, direction="both") -> None:
        """Follow the marked objects to the end."""
        last = self.image.data.shape[axis] - 1 if last is None else last
        self.control.stacks.propagate(StackRange(axis, first, last, direction))
        assert self.stage is Stage.PROPAGATING
        self.wait(lambda: self.stage is not Stage.PROPAGATING)

    def keep(self, place) -> None:
        self.click(place)
        self.control.accept()
