"""Prompts survive their files, and a wrong entry is named."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from napari_builtins.io import napari_write_points
from pycocotools import mask as coco

from napari_anysam.errors import PromptError
from napari_anysam.segmentation.prompt_files import (
    prompt_from_dict,
    prompt_to_dict,
    read_prompts,
    write_prompts,
)
from napari_anysam.segmentation.prompts import Prompt, Scribble

COORDINATE = st.floats(-10, 1000, allow_nan=False)
BOX = st.tuples(COORDINATE, COORDINATE, st.floats(0.5, 50), st.floats(0.5, 50)).map(
    lambda box: (box[0], box[1], box[0] + box[2], box[1] + box[3])
)
MASK = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40)).filter(np.any)

SCRIBBLE = st.builds(
    Scribble,
    st.lists(st.tuples(COORDINATE, COORDINATE), min_size=1, max_size=4),
    st.booleans(),
)


@st.composite
def prompts(draw):
    points = draw(st.lists(st.tuples(COORDINATE, COORDINATE), max_size=4))
    box = draw(st.none() | BOX)
    lasso = draw(st.none() | st.just(((1.0, 2.5), (30.0, 2.0), (4.0, 40.25))))
    strokes = draw(st.lists(SCRIBBLE, max_size=3))
    empty = not points and not strokes and box is None and lasso is None
    mask = draw(MASK if empty else st.none() | MASK)
    return Prompt(
        object_id=draw(st.integers(1, 10**6)),
        plane=draw(st.none() | st.integers(0, 10**4)),
        points=points,
        polarity=draw(st.lists(st.booleans(), min_size=len(points), max_size=len(points))),
        box=box,
        mask=mask,
        lasso=lasso,
        scribbles=strokes,
        mask_origin=None if mask is None else draw(st.none() | st.just((7, 0))),
    )


def same(first, second):
    kinds = ("lasso", "scribbles", "mask_origin")
    alike = all(getattr(first, kind) == getattr(second, kind) for kind in kinds)
    return (
        alike
        and prompt_to_dict(first) == prompt_to_dict(second)
        and (
            (first.mask is None and second.mask is None) or np.array_equal(first.mask, second.mask)
        )
    )


@given(prompt=prompts())
def test_a_prompt_survives_json(prompt):
    again = prompt_from_dict(json.loads(json.dumps(prompt_to_dict(prompt))))
    assert same(prompt, again)


@given(mask=MASK)
def test_masks_are_what_coco_makes_of_them(mask):
    encoded = coco.encode(np.asfortranarray(mask, dtype=np.uint8))
    value = {"size": encoded["size"], "counts": encoded["counts"].decode()}
    np.testing.assert_array_equal(prompt_from_dict({"mask": value}).mask, mask)


@given(counts=st.text(st.characters(min_codepoint=40, max_codepoint=120), max_size=8))
def test_damaged_masks_are_refused_and_never_guessed(counts):
    value = {"mask": {"size": [5, 7], "counts": counts}}
    try:
        prompt = prompt_from_dict(value)
    except PromptError:
        return
    assert prompt.mask.shape == (5, 7)


def test_plain_run_lengths_are_taken():
    mask = prompt_from_dict({"mask": {"size": [2, 3], "counts": [1, 2, 3]}}).mask
    assert mask.tolist() == [[False, True, False], [True, False, False]]


def test_a_json_file_comes_back(tmp_path):
    path = tmp_path / "prompts.json"
    written = [Prompt(1, 3, points=[(1, 2.5)], polarity=[False]), Prompt(2, 4, box=(0, 0, 3, 4))]
    write_prompts(path, written)
    assert all(same(*pair) for pair in zip(written, read_prompts(path), strict=True))
    assert [path.name for path in tmp_path.iterdir()] == ["prompts.json"]


def test_a_folder_that_is_missing_is_named(tmp_path):
    with pytest.raises(PromptError, match="could not be written"):
        write_prompts(tmp_path / "nowhere" / "prompts.json", [Prompt(points=[(1, 2)])])


def write_points(path, data, **features):
    """Write a Points layer as napari's own writer does."""
    layer_properties = {name: pd.Series(values).to_numpy() for name, values in features.items()}
    napari_write_points(str(path), np.asarray(data, float), {"properties": layer_properties})


@pytest.mark.parametrize(
    "polarity",
    [[True, False, True], [1, 0, 1], [1.0, 0.0, 1.0], ["positive", "negative", "positive"]],
)
def test_the_points_of_an_image(tmp_path, polarity):
    path = tmp_path / "points.csv"
    write_points(path, [(1, 2), (3, 4), (5, 6.5)], object_id=[7, 7, 2], polarity=polarity)
    first, second = read_prompts(path)
    assert (first.object_id, first.plane, first.points) == (7, None, ((1, 2), (3, 4)))
    assert first.polarity == (True, False)
    assert (second.object_id, second.points, second.polarity) == (2, ((5, 6.5),), (True,))


