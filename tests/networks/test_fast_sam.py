"""FastSAM. The official answers come from ultralytics, with random weights in its own file layout.

Without ultralytics (it is an extra) the tests that need its network are skipped; reading its files,
telling what they hold and picking among proposals are tested all the same.
"""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from conformance import CPU, SHAPE, Conformance
from torchvision.ops import box_iou

import napari_anysam as anysam
from fast_sam_oracle import needs_ultralytics, oracle_network, oracle_predictor
from napari_anysam.errors import CapabilityError, SettingsError
from napari_anysam.models.architecture import identify
from napari_anysam.networks.fast_sam import FastSamModel, build_fast_sam
from napari_anysam.networks.fast_sam_prompts import pick
from napari_anysam.networks.letterbox import Letterbox
from napari_anysam.networks.proposals import Proposals, most_confident
from napari_anysam.networks.protocol import Embedding, ProposalOptions, ProposingModel
from napari_anysam.segmentation.prompts import Prompt
from official_layouts import yolo_v8_seg
from pickled_networks import network_of, save_as_ultralytics
from seeded_weights import he_seeded_state, seeded_image

pytestmark = pytest.mark.usefixtures("one_thread")  # as the official numbers are made

OPTIONS = ProposalOptions(conf=0.5, iou=0.7)


def build(state, options=OPTIONS, precision="fp32"):
    return build_fast_sam(
        state, name="tiny", key="weights", device=CPU, precision=precision, options=options
    )


class TestMissingPackage:
    """ultralytics is not installed by default."""

    @pytest.fixture
    def missing(self, monkeypatch):
        for name in ("ultralytics", "ultralytics.nn.tasks"):
            monkeypatch.setitem(sys.modules, name, None)

    def test_a_file_says_what_to_install_and_under_which_licence(self, missing, tmp_path):
        state = he_seeded_state(yolo_v8_seg("n"))
        save_as_ultralytics(tmp_path / "mine.pt", network_of(state))
        with pytest.raises(CapabilityError, match=r"licence AGPL-3\.0") as error:
            anysam.load_model(tmp_path / "mine.pt", device="cpu")
        assert 'pip install "napari-anysam[fastsam]"' in str(error.value)

    def test_a_file_is_identified_all_the_same(self, missing):
        assert str(identify(yolo_v8_seg("s"))) == "fast_sam/s"


class TestOptions:
    def test_defaults_are_those_of_the_official_program(self):
        assert ProposalOptions() == ProposalOptions(conf=0.4, iou=0.9, retina_masks=True)

    @pytest.mark.parametrize(("name", "value"), [("conf", 1.1), ("iou", -0.1), ("conf", np.nan)])
    def test_what_is_no_fraction_is_refused(self, name, value):
        with pytest.raises(SettingsError, match=rf"{name} is .*from 0 to 1"):
            ProposalOptions(**{name: value})

    def test_the_settings_give_the_defaults(self, monkeypatch, tmp_path):
        from napari_anysam.networks.load import _proposal_options

        monkeypatch.setenv("ANYSAM_CONFIG", str(tmp_path))
        assert _proposal_options() == ProposalOptions()
        monkeypatch.setenv("ANYSAM_FASTSAM_CONF", "0.25")
        monkeypatch.setenv("ANYSAM_FASTSAM_RETINA_MASKS", "false")
        assert _proposal_options() == ProposalOptions(conf=0.25, retina_masks=False)
        monkeypatch.setenv("ANYSAM_FASTSAM_IOU", "7")
        with pytest.raises(SettingsError, match="fastsam_iou"):
            _proposal_options()


