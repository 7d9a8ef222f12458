"""Export in the window: what goes from a layer into a file, and the button."""

from __future__ import annotations

import csv
import json

import numpy as np
import pandas as pd
import pytest
import tifffile
from gui_scenes import blobs
from napari.layers import Image, Labels
from qtpy.QtWidgets import QLineEdit

from napari_anysam._napari.layer_export import layer_export
from napari_anysam._napari.status import Stage
from napari_anysam.errors import LabelFileError
from napari_anysam.export.formats import FORMATS
from napari_anysam.images.files import read_labels
from napari_anysam.images.geometry import Geometry

SHAPE = (12, 16)


def squares():
    data = np.zeros(SHAPE, np.int32)
    data[1:4, 1:4], data[6:10, 8:12] = 3, 7
    return data


def write(labels, image, path, name, **options):
    return layer_export(labels, image, path, name, **options)()


def test_scale_unit_and_axes_go_with_the_labels(tmp_path):
    stack = np.stack([squares()] * 3)
    labels = Labels(stack, scale=(2, 0.5, 0.5), units="um", axis_labels=("z", "y", "x"))
    path = write(labels, None, tmp_path / "labels.ome.tif", "ome-tiff")
    found = read_labels(path, 0)
    np.testing.assert_array_equal(found.array, stack)
    assert found.axes == "ZYX"
    np.testing.assert_allclose(found.scale, (2, 0.5, 0.5))


def test_layers_without_names_or_units_are_written_too(tmp_path):
    path = write(Labels(squares()), None, tmp_path / "labels.png", "png")
    assert path.stat().st_size > 0


def test_classes_and_scores_come_from_the_table_of_features(tmp_path):
    labels = Labels(squares())
    labels.features = pd.DataFrame(
        {"index": [3, 7], "class": ["nucleus", ""], "score": [0.5, None], "model": ["a", "b"]}
    )
    image = Image(np.full(SHAPE, 5.0))
    with write(labels, image, tmp_path / "t.csv", "csv").open() as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    assert set(rows) == {"3", "7"}
    assert "nucleus" in rows["3"].values()
    assert "0.5" in rows["3"].values()


def test_what_is_painted_meanwhile_is_not_written(tmp_path):
    labels = Labels(squares())
    job = layer_export(labels, None, tmp_path / "labels.tif", "ome-tiff")
    labels.data[:] = 9
    np.testing.assert_array_equal(tifffile.imread(job()), squares())


def test_a_medical_volume_lies_where_its_layer_does(tmp_path):
    geometry = Geometry((0.5, 0.5, 2), (1, 2, 3), (0, 1, 0, 1, 0, 0, 0, 0, -1))
    stack = np.stack([squares()] * 3)
    for number, labels in enumerate(
        (
            Labels(stack, metadata={"geometry": geometry.to_dict()}),
            Labels(stack, affine=geometry.affine, units="mm"),
        )
    ):
        path = write(labels, None, tmp_path / f"{number}.nii.gz", "nifti")
        found = read_labels(path)
        np.testing.assert_array_equal(found.array, stack)
        np.testing.assert_allclose(found.geometry.affine, geometry.affine, atol=1e-5)


def test_an_image_of_another_shape_is_refused(tmp_path):
    with pytest.raises(LabelFileError, match="is not the image of"):
        layer_export(Labels(squares()), Image(np.zeros((5, 5))), tmp_path / "t.csv", "csv")


def test_an_rgb_image_is_cut_out(tmp_path):
    image = Image(np.full((*SHAPE, 3), 200, np.uint8), rgb=True)
    folder = write(Labels(squares()), image, tmp_path / "cut", "cutouts")
    assert len(list(folder.glob("*.png"))) == 2


@pytest.mark.gui
def test_the_button_writes_what_was_accepted(desk, tmp_path):
    image = desk.add(blobs(), name="discs")
    section = desk.widget.export
    assert "no labels yet" in section.run_button.toolTip()
    desk.click(image, (40, 40))
    desk.wait_for(Stage.PREVIEW)
    desk.press(desk.widget.accept_button)
    section.format.setCurrentIndex(section.format.findData("coco-rle"))
    desk.press(section.run_button)
    desk.wait(lambda: section.dialog is not None)
    path = tmp_path / "discs.json"
    section.dialog.findChild(QLineEdit, "fileNameEdit").setText(str(path))
    section.dialog.accept()
    desk.wait(lambda: section.words.text().startswith("Written"))
    content = json.loads(path.read_text())
    assert len(content["annotations"]) == 1
    assert section.dialog is None
    section.export_to(path)
    desk.wait(lambda: "exists already" in section.words.text())
    section.replace.setChecked(True)
    section.export_to(path)
    desk.wait(lambda: section.words.text().startswith("Written"))


@pytest.mark.gui
def test_every_format_is_on_offer(desk):
    offered = desk.widget.export.format
    assert {offered.itemData(row) for row in range(offered.count())} == set(FORMATS)
