"""The evaluation on real images: its simulated user, its classical answers, what it counts."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_anysam.networks.protocol import PromptableModel

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
if not BENCHMARKS.is_dir():
    pytest.skip("the benchmarks are only in a source checkout", allow_module_level=True)
pytest.importorskip("nibabel")


@pytest.fixture(scope="module")
def quality() -> Iterator[SimpleNamespace]:
    """Import the evaluation, whose modules are scripts beside each other, not a package."""
    before = set(sys.modules)
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import quality
        import quality_classical
        import quality_follow
        import quality_picture
        import quality_planes
        import quality_prompts
        import quality_run
        import quality_sets
        import quality_table

        yield SimpleNamespace(
            classical=quality_classical,
            follow=quality_follow,
            main=quality,
            picture=quality_picture,
            planes=quality_planes,
            prompts=quality_prompts,
            run=quality_run,
            sets=quality_sets,
            table=quality_table,
        )
    finally:
        sys.path.remove(str(BENCHMARKS))
        for name in set(sys.modules) - before:
            if str(BENCHMARKS) in str(getattr(sys.modules[name], "__file__", "")):
                del sys.modules[name]


def disc(row: int = 20, column: int = 20, radius: int = 8, size: int = 48) -> np.ndarray:
    rows, columns = np.mgrid[:size, :size]
    return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2


def picture_of(mask: np.ndarray, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 4, mask.shape)
    return (40 + 140 * mask + noise).clip(0, 255).astype(np.uint8)


def stack_of_discs(count: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Return a stack and its labels: a disc that is on all planes but the first."""
    masks = np.stack([disc(20 + plane, 22) for plane in range(count)])
    masks[0] = False
    return picture_of(masks), masks.astype(np.int32) * 3


# The simulated user


def test_the_first_click_goes_to_the_middle_of_a_disc(quality: SimpleNamespace) -> None:
    assert quality.prompts.interior_pixel(disc(17, 30)) == (17, 30)


def test_the_border_of_the_plane_is_outside(quality: SimpleNamespace) -> None:
    assert quality.prompts.interior_pixel(np.ones((9, 9), bool)) == (4, 4)


def test_a_missed_part_gets_a_positive_click(quality: SimpleNamespace) -> None:
    truth = disc(10, 10, 5) | disc(30, 30, 7)
    click = quality.prompts.next_click(disc(10, 10, 5), truth)
    assert click == ((30, 30), True)


def test_an_extra_part_gets_a_negative_click(quality: SimpleNamespace) -> None:
    truth = disc(10, 10, 5)
    click = quality.prompts.next_click(truth | disc(30, 30, 7), truth)
    assert click == ((30, 30), False)


def test_the_larger_of_two_errors_comes_first(quality: SimpleNamespace) -> None:
    missed, extra = disc(10, 10, 4), disc(30, 30, 7)
    assert quality.prompts.next_click(extra, missed) == ((30, 30), False)


def test_many_small_errors_do_not_hide_the_largest(quality: SimpleNamespace) -> None:
    truth = disc(12, 12, 6)
    small = np.zeros_like(truth)
    small[30:46:2, 2:46:2] = True
    assert quality.prompts.next_click(small, truth) == ((12, 12), True)


def test_nothing_is_clicked_where_nothing_is_wrong(quality: SimpleNamespace) -> None:
    assert quality.prompts.next_click(disc(), disc()) is None


def test_a_box_is_padded_and_stays_in_the_plane(quality: SimpleNamespace) -> None:
    mask = np.zeros((40, 60), bool)
    mask[0:20, 10:50] = True
    assert quality.prompts.padded_box(mask) == pytest.approx((0.0, 8.0, 21.0, 52.0))


def test_clicks_are_counted_until_the_iou_is_reached_first(quality: SimpleNamespace) -> None:
    count = quality.prompts.clicks_needed
    assert count([0.5, 0.85, 0.7], 0.8, 10) == 2
    assert count([0.5, 0.85, 0.7], 0.9, 10) == 10


# Classical answers


