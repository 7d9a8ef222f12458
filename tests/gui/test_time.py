"""Cells that divide, their daughters, tracks, and what is saved and exported of them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from gui_scenes import blobs
from napari.utils.notifications import notification_manager
from windowless import Work

from napari_anysam._napari.layer_export import layer_export
from napari_anysam._napari.session_snapshot import snapshot
from napari_anysam._napari.volume_run import VolumeRange
from napari_anysam.export.tracks import read_tracks
from napari_anysam.segmentation.replay import replay
from napari_anysam.segmentation.session_files import load_session, save_session

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("one_thread")]

SHAPE = (64, 96)
BIRTH = 4
TIMES = 9


def centres(time):
    """One cell until its division, then two that go apart; another one that does not divide."""
    if time < BIRTH:
        return [(24, 40, 13)]
    apart = 11 + 2 * (time - BIRTH)
    return [(24, 40 - apart, 9), (24, 40 + apart, 8)]


def series():
    return np.stack([blobs(SHAPE, centres(time), seed=time) for time in range(TIMES)])


@pytest.fixture
def followed(loaded_model):
    """A series in which one cell was clicked at its start and followed to the end."""
    work = Work(series(), name="cells", scale=(1, 0.5, 0.5), translate=(0, 3, -4))
    work.viewer.dims.set_point(0, 0)
    work.keep((0, 24, 40))
    work.propagate()
    work.wait(
        lambda: work.control.stacks.divisions.state.in_words.endswith(("divides.", "divide."))
    )
    yield work
    work.control.close()


def offered(work):
    return work.control.stacks.divisions.state.offered


def accept(work):
    (division,) = offered(work)
    work.control.stacks.divisions.accept(division)
    assert work.control.stacks.runs.busy
    work.wait(lambda: not work.control.stacks.runs.busy)
    work.wait(lambda: work.control.stacks.divisions._ticket is None)


def ids(work):
    return [np.unique(plane[plane > 0]).tolist() for plane in work.labels]


def test_a_cell_that_falls_in_two_is_offered_after_the_run(followed):
    (division,) = offered(followed)
    assert (division.parent, division.time) == (1, BIRTH)
    assert followed.control.stacks.divisions.state.in_words == "1 cell divides."


def test_accepted_daughters_have_ids_of_their_own_and_undo_takes_them_back(followed):
    before = followed.labels.copy()
    accept(followed)
    session = followed.control.workspace.session
    daughters = sorted(session.parents)
    assert session.parents == dict.fromkeys(daughters, 1)
    assert ids(followed) == [[1]] * BIRTH + [daughters] * (TIMES - BIRTH)
    left, right = (followed.labels[-1] == one for one in sorted(daughters, key=place_of(followed)))
    assert left[24, 21]
    assert right[24, 59]
    assert not offered(followed)
    after = followed.labels.copy()
    followed.control.undo()
    assert np.array_equal(followed.labels, before)
    assert session.parents == {}
    assert len(offered(followed)) == 1
    followed.control.redo()
    assert np.array_equal(followed.labels, after)
    assert sorted(session.parents) == daughters


def place_of(work):
    return lambda one: np.argwhere(work.labels[-1] == one)[:, 1].mean()


def test_a_family_comes_back_from_its_folder_and_is_made_again_from_its_prompts(followed, tmp_path):
    accept(followed)
    work = followed.control.workspace
    taken = snapshot(work)
    save_session(tmp_path, taken.session(), taken.labels())
    loaded = load_session(tmp_path)
    assert loaded.session.parents == work.session.parents
    assert np.array_equal(replay(loaded, followed.image.data), followed.labels)


def test_another_run_leaves_mothers_and_daughters_to_their_times(followed, tmp_path):
    accept(followed)
    before = ids(followed)
    followed.propagate()
    assert ids(followed) == before
    shares = [(plane > 0).sum() for plane in followed.labels]
    assert min(shares[BIRTH:]) > 300  # the mother takes nothing from her daughters
    taken = snapshot(followed.control.workspace)
    save_session(tmp_path, taken.session(), taken.labels())
    again = replay(load_session(tmp_path), followed.image.data)
    assert np.array_equal(again, followed.labels)


def test_a_cancelled_division_leaves_the_mother_where_no_daughter_came(followed, tmp_path):
    before = followed.labels.copy()
    (division,) = offered(followed)
    followed.control.stacks.divisions.accept(division)
    followed.wait(lambda: followed.control.status.done >= 2)
    followed.control.cancel()
    followed.wait(lambda: not followed.control.stacks.runs.busy)
    daughters = sorted(followed.control.workspace.session.parents)
    came = [one == daughters for one in ids(followed)]
    last = max(np.flatnonzero(came))
    assert last < TIMES - 1
    assert ids(followed) == [[1]] * BIRTH + [daughters] * (last + 1 - BIRTH) + [[1]] * (
        TIMES - 1 - last
    )
    assert np.array_equal(followed.labels[last + 1 :], before[last + 1 :])
    part = followed.labels.copy()
    followed.control.undo()
    assert np.array_equal(followed.labels, before)
    followed.control.redo()
    assert np.array_equal(followed.labels, part)
    followed.propagate()  # the daughters are followed on, and their mother ends as they come
    assert ids(followed) == [[1]] * BIRTH + [daughters] * (TIMES - BIRTH)
    assert not followed.control.workspace.session.missed
    taken = snapshot(followed.control.workspace)
    save_session(tmp_path, taken.session(), taken.labels())
    again = replay(load_session(tmp_path), followed.image.data)
    assert np.array_equal(again, followed.labels)


def test_what_was_dismissed_is_not_offered_again(followed):
    divisions = followed.control.stacks.divisions
    divisions.dismiss(offered(followed)[0])
    assert divisions.state.in_words == "No cell divides."
    divisions.look()
    followed.wait(lambda: divisions._ticket is None)
    assert not offered(followed)
    followed.control.undo()
    assert len(offered(followed)) == 1
    followed.control.redo()
    assert not offered(followed)


def test_what_was_dismissed_stays_so_in_a_session_that_is_opened_again(followed, tmp_path):
    control = followed.control
    control.stacks.divisions.dismiss(offered(followed)[0])
    taken = snapshot(control.workspace)
    save_session(tmp_path, taken.session(), taken.labels())
    assert offered_again(tmp_path) == 0
    file = tmp_path / "session.json"
    earlier = json.loads(file.read_text())
    del earlier["dismissed"]  # as it was written before divisions could be dismissed for good
    file.write_text(json.dumps(earlier))
    assert offered_again(tmp_path) == 1


def offered_again(folder):
    """Open a session, look for divisions, and count them."""
    work = Work(series(), name="cells")
    work.control.restore(work.image, load_session(folder))
    divisions = work.control.stacks.divisions
    divisions.look()
    work.wait(lambda: divisions._ticket is None)
    count = len(offered(work))
    work.control.close()
    return count


def test_a_mother_that_was_reviewed_later_on_is_not_ended(followed):
    session, before = followed.control.workspace.session, followed.labels.copy()
    session.review([(1, BIRTH + 1)])
    followed.control.stacks.divisions.accept(offered(followed)[0])
    assert "reviewed at time point 5" in str(notification_manager.records[-1].message)
    assert not followed.control.stacks.runs.busy
    assert np.array_equal(followed.labels, before)


def test_a_stack_of_depths_has_no_time(followed):
    assert not followed.control.stacks.tracks.why_not
    followed.image.axis_labels = ("z", "y", "x")
    assert "no time axis" in followed.control.stacks.divisions.state.no_look
    assert "first axis is time" in followed.control.stacks.tracks.why_not


def test_tracks_lie_on_the_image_and_follow_the_labels(followed):
    tracks, viewer = followed.control.stacks.tracks, followed.viewer

    def show():
        tracks.show()
        followed.wait(lambda: tracks._ticket is None)
        return viewer.layers["cells tracks"]

    layer = show()
    assert len(layer.data) == TIMES
    assert np.allclose(layer.scale, followed.image.scale)
    assert np.allclose(layer.translate, followed.image.translate)
    accept(followed)
    assert show() is layer
    daughters = sorted(followed.control.workspace.session.parents)
    assert dict(layer.graph) == {one: [1] for one in daughters}
    assert np.unique(layer.data[:, 0]).tolist() == [1, *daughters]
    followed.control.undo()
    assert show() is layer
    assert not layer.graph
    assert len(layer.data) == TIMES


@pytest.mark.parametrize("name", ["tracks", "ctc"])
def test_the_lineage_is_exported_with_the_labels(followed, tmp_path, name):
    accept(followed)
    path = tmp_path / ("tracks.csv" if name == "tracks" else "01_RES")
    layer_export(followed.control.labels, None, path, name)()
    daughters = sorted(followed.control.workspace.session.parents)
    if name == "tracks":
        assert read_tracks(path).graph == {one: [1] for one in daughters}
    else:
        rows = [row.split() for row in (path / "res_track.txt").read_text().splitlines()]
        assert {int(row[0]): int(row[3]) for row in rows} == {1: 0, **dict.fromkeys(daughters, 1)}


def test_the_dock_says_what_divides_shows_it_and_lets_it_be_accepted(desk):
    image = desk.add(series(), name="cells")
    desk.viewer.dims.set_point(0, 0)
    desk.click(image, (0, 24, 40))
    desk.wait(lambda: desk.preview is not None)
    time = desk.widget.time
    assert not time.accept_button.isEnabled()
    assert "in the list first" in time.accept_button.toolTip()
    desk.press(desk.widget.stack.run_button)
    desk.wait(lambda: time.words.text() == "1 cell divides.")
    assert time.list.item(0).text() == f"object 1, time {BIRTH}"
    assert time.minimumSizeHint().width() <= 250
    desk.press(time.show_button)
    assert round(desk.viewer.dims.point[0]) == BIRTH
    desk.press(time.accept_button)
    desk.wait(lambda: not desk.control.stacks.runs.busy and time.words.text() == "No cell divides.")
    assert set(np.unique(desk.labels[-1])) == {0, *desk.control.workspace.session.parents}
    desk.press(time.tracks_button)
    desk.wait(lambda: "cells tracks" in desk.viewer.layers)
    assert dict(desk.viewer.layers["cells tracks"].graph).keys() == set(
        desk.control.workspace.session.parents
    )


@pytest.fixture
def volumes(loaded_model):
    """One bright ball in three volumes, clicked on the middle plane of the second."""
    planes = [
        [blobs((48, 64), [(22 + time, 30, 11 - abs(plane - 1))], seed=time) for plane in range(3)]
        for time in range(3)
    ]
    work = Work(np.array(planes), name="volumes")
    work.viewer.dims.set_point((0, 1), (1, 1))
    work.keep((1, 1, 23, 30))
    yield work
    work.control.close()


def follow_volumes(work):
    assert not work.control.stacks.cannot_follow_volumes
    work.control.stacks.follow_volumes()
    assert work.control.status.total == 9
    assert work.control.stacks.cannot_follow_volumes.startswith("Something runs already")


def finish(work):
    work.wait(lambda: not work.control.stacks.runs.busy)


def test_one_id_goes_through_z_and_t_is_undone_at_once_and_made_again(volumes, tmp_path):
    session = volumes.control.workspace.session
    reviewed = (1, volumes.control.workspace.frame().at(0, 2).number)
    session.review([reviewed])
    follow_volumes(volumes)
    finish(volumes)
    filled = (volumes.labels == 1).any(axis=(2, 3))
    assert filled.sum() == 8
    assert not filled[2, 1]  # reviewed as empty
    taken = snapshot(volumes.control.workspace)
    save_session(tmp_path, taken.session(), taken.labels())
    again = replay(load_session(tmp_path), volumes.image.data)
    assert np.array_equal(again, volumes.labels)
    volumes.control.undo()
    assert np.argwhere(volumes.labels.any(axis=(2, 3))).tolist() == [[1, 1]]


def test_a_run_through_z_and_t_stays_in_its_range_and_is_made_again(volumes, tmp_path):
    volumes.control.stacks.follow_volumes(VolumeRange(0, 2, 1, 2, "forward"))
    assert volumes.control.status.total == 4
    finish(volumes)
    assert volumes.control.stacks.runs.last.done == 4
    filled = np.argwhere(volumes.labels.any(axis=(2, 3))).tolist()
    assert filled == [[1, 1], [1, 2], [2, 1], [2, 2]]
    taken = snapshot(volumes.control.workspace)
    save_session(tmp_path, taken.session(), taken.labels())
    again = replay(load_session(tmp_path), volumes.image.data)
    assert np.array_equal(again, volumes.labels)


def test_a_cancelled_run_through_z_and_t_keeps_what_it_wrote(volumes):
    follow_volumes(volumes)
    volumes.wait(lambda: volumes.control.status.done >= 2)
    volumes.control.cancel()
    finish(volumes)
    filled = (volumes.labels == 1).any(axis=(2, 3))
    assert 2 <= filled.sum() < 9
    assert not volumes.control.stacks.cannot_follow_volumes


DEPTH = 3


@pytest.fixture
def dividing_volumes(loaded_model):
    """The dividing cell in volumes of three planes, followed through z and t."""
    planes = [
        [
            blobs(
                SHAPE,
                [(row, column, radius - abs(plane - 1)) for row, column, radius in centres(time)],
                seed=DEPTH * time + plane,
            )
            for plane in range(DEPTH)
        ]
        for time in range(TIMES)
    ]
    work = Work(np.array(planes), name="cells", axis_labels=("t", "z", "y", "x"))
    work.viewer.dims.set_point((0, 1), (0, 1))
    work.keep((0, 1, 24, 40))
    work.control.stacks.follow_volumes()
    finish(work)
    work.wait(
        lambda: work.control.stacks.divisions.state.in_words.endswith(("divides.", "divide."))
    )
    yield work
    work.control.close()


def ids_in_volumes(work):
    return [np.unique(volume[volume > 0]).tolist() for volume in work.labels]


def test_a_cell_of_volumes_divides_in_all_its_planes(dividing_volumes, tmp_path):
    work = dividing_volumes
    before = work.labels.copy()
    (division,) = offered(work)
    assert (division.parent, division.time, division.in_volumes) == (1, BIRTH, True)
    work.control.stacks.divisions.show(division)
    assert work.control.workspace.frame().index == (BIRTH, division.plane)
    accept(work)
    session = work.control.workspace.session
    daughters = sorted(session.parents)
    assert session.parents == dict.fromkeys(daughters, 1)
    assert ids_in_volumes(work) == [[1]] * BIRTH + [daughters] * (TIMES - BIRTH)
    born = [work.labels[BIRTH] == one for one in daughters]
    assert np.array_equal(born[0] | born[1], before[BIRTH] > 0)
    assert all(body.any(axis=(1, 2)).all() for body in born)
    assert not offered(work)
    after = work.labels.copy()
    taken = snapshot(work.control.workspace)
    save_session(tmp_path, taken.session(), taken.labels())
    assert np.array_equal(replay(load_session(tmp_path), work.image.data), after)
    layer_export(work.control.labels, None, tmp_path / "01_RES", "ctc")()
    rows = [row.split() for row in (tmp_path / "01_RES/res_track.txt").read_text().splitlines()]
    assert {int(row[0]): int(row[3]) for row in rows} == {1: 0, **dict.fromkeys(daughters, 1)}
    work.control.stacks.tracks.show()
    work.wait(lambda: work.control.stacks.tracks._ticket is None)
    assert dict(work.viewer.layers["cells tracks"].graph) == {one: [1] for one in daughters}
    work.control.undo()
    assert np.array_equal(work.labels, before)
    assert len(offered(work)) == 1


def test_a_cancelled_division_of_volumes_loses_no_pixel_of_the_mother(dividing_volumes):
    work = dividing_volumes
    before = work.labels.copy()
    work.control.stacks.divisions.accept(offered(work)[0])
    work.wait(lambda: work.control.status.done >= DEPTH + 1)
    work.control.cancel()
    finish(work)
    daughters = sorted(work.control.workspace.session.parents)
    came = np.isin(work.labels, daughters).any(axis=(2, 3))
    assert came.any()
    assert not came.all(axis=1)[BIRTH:].all()
    assert np.array_equal(work.labels[~came], before[~came])
    assert not (work.labels[came] == 1).any()
    work.control.stacks.follow_volumes()
    finish(work)
    assert ids_in_volumes(work) == [[1]] * BIRTH + [daughters] * (TIMES - BIRTH)


def test_the_dock_offers_range_and_direction_for_volumes_only(desk):
    planes = [[blobs((48, 64), [(22, 30, 10)], seed=time)] * 3 for time in range(3)]
    time = desk.widget.time
    assert not time.range.isVisibleTo(time)
    image = desk.add(np.array(planes), name="volumes", axis_labels=("t", "z", "y", "x"))
    desk.viewer.dims.set_point((0, 1), (1, 1))
    desk.click(image, (1, 1, 22, 30))
    desk.wait(lambda: desk.preview is not None)
    assert time.range.isVisibleTo(time)
    assert (time.range.last_plane.value(), time.range.last_time.maximum()) == (2, 2)
    time.range.first_plane.setValue(1)
    time.range.direction.setCurrentIndex(2)
    assert time.minimumSizeHint().width() <= 250
    desk.press(time.volumes_button)
    desk.wait(lambda: not desk.control.stacks.runs.busy)
    filled = np.argwhere(desk.labels.any(axis=(2, 3))).tolist()
    assert filled == [[0, 1], [0, 2], [1, 1], [1, 2]]


def test_one_slider_is_not_enough_for_z_and_t(followed):
    assert "two sliders" in followed.control.stacks.cannot_follow_volumes
