"""Following objects with a SAM 2 network: anchors, memories, and finding objects again.

The arithmetic is that of ``SAM2Base.track_step`` as ``SAM2VideoPredictor`` calls it, module by
module, with these differences, none of which changes an answer by more than rounding: objects of
equal layout are one batch, constants are computed once, only the chosen mask is brought to full
resolution, and the mask is gated by the object score after it has been handed out.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from napari_anysam.networks.batches import embedding_rows, join_tracked
from napari_anysam.networks.sam2_attention import MemoryReader
from napari_anysam.networks.sam2_prompts import layout_of, mask_tensor, point_tensors
from napari_anysam.networks.tracking_protocol import MemorySpan, Recall, Tracked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sam2.modeling.sam2_base import SAM2Base

    from napari_anysam.networks.protocol import Embedding
    from napari_anysam.segmentation.prompts import Prompt

__all__ = ["Sam2Memory"]

STORED = torch.bfloat16
"""Type in which the official predictor keeps spatial memories; answers depend on this rounding."""

MOST_ANCHORS = 8
"""Prompted planes read at once where the network sets no limit of its own: each costs as much as a
tracked one, and far ones add little."""


class Constants:
    """What a network computes anew for every call although it never changes."""

    def __init__(self, network: SAM2Base) -> None:
        self._network = network

    def dense_positions(self) -> torch.Tensor:
        """Positional encoding (1, C, h, w) of the decoder's image tokens."""
        return self._dense

    def no_prompt(self, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Sparse and dense embeddings of "no prompt" for so many objects."""
        sparse, dense = self._no_prompt
        return sparse.expand(count, -1, -1), dense.expand(count, -1, -1, -1)

    @cached_property
    def _dense(self) -> torch.Tensor:
        with torch.autocast(self._network.device.type, enabled=False):
            positions: torch.Tensor = self._network.sam_prompt_encoder.get_dense_pe()
            return positions

    @cached_property
    def _no_prompt(self) -> tuple[torch.Tensor, torch.Tensor]:
        # As in SAM2Base._forward_sam_heads: one empty point with label -1.
        device = self._network.device
        points = (
            torch.zeros(1, 1, 2, device=device),
            -torch.ones(1, 1, dtype=torch.int32, device=device),
        )
        with torch.autocast(device.type, enabled=False):
            sparse, dense = self._network.sam_prompt_encoder(points=points, boxes=None, masks=None)
        return sparse, dense


class Sam2Memory:
    """The tracking half of a SAM 2 model; its caller enters inference mode and autocast.

    Parameters
    ----------
    network : SAM2Base
        In evaluation mode, on its device.
    """

    reader_type: type[MemoryReader] = MemoryReader
    """What reads the memories that it stores."""

    def __init__(self, network: SAM2Base) -> None:
        self.network = network
        self.constants = Constants(network)
        self._reader = self.reader_type(network)
        limit = network.max_cond_frames_in_attn
        self.span = MemorySpan(
            recent=network.num_maskmem - 1,
            pointers=network.max_obj_ptrs_in_encoder if network.use_obj_ptrs_in_encoder else 0,
            anchors=MOST_ANCHORS if limit == -1 else limit,
            past_pointers_only=network.only_obj_ptrs_in_the_past_for_eval,
            signed_distances=network.use_signed_tpos_enc_to_obj_ptrs,
        )

    def fine_maps(self, embedding: Embedding, count: int) -> list[torch.Tensor] | None:
        """Return the high-resolution feature maps for so many objects, without copying them.

        An embedding with a row per object has as many already.
        """
        names = [name for name in ("fine0", "fine1") if name in embedding.tensors]
        return [embedding.tensors[name].expand(count, -1, -1, -1) for name in names] or None

    def anchor(self, embedding: Embedding, prompts: Sequence[Prompt]) -> Tracked:
        """Answer prompts without any memory, each layout in a batch of its own."""
        groups: dict[tuple[int, bool], list[int]] = {}
        for number, prompt in enumerate(prompts):
            groups.setdefault(layout_of(prompt), []).append(number)
        answers = {
            tuple(numbers): self._anchor_group(embedding, [prompts[number] for number in numbers])
            for numbers in groups.values()
        }
        return _in_order(answers)

    def follow(self, embedding: Embedding, recalls: Sequence[Recall], plane_count: int) -> Tracked:
        """Find objects again, those of equal layout in batches."""
        groups: dict[tuple[int, int], list[int]] = {}
        for number, recall in enumerate(recalls):
            groups.setdefault(recall.layout, []).append(number)
        start = self._reader.start(embedding.tensors["image"])
        answers: dict[tuple[int, ...], Tracked] = {}
        for numbers in groups.values():
            size = self._reader.batch_size(recalls[numbers[0]].layout)
            for first in range(0, len(numbers), size):
                batch = tuple(numbers[first : first + size])
                some = [recalls[number] for number in batch]
                image = self._reader.read(start.rows(batch), some, plane_count)
                part = embedding_rows(embedding, batch)
                answers[batch] = self._heads(part, image, None, None, self._multimask(0))
        return _in_order(answers)

    def remember(
        self, embedding: Embedding, tracked: Tracked, *, anchored: bool
    ) -> tuple[torch.Tensor, ...]:
        """Encode answers into spatial memories (n, c), rounded as the official predictor's."""
        network = self.network
        size = (network.image_size, network.image_size)
        masks = F.interpolate(
            tracked.gated.to(network.device), size, mode="bilinear", align_corners=False
        )
        image = embedding.tensors["image"]
        height, width = image.shape[-2:]
        flat = image.expand(len(masks), -1, -1, -1).flatten(2).permute(2, 0, 1)
        features, positions = network._encode_new_memory(
            current_vision_feats=[flat],
            feat_sizes=[(height, width)],
            pred_masks_high_res=masks,
            object_score_logits=tracked.object_logits[:, None].to(network.device),
            is_mask_from_pts=anchored,
        )
        stored = self._stored(features, positions[0])
        # A clone per object lets go of each one's memory on its own.
        return tuple(one.clone() for one in stored) if len(stored) > 1 else (stored[0],)

    def _stored(self, features: torch.Tensor, _positions: torch.Tensor) -> torch.Tensor:
        """Bring memories and their positions, both (B, c, h, w), to what is kept (B, n, c)."""
        return features.to(STORED).flatten(2).transpose(1, 2).contiguous()

    def _anchor_group(self, embedding: Embedding, prompts: Sequence[Prompt]) -> Tracked:
        network = self.network
        device = network.device
        masks = mask_tensor(prompts, network.image_size, device)
        image = embedding.tensors["image"].expand(len(prompts), -1, -1, -1)
        if masks is not None:
            return self._mask_answers(embedding, image, masks)
        if network.directly_add_no_mem_embed:
            image = image + network.no_mem_embed.reshape(1, -1, 1, 1)
        points = point_tensors(prompts, [embedding.image_shape], network.image_size, device)
        multimask = self._multimask(layout_of(prompts[0])[0])
        return self._heads(embedding, image, points, None, multimask)

    def _mask_answers(
        self, embedding: Embedding, image: torch.Tensor, masks: torch.Tensor
    ) -> Tracked:
        """As ``SAM2Base._use_mask_as_output``: a mask is its own answer; the decoder points."""
        network = self.network
        high = masks * 20.0 - 10.0
        low = F.interpolate(
            high,
            size=(high.shape[-2] // 4, high.shape[-1] // 4),
            mode="bilinear",
            align_corners=False,
            antialias=True,
        )
        pointed = self._heads(embedding, image, None, network.mask_downsample(masks), False)
        present = masks.flatten(1).any(dim=1).float()
        pointers = self._gated_pointers(pointed.pointers, present[:, None])
        return Tracked(low, torch.ones_like(present), 20.0 * present - 10.0, pointers)

    def _heads(
        self,
        embedding: Embedding,
        image: torch.Tensor,
        points: tuple[torch.Tensor, torch.Tensor] | None,
        masks: torch.Tensor | None,
        multimask: bool,
    ) -> Tracked:
        """As ``SAM2Base._forward_sam_heads``, without gating and upscaling the masks."""
        network = self.network
        count = len(image)
        if points is None and masks is None:
            sparse, dense = self.constants.no_prompt(count)
        else:
            sparse, dense = network.sam_prompt_encoder(
                points=self._or_no_point(points, count), boxes=None, masks=self._small(masks)
            )
        logits, scores, tokens, object_logits = network.sam_mask_decoder(
            image_embeddings=image,
            image_pe=self.constants.dense_positions(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=multimask,
            repeat_image=False,
            high_res_features=self.fine_maps(embedding, count),
        )
        best = scores.argmax(dim=-1)
        rows = torch.arange(count, device=image.device)
        token = tokens[rows, best] if tokens.shape[1] > 1 else tokens[:, 0]
        object_logits = object_logits.float()
        pointers = network.obj_ptr_proj(token)
        if network.pred_obj_scores:
            present = object_logits.sigmoid() if network.soft_no_obj_ptr else object_logits > 0
            pointers = self._gated_pointers(pointers, present.float())
        return Tracked(
            logits[rows, best][:, None].float(),
            scores[rows, best].float(),
            object_logits[:, 0],
            pointers.float(),
        )

    def _gated_pointers(self, pointers: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        """Mix in the pointer of an absent object; ``present`` is (B, 1) in 0..1."""
        network = self.network
        if not network.pred_obj_scores:
            return pointers
        if network.fixed_no_obj_ptr:
            pointers = present * pointers
        mixed: torch.Tensor = pointers + (1 - present) * network.no_obj_ptr
        return mixed

    def _or_no_point(
        self, points: tuple[torch.Tensor, torch.Tensor] | None, count: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if points is not None:
            return points
        device = self.network.device
        return (
            torch.zeros(count, 1, 2, device=device),
            -torch.ones(count, 1, dtype=torch.int32, device=device),
        )

    def _small(self, masks: torch.Tensor | None) -> torch.Tensor | None:
        size = self.network.sam_prompt_encoder.mask_input_size
        if masks is None or tuple(masks.shape[-2:]) == tuple(size):
            return masks
        return F.interpolate(
            masks.float(), size, mode="bilinear", align_corners=False, antialias=True
        )

    def _multimask(self, points: int) -> bool:
        """As ``SAM2Base._use_multimask``; no point means a plane that is being tracked."""
        network = self.network
        return bool(
            network.multimask_output_in_sam
            and (points > 0 or network.multimask_output_for_tracking)
            and network.multimask_min_pt_num <= points <= network.multimask_max_pt_num
        )


def _in_order(answers: dict[tuple[int, ...], Tracked]) -> Tracked:
    """Join the answers of batches, named by their places in the input, in the input's order."""
    if len(answers) == 1:
        return next(iter(answers.values()))
    places = [place for batch in answers for place in batch]
    order = torch.tensor(sorted(range(len(places)), key=places.__getitem__))
    joined = join_tracked(list(answers.values()))
    order = order.to(joined.logits.device)
    return Tracked(
        joined.logits[order],
        joined.scores[order],
        joined.object_logits[order],
        joined.pointers[order],
    )
