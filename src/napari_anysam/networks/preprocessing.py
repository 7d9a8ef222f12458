"""How an image reaches a network of SAM's kind, and how its masks come back.

Networks of one architecture differ in this and in nothing else: MedSAM's file has SAM's tensors.
The catalogue names the record of a model where it is not that of its architecture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional as F
from torchvision.transforms.functional import resize, to_pil_image

from napari_anysam.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

__all__ = [
    "EFFICIENT_SAM",
    "MEDSAM",
    "MEDSAM_LITE",
    "PIXEL_MEAN",
    "PIXEL_STD",
    "PREPROCESSINGS",
    "SAM",
    "SAM_MED2D",
    "Preprocessing",
]

Size = tuple[int, int]

# segment_anything/build_sam.py
PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_STD = (58.395, 57.12, 57.375)

# Logits of probabilities nearer to 0 or 1 than this would be infinite in float32.
_NEAREST_TO_CERTAIN = 1e-6


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """What is done to an image before a network and to its logits after it.

    Parameters
    ----------
    name : str
        As the catalogue's ``preprocessing`` names it; part of the model's key.
    resize : callable
        Brings a uint8 image (H, W, 3) to numbers (h, w, 3) in 0..255, given (h, w).
    normalise : callable
        Brings float32 pixels (1, 3, h, w) in 0..255 to what the network was trained with.
    enlarge : callable
        Brings float32 logits (B, K, s, s) to (B, K, H, W), given the side of the square, the size
        (h, w) of the image inside it, and (H, W).
    keeps_aspect : bool
        Whether the longest side fills the square and the rest is padded with zeros at its lower
        right; else both sides are stretched to it.
    """

    name: str
    resize: Callable[[NDArray[np.uint8], Size], NDArray[Any]]
    normalise: Callable[[torch.Tensor], torch.Tensor]
    enlarge: Callable[[torch.Tensor, int, Size, Size], torch.Tensor]
    keeps_aspect: bool

    def fitted(self, image_shape: Size, side: int) -> Size:
        """Return the size (h, w) of an image of this shape (H, W) inside a square.

        Raises
        ------
        ImageError
            If less than half a row or column of it would be left.
        """
        if not self.keeps_aspect:
            return side, side
        # As ResizeLongestSide.get_preprocess_shape, which rounds halves up.
        scale = side / max(image_shape)
        height, width = (int(length * scale + 0.5) for length in image_shape)
        if not height or not width:
            raise ImageError(
                f"{image_shape[0]} x {image_shape[1]} pixels are too long and narrow for a network "
                f"that sees them in a square of {side}; crop the long side."
            )
        return height, width

    def pixels(self, image: NDArray[np.uint8], side: int, device: torch.device) -> torch.Tensor:
        """Return the network's input (1, 3, side, side) for a uint8 image (H, W, 3)."""
        height, width = self.fitted((image.shape[0], image.shape[1]), side)
        resized = np.ascontiguousarray(self.resize(image, (height, width)))
        pixels = torch.from_numpy(resized).to(device).permute(2, 0, 1)[None].float()
        return F.pad(self.normalise(pixels), (0, side - width, 0, side - height))

    def coordinates(self, places: NDArray[Any], image_shape: Size, side: int) -> NDArray[Any]:
        """Bring (x, y) pixels (..., 2) of an image of this shape (H, W) into the square."""
        height, width = self.fitted(image_shape, side)
        scaled: NDArray[Any] = places * np.array([width / image_shape[1], height / image_shape[0]])
        return scaled

    def upscale(self, logits: torch.Tensor, side: int, image_shape: Size) -> torch.Tensor:
        """Bring logits (B, K, s, s) to pixels (B, K, H, W) of the image."""
        fitted = self.fitted(image_shape, side)
        return self.enlarge(logits.float(), side, fitted, image_shape)