def test_a_flood_fills_a_clear_disc(quality: SimpleNamespace) -> None:
    grey = quality.classical.smooth_grey(np.repeat(picture_of(disc())[..., None], 3, axis=2))
    mask = quality.classical.flooded(grey, (20, 20), 0.2)
    assert quality.prompts.overlap(mask, disc()) > 0.85


@pytest.mark.parametrize("side", [32, 48, 256])
def test_a_random_walker_finds_a_clear_disc(quality: SimpleNamespace, side: int) -> None:
    grey = quality.classical.smooth_grey(np.repeat(picture_of(disc())[..., None], 3, axis=2))
    mask = quality.classical.walked(grey, (20, 20), side)
    assert quality.prompts.overlap(mask, disc()) > 0.8


def test_a_random_walker_shrinks_a_large_square(quality: SimpleNamespace) -> None:
    large = disc(100, 90, 40, size=200)
    grey = quality.classical.smooth_grey(np.repeat(picture_of(large)[..., None], 3, axis=2))
    mask = quality.classical.walked(grey, (100, 90), 200)
    assert mask.shape == large.shape
    assert quality.prompts.overlap(mask, large) > 0.8


def test_a_random_walker_answers_at_the_corner_and_on_flat_ground(quality: SimpleNamespace) -> None:
    flat = np.zeros((40, 40))
    assert quality.classical.walked(flat, (0, 39), 32).sum() == 1
    assert quality.classical.walked(flat + np.eye(40), (39, 39), 32).any()


def test_one_setting_serves_the_whole_set(quality: SimpleNamespace) -> None:
    answers = [{"flood 0.1": 0.9, "walker 32": 0.6}, {"flood 0.1": 0.1, "walker 32": 0.6}]
    assert quality.classical.best_setting(answers) == "walker 32"


# Data sets


def test_objects_are_prompted_on_the_plane_where_they_are_largest(quality: SimpleNamespace) -> None:
    labels = np.zeros((4, 20, 20), np.int32)
    labels[1, :3, :3], labels[2, :5, :5], labels[3, 10:12, 10:12] = 7, 7, 2
    sample = quality.sets.Sample("stack", labels, labels)
    found = [(one.object_id, one.plane, one.truth.sum()) for one in quality.sets.targets_of(sample)]
    assert found == [(2, 3, 4), (7, 2, 25)]
    assert [one.object_id for one in quality.sets.targets_of(sample, over=24)] == [7]
    assert quality.sets.targets_of(sample, over=25) == []


def test_objects_of_an_image_lie_on_its_only_plane(quality: SimpleNamespace) -> None:
    labels = disc().astype(np.int32)
    (target,) = quality.sets.targets_of(quality.sets.Sample("image", labels, labels))
    assert target.plane == 0


def test_a_series_starts_with_what_its_first_frame_shows(quality: SimpleNamespace) -> None:
    _, labels = stack_of_discs()
    labels[0, :2, :2] = 9
    found = quality.sets.targets_in_first_frame(quality.sets.Sample("series", labels, labels))
    assert [(one.object_id, one.plane) for one in found] == [(9, 0)]


def test_a_few_objects_are_evenly_spaced_from_first_to_last(quality: SimpleNamespace) -> None:
    assert quality.sets.evenly_spaced(list(range(9)), 3) == [0, 4, 8]
    assert quality.sets.evenly_spaced([1, 2], 3) == [1, 2]


def test_every_set_has_a_name_of_its_own_and_every_bar_has_sets(quality: SimpleNamespace) -> None:
    names = [row.name for row in quality.sets.SETS]
    assert len(set(names)) == len(names)
    assert {name for bar in quality.table.BARS for name in bar.sets} <= set(names)


def test_all_sets_of_the_data_folder_load(quality: SimpleNamespace, real_data: Path) -> None:
    for row in quality.sets.SETS:
        if not (real_data / row.folder).is_dir():
            continue
        for sample in row.load(real_data / row.folder):
            colours = sample.image.ndim - sample.labels.ndim
            assert colours in (0, 1), row.name
            assert sample.image.shape[: sample.labels.ndim] == sample.labels.shape, row.name
            assert (sample.labels > 0).any(), row.name


# Following


