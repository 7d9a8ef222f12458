"""What the command does before any network is loaded: usage, errors, exit codes."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest
import tifffile

from napari_anysam import __version__


def test_help_and_version_bring_in_neither_torch_nor_numpy():
    code = (
        "import sys\n"
        "from napari_anysam.cli import main\n"
        "for word in ('--help', '--version'):\n"
        "    try: main([word])\n"
        "    except SystemExit as end: assert end.code == 0\n"
        "assert not {'torch', 'numpy', 'napari', 'qtpy'} & set(sys.modules), sys.modules\n"
    )
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert time.perf_counter() - start < 5
    assert "segment" in done.stdout
    assert "propagate" in done.stdout
    assert __version__ in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["paint"],
        ["segment", "a.tif"],
        ["segment", "a.tif", "--prompts", "p.json"],
        ["segment", "a.tif", "--prompts", "p.json", "-o", "o.tif", "--contrast", "1"],
        ["segment", "a.tif", "--prompts", "p.json", "-o", "o.tif", "--axis", "1"],
        ["segment", "a.tif", "--prompts", "p.json", "--everything", "-o", "o.tif"],
        ["segment", "a.tif", "--everything", "-o", "o.tif", "--conf", "much"],
        ["segment", "a.tif", "--everything", "-o", "o.tif", "--smoothing", "2"],
        ["propagate", "a.tif", "--everything", "-o", "o.tif"],
        ["segment", "a.tif", "-o", "o.tif"],
        ["segment", "a.tif", "--prompts", "p.json", "--from-labels", "l.tif", "-o", "o.tif"],
        ["segment", "a.tif", "--prompts", "p.json", "--as", "mask", "-o", "o.tif"],
        ["segment", "a.tif", "--from-labels", "l.tif", "--as", "outline", "-o", "o.tif"],
        ["propagate", "a.tif", "--prompts", "p.json", "-o", "o.tif", "--direction", "up"],
        [
            *("propagate", "a.tif", "--prompts", "p.json", "-o", "o.tif"),
            *("--follow-brightness", "--contrast", "0", "9"),
        ],
    ],
)
def test_wrong_usage_exits_with_2(anysam, arguments):
    code, out, err = anysam(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("usage: anysam")


def is_one_line_error(answer, *words):
    code, out, err = answer
    assert (code, out) == (1, "")
    assert err.count("\n") == 1
    assert err.startswith("anysam: error: ")
    for word in words:
        assert word in err


def test_missing_image(anysam, tmp_path, prompts):
    answer = anysam("segment", "gone.tif", "--prompts", prompts(), "-o", tmp_path / "o.tif")
    is_one_line_error(answer, "There is no file gone.tif")


def test_missing_prompts(anysam, tmp_path, image):
    answer = anysam("segment", image[0], "--prompts", "gone.json", "-o", tmp_path / "o.tif")
    is_one_line_error(answer, "There is no file gone.json")


def test_broken_prompts(anysam, tmp_path, image, prompts):
    path = prompts({"points": [[44, 50]]}, {"points": [[1, 2]], "polarity": [True, False]})
    answer = anysam("segment", image[0], "--prompts", path, "-o", tmp_path / "o.tif")
    is_one_line_error(answer, "prompts.json: entry 2", "one per point")


def test_prompt_outside_the_image(anysam, tmp_path, image, prompts):
    path = prompts({"points": [[44, 500]]})
    answer = anysam("segment", image[0], "--prompts", path, "-o", tmp_path / "o.tif")
    is_one_line_error(answer, "outside the image")


def test_prompt_outside_the_stack(anysam, tmp_path, stack, prompts):
    path = prompts({"points": [[44, 50]], "plane": 5})
    answer = anysam("propagate", stack[0], "--prompts", path, "-o", tmp_path / "o.tif")
    is_one_line_error(answer, "plane 5", "0 to 4")


@pytest.mark.parametrize(
    ("output", "words"),
    [("o.jpg", "use .tif, .png or .zarr"), ("nowhere/o.tif", "There is no folder")],
)
def test_output_is_checked_before_anything_is_read(anysam, tmp_path, output, words):
    answer = anysam("segment", "gone.tif", "--prompts", "gone", "-o", tmp_path / output)
    is_one_line_error(answer, words)


def test_a_stack_does_not_go_into_a_png(anysam, tmp_path, stack, prompts):
    answer = anysam("propagate", stack[0], "--prompts", prompts(), "-o", tmp_path / "o.png")
    is_one_line_error(answer, ".tif or .zarr")


def test_the_input_is_never_overwritten(anysam, image, prompts):
    before = image[0].read_bytes()
    answer = anysam("segment", image[0], "--prompts", prompts(), "-o", image[0])
    is_one_line_error(answer, "also an input")
    assert image[0].read_bytes() == before


def test_a_stack_is_no_image(anysam, tmp_path, stack, prompts):
    answer = anysam("segment", stack[0], "--prompts", prompts(), "-o", tmp_path / "o.tif")
    is_one_line_error(answer, "3 dimensions")


def test_too_many_dimensions(anysam, tmp_path, prompts):
    tifffile.imwrite(tmp_path / "series.tif", np.zeros((2, 3, 4, 5, 6), np.uint16))
    answer = anysam(
        "propagate", tmp_path / "series.tif", "--prompts", prompts(), "-o", tmp_path / "o.tif"
    )
    is_one_line_error(answer, "5 dimensions", "slice it to 3", "--at AXIS=INDEX")


def test_an_id_that_no_label_image_holds(anysam, tmp_path, image, prompts):
    path = prompts({"points": [[44, 50]], "object_id": 2**31})
    answer = anysam("segment", image[0], "--prompts", path, "-o", tmp_path / "o.tif")
    is_one_line_error(answer, "renumber")


def test_an_unknown_model(anysam, tmp_path, image, prompts):
    output = tmp_path / "o.tif"
    answer = anysam("segment", image[0], "--prompts", prompts(), "-o", output, "--model", "sam9")
    is_one_line_error(answer, "sam9")
    assert not output.exists()


def test_labels_that_hold_nothing(anysam, tmp_path, image):
    tifffile.imwrite(tmp_path / "labels.tif", np.zeros((96, 96), np.uint8))
    answer = anysam(
        "segment", image[0], "--from-labels", tmp_path / "labels.tif", "-o", tmp_path / "o.tif"
    )
    is_one_line_error(answer, "hold no object")


def test_labels_of_another_image(anysam, tmp_path, image):
    labels = np.zeros((200, 200), np.uint8)
    labels[150:160, 150:160] = 1
    tifffile.imwrite(tmp_path / "labels.tif", labels)
    answer = anysam(
        "segment", image[0], "--from-labels", tmp_path / "labels.tif", "-o", tmp_path / "o.tif"
    )
    is_one_line_error(answer, "outside the image")


def test_labels_are_not_overwritten(anysam, tmp_path, image):
    path = tmp_path / "labels.tif"
    tifffile.imwrite(path, np.ones((96, 96), np.uint8))
    answer = anysam("segment", image[0], "--from-labels", path, "-o", path)
    is_one_line_error(answer, "also an input")


def test_an_option_out_of_its_range(anysam, tmp_path, image, prompts):
    answer = anysam(
        "segment", image[0], "--prompts", prompts(), "-o", tmp_path / "o.tif", "--box-padding", "1"
    )
    is_one_line_error(answer, "use 0 to 0.1")
