"""What a run will take is told before it begins, from what was measured here."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from comparison import AS_IT_IS
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from napari_anysam import Prompt
from napari_anysam.errors import PromptError
from napari_anysam.images.planes import Planes
from napari_anysam.models.measurements import Measurement, Measurements, default_measurements
from napari_anysam.networks.measuring import MEASURED_ENCODES
from napari_anysam.segmentation.consensus_size import room_for_consensus, size_of_consensus
from napari_anysam.segmentation.run_estimate import estimate_run
from napari_anysam.segmentation.run_output import room_for_output
from napari_anysam.segmentation.run_size import size_of_run
from napari_anysam.segmentation.tracking import Tracker
from napari_anysam.segmentation.tracking_plan import make_plan

SHAPE = (2048, 2048)
MEASURED = Measurement(
    "sam2.1-tiny", "cpu", "fp32", 2.0, 10**9, threads=2, date="2026", track_seconds=3.0
)


def boxes(*places, plane=0):
    return [
        Prompt(number, plane, box=(row, column, row + 40, column + 40))
        for number, (row, column) in enumerate(places, start=1)
    ]


def size_for(prompts, count=100, region="auto", **options):
    return size_of_run(make_plan(prompts, SHAPE, count, **options), SHAPE, 256, region)


def estimate_for(
    size, measurement=MEASURED, image_size=1024, memory=10**12, disk=10**12, output=None
):
    return estimate_run(
        size,
        measurement,
        image_size=image_size,
        label_bytes=2,
        free_memory_bytes=memory,
        free_disk_bytes=disk,
        output=output,
    )


def test_objects_in_one_region_share_an_encode():
    # 99 planes to follow, and two anchors.
    assert size_for(boxes((100, 100), (104, 108))).encodes == 99 + 2
    assert size_for(boxes((100, 100), (1800, 1800))).encodes == 2 * 99 + 2
    assert size_for(boxes((100, 100), (1800, 1800)), region="plane").encodes == 99 + 2


def test_a_click_does_not_tell_how_large_its_region_is():
    clicks = [Prompt(number, 0, points=[(100, 100)]) for number in (1, 2, 3)]
    assert size_for(clicks).encodes == 300  # 297 and three anchors


def test_only_what_is_between_anchors_waits():
    assert size_for(boxes((5, 5), plane=50)).waiting_bytes == 0
    both = [Prompt(1, plane, box=(0, 0, 40, 40)) for plane in (10, 90)]
    # The backward pass wins beyond the middle, and is compared with the forward one before it.
    assert size_for(both).waiting_bytes == 2 * 40 * 40 * 79
    assert size_for(both, direction="forward").waiting_bytes == 0


def test_time_is_what_was_measured():
    estimate = estimate_for(size_for(boxes((100, 100), (1800, 1800)), count=10))
    assert estimate.seconds == 20 * 2.0 + 18 * 3.0
    assert estimate.lines[0] == "time: about 2 min"
    assert estimate.fits
    assert not estimate.proposals


def test_a_run_that_stops_at_ends_takes_no_longer_than_is_said():
    size = size_for(boxes((100, 100)), count=10)
    room = {"label_bytes": 2, "free_memory_bytes": 10**12, "free_disk_bytes": 10**12}
    ended = estimate_run(size, MEASURED, image_size=1024, stops_at_ends=True, **room)
    assert ended.seconds == estimate_for(size).seconds
    assert ended.lines[0] == "time: about 47 s at most, less where objects end before"


def test_what_was_not_measured_is_not_claimed():
    size = size_for(boxes((100, 100)), count=10)
    assert "unknown" in estimate_for(size, None).lines[0]
    rough = estimate_for(size, replace(MEASURED, track_seconds=None))
    assert rough.seconds == 10 * 2.0 + 9 * 2.0
    assert "rough" in rough.lines[0]


def test_a_run_of_hours_is_worth_a_proposal():
    size = size_for(boxes((100, 100), (1800, 1800)), count=2000)
    proposals = estimate_for(size).proposals
    assert any("medsam2" in one for one in proposals)
    assert any("--start" in one for one in proposals)
    assert any("--region plane" in one for one in proposals)
    assert not any("medsam2" in one for one in estimate_for(size, image_size=256).proposals)


def smaller_run(count):
    """The same run with images of 512 pixels, and what is said where the network takes them."""
    prompts = boxes((100, 100), (1800, 1800))
    plan = make_plan(prompts, SHAPE, count)
    large, small = (size_of_run(plan, SHAPE, side, "auto") for side in (1024, 512))
    measured = replace(MEASURED, image_size=1024)
    said = estimate_run(
        large,
        measured,
        image_size=1024,
        label_bytes=2,
        free_memory_bytes=10**12,
        free_disk_bytes=10**12,
        smaller=small,
    )
    return small, measured, said


def test_fewer_pixels_are_proposed_first_with_their_time():
    small, measured, said = smaller_run(2000)
    assert said.remedies[0] == "size"
    assert said.smaller_seconds == small.encodes * 2.0 / 4 + small.visits * 3.0 / 8
    assert said.smaller_seconds < said.seconds
    hours = said.smaller_seconds / 3600
    assert said.proposals[0].startswith("let the model see 512 pixels (--image-size 512)")
    assert said.proposals[0].endswith(f"masks: about {60 * hours:.0f} min.")
    followed = estimate_for(small, measured, image_size=512)
    assert followed.seconds == said.smaller_seconds
    assert followed.guessed  # nothing was followed with 512 pixels yet
    assert "size" not in followed.remedies


def test_fewer_pixels_are_not_proposed_where_they_do_not_help():
    assert not smaller_run(5)[2].remedies
    size = size_for(boxes((100, 100)), count=5000)
    assert "size" not in estimate_for(size).remedies  # the network sees one size only


def test_what_does_not_fit_is_told():
    size = size_for(boxes((100, 100), (1800, 1800)))
    crowded = estimate_for(size, memory=10**9)
    assert not crowded.fits
    assert any("fewer objects" in one for one in crowded.proposals)
    full = estimate_for(size, disk=10**6)
    assert not full.fits
    assert full.proposals == ("write to another disk, or make room on this one.",)


def test_a_medical_volume_is_held_as_a_whole_at_the_end():
    size, shape = size_for(boxes((100, 100))), (400, *SHAPE)
    lazy = estimate_for(size, output=room_for_output(".zarr", shape, 2, size))
    assert lazy.memory_bytes == estimate_for(size).memory_bytes
    whole = 2 * 400 * 2048 * 2048
    for ending in (".nii", ".nii.gz", ".nrrd", ".mha", ".dcm"):
        output = room_for_output(ending, shape, 2, size)
        held = estimate_for(size, output=output)
        assert held.memory_bytes - lazy.memory_bytes > 2.5 * whole
        assert "write .zarr" in estimate_for(size, memory=3 * whole, output=output).warning
    assert estimate_for(size, output=output).warning == ""


def test_what_the_disk_cannot_hold_is_known_before():
    size, shape = size_for(boxes((100, 100))), (100, *SHAPE)
    volume = room_for_output(".nii", shape, 2, size)
    whole = 2 * 100 * 2048 * 2048
    assert not estimate_for(size, disk=2 * whole, output=volume).impossible
    short = estimate_for(size, disk=whole, output=volume)
    assert short.impossible
    assert "839 MB are free" in short.refusal
    assert not estimate_for(
        size, disk=whole, output=room_for_output(".nii.gz", shape, 2, size)
    ).impossible


def test_a_consensus_takes_the_planes_of_three_axes():
    size, shape = size_for(boxes((100, 100), (1800, 1800)), count=10), (10, *SHAPE)
    three = size_of_consensus(size, shape, 0, (2.0, 1.0, 1.0), "auto")
    assert three.visits == size.visits + 2 * 2 * (2048 - 1)
    assert three.encodes == size.encodes + 2 * 2 * 2048
    assert three.plane_pixels == 2048 * 2048
    deep = size_of_consensus(size, shape, 0, (1000.0, 1.0, 1.0), "plane")
    assert deep.encodes == size.encodes + 2 * 2048
    assert deep.plane_pixels == 10_000 * 2048
    room = room_for_consensus(shape, 2, size, room_for_output(".tif", shape, 2, size))
    assert room.memory_bytes >= 8 * 10 * 2048 * 2048


def counted(plan, regions):
    """The same by the plan's own questions, plane by plane."""
    visits = encodes = 0
    waiting = []
    for step in plan.steps:
        for plane in plan.planes(step):
            active = plan.active(plane, step)
            followed = [number for number in active if plane not in plan.anchors[number]]
            visits += len(followed)
            encodes += len({regions[number] for number in followed})
            waiting += [number for number in active if plan.returns(plane, step)]
    return visits, encodes, len(waiting)


