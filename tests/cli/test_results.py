"""The command from end to end, with the shipped model on small images."""

from __future__ import annotations

import re
import signal
import subprocess
import sys

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
import torch
import zarr
from cli_helpers import MODEL, discs, iou

from napari_anysam.images.files import read_image
from napari_anysam.networks.sam2 import Sam2Model


def contents(path):
    return np.asarray(read_image(path).array[...])


@pytest.mark.parametrize("output", ["labels.tif", "labels.png", "labels.zarr"])
def test_segment_writes_labels_and_prints_where(anysam, tmp_path, image, prompts, output):
    path, truth = image
    entry = {"object_id": 300, "points": [[44, 50]]}
    code, out, err = anysam(
        "segment", path, "--prompts", prompts(entry), "--model", MODEL, "-o", tmp_path / output
    )
    assert (code, out) == (0, f"{tmp_path / output}\n")
    assert "Reading" in err
    labels = contents(tmp_path / output)
    assert set(np.unique(labels)) == {0, 300}
    assert iou(labels == 300, truth) > 0.8


def test_segment_is_silent_when_asked(anysam, tmp_path, image, prompts):
    answer = anysam(
        "segment",
        image[0],
        "--prompts",
        prompts(),
        "--model",
        MODEL,
        "-o",
        tmp_path / "o.tif",
        "-q",
    )
    assert answer[2] == ""


