"""The official ``SAM2VideoPredictor`` as an oracle, on planes given directly.

Its ``init_state`` wants a folder of JPEG files, which is lossy: here the state is made of the very
tensor that our own model encodes. Two faults of it are worked around, neither of which touches its
arithmetic: ``maskmem_features``, rounded to bfloat16, go back to float32 (in float32 it otherwise
crashes where an object has no anchor behind it), and there is no progress bar. Its builder's
settings (``sam2/build_sam.py``) are those that ``napari_anysam.networks.sam2_build`` follows.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import sam2.sam2_video_predictor as official_module
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from sam2.sam2_video_predictor import SAM2VideoPredictor

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import torch

    from napari_anysam import Prompt

__all__ = ["OfficialPredictor", "OfficialRun", "build_official", "official_run", "start_state"]

SETTINGS = {
    "_target_": f"{__name__}.OfficialPredictor",
    "binarize_mask_from_pts_for_mem_enc": True,
    "sam_mask_decoder_extra_args": {
        "dynamic_multimask_via_stability": True,
        "dynamic_multimask_stability_delta": 0.05,
        "dynamic_multimask_stability_thresh": 0.98,
    },
}


official_module.tqdm = lambda planes, **_: planes


class OfficialPredictor(SAM2VideoPredictor):
    """The official predictor; it also notes the decoder's answers before the score gates them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.ungated: dict[tuple[int, int], torch.Tensor] = {}
        self._decoded: Any = None
        self.sam_mask_decoder.register_forward_hook(self._note)

    def _note(self, _module: Any, _inputs: Any, output: Any) -> None:
        self._decoded = output

    def _run_single_frame_inference(self, inference_state, output_dict, frame_idx, *args, **kwargs):
        compact, masks = super()._run_single_frame_inference(
            inference_state, output_dict, frame_idx, *args, **kwargs
        )
        if compact["maskmem_features"] is not None:
            compact["maskmem_features"] = compact["maskmem_features"].float()
        outputs = inference_state["output_dict_per_obj"]
        index = next(number for number, one in outputs.items() if one is output_dict)
        logits, scores = self._decoded[:2]
        best = int(scores[0].argmax())
        self.ungated[inference_state["obj_idx_to_id"][index], frame_idx] = logits[0, best].clone()
        return compact, masks

    def _run_memory_encoder(self, *args, **kwargs):
        features, positions = super()._run_memory_encoder(*args, **kwargs)
        return features.float(), positions


@dataclass
class OfficialRun:
    """What the predictor said, by (object id, plane)."""

    masks: dict[tuple[int, int], torch.Tensor] = field(default_factory=dict)
    ungated: dict[tuple[int, int], torch.Tensor] = field(default_factory=dict)


def build_official(
    tensors: Mapping[str, torch.Tensor], configuration: DictConfig
) -> OfficialPredictor:
    merged = OmegaConf.merge(configuration, {"model": SETTINGS})
    predictor: OfficialPredictor = instantiate(merged.model, _recursive_=True)
    predictor.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    return predictor.eval().requires_grad_(False)


def start_state(images: torch.Tensor, plane_shape: tuple[int, int]) -> dict[str, Any]:
    """Return an inference state for images (N, 3, S, S), as ``init_state`` makes it."""
    device = images.device
    empty = ("point_inputs_per_obj", "mask_inputs_per_obj", "cached_features", "constants")
    more = ("output_dict_per_obj", "temp_output_dict_per_obj", "frames_tracked_per_obj")
    return {
        "images": images,
        "num_frames": len(images),
        "offload_video_to_cpu": False,
        "offload_state_to_cpu": False,
        "video_height": plane_shape[0],
        "video_width": plane_shape[1],
        "device": device,
        "storage_device": device,
        "obj_id_to_idx": OrderedDict(),
        "obj_idx_to_id": OrderedDict(),
        "obj_ids": [],
        **{name: {} for name in (*empty, *more)},
    }


def add_prompt(predictor: OfficialPredictor, state: dict[str, Any], prompt: Prompt) -> None:
    if prompt.mask is not None:
        predictor.add_new_mask(state, prompt.plane, prompt.object_id, prompt.mask)
        return
    box = prompt.box
    predictor.add_new_points_or_box(
        state,
        prompt.plane,
        prompt.object_id,
        points=[[x, y] for y, x in prompt.points] or None,
        labels=[int(positive) for positive in prompt.polarity] or None,
        box=None if box is None else [box[1], box[0], box[3], box[2]],
    )


def official_run(
    predictor: OfficialPredictor,
    images: torch.Tensor,
    plane_shape: tuple[int, int],
    prompts: Iterable[Prompt],
    steps: tuple[int, ...] = (1,),
) -> OfficialRun:
    """Propagate prompts; every direction starts from a state of its own.

    Later directions do not replace what earlier ones said.
    """
    prompts = list(prompts)
    run = OfficialRun()
    for step in steps:
        predictor.ungated = {}
        state = start_state(images, plane_shape)
        for prompt in prompts:
            add_prompt(predictor, state, prompt)
        planes = [prompt.plane for prompt in prompts]
        start = min(planes) if step > 0 else max(planes)
        for plane, ids, logits in predictor.propagate_in_video(
            state, start_frame_idx=start, reverse=step < 0
        ):
            for object_id, one in zip(ids, logits, strict=True):
                run.masks.setdefault((object_id, plane), one[0] > 0)
        for key, logits in predictor.ungated.items():
            run.ungated.setdefault(key, logits)
    return run