@settings(deadline=None)
@given(
    st.dictionaries(st.tuples(st.integers(1, 4), st.integers(0, 11)), st.none(), min_size=1),
    st.sampled_from(["both", "forward", "backward"]),
    st.tuples(st.integers(0, 11), st.integers(1, 12)),
)
def test_what_is_counted_is_what_the_plan_does(keys, direction, span):
    prompts = [Prompt(number, plane, box=(0, 0, 40, 40)) for number, plane in keys]
    try:
        plan = make_plan(prompts, SHAPE, 12, direction, min(span), max(span))
    except PromptError:
        assume(False)
    size = size_of_run(plan, SHAPE, 256, "auto")
    visits, encodes, waiting = counted(plan, dict.fromkeys(plan.anchors, 0))
    assert size.visits == visits
    assert size.encodes == encodes + size.anchors
    assert size.waiting_bytes == 2 * 40 * 40 * waiting


@given(st.integers(1, 5), st.integers(1, 60), st.integers(0, 59), st.data())
def test_more_planes_and_objects_never_cost_less(objects, count, plane, data):
    plane = min(plane, count - 1)
    prompts = boxes(*((40 * one, 40 * one) for one in range(objects)), plane=plane)
    direction = data.draw(st.sampled_from(["both", "forward", "backward"]))
    size = size_for(prompts, count, direction=direction)
    longer = size_for(prompts, count + 1, direction=direction)
    more = size_for([*prompts, Prompt(9, plane, points=[(9, 9)])], count, direction=direction)
    assert size.visits == (size.planes - 1) * objects
    assert size.encodes <= size.visits + size.anchors
    for larger in (longer, more):
        ours, theirs = estimate_for(size), estimate_for(larger)
        assert ours.seconds <= theirs.seconds
        assert ours.memory_bytes <= theirs.memory_bytes
        assert ours.disk_bytes <= theirs.disk_bytes


