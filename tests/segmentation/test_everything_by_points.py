"""Everything in a plane by a grid of clicks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_anysam.errors import CapabilityError, OptionsError
from napari_anysam.segmentation.everything_by_points import (
    EverythingOptions,
    everything_by_points,
    tiles,
)
from napari_anysam.segmentation.interactive import PlanePredictor
from napari_anysam.segmentation.plane_pixels import WholePlane

SHAPE = (200, 240)
DISCS = ((40, 40, 14), (60, 95, 16), (150, 60, 20), (150, 180, 25), (40, 200, 9))


def drawn(shape=SHAPE, discs=DISCS):
    rows, columns = np.indices(shape)
    truth = np.zeros(shape, int)
    for number, (row, column, radius) in enumerate(discs, start=1):
        truth[(rows - row) ** 2 + (columns - column) ** 2 <= radius**2] = number
    return truth


def plane(truth):
    noise = np.random.default_rng(0).normal(0, 4, truth.shape)
    grey = np.clip(np.where(truth, 190, 40) + noise, 0, 255).astype(np.uint8)
    return np.stack([grey] * 3, axis=-1)


def found_in(model, pixels, options=None):
    predictor = PlanePredictor(model)
    whole = WholePlane(lambda: pixels)
    return list(everything_by_points(predictor, whole, "plane", pixels.shape[:2], options))


def test_every_disc_is_found_once_and_nothing_else(nano):
    truth = drawn()
    *_, last = found_in(nano, plane(truth))
    masks = [one.window.whole(SHAPE) for one in last.objects]
    overlaps = [
        [(mask & (truth == number)).sum() / (mask | (truth == number)).sum() for mask in masks]
        for number in range(1, len(DISCS) + 1)
    ]
    assert (np.max(overlaps, axis=1) > 0.7).all()
    assert len(masks) == len(DISCS)


def test_progress_counts_clicks_and_ends_complete(nano):
    found = found_in(nano, plane(drawn((60, 60), ((30, 30, 12),))), EverythingOptions(9))
    assert [one.done for one in found] == [64, 81]
    assert {one.total for one in found} == {81}


def test_the_best_comes_first_and_small_ones_are_dropped(nano):
    options = EverythingOptions(smallest_area=500)
    *_, last = found_in(nano, plane(drawn()), options)
    scores = [one.score for one in last.objects]
    assert scores == sorted(scores, reverse=True)
    assert scores
    assert min(one.window.area for one in last.objects) >= 500


def test_tiles_cover_the_plane_and_lie_inside_it():
    seen = np.zeros((300, 1000), int)
    for region in tiles(seen.shape, 256)[1:]:
        seen[region.slices] += 1
        assert seen[region.slices].shape == region.shape
    assert seen.min() > 0


def test_a_plane_of_the_networks_size_has_no_tiles():
    assert len(tiles((1024, 768), 1024)) == 1


def test_a_model_without_clicks_is_refused(nano, monkeypatch):
    boxes_only = replace(nano.capabilities, points=False)
    monkeypatch.setattr(type(nano), "capabilities", boxes_only)
    with pytest.raises(CapabilityError, match="takes no clicks"):
        found_in(nano, plane(drawn()))


@pytest.mark.parametrize(
    "wrong", [{"points_per_side": 0}, {"least_score": 2}, {"smallest_area": -1}]
)
def test_options_out_of_range_are_refused(wrong):
    with pytest.raises(OptionsError):
        EverythingOptions(**wrong)
