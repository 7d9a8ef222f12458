"""A saved session done again: every mask from its prompts, every propagation from its start."""

from __future__ import annotations

from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_anysam.errors import ModelNotFoundError, SessionError
from napari_anysam.images.axis_view import AxisView, views_of_levels
from napari_anysam.images.planes import Planes, first_level
from napari_anysam.segmentation.canvas import shaped_window
from napari_anysam.segmentation.interactive import PlanePredictor
from napari_anysam.segmentation.journal import plane_index, rewrite
from napari_anysam.segmentation.plane_pixels import WindowedPlane
from napari_anysam.segmentation.saved_session import check_image
from napari_anysam.segmentation.stored_cache import StoredCache
from napari_anysam.segmentation.tracking import Tracker
from napari_anysam.segmentation.windows import tight_window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from os import PathLike

    from numpy.typing import NDArray

    from napari_anysam.images.conditioning import Conditioning
    from napari_anysam.networks.protocol import PromptableModel
    from napari_anysam.segmentation.candidates import Prediction
    from napari_anysam.segmentation.journal import ModelRecord, Recipe, Run, Writing
    from napari_anysam.segmentation.saved_session import SavedSession
    from napari_anysam.segmentation.session import PromptKey
    from napari_anysam.segmentation.session_files import LoadedSession
    from napari_anysam.segmentation.windows import Window

    Windows = dict[PromptKey, Window | None]
    Masks = Iterable[tuple[PromptKey, Window | None]]

__all__ = ["load_recorded", "replay"]


def replay(
    loaded: LoadedSession,
    image: Any,
    load: Callable[[ModelRecord], PromptableModel] | None = None,
    report: Callable[[str], None] | None = None,
) -> NDArray[Any]:
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

    Returns
    -------
    integer array
        In the image's order of axes, of the type that the labels had.

    Raises
    ------
    SessionError
        If it is another image, or another network than the recorded one.
    ModelNotFoundError
        If a model that is needed is not on disk.
    """
    session, first = loaded.session, first_level(image)
    check_image(session.image, first)
    levels = [first] if first is image else list(image)
    shape = tuple(loaded.labels.shape[axis] for axis in session.order)
    labels = np.zeros(shape, loaded.labels.dtype)
    again = _Again(session, levels, load or load_recorded, report or _silent)
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
        levels: Sequence[Any],
        load: Callable[[ModelRecord], PromptableModel],
        report: Callable[[str], None],
    ) -> None:
        self._levels = levels
        self._rgb = session.image.rgb
        self._order = session.order
        self._hidden = tuple(int(levels[0].shape[axis]) for axis in session.order[:-2])
        self._load = load
        self._report = report
        self._record: ModelRecord | None = None
        self._predictor: PlanePredictor | None = None

    def masks(self, writing: Writing, known: Windows) -> Masks:
        """Return the masks of one entry, in their order."""
        if writing.run is not None:
            _refuse_blends(writing.run.conditioning)
            return self._followed(writing.run, dict(known))
        return self._clicked(writing)

    def _clicked(self, writing: Writing) -> Masks:
        for write in writing.writes:
            if write.mask is None or write.mask.recipe is None:
                raise SessionError("A mask of the session has no recipe; it cannot be replayed.")
            self._report(f"object {write.key[0]}")
            yield write.key, self._window(write.key[1], write.mask.recipe)

    def _window(self, number: int | None, recipe: Recipe) -> Window | None:
        planes = self._plane(number)
        prediction: Prediction | None = None
        with _threads(recipe.model):
            predictor = self._predictor_of(recipe.model)
            for asked in recipe.asked:
                _refuse_blends(asked.conditioning)
                answer = predictor.predict(
                    WindowedPlane(planes, asked.conditioning),
                    (number, asked.conditioning),
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
            predictor = self._predictor_of(run.model)
            tracker = Tracker(predictor.model, self._stack(run.axis, index), run.conditioning)

            def number_of(position: int) -> int:
                here = (*index[:place], position, *index[place + 1 :])
                return int(np.ravel_multi_index(here, self._hidden))

            if run.repaired is None:
                results = tracker.run(
                    run.prompts, direction=run.direction, start=run.start, stop=run.stop
                )
            else:
                object_id, position = run.repaired
                planes = range(run.start, run.stop)
                results = tracker.repair(
                    run.prompts,
                    object_id,
                    position,
                    before=lambda one: known.get((object_id, number_of(one))),
                    reviewed=[one for one in planes if (object_id, number_of(one)) in run.locked],
                )
            for result in islice(results, run.results):
                self._report(f"plane {result.index}")
                number = number_of(int(result.index))
                for object_id in result.object_ids:
                    if (object_id, number) not in run.locked:
                        yield (object_id, number), tight_window(result.labels == object_id)

    def _plane(self, number: int | None) -> Planes:
        fixed = dict(zip(self._order[:-2], plane_index(number, self._hidden), strict=True))
        views = views_of_levels(self._levels, self._order[-2:], fixed, channels=self._rgb)
        return Planes.single(views, channel_axis=2 if self._rgb else None)

    def _stack(self, axis: int, index: tuple[int, ...]) -> Planes:
        fixed = dict(zip(self._order[:-2], index, strict=True))
        del fixed[axis]
        view = AxisView(self._levels[0], (axis, *self._order[-2:]), fixed, channels=self._rgb)
        return Planes(view, axis=0, channel_axis=3 if self._rgb else None)

    def _predictor_of(self, record: ModelRecord) -> PlanePredictor:
        if self._predictor is None or record != self._record:
            self._predictor = None  # free it before the next one is loaded
            # As in the window: embeddings are rounded before their first use.
            self._predictor = PlanePredictor(self._load(record), StoredCache())
            self._record = record
        return self._predictor


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


def _refuse_blends(conditioning: Conditioning) -> None:
    """Refuse what was seen on several layers: a session names one image."""
    if conditioning.paints:
        raise SessionError(
            f"The network was shown a blend of {conditioning.channels} layers, and a session knows "
            "the pixels of one; open the session in napari, or segment with 'Blend' switched off."
        )