def test_memory_depends_on_regions_and_not_on_the_plane():
    shape = (40_000, 40_000)
    for prompt in (*boxes((100, 100)), Prompt(1, 0, points=[(9, 9)])):
        plan = make_plan([prompt], shape, 100)
        size = size_of_run(plan, shape, 256, "auto")
        assert estimate_for(size).memory_bytes < 4e9  # a byte for every pixel would be 1.6e9 more
    in_planes = estimate_for(size_for(boxes((100, 100)), region="plane"))
    assert in_planes.memory_bytes >= estimate_for(size_for(boxes((100, 100)))).memory_bytes


@pytest.fixture
def measurements(tmp_path, monkeypatch):
    monkeypatch.setenv("ANYSAM_CACHE", str(tmp_path))
    return default_measurements()


def encoded_before(model):
    """Return what is known of a model that was clicked with and has followed nothing yet."""
    return Measurement(
        model.name,
        "cpu",
        "fp32",
        1e-6,
        10**8,
        threads=1,
        date="2026",
        encodes=3,
        image_size=model.image_size,
    )


def test_a_run_measures_what_following_costs(nano, moving_discs, measurements):
    tracker = Tracker(nano, Planes(moving_discs[0]), AS_IT_IS)
    known = encoded_before(nano)
    measurements.record(known)
    prompt = Prompt(1, 0, mask=moving_discs[1][0] == 1)
    assert len(list(tracker.run([prompt]))) == len(moving_discs[0])
    measured = measurements.find(nano.name)
    assert 1e-4 < measured.track_seconds < 60
    assert measured.encodes == MEASURED_ENCODES
    assert measured.encode_seconds == known.encode_seconds


def test_a_short_run_measures_nothing(nano, moving_discs, measurements):
    measurements.record(encoded_before(nano))
    tracker = Tracker(nano, Planes(moving_discs[0][:5]), AS_IT_IS)
    assert list(tracker.run([Prompt(1, 0, mask=moving_discs[1][0] == 1)]))
    assert measurements.find(nano.name).track_seconds is None


def test_what_was_written_before_following_was_measured_is_read(tmp_path):
    path = tmp_path / "measurements.json"
    Measurements(path).record(replace(MEASURED, track_seconds=None))
    path.write_text(path.read_text().replace(',\n    "track_seconds": null', ""))
    assert "track_seconds" not in path.read_text()
    assert Measurements(path).find("sam2.1-tiny").encode_seconds == 2.0
    assert np.isclose(Measurements(path).all()[0].memory_bytes, 1e9)
