"""OME-Zarr: pyramids that zarr and ome-zarr read, alone and inside an image."""

from __future__ import annotations

from itertools import pairwise

import dask.array as da
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from label_scenes import plane, stack

from napari_anysam import export_labels
from napari_anysam.errors import LabelFileError
from napari_anysam.export import ome_zarr
from napari_anysam.export.colours import colour_of
from napari_anysam.images.files import read_image

IDS = [3, 7, 9, 70000]


def metadata(path):
    attributes = dict(zarr.open_group(path, mode="r").attrs)
    return attributes.get("ome", attributes)


@pytest.mark.parametrize("labels", [plane(), stack()], ids=["2D", "3D"])
def test_labels_come_back(tmp_path, kind, labels):
    path = export_labels(kind(labels), tmp_path / "labels.zarr")
    np.testing.assert_array_equal(read_image(path).array[...], labels)
    assert read_image(path).axes == "ZYX"[-labels.ndim :]


@pytest.mark.parametrize("axes", ["TYX", "CYX", "ZYX"])
def test_axes_scales_and_units_are_told(tmp_path, axes):
    path = export_labels(
        stack(), tmp_path / "a.zarr", axes=axes, scale=(3, 0.5, 0.25), units="nanometer"
    )
    (multiscale,) = metadata(path)["multiscales"]
    assert [axis["name"] for axis in multiscale["axes"]] == list(axes.lower())
    assert multiscale["axes"][1] == {"name": "y", "type": "space", "unit": "nanometer"}
    assert multiscale["datasets"][0]["coordinateTransformations"] == [
        {"type": "scale", "scale": [3, 0.5, 0.25]}
    ]


def test_labels_have_colours_and_properties(tmp_path):
    path = export_labels(
        plane(),
        tmp_path / "a.zarr",
        object_classes={3: "ring", 7: "edge"},
        object_scores={3: 0.5},
        object_models={9: "sam"},
    )
    label = metadata(path)["image-label"]
    assert label["properties"] == [
        {"label-value": 3, "name": "ring", "score": 0.5},
        {"label-value": 7, "name": "edge"},
        {"label-value": 9, "name": "object", "model": "sam"},
        {"label-value": 70000, "name": "object"},
    ]
    assert label["colors"][0] == {"label-value": 3, "rgba": [*colour_of(3), 255]}
    assert [colour["label-value"] for colour in label["colors"]] == IDS


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(ome_zarr, "CHUNK", 8)
    monkeypatch.setattr(ome_zarr, "_BLOCK", 32)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("labels", [plane()[:37], stack()[..., :41]], ids=["2D", "3D"])
def test_every_level_holds_every_second_pixel_of_the_one_before(tmp_path, kind, labels):
    path = export_labels(kind(labels), tmp_path / "a.zarr")
    group = zarr.open_group(path, mode="r")
    levels = [group[one["path"]][...] for one in metadata(path)["multiscales"][0]["datasets"]]
    assert max(levels[-1].shape[-2:]) <= 8
    assert len(levels) == 4
    for larger, smaller in pairwise(levels):
        np.testing.assert_array_equal(smaller, larger[..., ::2, ::2])
    scales = [
        one["coordinateTransformations"][0]["scale"][-1]
        for one in metadata(path)["multiscales"][0]["datasets"]
    ]
    assert scales == [1, 2, 4, 8]


@pytest.mark.usefixtures("small_chunks")
@given(height=st.integers(1, 70), width=st.integers(1, 70))
@settings(deadline=None, max_examples=20)
def test_any_size_comes_back(tmp_path_factory, height, width):
    labels = np.arange(height * width).reshape(height, width)
    path = export_labels(labels, tmp_path_factory.mktemp("sizes") / "a.zarr")
    np.testing.assert_array_equal(read_image(path).array[...], labels)
    assert max(read_image(path, level=0).array.shape) == max(height, width)


def test_a_plane_larger_than_memory_is_read_in_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(ome_zarr, "_BLOCK", 1024)
    largest = []

    def block(block_id):
        return np.full((512, 512), block_id[0] * 10 + block_id[1], np.uint16)

    labels = da.map_blocks(block, chunks=((512,) * 4, (512,) * 6), dtype=np.uint16)
    read = da.Array.__array__

    def spy(array, *args, **kwargs):
        largest.append(array.size)
        return read(array, *args, **kwargs)

    monkeypatch.setattr(da.Array, "__array__", spy)
    path = export_labels(labels, tmp_path / "a.zarr")
    assert max(largest) <= 4096 * 4096
    assert zarr.open_group(path, mode="r")["2"][200, 300] == 12


