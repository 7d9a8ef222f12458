"""Which session is saved where: one folder for each session of each image, opened and gone on."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from psygnal import Signal

from napari_anysam._napari.autosave import Autosave, SessionHome, explain, latest_session
from napari_anysam._napari.connections import Connections
from napari_anysam._napari.coordinates import level0
from napari_anysam._napari.session_snapshot import snapshot
from napari_anysam.errors import ImageError, SessionError
from napari_anysam.segmentation.saved_session import check_image
from napari_anysam.segmentation.session_files import SUFFIX, lock_session

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_anysam._napari.controller import SegmentController
    from napari_anysam._napari.workspace import Workspace
    from napari_anysam.segmentation.saved_session import ImageRecord
    from napari_anysam.segmentation.session import Session
    from napari_anysam.segmentation.session_files import LoadedSession

__all__ = ["SessionKeeper"]

RUN_SECONDS = 15.0
"""How often what a run has written is saved, so that a kill costs no more than that ..."""

_LONGEST_PART = 10
"""... but saving takes no more than one part in so many of the time."""

_PATIENCE_AT_CLOSE = 20.0
"""Seconds that closing waits for the last save."""


@dataclass(slots=True, eq=False)
class _Kept:
    session: Session
    home: SessionHome
    revision: int = 0
    asked: float = field(default_factory=time.monotonic)


class SessionKeeper:
    """Has the session of the chosen image saved after every step.

    Parameters
    ----------
    viewer : napari viewer
    control : SegmentController
        Closed after the keeper.
    deliver : callable
        Has a function called later in the window's thread.

    Attributes
    ----------
    changed : psygnal signal ()
        ``words`` say something else now.
    words : str
        Where the session is saved, or why it is not; empty before there is anything to save.
    enabled : bool
        Whether steps are saved.
    earlier : Path or None
        What was saved last of the chosen image, as long as nothing was done with it here.
    """

    changed = Signal()

    def __init__(
        self,
        viewer: Any,
        control: SegmentController,
        deliver: Callable[[Callable[[], None]], None],
    ) -> None:
        self._viewer = viewer
        self._control = control
        self._deliver = deliver
        self._autosave = Autosave(self._saved_elsewhere)
        # Weak: what is removed from the viewer shall be freed.
        self._kept: WeakKeyDictionary[Workspace, _Kept] = WeakKeyDictionary()
        self._earlier: WeakKeyDictionary[Workspace, Path | None] = WeakKeyDictionary()
        self._homes: list[SessionHome] = []
        self._folder: Path | None = None
        self._strokes = Connections()
        self._labels: Any = None
        self.words = ""
        self.enabled = True
        self.earlier: Path | None = None
        control.changed.connect(self.note)
        self._of_layers = Connections()
        self._of_layers.connect(viewer.layers.events.removing, self._on_removing)

    def note(self) -> None:
        """Have the session saved if a step was made since the last time."""
        self._listen_for_strokes()
        work = self._control.workspace
        self._look_for_earlier(work)
        if work is None or not self.enabled:
            return
        kept = self._kept.get(work)
        if kept is None or kept.session is not work.session:
            if work.session.revision == 0:
                return
            kept = self._begin(work)
        if kept is None:
            return
        if kept.revision != work.session.revision or self._is_due(work, kept):
            self._save(work, kept)

    @property
    def folder(self) -> Path | None:
        """Where sessions of the chosen image lie; None if nobody said and it is in no file."""
        work = self._control.workspace
        wanted = None if work is None else self._wanted(work.image)
        return None if wanted is None else wanted.parent

    def save_in(self, folder: Path) -> None:
        """Save into this folder from now on; every session makes one of its own in it."""
        self._folder = folder
        self._earlier.clear()
        work = self._control.workspace
        if work is not None:
            self._kept.pop(work, None)
        self.note()

    def resume(self, folder: Path, loaded: LoadedSession) -> None:
        """Go on with a saved session, in the folder that it was loaded from.

        Raises
        ------
        SessionError
            If it is open elsewhere, or its image is not to be found or is another one now.
        """
        self._let_go_of(folder)
        lock = lock_session(folder)
        try:
            self._control.restore(self._image_of(loaded.session.image), loaded)
        except BaseException:
            lock.release()
            raise
        work = self._control.workspace
        if work is None:
            lock.release()
            return
        home = SessionHome(folder, lock, loaded.session.others)
        self._homes.append(home)
        self._kept[work] = _Kept(work.session, home, work.session.revision)
        self._say(f"Opened {folder.name}; it is saved there.")

    def close(self) -> None:
        """Save once more, and let go of the folders."""
        self._control.changed.disconnect(self.note)
        self._of_layers.disconnect()
        self._strokes.disconnect()
        work = self._control.workspace
        kept = None if work is None else self._kept.get(work)
        if self.enabled and work is not None and kept is not None:
            self._save(work, kept)  # brush strokes that were taken back are told by nobody
        self._autosave.close(_PATIENCE_AT_CLOSE)
        for home in self._homes:
            home.release()
        self._kept.clear()

    def _on_removing(self, _event: Any) -> None:
        """Save what a run has written before a layer goes: a window that closes removes all."""
        work = self._control.workspace
        kept = None if work is None else self._kept.get(work)
        if self.enabled and work is not None and kept is not None and work.run_so_far is not None:
            self._save(work, kept)

    def _look_for_earlier(self, work: Workspace | None) -> None:
        """Find what there is to go on with, once for each image."""
        earlier = None
        if work is not None and work not in self._kept and not work.session.revision:
            if work not in self._earlier:
                wanted = self._wanted(work.image)
                self._earlier[work] = None if wanted is None else latest_session(wanted)
            earlier = self._earlier[work]
        if earlier != self.earlier:
            self.earlier = earlier
            self.changed.emit()

    def _is_due(self, work: Workspace, kept: _Kept) -> bool:
        """Whether a run has written enough since the last save to be saved before its end."""
        if work.run_so_far is None or self._autosave.is_behind(kept.home):
            return False
        pause = max(RUN_SECONDS, _LONGEST_PART * self._autosave.seconds)
        return time.monotonic() - kept.asked >= pause

    def _let_go_of(self, folder: Path) -> None:
        """Release a folder whose image was removed from this viewer since."""
        used = [
            kept.home
            for work, kept in self._kept.items()
            if work.image in self._viewer.layers and kept.session is work.session
        ]
        for home in self._homes:
            if home.folder == folder and home not in used and not self._autosave.is_behind(home):
                home.release()

    def _begin(self, work: Workspace) -> _Kept | None:
        wanted = self._wanted(work.image)
        if wanted is None:
            self._say("Not saved yet: choose a folder.")
            return None
        home = SessionHome(wanted)
        self._homes.append(home)
        kept = self._kept[work] = _Kept(work.session, home)
        return kept

    def _wanted(self, image: Any) -> Path | None:
        """Return the folder to save in: in the chosen one, or beside the image's file."""
        path = None if image.source.path is None else Path(image.source.path)
        if self._folder is not None:
            return self._folder / f"{image.name if path is None else path.stem}{SUFFIX}"
        if path is None or not path.exists():
            return None
        return path.with_name(f"{path.stem}{SUFFIX}")

    def _save(self, work: Workspace, kept: _Kept) -> None:
        if work.prompts.points is None or work.prompts.shapes is None:
            return  # layers are being removed, which must not empty what was saved
        revision = work.session.revision
        try:
            taken = snapshot(work)
        except ImageError:
            return  # no plane is shown for a moment; the next change comes with one
        kept.revision, kept.asked = revision, time.monotonic()
        self._autosave.ask(kept.home, taken)

    def _listen_for_strokes(self) -> None:
        labels = self._control.labels
        if labels is not self._labels:
            self._strokes.disconnect()
            self._labels = labels
            if labels is not None:
                self._strokes.connect(labels.events.paint, self._on_stroke)

    def _on_stroke(self, _event: Any = None) -> None:
        work = self._control.workspace
        kept = None if work is None else self._kept.get(work)
        if self.enabled and work is not None and kept is not None:
            self._save(work, kept)

    def _image_of(self, record: ImageRecord) -> Any:
        """Return the image layer of a session; opened from its file if it is not in the viewer."""
        for layer in self._control.image_choices():
            if bool(layer.rgb) == record.rgb and record.is_of(level0(layer)):
                return layer
        for layer in self._open(record):
            check_image(record, level0(layer))
            return layer
        raise SessionError(f"{record.path} holds no image; open the image, then the session.")

    def _open(self, record: ImageRecord) -> list[Any]:
        if record.path is None or not Path(record.path).exists():
            where = "was in no file" if record.path is None else f"is not at {record.path}"
            raise SessionError(
                f"The image {record.name!r} of the session {where}; open the image, then the "
                "session."
            )
        try:
            opened: list[Any] = self._viewer.open(record.path, plugin="napari")
        except Exception as error:
            # Readers meet files with exceptions of every type.
            raise SessionError(
                f"{record.path} could not be opened ({error}); open the image, then the session."
            ) from error
        return [layer for layer in opened if layer in self._control.image_choices()]

    def _saved_elsewhere(self, home: SessionHome, error: Exception | None) -> None:
        self._deliver(partial(self._saved, home, error))

    def _saved(self, home: SessionHome, error: Exception | None) -> None:
        work = self._control.workspace
        kept = None if work is None else self._kept.get(work)
        if kept is None or kept.home is not home:
            return  # of another image, or of an earlier session
        if error is not None:
            self._say(f"Not saved: {explain(error)}")
        elif home.folder is not None:
            self._say(f"Saved in {home.folder.name}")

    def _say(self, words: str) -> None:
        if words != self.words:
            self.words = words
            self.changed.emit()
