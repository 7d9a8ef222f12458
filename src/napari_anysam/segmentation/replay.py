"""A saved session done again: every mask from its prompts, every propagation from its start."""

from __future__ import annotations

from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anysam.errors import ModelNotFoundError, SessionError
from napari_anysam.images.axis_view import views_of_layers
from napari_anysam.images.label_pyramid import LabelPyramid
from napari_anysam.images.planes import Planes, first_level
from napari_anysam.segmentation.canvas import shaped_window
from napari_anysam.segmentation.continuing import continues
from napari_anysam.segmentation.interactive import PlanePredictor
from napari_anysam.segmentation.journal import plane_index, rewrite
from napari_anysam.segmentation.key_slice import largest_part
from napari_anysam.segmentation.lifetimes import ended_at, living_windows
from napari_anysam.segmentation.plane_pixels import WindowedPlane
from napari_anysam.segmentation.saved_session import check_image
from napari_anysam.segmentation.series_planes import SeriesPlanes
from napari_anysam.segmentation.stored_cache import StoredCache
from napari_anysam.segmentation.time_lapse import follow_volume_series
from napari_anysam.segmentation.tracking import Tracker
from napari_anysam.segmentation.tracking_end import EndRule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from os import PathLike

    from napari_anysam.networks.protocol import PromptableModel
    from napari_anysam.segmentation.candidates import Prediction
    from napari_anysam.segmentation.journal import ModelRecord, Recipe, Run, Writing
    from napari_anysam.segmentation.saved_session import ImageRecord, SavedSession
    from napari_anysam.segmentation.session import PromptKey
    from napari_anysam.segmentation.session_files import LoadedSession
    from napari_anysam.segmentation.tracking_results import PropagationResult
    from napari_anysam.segmentation.windows import Window

    Windows = dict[PromptKey, Window | None]
    Masks = Iterable[tuple[PromptKey, Window | None]]

__all__ = ["load_recorded", "replay"]


def replay(
    loaded: LoadedSession,
    image: Any,
    load: Callable[[ModelRecord], PromptableModel] | None = None,
    report: Callable[[str], None] | None = None,
    others: Mapping[str, Any] | None = None,
    into: LabelPyramid | None = None,
) -> Any:
    """Make the labels of a session again.

    On the device, with the precision and the number of threads that are recorded, they are the
    same labels, value for value. What was drawn by hand is put in as it was.

    Parameters
    ----------
    loaded : LoadedSession
        From ``load_session``.
    image : array-like or list of levels
        The image that was segmented.
    load : callable, optional
        Gives the network of a record; by default ``load_recorded``.
    report : callable, optional
        Gets a few words before each entry of the journal.
    others : mapping of str to array-like or list of levels, optional
        The layers that were blended with the image, by the names in ``session.others``.

    into : LabelPyramid, optional
        An empty one of the labels' shape to write into, which labels in a store need; they are
        written by windows.

    Returns
    -------
    integer array, or ``into``
        In the image's order of axes, of the type that the labels had.

    Raises
    ------
    SessionError
        If labels of a store have nowhere to go, or it is another image, or another network than
        the recorded one.
    ModelNotFoundError
        If a model that is needed is not on disk.
    """
    session, first = loaded.session, first_level(image)
    check_image(session.image, first)
    pyramids = {session.image.name: _levels(session.image, image)}
    for record in session.others:
        if others is None or record.name not in others:
            raise SessionError(
                f"The network was shown the layer {record.name!r} too; give its file as well."
            )
        check_image(record, first_level(others[record.name]))
        pyramids[record.name] = _levels(record, others[record.name])
    shape = tuple(loaded.labels.shape[axis] for axis in session.order)
    again = _Again(session, pyramids, load or load_recorded, report or _silent)
    if isinstance(loaded.labels, LabelPyramid):
        if into is None or into.shape != loaded.labels.shape:
            raise SessionError("The labels are in a store; give an empty one of the same shape.")
        rewrite(session.journal, into, again.masks)
        loaded.hand_edits.apply_to_windows(into)
        return into
    labels = np.zeros(shape, loaded.labels.dtype)
    rewrite(session.journal, labels, again.masks)
    loaded.hand_edits.apply(labels)
    return np.ascontiguousarray(labels.transpose(np.argsort(session.order)))


