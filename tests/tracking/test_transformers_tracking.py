"""SAM 2.1 tiny and EdgeTAM as transformers saves them, against the answers of transformers itself.

At 256 pixels, on which the shapes of the tensors do not depend.
"""

import numpy as np
import pytest
import torch
from comparison import AS_IT_IS, noting_answers

import napari_anysam as anysam
from napari_anysam import Prompt
from napari_anysam.errors import UnknownArchitectureError
from napari_anysam.images.planes import Planes
from napari_anysam.models.checkpoint import read_checkpoint
from napari_anysam.networks.edge_tam import build_edge_tam, edge_tam_configuration
from napari_anysam.networks.sam2 import build_sam2
from napari_anysam.networks.sam2_build import official_configuration, resized_configuration
from napari_anysam.segmentation.tracking import Tracker
from seeded_weights import he_seeded_state, seeded_disc

transformers = pytest.importorskip(
    "transformers", reason="transformers, which is in the extra 'test', is not installed"
)

SIDE, PLANES = 256, 4
GRIDS = [[SIDE // stride] * 2 for stride in (4, 8, 16)]
CLICK, BOX = Prompt(points=[(100, 150)], plane=0), Prompt(box=(60, 80, 150, 220))
CLICKED = {
    "input_points": torch.tensor([[[[150.0, 100.0]]]]),
    "input_labels": torch.tensor([[[1]]]),
}
BOXED = {"input_boxes": torch.tensor([[[80.0, 60.0, 220.0, 150.0]]])}


def seeded(network):
    """Fill a network with weights that are a function of their names; the object is there."""
    state = he_seeded_state(network.state_dict(), gain=0.5)
    shared = "shared_image_embedding.positional_embedding"
    state["prompt_encoder.shared_embedding.positional_embedding"] = state[shared]
    state["mask_decoder.pred_obj_score_head.proj_out.bias"].fill_(10.0)
    network.load_state_dict(state)
    return network.eval()


def video_configuration(name, vision, **settings):
    prompts = getattr(transformers, f"{name}VideoPromptEncoderConfig")(image_size=SIDE)
    return getattr(transformers, f"{name}VideoConfig")(
        vision_config=vision,
        prompt_encoder_config=prompts,
        image_size=SIDE,
        memory_attention_rope_feat_sizes=GRIDS[-1],
        **settings,
    )


def hiera():
    backbone = transformers.Sam2HieraDetConfig(image_size=[SIDE, SIDE])
    return transformers.Sam2VisionConfig(backbone_config=backbone, backbone_feature_sizes=GRIDS)


class Sam2:
    family = "sam2"

    def network(self):
        return transformers.Sam2VideoModel(video_configuration("Sam2", hiera()))

    def model(self, tensors):
        configuration = resized_configuration(official_configuration("2.1", "tiny"), SIDE)
        return build_sam2(tensors, configuration, name="small", key="k")


class EdgeTam:
    family = "edge_tam"

    def network(self):
        backbone = transformers.TimmWrapperConfig(
            architecture="repvit_m1",
            model_args={"in_chans": 3, "features_only": True, "out_indices": (0, 1, 2, 3)},
        )
        vision = transformers.EdgeTamVisionConfig(
            backbone_config=backbone, backbone_feature_sizes=GRIDS
        )
        # convert_edgetam_video_to_hf.py: the published one is like SAM 2, not 2.1.
        configuration = video_configuration(
            "EdgeTam",
            vision,
            enable_temporal_pos_encoding_for_object_pointers=False,
            enable_occlusion_spatial_embedding=False,
        )
        return transformers.EdgeTamVideoModel(configuration)

    def model(self, tensors):
        return build_edge_tam(tensors, edge_tam_configuration(SIDE), name="small", key="k")


@pytest.fixture(scope="module", params=[Sam2(), EdgeTam()], ids=lambda kind: kind.family)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def network(kind):
    return seeded(kind.network())


@pytest.fixture(scope="module")
def file(network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    network.save_pretrained(folder)
    return folder / "model.safetensors"


@pytest.fixture(scope="module")
def model(kind, file):
    return kind.model(read_checkpoint(file).tensors)


@pytest.fixture(scope="module")
def stack():
    """A disc and stripes that move to the right, uint8 (N, 256, 256, 3)."""
    image = seeded_disc(SIDE, SIDE)
    return np.stack([np.roll(image, 6 * number, axis=1) for number in range(PLANES)])


def session_of(network, pixels):
    """Return transformers' session of a film (N, 3, H, W) with one click on its first plane."""
    kind = type(network).__name__.replace("Model", "InferenceSession")
    module = getattr(transformers.models, network.config.model_type)
    session_type = getattr(getattr(module, f"modeling_{network.config.model_type}"), kind)
    session = session_type(pixels, video_height=SIDE, video_width=SIDE, dtype=torch.float32)
    clicked = {"point_coords": CLICKED["input_points"], "point_labels": CLICKED["input_labels"]}
    session.add_point_inputs(session.obj_id_to_idx(1), 0, clicked)
    session.obj_with_new_inputs = [1]
    return session


def test_following_an_object_through_planes(model, network, stack):
    session = session_of(network, torch.cat([model._input(plane) for plane in stack]))
    with torch.inference_mode():
        expected = [network(session, frame_idx=plane).pred_masks for plane in range(PLANES)]
    order = list(range(1, PLANES))
    tracker = Tracker(model, Planes(stack, channel_axis=3), AS_IT_IS, region="plane")
    with noting_answers(model, order) as noted:
        list(tracker.run([CLICK], direction="forward"))
    for plane in order:
        assert (expected[plane] - expected[0]).abs().max() > 0.1  # the memory has a say
        torch.testing.assert_close(noted[plane], expected[plane], rtol=0, atol=1e-4)


@pytest.mark.filterwarnings("ignore:Nothing tells whether:UserWarning")
def test_the_whole_way_from_the_file(kind, file):
    model = anysam.load_model(file, precision="fp32")
    assert (model.family, model.name) == (kind.family, "model")
    assert model.capabilities.tracking


class TestWithoutMemory:
    """transformers' Sam2Model, which answers on images only."""

    @pytest.fixture
    def images(self):
        prompts = transformers.Sam2PromptEncoderConfig(image_size=SIDE)
        return transformers.Sam2Model(
            transformers.Sam2Config(prompt_encoder_config=prompts, vision_config=hiera())
        ).eval()

    @pytest.mark.parametrize(
        ("prompt", "arguments"),
        [(CLICK, CLICKED), (BOX, {**BOXED, "multimask_output": False})],
        ids=["click", "box"],
    )
    @pytest.mark.parametrize("kind", [Sam2()], ids=["sam2"], indirect=True)
    def test_images_are_answered_alike(self, model, network, images, stack, prompt, arguments):
        state = network.state_dict()
        images.load_state_dict({name: state[name] for name in images.state_dict()})
        with torch.inference_mode():
            expected = images(pixel_values=model._input(stack[0]), **arguments)
        found = model.decode(model.encode(stack[0]), [prompt])
        assert expected.pred_masks.std() > 0.1  # else anything would be near
        torch.testing.assert_close(found.logits, expected.pred_masks[0], rtol=0, atol=1e-4)
        torch.testing.assert_close(found.scores, expected.iou_scores[0], rtol=0, atol=1e-4)

    def test_its_file_is_refused_by_name(self, images, tmp_path):
        seeded(images).save_pretrained(tmp_path)
        with pytest.raises(UnknownArchitectureError, match=r"without a memory.*Sam2VideoModel"):
            anysam.load_model(tmp_path / "model.safetensors")
