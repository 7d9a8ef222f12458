"""Runs on the command line that are killed, and go on as if nothing had happened."""

from __future__ import annotations

import json
import random
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
import tifffile
import zarr
from cli_helpers import MODEL, discs

from napari_anysam.images import plane_chunks
from napari_anysam.images.files import read_image

COUNT = 16
ANCHORS = (3, 13, 6)


def contents(path):
    return np.asarray(read_image(path).array[...])


@pytest.fixture
def command(tmp_path, prompts):
    """Return the arguments of a run in which two passes meet between two anchors."""
    stack, _ = discs(count=COUNT)
    zarr.create_array(tmp_path / "stack.zarr", data=stack, chunks=(1, *stack.shape[1:]))
    path = prompts(
        {"object_id": 1, "plane": ANCHORS[0], "points": [[44, 50]]},
        {"object_id": 1, "plane": ANCHORS[1], "box": [4, 8, 84, 92]},
        {"object_id": 2, "plane": ANCHORS[2], "box": [0, 0, 30, 30]},
    )
    options = ("--prompts", path, "--model", MODEL, "--device", "cpu", "--save-every", 0)
    return ["propagate", tmp_path / "stack.zarr", *options]


def killed_after(count, arguments):
    """Run the command and kill it when so many results have been written."""
    process = subprocess.Popen(
        [sys.executable, "-m", "napari_anysam.cli", *map(str, arguments)],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        heard, done = b"", 0
        while done < count:
            piece = process.stderr.read1()
            assert piece, heard.decode()
            heard += piece
            done = max((int(one) for one in re.findall(rb" (\d+)/\d+ ", heard)), default=0)
        process.kill()
        process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    return done


def test_large_planes_are_written_in_tiles_and_to_zarr_alone(
    anysam, tmp_path, command, monkeypatch
):
    code, _, err = anysam(*command, "-o", tmp_path / "whole.zarr")
    assert code == 0, err
    monkeypatch.setattr(plane_chunks, "LARGEST_CHUNK", 96**2 - 1)
    monkeypatch.setattr(plane_chunks, "CHUNK_SIDE", 40)
    code, _, err = anysam(*command, "-o", tmp_path / "tiles.zarr")
    assert code == 0, err
    np.testing.assert_array_equal(
        contents(tmp_path / "tiles.zarr"), contents(tmp_path / "whole.zarr")
    )
    assert zarr.open_array(tmp_path / "tiles.zarr" / "0").chunks == (1, 40, 40)
    code, _, err = anysam(*command, "-o", tmp_path / "labels.tif")
    assert code != 0
    assert "name a .zarr folder" in err


def test_a_run_that_is_killed_at_random_planes_gives_the_same_labels(anysam, tmp_path, command):
    code, _, err = anysam(*command, "-o", tmp_path / "whole.zarr")
    assert code == 0, err
    whole = contents(tmp_path / "whole.zarr")
    output, folder = tmp_path / "o.zarr", tmp_path / "o.zarr.unfinished"
    moments = random.Random()
    first = killed_after(moments.randint(1, 7), [*command, "-o", output])
    assert not output.exists()
    prefix = contents(folder / "labels.zarr")
    written = np.flatnonzero(prefix.any(axis=(1, 2)))
    assert 0 < len(written) < COUNT
    # The backward pass adds to planes before the second object's anchor, and behind the middle.
    final = [plane for plane in written if ANCHORS[2] <= plane < sum(ANCHORS[:2]) // 2]
    np.testing.assert_array_equal(prefix[final], whole[final])
    killed_after(first + moments.randint(2, 6), [*command, "-o", output, "--resume"])
    code, _, err = anysam(*command, "-o", output, "--resume")
    assert code == 0, err
    again = contents(output)
    assert again.dtype == whole.dtype
    assert again.tobytes() == whole.tobytes()
    assert not folder.exists()


@pytest.fixture
def unfinished(anysam, tmp_path, command, monkeypatch):
    """Return the arguments of a run that ended after some planes, and its folder."""
    from napari_anysam.images.label_stack import LabelStack

    write = LabelStack.write

    def failing(self, index, part):
        if index == 6:
            raise KeyboardInterrupt
        write(self, index, part)

    arguments = [*command, "-o", tmp_path / "o.tif"]
    with monkeypatch.context() as patch:
        patch.setattr(LabelStack, "write", failing)
        code, _, err = anysam(*arguments)
    assert code == 130
    assert "--resume goes on behind them" in err
    return arguments, tmp_path / "o.tif.unfinished"


def test_an_unfinished_run_is_left_alone_and_goes_on_with_its_own_request_only(anysam, unfinished):
    arguments, folder = unfinished
    code, _, err = anysam(*arguments)
    assert code == 1
    assert f"error: {folder} holds" in err
    assert "--resume" in err
    assert "--restart" in err
    code, _, err = anysam(*arguments, "--direction", "forward", "--contrast", 1, 900, "--resume")
    assert code == 1
    assert "began with another direction and conditioning; give the same again" in err
    said = json.loads((folder / "request.json").read_text())
    assert said["stack"]["path"] == str(arguments[1])
    assert [prompt["object_id"] for prompt in said["prompts"]] == [1, 1, 2]


def test_a_run_that_stops_at_ends_goes_on_as_one_that_does(anysam, unfinished):
    arguments, folder = unfinished
    assert json.loads((folder / "request.json").read_text())["ending"] == 2.0
    code, _, err = anysam(*arguments, "--resume", "--no-stop-at-ends")
    assert code == 1
    assert "began with another ending; give the same again" in err


def test_a_damaged_state_is_refused_and_begun_anew_where_asked(anysam, unfinished):
    arguments, folder = unfinished
    state = folder / "state.safetensors"
    state.write_bytes(state.read_bytes()[:-1])
    code, _, err = anysam(*arguments, "--resume")
    assert code == 1
    assert "damaged" in err
    assert "begin the run anew" in err
    code, _, err = anysam(*arguments, "--restart", "--direction", "forward", "--stop", 8)
    assert code == 0, err
    assert not folder.exists()


def test_a_run_that_goes_on_tells_the_same_as_a_whole_one(anysam, tmp_path, unfinished):
    arguments, _ = unfinished
    code, _, err = anysam(*arguments, "--resume")
    assert code == 0
    assert "has no pixel" not in err
    resumed = contents(tmp_path / "o.tif")
    assert anysam(*arguments, "--restart")[0] == 0
    np.testing.assert_array_equal(contents(tmp_path / "o.tif"), resumed)


def test_without_an_unfinished_run_resume_begins_one(anysam, tmp_path, stack, prompts):
    path = prompts({"plane": 2, "points": [[44, 50]]})
    code, _, err = anysam(
        *("propagate", stack[0], "--prompts", path, "--model", MODEL, "--resume"),
        *("-o", tmp_path / "o.tif"),
    )
    assert code == 0, err
    assert contents(tmp_path / "o.tif").any(axis=(1, 2)).all()


@pytest.fixture
def series(tmp_path):
    """Write a file of two time points, the second of which shows the disc."""
    stack, truth = discs()
    whole = np.stack([np.full_like(stack, 200), stack])
    tifffile.imwrite(tmp_path / "series.tif", whole, ome=True, metadata={"axes": "TZYX"})
    return tmp_path / "series.tif", truth


@pytest.mark.parametrize("at", ["T=1", "0=-1"])
def test_a_series_is_sliced_on_the_command_line(anysam, tmp_path, series, prompts, at):
    path, truth = series
    code, _, err = anysam(
        *("propagate", path, "--at", at, "--prompts", prompts({"plane": 2, "points": [[44, 50]]})),
        *("--model", MODEL, "-o", tmp_path / "o.zarr"),
    )
    assert code == 0, err
    labels = contents(tmp_path / "o.zarr")
    assert (labels.astype(bool) & truth).sum() > 0.7 * truth.sum()


def test_one_plane_of_a_series_is_segmented(anysam, tmp_path, series, prompts):
    path, truth = series
    code, _, err = anysam(
        *("segment", path, "--at", "T=1", "--at", "Z=2", "--prompts", prompts()),
        *("--model", MODEL, "-o", tmp_path / "o.tif"),
    )
    assert code == 0, err
    assert (contents(tmp_path / "o.tif").astype(bool) & truth[2]).sum() > 0.7 * truth[2].sum()


@pytest.mark.parametrize(
    ("at", "words"),
    [
        (["T"], "is no AXIS=INDEX"),
        (["C=0"], "is no AXIS=INDEX"),
        (["4=0"], "names no axis"),
        (["T=2"], "has indices 0 to 1"),
        (["T=0", "0=1"], "a second time"),
        (["0=0", "1=0", "2=0"], "leave no plane"),
    ],
)
def test_slices_that_do_not_exist_are_refused(anysam, tmp_path, series, prompts, at, words):
    given = [word for one in at for word in ("--at", one)]
    code, _, err = anysam(
        "propagate", series[0], *given, "--prompts", prompts(), "-o", tmp_path / "o.tif"
    )
    assert code == 1
    assert words in err


def test_a_run_is_estimated_without_running_it(anysam, tmp_path, stack, prompts, monkeypatch):
    monkeypatch.setenv("ANYSAM_CACHE", str(tmp_path / "cache"))
    path = prompts({"plane": 2, "points": [[44, 50]]})
    code, out, err = anysam(
        *("propagate", stack[0], "--prompts", path, "-o", tmp_path / "o.tif", "--estimate")
    )
    assert (code, err) == (0, "")
    assert [line.split(":")[0] for line in out.splitlines()[:3]] == ["time", "memory", "disk"]
    assert "nothing was encoded with this model" in out
    assert not list(tmp_path.glob("o.*"))
