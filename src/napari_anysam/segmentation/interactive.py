"""One plane: prompts to candidate masks.

A prompt is answered from one or several regions of its plane (`regions.py`); where there are
several, their answers compete (`candidates.py`). Before that, it is brought to the forms that the
network takes (`derived_prompts.py`).
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Literal

import numpy as np

from napari_anysam.networks import out_of_memory
from napari_anysam.networks.device import one_torch_thread
from napari_anysam.networks.protocol import BatchedModel
from napari_anysam.segmentation.candidates import (
    Candidate,
    Prediction,
    distinct,
    grid_shape,
    grid_step,
    rank,
    thinned_region,
)
from napari_anysam.segmentation.canvas import Canvas
from napari_anysam.segmentation.derived_prompts import resolve
from napari_anysam.segmentation.embeddings import EmbeddingCache
from napari_anysam.segmentation.lasso import clipped_logits
from napari_anysam.segmentation.mask_options import MaskOptions
from napari_anysam.segmentation.plane_pixels import WholePlane, WindowedPlane
from napari_anysam.segmentation.prompts import check_prompts
from napari_anysam.segmentation.regions import (
    LIGHT_IMAGE_SIZE,
    Region,
    mask_in,
    prompt_extent,
    refining_region,
    regions_for,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence

    from numpy.typing import ArrayLike, NDArray
    from torch import Tensor

    from napari_anysam.networks.protocol import Embedding, Masks, PromptableModel
    from napari_anysam.segmentation.plane_pixels import PlanePixels
    from napari_anysam.segmentation.prompts import Box, Point, Prompt
    from napari_anysam.segmentation.regions import RegionChoice

__all__ = ["PlanePredictor", "segment"]

PROMPTS_AT_ONCE = 64
"""``segment`` paints after so many prompts: logits of thousands of objects fill a memory."""


class PlanePredictor:
    """Answers prompts on planes with one network, and keeps their embeddings.

    Parameters
    ----------
    model : PromptableModel
        Called from one thread only.
    cache : EmbeddingCache, optional
        Shared with others, or a new one. A ``StoredCache`` also keeps embeddings on disk, rounded.
    """

    def __init__(self, model: PromptableModel, cache: EmbeddingCache | None = None) -> None:
        self.model = model
        self.cache = EmbeddingCache() if cache is None else cache

    def predict(
        self,
        read_plane: Callable[[], NDArray[np.uint8]] | PlanePixels,
        plane_key: Hashable,
        plane_shape: tuple[int, int],
        prompt: Prompt,
        *,
        region: RegionChoice = "auto",
        previous: Prediction | None = None,
        cancelled: Callable[[], bool] | None = None,
        box_padding: float = 0.0,
        view: Box | None = None,
        most: int | None = None,
    ) -> Prediction:
        """Answer one prompt.

        Parameters
        ----------
        read_plane : callable or PlanePixels
            Returns the conditioned plane, uint8 (H, W, 3), or reads regions of it; called only if a
            region is not cached.
        plane_key : hashable
            Names the plane's pixels and their conditioning.
        plane_shape : (H, W)
            Pixels of the plane.
        prompt : Prompt
            In pixels of the plane.
        region : {"auto", "plane"} or Region
            What to encode; "auto" keeps the region of ``previous`` where that still suits its mask.
        previous : Prediction, optional
            An earlier answer for the same object, whose first candidate is refined. Models that
            take no masks answer afresh.
        cancelled : callable, optional
            Asked between encoder blocks; ``Cancelled`` is raised when it answers True.
        box_padding : float
            Boxes grow by this part of their side at each end, 0 to 0.1.
        view : (y0, x0, y1, x1), optional
            What the user sees of the plane; `regions_for` says what it is good for.
        most : int, optional
            So many candidates are enough; the others are not compared with them.
        """
        refined = None
        if previous is not None and self.model.capabilities.masks:
            refined = previous.best
        if refined is not None and region == "auto":
            extent = _joint_extent(refined, prompt)
            region = refining_region(refined.region, extent, plane_shape, self.model.image_size)
        answers = self.predict_many(
            read_plane,
            plane_key,
            plane_shape,
            [prompt],
            region=region,
            refined=refined,
            cancelled=cancelled,
            box_padding=box_padding,
            view=view,
            most=most,
        )
        return answers[0]

    def predict_many(
        self,
        read_plane: Callable[[], NDArray[np.uint8]] | PlanePixels,
        plane_key: Hashable,
        plane_shape: tuple[int, int],
        prompts: Sequence[Prompt],
        *,
        region: RegionChoice = "auto",
        refined: Candidate | None = None,
        cancelled: Callable[[], bool] | None = None,
        box_padding: float = 0.0,
        view: Box | None = None,
        most: int | None = None,
    ) -> list[Prediction]:
        """Answer prompts of several objects on one plane; those that share a region share a batch.

        The parameters are those of ``predict``; ``refined`` is the candidate that the only prompt
        refines.
        """
        pixels = WholePlane(read_plane) if callable(read_plane) else read_plane
        image_size = self.model.image_size
        given = prompts
        prompts = [
            resolve(prompt, self.model.capabilities, plane_shape, box_padding) for prompt in given
        ]
        wanted: dict[Region, list[int]] = {}
        answers: list[list[_Scored]] = [[] for _ in prompts]
        for number, prompt in enumerate(prompts):
            choices = regions_for(prompt, plane_shape, image_size, region, view)
            fitted = _fitted(pixels, choices, image_size)
            if len(fitted) > 1 and isinstance(self.model, BatchedModel):
                embeddings = [self.embedding(pixels, plane_key, one, cancelled) for one in fitted]
                answers[number] = _decode_each(self.model, embeddings, prompt, fitted)
                continue
            for choice in fitted:
                wanted.setdefault(choice, []).append(number)
        for choice in sorted(wanted, key=lambda one: one.shape, reverse=True):
            numbers = wanted[choice]
            embedding = self.embedding(pixels, plane_key, choice, cancelled)
            group = [
                _localise(prompts[number], choice, embedding.image_shape) for number in numbers
            ]
            scored = self._decode(embedding, group, choice, refined)
            for number, found in zip(numbers, scored, strict=True):
                answers[number].extend(found)
        return [
            Prediction(prompt.object_id, prompt.plane, self._candidates(found, prompt.lasso, most))
            for prompt, found in zip(given, answers, strict=True)
        ]

    def encode_for(
        self,
        pixels: PlanePixels,
        plane_key: Hashable,
        plane_shape: tuple[int, int],
        prompt: Prompt,
        *,
        box_padding: float = 0.0,
        view: Box | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> None:
        """Have in the cache whatever ``predict`` would encode for a prompt.

        Parameters are those of ``predict``.
        """
        prompt = resolve(prompt, self.model.capabilities, plane_shape, box_padding)
        choices = regions_for(prompt, plane_shape, self.model.image_size, "auto", view)
        for region in _fitted(pixels, choices, self.model.image_size):
            self.embedding(pixels, plane_key, region, cancelled)

    def embedding(
        self,
        pixels: PlanePixels,
        plane_key: Hashable,
        region: Region,
        cancelled: Callable[[], bool] | None = None,
    ) -> Embedding:
        """Return a region of a plane, encoded; it is one that ``pixels.fitted`` returned."""
        key = (self.model.key, plane_key, region)
        read = partial(pixels.read, region, self.model.image_size)
        return self.cache.encoded(self.model, key, read, cancelled)

    def _decode(
        self,
        embedding: Embedding,
        prompts: Sequence[Prompt],
        region: Region,
        refined: Candidate | None,
    ) -> list[list[_Scored]]:
        previous = None if refined is None else _logits_in(refined, region)
        small = len(prompts) == 1 and self.model.image_size <= LIGHT_IMAGE_SIZE
        with one_torch_thread() if small else nullcontext():
            masks = out_of_memory.decode(self.model, embedding, prompts, previous_logits=previous)
        return _scored(masks, [region] * len(prompts))

    def _candidates(
        self, found: Iterable[_Scored], lasso: Sequence[Point] | None, most: int | None
    ) -> tuple[Candidate, ...]:
        """Bring the answers to plane pixels, best first, without those that say the same.

        Answers of one region keep the network's own order.
        """
        found = list(found)
        one_region = len({answer.region for answer in found}) == 1
        key = attrgetter("score" if one_region else "rank")
        ranked = sorted(found, key=key, reverse=True)
        with one_torch_thread():
            return distinct((_clipped(self._candidate(answer), lasso) for answer in ranked), most)

    def _candidate(self, answer: _Scored) -> Candidate:
        import torch

        logits = torch.from_numpy(answer.logits)[None, None]
        pixels = out_of_memory.upscale(self.model, logits, grid_shape(answer.region))
        return Candidate(answer.region, pixels[0, 0].numpy(), answer.score, answer.logits)


def segment(
    image: ArrayLike,
    prompts: Iterable[Prompt],
    model: PromptableModel | None = None,
    region: RegionChoice = "auto",
    contrast: Literal["auto"] | Sequence[float] = "auto",
    channel_axis: int | None = None,
    options: MaskOptions | None = None,
) -> NDArray[np.int32]:
    """Segment a 2D image from prompts.

    Parameters
    ----------
    image : array (H, W), uint8 (H, W, 3 or 4) as RGB, or any 2D layout with ``channel_axis``
        numpy, dask or zarr.
    prompts : iterable of Prompt
        Those of one object merge.
    model : PromptableModel, optional
        From ``load_model``; the shipped model if left out.
    region : {"auto", "plane"}
        "auto" zooms to objects that are small in the image; "plane" encodes the image as a whole.
    contrast : "auto" or (low, high)
        The intensities shown to the network as black and white.
    channel_axis : int, optional
        Axis of the channels.
    options : MaskOptions, optional
        Threshold, smoothing, holes, parts and box padding; a plain threshold of 0 if left out.

    Returns
    -------
    int32 array (H, W)
        Object ids, 0 is background; where objects overlap the higher logit wins.

    Raises
    ------
    PromptError
        If there is no prompt, or one lies outside the image.
    ImageError
        If the image is empty or its layout is not known.
    """
    from napari_anysam.images.conditioning import resolve_conditioning
    from napari_anysam.images.planes import Planes

    planes = Planes.single(image, channel_axis=channel_axis)
    merged = list(check_prompts(prompts, planes.plane_shape).values())
    conditioning = resolve_conditioning(planes, contrast)
    if model is None:
        from napari_anysam.networks.load import load_model

        model = load_model()
    options = MaskOptions() if options is None else options
    predictor, canvas = PlanePredictor(model), Canvas(planes.plane_shape, options)
    pixels = WindowedPlane(planes, conditioning)
    for start in range(0, len(merged), PROMPTS_AT_ONCE):
        some = merged[start : start + PROMPTS_AT_ONCE]
        predictions = predictor.predict_many(
            pixels,
            "image",
            planes.plane_shape,
            some,
            region=region,
            box_padding=options.box_padding,
        )
        for prompt, prediction in zip(some, predictions, strict=True):
            canvas.paint(prompt, prediction)
    return canvas.labels


@dataclass(frozen=True, slots=True, eq=False)
class _Scored:
    """A candidate in the network's frame, with its rank among the answers of all regions."""

    region: Region
    logits: NDArray[np.float32]
    score: float
    rank: float


