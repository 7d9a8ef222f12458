"""PNG: ids are pixel values, with or without a colour table; stacks are folders."""

from __future__ import annotations

import numpy as np
import pytest
from label_scenes import names, plane, stack
from PIL import Image

from napari_anysam import export_labels
from napari_anysam.errors import LabelFileError
from napari_anysam.export.colours import colour_of


def small(labels):
    return np.where(labels == 70000, 200, labels)


@pytest.mark.parametrize(("most", "bits"), [(255, 8), (256, 16), (65535, 16)])
def test_a_plane_comes_back(tmp_path, kind, most, bits):
    labels = np.where(plane() == 70000, most, plane())
    path = export_labels(kind(labels), tmp_path / "labels.png")
    with Image.open(path) as picture:
        assert (picture.mode == "L") == (bits == 8)
        np.testing.assert_array_equal(np.asarray(picture), labels)


def test_a_stack_is_a_folder_with_a_file_per_plane(tmp_path, kind):
    path = export_labels(kind(small(stack())), tmp_path / "masks", format="png-planes")
    assert names(path) == [f"masks_z{index:04d}.png" for index in range(5)]
    for index, name in enumerate(names(path)):
        np.testing.assert_array_equal(np.asarray(Image.open(path / name)), small(stack())[index])


def test_a_colour_table_leaves_the_ids_as_they_are(tmp_path):
    path = export_labels(small(plane()), tmp_path / "labels.png", indexed=True)
    with Image.open(path) as picture:
        assert picture.mode == "P"
        np.testing.assert_array_equal(np.asarray(picture), small(plane()))
        colours = np.asarray(picture.convert("RGB"))
    assert tuple(colours[4, 45]) == colour_of(7)
    assert tuple(colours[0, 0]) == (0, 0, 0)


def test_bool_labels_are_object_1(tmp_path):
    path = export_labels(plane() > 0, tmp_path / "labels.png", indexed=True)
    np.testing.assert_array_equal(np.asarray(Image.open(path)), plane() > 0)


@pytest.mark.parametrize(
    ("labels", "name", "options", "message"),
    [
        (plane(), "a.png", {}, "holds 65535; export as .tif"),
        (stack(), "a.png", {}, "give a folder and the format png-planes"),
        (small(plane()) * 2, "a.png", {"indexed": True}, "leave indexed out"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, labels, name, options, message):
    with pytest.raises(LabelFileError, match=message):
        export_labels(labels, tmp_path / name, **options)
    assert not list(tmp_path.iterdir())
