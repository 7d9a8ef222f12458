"""Follow objects through a few planes with the memory, so that it can be trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from sam2.modeling.sam2_base import SAM2Base
    from torch import Tensor


class PlaneResult(NamedTuple):
    """What the network says about N objects on one plane.

    Attributes
    ----------
    logits
        Candidates (N, M, H/4, W/4), gated by the object score; M is 3 or 1.
    iou
        Their predicted IoU, (N, M).
    object_score
        Logits of the object's presence, (N, 1).
    """

    logits: Tensor
    iou: Tensor
    object_score: Tensor


class Anchor(NamedTuple):
    """The prompt of one plane: points and their labels, or a mask (N, 1, H, W).

    A fresh one is answered without memory; any other one corrects what the memory says.
    """

    points: Tensor | None = None
    labels: Tensor | None = None
    mask: Tensor | None = None
    fresh: bool = True


class Course(NamedTuple):
    """Where the T planes lie in their stack, and in which direction they are visited."""

    first: int
    planes: int
    reverse: bool

    def index(self, step: int) -> int:
        """Index in the stack of the plane that is visited as number `step`."""
        return self.first - step if self.reverse else self.first + step


def propagate(
    network: SAM2Base,
    images: Tensor,
    index: Tensor,
    anchors: dict[int, Anchor],
    course: Course,
    steps: int,
) -> list[PlaneResult]:
    """Run all steps of N objects.

    Parameters
    ----------
    network
        The network.
    images
        Normalised planes (scenes * steps, 3, H, W), the steps of one scene in a row.
    index
        Scene of every object, (N,).
    anchors
        Prompts by step; the first step has one.
    course
        Position within the stack.
    steps
        Number of planes.

    Returns
    -------
    list of PlaneResult
        One per step.
    """
    encoded = network.forward_image(images)
    _, features, positions, sizes = network._prepare_backbone_features(encoded)
    memory: dict[str, dict[int, Any]] = {"cond_frame_outputs": {}, "non_cond_frame_outputs": {}}
    results = []
    for step in range(steps):
        rows = index * steps + step
        plane = [level[:, rows] for level in features], [level[:, rows] for level in positions]
        anchor = anchors.get(step)
        result, output = _visit(network, plane, sizes, anchor, memory, course, step)
        results.append(result)
        kind = "non_cond_frame_outputs" if anchor is None else "cond_frame_outputs"
        memory[kind][course.index(step)] = output
    return results


def _visit(
    network: SAM2Base,
    plane: tuple[list[Tensor], list[Tensor]],
    sizes: list[tuple[int, int]],
    anchor: Anchor | None,
    memory: dict[str, dict[int, Any]],
    course: Course,
    step: int,
) -> tuple[PlaneResult, dict[str, Any]]:
    """Visit one plane as SAM2Base.track_step does, but keep all candidates and scores."""
    features, positions = plane
    points = mask = None
    if anchor is not None:
        mask = anchor.mask
        if anchor.points is not None:
            points = {"point_coords": anchor.points, "point_labels": anchor.labels}
    output, heads, _, _ = network._track_step(
        course.index(step), anchor is not None and anchor.fresh, features, positions, sizes,
        points, mask, memory, course.planes, course.reverse, None,
    )  # fmt: skip
    candidates, _, iou, _, best, pointer, score = heads
    output["obj_ptr"] = pointer
    network._encode_memory_in_output(features, sizes, points, True, best, score, output)
    return PlaneResult(candidates, iou, score), output


def presence_loss(results: list[PlaneResult], targets: Tensor, absent: float = 3.0) -> Tensor:
    """Cross-entropy of the object scores.

    Parameters
    ----------
    results
        One per plane.
    targets
        (N, T, H, W).
    absent
        Weight of a plane without the object, which is the rarer case.
    """
    scores = torch.cat([result.object_score for result in results], 1)
    present = (targets.sum((-2, -1)) > 1.0).float()
    return functional.binary_cross_entropy_with_logits(
        scores, present, weight=torch.where(present > 0, 1.0, absent)
    )
