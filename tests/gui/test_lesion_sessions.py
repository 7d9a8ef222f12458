"""Lesions in sessions: saved, made again from their prompts, and with MedSAM2's kind of network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gui_scenes import disc
from windowless import Work

import napari_anysam as anysam
from napari_anysam._napari.propagation import StackRange
from napari_anysam._napari.session_snapshot import snapshot
from napari_anysam._napari.status import Stage
from napari_anysam.networks.sam2_build import official_configuration
from napari_anysam.segmentation.key_slice import segment_lesion
from napari_anysam.segmentation.replay import replay
from napari_anysam.segmentation.session_files import load_session, save_session
from random_networks import random_tensors

KEY = 2
PLANE = (80, 96)
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def open_work(loaded_model):
    opened = []

    def open_volume(volume):
        work = Work(volume, name="ct")
        opened.append(work)
        work.viewer.dims.set_point(0, KEY)
        return work

    yield open_volume
    for work in opened:
        work.control.close()


def twice():
    """A ball of 5 planes, 3 planes of nothing, and a smaller one at the same place."""
    radii = (11, 14, 15, 14, 11, 0, 0, 0, 12, 12)
    noise = np.random.default_rng(0).normal(40, 4, (len(radii), *PLANE))
    truth = np.stack([disc(PLANE, 40, 48, radius - 0.5) for radius in radii])
    return np.clip(noise + 150 * truth, 0, 255).astype(np.uint8)


def draw_line(work, *ends, key=KEY):
    ends = np.array([(key, *end) for end in ends])
    work.control.workspace.prompts.shapes.add(ends, shape_type="line")
    work.wait(lambda: work.stage is not Stage.WORKING)


def segment(work):
    last = work.image.data.shape[0] - 1
    work.control.stacks.lesions.segment(StackRange(0, 0, last))
    assert work.stage is Stage.PROPAGATING
    work.wait(lambda: work.stage is not Stage.PROPAGATING)


def save(work, folder):
    folder.mkdir()
    taken = snapshot(work.control.workspace)
    save_session(folder, taken.session(), taken.labels())
    return load_session(folder)


def test_a_lesion_is_made_again_value_for_value(open_work, tmp_path):
    work = open_work(twice())
    draw_line(work, (40, 33), (40, 63))
    segment(work)
    planes = set(np.flatnonzero(work.labels.any(axis=(1, 2))).tolist())
    assert KEY in planes
    loaded = save(work, tmp_path / "ct.anysam")
    (entry,) = loaded.session.journal
    assert entry.run.largest
    followed = {write.key[1] for write in entry.writes if write.mask is not None}
    assert followed - planes, "nothing was cut off, so the cut is not tested"
    assert np.array_equal(replay(loaded, work.image.data), work.labels)


def test_a_cancelled_lesion_is_made_again_too(open_work, tmp_path):
    work = open_work(twice())
    draw_line(work, (40, 33), (40, 63))
    work.control.stacks.lesions.segment(StackRange(0, 0, 9))
    work.wait(lambda: work.control.status.done >= 2)
    work.control.cancel()
    work.wait(lambda: work.stage is not Stage.PROPAGATING)
    assert work.labels.any()
    loaded = save(work, tmp_path / "ct.anysam")
    assert np.array_equal(replay(loaded, work.image.data), work.labels)


@pytest.mark.slow
def test_the_network_of_medsam2_sees_whole_planes(open_work, tmp_path):
    """Known by its content, at 512 pixels; seeded random weights in the official layout."""
    file = tmp_path / "any.pt"
    torch.save({"model": random_tensors(official_configuration("2.1", "tiny"))}, file)
    model = anysam.load_model(file, device="cpu", precision="fp32", variant="medsam2")
    assert model.image_size == 512
    work = open_work(twice()[1:4])
    work.control._clicking.running.use_model(model)
    draw_line(work, (40, 33), (40, 63), key=1)
    box = work.control.workspace.session.prompts[(1, 1)].box
    segment(work)
    (entry,) = work.control.workspace.session.journal
    assert entry.run.region == "plane"
    headless = segment_lesion(
        work.image.data, 1, box, model=model, window=tuple(work.image.contrast_limits)
    )
    assert headless.any()
    assert np.array_equal(work.labels, headless)
