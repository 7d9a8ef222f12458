"""The format of the Cell Tracking Challenge, read by a reader that checks its rules."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from track_scenes import PARENTS, series, volumes

from napari_anysam import export_labels
from napari_anysam.errors import LabelFileError, LineageError
from napari_anysam.export.ctc import ctc_tracks


def read(folder):
    """Read a folder as the challenge's evaluation does; every rule is an assertion."""
    files = sorted(folder.glob("mask*.tif"))
    assert [int(file.stem[4:]) for file in files] == list(range(len(files)))
    masks = np.stack([tifffile.imread(file) for file in files])
    assert masks.dtype == np.uint16
    lines = (folder / "res_track.txt").read_text().splitlines()
    tracks = {int(line.split()[0]): tuple(map(int, line.split()[1:])) for line in lines}
    assert len(tracks) == len(lines)
    assert set(np.unique(masks)) - {0} == set(tracks)
    for label, (begin, end, parent) in tracks.items():
        there = np.flatnonzero([(mask == label).any() for mask in masks])
        assert there.tolist() == list(range(begin, end + 1))
        assert parent == 0 or tracks[parent][1] < begin
    return masks, tracks


def export(labels, tmp_path, **options):
    return export_labels(labels, tmp_path / "02_RES", format="ctc", **options)


def test_ids_are_kept_and_new_ones_begin_after_them(kind, tmp_path):
    masks, tracks = read(export(kind(series()), tmp_path, parents=PARENTS))
    assert tracks == {
        1: (0, 5, 0),
        2: (0, 2, 0),
        3: (0, 3, 0),
        4: (0, 1, 0),
        5: (3, 5, 2),
        6: (3, 5, 2),
        7: (4, 5, 3),
        8: (4, 5, 3),  # 3 goes on beside its daughter
        9: (4, 5, 4),  # 4 is back
    }
    back = np.array([0, 1, 2, 3, 4, 5, 6, 7, 3, 4])
    np.testing.assert_array_equal(back[masks], series())


def test_volumes_are_one_file_with_a_page_per_plane(tmp_path):
    folder = export(volumes(), tmp_path, parents=PARENTS)
    masks, tracks = read(folder)
    assert masks.shape == (6, 3, 12, 20)
    assert len(tracks) == 9
    with tifffile.TiffFile(folder / "mask000.tif") as file:
        assert len(file.pages) == 3
    np.testing.assert_array_equal(masks > 0, volumes() > 0)


def test_ids_that_16_bits_do_not_hold_are_numbered_anew(tmp_path):
    labels = series()
    labels[labels == 2] = 100_000
    masks, tracks = read(export(labels, tmp_path, parents={5: 100_000, 6: 100_000}))
    assert sorted(tracks) == list(range(1, 9))  # seven objects, one of them away for a while
    daughters = [masks[5, 4, 3], masks[5, 4, 8]]
    assert {tracks[label][2] for label in daughters} == {masks[0, 4, 4]}
    np.testing.assert_array_equal(masks > 0, labels > 0)


def test_a_long_series_has_names_of_four_digits(tmp_path):
    folder = export(np.ones((1001, 1, 2), np.uint8), tmp_path)
    assert (folder / "mask1000.tif").exists()
    assert (folder / "mask0000.tif").exists()


def test_a_series_without_objects_has_no_line(tmp_path):
    folder = export(np.zeros((2, 4, 4), np.uint8), tmp_path)
    assert (folder / "res_track.txt").read_text() == ""


def test_an_earlier_export_is_replaced_and_other_folders_are_not(tmp_path):
    export(series(), tmp_path)
    with pytest.raises(LabelFileError, match="exists already"):
        export(series(), tmp_path)
    folder = export(series()[:2], tmp_path, overwrite=True)
    assert len(list(folder.iterdir())) == 3
    (folder / "notes.txt").touch()
    with pytest.raises(LabelFileError, match=r"notes\.txt"):
        export(series(), tmp_path, overwrite=True)


def test_what_is_no_series_is_refused(tmp_path):
    with pytest.raises(LabelFileError, match="no time series"):
        export(series(), tmp_path, axes="ZYX")
    with pytest.raises(LabelFileError, match="no time series"):
        export(series()[0], tmp_path)
    with pytest.raises(LabelFileError, match="no time series"):
        export(volumes(), tmp_path, axes="TCYX")
    assert not list(tmp_path.iterdir())


def test_a_lineage_that_cannot_be_is_refused(tmp_path):
    with pytest.raises(LabelFileError, match="correct the lineage"):
        export(series(), tmp_path, parents={1: 5})
    with pytest.raises(LineageError, match="itself"):
        export(series(), tmp_path, parents={1: 2, 2: 1})


lives = st.dictionaries(
    st.integers(1, 80_000), st.sets(st.integers(0, 12), min_size=1).map(sorted), max_size=12
)


@given(times=lives, data=st.data())
def test_tracks_always_obey_the_rules(times, data):
    parents = {}
    for child in times:
        older = [one for one in times if times[one][0] < times[child][0]]
        if older and data.draw(st.booleans()):
            parents[child] = data.draw(st.sampled_from(older))
    tracks = {track.label: track for track in ctc_tracks(times, parents)}

    covered = sorted(
        (track.object_id, time)
        for track in tracks.values()
        for time in range(track.begin, track.end + 1)
    )
    assert covered == sorted((one, time) for one in times for time in times[one])
    assert all(1 <= label < 2**16 for label in tracks)
    for track in tracks.values():
        if track.parent:
            assert tracks[track.parent].end < track.begin
            assert tracks[track.parent].object_id in (
                track.object_id,
                parents.get(track.object_id),
            )
    for child, parent in parents.items():
        first = min((t for t in tracks.values() if t.object_id == child), key=lambda t: t.begin)
        assert tracks[first.parent].object_id == parent