class TestLetterbox:
    @pytest.mark.parametrize(
        ("shape", "content", "padding"),
        [
            ((1024, 1024), (1024, 1024), ((0, 0), (0, 0))),
            ((512, 256), (1024, 512), ((0, 0), (0, 0))),
            ((90, 150), (614, 1024), ((13, 13), (0, 0))),
            ((1, 3000), (1, 1024), ((15, 16), (0, 0))),
            ((3000, 1001), (1024, 342), ((0, 0), (5, 5))),
        ],
    )
    def test_the_longest_side_fits_and_the_other_is_padded(self, shape, content, padding):
        found = Letterbox.fit(shape, 1024)
        assert (found.content, found.padding) == (content, padding)
        assert all(length % 32 == 0 for length in found.input_shape)

    def test_boxes_come_back_and_are_clipped(self):
        letterbox = Letterbox.fit((90, 150), 1024)
        top = letterbox.padding[0][0]
        rows, columns = letterbox.scale
        boxes = torch.tensor([[30 * columns, top + 10 * rows, 60 * columns, top + 50 * rows]])
        torch.testing.assert_close(letterbox.image_boxes(boxes), torch.tensor([[30.0, 10, 60, 50]]))
        outside = torch.tensor([[-9.0, -9.0, 2000.0, 2000.0]])
        assert letterbox.image_boxes(outside).tolist() == [[0, 0, 150, 90]]


class TestMostConfident:
    # x, y, width, height, confidence, one coefficient
    PLACES = torch.tensor(
        [
            [10.0, 10, 8, 8, 0.6, 1],
            [11, 10, 8, 8, 0.9, 2],
            [40, 40, 8, 8, 0.3, 3],
            [60, 9, 2, 4, 0.7, 4],
        ]
    ).T

    def test_the_most_confident_first_and_without_its_like(self):
        found = most_confident(self.PLACES, conf=0.4, iou=0.5)
        assert found["coefficients"].tolist() == [[[2], [4]]]
        assert found["boxes"].tolist() == [[[7, 6, 15, 14], [59, 7, 61, 11]]]
        torch.testing.assert_close(found["scores"], torch.tensor([[0.9, 0.7]]))

    def test_boxes_that_overlap_less_than_asked_both_stay(self):
        assert most_confident(self.PLACES, conf=0.4, iou=0.9)["scores"].shape == (1, 3)

    def test_less_confidence_lets_more_through(self):
        assert most_confident(self.PLACES, conf=0.2, iou=0.5)["scores"].shape == (1, 3)
        assert most_confident(self.PLACES, conf=0.95, iou=0.5)["scores"].shape == (1, 0)


WHOLE = (64, 96)
AREAS = ((8, 8, 24, 24), (12, 12, 20, 20), (40, 60, 56, 84), (8, 8, 56, 84))
CONFIDENCES = (0.9, 0.8, 0.7, 0.6)


def drawn(area):
    mask = np.zeros(WHOLE, bool)
    mask[area[0] : area[2], area[1] : area[3]] = True
    return mask


@pytest.fixture(params=[True, False], ids=["native", "quick"])
def proposals(request):
    """Return a nested pair, one apart from it, and one around all, as the network gives them."""
    letterbox = Letterbox.fit(WHOLE, 96)
    prototypes = torch.stack([torch.from_numpy(drawn(a)[::4, ::4]) for a in AREAS]) * 20.0 - 10
    boxes = torch.tensor([[x0, y0, x1, y1] for y0, x0, y1, x1 in AREAS]).float()
    scores = torch.tensor(CONFIDENCES)
    return Proposals(boxes, scores, torch.eye(4), prototypes, letterbox, request.param)


