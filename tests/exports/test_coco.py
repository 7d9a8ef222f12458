"""COCO: pycocotools loads the file, and its masks are the labels."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from label_scenes import plane, stack
from pycocotools.coco import COCO

from napari_anysam import export_labels
from napari_anysam.errors import LabelFileError

FORMATS = ["coco-rle", "coco-polygons"]


def composed(path):
    """Put the masks of a file back into label planes."""
    dataset = COCO(path)
    planes = []
    for record in dataset.loadImgs(dataset.getImgIds()):
        labels = np.zeros((record["height"], record["width"]), np.uint32)
        for annotation in dataset.loadAnns(dataset.getAnnIds(record["id"])):
            mask = dataset.annToMask(annotation).astype(bool)
            assert not labels[mask].any()
            labels[mask] = annotation["object_id"]
        planes.append(labels)
    return np.stack(planes)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("labels", [plane(), stack()], ids=["2D", "3D"])
def test_labels_come_back_exactly_with_their_holes(tmp_path, kind, labels, format):
    path = export_labels(kind(labels), tmp_path / "coco.json", format=format)
    np.testing.assert_array_equal(composed(path), labels.reshape(-1, 40, 50))


@pytest.mark.parametrize("format", FORMATS)
@given(labels=arrays(np.uint8, (9, 11), elements=st.integers(0, 3)))
@settings(deadline=None, max_examples=30)
def test_any_labels_come_back_exactly(tmp_path_factory, labels, format):
    path = tmp_path_factory.mktemp("coco") / "coco.json"
    export_labels(labels, path, format=format)
    np.testing.assert_array_equal(composed(path)[0], labels)


@pytest.mark.parametrize("format", FORMATS)
def test_annotations_describe_the_objects(tmp_path, format):
    path = export_labels(plane(), tmp_path / "coco.json", format=format, object_scores={9: 0.75})
    content = json.loads(path.read_text())
    assert content["images"] == [{"id": 1, "file_name": "coco.png", "width": 50, "height": 40}]
    assert [one["object_id"] for one in content["annotations"]] == [3, 7, 9, 70000]
    assert [one["id"] for one in content["annotations"]] == [1, 2, 3, 4]
    for one in content["annotations"]:
        rows, columns = np.nonzero(plane() == one["object_id"])
        x, y, width, height = one["bbox"]
        assert (x, y) == (columns.min(), rows.min())
        assert (x + width - 1, y + height - 1) == (columns.max(), rows.max())
        assert one["area"] == rows.size
        assert one["iscrowd"] == 0
    assert [one.get("score") for one in content["annotations"]] == [None, None, 0.75, None]


def test_polygons_are_lists_of_corners(tmp_path):
    path = export_labels(plane(), tmp_path / "coco.json", format="coco-polygons")
    annotations = json.loads(path.read_text())["annotations"]
    assert [len(one["segmentation"]) for one in annotations] == [2, 2, 2, 2]
    assert all(len(part) >= 8 for one in annotations for part in one["segmentation"])


def test_planes_are_images_with_names(tmp_path):
    path = export_labels(stack(), tmp_path / "coco.json")
    records = json.loads(path.read_text())["images"]
    assert [one["file_name"] for one in records] == [f"coco_z{i:04d}.png" for i in range(5)]
    given = [f"frame{index}.jpg" for index in range(5)]
    path = export_labels(stack(), tmp_path / "named.json", file_names=given)
    assert [one["file_name"] for one in json.loads(path.read_text())["images"]] == given


@pytest.mark.parametrize(
    ("options", "categories", "numbers"),
    [
        ({}, ["object"], [1, 1, 1, 1]),
        ({"class_names": ["cell"]}, ["cell"], [1, 1, 1, 1]),
        ({"object_classes": {7: "b", 3: "a"}}, ["b", "a", "object"], [2, 1, 3, 3]),
        (
            {"object_classes": {3: "a", 7: "a", 9: "a", 70000: "b"}, "class_names": "xab"},
            ["x", "a", "b"],
            [2, 2, 2, 3],
        ),
        ({"object_classes": {3: "a", 7: "a", 9: "a"}}, ["a"], [1, 1, 1, 1]),
        (
            {"object_classes": {5: "gone"}, "class_names": ["gone", "object"]},
            ["gone", "object"],
            [2, 2, 2, 2],
        ),
    ],
)
def test_categories_are_the_classes(tmp_path, options, categories, numbers):
    path = export_labels(plane(), tmp_path / "coco.json", **options)
    content = json.loads(path.read_text())
    assert [one["name"] for one in content["categories"]] == categories
    assert [one["id"] for one in content["categories"]] == list(range(1, len(categories) + 1))
    assert [one["category_id"] for one in content["annotations"]] == numbers


def test_empty_labels_are_an_image_without_annotations(tmp_path):
    path = export_labels(plane() * 0, tmp_path / "coco.json")
    content = json.loads(path.read_text())
    assert content["annotations"] == []
    assert len(content["images"]) == 1
    assert composed(path).sum() == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"class_names": ["a", "a"]}, "twice"),
        ({"class_names": ["a", "b"], "object_classes": {3: "c"}}, "Object 3 is of class 'c'"),
        ({"file_names": ["a.png", "b.png"]}, "2 file names for 1 planes"),
        ({"format": "coco"}, "There is no format 'coco'; use one of ome-tiff"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, options, message):
    with pytest.raises(LabelFileError, match=message):
        export_labels(plane(), tmp_path / "coco.json", **options)
    assert not list(tmp_path.iterdir())


def test_negative_labels_are_refused(tmp_path):
    with pytest.raises(LabelFileError, match="below 0"):
        export_labels(plane().astype(int) - 1, tmp_path / "coco.json")