def _fitted(pixels: PlanePixels, choices: Sequence[Region], image_size: int) -> list[Region]:
    """Return the regions that are read, the largest first.

    What was read for that one holds the pixels of the smaller ones.
    """
    regions = {pixels.fitted(choice, image_size) for choice in choices}
    return sorted(regions, key=lambda one: (one.shape, one.row, one.column), reverse=True)


def _decode_each(
    model: BatchedModel, embeddings: Sequence[Embedding], prompt: Prompt, regions: Sequence[Region]
) -> list[_Scored]:
    """Answer a prompt in several regions at once.

    Its batch holds nobody else's prompts, so that it is answered alike alone and among others.
    """
    group = [
        _localise(prompt, region, embedding.image_shape)
        for region, embedding in zip(regions, embeddings, strict=True)
    ]
    with one_torch_thread():
        masks = out_of_memory.decode_each(model, embeddings, group)
    return [answer for found in _scored(masks, regions) for answer in found]


def _scored(masks: Masks, regions: Sequence[Region]) -> list[list[_Scored]]:
    """Return the candidates of each object of a batch, which was seen in its region."""
    logits = masks.logits.float().cpu().numpy()
    scores = masks.scores.float().cpu().numpy()
    return [
        [
            _Scored(region, one, float(score), rank(one, float(score), region))
            for one, score in zip(of_object, of_scores, strict=True)
        ]
        for region, of_object, of_scores in zip(regions, logits, scores, strict=True)
    ]


