"""From prompts to masks on one plane, with the shipped model."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage import data, filters, measure, segmentation

import napari_anysam as anysam
from napari_anysam.errors import Cancelled, ImageError, PromptError
from napari_anysam.networks.protocol import Capabilities
from napari_anysam.networks.sam import build_sam
from napari_anysam.segmentation.interactive import PlanePredictor
from napari_anysam.segmentation.mask_options import MaskOptions
from napari_anysam.segmentation.regions import Region
from tiny_sam import tiny_sam


def iou(mask, truth):
    return (mask & truth).sum() / (mask | truth).sum()


def disc(shape, centre, radius):
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 <= radius**2


def blob_image(shape=(240, 320), centre=(120, 150), radius=30, *, dark=False, dtype=np.uint8):
    """Return a noisy blob on a noisy background, and its truth."""
    truth = disc(shape, centre, radius)
    image = np.where(truth, 150.0, 50.0) + np.random.default_rng(0).normal(0, 8, shape)
    image = filters.gaussian(200 - image if dark else image, 1.0, preserve_range=True)
    return image.astype(dtype), truth


@pytest.fixture(scope="module")
def coins():
    """The coins of scikit-image and their truth: watershed between sure dark and sure bright."""
    image = data.coins()
    markers = np.zeros(image.shape, int)
    markers[image < 30] = 1
    markers[image > 150] = 2
    filled = ndimage.binary_fill_holes(segmentation.watershed(filters.sobel(image), markers) - 1)
    labels = measure.label(filled)
    sizes = np.bincount(labels.ravel())
    for small in np.flatnonzero(sizes < 500):
        labels[labels == small] = 0
    return image, labels


@pytest.mark.parametrize("dark", [False, True])
def test_a_click_on_a_clear_blob_gives_that_blob(nano, dark):
    image, truth = blob_image(dark=dark)
    labels = anysam.segment(image, [anysam.Prompt(4, points=[(120, 150)])], model=nano)
    assert labels.shape == image.shape
    assert set(np.unique(labels)) == {0, 4}
    assert iou(labels == 4, truth) > 0.85


@pytest.mark.parametrize(("prompt", "least"), [("click", 0.75), ("box", 0.9)], ids=["click", "box"])
def test_coins(nano, coins, prompt, least):
    image, truth = coins
    found = measure.regionprops(truth)
    assert len(found) == 24
    prompts = [
        anysam.Prompt(coin.label, points=[coin.centroid])
        if prompt == "click"
        else anysam.Prompt(coin.label, box=coin.bbox)
        for coin in found
    ]
    labels = anysam.segment(image, prompts, model=nano)
    mean = np.mean([iou(labels == coin.label, truth == coin.label) for coin in found])
    assert mean >= least


def test_a_negative_click_leaves_a_part_out(nano):
    shape = (200, 200)
    left, right = disc(shape, (100, 70), 30), disc(shape, (100, 130), 30)
    image = np.where(left, 220, np.where(right, 120, 40)).astype(np.uint8)
    both = anysam.Prompt(1, points=[(100, 70), (100, 130)])
    one = anysam.Prompt(1, points=[(100, 70), (100, 130)], polarity=[True, False])
    with_both = anysam.segment(image, [both], model=nano) == 1
    with_one = anysam.segment(image, [one], model=nano) == 1
    assert (with_one & right).sum() < 0.5 * (with_both & right).sum()


def test_many_objects_are_answered_as_one_by_one(nano):
    image, _ = blob_image()
    prompts = [anysam.Prompt(n, points=[(120, 130 + 10 * n)]) for n in (1, 2, 3)]
    predictor = PlanePredictor(nano)
    plane = np.repeat(image[..., None], 3, axis=-1)
    together = predictor.predict_many(lambda: plane, "key", image.shape, prompts)
    for prompt, prediction in zip(prompts, together, strict=True):
        alone = PlanePredictor(nano).predict(lambda: plane, "key", image.shape, prompt)
        assert alone.best.region == prediction.best.region
        np.testing.assert_allclose(alone.best.logits, prediction.best.logits, atol=1e-3)


def test_a_region_is_encoded_once_and_read_once(nano):
    image, _ = blob_image()
    plane = np.repeat(image[..., None], 3, axis=-1)
    reads = []

    def read():
        reads.append(1)
        return plane

    predictor = PlanePredictor(nano)
    prompt = anysam.Prompt(1, points=[(120, 150)])
    first = predictor.predict(read, "key", image.shape, prompt)
    again = predictor.predict(read, "key", image.shape, prompt)
    assert len(reads) == 1
    np.testing.assert_array_equal(first.best.logits, again.best.logits)


def test_a_correction_stays_in_the_region_of_the_answer_it_corrects(nano):
    image, _ = blob_image()
    plane = np.repeat(image[..., None], 3, axis=-1)
    predictor = PlanePredictor(nano)
    first = predictor.predict(
        lambda: plane, "key", image.shape, anysam.Prompt(1, points=[(120, 150)])
    )
    more = anysam.Prompt(1, points=[(120, 150), (115, 155)])
    second = predictor.predict(lambda: plane, "key", image.shape, more, previous=first)
    assert second.best.region == first.best.region


def test_candidates_differ_and_another_one_can_be_chosen(nano):
    image, _ = blob_image()
    plane = np.repeat(image[..., None], 3, axis=-1)
    prediction = PlanePredictor(nano).predict(
        lambda: plane, "key", image.shape, anysam.Prompt(1, points=[(120, 150)])
    )
    assert len(prediction.candidates) >= 2
    other = prediction.choosing(1)
    assert other.best is prediction.candidates[1]
    assert set(other.candidates) == set(prediction.candidates)


def test_a_cancelled_encoding_says_so(nano):
    image, _ = blob_image()
    with pytest.raises(Cancelled):
        PlanePredictor(nano).predict(
            lambda: np.repeat(image[..., None], 3, axis=-1),
            "key",
            image.shape,
            anysam.Prompt(1, points=[(120, 150)]),
            cancelled=lambda: True,
        )


@pytest.mark.parametrize("region", ["plane", Region(60, 90, 120, 120)], ids=["plane", "own"])
def test_masks_come_back_in_place_whatever_was_encoded(nano, region):
    image, truth = blob_image()
    box = (88, 118, 152, 182)
    labels = anysam.segment(image, [anysam.Prompt(1, box=box)], model=nano, region=region)
    assert iou(labels == 1, truth) > 0.8


@pytest.mark.parametrize("dtype", [bool, np.uint16, np.int16, np.float32, ">u2"])
def test_every_number_type_is_segmented(nano, dtype):
    image, truth = blob_image()
    image = image > 100 if dtype is bool else (image.astype(float) * 10).astype(dtype)
    labels = anysam.segment(image, [anysam.Prompt(1, box=(88, 118, 152, 182))], model=nano)
    assert iou(labels == 1, truth) > 0.8


def test_rgb_and_channel_axis_agree(nano):
    image, _ = blob_image()
    rgb = np.stack([image, image // 2, image // 3], axis=-1)
    prompt = [anysam.Prompt(1, points=[(120, 150)])]
    as_rgb = anysam.segment(rgb, prompt, model=nano)
    as_channels = anysam.segment(
        np.moveaxis(rgb, -1, 0), prompt, model=nano, channel_axis=0, contrast=(0, 255)
    )
    assert iou(as_rgb == 1, as_channels == 1) > 0.9


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (37, 3), (600, 64)])
def test_odd_sizes_are_answered(nano, shape):
    image = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
    labels = anysam.segment(image, [anysam.Prompt(1, points=[(0, 0)])], model=nano)
    assert labels.shape == shape


def test_constant_and_partly_missing_pixels_are_answered(nano):
    prompt = [anysam.Prompt(1, points=[(20, 20)])]
    assert anysam.segment(np.full((40, 40), 7), prompt, model=nano).shape == (40, 40)
    image = blob_image(dtype=np.float32)[0]
    image[:20] = np.nan
    box = [anysam.Prompt(1, box=(88, 118, 152, 182))]
    assert (anysam.segment(image, box, model=nano) == 1).sum() > 1000


def test_a_lasso_finds_what_it_encloses_and_its_mask_stays_inside(nano, coins):
    image, truth = coins
    ious = []
    for coin in measure.regionprops(truth)[::4]:
        rows, columns = np.nonzero(truth == coin.label)
        y0, x0, y1, x1 = rows.min() - 2, columns.min() - 2, rows.max() + 2, columns.max() + 2
        lasso = [(y0, x0), (y0, x1), (y1, x1), (y1, x0)]
        labels = anysam.segment(image, [anysam.Prompt(3, lasso=lasso)], model=nano)
        ious.append(iou(labels == 3, truth == coin.label))
        outside = np.ones(image.shape, bool)
        outside[y0 : y1 + 1, x0 : x1 + 1] = False
        assert not labels[outside].any()
    assert np.mean(ious) > 0.85


@pytest.mark.parametrize("threshold", [0.0, -5.0])
def test_nothing_is_drawn_outside_a_lasso_through_the_object(nano, threshold):
    image, truth = blob_image()
    lasso = [(80, 100), (80, 150), (160, 150), (160, 100)]
    options = MaskOptions(threshold=threshold, smoothing=4, fill_holes=100)
    prompt = anysam.Prompt(1, points=[(120, 140)], lasso=lasso)
    inside = anysam.segment(image, [prompt], model=nano, options=options) == 1
    assert not inside[:, 151:].any()
    assert inside[:, :151].sum() > 0.7 * truth[:, :151].sum()


def test_corrections_in_a_lasso_stay_inside_and_do_not_see_the_cut(nano):
    image, _ = blob_image()
    plane = np.repeat(image[..., None], 3, axis=-1)
    lasso = [(80, 100), (80, 150), (160, 150), (160, 100)]
    predictor = PlanePredictor(nano)
    first = predictor.predict(lambda: plane, "key", image.shape, anysam.Prompt(1, lasso=lasso))
    # Half an object below the region of the first answer, so that its logits are resampled.
    more = anysam.Prompt(1, lasso=[*lasso[:2], (230, 150), (230, 100)], points=[(130, 140)])
    second = predictor.predict(lambda: plane, "key", image.shape, more, previous=first)
    assert second.best.region != first.best.region
    columns = second.best.region.column + np.flatnonzero(second.best.mask().any(axis=0))
    assert columns.max() <= 150
    assert second.best.mask().sum() > 500


def test_a_scribble_along_the_object_gives_the_object(nano):
    image, truth = blob_image()
    stroke = anysam.Scribble([(110, 135), (125, 150), (112, 165)])
    labels = anysam.segment(image, [anysam.Prompt(2, scribbles=[stroke])], model=nano)
    assert iou(labels == 2, truth) > 0.8


def test_a_negative_scribble_leaves_a_part_out(nano):
    shape = (200, 200)
    left, right = disc(shape, (100, 70), 30), disc(shape, (100, 130), 30)
    image = np.where(left, 220, np.where(right, 120, 40)).astype(np.uint8)
    along = anysam.Scribble([(100, 55), (100, 85)])
    beside = [anysam.Scribble([(100, 115), (100, 145)], positive=sign) for sign in (True, False)]
    both, one = (
        anysam.segment(image, [anysam.Prompt(1, scribbles=[along, other])], model=nano) == 1
        for other in beside
    )
    assert (one & right).sum() < 0.5 * (both & right).sum()


def test_a_bare_mask_in_its_window_is_answered_as_the_whole_one(nano):
    image, truth = blob_image()
    rough = np.roll(truth, 6, axis=0)
    rows, columns = np.nonzero(rough)
    top, left = int(rows.min()), int(columns.min())
    window = rough[top : rows.max() + 1, left : columns.max() + 1]
    whole = anysam.segment(image, [anysam.Prompt(1, mask=rough)], model=nano)
    part = anysam.segment(
        image, [anysam.Prompt(1, mask=window, mask_origin=(top, left))], model=nano
    )
    np.testing.assert_array_equal(whole, part)
    assert iou(whole == 1, truth) > iou(rough, truth)


def test_padding_reaches_the_network_as_a_larger_box_would(nano):
    image, _ = blob_image()
    tight, wide = (
        anysam.Prompt(1, box=(90, 120, 150, 180)),
        anysam.Prompt(1, box=(84, 114, 156, 186)),
    )
    padded = anysam.segment(image, [tight], model=nano, options=MaskOptions(box_padding=0.1))
    np.testing.assert_array_equal(padded, anysam.segment(image, [wide], model=nano))


def test_every_kind_of_prompt_works_on_every_kind_of_network():
    image, truth = blob_image((96, 96), (48, 48), 20)
    kinds = [
        {"lasso": [(20, 20), (20, 76), (76, 76), (76, 20)]},
        {"scribbles": [anysam.Scribble([(40, 40), (56, 56)])]},
        {"mask": truth},
        {"box": (28, 28, 68, 68)},
    ]
    prompts = [anysam.Prompt(number, **kind) for number, kind in enumerate(kinds, start=1)]
    weights = tiny_sam().state_dict()
    for capabilities in (
        Capabilities(),
        Capabilities(masks=False),
        Capabilities(points=False, masks=False),
        Capabilities(masks=False, negative_points=False, most_places=6),
    ):
        model = build_sam(
            weights,
            name="tiny",
            key="weights",
            device=torch.device("cpu"),
            precision="fp32",
            capabilities=capabilities,
        )
        plane = np.repeat(image[..., None], 3, axis=-1)
        found = PlanePredictor(model).predict_many(lambda p=plane: p, "key", (96, 96), prompts)
        assert [answer.object_id for answer in found] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("image", "prompt", "error", "remedy"),
    [
        (np.zeros((0, 5)), anysam.Prompt(points=[(0, 0)]), ImageError, "empty"),
        (np.full((9, 9), np.nan), anysam.Prompt(points=[(0, 0)]), ImageError, "finite"),
        (np.zeros((2, 3, 9, 9)), anysam.Prompt(points=[(0, 0)]), ImageError, "dimension"),
        (np.zeros((9, 9)), anysam.Prompt(points=[(9, 0)]), PromptError, "outside"),
        (np.zeros((9, 9)), anysam.Prompt(plane=1, points=[(0, 0)]), PromptError, "leave it out"),
    ],
)
def test_bad_input_gives_one_clear_error(nano, image, prompt, error, remedy):
    with pytest.raises(error, match=remedy):
        anysam.segment(image, [prompt], model=nano)
