"""A real SAM of segment-anything's own classes, small enough for quick tests."""

from functools import partial

import torch
from segment_anything.modeling import (
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)

IMAGE_SIZE, PATCH, WIDTH = 128, 16, 32


def tiny_sam(seed=0):
    """Return a Sam with seeded random weights, none of them zero."""
    torch.manual_seed(seed)
    grid = IMAGE_SIZE // PATCH
    network = Sam(
        image_encoder=ImageEncoderViT(
            img_size=IMAGE_SIZE,
            patch_size=PATCH,
            embed_dim=48,
            depth=4,
            num_heads=3,
            mlp_ratio=2,
            norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
            use_rel_pos=True,
            window_size=3,  # does not divide the grid of 8: windows are padded
            global_attn_indexes=(1, 3),
            out_chans=WIDTH,
        ),
        prompt_encoder=PromptEncoder(WIDTH, (grid, grid), (IMAGE_SIZE, IMAGE_SIZE), 16),
        mask_decoder=MaskDecoder(
            transformer_dim=WIDTH,
            transformer=TwoWayTransformer(depth=2, embedding_dim=WIDTH, num_heads=8, mlp_dim=64),
            iou_head_hidden_dim=24,
        ),
        pixel_mean=[123.675, 116.28, 103.53],
        pixel_std=[58.395, 57.12, 57.375],
    )
    give_positions(network)
    return network.eval()


def save_vit_b(file):
    """Save a SAM that is recognised as ViT-B, small in all else and zero all over; return the file.

    Tensors are stored as views of one zero, so that the file takes a moment and few bytes.
    """
    with torch.device("meta"):
        network = Sam(
            image_encoder=ImageEncoderViT(
                img_size=64,
                patch_size=PATCH,
                embed_dim=768,
                depth=12,
                num_heads=12,
                mlp_ratio=0.25,
                use_rel_pos=True,
                window_size=2,
                global_attn_indexes=(2, 5, 8, 11),
                out_chans=WIDTH,
            ),
            prompt_encoder=PromptEncoder(WIDTH, (4, 4), (64, 64), 16),
            mask_decoder=MaskDecoder(
                transformer_dim=WIDTH,
                transformer=TwoWayTransformer(2, WIDTH, num_heads=8, mlp_dim=64),
                iou_head_hidden_dim=24,
            ),
        )
    zero = torch.zeros(())
    state = {name: zero.expand(tensor.shape) for name, tensor in network.state_dict().items()}
    torch.save(state, file)
    return file


def give_positions(network):
    """Fill what starts as zeros, so that a lost position changes the result."""
    for name, parameter in network.named_parameters():
        if "rel_pos" in name or "pos_embed" in name:
            torch.nn.init.normal_(parameter, std=0.2)
