"""Everything in one image, without a prompt: every object that a network proposes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from napari_anysam.errors import CapabilityError
from napari_anysam.networks import out_of_memory
from napari_anysam.networks.protocol import ProposingModel
from napari_anysam.segmentation.candidates import Candidate, grid_shape
from napari_anysam.segmentation.canvas import shaped_window
from napari_anysam.segmentation.everything_by_points import Found, everything_by_points
from napari_anysam.segmentation.regions import Region
from napari_anysam.segmentation.session import KeptMask

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray

    from napari_anysam.networks.protocol import Masks, PromptableModel
    from napari_anysam.segmentation.everything_by_points import EverythingOptions
    from napari_anysam.segmentation.interactive import PlanePredictor
    from napari_anysam.segmentation.mask_options import MaskOptions
    from napari_anysam.segmentation.plane_pixels import PlanePixels

__all__ = ["check_proposes", "objects_of_plane", "segment_everything"]


def objects_of_plane(
    predictor: PlanePredictor,
    pixels: PlanePixels,
    plane_key: Hashable,
    plane_shape: tuple[int, int],
    options: MaskOptions,
    cancelled: Callable[[], bool] | None = None,
) -> Iterator[Found]:
    """Look for every object of a plane in the way that suits the model.

    A model that proposes objects is asked once; others are asked at a grid of points. The
    parameters are those of ``everything_by_points``.
    """
    model = predictor.model
    if not isinstance(model, ProposingModel):
        yield from everything_by_points(
            predictor, pixels, plane_key, plane_shape, masks=options, cancelled=cancelled
        )
        return
    whole = pixels.fitted(Region.whole(plane_shape), model.image_size)
    embedding = predictor.embedding(pixels, plane_key, whole, cancelled)
    objects = []
    for masks in model.everything(embedding):
        logits = out_of_memory.upscale(model, masks.logits, grid_shape(whole))[:, 0]
        network_logits = masks.logits[:, 0].float().cpu().numpy()
        found = zip(logits.float().cpu().numpy(), masks.scores[:, 0], network_logits, strict=True)
        for one, score, said in found:
            window = shaped_window(Candidate(whole, one, float(score), said), options)
            if window is not None:
                objects.append(KeptMask(window, float(score), model.name))
    # Small objects lie on large ones, and what is written first stays.
    yield Found(1, 1, tuple(sorted(objects, key=lambda one: one.window.area)))


def segment_everything(
    image: ArrayLike,
    model: PromptableModel,
    contrast: Literal["auto"] | Sequence[float] = "auto",
    channel_axis: int | None = None,
    options: EverythingOptions | None = None,
) -> NDArray[np.int32]:
    """Segment every object of a 2D image, without a prompt.

    A network that proposes objects is asked once; any other one is asked at a grid of points, and
    its answers are sifted (``everything_by_points``).

    Parameters
    ----------
    image : array (H, W), uint8 (H, W, 3 or 4) as RGB, or any 2D layout with ``channel_axis``
        numpy, dask or zarr.
    model : PromptableModel
        From ``load_model``; one that takes clicks, or proposes objects ("fastsam-s", "fastsam-x"),
        whose own ``options`` then say which proposals count.
    contrast : "auto" or (low, high)
        The intensities shown to the network as black and white.
    channel_axis : int, optional
        Axis of the channels.
    options : EverythingOptions, optional
        Which points are asked and which answers stay, of a network that proposes nothing.

    Returns
    -------
    int32 array (H, W)
        Labels from 1 without gaps, the most confident object first; 0 is background. Where objects
        overlap the smaller one lies on top, and one that is covered whole has no label.

    Raises
    ------
    CapabilityError
        If the model takes neither clicks nor proposes objects.
    ImageError
        If the image is empty or its layout is not known.
    """
    from napari_anysam.images.conditioning import resolve_conditioning
    from napari_anysam.images.planes import Planes
    from napari_anysam.segmentation.interactive import PlanePredictor
    from napari_anysam.segmentation.plane_pixels import WholePlane

    planes = Planes.single(image, channel_axis=channel_axis)
    pixels = resolve_conditioning(planes, contrast).apply(planes.read(0))
    if isinstance(model, ProposingModel):
        embedding = out_of_memory.encode(model, pixels)
        found = (
            mask
            for masks in model.everything(embedding)
            for mask in _drawn(model, masks, planes.plane_shape)
        )
        return _paint(found, planes.plane_shape)
    predictor, whole = PlanePredictor(model), WholePlane(lambda: pixels)
    *_, last = everything_by_points(predictor, whole, "plane", planes.plane_shape, options)
    return _paint(
        (one.window.whole(planes.plane_shape) for one in last.objects), planes.plane_shape
    )


def _drawn(model: ProposingModel, masks: Masks, plane_shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return masks in pixels of the plane, bool (B, H, W)."""
    logits = out_of_memory.upscale(model, masks.logits, plane_shape)[:, 0]
    drawn: NDArray[np.bool_] = (logits > 0).cpu().numpy()
    return drawn


def check_proposes(model: PromptableModel) -> ProposingModel:
    """Return the model as one that proposes objects.

    Raises
    ------
    CapabilityError
        If it answers prompts only; the message says which ones propose.
    """
    if isinstance(model, ProposingModel):
        return model
    raise CapabilityError(
        f"{model.name} answers prompts only and proposes no objects by itself; prompt it, or "
        "choose fastsam-s or fastsam-x."
    )


def _paint(masks: Iterable[NDArray[np.bool_]], shape: tuple[int, int]) -> NDArray[np.int32]:
    """Paint masks (H, W) one after the other, each below those that are smaller."""
    from skimage.segmentation import relabel_sequential

    labels = np.zeros(shape, dtype=np.int32)
    smallest = np.full(shape, np.prod(shape) + 1)
    for number, mask in enumerate(masks, start=1):
        area = np.count_nonzero(mask)
        wins = mask & (area < smallest)
        labels[wins], smallest[wins] = number, area
    without_gaps, _, _ = relabel_sequential(labels)
    return np.asarray(without_gaps, dtype=np.int32)
