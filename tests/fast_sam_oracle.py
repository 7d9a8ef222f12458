"""ultralytics' own FastSAM, with weights with which it proposes many different things."""

from importlib.util import find_spec

import numpy as np
import pytest
import torch

from napari_anysam.networks.fast_sam_build import import_ultralytics
from napari_anysam.networks.letterbox import Letterbox
from official_layouts import yolo_v8_seg
from seeded_weights import he_seeded_state, seeded_image

needs_ultralytics = pytest.mark.skipif(
    find_spec("ultralytics") is None,
    reason='ultralytics (AGPL-3.0) is not installed: pip install "napari-anysam[fastsam]"',
)


def oracle_network(scale="n"):
    """Return a SegmentationModel of ultralytics, ready to predict."""
    tasks = import_ultralytics("nn.tasks")
    configuration = tasks.yaml_model_load(f"yolov8{scale}-seg.yaml") | {"nc": 1}
    network = tasks.SegmentationModel(configuration, verbose=False)
    state = he_seeded_state(yolo_v8_seg(scale))
    state["22.dfl.conv.weight"] = torch.arange(16.0).reshape(1, 16, 1, 1)
    for level in range(3):  # confidences that float32 tells apart
        state[f"22.cv3.{level}.2.weight"] *= 0.2
        state[f"22.cv3.{level}.2.bias"] -= 0.5
    network.load_state_dict({f"model.{name}": tensor for name, tensor in state.items()})
    _normalise(network)
    return network.requires_grad_(False).eval()


def _normalise(network):
    """Let every layer see its input spread as a trained one would: else all proposals are alike."""
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    enlarged = Letterbox.fit((90, 150), 1024).pixels(seeded_image(90, 150))
    images = np.stack([seeded_image(256, 256), enlarged[200:456, 300:556]])
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        network.train()(pixels)
    for norm in norms:
        norm.momentum = 0.03


def oracle_predictor(network, **options):
    """Return the FastSAMPredictor of ultralytics, as its ``FastSAM(...)`` calls it."""
    fastsam = import_ultralytics("models.fastsam")
    overrides = {"imgsz": 1024, "rect": True, "mode": "predict", "save": False, "verbose": False}
    predictor = fastsam.FastSAMPredictor(
        overrides={**overrides, "device": "cpu", "channels_last": False, **options}
    )
    predictor.setup_model(network, verbose=False)
    return predictor