def test_an_object_survives_until_it_is_first_lost_on_either_side(quality: SimpleNamespace) -> None:
    ious = {1: 0.9, 2: 0.4, 3: 0.8, 5: 0.7, 6: 0.6, 7: 0.5, 8: 0.1, 9: 0.9}
    assert quality.follow.survived(ious, prompted=4) == 1 + 3


def test_planes_without_the_object_do_not_end_its_survival(quality: SimpleNamespace) -> None:
    assert quality.follow.survived({1: 0.9, 7: 0.9}, prompted=0) == 2


# The whole way, with the shipped model


@pytest.fixture(scope="module")
def measured(quality: SimpleNamespace, nano: PromptableModel) -> object:
    """What was measured on a stack of clear discs."""
    image, labels = stack_of_discs()
    sample = quality.sets.Sample("discs", image, labels)
    row = quality.sets.DataSet("discs", "", lambda _folder: iter([sample]), series=False)
    return quality.run.measure_set(nano, row, Path(), quality.run.Limits(1, 1))


def test_a_clear_disc_is_found_from_a_box_and_followed(measured: object) -> None:
    assert measured.values("box")[0] > 0.7
    assert measured.values("followed from mask")[0] > 0.5
    assert measured.followed["followed from mask"][0].prompted_iou == 1.0


def test_planes_with_the_object_count_apart_from_those_without(measured: object) -> None:
    (score,) = measured.followed["followed from mask"]
    assert sorted([*score.planes, score.prompted]) == [1, 2, 3, 4, 5]
    assert len(score.painted) == 1


def test_the_copied_mask_is_that_of_the_prompted_plane(
    measured: object, quality: SimpleNamespace
) -> None:
    (score,) = measured.followed["followed from mask"]
    _, labels = stack_of_discs()
    plane, iou = next(iter(score.copied.items()))
    assert iou == quality.prompts.overlap(labels[score.prompted] > 0, labels[plane] > 0)


def test_clicks_go_on_to_the_fifth_and_stop_at_the_tenth(measured: object) -> None:
    (score,) = measured.planes
    assert 1 <= len(score.clicks) <= 10
    assert score.after(20) == score.clicks[-1]


def test_a_series_is_followed_forward_from_its_first_frame(
    quality: SimpleNamespace, nano: PromptableModel
) -> None:
    image, labels = stack_of_discs(14)
    sample = quality.sets.Sample("series", image[1:], labels[1:])
    follower = quality.follow.Follower(nano, sample)
    targets = follower.followable(quality.sets.targets_in_first_frame(sample), 4)
    (score,) = follower.follow(targets, "box", forward_until=4)
    assert sorted(score.planes) == [1, 2, 3]


def test_tables_json_and_picture_hold_the_set(
    quality: SimpleNamespace, nano: PromptableModel, measured: object, tmp_path: Path
) -> None:
    found = {"spinal cord": measured}
    limits = quality.run.Limits(1, 1)
    text = quality.main.tables(found)
    assert "organs, in part" in text
    assert "| spinal cord | followed from click |" in text
    quality.main.write_json(tmp_path / "q.json", quality.main.report(nano, limits, found))
    stored = json.loads((tmp_path / "q.json").read_text())
    assert stored["bars"][0]["objects"] == 1
    assert stored["sets"]["spinal cord"]["planes"]["objects"] == 1
    picture = quality.picture.draw_picture({"spinal cord": measured.views()})
    assert np.array(picture).std() > 0


def test_a_bar_is_passed_above_its_aim_and_above_the_classical_answer(
    quality: SimpleNamespace,
) -> None:
    def reached(iou: float, classical: float | None) -> str:
        one = quality.table.Reached("case", "click", 0.6, iou, iou, classical, 3, ())
        return one.verdict

    assert reached(0.7, 0.5) == "pass"
    assert reached(0.7, None) == "pass"
    assert reached(0.5, 0.4) == "FAIL: bar"
    assert reached(0.7, 0.75) == "FAIL: classical"


def test_missing_sets_are_left_out_and_named(
    quality: SimpleNamespace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("ANYSAM_DATA", str(tmp_path))
    assert quality.main.measure(None, quality.sets.SETS[:1], quality.main.QUICK) == {}
    assert "dsb2018 fluorescence: left out" in capsys.readouterr().err
