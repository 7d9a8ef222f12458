"""A click on a huge plane: what is read, how much is held, and where the mask lies."""

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_anysam.images.conditioning import Conditioning
from napari_anysam.images.label_pyramid import LabelPyramid
from napari_anysam.images.planes import Planes
from napari_anysam.segmentation import candidates, windows
from napari_anysam.segmentation.candidates import Candidate, grid_shape
from napari_anysam.segmentation.canvas import shaped_window
from napari_anysam.segmentation.interactive import PlanePredictor
from napari_anysam.segmentation.labels import write_mask
from napari_anysam.segmentation.mask_options import MaskOptions, shape_mask
from napari_anysam.segmentation.plane_pixels import WindowedPlane
from napari_anysam.segmentation.prompts import Prompt
from napari_anysam.segmentation.regions import HUGE, MOST_SCALES, Region, regions_for
from napari_anysam.segmentation.windows import joined_window, seen_from, tight_window

AS_IT_IS = Conditioning(((0, 255),))
SIDE, CHUNK, PERIOD, RADIUS = 20_000, 500, 1000, 60
"""Rows and columns; of a chunk; a disc of this radius in the middle of every square of PERIOD."""


def lattice(scale, read):
    """Return a level of a plane of discs, made chunk by chunk as it is read."""
    size = SIDE // scale

    def make(block_info):
        (top, bottom), (left, right) = block_info[None]["array-location"]
        read.append((scale, top * scale, left * scale))
        rows, columns = (
            (np.arange(*ends) * scale + (scale - 1) / 2) % PERIOD - PERIOD / 2
            for ends in ((top, bottom), (left, right))
        )
        inside = np.hypot(rows[:, None], columns) <= RADIUS
        return np.where(inside, 200, 60).astype(np.uint8)

    chunks = [CHUNK] * (size // CHUNK)
    return da.map_blocks(
        make, chunks=(tuple(chunks), tuple(chunks)), dtype=np.uint8, meta=np.zeros(0, np.uint8)
    )


def iou_with_disc(window, centre, radius=RADIUS):
    rows, columns = np.ogrid[window.slices]
    truth = np.hypot(rows - centre[0], columns - centre[1]) <= radius
    shared = np.count_nonzero(window.mask & truth)
    return shared / (np.pi * radius**2 + window.area - shared)


@pytest.mark.parametrize("scales", [(1, 2, 4, 8), (1,)], ids=["pyramid", "one level"])
def test_a_click_reads_the_chunks_around_it_and_no_others(nano, scales):
    read = []
    planes = Planes.single([lattice(scale, read) for scale in scales])
    centre = (12_500, 7_500)
    prediction = PlanePredictor(nano).predict(
        WindowedPlane(planes, AS_IT_IS),
        "plane",
        planes.plane_shape,
        Prompt(1, points=[centre]),
        view=(12_000, 7_000, 13_000, 8_000),
    )
    assert iou_with_disc(prediction.best.window(), centre) > 0.85
    assert read
    for scale, top, left in read:
        distance = max(abs(top - centre[0]), abs(left - centre[1]))
        assert distance < 1600 + CHUNK * scale
    # A level is read for its largest region and no other.
    assert len(set(read)) == len(read)


def test_masks_in_a_store_are_whole_across_borders_of_chunks_and_regions(nano, tmp_path):
    # The grids of regions and of chunks both have borders through these discs.
    planes = Planes.single([lattice(scale, []) for scale in (1, 2, 4, 8)])
    store = LabelPyramid.create(tmp_path / "labels.zarr", planes.plane_shape)
    predictor = PlanePredictor(nano)
    for object_id, centre in enumerate([(500, 500), (1500, 2500), (19_500, 19_500)], start=1):
        y, x = centre
        prompt = Prompt(object_id, box=(y - RADIUS, x - RADIUS, y + RADIUS + 1, x + RADIUS + 1))
        pixels = WindowedPlane(planes, AS_IT_IS)
        best = predictor.predict(pixels, "plane", planes.plane_shape, prompt).best
        window = best.window()
        write_mask(store, (), window.origin, window.mask, object_id)
        assert iou_with_disc(window, centre) > 0.9
        np.testing.assert_array_equal(store[window.slices] == object_id, window.mask)
        coarse = store.levels[3][y // 8 - 20 : y // 8 + 20, x // 8 - 20 : x // 8 + 20]
        assert 64 * np.count_nonzero(coarse == object_id) == pytest.approx(window.area, rel=0.05)


def test_an_object_far_larger_than_the_network_lies_where_it_was_seen(nano):
    """From a coarse level, with logits for every fourth pixel, the outline is where it belongs."""
    centre, radius = (9_000, 11_003), 3000

    def level(scale):
        places = np.arange(SIDE // scale) * scale + (scale - 1) / 2
        inside = np.hypot(places[:, None] - centre[0], places - centre[1]) <= radius
        return np.where(inside, 200, 60).astype(np.uint8)

    coarse = level(8)
    fine = da.from_array(coarse, chunks=CHUNK).repeat(8, 0).repeat(8, 1)
    planes = Planes.single([fine, coarse])
    y, x = centre
    box = (y - radius, x - radius, y + radius + 1, x + radius + 1)
    best = (
        PlanePredictor(nano)
        .predict(WindowedPlane(planes, AS_IT_IS), "plane", planes.plane_shape, Prompt(1, box=box))
        .best
    )
    assert max(best.logits.shape) <= candidates.LARGEST_GRID < max(best.region.shape)
    window = best.window()
    assert iou_with_disc(window, centre, radius) > 0.97
    middle = [start + length / 2 for start, length in zip(window.origin, window.shape, strict=True)]
    np.testing.assert_allclose(middle, centre, atol=radius / 60)


def test_a_correction_of_a_huge_mask_keeps_what_it_corrects(nano):
    planes = Planes.single([lattice(scale, []) for scale in (1, 2, 4, 8)])
    predictor, pixels = PlanePredictor(nano), WindowedPlane(planes, AS_IT_IS)
    box = Prompt(1, box=(8_000, 8_000, 11_000, 11_000))
    first = predictor.predict(pixels, "plane", planes.plane_shape, box)
    more = Prompt(1, points=[(9_500, 9_500)], box=box.box)
    second = predictor.predict(pixels, "plane", planes.plane_shape, more, previous=first)
    assert second.best.region == first.best.region
    assert second.best.logits.shape == grid_shape(second.best.region)


@pytest.mark.parametrize("image_size", [256, 1024])
@pytest.mark.parametrize("seen", [300, 5_000, 100_000])
def test_the_regions_of_a_click_end_at_what_is_seen(image_size, seen):
    shape, centre = (100_000, 100_000), 50_000
    view = (centre - seen / 2, centre - seen / 2, centre + seen / 2, centre + seen / 2)
    prompt = Prompt(1, points=[(centre, centre)])
    regions = regions_for(prompt, shape, image_size, view=view)
    sides = [max(region.shape) for region in regions]
    assert len(regions) <= (MOST_SCALES if image_size <= 512 else 1)
    assert min(seen, 24) <= max(sides) <= 2.1 * max(seen, image_size // 4)
    assert all(region.contains(centre, centre) for region in regions)


def test_without_a_view_a_click_asks_for_no_more_than_a_plane_of_ordinary_size():
    prompt = Prompt(1, points=[(50_000, 50_000)])
    regions = regions_for(prompt, (100_000, 100_000), 256)
    assert len(regions) <= MOST_SCALES
    assert max(regions[-1].shape) <= 2 * HUGE


def test_clicks_far_apart_share_a_region_of_a_huge_plane():
    prompt = Prompt(1, points=[(100, 100), (60_000, 80_000)])
    for image_size in (256, 1024):
        for region in regions_for(prompt, (100_000, 100_000), image_size, view=(0, 0, 500, 500)):
            assert region.contains(100, 100)
            assert region.contains(60_000, 80_000)


masks = st.tuples(st.integers(1, 30), st.integers(1, 30), st.integers(0, 2**32 - 1)).map(
    lambda drawn: np.random.default_rng(drawn[2]).random(drawn[:2]) < 0.2
)


@given(masks, st.integers(1, 7))
@settings(deadline=None)
def test_strips_join_to_the_mask_they_were_cut_from(mask, count):
    strips = [mask[start : start + count] for start in range(0, len(mask), count)]
    joined, whole = joined_window(strips, (5, 7)), tight_window(mask, (5, 7))
    assert (joined is None) == (whole is None)
    if joined is not None:
        assert (joined.origin, joined.shape, joined.area) == (whole.origin, whole.shape, whole.area)
        np.testing.assert_array_equal(joined.mask, whole.mask)


@given(masks, st.integers(1, 60), st.integers(1, 5))
@settings(deadline=None)
def test_a_window_is_unpacked_in_parts_as_it_is_in_one(mask, pixels, step):
    window = windows.Window((3, 4), mask.shape, np.packbits(mask), int(mask.sum()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(windows, "STRIP_PIXELS", pixels)
        strips = list(window.strips())
    whole = np.concatenate([strip.mask for strip in strips])
    np.testing.assert_array_equal(whole, mask)
    assert sum(strip.area for strip in strips) == window.area
    assert [strip.origin[1] for strip in strips] == [4] * len(strips)
    np.testing.assert_array_equal(window.thinned(step), mask[::step, ::step])
    np.testing.assert_array_equal(seen_from(window, strips[-1]), strips[-1].mask)


def test_a_coarse_mask_is_the_same_in_strips_and_as_a_whole(monkeypatch):
    monkeypatch.setattr(candidates, "LARGEST_GRID", 64)
    region = Region(1000, 2000, 501, 333)
    rows, columns = np.ogrid[: grid_shape(region)[0], : grid_shape(region)[1]]
    logits = (12 - np.hypot(rows - 30, columns - 20)).astype(np.float32)
    candidate = Candidate(region, logits, 0.9, logits)
    whole = candidate.mask()
    assert whole.shape == region.shape
    expected = tight_window(whole, (region.row, region.column))
    monkeypatch.setattr(candidates, "STRIP_PIXELS", 1000)
    np.testing.assert_array_equal(candidate.mask(), whole)
    np.testing.assert_array_equal(candidate.full_logits() > 0, whole)
    found = candidate.window()
    assert (found.origin, found.shape, found.area) == (
        expected.origin,
        expected.shape,
        expected.area,
    )
    np.testing.assert_array_equal(found.mask, expected.mask)
    box, tight = candidate.tight_logits()
    assert tight.shape == box.shape
    assert (box.row, box.column, *box.shape) == (*found.origin, *found.shape)
    rows, columns = box.row - region.row, box.column - region.column
    full = candidate.full_logits()[rows:, columns:][: box.height, : box.width]
    np.testing.assert_array_equal(tight, full)
    empty = Candidate(region, -np.ones_like(logits), 0.9, logits)
    assert empty.tight_logits()[0] == Region(region.row, region.column, 1, 1)
    assert empty.tight_logits()[1] == -1


def test_two_views_of_one_huge_object_say_the_same():
    def seen(region):
        rows, columns = (
            start + (np.arange(count) + 0.5) * size / count - 0.5
            for start, count, size in zip(
                (region.row, region.column), grid_shape(region), region.shape, strict=True
            )
        )
        logits = (2000 - np.hypot(rows[:, None] - 9000, columns - 9000)).astype(np.float32)
        return Candidate(region, logits, 0.9, logits)

    close, wide = seen(Region(6900, 6900, 4200, 4200)), seen(Region(3, 5, 18_001, 17_003))
    assert len(candidates.distinct([close, wide])) == 1
    elsewhere = seen(Region(9000, 9000, 2500, 2500))
    assert len(candidates.distinct([close, elsewhere])) == 2


@pytest.mark.parametrize("end", ["floor", "ceil"])
def test_an_object_at_the_end_of_a_plane_that_no_level_divides_is_whole(nano, end):
    side, centre, radius = 5003, (4700, 4600), 700

    def level(scale):
        size = side // scale if end == "floor" else -(-side // scale)
        places = np.arange(size) * scale + (scale - 1) / 2
        inside = np.hypot(places[:, None] - centre[0], places - centre[1]) <= radius
        return np.where(inside, 200, 60).astype(np.uint8)

    planes = Planes.single([level(scale) for scale in (1, 2, 4, 8)])
    assert planes.scales == (1, 2, 4, 8)
    y, x = centre
    prompt = Prompt(1, box=(y - radius, x - radius, side, side))
    pixels = WindowedPlane(planes, AS_IT_IS)
    window = PlanePredictor(nano).predict(pixels, "plane", (side, side), prompt).best.window()
    rows, columns = np.ogrid[:side, :side]
    truth = np.hypot(rows - y, columns - x) <= radius
    mask = window.whole((side, side))
    assert (mask & truth).sum() / (mask | truth).sum() > 0.97
    assert window.origin[0] + window.shape[0] == side


def test_an_object_is_the_same_in_regions_whose_borders_lie_elsewhere(nano):
    """Grown regions meet the object at another place and scale; its outline must not follow."""
    planes = Planes.single([lattice(scale, []) for scale in (1, 2, 4, 8)])
    centre = (7500, 3500)
    prompt = Prompt(1, points=[centre], box=(7439, 3439, 7562, 3562))
    found = []
    for row, column, side in [(7400, 3400, 201), (7421, 3377, 217), (7301, 3405, 280)]:
        answer = PlanePredictor(nano).predict(
            WindowedPlane(planes, AS_IT_IS),
            "plane",
            planes.plane_shape,
            prompt,
            region=Region(row, column, side, side),
        )
        found.append(answer.best.window())
    for window in found:
        assert iou_with_disc(window, centre) > 0.9
        shared = np.count_nonzero(seen_from(window, found[0]) & found[0].mask)
        assert shared / (window.area + found[0].area - shared) > 0.9


@pytest.mark.parametrize("kind", ["point", "box", "mask", "lasso"])
def test_prompts_reach_a_coarse_level_as_they_would_reach_an_image_of_its_own(nano, kind):
    scale = 8
    coarse = np.random.default_rng(3).integers(40, 90, (800, 800)).astype(np.uint8)
    coarse[300:420, 350:500] += 120
    fine = da.from_array(coarse, chunks=CHUNK).repeat(scale, 0).repeat(scale, 1)
    levels = Planes.single([fine, coarse])
    mask = np.zeros((960, 1200), bool)
    mask[80:, :1000] = True
    corners = [(2390, 2790), (2400, 4010), (3380, 3999)]
    prompt, own = {
        "point": (Prompt(1, points=[(2803.5, 3203.5)]), Prompt(1, points=[(350, 400)])),
        "box": (
            Prompt(1, box=(2404, 2796, 3364, 4004)),
            Prompt(1, box=(300.5, 349.5, 420.5, 500.5)),
        ),
        "mask": (
            Prompt(1, mask=mask, mask_origin=(2400, 2800)),
            Prompt(1, mask=mask[4::8, 4::8], mask_origin=(300, 350)),
        ),
        "lasso": (
            Prompt(1, lasso=corners),
            Prompt(1, lasso=[((y + 0.5) / 8 - 0.5, (x + 0.5) / 8 - 0.5) for y, x in corners]),
        ),
    }[kind]
    found = PlanePredictor(nano).predict(
        WindowedPlane(levels, AS_IT_IS),
        "plane",
        levels.plane_shape,
        prompt,
        region=Region(800, 1600, 4096, 4096),
    )
    expected = PlanePredictor(nano).predict(
        lambda: AS_IT_IS.apply(coarse), "own", coarse.shape, own, region=Region(100, 200, 512, 512)
    )
    # Points that a lasso or a mask lends are found on its own pixels, so they differ a little.
    close = 1e-3 if kind in ("point", "box") else 1.5
    difference = np.abs(found.best.network_logits - expected.best.network_logits)
    assert difference.mean() < close
    theirs = expected.best.window()
    mine = found.best.window()
    np.testing.assert_allclose(
        [(start + 0.5) / scale for start in mine.origin], theirs.origin, atol=1.5
    )


SHAPES = [
    MaskOptions(threshold=0.5),
    MaskOptions(fill_holes=5000),
    MaskOptions(smallest_area=8000),
    MaskOptions(smoothing=40),
    MaskOptions(largest_component=True),
]


@pytest.mark.parametrize("options", SHAPES)
def test_options_shape_a_thinned_mask_as_they_shape_every_pixel(options, monkeypatch):
    """Two discs, the left one with a hole, and a speck beside them; four pixels a logit."""
    monkeypatch.setattr(candidates, "LARGEST_GRID", 200)
    rows, columns = np.ogrid[:600, :800]

    def distance(y, x, radius):
        return radius - np.hypot(rows - y, columns - x)

    left = np.minimum(distance(200, 200, 150), -distance(200, 200, 30))
    parts = [left, distance(300, 600, 120), distance(520, 120, 30)]
    every = np.maximum.reduce(parts).astype(np.float32) / 20
    region = Region(1000, 2000, 600, 800)
    thinned = every.reshape(150, 4, 200, 4).mean((1, 3))
    whole, coarse = (Candidate(region, logits, 0.9, logits) for logits in (every, thinned))
    assert thinned.shape == grid_shape(region)
    found = shaped_window(coarse, options, Prompt(1, points=[(1300, 2600)]))
    points = [(300, 600)]
    expected = tight_window(shape_mask(whole.logits, options, points), (1000, 2000))
    shared = np.count_nonzero(seen_from(found, expected) & expected.mask)
    assert shared / (found.area + expected.area - shared) > 0.97
