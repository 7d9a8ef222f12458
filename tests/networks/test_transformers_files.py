"""Files that transformers saves, against the answers of transformers itself."""

import pytest
import torch

import napari_anysam as anysam
from napari_anysam import Prompt
from napari_anysam.networks.preprocessing import SAM
from seeded_weights import seeded_disc, seeded_state

transformers = pytest.importorskip(
    "transformers", reason="transformers, which is in the extra 'test', is not installed"
)

SIDE = 128
IMAGE = seeded_disc(SIDE, SIDE)
CLICK, BOX = Prompt(points=[(30, 60)]), Prompt(box=(10, 20, 60, 100))


def seeded(network):
    """Fill a network with weights that are a function of their names."""
    state = seeded_state({name: tuple(t.shape) for name, t in network.state_dict().items()})
    shared = "shared_image_embedding.positional_embedding"
    state["prompt_encoder.shared_embedding.positional_embedding"] = state[shared]
    network.load_state_dict(state)
    return network.eval()


def saved(network, folder):
    network.save_pretrained(folder)
    return folder / "model.safetensors"


def sam_configuration(name):
    """Return a small configuration of "Sam" or "SamHQ"."""
    part = {
        kind: getattr(transformers, f"{name}{kind}Config")
        for kind in ("Vision", "PromptEncoder", "MaskDecoder", "")
    }
    vision = part["Vision"](
        hidden_size=48, output_channels=32, num_hidden_layers=4, num_attention_heads=3,
        image_size=SIDE, window_size=3, global_attn_indexes=[1, 3], num_pos_feats=16, mlp_dim=96,
    )  # fmt: skip
    prompts = part["PromptEncoder"](hidden_size=32, image_size=SIDE, image_embedding_size=8)
    early = {"vit_dim": 48} if name == "SamHQ" else {}
    decoder = part["MaskDecoder"](hidden_size=32, mlp_dim=64, iou_head_hidden_dim=24, **early)
    return part[""](
        vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=decoder
    )


def asked(network, **arguments):
    """Ask for masks (K, h, w) and scores (K,) of one prompt in pixels of the network's square."""
    with torch.inference_mode():
        answer = network(pixel_values=SAM.pixels(IMAGE, SIDE, torch.device("cpu")), **arguments)
    return answer.pred_masks[0, 0], answer.iou_scores[0, 0]


def compare(model, prompt, expected):
    found = model.decode(model.encode(IMAGE), [prompt])
    for ours, theirs in zip((found.logits[0], found.scores[0]), expected, strict=True):
        assert theirs.numel() == 1 or theirs.std() > 0.01  # else anything would be near
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)


CLICKED = {"input_points": torch.tensor([[[[60.0, 30.0]]]]), "input_labels": torch.tensor([[[1]]])}
BOXED = {"input_boxes": torch.tensor([[[20.0, 10.0, 100.0, 60.0]]])}


@pytest.fixture(scope="module")
def network():
    return seeded(transformers.SamModel(sam_configuration("Sam")))


@pytest.fixture(scope="module")
def model(network, tmp_path_factory):
    return anysam.load_model(saved(network, tmp_path_factory.mktemp("sam")))


class TestSam:
    def test_a_click(self, model, network):
        compare(model, CLICK, asked(network, **CLICKED))

    def test_a_box(self, model, network):
        compare(model, BOX, asked(network, **BOXED, multimask_output=False))

    def test_a_state_dict_of_torch_gives_the_same(self, model, network, tmp_path):
        torch.save(network.state_dict(), tmp_path / "tuned.pth")
        again = anysam.load_model(tmp_path / "tuned.pth")
        features = (each.encode(IMAGE).tensors["features"] for each in (model, again))
        assert torch.equal(*features)


def decode_what_the_transformer_found(decoder):
    """Let transformers' SAM-HQ enlarge its transformer's answer, as the official decoder does.

    Release 5.23 enlarges the image's features from before the transformer
    (``modeling_sam_hq.py``, ``SamHQMaskDecoder.forward``), which changes every mask.
    """
    found = []
    decoder.transformer.register_forward_hook(lambda *call: found.append(call[-1][1]))
    decoder.upscale_conv1.register_forward_pre_hook(
        lambda _, inputs: found.pop()[:, 0].transpose(1, 2).reshape_as(inputs[0])
    )


def test_sam_hq(tmp_path):
    network = seeded(transformers.SamHQModel(sam_configuration("SamHQ")))
    decode_what_the_transformer_found(network.mask_decoder)
    model = anysam.load_model(saved(network, tmp_path))
    assert model.family == "sam_hq"
    compare(model, BOX, asked(network, **BOXED, multimask_output=False))