def test_a_job_of_one_core_computes_on_one(anysam, tmp_path, image, prompts, monkeypatch):
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "1")
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        anysam(
            "segment", image[0], "--prompts", prompts(), "--model", MODEL, "-o", tmp_path / "o.tif"
        )
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_segment_reads_a_colour_picture_and_the_points_of_napari(anysam, tmp_path):
    stack, truth = discs(count=1)
    picture = np.repeat((stack[0] // 4).astype(np.uint8)[..., None], 3, axis=2)
    iio.imwrite(tmp_path / "picture.png", picture)
    (tmp_path / "points.csv").write_text(
        "index,axis-0,axis-1,object_id,polarity\n0,44,50,2,positive\n1,4,5,2,negative\n"
    )
    code, _, _ = anysam(
        *("segment", tmp_path / "picture.png", "--prompts", tmp_path / "points.csv"),
        *("--model", MODEL, "-o", tmp_path / "o.png"),
    )
    assert code == 0
    assert iou(contents(tmp_path / "o.png") == 2, truth[0]) > 0.8


def test_segment_takes_channels_from_the_files_own_axes(anysam, tmp_path, prompts):
    stack, truth = discs(count=1)
    channels = np.stack([stack[0], stack[0]])
    tifffile.imwrite(tmp_path / "a.tif", channels, imagej=True, metadata={"axes": "CYX"})
    code, _, err = anysam(
        "segment",
        tmp_path / "a.tif",
        "--prompts",
        prompts(),
        "--model",
        MODEL,
        "-o",
        tmp_path / "o.tif",
    )
    assert code == 0, err
    assert iou(contents(tmp_path / "o.tif") == 1, truth[0]) > 0.8


def test_an_object_without_pixels_is_told(anysam, tmp_path, image, prompts):
    path = prompts(*({"object_id": number, "points": [[44, 50]]} for number in (1, 2)))
    code, _, err = anysam(
        "segment", image[0], "--prompts", path, "--model", MODEL, "-o", tmp_path / "o.tif"
    )
    assert code == 0
    assert re.search("warning: object [12] has no pixel", err)


def test_propagate_fills_every_plane(anysam, tmp_path, stack, prompts):
    path, truth = stack
    code, out, err = anysam(
        *("propagate", path, "--prompts", prompts({"plane": 2, "points": [[44, 50]]})),
        *("--model", MODEL, "-o", tmp_path / "o.tif"),
    )
    assert (code, out) == (0, f"{tmp_path / 'o.tif'}\n"), err
    assert "5/5" in err
    assert "planes/s" in err
    labels = contents(tmp_path / "o.tif")
    assert labels.shape == truth.shape
    assert min(iou(*planes) for planes in zip(labels == 1, truth, strict=True)) > 0.7


def test_propagate_keeps_the_order_of_axes(anysam, tmp_path, prompts):
    stack, truth = discs()
    zarr.create_array(tmp_path / "stack.zarr", data=np.moveaxis(stack, 0, 1))
    (tmp_path / "points.csv").write_text("index,axis-0,axis-1,axis-2\n0,44,2,50\n")
    code, _, err = anysam(
        *("propagate", tmp_path / "stack.zarr", "--prompts", tmp_path / "points.csv"),
        *("--axis", 1, "--model", MODEL, "-o", tmp_path / "o.zarr"),
    )
    assert code == 0, err
    assert iou(np.moveaxis(contents(tmp_path / "o.zarr"), 1, 0) == 1, truth) > 0.8


def test_propagate_takes_channels_and_axis_from_the_files_own_axes(anysam, tmp_path, prompts):
    stack, truth = discs()
    channels = np.stack([stack, stack[:, ::-1]])
    tifffile.imwrite(tmp_path / "a.tif", channels, ome=True, metadata={"axes": "CZYX"})
    (tmp_path / "points.csv").write_text("index,axis-0,axis-1,axis-2\n0,2,44,50\n")
    code, _, err = anysam(
        *("propagate", tmp_path / "a.tif", "--prompts", tmp_path / "points.csv"),
        *("--model", MODEL, "-o", tmp_path / "o.tif"),
    )
    assert code == 0, err
    assert contents(tmp_path / "o.tif").shape == truth.shape


def test_propagate_takes_a_range_and_a_direction(anysam, tmp_path, stack, prompts):
    code, _, err = anysam(
        *("propagate", stack[0], "--prompts", prompts({"plane": 3, "points": [[44, 50]]})),
        *("--direction", "backward", "--start", 1, "--stop", 4, "--region", "plane"),
        *("--model", MODEL, "-o", tmp_path / "o.tif"),
    )
    assert code == 0, err
    assert contents(tmp_path / "o.tif").any(axis=(1, 2)).tolist() == [
        False,
        True,
        True,
        True,
        False,
    ]


def test_propagate_reads_fewer_memories_when_asked(anysam, tmp_path, stack, prompts, monkeypatch):
    read = []
    follow = Sam2Model.follow

    def noting(model, embedding, recalls, *, plane_count):
        read.extend(len(recall.features) for recall in recalls)
        return follow(model, embedding, recalls, plane_count=plane_count)

    monkeypatch.setattr(Sam2Model, "follow", noting)
    given = ("--prompts", prompts({"plane": 0, "points": [[44, 50]]}), "--model", MODEL)
    code, _, _ = anysam("propagate", stack[0], *given, "-o", tmp_path / "o.tif", "--memory", "fast")
    assert code == 0
    assert read == [1, 2, 3, 3]
    assert iou(contents(tmp_path / "o.tif")[4] == 1, stack[1][4]) > 0.8


def test_propagate_follows_the_brightness_of_a_series_that_bleaches(anysam, tmp_path, prompts):
    stack, truth = discs()
    bleached = stack * (0.5 ** np.arange(len(stack)))[:, None, None]
    tifffile.imwrite(tmp_path / "a.tif", bleached.astype(np.float32))
    given = ("--prompts", prompts({"plane": 0, "box": [22, 28, 67, 73]}), "--follow-brightness")
    code, _, err = anysam(
        "propagate", tmp_path / "a.tif", *given, "--model", MODEL, "-o", tmp_path / "o.tif"
    )
    assert code == 0, err
    assert iou(contents(tmp_path / "o.tif") == 1, truth) > 0.8


def test_propagate_takes_colour_and_contrast(anysam, tmp_path, prompts):
    stack, truth = discs()
    zarr.create_array(tmp_path / "colour.zarr", data=np.stack([stack] * 3, axis=-1))
    code, _, err = anysam(
        *("propagate", tmp_path / "colour.zarr", "--channel-axis", -1, "--contrast", 100, 900),
        *("--prompts", prompts({"plane": 0, "box": [20, 26, 69, 75]})),
        *("--model", MODEL, "-o", tmp_path / "o.tif"),
    )
    assert code == 0, err
    assert iou(contents(tmp_path / "o.tif") == 1, truth) > 0.8


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_an_interrupted_run_keeps_its_finished_planes(tmp_path, prompts, name):
    stack, _ = discs(count=300)
    tifffile.imwrite(tmp_path / "long.tif", stack)
    arguments = [
        *("propagate", tmp_path / "long.tif", "--prompts"),
        *(prompts({"plane": 0, "points": [[44, 50]]}), "--model", MODEL, "-o", tmp_path / "o.tif"),
    ]
    command = [sys.executable, "-m", "napari_anysam.cli", *map(str, arguments)]
    # A shell lets its background jobs ignore Ctrl-C, and so would the child of such a job.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        heard = b""
        while not re.search(rb" [1-9]\d*/300", heard):
            piece = process.stderr.read1()
            assert piece, heard.decode()
            heard += piece
        process.send_signal(getattr(signal, name))
        out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (130, b"")
    kept = tmp_path / "o.tif.unfinished" / "labels.zarr"
    assert re.search(rb"anysam: cancelled\. The .*kept in .*labels\.zarr; --resume .*\n$", err), err
    assert contents(kept)[0].any()
    assert not contents(kept)[-1].any()
    assert [path.name for path in tmp_path.glob("*o.*")] == ["o.tif.unfinished"]


@pytest.mark.parametrize("kind", ["box", "mask", "points"])
def test_segment_refines_labels_and_keeps_their_ids(anysam, tmp_path, image, kind):
    path, truth = image
    rough = np.roll(truth, 3, axis=1).astype(np.uint16) * 41
    tifffile.imwrite(tmp_path / "rough.tif", rough)
    output = tmp_path / "labels.tif"
    code, out, _ = anysam(
        *("segment", path, "--from-labels", tmp_path / "rough.tif", "--as", kind),
        *("--model", MODEL, "-o", output),
    )
    assert (code, out) == (0, f"{output}\n")
    labels = contents(output)
    assert set(np.unique(labels)) == {0, 41}
    assert iou(labels == 41, truth) > iou(rough == 41, truth)


def test_segment_takes_lassos_and_scribbles_and_shapes_masks(anysam, tmp_path, image, prompts):
    path, truth = image
    half = [[10, 10], [10, 50], [80, 50], [80, 10]]
    stroke = {"vertices": [[44, 36], [44, 48]], "positive": True}
    entries = {"lasso": half}, {"object_id": 2, "scribbles": [stroke]}
    whole = prompts(entries[1], name="scribble.json")
    cut = prompts(entries[0], name="lasso.json")
    shaping = ("--largest-component", "--fill-holes", "20", "--smoothing", "2")
    for file, name in ((whole, "whole.tif"), (cut, "cut.tif")):
        code, *_ = anysam(
            *("segment", path, "--prompts", file, "--model", MODEL, "-o", tmp_path / name),
            *(*shaping, "--smallest-area", "30", "--threshold", "0.5"),
        )
        assert code == 0
    assert iou(contents(tmp_path / "whole.tif") == 2, truth) > 0.7
    inside = contents(tmp_path / "cut.tif") == 1
    assert inside[:, :51].sum() > 0.6 * truth[:, :51].sum()
    assert not inside[:, 51:].any()