def load_recorded(
    record: ModelRecord,
    name_or_path: str | PathLike[str] | None = None,
    device: str | None = None,
    variant: str | None = None,
) -> PromptableModel:
    """Load the network that a session was made with.

    Parameters
    ----------
    record : ModelRecord
    name_or_path : str or path, optional
        Where it is found; by default the catalogue's model of its name.
    device : str, optional
        Another device than the recorded one; then masks may differ by single pixels.
    variant : str, optional
        As in ``load_model``.

    Raises
    ------
    ModelNotFoundError
        If it is not on disk.
    SessionError
        If these weights, or their preprocessing, are others than the recorded ones.
    """
    from napari_anysam.networks.load import load_model

    try:
        model = load_model(
            record.name if name_or_path is None else name_or_path,
            device or record.device,
            record.precision,
            variant,
            record.image_size,
        )
    except ModelNotFoundError as error:
        error.add_note(f"The session was made with {record.name}; give its file as the model.")
        raise
    if model.key != record.key:
        raise SessionError(
            f"The session was made with other weights of {record.name} than those found "
            f"({record.key}, not {model.key}); give the file that it was made with as the model."
        )
    return model


class _Again:
    """Answers the prompts of a journal once more, with one network in memory at a time."""

    def __init__(
        self,
        session: SavedSession,
        pyramids: Mapping[str, Sequence[Any]],
        load: Callable[[ModelRecord], PromptableModel],
        report: Callable[[str], None],
    ) -> None:
        self._pyramids = pyramids
        self._image = session.image.name
        levels = pyramids[self._image]
        self._rgb = session.image.rgb
        self._order = session.order
        self._hidden = tuple(int(levels[0].shape[axis]) for axis in session.order[:-2])
        self._load = load
        self._report = report
        self._record: ModelRecord | None = None
        self._predictor: PlanePredictor | None = None
        self._ended: tuple[Run, Iterator[PropagationResult]] | None = None

    def masks(self, writing: Writing, known: Windows) -> Masks:
        """Return the masks of one entry, in their order."""
        if writing.run is not None and writing.run.across is not None:
            return self._followed_volumes(writing.run, writing.run.across)
        if writing.run is not None:
            return self._followed(writing.run, dict(known))
        return self._clicked(writing)

    def _clicked(self, writing: Writing) -> Masks:
        for write in writing.writes:
            if write.mask is None or write.mask.recipe is None:
                raise SessionError("A mask of the session has no recipe; it cannot be replayed.")
            self._report(f"object {write.key[0]}")
            yield write.key, self._window(write.key[1], write.mask.recipe)

    def _window(self, number: int | None, recipe: Recipe) -> Window | None:
        prediction: Prediction | None = None
        with _threads(recipe.model):
            predictor = self._predictor_of(recipe.model)
            for asked in recipe.asked:
                planes = self._plane(number, asked.layers)
                answer = predictor.predict(
                    WindowedPlane(planes, asked.conditioning),
                    (number, asked.conditioning, asked.layers),
                    planes.plane_shape,
                    asked.prompt,
                    previous=prediction,
                    box_padding=asked.options.box_padding,
                    view=asked.view,
                )
                if asked.choice >= len(answer.candidates):
                    raise SessionError(
                        f"The network gives {len(answer.candidates)} masks where number "
                        f"{asked.choice + 1} was chosen; replay on {recipe.model.device}."
                    )
                prediction = answer.choosing(asked.choice)
        if prediction is None:
            return None
        last = recipe.asked[-1]
        return shaped_window(prediction.best, last.options, last.prompt)

    def _followed(self, run: Run, known: Windows) -> Iterator[tuple[PromptKey, Window | None]]:
        index = plane_index(run.plane, self._hidden)
        place = self._order.index(run.axis)
        with _threads(run.model):

            def number_of(position: int) -> int:
                here = (*index[:place], position, *index[place + 1 :])
                return int(np.ravel_multi_index(here, self._hidden))

            if run.repaired is None:
                results = self._results_of(run, index)
            else:
                tracker = self._tracker(run, index)
                object_id, position = run.repaired
                planes = range(run.start, run.stop)
                results = tracker.repair(
                    run.prompts,
                    object_id,
                    position,
                    before=lambda one: known.get((object_id, number_of(one))),
                    reviewed=[one for one in planes if (object_id, number_of(one)) in run.locked],
                )
            found: dict[int, dict[int, Window | None]] = {}
            for result in islice(results, run.results):
                position = int(result.index)
                self._report(f"plane {position}")
                for key, window in _masks(run, result, number_of(position)):
                    if run.largest:
                        found.setdefault(key[0], {})[position] = window
                    if key not in run.locked:
                        yield key, window
            for object_id, windows in found.items():
                for position, window in largest_part(windows).items():
                    key = (object_id, number_of(position))
                    if key not in run.locked:
                        yield key, window

    def _results_of(self, run: Run, index: tuple[int, ...]) -> Iterator[PropagationResult]:
        """Return the results of a run, from where it began: behind those of the run before it."""
        ended, self._ended = self._ended, None
        if ended is not None and continues(run, ended[0]):
            results = ended[1]
        else:
            whole = self._tracker(run, index).run(
                run.prompts, direction=run.direction, start=run.start, stop=run.stop
            )
            results = islice(whole, run.begun, None)
        self._ended = run, results
        return results

    def _tracker(self, run: Run, index: tuple[int, ...]) -> Tracker:
        return Tracker(
            self._predictor_of(run.model).model,
            self._stack(run.axis, index, run.layers),
            run.conditioning,
            region=run.region,
            memory=run.memory,
            ending=None if run.ending is None else EndRule(run.ending),
        )

    def _followed_volumes(self, run: Run, depth: int) -> Iterator[tuple[PromptKey, Window | None]]:
        """Follow objects through volumes and time as the window did."""
        index = plane_index(run.plane, self._hidden)
        axes = (run.axis, depth)
        places = (self._order.index(axis) for axis in axes)
        planes = SeriesPlanes(self._hidden, index, *places)
        hidden = zip(self._order[:-2], index, strict=True)
        fixed = {axis: place for axis, place in hidden if axis not in axes}
        with _threads(run.model):
            model = self._predictor_of(run.model).model
            z_start, z_stop = run.depths or (None, None)
            series, channel_axis = self._views(run.layers, (*axes, *self._order[-2:]), fixed)
            results = follow_volume_series(
                series,
                planes.by_time(run.prompts),
                model,
                direction=run.direction,
                start=run.start,
                stop=run.stop,
                z_start=z_start,
                z_stop=z_stop,
                conditioning=run.conditioning,
                channel_axis=channel_axis,
            )
            for one in islice(results, run.results):
                self._report(f"time point {one.time}, plane {one.plane}")
                for key, window in _masks(run, one.answer, planes.number(one.time, one.plane)):
                    if key not in run.locked:
                        yield key, window

    def _plane(self, number: int | None, layers: tuple[str, ...]) -> Planes:
        fixed = dict(zip(self._order[:-2], plane_index(number, self._hidden), strict=True))
        return Planes.single(*self._views(layers, self._order[-2:], fixed))

    def _stack(self, axis: int, index: tuple[int, ...], layers: tuple[str, ...]) -> Planes:
        fixed = dict(zip(self._order[:-2], index, strict=True))
        del fixed[axis]
        levels, channel_axis = self._views(layers, (axis, *self._order[-2:]), fixed)
        return Planes(levels, 1 if channel_axis == 0 else 0, channel_axis)

    def _views(
        self, layers: tuple[str, ...], axes: tuple[int, ...], fixed: dict[int, int]
    ) -> tuple[list[Any], int | None]:
        names = layers or (self._image,)
        missing = [name for name in names if name not in self._pyramids]
        if missing:
            raise SessionError(
                f"The network was shown the layer {missing[0]!r}, which was removed before the "
                "session was saved; open the session in napari."
            )
        return views_of_layers([self._pyramids[name] for name in names], axes, fixed, rgb=self._rgb)

    def _predictor_of(self, record: ModelRecord) -> PlanePredictor:
        if self._predictor is None or record != self._record:
            self._predictor = self._ended = None  # free it before the next one is loaded
            # As in the window: embeddings are rounded before their first use.
            self._predictor = PlanePredictor(self._load(record), StoredCache())
            self._record = record
        return self._predictor


def _masks(
    run: Run, result: PropagationResult, number: int
) -> Iterator[tuple[PromptKey, Window | None]]:
    """Return the masks of a plane that objects of a run can have."""
    for one in ended_at(number, run.ended):
        yield (one, number), None
    absent = {one for one in result.object_ids if (one, number) in run.absent}
    for object_id, window in living_windows(result, absent):
        yield (object_id, number), window


@contextmanager
def _threads(record: ModelRecord) -> Iterator[None]:
    """Compute with as many threads as were recorded."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(record.threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _silent(_words: str) -> None:
    """Nobody asked for a report."""


def _levels(record: ImageRecord, image: Any) -> list[Any]:
    """Return as many levels as were read; a viewer may open fewer than a file holds."""
    first = first_level(image)
    return [first] if first is image else list(image)[: record.levels]
