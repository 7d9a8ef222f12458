import pytest
import torch
from hydra.utils import instantiate
from segment_anything import sam_model_registry
from torch.overrides import TorchFunctionMode

from napari_anysam.errors import UnknownArchitectureError
from napari_anysam.models.architecture import Architecture, identify
from napari_anysam.models.catalogue import catalogue
from napari_anysam.models.store import builtin_folder
from napari_anysam.networks.sam2_build import official_configuration, read_configuration
from official_layouts import yolo_v8_seg


def shapes_of(network):
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def sam_shapes(size):
    with torch.device("meta"):
        return shapes_of(sam_model_registry[size](checkpoint=None))


class DropPathRatesOnCpu(TorchFunctionMode):
    """Hiera reads the values of a linspace while it is built, which "meta" does not hold."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        where = {"device": "cpu"} if function is torch.linspace else {}
        return function(*args, **(kwargs or {}), **where)


def sam2_shapes(configuration):
    # Only the shapes are asked for: on "meta" nothing is allocated and nothing is drawn.
    with torch.device("meta"), DropPathRatesOnCpu():
        return shapes_of(instantiate(configuration.model, _recursive_=True))


@pytest.mark.parametrize("size", ["vit_b", "vit_l", "vit_h"])
def test_sam(size):
    assert str(identify(sam_shapes(size))) == f"sam/{size}"


def test_sam_med2d_has_adapters_in_addition():
    shapes = {**sam_shapes("vit_b"), "image_encoder.blocks.0.Adapter.norm.weight": (768,)}
    assert identify(shapes) == Architecture("sam_med2d", "vit_b")
    assert identify(shapes).family == "sam_med2d"


@pytest.mark.parametrize("version", ["2", "2.1"])
@pytest.mark.parametrize("size", ["tiny", "small", "base_plus", "large"])
def test_sam2(version, size):
    found = identify(sam2_shapes(official_configuration(version, size)))
    assert found == Architecture(f"sam{version}", size.replace("_", "-"))
    assert found.family == "sam2"


def test_the_shipped_model():
    configuration = read_configuration(builtin_folder() / "anysam-nano.yaml")
    assert str(identify(sam2_shapes(configuration))) == "anysam/nano"


@pytest.mark.parametrize("scale", ["n", "s", "x"])
def test_fast_sam(scale):
    found = identify(yolo_v8_seg(scale))
    assert (str(found), found.family) == (f"fast_sam/{scale}", "fast_sam")


def test_a_yolo_of_many_classes_is_not_fast_sam():
    with pytest.raises(UnknownArchitectureError, match=r"tells 80 classes apart.*choose FastSAM-s"):
        identify(yolo_v8_seg("s", classes=80))


def test_a_yolo_of_an_unknown_width_is_refused():
    shapes = {**yolo_v8_seg("s"), "0.conv.weight": (40, 3, 3, 3)}
    with pytest.raises(
        UnknownArchitectureError, match=r"begins with 40 channels.*choose FastSAM-s"
    ):
        identify(shapes)


def test_every_architecture_of_the_catalogue_can_be_found():
    known = {"anysam/nano"} | {f"sam/vit_{size}" for size in "blh"}
    known |= {f"sam_hq/vit_{size}" for size in ("tiny", "b", "l", "h")}
    known |= {"mobile_sam/vit_t", "medsam_lite/vit_t", "sam_med2d/vit_b"}
    known |= {"edge_sam/repvit_m1", "efficient_sam/vit_t", "efficient_sam/vit_s"}
    known |= {f"sam{v}/{s}" for v in ("2", "2.1") for s in ("tiny", "small", "base-plus", "large")}
    known |= {"edge_tam/repvit_m1", "fast_sam/s", "fast_sam/x"}
    assert {spec.architecture for spec in catalogue()} == known


def test_unrelated_tensors_are_counted_and_named():
    with pytest.raises(UnknownArchitectureError, match=r"2 tensors \(conv\.bias, conv\.weight"):
        identify({"conv.weight": (3, 3), "conv.bias": (3,)})


def test_an_unknown_size_of_sam2_is_described():
    shapes = sam2_shapes(official_configuration("2.1", "tiny"))
    shapes["image_encoder.trunk.patch_embed.proj.weight"] = (48, 3, 7, 7)
    with pytest.raises(UnknownArchitectureError, match="encoder of width 48, 12 blocks"):
        identify(shapes)


def test_sam_without_its_blocks_is_incomplete():
    shapes = {k: v for k, v in sam_shapes("vit_b").items() if ".blocks." not in k}
    with pytest.raises(UnknownArchitectureError, match="get the complete file"):
        identify(shapes)


@pytest.mark.parametrize(
    ("family", "tensor"),
    [
        ("SAM 3", "detector.backbone.weight"),
    ],
)
def test_a_relative_is_refused_by_its_name(family, tensor):
    with pytest.raises(UnknownArchitectureError, match=f"looks like a .*{family}"):
        identify({**sam_shapes("vit_b"), tensor: (1, 256)})
