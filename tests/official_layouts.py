"""Names and shapes of the tensors in the files of SAM's relatives, as their authors publish them.

Written down from the official code, not from this package's: it is what this package must read.
"""

import torch
from segment_anything.modeling import MaskDecoder, PromptEncoder, TwoWayTransformer

GRID = 64

TINY_VIT_HEAD = tuple(
    f"image_encoder.{name}"
    for name in ("norm_head.weight", "norm_head.bias", "head.weight", "head.bias")
)


def sam_decoders(width=256, mlp=2048, hidden=256):
    """Prompt encoder and mask decoder of segment_anything, on which all of them build."""
    with torch.device("meta"):
        parts = {
            "prompt_encoder": PromptEncoder(width, (GRID, GRID), (1024, 1024), 16),
            "mask_decoder": MaskDecoder(
                transformer_dim=width,
                transformer=TwoWayTransformer(2, width, 8, mlp),
                iou_head_hidden_dim=hidden,
            ),
        }
    return {
        f"{part}.{name}": tuple(tensor.shape)
        for part, module in parts.items()
        for name, tensor in module.state_dict().items()
    }


def narrow_decoders():
    """Parts of the same kind that compute fast."""
    return sam_decoders(width=32, mlp=64, hidden=24)


def tiny_vit(
    widths=(64, 128, 160, 320),
    depths=(2, 2, 6, 2),
    heads=(2, 4, 5, 10),
    windows=(7, 7, 14, 7),
    patch=3,
    out=256,
    classes=1000,
):
    """TinyViT of ChaoningZhang/MobileSAM mobile_sam/modeling/tiny_vit_sam.py.

    bowang-lab/MedSAM (branch LiteMedSAM) tiny_vit_sam.py has patch=1 and classes=0.
    """
    found = {}
    found |= _conv_bn("patch_embed.seq.0", widths[0] // 2, 3, patch)
    found |= _conv_bn("patch_embed.seq.2", widths[0], widths[0] // 2, patch)
    for block in range(depths[0]):
        name, dim = f"layers.0.blocks.{block}", widths[0]
        found |= _conv_bn(f"{name}.conv1", 4 * dim, dim, 1)
        found |= _conv_bn(f"{name}.conv2", 4 * dim, 1, 3)
        found |= _conv_bn(f"{name}.conv3", dim, 4 * dim, 1)
    for layer in range(1, 4):
        for block in range(depths[layer]):
            name, dim = f"layers.{layer}.blocks.{block}", widths[layer]
            found |= _affine(f"{name}.attn.norm", dim)
            found |= _linear(f"{name}.attn.qkv", 3 * dim, dim)
            found |= _linear(f"{name}.attn.proj", dim, dim)
            found[f"{name}.attn.attention_biases"] = (heads[layer], windows[layer] ** 2)
            found |= _affine(f"{name}.mlp.norm", dim)
            found |= _linear(f"{name}.mlp.fc1", 4 * dim, dim)
            found |= _linear(f"{name}.mlp.fc2", dim, 4 * dim)
            found |= _conv_bn(f"{name}.local_conv", dim, 1, 3)
    for layer in range(3):
        name, dim = f"layers.{layer}.downsample", widths[layer + 1]
        found |= _conv_bn(f"{name}.conv1", dim, widths[layer], 1)
        found |= _conv_bn(f"{name}.conv2", dim, 1, 3)
        found |= _conv_bn(f"{name}.conv3", dim, dim, 1)
    if classes:
        found |= _affine("norm_head", widths[3])
        found |= _linear("head", classes, widths[3])
    found |= neck(widths[3], out)
    return {f"image_encoder.{name}": shape for name, shape in found.items()}


def narrow_tiny_vit(**changes):
    """Return the layout of a TinyViT that computes fast; the windows are the official ones."""
    sizes = {"widths": (8, 16, 20, 24), "depths": (1, 1, 2, 1), "heads": (1, 2, 2, 3)}
    return tiny_vit(**sizes, out=32, **changes)


def rep_vit(widths=(48, 96, 192, 384), depths=(2, 2, 14, 2), out=256):
    """RepViT of chongzhou96/EdgeSAM edge_sam/modeling/rep_vit.py with fuse=True; m1 by default."""
    found = _conv_bn("features.0.0", widths[0] // 2, 3, 3)
    found |= _conv_bn("features.0.2", widths[0], widths[0] // 2, 3)
    index = 1
    for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        if stage:
            before = widths[stage - 1]
            found |= _rep_vit_block(f"features.{index}", before, squeezes=False)
            name = f"features.{index + 1}"
            found |= _conv_bn(f"{name}.token_mixer.0", before, 1, 3)
            found |= _conv_bn(f"{name}.token_mixer.2", width, before, 1)
            found |= _rep_vit_mixer(name, width)
            index += 2
        for block in range(depth):
            found |= _rep_vit_block(f"features.{index + block}", width, squeezes=block % 2 == 0)
        index += depth
    found["fuse_stage2.weight"] = (out, widths[-2], 1, 1)
    found["fuse_stage3.op_list.0.weight"] = (out, widths[-1], 1, 1)
    found |= neck(out, out)
    return {f"image_encoder.{name}": shape for name, shape in found.items()}


def _rep_vit_block(name, width, *, squeezes):
    found = _conv_bn(f"{name}.token_mixer.0.conv", width, 1, 3)
    found |= _conv_bn(f"{name}.token_mixer.0.conv1", width, 1, 1)
    if squeezes:
        squeezed = max(8, int(width / 4 + 4) // 8 * 8)  # timm's make_divisible
        for layer, out, into in (("fc1", squeezed, width), ("fc2", width, squeezed)):
            found[f"{name}.token_mixer.1.{layer}.weight"] = (out, into, 1, 1)
            found[f"{name}.token_mixer.1.{layer}.bias"] = (out,)
    return found | _rep_vit_mixer(name, width)


def _rep_vit_mixer(name, width):
    return {
        **_conv_bn(f"{name}.channel_mixer.m.0", 2 * width, width, 1),
        **_conv_bn(f"{name}.channel_mixer.m.2", width, 2 * width, 1),
    }


def sam_hq_extras(early, width=256):
    """What SysCV/sam-hq segment_anything/modeling/mask_decoder_hq.py adds to the mask decoder."""
    fine = width // 8
    found = {"hf_token.weight": (1, width)}
    for layer, out in enumerate((width, width, fine)):
        found |= _linear(f"hf_mlp.layers.{layer}", out, width)
    for name, outer, middle in (
        ("compress_vit_feat", early, width),
        ("embedding_encoder", width, width // 4),
    ):
        found[f"{name}.0.weight"], found[f"{name}.0.bias"] = (outer, middle, 2, 2), (middle,)
        found |= _affine(f"{name}.1", middle)
        found[f"{name}.3.weight"], found[f"{name}.3.bias"] = (middle, fine, 2, 2), (fine,)
    name, middle = "embedding_maskfeature", width // 4
    found[f"{name}.0.weight"], found[f"{name}.0.bias"] = (middle, fine, 3, 3), (middle,)
    found |= _affine(f"{name}.1", middle)
    found[f"{name}.3.weight"], found[f"{name}.3.bias"] = (fine, middle, 3, 3), (fine,)
    return {f"mask_decoder.{name}": shape for name, shape in found.items()}


def neck(width, out):
    return {
        "neck.0.weight": (out, width, 1, 1),
        **_affine("neck.1", out),
        "neck.2.weight": (out, out, 3, 3),
        **_affine("neck.3", out),
    }


def _affine(name, width):
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _linear(name, out, width):
    return {f"{name}.weight": (out, width), f"{name}.bias": (out,)}


def _conv_bn(name, out, width, kernel):
    return {
        f"{name}.c.weight": (out, width, kernel, kernel),
        **_affine(f"{name}.bn", out),
        f"{name}.bn.running_mean": (out,),
        f"{name}.bn.running_var": (out,),
        f"{name}.bn.num_batches_tracked": (),
    }


# (depth, width, most channels) of ultralytics cfg/models/v8/yolov8-seg.yaml
_YOLO_SCALES = {"n": (0.33, 0.25, 1024), "s": (0.33, 0.5, 1024), "x": (1.0, 1.25, 512)}


def yolo_v8_seg(scale, classes=1):
    """FastSAM's network, as ultralytics 8.4 nn/tasks.py builds it from that file; "x" or "s"."""
    depth, width, most = _YOLO_SCALES[scale]
    channels = [int(min(c, most) * width) for c in (64, 128, 256, 512, 1024)]
    repeats = [round(n * depth) for n in (3, 6, 6, 3)]
    found = _yolo_conv("0", channels[0], 3, 3)
    for stage, repeat in enumerate(repeats):
        into, out = channels[stage], channels[stage + 1]
        found |= _yolo_conv(f"{2 * stage + 1}", out, into, 3)
        found |= _yolo_c2f(f"{2 * stage + 2}", out, out, repeat)
    _, _, low, middle, high = channels
    found |= _yolo_conv("9.cv1", high // 2, high, 1)
    found |= _yolo_conv("9.cv2", high, 2 * high, 1)
    found |= _yolo_c2f("12", middle, middle + high, repeats[0])
    found |= _yolo_c2f("15", low, low + middle, repeats[0])
    found |= _yolo_conv("16", low, low, 3)
    found |= _yolo_c2f("18", middle, low + middle, repeats[0])
    found |= _yolo_conv("19", middle, middle, 3)
    found |= _yolo_c2f("21", high, middle + high, repeats[0])
    heads = {"cv2": (max(16, low // 4, 64), 64), "cv3": (max(low, min(classes, 100)), classes)}
    heads["cv4"] = (max(low // 4, 32), 32)
    for head, (hidden, out) in heads.items():
        for level, into in enumerate((low, middle, high)):
            name = f"22.{head}.{level}"
            found |= _yolo_conv(f"{name}.0", hidden, into, 3)
            found |= _yolo_conv(f"{name}.1", hidden, hidden, 3)
            found |= {f"{name}.2.weight": (out, hidden, 1, 1), f"{name}.2.bias": (out,)}
    found["22.dfl.conv.weight"] = (1, 16, 1, 1)
    prototypes = int(256 * width)
    found |= _yolo_conv("22.proto.cv1", prototypes, low, 3)
    found["22.proto.upsample.weight"] = (prototypes, prototypes, 2, 2)
    found["22.proto.upsample.bias"] = (prototypes,)
    found |= _yolo_conv("22.proto.cv2", prototypes, prototypes, 3)
    found |= _yolo_conv("22.proto.cv3", 32, prototypes, 1)
    return found


def _yolo_c2f(name, out, into, repeat):
    hidden = out // 2
    found = _yolo_conv(f"{name}.cv1", out, into, 1)
    found |= _yolo_conv(f"{name}.cv2", out, (2 + repeat) * hidden, 1)
    for block in range(repeat):
        for part in ("cv1", "cv2"):
            found |= _yolo_conv(f"{name}.m.{block}.{part}", hidden, hidden, 3)
    return found


def _yolo_conv(name, out, into, kernel):
    return {
        f"{name}.conv.weight": (out, into, kernel, kernel),
        **_affine(f"{name}.bn", out),
        f"{name}.bn.running_mean": (out,),
        f"{name}.bn.running_var": (out,),
        f"{name}.bn.num_batches_tracked": (),
    }
