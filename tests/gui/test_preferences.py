"""What the Segment dock remembers of a user, as a file."""

from __future__ import annotations

import json

import pytest

from napari_anysam._napari.preferences import (
    Preferences,
    change_preferences,
    preferences_file,
    read_preferences,
)
from napari_anysam.errors import SettingsError
from napari_anysam.segmentation.mask_options import MaskOptions


def test_without_a_file_the_defaults_hold():
    assert read_preferences() == Preferences()
    assert not preferences_file().exists()


def test_what_was_changed_is_read_again_and_the_rest_stays():
    options = MaskOptions(threshold=-1.5, fill_holes=20, box_padding=0.05)
    change_preferences(mask=options)
    change_preferences(policy="over", keys={"accept": "J"})
    assert read_preferences() == Preferences(mask=options, policy="over", keys={"accept": "J"})


def test_no_change_writes_nothing():
    change_preferences(each_box=True)
    assert not preferences_file().exists()


def test_what_a_later_version_has_written_stays():
    change_preferences(each_click=True)
    path = preferences_file()
    path.write_text(json.dumps({**json.loads(path.read_text()), "later": [1]}))
    change_preferences(each_click=False)
    assert json.loads(path.read_text())["later"] == [1]
    assert [one.name for one in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "content", ["not json", '{"policy": "everything"}', '{"mask": {"box_padding": 3}}']
)
def test_a_file_that_is_not_valid_is_named_and_left_alone(content):
    path = preferences_file()
    path.parent.mkdir(parents=True)
    path.write_text(content)
    for call in (read_preferences, lambda: change_preferences(each_click=True)):
        with pytest.raises(SettingsError, match=r"segment_dock\.json is not valid .* deleted"):
            call()
    assert path.read_text() == content


def test_a_folder_that_cannot_be_made_is_said():
    path = preferences_file()
    path.parent.parent.mkdir(parents=True, exist_ok=True)
    path.parent.write_text("a file where the folder should be")
    with pytest.raises(SettingsError, match="cannot be"):
        change_preferences(each_click=True)