def _localise(prompt: Prompt, region: Region, encoded_shape: tuple[int, int]) -> Prompt:
    """Bring a prompt from the plane to the encoded pixels of a region, which may be fewer.

    Points beyond the region are left out.
    """
    down, across = region.height / encoded_shape[0], region.width / encoded_shape[1]
    inside = [region.contains(y, x) for y, x in prompt.points]
    points = [
        ((y - region.row + 0.5) / down - 0.5, (x - region.column + 0.5) / across - 0.5)
        for (y, x), keep in zip(prompt.points, inside, strict=True)
        if keep
    ]
    polarity = [positive for positive, keep in zip(prompt.polarity, inside, strict=True) if keep]
    box = prompt.box
    if box is not None:
        y0, x0, y1, x1 = box
        top, bottom = ((edge - region.row) / down for edge in (y0, y1))
        left, right = ((edge - region.column) / across for edge in (x0, x1))
        box = (top, left, bottom, right)
    mask = None if prompt.mask is None else mask_in(prompt, region)
    if mask is not None and mask.shape != encoded_shape:
        rows = (np.arange(encoded_shape[0]) + 0.5) * down
        columns = (np.arange(encoded_shape[1]) + 0.5) * across
        mask = mask[np.ix_(rows.astype(int), columns.astype(int))]
    return replace(prompt, points=points, polarity=polarity, box=box, mask=mask, mask_origin=None)


