"""Many answers in one label image."""

import numpy as np
import pytest

import napari_anysam as anysam
from napari_anysam.segmentation import interactive
from napari_anysam.segmentation.candidates import Candidate, Prediction
from napari_anysam.segmentation.canvas import Canvas
from napari_anysam.segmentation.mask_options import MaskOptions
from napari_anysam.segmentation.prompts import Prompt, Scribble
from napari_anysam.segmentation.regions import Region

REGION = Region(10, 20, 30, 30)


def answer(object_id, rows, columns, logit):
    """Return an answer that is a rectangle in the region's pixels."""
    logits = np.full(REGION.shape, -3.0, np.float32)
    logits[rows, columns] = logit
    return Prediction(object_id, None, (Candidate(REGION, logits, 0.9, logits),))


def test_the_higher_logit_wins_whatever_comes_first():
    one, other = answer(1, np.s_[5:20], np.s_[5:20], 2.0), answer(2, np.s_[10:25], np.s_[5:20], 5.0)
    canvases = []
    for order in ((one, other), (other, one)):
        canvas = Canvas((60, 60), MaskOptions())
        for prediction in order:
            canvas.paint(Prompt(prediction.object_id, points=[(20, 30)]), prediction)
        canvases.append(canvas.labels)
    np.testing.assert_array_equal(*canvases)
    assert canvases[0][17, 30] == 1
    assert canvases[0][25, 30] == 2
    assert not canvases[0][:15].any()


def test_what_an_option_adds_gives_way_to_an_object_that_is_there():
    ring = answer(1, np.s_[5:20], np.s_[5:20], 4.0)
    ring.best.logits[10:14, 10:14] = -2.0
    canvas = Canvas((60, 60), MaskOptions(fill_holes=100))
    canvas.paint(Prompt(1, points=[(16, 26)]), ring)
    assert canvas.labels[21, 31] == 1
    canvas.paint(Prompt(2, points=[(21, 31)]), answer(2, np.s_[11:13], np.s_[11:13], 1.0))
    assert canvas.labels[22, 32] == 2
    assert canvas.labels[20, 30] == 1


@pytest.mark.parametrize(
    "pointing",
    [{"points": [(13, 23)]}, {"scribbles": [Scribble([(13, 23), (14, 24)])]}],
    ids=["point", "scribble"],
)
def test_the_part_that_was_pointed_at_is_kept(pointing):
    two = answer(1, np.s_[10:25], np.s_[10:25], 4.0)
    two.best.logits[2:6, 2:6] = 4.0
    canvas = Canvas((60, 60), MaskOptions(largest_component=True))
    canvas.paint(Prompt(1, **pointing), two)
    assert canvas.labels[13, 23] == 1
    assert canvas.labels[25, 35] == 0


def test_painting_in_portions_changes_nothing(nano, monkeypatch):
    rows, columns = np.ogrid[:96, :128]
    centres = [(24, 24), (24, 70), (70, 24), (70, 80), (48, 110)]
    truth = sum((rows - y) ** 2 + (columns - x) ** 2 < 120 for y, x in centres)
    image = (60 + 120 * truth).astype(np.uint8)
    prompts = [
        Prompt(n, box=(y - 12, x - 12, y + 12, x + 12)) for n, (y, x) in enumerate(centres, start=1)
    ]
    at_once = anysam.segment(image, prompts, model=nano)
    monkeypatch.setattr(interactive, "PROMPTS_AT_ONCE", 2)
    np.testing.assert_array_equal(anysam.segment(image, prompts, model=nano), at_once)
    assert set(np.unique(at_once)) == {0, 1, 2, 3, 4, 5}
