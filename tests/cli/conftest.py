"""Images and prompts in files, and the command as a function."""

from __future__ import annotations

import json

import pytest
import tifffile
from cli_helpers import discs

from napari_anysam.cli import main


@pytest.fixture
def anysam(capsys):
    """Run the command in this process; returns exit code, stdout and stderr."""

    def run(*arguments):
        arguments = [str(argument) for argument in arguments]
        try:
            code = main(arguments)
        except SystemExit as error:
            code = error.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def image(tmp_path):
    stack, truth = discs(count=1)
    tifffile.imwrite(tmp_path / "image.tif", stack[0])
    return tmp_path / "image.tif", truth[0]


@pytest.fixture
def stack(tmp_path):
    stack, truth = discs()
    tifffile.imwrite(tmp_path / "stack.tif", stack)
    return tmp_path / "stack.tif", truth


@pytest.fixture
def prompts(tmp_path):
    """Write prompts as JSON, by default a click on the disc."""

    def write(*entries, name="prompts.json"):
        path = tmp_path / name
        path.write_text(json.dumps(list(entries) or [{"points": [[44, 50]]}]))
        return path

    return write
