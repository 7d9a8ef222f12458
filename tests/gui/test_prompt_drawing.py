"""Prompts of hundreds of objects are shown in one go, and say what they said."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_anysam._napari.coordinates import current_frame
from napari_anysam._napari.prompt_layers import PromptLayers, same_prompt
from napari_anysam.segmentation.prompts import Prompt, Scribble


@pytest.fixture
def viewer(qapp):
    viewer = ViewerModel()
    viewer.add_image(np.zeros((6, 60, 80), np.uint8), name="stack", scale=(3, 0.5, 0.5))
    return viewer


@pytest.fixture
def layers(viewer):
    return PromptLayers(viewer, viewer.layers[0])


def prompts_of_all_kinds():
    said = [
        Prompt(1, 0, points=[(4, 5), (7, 9)], polarity=[True, False]),
        Prompt(1, 3, points=[(9, 9)], polarity=[False], box=(2, 3, 20, 30)),
        Prompt(2, 3, lasso=[(10, 10), (10, 30), (30, 20)]),
        Prompt(
            3,
            5,
            scribbles=[Scribble([(5, 5), (9, 30)], True), Scribble([(40, 5), (44, 30)], False)],
        ),
        Prompt(4, 1, mask=np.ones((5, 5), bool), mask_origin=(8, 8)),
        *(Prompt(one, 2, points=[(one % 50, one // 50)]) for one in range(5, 200)),
    ]
    return {(one.object_id, one.plane): one for one in said}


def test_what_is_shown_at_once_is_read_as_it_was(viewer, layers):
    prompts = prompts_of_all_kinds()
    frame = current_frame(viewer.dims, viewer.layers[0])
    layers.ensure()
    layers.set_next(7, positive=False)
    layers.replace((300, 4), Prompt(300, 4, points=[(1, 1)]), frame)
    added = []
    for layer in (layers.points, layers.shapes):
        layer.events.data.connect(lambda event: added.append(event.action))
    layers.show(prompts, frame)
    assert [str(one) for one in added].count("added") == 2
    found = layers.collect(frame)
    assert found.pop((300, 4)).points == ((1, 1),)
    assert found.keys() == prompts.keys()
    assert all(same_prompt(found[key], prompts[key]) for key in prompts)
    assert layers.points.feature_defaults["object_id"][0] == 7
    assert layers.points.feature_defaults["polarity"][0] == "negative"
    assert not layers.points.selected_data
    assert not layers.shapes.selected_data


def test_points_shown_at_once_have_the_colour_of_what_they_mean(viewer, layers):
    prompts = prompts_of_all_kinds()
    layers.show(prompts, current_frame(viewer.dims, viewer.layers[0]))
    positive = (layers.points.features["polarity"] == "positive").to_numpy()
    green, red = (
        np.unique(layers.points.face_color[mask], axis=0) for mask in (positive, ~positive)
    )
    assert len(green) == len(red) == 1
    assert green[0, 1] > green[0, 0]
    assert red[0, 0] > red[0, 1]
    strokes = layers.shapes.edge_color[
        (layers.shapes.features["polarity"] == "negative").to_numpy()
    ]
    assert np.allclose(strokes, red[0], atol=0.01)
