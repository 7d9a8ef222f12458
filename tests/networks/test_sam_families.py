"""SAM itself, and MedSAM, which is SAM's network with other pixels and boxes only."""

from functools import partial

import pytest
from conformance import Conformance

from napari_anysam.networks.preprocessing import MEDSAM
from napari_anysam.networks.protocol import Capabilities
from napari_anysam.networks.sam import build_sam
from napari_anysam.segmentation.prompts import Prompt
from tiny_sam import IMAGE_SIZE, tiny_sam

pytestmark = pytest.mark.usefixtures("one_thread")

LAYOUT = {name: tuple(tensor.shape) for name, tensor in tiny_sam().state_dict().items()}


class TestSam(Conformance):
    family, architecture, image_size = "sam", "sam/vit_48x4", IMAGE_SIZE
    build = build_sam
    layout = LAYOUT


class TestMedSam(TestSam):
    build = partial(
        build_sam, preprocessing=MEDSAM, capabilities=Capabilities(points=False, masks=False)
    )
    prompts = (Prompt(1, box=(3, 5, 55, 70)), Prompt(2, box=(30.5, 75, 80, 140)))
    test_a_file_loads = None  # only of a ViT-B can be said that it is MedSAM: test_medsam.py
