"""The parts of a SAM network, their hyper-parameters told by the shapes of a checkpoint's tensors.

As ``segment_anything/build_sam.py`` ``_build_sam`` puts them together. The families that changed
one part of SAM take the others from here.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from segment_anything.modeling import (
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)

from napari_anysam.errors import CheckpointError
from napari_anysam.networks.preprocessing import PIXEL_MEAN, PIXEL_STD
from napari_anysam.networks.weights import fill_network, same_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    Shapes = Mapping[str, tuple[int, ...]]

__all__ = [
    "assemble",
    "described",
    "fill_sam",
    "image_encoder",
    "mask_decoder",
    "shapes_of",
]

# segment_anything/build_sam.py _build_sam; shapes cannot tell the number of heads.
_DECODER_HEADS = 8


def shapes_of(tensors: Mapping[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor by its name."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


@contextmanager
def described(name: str, family: str) -> Iterator[None]:
    """Build modules without values inside; shapes that make no sense become a CheckpointError.

    Parameters
    ----------
    name : str
        The model, for the message.
    family : str
        What its tensors should describe, for the message.
    """
    try:
        with torch.device("meta"):  # neither memory nor time for random initial values
            yield
    except (KeyError, IndexError, ArithmeticError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"The tensors of {name} do not describe a {family} network ({error}); "
            "get the complete file."
        ) from error


def assemble(shapes: Shapes, encoder: Any, decoder: MaskDecoder) -> Sam:
    """Put an image encoder and a mask decoder together with SAM's prompt encoder.

    Parameters
    ----------
    shapes : mapping of str to tuple of int
        Of the whole checkpoint.
    encoder : module
        With ``img_size`` and ``grid``, the side of its input in pixels and of its output.
    decoder : MaskDecoder
        Of the same width.
    """
    size = (encoder.img_size, encoder.img_size)
    return Sam(
        image_encoder=encoder,
        prompt_encoder=PromptEncoder(
            embed_dim=decoder.transformer_dim,
            image_embedding_size=(encoder.grid, encoder.grid),
            input_image_size=size,
            mask_in_chans=shapes["prompt_encoder.mask_downscaling.3.weight"][0],
        ),
        mask_decoder=decoder,
    )


def fill_sam(
    network: Sam,
    tensors: Mapping[str, torch.Tensor],
    name: str,
    device: torch.device,
    *,
    file_name: Callable[[str], str] = same_name,
) -> None:
    """Fill a network with a checkpoint's tensors; see ``fill_network``."""
    fill_network(network, tensors, name, device, file_name=file_name)
    network.register_buffer("pixel_mean", _column(PIXEL_MEAN, device), persistent=False)
    network.register_buffer("pixel_std", _column(PIXEL_STD, device), persistent=False)
    network.to(device)  # what no checkpoint holds: timm's index tables


def _column(values: Sequence[float], device: torch.device) -> torch.Tensor:
    return torch.tensor(values, device=device).view(-1, 1, 1)


def image_encoder(shapes: Shapes) -> ImageEncoderViT:
    """Build the ViT that the tensors under ``image_encoder.`` describe."""
    width, _, patch, _ = shapes["image_encoder.patch_embed.proj.weight"]
    grid = shapes["image_encoder.pos_embed"][1]
    depth = sum(key.endswith(".attn.rel_pos_h") for key in shapes)
    # A block's relative positions span its window: 2 * 14 - 1 rows, or 2 * grid - 1 for all.
    spans = [shapes[f"image_encoder.blocks.{i}.attn.rel_pos_h"] for i in range(depth)]
    windows = [(span[0] + 1) // 2 for span in spans]
    encoder = ImageEncoderViT(
        img_size=grid * patch,
        patch_size=patch,
        embed_dim=width,
        depth=depth,
        num_heads=width // spans[0][1],
        mlp_ratio=shapes["image_encoder.blocks.0.mlp.lin1.weight"][0] / width,
        out_chans=shapes["image_encoder.neck.0.weight"][0],
        norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
        use_rel_pos=True,
        window_size=min(windows),
        global_attn_indexes=tuple(i for i, window in enumerate(windows) if window == grid),
    )
    encoder.grid = grid
    return encoder


def mask_decoder(
    shapes: Shapes,
    kind: Callable[..., MaskDecoder] = MaskDecoder,
    *,
    activation: type[torch.nn.Module] = torch.nn.ReLU,
    **more: int,
) -> MaskDecoder:
    """Build the decoder that the tensors under ``mask_decoder.`` describe.

    Parameters
    ----------
    shapes : mapping of str to tuple of int
        Of the whole checkpoint.
    kind : callable
        ``MaskDecoder``, or a class that takes its arguments and those in ``more``.
    activation : class
        Of the transformer's blocks.
    """
    head = "mask_decoder.iou_prediction_head.layers"
    tokens, width = shapes["mask_decoder.mask_tokens.weight"]
    return kind(
        num_multimask_outputs=tokens - 1,
        transformer=TwoWayTransformer(
            depth=sum(key.endswith("cross_attn_image_to_token.q_proj.weight") for key in shapes),
            embedding_dim=width,
            mlp_dim=shapes["mask_decoder.transformer.layers.0.mlp.lin1.weight"][0],
            num_heads=_DECODER_HEADS,
            activation=activation,
        ),
        transformer_dim=width,
        iou_head_depth=sum(key.startswith(head) and key.endswith(".weight") for key in shapes),
        iou_head_hidden_dim=shapes[f"{head}.0.weight"][0],
        **more,
    )
