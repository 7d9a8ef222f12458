"""What is saved of a workspace: taken in the window's thread, read and written in another one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anysam._napari.coordinates import level0, spatial_shape
from napari_anysam.images.fingerprint import fingerprint
from napari_anysam.segmentation.journal import blended_layers
from napari_anysam.segmentation.saved_session import ImageRecord, SavedSession

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_anysam._napari.workspace import Workspace
    from napari_anysam.images.conditioning import Conditioning
    from napari_anysam.segmentation.journal import Entry
    from napari_anysam.segmentation.lineage import Lineage
    from napari_anysam.segmentation.prompts import Prompt
    from napari_anysam.segmentation.recent_states import Reached
    from napari_anysam.segmentation.session import PromptKey

__all__ = ["LayerPixels", "Snapshot", "snapshot"]


@dataclass(frozen=True, slots=True, eq=False)
class LayerPixels:
    """A layer that was blended with the image: what it is called, and where its pixels are.

    Parameters
    ----------
    name : str
    path : str or None
    levels : tuple of array-like
        Largest first.
    identity : object
        Another one whenever the pixels change.
    """

    name: str
    path: str | None
    levels: tuple[Any, ...]
    identity: object

    def record(self) -> ImageRecord:
        """Describe it; reads its pixels."""
        pixels = self.levels[0]
        shape = tuple(int(size) for size in pixels.shape)
        return ImageRecord(
            self.name, self.path, shape, False, fingerprint(pixels), len(self.levels)
        )


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """One moment of a workspace; it holds no layer, and has read no pixel yet.

    Parameters
    ----------
    name, path : str
        Of the image; no path if it was never in a file.
    pixels : array-like
        Of the image's largest level.
    identity : object
        Another one whenever the pixels change.
    rgb : bool
    label_data : array-like or None
        Of the labels; None stands for none written yet.
    shape : tuple of int
        Of the labels.
    levels : int
        Of the image.
    others : tuple of LayerPixels
        The layers that the journal blends with it, as far as they are in the viewer.
    order, prompts, classes, reviewed, journal, object_id, plane, conditioning, parents, dismissed,
    reached
        As in ``SavedSession``.
    """

    name: str
    path: str | None
    pixels: Any
    identity: object
    rgb: bool
    label_data: Any
    shape: tuple[int, ...]
    order: tuple[int, ...]
    prompts: tuple[Prompt, ...]
    classes: Mapping[int, str]
    reviewed: frozenset[PromptKey]
    journal: tuple[Entry, ...]
    object_id: int
    plane: int | None
    conditioning: Conditioning
    levels: int = 1
    others: tuple[LayerPixels, ...] = ()
    parents: Lineage = field(default_factory=dict)
    reached: Reached | None = None
    dismissed: frozenset[tuple[int, int]] = frozenset()

    def fingerprint(self) -> str:
        """Name the image's pixels; reads them."""
        return fingerprint(self.pixels, channels=self.rgb)

    def session(
        self, named: str | None = None, others: tuple[ImageRecord, ...] | None = None
    ) -> SavedSession:
        """Return what is saved.

        Parameters
        ----------
        named : str, optional
            The fingerprint, where it is known already.
        others : sequence of ImageRecord, optional
            The records of ``others``, where they are known already.
        """
        return SavedSession(
            image=ImageRecord(
                name=self.name,
                path=self.path,
                shape=tuple(int(size) for size in self.pixels.shape),
                rgb=self.rgb,
                fingerprint=named or self.fingerprint(),
                levels=self.levels,
            ),
            order=self.order,
            prompts=self.prompts,
            classes=self.classes,
            reviewed=self.reviewed,
            journal=self.journal,
            object_id=self.object_id,
            plane=self.plane,
            conditioning=self.conditioning,
            parents=self.parents,
            reached=self.reached,
            dismissed=self.dismissed,
            others=tuple(one.record() for one in self.others) if others is None else others,
        )

    def labels(self) -> Any:
        """Return the labels as they are now; empty ones if there are none."""
        return np.zeros(self.shape, np.int32) if self.label_data is None else self.label_data


def snapshot(work: Workspace) -> Snapshot:
    """Take note of a workspace as it is, a run that is under way as one that ended here.

    Raises
    ------
    ImageError
        If no plane of its image is shown.
    """
    image, session, frame = work.image, work.session, work.frame()
    under_way = None if work.run_so_far is None else work.run_so_far()
    journal, unfinished = tuple(session.journal), work.unfinished_run()
    reached = None if unfinished is None else unfinished.reached
    if under_way is not None:
        journal, reached = (*journal, under_way[0]), under_way[1]
    return Snapshot(
        name=image.name,
        path=image.source.path,
        pixels=level0(image),
        identity=work.identity,
        rgb=bool(image.rgb),
        label_data=None if work.target is None else work.target.stored,
        shape=spatial_shape(image),
        order=frame.order,
        prompts=tuple(session.prompts.values()),
        classes=dict(session.classes),
        reviewed=frozenset(session.reviewed),
        journal=journal,
        object_id=work.object_id,
        plane=frame.number,
        conditioning=work.appearance.look().conditioning,
        levels=len(image.data) if image.multiscale else 1,
        others=_others(work, journal),
        parents=dict(session.parents),
        reached=reached,
        dismissed=frozenset(session.dismissed),
    )


def _others(work: Workspace, journal: tuple[Entry, ...]) -> tuple[LayerPixels, ...]:
    names = blended_layers(journal) - {work.image.name}
    return tuple(
        LayerPixels(
            layer.name,
            layer.source.path,
            tuple(layer.data) if layer.multiscale else (layer.data,),
            work.appearance.token_of(layer),
        )
        for layer in work.layers_named(names)
    )
