"""Objects measured in the window, in the units of the image's layer."""

from __future__ import annotations

import numpy as np
import pytest
from gui_scenes import disc
from napari.utils.notifications import notification_manager

pytestmark = pytest.mark.gui


def ball(shape=(9, 40, 40), radius=4):
    grid = np.indices(shape)
    centre = [size // 2 for size in shape]
    return sum((axis - at) ** 2 for axis, at in zip(grid, centre, strict=True)) <= radius**2


def open_labels(desk, labels, image, **options):
    layer = desk.add(image, name="scan", **options)
    ours = desk.viewer.add_labels(labels, name="made elsewhere", **options)
    desk.control.choose_labels(ours)
    desk.wait(lambda: len(desk.control.objects.summaries()) > 0)
    return layer, ours


def shown(desk, row=0):
    model = desk.widget.objects.table.model()
    return [model.data(model.index(row, column)) for column in (5, 6, 7)]


def test_volume_diameters_and_mean_come_in_the_units_of_the_layer(desk):
    inside = ball()
    image = np.where(inside, 120, 7).astype(np.uint8)
    _, ours = open_labels(
        desk, inside.astype(np.int32) * 3, image, scale=(2000, 1000, 1000), units="um"
    )
    table = desk.widget.objects.table
    assert table.isColumnHidden(5)
    desk.press(desk.widget.objects.measure_button)
    desk.wait(lambda: shown(desk)[0] != "")
    assert not table.isColumnHidden(5)
    features = ours.features.set_index("index").loc[3]
    assert features["volume_ml"] == pytest.approx(inside.sum() * 2 / 1000)
    assert features["longest_diameter_mm"] == pytest.approx(9, abs=0.2)
    assert features["mean_intensity"] == 120
    assert shown(desk)[2] == "120"


def test_measures_vanish_when_something_changes(desk):
    inside = ball()
    open_labels(desk, inside.astype(np.int32), inside.astype(np.uint8), units="mm")
    desk.press(desk.widget.objects.measure_button)
    desk.wait(lambda: shown(desk)[0] != "")
    desk.control.name_class(1, "nodule")
    desk.settle()
    assert desk.widget.objects.table.isColumnHidden(5)


def test_an_image_without_pixel_sizes_is_refused_in_words(desk):
    flat = disc((40, 40), 20, 20, 8)
    open_labels(desk, flat.astype(np.int32), flat.astype(np.uint8))
    desk.press(desk.widget.objects.measure_button)
    desk.settle()
    assert "scale and units" in str(notification_manager.records[-1].message)