@pytest.mark.parametrize(
    ("axis", "plane", "point"), [(0, 1, (2, 3)), (1, 2, (1, 3)), (-1, 3, (1, 2))]
)
def test_the_points_of_a_stack_lie_on_planes_along_the_axis(tmp_path, axis, plane, point):
    path = tmp_path / "points.csv"
    write_points(path, [(1, 2, 3)], object_id=[4], polarity=[True])
    (prompt,) = read_prompts(path, axis)
    assert (prompt.plane, prompt.points) == (plane, (point,))


def test_points_of_one_object_on_two_planes_are_two_prompts(tmp_path):
    path = tmp_path / "points.csv"
    write_points(path, [(0, 2, 3), (5, 2, 3), (0, 4, 4)], object_id=[1, 1, 1])
    first, second = read_prompts(path, axis=0)
    assert (first.plane, len(first.points), second.plane) == (0, 2, 5)


def test_points_without_features_belong_to_one_object(tmp_path):
    path = tmp_path / "points.csv"
    write_points(path, [(0, 2), (3, 4)])
    (prompt,) = read_prompts(path)
    assert (prompt.object_id, prompt.polarity) == (1, (True, True))


GOOD = '{"object_id": 1, "points": [[1, 2]]}'
CSV = "index,axis-0,axis-1,object_id,polarity\n0,1,2,1,True\n"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", "not json", "not JSON"),
        ("a.json", "{}", "no list"),
        ("a.json", "[]", "no prompt"),
        ("a.json", f"[{GOOD}, {{}}]", "entry 2: .* is empty"),
        ("a.json", f"[{GOOD}, 3]", "entry 2: it is 3"),
        ("a.json", '[{"point": [[1, 2]]}]', "entry 1: there is no field 'point'"),
        ("a.json", '[{"points": [[1, 2, 3]]}]', "entry 1: .*pair"),
        ("a.json", '[{"points": [["a", 2]]}]', "entry 1: a value is of the wrong kind"),
        ("a.json", '[{"points": 5}]', "entry 1: points is 5"),
        ("a.json", '[{"points": [[NaN, 2]]}]', "entry 1: .*finite"),
        ("a.json", '[{"points": [[1, 2]], "polarity": ["false"]}]', "entry 1: polarity"),
        ("a.json", '[{"object_id": "x", "points": [[1, 2]]}]', "entry 1: a value"),
        ("a.json", '[{"object_id": 1e999, "points": [[1, 2]]}]', "entry 1: a value"),
        ("a.json", '[{"box": [1, 2, 3]}]', "entry 1: The box"),
        ("a.json", '[{"mask": {"size": [4, 5], "counts": "11"}}]', "entry 1: .*do not fill"),
        ("a.json", '[{"mask": {"size": [4, 5]}}]', "entry 1: .*COCO"),
        ("a.json", '[{"mask": [[0, 1]]}]', "entry 1: .*COCO"),
        ("a.json", '[{"mask": {"size": [4, 5], "counts": [20]}}]', "entry 1: The mask is empty"),
        ("a.csv", "", "0 coordinate columns"),
        ("a.csv", "index,axis-0,axis-1\n", "no prompt"),
        ("a.csv", CSV + "1,x,2,1,True\n", "row 2: axis-0 is 'x'"),
        ("a.csv", CSV + "1,2\n", "row 2: axis-1 is None"),
        ("a.csv", CSV + "1,2,3,1.5,True\n", "row 2: object_id is 1.5"),
        ("a.csv", CSV + "1,2,3,1,maybe\n", "row 2: polarity is 'maybe'"),
        ("a.csv", CSV + "1,2,3,0,True\n", "object_id is 0"),
        ("a.csv", "index,axis-0,axis-1,axis-2\n0,1,2,3\n", "the image is 2D"),
        ("a.csv", "index,shape-type,vertex-index,axis-0,axis-1\n", "holds shapes"),
        ("a.txt", "", "no prompts file"),
    ],
)
def test_what_is_wrong_names_file_entry_and_remedy(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(PromptError, match=message) as caught:
        read_prompts(path)
    assert name in str(caught.value)
    assert str(caught.value).endswith(".")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(PromptError, match="There is no file"):
        read_prompts(tmp_path / "gone.json")


def test_a_binary_file_is_refused(tmp_path):
    (tmp_path / "a.json").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(PromptError, match="could not be read"):
        read_prompts(tmp_path / "a.json")


def test_an_axis_that_points_do_not_have(tmp_path):
    write_points(tmp_path / "a.csv", [(1, 2, 3)])
    with pytest.raises(PromptError, match="axes 0 to 2, not 3"):
        read_prompts(tmp_path / "a.csv", axis=3)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"lasso": [[1, 1], [2, 2]]}, "three vertices"),
        ({"lasso": {"vertices": []}}, "give a list"),
        ({"scribbles": {"vertices": [[1, 1]]}}, "give a list"),
        ({"scribbles": [[[1, 1], [2, 2]]]}, "vertices and positive"),
        ({"scribbles": [{"vertices": [[1, 1]], "polarity": True}]}, "vertices and positive"),
        ({"scribbles": [{"vertices": [[1, 1]], "positive": 3}]}, "true or false"),
        ({"scribbles": [{"positive": True}]}, "at least one"),
    ],
)
def test_wrong_lassos_and_scribbles_are_refused(entry, words):
    with pytest.raises(PromptError, match=words):
        prompt_from_dict(entry)
