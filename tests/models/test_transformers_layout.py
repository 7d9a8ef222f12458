"""Names and shapes that transformers writes, against those of the official code.

What the networks answer is compared in tests/networks/test_transformers_files.py and
tests/tracking/test_transformers_tracking.py.
"""

import pytest
import torch
from hydra.utils import instantiate
from safetensors.torch import save_file
from segment_anything import sam_model_registry
from test_architecture import DropPathRatesOnCpu

from napari_anysam.errors import CheckpointError, UnknownArchitectureError
from napari_anysam.models.architecture import identify
from napari_anysam.models.checkpoint import read_checkpoint
from napari_anysam.models.transformers_layout import official_layout
from napari_anysam.networks.edge_tam import edge_tam_configuration
from napari_anysam.networks.sam2_build import official_configuration
from official_layouts import sam_hq_extras

SHARED = "prompt_encoder.shared_embedding.positional_embedding"
SHARED_IMAGE = "shared_image_embedding.positional_embedding"


@pytest.fixture
def transformers():
    return pytest.importorskip(
        "transformers", reason="transformers, which is in the extra 'test', is not installed"
    )


def shapes_of(tensors):
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def unallocated(build):
    """Build a network whose tensors hold no values, and return its state."""
    with torch.device("meta"), DropPathRatesOnCpu():
        return build().state_dict()


def empty(state):
    """Give every tensor one value, all over, so that copies of one are equal."""
    return {name: torch.zeros(()).expand(tensor.shape) for name, tensor in state.items()}


