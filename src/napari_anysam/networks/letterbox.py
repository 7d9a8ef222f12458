"""An image in the frame of a YOLO network: enlarged or shrunk, and padded on all sides.

As ``LetterBox`` of ultralytics (``data/augment.py``) does it for a single image: the longest side
gets the wanted length, the other one is padded to the next multiple of the stride, half of it on
either side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from torch.nn import functional as F

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

__all__ = ["Letterbox"]

Size = tuple[int, int]

_STRIDE = 32
_PADDING = 114


@dataclass(frozen=True, slots=True)
class Letterbox:
    """Where an image lies in the network's input.

    Parameters
    ----------
    image_shape : (H, W)
        Pixels of the image.
    content : (h, w)
        Pixels of the input that the image fills.
    padding : ((top, bottom), (left, right))
        Pixels of the input around it.
    """

    image_shape: Size
    content: Size
    padding: tuple[Size, Size]

    @classmethod
    def fit(cls, image_shape: Size, side: int) -> Letterbox:
        """Fit an image of this shape (H, W) into a longest side."""
        scale = min(side / length for length in image_shape)
        height, width = (max(round(length * scale), 1) for length in image_shape)
        return cls(
            image_shape,
            (height, width),
            (_halves((side - height) % _STRIDE), _halves((side - width) % _STRIDE)),
        )

    @property
    def input_shape(self) -> Size:
        """Pixels (h, w) of the network's input."""
        height, width = (
            size + sum(edges) for size, edges in zip(self.content, self.padding, strict=True)
        )
        return height, width

    @property
    def scale(self) -> tuple[float, float]:
        """Pixels of the input per pixel of the image, along rows and columns."""
        return self.content[0] / self.image_shape[0], self.content[1] / self.image_shape[1]

    def pixels(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Bring an image, uint8 (H, W, 3), to the input, uint8 (h, w, 3)."""
        import cv2  # comes with ultralytics; rounds as no other library does

        if self.content != self.image_shape:
            resized = cv2.resize(image, self.content[::-1], interpolation=cv2.INTER_LINEAR)
            image = np.asarray(resized, dtype=np.uint8)
        return np.pad(image, (*self.padding, (0, 0)), constant_values=_PADDING)

    def image_boxes(self, boxes: Tensor) -> Tensor:
        """Bring boxes (N, 4) as (x0, y0, x1, y1) from the input to the image, and clip them."""
        (top, _), (left, _) = self.padding
        rows, columns = self.scale
        height, width = self.image_shape
        moved = boxes - boxes.new_tensor([left, top, left, top])
        scaled = moved / boxes.new_tensor([columns, rows, columns, rows])
        return scaled.clamp(min=0).minimum(boxes.new_tensor([width, height, width, height]))

    def to_image(self, logits: Tensor) -> Tensor:
        """Bring logits (B, K, h, w) of the input, or of a whole part of it, to (B, K, H, W).

        They are enlarged only as far as the padding can be cut off at whole pixels, as
        ``process_mask_native`` of ultralytics (``utils/ops.py``) does.
        """
        stride = self.input_shape[0] // logits.shape[-2]
        factor = self._least_factor(stride)
        if factor > 1:
            logits = F.interpolate(logits, scale_factor=float(factor), mode="bilinear")
        (top, _), (left, _) = (_scaled(edges, factor, stride) for edges in self.padding)
        height, width = _scaled(self.content, factor, stride)
        inside = logits[..., top : top + height, left : left + width]
        return F.interpolate(inside, self.image_shape, mode="bilinear")

    def _least_factor(self, stride: int) -> int:
        """Return the least power of 2 at which all padding is whole, at a stride that is one."""
        factor = 1
        edges = [edge for pair in self.padding for edge in pair]
        while any(edge * factor % stride for edge in edges):
            factor *= 2
        return factor


def _halves(padding: int) -> Size:
    """Split a padding; of an odd one the second half is larger."""
    return padding // 2, padding - padding // 2


def _scaled(sizes: Size, factor: int, stride: int) -> Size:
    return sizes[0] * factor // stride, sizes[1] * factor // stride