def _joint_extent(refined: Candidate, prompt: Prompt) -> Box:
    """Return the half-open box around a mask and the prompts that correct it."""
    y0, x0, y1, x1 = prompt_extent(prompt)
    window = refined.window()
    if window is None:
        return y0, x0, y1, x1
    (top, left), (height, width) = window.origin, window.shape
    return min(y0, top), min(x0, left), max(y1, top + height), max(x1, left + width)


def _logits_in(refined: Candidate, region: Region) -> Tensor:
    """Return a candidate's logits in the network's frame of a region, (1, 1, h, w)."""
    import torch

    network_logits = torch.from_numpy(refined.network_logits)[None, None]
    if region == refined.region:
        return network_logits
    # The network never said anything as low as the logits outside a lasso.
    lowest = float(refined.network_logits.min())
    step = max(grid_step(refined.region), grid_step(region))
    thinned = thinned_region(region, step)
    window = np.full(thinned.shape, min(lowest, 0.0), np.float32)
    source, target = thinned_region(refined.region, step).overlap(thinned)
    window[target] = refined.sampled(step)[source].clip(lowest)
    return torch.nn.functional.interpolate(
        torch.from_numpy(window)[None, None],
        network_logits.shape[-2:],
        mode="bilinear",
        antialias=True,
    )


def _clipped(candidate: Candidate, lasso: Sequence[Point] | None) -> Candidate:
    """Keep a candidate inside its lasso; what the network said stays for further prompts."""
    return replace(candidate, logits=clipped_logits(candidate.logits, candidate.region, lasso))
