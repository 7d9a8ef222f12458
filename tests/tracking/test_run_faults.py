"""Runs that are ended at 140 random moments, and go on: what is written is always a beginning.

120 moments in this process (cancelled, closed, the stack cannot be read, the disk is full) and 20
kills of the command in processes of their own; about 50 s on one idle core. The 60 moments in a
window are in ``gui/test_window_faults.py``.
"""

from __future__ import annotations

import json
import multiprocessing
import random
import time
from contextlib import ExitStack

import numpy as np
import pytest
import zarr
from comparison import AS_IT_IS
from discs import make_discs

import napari_anysam as anysam
from faults import no_file_larger_than
from napari_anysam import Prompt
from napari_anysam.cli import main
from napari_anysam.errors import ImageError, LabelFileError, RunError
from napari_anysam.images.files import read_image
from napari_anysam.images.label_stack import open_label_stack, unfinished_folder
from napari_anysam.images.planes import Planes
from napari_anysam.segmentation.journal import record_of
from napari_anysam.segmentation.prompt_files import read_prompts
from napari_anysam.segmentation.run_folder import keeper_in
from napari_anysam.segmentation.run_request import RunRequest, StackReference
from napari_anysam.segmentation.tracking import Tracker
from random_networks import random_model

pytestmark = pytest.mark.slow

COUNT = 9
FAULTS = ("cancel", "close", "read", "disk")


class Ended(Exception):  # noqa: N818 - an end, not an error
    """Somebody ended a run."""


class FailingStack:
    """An array that can be read so many times."""

    def __init__(self, array):
        self._array, self.reads_left = array, None
        self.shape, self.ndim, self.dtype = array.shape, array.ndim, array.dtype

    def __getitem__(self, key):
        if self.reads_left is not None:
            self.reads_left -= 1
            if self.reads_left < 0:
                raise OSError("the share is gone")
        return self._array[key]


class Run:
    """One run from a stack to a file, in as many sittings as it takes."""

    def __init__(self, model, stack, prompts, output):
        self.model, self.prompts, self.output = model, prompts, output
        self.stack = FailingStack(stack)
        self.written = []
        self.request = RunRequest(
            stack=StackReference.of(stack, path="stack.tif"),
            prompts=prompts,
            axis=0,
            direction="both",
            start=0,
            stop=COUNT,
            region="auto",
            memory="full",
            conditioning=AS_IT_IS,
            model=record_of(model),
        )

    def sit(self, fault="", after=0, room=0):
        """Go on with the run; the fault comes after so many results, questions or reads."""
        asked = 0

        def cancelled():
            nonlocal asked
            asked += 1
            return fault == "cancel" and asked > after

        self.stack.reads_left = after if fault == "read" else None
        tracker = Tracker(self.model, Planes(self.stack), AS_IT_IS)
        with (
            ExitStack() as disk,
            open_label_stack(self.output, self.stack.shape, np.uint8, before="resume") as labels,
        ):
            keeper = keeper_in(labels.folder, self.request, 0)
            results = tracker.run(self.prompts, cancelled=cancelled, keeper=keeper)
            for number, result in enumerate(results):
                if fault == "disk" and number == after:
                    disk.enter_context(no_file_larger_than(room))
                labels.write(result.index, result.labels_in)
                self.written.append((result.index, result.labels))
                if fault == "close" and number == after:
                    results.close()
                    raise Ended
            if fault == "cancel" and asked > after:
                raise Ended

    def kept(self):
        """Return the labels that lie on the disk, or None before there are any."""
        path = unfinished_folder(self.output) / "labels.zarr"
        return contents(path) if path.exists() else None


def contents(path):
    return np.asarray(read_image(path).array[...])


def beginnings(results, shape):
    """Return the labels after each of the results, and before the first."""
    labels = np.zeros(shape, np.uint8)
    yield labels.tobytes()
    for index, plane in results:
        labels[index] = plane
        yield labels.tobytes()