def make_image(path, version, shape=(2, 5, 40, 50), axes="czyx", consolidated=False):
    """Write an OME-Zarr image as other programs do."""
    zarr_format = 2 if version == "0.4" else 3
    group = zarr.create_group(path, zarr_format=zarr_format)
    encoding = {"name": "v2" if version == "0.4" else "default", "separator": "/"}
    group.create_array("s0", shape=shape, dtype="u1", chunk_key_encoding=encoding)
    scale = [1, 2, 0.5, 0.25]
    multiscale = {
        "axes": [
            {"name": name, "type": "channel"}
            if name == "c"
            else {"name": name, "type": "space", "unit": "micrometer"}
            for name in axes
        ],
        "datasets": [
            {"path": "s0", "coordinateTransformations": [{"type": "scale", "scale": scale}]}
        ],
    }
    if version == "0.4":
        group.attrs["multiscales"] = [{**multiscale, "version": version}]
    else:
        group.attrs["ome"] = {"version": version, "multiscales": [multiscale]}
    if consolidated:
        zarr.consolidate_metadata(str(path))
    return path


@pytest.mark.parametrize("consolidated", [False, True])
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_labels_join_an_image_in_its_version(tmp_path, version, consolidated):
    image = make_image(tmp_path / "image.zarr", version, consolidated=consolidated)
    path = export_labels(stack(), image / "labels" / "nuclei")
    export_labels(stack() > 0, image / "labels" / "cells")
    np.testing.assert_array_equal(read_image(path).array[...], stack())
    assert metadata(image / "labels")["labels"] == ["nuclei", "cells"]
    found = metadata(path)
    assert found["image-label"]["source"] == {"image": "../../"}
    (multiscale,) = found["multiscales"]
    transform = multiscale["datasets"][0]["coordinateTransformations"][0]
    assert transform["scale"] == [2, 0.5, 0.25]
    assert multiscale["axes"][0]["unit"] == "micrometer"
    assert zarr.open_group(image, mode="r")["labels/nuclei/0"].metadata.zarr_format == (
        2 if version == "0.4" else 3
    )
    assert metadata(image)["multiscales"]
    assert not [one for one in image.rglob("*") if ".tmp" in one.name]


def test_labels_of_another_shape_do_not_join_an_image(tmp_path):
    image = make_image(tmp_path / "image.zarr", "0.5")
    with pytest.raises(LabelFileError, match="give the labels of this image"):
        export_labels(stack()[:, 1:], image / "labels" / "nuclei")
    assert not (image / "labels").exists()


def test_labels_inside_an_image_are_replaced_only_when_asked(tmp_path):
    image = make_image(tmp_path / "image.zarr", "0.4")
    path = export_labels(stack(), image / "labels" / "nuclei")
    with pytest.raises(LabelFileError, match="exists already"):
        export_labels(stack() + 1, path)
    export_labels(stack() + 1, path, overwrite=True)
    assert metadata(image / "labels")["labels"] == ["nuclei"]
    np.testing.assert_array_equal(read_image(path).array[...], stack() + 1)


def test_an_image_is_never_replaced(tmp_path):
    image = make_image(tmp_path / "image.zarr", "0.5")
    with pytest.raises(LabelFileError, match="left alone"):
        export_labels(stack(), image, overwrite=True)
    assert metadata(image)["multiscales"]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_the_models_of_the_specification_accept_it(tmp_path, version):
    pytest.importorskip("ome_zarr_models")
    from ome_zarr_models import v04, v05

    image = make_image(tmp_path / "image.zarr", version)
    path = export_labels(stack(), image / "labels" / "nuclei", object_classes={3: "ring"})
    models = v04 if version == "0.4" else v05
    group = zarr.open_group(path, mode="r")
    found = models.image_label.ImageLabel.from_zarr(group)
    assert len(found.attributes.ome.image_label.colors if version == "0.5" else [0])
    labels = models.labels.Labels.from_zarr(zarr.open_group(image / "labels", mode="r"))
    assert labels is not None


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr_reads_it_as_labels_of_the_image(tmp_path, version):
    pytest.importorskip("ome_zarr")
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Label, Reader

    image = make_image(tmp_path / "image.zarr", version)
    export_labels(stack(), image / "labels" / "nuclei")
    nodes = list(Reader(parse_url(str(image)))())
    (node,) = [one for one in nodes if one.load(Label)]
    np.testing.assert_array_equal(node.data[0].compute(), stack())
    assert set(node.metadata["color"]) == set(IDS)


def test_labels_do_not_join_an_image_of_another_version(tmp_path):
    image = make_image(tmp_path / "image.zarr", "0.6")
    with pytest.raises(LabelFileError, match=r"version 0\.6"):
        export_labels(stack(), image / "labels" / "nuclei")
    assert not (image / "labels").exists()


def test_a_rare_unit_of_an_image_is_left_out(tmp_path):
    image = make_image(tmp_path / "image.zarr", "0.5")
    group = zarr.open_group(image)
    attributes = group.attrs["ome"]
    attributes["multiscales"][0]["axes"][1]["unit"] = "parsec"
    group.attrs["ome"] = attributes
    path = export_labels(stack(), image / "labels" / "nuclei")
    axes = metadata(path)["multiscales"][0]["axes"]
    assert [axis.get("unit") for axis in axes] == [None, "micrometer", "micrometer"]
