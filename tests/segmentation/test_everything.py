"""Everything in an image, without a prompt."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from skimage.segmentation import relabel_sequential

import napari_anysam as anysam
from fast_sam_oracle import needs_ultralytics, oracle_network, oracle_predictor
from napari_anysam.errors import CapabilityError
from napari_anysam.networks.fast_sam import FastSamModel
from napari_anysam.networks.protocol import Embedding, Masks, ProposalOptions
from seeded_weights import seeded_image

SHAPE = (40, 60)


def square(top, left, side):
    mask = np.zeros(SHAPE, bool)
    mask[top : top + side, left : left + side] = True
    return mask


class Proposing(FastSamModel):
    """FastSAM whose network has always the same to propose."""

    def __init__(self, *masks):
        super().__init__(
            None,
            name="squares",
            key="squares",
            device=torch.device("cpu"),
            precision="fp32",
            options=ProposalOptions(),
        )
        self.masks = masks

    def encode(self, image, *, cancelled=None):
        self.seen = image
        return Embedding({}, image.shape[:2], self.key)

    def everything(self, embedding):
        for mask in self.masks:
            yield Masks(torch.from_numpy(mask)[None, None] * 2.0 - 1, torch.ones(1, 1))


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 4000, SHAPE).astype(np.uint16)


def test_labels_follow_the_order_of_the_proposals(image):
    model = Proposing(square(2, 2, 9), square(20, 30, 9))
    labels = anysam.segment_everything(image, model)
    assert (labels.dtype, labels.shape) == (np.int32, SHAPE)
    np.testing.assert_array_equal(labels, square(2, 2, 9) + 2 * square(20, 30, 9))


@pytest.mark.parametrize("order", [1, -1])
def test_small_lies_on_large(image, order):
    small, large = square(10, 10, 5), square(5, 5, 20)
    labels = anysam.segment_everything(image, Proposing(*(small, large)[::order]))
    number = 1 if order == 1 else 2
    assert (labels[small] == number).all()
    assert (labels[large & ~small] == 3 - number).all()


def test_what_is_covered_whole_leaves_no_gap_in_the_numbers(image):
    left, right = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    left[5:15, 5:10], right[5:15, 10:15] = True, True
    labels = anysam.segment_everything(image, Proposing(square(5, 5, 10), left, right))
    np.testing.assert_array_equal(labels, left + 2 * right)


def test_no_proposal_is_background(image):
    assert not anysam.segment_everything(image, Proposing()).any()


def test_the_network_sees_the_contrast_asked_for(image):
    model = Proposing()
    anysam.segment_everything(image, model, contrast=(0, 1000))
    assert model.seen.shape == (*SHAPE, 3)
    assert (model.seen[image >= 1000] == 255).all()
    anysam.segment_everything(np.stack([image, image]), model, channel_axis=0)
    assert model.seen.shape == (*SHAPE, 3)


def test_a_model_that_waits_for_prompts_is_asked_at_a_grid_of_points(nano):
    rows, columns = np.indices((96, 128))
    discs = [(rows - 30) ** 2 + (columns - y) ** 2 <= 12**2 for y in (30, 90)]
    picture = np.where(discs[0] | discs[1], 190, 40).astype(np.uint8)
    options = anysam.EverythingOptions(points_per_side=10)
    labels = anysam.segment_everything(picture, nano, options=options)
    assert set(np.unique(labels)) == {0, 1, 2}
    for disc in discs:
        found = labels == np.bincount(labels[disc]).argmax()
        assert (found & disc).sum() / (found | disc).sum() > 0.7


def test_a_model_for_boxes_alone_is_refused(nano, image, monkeypatch):
    boxes_only = replace(nano.capabilities, points=False)
    monkeypatch.setattr(type(nano), "capabilities", boxes_only)
    with pytest.raises(CapabilityError, match="takes no clicks"):
        anysam.segment_everything(image, nano)


@needs_ultralytics
@pytest.mark.usefixtures("one_thread")
def test_everything_of_the_official_network(tmp_path):
    network = oracle_network()
    torch.save({"model": network, "ema": None}, tmp_path / "mine.pt")
    model = anysam.load_model(tmp_path / "mine.pt", device="cpu", precision="fp32")
    model.options = ProposalOptions(conf=0.5, iou=0.7)
    image = seeded_image(60, 200)
    (expected,) = oracle_predictor(network, conf=0.5, iou=0.7, retina_masks=True)(
        np.ascontiguousarray(image[..., ::-1])
    )
    masks = expected.masks.data.numpy() > 0
    smallest_last = sorted(range(len(masks)), key=lambda k: (-masks[k].sum(), -k))
    painted = np.zeros((60, 200), int)
    for number in smallest_last:
        painted[masks[number]] = number + 1
    labels = anysam.segment_everything(image, model)
    assert labels.max() > 10
    np.testing.assert_array_equal(labels, relabel_sequential(painted)[0])