class TestPicking:
    def picked(self, proposals, multimask=None, **prompt):
        return [group.tolist() for group in pick(proposals, Prompt(**prompt), multimask)]

    def test_masks_are_what_was_drawn(self, proposals):
        found = proposals.masks(torch.arange(4)).numpy()
        assert all(
            (one == drawn(area)).mean() > 0.97 for one, area in zip(found, AREAS, strict=True)
        )

    def test_a_click_gives_up_to_three_candidates_the_most_confident_first(self, proposals):
        assert self.picked(proposals, points=[(15, 15)]) == [[0], [1], [3]]
        assert self.picked(proposals, points=[(48, 70)]) == [[2], [3]]

    def test_a_click_that_shall_have_one_answer_gets_all_together(self, proposals):
        assert self.picked(proposals, False, points=[(48, 70)]) == [[2, 3]]

    def test_several_clicks_join_what_they_hit(self, proposals):
        clicks = {"points": [(15, 15), (48, 70), (30, 40)], "polarity": [True, True, False]}
        assert self.picked(proposals, **clicks) == [[0, 1, 2]]

    def test_a_click_beside_takes_away(self, proposals):
        clicks = {"points": [(10, 10), (15, 15)], "polarity": [True, False]}
        assert self.picked(proposals, **clicks) == []
        clicks = {"points": [(15, 15), (10, 10)], "polarity": [True, False]}
        assert self.picked(proposals, **clicks) == [[1]]

    def test_a_click_where_nothing_is_gives_nothing(self, proposals):
        assert self.picked(proposals, points=[(2, 2)]) == []

    def test_clicks_beside_alone_give_nothing(self, proposals):
        assert self.picked(proposals, points=[(2, 2)], polarity=[False]) == []

    @pytest.mark.parametrize("corner", [(-0.5, -0.5), (63.5, 95.5)])
    def test_the_edge_of_the_image_can_be_clicked(self, proposals, corner):
        assert self.picked(proposals, points=[corner]) == []

    @pytest.mark.parametrize(
        ("box", "number"), [((7, 7, 25, 25), 0), ((13, 13, 19, 19), 1), ((0, 0, 64, 96), 3)]
    )
    def test_a_box_gives_the_mask_of_highest_iou(self, proposals, box, number):
        assert self.picked(proposals, box=box) == [[number]]

    def test_a_box_beside_everything_gives_nothing(self, proposals):
        assert self.picked(proposals, box=(0, 90, 4, 96)) == []

    def test_a_box_may_have_several_candidates(self, proposals):
        assert self.picked(proposals, True, box=(8, 8, 24, 24)) == [[0], [1], [3]]

    def test_clicks_say_what_a_box_picks_from(self, proposals):
        on = {"box": (7, 7, 25, 25), "points": [(10, 10)], "polarity": [False]}
        assert self.picked(proposals, **on) == [[1]]
        beside = {"box": (7, 7, 25, 25), "points": [(48, 70)], "polarity": [True]}
        assert self.picked(proposals, **beside) == [[3]]

    def test_no_proposal_at_all(self, proposals):
        nothing = Proposals(
            torch.empty(0, 4),
            torch.empty(0),
            torch.empty(0, 4),
            proposals.prototypes,
            proposals.letterbox,
            proposals.native,
        )
        assert self.picked(nothing, points=[(15, 15)]) == []
        assert self.picked(nothing, box=(8, 8, 24, 24)) == []


class TestAnswers:
    """What a model makes of proposals, whatever network gave them."""

    @pytest.fixture
    def model(self, proposals):
        model = FastSamModel(
            None,
            name="tiny",
            key="weights",
            device=CPU,
            precision="fp32",
            options=ProposalOptions(retina_masks=proposals.native),
        )
        model.image_size = 96
        return model

    @pytest.fixture
    def embedding(self, model, proposals):
        names = ("boxes", "scores", "coefficients", "prototypes")
        tensors = {name: getattr(proposals, name)[None] for name in names}
        return Embedding(tensors, WHOLE, model.key)

    def test_scores_are_confidences(self, model, embedding):
        masks = model.decode(embedding, [Prompt(1, points=[(15, 15)]), Prompt(2, box=AREAS[2])])
        np.testing.assert_allclose(masks.scores, [[0.9, 0.8, 0.6], [0.7, 0.7, 0.7]])

    def test_joined_proposals_are_as_sure_as_the_surest(self, model, embedding):
        prompt = Prompt(points=[(15, 15), (48, 70), (30, 40)], polarity=[True, True, False])
        masks = model.decode(embedding, [prompt])
        np.testing.assert_allclose(masks.scores, [[0.9]])
        found = model.upscale(masks.logits, WHOLE)[0, 0].numpy() > 0
        assert (found == drawn(AREAS[0]) | drawn(AREAS[2])).mean() > 0.97

    def test_where_nothing_fits_the_mask_is_empty_and_its_score_0(self, model, embedding):
        masks = model.decode(embedding, [Prompt(1, points=[(2, 2)]), Prompt(2, box=AREAS[2])])
        assert (masks.logits[0] < 0).all()
        assert masks.scores[0].tolist() == [0]
        assert (model.upscale(masks.logits, WHOLE)[0] < 0).all()
        assert (masks.logits[1] > 0).any()

    def test_everything_is_every_proposal(self, model, embedding):
        (masks,) = model.everything(embedding)
        assert masks.logits.shape[:2] == (4, 1)
        np.testing.assert_allclose(masks.scores[:, 0], CONFIDENCES)

    def test_masks_and_refinement_are_refused(self, model, embedding):
        with pytest.raises(CapabilityError, match="points and boxes but no masks"):
            model.decode(embedding, [Prompt(mask=drawn(AREAS[0]))])
        previous = torch.zeros(1, 1, *WHOLE)
        with pytest.raises(CapabilityError, match="no masks"):
            model.decode(embedding, [Prompt(points=[(15, 15)])], previous_logits=previous)

    def test_options_that_change_proposals_change_the_key(self, model, embedding):
        model.options = ProposalOptions(conf=0.2, retina_masks=model.options.retina_masks)
        with pytest.raises(CapabilityError, match="encode the image again"):
            model.decode(embedding, [Prompt(points=[(15, 15)])])

    def test_options_that_only_draw_differently_do_not(self, model, embedding):
        model.options = ProposalOptions(retina_masks=not model.options.retina_masks)
        assert len(model.decode(embedding, [Prompt(points=[(15, 15)])]).scores) == 1