@pytest.fixture(scope="module")
def scene():
    """Return planes, and prompts of three kinds whose passes meet between two anchors."""
    stack, labels = make_discs(COUNT)
    masks = [labels[plane] == 1 for plane in (2, 7)]
    prompts = (
        Prompt(1, 2, mask=masks[0]),
        Prompt(2, 4, points=[(77, 98)]),
        Prompt(1, 7, mask=masks[1]),
    )
    return stack, prompts


@pytest.fixture(scope="module")
def model():
    return random_model("2.1", 64)[0]


@pytest.mark.parametrize("seed", range(3))
def test_what_is_written_is_a_beginning_whatever_ends_the_run(model, scene, tmp_path, seed):
    stack, prompts = scene
    whole = Run(model, stack, prompts, tmp_path / "whole.zarr")
    whole.sit()
    known = list(beginnings(whole.written, stack.shape))
    chance, moments, turn = random.Random(seed), 0, 0
    met = set()
    while moments < 40:
        turn += 1
        run = Run(model, stack, prompts, tmp_path / f"{turn}.zarr")
        reached, finished = 0, False
        while not finished and moments < 40:
            fault = chance.choice(FAULTS)
            after = chance.randrange(80 if fault == "cancel" else 6)
            try:
                run.sit(fault, after, chance.choice((0, chance.randrange(3000))))
            except (Ended, ImageError, LabelFileError, RunError) as end:
                met.add((fault, type(end)))
                moments += 1
            else:
                finished = True
                break
            kept = run.kept()
            if kept is not None:
                place = known.index(kept.tobytes())
                assert place >= reached - 1
                reached = place
        if not finished:
            run.sit()
        assert contents(run.output).tobytes() == known[-1]
        assert not unfinished_folder(run.output).exists()
    assert {fault for fault, _ in met} == set(FAULTS)
    assert {("read", ImageError), ("disk", LabelFileError), ("close", Ended)} <= met


def propagate(arguments):
    """Run the command, in a process that may be killed."""
    main(arguments)


@pytest.fixture
def command(scene, tmp_path):
    """Return the arguments of a run of the shipped model."""
    stack, _ = scene
    zarr.create_array(tmp_path / "stack.zarr", data=stack, chunks=(1, *stack.shape[1:]))
    prompts = (
        {"object_id": 1, "plane": 2, "points": [[41, 52]]},
        {"object_id": 2, "plane": 6, "box": [57, 78, 94, 115]},
    )
    (tmp_path / "prompts.json").write_text(json.dumps(prompts))
    options = (
        *("--prompts", tmp_path / "prompts.json", "--device", "cpu", "--precision", "fp32"),
        *("--save-every", 0, "--quiet"),
    )
    return [str(one) for one in ("propagate", tmp_path / "stack.zarr", *options, "--resume")]


def test_a_killed_command_leaves_a_beginning_and_goes_on(
    scene, command, tmp_path, nano, monkeypatch
):
    stack, _ = scene
    prompts = read_prompts(tmp_path / "prompts.json", 0)
    results = anysam.propagate(stack, prompts, nano)
    known = list(beginnings(((one.index, one.labels) for one in results), stack.shape))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["napari_anysam.networks.load", "sam2.modeling.sam2_base"])

    def start(output):
        arguments = [*command, "-o", str(output)]
        process = processes.Process(target=propagate, args=(arguments,))
        process.start()
        return process

    def place_of(labels):
        return known.index(contents(labels).astype(np.uint8).tobytes())

    start(tmp_path / "first.zarr").join()  # the server begins with imports
    began = time.monotonic()
    start(tmp_path / "second.zarr").join()
    seconds = time.monotonic() - began
    chance, kills, turn, places = random.Random(0), 0, 0, set()
    while kills < 20:
        turn += 1
        output = tmp_path / f"{turn}.zarr"
        labels, reached = unfinished_folder(output) / "labels.zarr", 0
        while kills < 20 and not output.exists():
            process = start(output)
            process.join(chance.uniform(0.2, 1) * seconds)
            if process.exitcode is None:
                process.kill()
                process.join()
                kills += 1
                if labels.exists():
                    place = place_of(labels)
                    assert place >= reached - 1
                    reached = place
                    places.add(place)
        if not output.exists():
            start(output).join()
        assert place_of(output) == len(known) - 1
    assert len(places) > 2
