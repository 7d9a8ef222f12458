"""YOLO: polygons give back the labels, and the data set is laid out as ultralytics reads it."""

from __future__ import annotations

import numpy as np
import pytest
import yaml
from label_scenes import names, plane, stack
from PIL import Image
from pycocotools import mask as coco

from napari_anysam import export_labels
from napari_anysam.errors import LabelFileError


def masks(text, shape):
    """Fill the polygons of a file; returns (class, mask) of each line."""
    height, width = shape
    for line in text.splitlines():
        number, *numbers = line.split()
        corners = np.array(numbers, float).reshape(-1, 2)
        assert corners.min() >= 0
        assert corners.max() <= 1
        runs = coco.frPyObjects([(corners * (width, height)).ravel().tolist()], *shape)
        yield int(number), coco.decode(runs[0]).astype(bool)


def test_one_line_per_object_gives_back_its_parts_and_holes(tmp_path, kind):
    path = export_labels(kind(plane()), tmp_path / "set", format="yolo")
    found = list(masks((path / "labels" / "set.txt").read_text(), (40, 50)))
    assert len(found) == 4
    for (number, mask), object_id in zip(found, [3, 7, 9, 70000], strict=True):
        assert number == 0
        np.testing.assert_array_equal(mask, plane() == object_id)


def test_a_stack_is_a_data_set_with_an_image_per_plane(tmp_path, kind):
    image = kind(np.random.default_rng(0).integers(0, 4000, stack().shape).astype(np.uint16))
    path = export_labels(kind(stack()), tmp_path / "set", format="yolo", image=image)
    stems = [f"set_z{index:04d}" for index in range(5)]
    assert names(path) == sorted(
        ["data.yaml", "images", "labels"]
        + [f"images/{stem}.png" for stem in stems]
        + [f"labels/{stem}.txt" for stem in stems]
    )
    assert (path / "labels" / "set_z0002.txt").read_text() == ""
    with Image.open(path / "images" / "set_z0003.png") as picture:
        assert (picture.mode, picture.size) == ("RGB", (50, 40))
    for index, stem in enumerate(stems):
        found = list(masks((path / "labels" / f"{stem}.txt").read_text(), (40, 50)))
        np.testing.assert_array_equal(
            np.any([np.zeros((40, 50)), *(mask for _, mask in found)], axis=0), stack()[index] > 0
        )


def test_classes_are_numbered_and_named(tmp_path):
    path = export_labels(
        plane(),
        tmp_path / "set",
        format="yolo",
        class_names=['nucleus: "big"', "größer"],
        object_classes={7: "größer", 3: "größer"},
        file_names=["scan 1.tif"],
    )
    data = yaml.safe_load((path / "data.yaml").read_text(encoding="utf-8"))
    assert data["names"] == {0: 'nucleus: "big"', 1: "größer", 2: "object"}
    assert data["train"] == data["val"] == "images"
    lines = (path / "labels" / "scan 1.txt").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["1", "1", "2", "2"]


def test_images_that_would_share_a_file_are_refused(tmp_path):
    given = ["a.png", "a.jpg", "b.png", "c.png", "d.png"]
    with pytest.raises(LabelFileError, match="named after their images"):
        export_labels(stack(), tmp_path / "set", format="yolo", file_names=given)
    assert not list(tmp_path.iterdir())