@pytest.fixture(scope="module")
def network():
    return oracle_network()


@pytest.fixture(scope="module")
def state(network):
    return {name.removeprefix("model."): one for name, one in network.state_dict().items()}


@needs_ultralytics
class TestOfficialAnswers:
    @pytest.fixture(scope="class", params=[True, False], ids=["retina", "quick"])
    @classmethod
    def options(cls, request):
        return ProposalOptions(conf=0.5, iou=0.7, retina_masks=request.param)

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls, state, options):
        return build(state, options)

    @pytest.fixture(scope="class")
    @classmethod
    def predictor(cls, network, options):
        kept = {"conf": options.conf, "iou": options.iou, "retina_masks": options.retina_masks}
        return oracle_predictor(network, **kept)

    def official(self, predictor, image, **prompts):
        predictor.set_prompts(prompts)
        (result,) = predictor(np.ascontiguousarray(image[..., ::-1]))  # BGR
        return result

    def found(self, model, image):
        masks = list(model.everything(model.encode(image)))
        assert {one.scores.shape[1] for one in masks} == {1}
        return torch.cat([m.logits[:, 0] for m in masks]), torch.cat(
            [m.scores[:, 0] for m in masks]
        )

    @pytest.mark.parametrize("shape", [(60, 200), (210, 77), (1030, 300)])
    def test_everything(self, model, predictor, shape):
        image = seeded_image(*shape)
        expected = self.official(predictor, image)
        logits, scores = self.found(model, image)
        torch.testing.assert_close(scores, expected.boxes.conf, rtol=0, atol=1e-4)
        assert 50 < len(scores) <= 300
        assert logits.shape == expected.masks.data.shape
        differing = (logits > 0) != expected.masks.data.bool()
        assert (logits[differing].abs() < 1e-4).all()
        areas = (logits > 0).flatten(1).sum(1).float()
        assert areas.std() > 0.3 * areas.mean()  # random weights, but not always the same mask

    @pytest.mark.parametrize("box", [(3, 5, 55, 70), (20, 75, 58, 140), (0, 0, 60, 200)])
    def test_box(self, model, predictor, box):
        image = seeded_image(60, 200)
        y0, x0, y1, x1 = box
        expected = self.official(predictor, image, bboxes=[[x0, y0, x1, y1]])
        masks = model.decode(model.encode(image), [Prompt(box=box)])
        assert torch.equal(masks.logits[:, 0] > 0, expected.masks.data.bool())
        torch.testing.assert_close(masks.scores[0], expected.boxes.conf, rtol=0, atol=1e-4)

    @pytest.mark.parametrize(
        ("points", "polarity"),
        [
            ([(20, 30)], [True]),
            ([(20, 30), (50, 120)], [True, True]),
            ([(20, 30), (10, 5), (45, 75)], [True, True, False]),
        ],
    )
    def test_points(self, model, predictor, points, polarity):
        image = seeded_image(60, 200)
        clicks = {"points": [(x, y) for y, x in points], "labels": [int(one) for one in polarity]}
        expected = self.official(predictor, image, **clicks)
        assert len(expected) > 1
        prompt = Prompt(points=points, polarity=polarity)
        masks = model.decode(model.encode(image), [prompt], multimask=False)
        assert torch.equal(masks.logits[0, 0] > 0, expected.masks.data.bool().any(0))
        torch.testing.assert_close(masks.scores[0, 0], expected.boxes.conf.max(), rtol=0, atol=1e-4)