def sam_state(transformers, size, name="Sam"):
    width, depth, heads = size
    vision = getattr(transformers, f"{name}VisionConfig")(
        hidden_size=width,
        num_hidden_layers=depth,
        num_attention_heads=heads,
        global_attn_indexes=[depth * part // 4 - 1 for part in range(1, 5)],
    )
    further = {"mask_decoder_config": {"vit_dim": width}} if name == "SamHQ" else {}
    configuration = getattr(transformers, f"{name}Config")(vision_config=vision, **further)
    return empty(unallocated(lambda: getattr(transformers, f"{name}Model")(configuration)))


SIZES = {"vit_b": (768, 12, 12), "vit_l": (1024, 24, 16), "vit_h": (1280, 32, 16)}


@pytest.mark.parametrize("size", SIZES)
def test_sam(transformers, size):
    found = shapes_of(official_layout(sam_state(transformers, SIZES[size])))
    assert found == shapes_of(unallocated(lambda: sam_model_registry[size](checkpoint=None)))
    assert str(identify(found)) == f"sam/{size}"


@pytest.mark.parametrize("size", SIZES)
def test_sam_hq(transformers, size):
    found = shapes_of(official_layout(sam_state(transformers, SIZES[size], "SamHQ")))
    sam = shapes_of(unallocated(lambda: sam_model_registry[size](checkpoint=None)))
    assert found == {**sam, **sam_hq_extras(early=SIZES[size][0])}
    assert str(identify(found)) == f"sam_hq/{size}"


# convert_sam2_video_to_hf.py get_config
HIERA = {
    "tiny": {},
    "small": {"blocks_per_stage": [1, 2, 11, 2], "global_attention_blocks": [7, 10, 13]},
    "base_plus": {
        "hidden_size": 112,
        "embed_dim_per_stage": [112, 224, 448, 896],
        "num_attention_heads_per_stage": [2, 4, 8, 16],
        "blocks_per_stage": [2, 3, 16, 3],
        "global_attention_blocks": [12, 16, 20],
        "window_positional_embedding_background_size": [14, 14],
    },
    "large": {
        "hidden_size": 144,
        "embed_dim_per_stage": [144, 288, 576, 1152],
        "num_attention_heads_per_stage": [2, 4, 8, 16],
        "blocks_per_stage": [2, 6, 36, 4],
        "global_attention_blocks": [23, 33, 43],
        "window_positional_embedding_background_size": [7, 7],
        "window_size_per_stage": [8, 4, 16, 8],
    },
}


def sam2_state(transformers, version, size):
    backbone = transformers.Sam2HieraDetConfig(**HIERA[size])
    vision = transformers.Sam2VisionConfig(
        backbone_config=backbone, backbone_channel_list=backbone.embed_dim_per_stage[::-1]
    )
    configuration = transformers.Sam2VideoConfig(
        vision_config=vision,
        enable_temporal_pos_encoding_for_object_pointers=version == "2.1",
        enable_occlusion_spatial_embedding=version == "2.1",
    )
    return empty(unallocated(lambda: transformers.Sam2VideoModel(configuration)))


@pytest.mark.parametrize(("version", "size"), [("2", "tiny"), *(("2.1", size) for size in HIERA)])
def test_sam2(transformers, version, size):
    found = shapes_of(official_layout(sam2_state(transformers, version, size)))
    model = official_configuration(version, size).model
    assert found == shapes_of(unallocated(lambda: instantiate(model, _recursive_=True)))
    assert str(identify(found)) == f"sam{version}/{size.replace('_', '-')}"


def test_edge_tam(transformers):
    backbone = transformers.TimmWrapperConfig(
        architecture="repvit_m1",
        model_args={"in_chans": 3, "features_only": True, "out_indices": (0, 1, 2, 3)},
    )
    configuration = transformers.EdgeTamVideoConfig(
        vision_config=transformers.EdgeTamVisionConfig(backbone_config=backbone),
        enable_temporal_pos_encoding_for_object_pointers=False,
        enable_occlusion_spatial_embedding=False,
    )
    state = empty(unallocated(lambda: transformers.EdgeTamVideoModel(configuration)))
    found = shapes_of(official_layout(state))
    model = edge_tam_configuration().model
    assert found == shapes_of(unallocated(lambda: instantiate(model, _recursive_=True)))
    assert str(identify(found)) == "edge_tam/repvit_m1"


def small_sam(**changes):
    """Return a few tensors of transformers' SAM."""
    names = (
        "vision_encoder.patch_embed.projection.weight",
        "mask_decoder.iou_prediction_head.proj_in.weight",
        "mask_decoder.iou_prediction_head.layers.0.weight",
        "mask_decoder.iou_prediction_head.proj_out.weight",
        SHARED,
        SHARED_IMAGE,
    )
    return {name: torch.full((2,), float("proj" in name)) for name in names} | changes


class TestTensors:
    def test_of_another_layout_are_left_alone(self):
        tensors = {"image_encoder.neck.0.weight": torch.ones(1), SHARED: torch.ones(1)}
        assert official_layout(tensors) is tensors

    def test_that_no_table_holds_keep_their_names(self):
        assert "extra.weight" in official_layout(small_sam(**{"extra.weight": torch.ones(1)}))

    @pytest.mark.parametrize("left_out", [SHARED, SHARED_IMAGE, None])
    def test_that_are_kept_twice_become_one(self, left_out):
        tensors = small_sam()
        tensors.pop(left_out, None)
        found = official_layout(tensors)
        assert found["prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"].shape == (2,)
        assert len(found) == 5

    @pytest.mark.parametrize("other", [torch.ones(2), torch.zeros(3)], ids=["value", "shape"])
    def test_that_are_kept_twice_must_be_equal(self, other, tmp_path):
        save_file(small_sam(**{SHARED: other}), tmp_path / "a.safetensors")
        with pytest.raises(CheckpointError, match=rf"a\.safetensors .*{SHARED}.* differ here"):
            read_checkpoint(tmp_path / "a.safetensors")

    def test_of_points_are_split_in_their_order(self):
        points = torch.arange(8.0).reshape(4, 2)
        tensors = {
            "vision_encoder.backbone.patch_embed.projection.weight": torch.ones(1),
            "prompt_encoder.point_embed.weight": points,
        }
        found = official_layout(tensors)
        for place in range(4):
            split = found[f"sam_prompt_encoder.point_embeddings.{place}.weight"]
            assert torch.equal(split, points[place : place + 1])

    def test_of_keys_and_values_are_joined_in_their_order(self):
        start = "spatial_perceiver.layers.0.self_attention"
        tensors = {
            "vision_encoder.backbone.timm_model.stem.conv1.c.weight": torch.ones(1),
            f"{start}.v_proj.weight": torch.zeros(2, 2),
            f"{start}.k_proj.weight": torch.ones(2, 2),
        }
        joined = official_layout(tensors)["spatial_perceiver.layers.0.self_attn.to_kv.weight"]
        assert joined.tolist() == [[1, 1], [1, 1], [0, 0], [0, 0]]


class TestRefusals:
    """Of what transformers has beside, and of parts of a model."""

    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("detector_model.detr_encoder.layers.0.mlp.fc1.weight", "SAM 3"),
            ("tracker_model.mask_decoder.iou_token.weight", "SAM 3"),
            ("vision_encoder.backbone.layers.0.attention.q_proj.weight", "SAM 3"),
            ("backbone.blocks.0.layer_norm1.weight", "SAM 2 backbone"),
            ("blocks.0.layer_norm1.weight", "SAM 2 backbone"),
            ("base_model.model.mask_decoder.q_proj.lora_A.weight", "LoRA adapter"),
            ("vision_encoder.patch_embed.projection.weight", "an image encoder without"),
        ],
    )
    def test_name_what_it_is(self, name, words):
        with pytest.raises(UnknownArchitectureError, match=words):
            identify(shapes_of(official_layout({name: torch.ones(1)})))

    def test_the_index_of_a_file_in_parts(self, tmp_path):
        index = tmp_path / "model.safetensors.index.json"
        index.write_text('{"metadata": {"total_size": 9}, "weight_map": {"a": "model-1.bin"}}')
        with pytest.raises(CheckpointError, match=r"in several files.*max_shard_size"):
            read_checkpoint(index)