def _pil_bilinear(image: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    """As ``segment_anything.utils.transforms.ResizeLongestSide.apply_image``."""
    resized: NDArray[np.uint8] = np.array(resize(to_pil_image(image), list(size)))
    return resized


def _bicubic(image: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    """As bowang-lab/MedSAM, MedSAM_Inference.py, which cuts off fractions."""
    from skimage.transform import resize as resize_array

    resized: NDArray[np.float64] = resize_array(
        image, size, order=3, preserve_range=True, anti_aliasing=True
    )
    return np.asarray(resized, dtype=np.uint8)


def _nearest(image: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    """As ``cv2.resize`` with INTER_NEAREST: the pixel at the scaled corner, not at the centre."""
    rows, columns = (_corners(*lengths) for lengths in zip(image.shape, size, strict=False))
    return image[rows[:, None], columns]


def _corners(before: int, after: int) -> NDArray[np.intp]:
    # imgproc/src/resize.cpp, resizeNN: floor(x * ifx), in double, with ifx = 1 / (after / before).
    scaled = np.floor(np.arange(after) * (1 / (after / before)))
    places: NDArray[np.intp] = np.minimum(scaled, before - 1).astype(np.intp)
    return places


def _bilinear(image: NDArray[np.uint8], size: Size) -> NDArray[np.float32]:
    """As yformer/EfficientSAM, efficient_sam/efficient_sam.py preprocess: not antialiased."""
    pixels = torch.tensor(image).permute(2, 0, 1)[None].float()
    resized = F.interpolate(pixels, size, mode="bilinear", align_corners=False)
    plane: NDArray[np.float32] = resized[0].permute(1, 2, 0).numpy()
    return plane


def _by_area(image: NDArray[np.uint8], size: Size) -> NDArray[np.float64]:
    """As ``cv2.resize`` with INTER_AREA: a pixel is the mean of what it covers, in whole levels."""
    rows, columns = (_coverage(*sides) for sides in zip(image.shape, size, strict=False))
    mean: NDArray[np.float64] = np.einsum("yh,hwc,xw->yxc", rows, image, columns, optimize=True)
    return np.floor(mean + 0.5)


def _coverage(before: int, after: int) -> NDArray[np.float64]:
    """Return how much of a new pixel each old one makes up along one side, (after, before)."""
    edges = np.arange(after + 1) * (before / after)
    start, stop = edges[:-1, None], edges[1:, None]
    pixel = np.arange(before)
    covered: NDArray[np.float64] = np.minimum(stop, pixel + 1) - np.maximum(start, pixel)
    return covered.clip(min=0) * (after / before)


def _standardised(pixels: torch.Tensor) -> torch.Tensor:
    mean = pixels.new_tensor(PIXEL_MEAN)[:, None, None]
    return (pixels - mean) / pixels.new_tensor(PIXEL_STD)[:, None, None]


def _stretched(pixels: torch.Tensor) -> torch.Tensor:
    """Bring the darkest value of the whole image to 0 and the brightest to 1."""
    low, high = pixels.min(), pixels.max()
    return (pixels - low) / (high - low).clamp(min=1e-8)


def _through_the_square(logits: torch.Tensor, side: int, fitted: Size, shape: Size) -> torch.Tensor:
    """As ``segment_anything.modeling.Sam.postprocess_masks``."""
    square = F.interpolate(logits, (side, side), mode="bilinear", align_corners=False)
    inside = square[..., : fitted[0], : fitted[1]]
    return F.interpolate(inside, shape, mode="bilinear", align_corners=False)


def _as_probabilities(logits: torch.Tensor, _side: int, _fitted: Size, shape: Size) -> torch.Tensor:
    """As MedSAM_Inference.py, which enlarges probabilities in one step."""
    enlarged = F.interpolate(logits.sigmoid(), shape, mode="bilinear", align_corners=False)
    return torch.logit(enlarged, eps=_NEAREST_TO_CERTAIN)


def _bicubic_at_once(logits: torch.Tensor, _side: int, _fitted: Size, shape: Size) -> torch.Tensor:
    """As EfficientSAM's predict_masks."""
    return F.interpolate(logits, shape, mode="bicubic", align_corners=False)


SAM = Preprocessing("sam", _pil_bilinear, _standardised, _through_the_square, keeps_aspect=True)
MEDSAM = Preprocessing("medsam", _bicubic, _stretched, _as_probabilities, keeps_aspect=False)

# bowang-lab/MedSAM, branch LiteMedSAM, CVPR24_LiteMedSAM_infer.py.
MEDSAM_LITE = Preprocessing(
    "medsam-lite", _by_area, _stretched, _through_the_square, keeps_aspect=True
)

# OpenGVLab/SAM-Med2D, segment_anything/predictor_sammed.py. It normalises before it picks pixels,
# which gives the same values.
SAM_MED2D = Preprocessing(
    "sam-med2d", _nearest, _standardised, _through_the_square, keeps_aspect=False
)

# efficient_sam.py has the same statistics for pixels in 0..1.
EFFICIENT_SAM = Preprocessing(
    "efficient-sam", _bilinear, _standardised, _bicubic_at_once, keeps_aspect=False
)

PREPROCESSINGS: Mapping[str, Preprocessing] = {
    record.name: record for record in (SAM, MEDSAM, MEDSAM_LITE, SAM_MED2D, EFFICIENT_SAM)
}
