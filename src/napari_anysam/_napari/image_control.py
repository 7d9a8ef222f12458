"""What the dock can ask for about the look of the chosen image; no widget."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_anysam._napari.coordinates import is_oblique
from napari_anysam._napari.inference import Priority
from napari_anysam._napari.pixels import plane_source, stack_of
from napari_anysam._napari.reporting import report, reporting
from napari_anysam._napari.voxel_grid import VoxelGrid
from napari_anysam.images.following import measure_follow
from napari_anysam.images.presets import CT_WINDOWS, mr_window

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_anysam._napari.appearance import Look
    from napari_anysam._napari.clicking import Clicking
    from napari_anysam._napari.inference import InferenceThread, Ticket
    from napari_anysam._napari.workspace import Workspace

__all__ = ["MR_WINDOW", "ImageControl", "ImageView", "look_in_words"]

MR_WINDOW = "MR"
"""Name of the window that is measured; all others are names of CT windows."""


@dataclass(frozen=True, slots=True)
class ImageView:
    """All that the dock shows about the look of the image.

    Parameters
    ----------
    words : str
        What is encoded.
    details : str
        A line per channel, where there are several.
    blended : bool
        Whether other layers may be channels of the picture.
    coloured : bool
        Whether the image is RGB, which has no contrast window.
    follow_axis : int or None
        Data axis along which the contrast follows the brightness.
    measuring : bool
        Whether the brightness is being measured.
    oblique : bool
        Whether the view cuts through the image's voxels at an angle.
    voxel_grid : bool
        Whether the image is shown along its own axes instead of where it lies.
    """

    words: str = ""
    details: str = ""
    blended: bool = True
    coloured: bool = False
    follow_axis: int | None = None
    measuring: bool = False
    oblique: bool = False
    voxel_grid: bool = False


class ImageControl:
    """Contrast windows, channels, brightness along the stack, and the voxel-grid view.

    Parameters
    ----------
    viewer : napari viewer
    inference : InferenceThread
        Reads the planes that are measured.
    clicking : Clicking
        Whose image it is, and who asks for masks.
    tell : callable
        Called when there is something new to show.

    Attributes
    ----------
    look_changed : psygnal signal ()
        The image looks different; ``encode_again`` is due when it has settled.
    """

    look_changed = Signal()

    def __init__(
        self, viewer: Any, inference: InferenceThread, clicking: Clicking, tell: Callable[[], None]
    ) -> None:
        self._viewer = viewer
        self._inference = inference
        self._clicking = clicking
        self._tell = tell
        self._watched: Workspace | None = None
        self._measuring: Ticket | None = None
        self._voxels = VoxelGrid(viewer)

    @property
    def view(self) -> ImageView:
        """What the dock shows."""
        work = self._clicking.work
        if work is None:
            return ImageView()
        look = work.appearance.look()
        return ImageView(
            words=look_in_words(look, work.image),
            details=_details(look),
            blended=work.appearance.blended,
            coloured=work.image.rgb,
            follow_axis=look.follow_axis,
            measuring=self._measuring is not None,
            oblique=is_oblique(self._viewer.dims, work.image),
            voxel_grid=self._voxels.holds(work.image),
        )

    def enter(self, work: Workspace) -> None:
        """Begin to watch how an image looks."""
        self._watched = work
        work.appearance.watch()
        work.appearance.changed.connect(self._on_look)

    def leave(self) -> None:
        """Stop watching; a transform that is parked is brought back."""
        work, self._watched = self._watched, None
        if self._measuring is not None:
            self._measuring.cancel()
            self._measuring = None
        if work is not None:
            work.appearance.changed.disconnect(self._on_look)
            work.appearance.leave()
        self._voxels.restore()

    def encode_again(self) -> None:
        """Ask again for the mask that is previewed, on the image as it looks now."""
        with reporting():
            self._clicking.running.ask_again()
        self._tell()

    def blend(self, value: bool) -> None:
        """Take the visible layers of the same grid as channels, or the chosen image alone."""
        work = self._clicking.work
        if work is not None:
            work.appearance.blended = value
            self._tell()

    def use_window(self, name: str) -> None:
        """Set the image's contrast limits: a CT window by its name, or ``MR_WINDOW``."""
        work = self._clicking.work
        if work is None or work.image.rgb:
            return
        if name == MR_WINDOW:
            self._measure_mr(work)
            return
        windows = {window.name: window.limits for window in CT_WINDOWS}
        work.image.contrast_limits = windows[name]

    def follow(self, axis: int | None) -> None:
        """Let the contrast follow the brightness along a hidden data axis; None fixes it."""
        work = self._clicking.work
        if work is None:
            return
        if axis is None:
            work.appearance.follow(None)
            self._tell()
            return
        with reporting():
            frame, look = work.frame(), work.appearance.look()
            planes = stack_of(look, frame, axis)
            position = frame.index[frame.order.index(axis)]
            self._measure(
                lambda _cancelled: measure_follow(planes, position),
                partial(work.appearance.follow, axis),
            )

    def voxel_grid(self, value: bool) -> None:
        """Show the image along its own axes, or where it lies in the world."""
        work = self._clicking.work
        if work is None or value == self._voxels.holds(work.image):
            return
        self._clicking.keep_fresh()
        if value:
            self._voxels.park(work.image)
        else:
            self._voxels.restore()
        self._tell()

    def _measure_mr(self, work: Workspace) -> None:
        with reporting():
            frame = work.frame()
            look = work.appearance.alone()
            planes = (
                stack_of(look, frame, frame.order[0])
                if frame.index
                else plane_source(look, frame, None).planes
            )
            self._measure(
                lambda _cancelled: mr_window(planes),
                partial(setattr, work.image, "contrast_limits"),
            )

    def _measure(
        self, work: Callable[[Callable[[], bool]], Any], use: Callable[[Any], None]
    ) -> None:
        """Measure in the inference thread and use the result in the window's."""
        if self._measuring is not None:
            self._measuring.cancel()

        def done(result: Any) -> None:
            self._measuring = None
            use(result)
            self._tell()

        def failed(error: Exception) -> None:
            self._measuring = None
            report(error)
            self._tell()

        self._measuring = self._inference.ask(work, done, failed, priority=Priority.LOAD)
        self._tell()

    def _on_look(self) -> None:
        self.look_changed.emit()
        self._tell()


def look_in_words(look: Look, image: Any) -> str:
    """Say in a few words what is encoded when this image is the chosen one."""
    words = _channel_in_words(look, 0)
    if len(look.layers) > 1:
        words = f"{len(look.layers)} channels, blended"
    elif look.layers[0].rgb:
        words = "its colours"
    if look.follow_axis is not None:
        words += f", brightness followed along {image.axis_labels[look.follow_axis]}"
    return f"Seen as shown: {words}"


def _details(look: Look) -> str:
    """Return a line per channel, from the bottom up; none for a single one."""
    if len(look.layers) == 1:
        return ""
    return "\n".join(
        f"{layer.name}: {_channel_in_words(look, number)}, {layer.blending}, opacity "
        f"{layer.opacity:g}"
        for number, layer in enumerate(look.layers)
    )


def _channel_in_words(look: Look, number: int) -> str:
    low, high = look.conditioning.windows[number]
    return f"{low:g} to {high:g}, gamma {look.layers[number].gamma:g}"