@needs_ultralytics
class TestFastSam(Conformance):
    family, architecture, image_size = "fast_sam", "fast_sam/n", 1024
    build = build_fast_sam
    layout = yolo_v8_seg("n")
    reshaped, extra = "15.cv1.conv.weight", "15.extra"

    @pytest.fixture(scope="class")
    @classmethod
    def tensors(cls, state):
        return state

    def test_proposes(self, model):
        assert isinstance(model, ProposingModel)

    def test_the_official_layout_is_the_networks(self, network):
        shapes = {name: tuple(one.shape) for name, one in network.state_dict().items()}
        assert {f"model.{name}": shape for name, shape in self.layout.items()} == shapes

    @pytest.mark.parametrize("averaged", [True, False])
    def test_a_file_of_ultralytics_loads(self, network, tmp_path, averaged):
        from copy import deepcopy

        halved = deepcopy(network).half()
        kept = {"model": None, "ema": halved} if averaged else {"model": halved, "ema": None}
        torch.save({"epoch": -1, **kept, "train_args": {"imgsz": 1024}}, tmp_path / "FastSAM-n.pt")
        model = anysam.load_model(tmp_path / "FastSAM-n.pt", device="cpu", precision="fp32")
        assert (model.name, model.family) == ("FastSAM-n", "fast_sam")
        image = seeded_image(40, 160)
        predictor = oracle_predictor(halved.float(), conf=0.4, iou=0.9, retina_masks=True)
        (expected,) = predictor(np.ascontiguousarray(image[..., ::-1]))
        scores = torch.cat([one.scores[:, 0] for one in model.everything(model.encode(image))])
        torch.testing.assert_close(scores, expected.boxes.conf, rtol=0, atol=1e-4)

    @pytest.mark.parametrize(("precision", "within"), [("bf16", 0.8), ("fp16", 0.95)])
    def test_half_precision_is_near_fp32(self, tensors, embedding, precision, within):
        """Its last layer stays in fp32: rounded anchors would move boxes by pixels."""
        rough = self.built(tensors, precision).encode(seeded_image(*SHAPE)).tensors
        exact = embedding.tensors
        assert not torch.equal(rough["scores"][:, :20], exact["scores"][:, :20])
        overlaps = box_iou(exact["boxes"][0, :40], rough["boxes"][0]).amax(1)
        assert overlaps.median() > within

    # Its embedding is in fp32, and it has no decoder: proposals are picked for one after the other.
    test_an_embedding_in_half_precision_is_saved_as_it_is = None
    test_a_batch_that_does_not_fit_is_halved = None
    test_what_fits_nowhere_is_one_clear_error = None
    # ultralytics' fused layers hold themselves, so they go with the next collection of garbage.
    test_a_network_that_is_let_go_is_freed_at_once = None


@needs_ultralytics
def test_importing_ultralytics_leaves_nothing_behind(tmp_path):
    """No look-up of a host, no file in the user's folder, no word on stdout, no variable."""
    code = (
        "import os, socket, torch\n"
        "asked = []\n"
        "socket.getaddrinfo = lambda *a, **k: asked.append(a) or []\n"
        "socket.socket.connect = lambda *a: asked.append(a)\n"
        "before, save = dict(os.environ), torch.save\n"
        "from napari_anysam.networks.fast_sam_build import import_ultralytics\n"
        "import_ultralytics('nn.tasks')\n"
        "from ultralytics.utils import ONLINE\n"
        "assert (asked, ONLINE) == ([], False), asked\n"
        "assert dict(os.environ) == before\n"
        "assert torch.save is save\n"
    )
    home = {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path), "XDG_CONFIG_HOME": ""}
    environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"} | home
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert list(tmp_path.rglob("*")) == []
