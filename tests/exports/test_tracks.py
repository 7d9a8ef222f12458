"""Tracks as arrays that napari takes, and as a table."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from track_scenes import PARENTS, series, volumes

from napari_anysam import export_labels
from napari_anysam.errors import LabelFileError, LineageError
from napari_anysam.export.tracks import read_tracks, tracks_from_labels


def test_centres_of_every_object_at_every_time_point(kind):
    tracks = tracks_from_labels(kind(series()))
    first = tracks.data[tracks.data[:, 0] == 1]
    np.testing.assert_array_equal(first, [(1, time, 0.5, time + 0.5) for time in range(6)])
    away = tracks.data[tracks.data[:, 0] == 4]
    assert away[:, 1].tolist() == [0, 1, 4, 5]
    assert len(tracks.data) == 27


def test_volumes_have_a_depth_too():
    tracks = tracks_from_labels(volumes())
    first = tracks.data[tracks.data[:, 0] == 1]
    np.testing.assert_array_equal(first[2], (1, 2, 0.5, 0.5, 2.5))
    np.testing.assert_array_equal(first[3], (1, 3, 1.0, 0.5, 3.5))
    assert tracks.properties["pixels"][:6].tolist() == [8, 8, 8, 12, 12, 12]


def test_daughters_are_linked_to_their_mother():
    tracks = tracks_from_labels(series(), parents=PARENTS)
    assert tracks.graph == {5: [2], 6: [2], 7: [3]}
    ids = tracks.data[:, 0]
    assert set(tracks.properties["parent"][ids == 5]) == {2}
    assert set(tracks.properties["parent"][ids == 2]) == {0}


@pytest.mark.parametrize("make", [series, volumes])
def test_napari_takes_them_as_they_are(make):
    from napari.layers import Tracks

    tracks = tracks_from_labels(make(), parents=PARENTS)
    layer = Tracks(tracks.data, graph=tracks.graph, properties=tracks.properties)
    np.testing.assert_array_equal(layer.data, tracks.data)
    assert dict(layer.graph) == tracks.graph
    np.testing.assert_array_equal(layer.properties["pixels"], tracks.properties["pixels"])


@pytest.mark.parametrize("make", [series, volumes])
def test_a_table_gives_back_what_was_written(make, tmp_path):
    path = export_labels(make(), tmp_path / "tracks.csv", format="tracks", parents=PARENTS)
    tracks, again = tracks_from_labels(make(), parents=PARENTS), read_tracks(path)
    np.testing.assert_allclose(again.data, tracks.data, rtol=1e-5)
    assert again.graph == tracks.graph
    for name, values in tracks.properties.items():
        np.testing.assert_array_equal(again.properties[name], values)


def test_the_table_is_one_that_people_can_read(tmp_path):
    path = export_labels(series(), tmp_path / "tracks.csv", format="tracks", parents=PARENTS)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    row = next(row for row in rows if row["id"] == "5")
    assert row == {"id": "5", "t": "3", "y": "4.5", "x": "3.5", "pixels": "4", "parent": "2"}


def test_a_series_without_objects_has_no_track(tmp_path):
    empty = np.zeros((2, 4, 4), np.uint8)
    assert tracks_from_labels(empty).data.shape == (0, 4)
    path = export_labels(empty, tmp_path / "tracks.csv", format="tracks")
    assert read_tracks(path).data.shape == (0, 4)


def test_what_is_no_series_or_no_table_is_refused(tmp_path):
    with pytest.raises(LabelFileError, match="no time series"):
        tracks_from_labels(series()[0])
    with pytest.raises(LabelFileError, match="no time series"):
        tracks_from_labels(volumes(), axes="CZYX")
    with pytest.raises(LineageError, match="itself"):
        tracks_from_labels(series(), parents={1: 1})
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    for name in ("other.csv", "gone.csv"):
        with pytest.raises(LabelFileError, match="could not be read as tracks"):
            read_tracks(tmp_path / name)
