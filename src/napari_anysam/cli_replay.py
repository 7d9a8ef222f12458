"""The command line's ``anysam replay``: a saved session done again, without a window."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

    from numpy.typing import NDArray

    from napari_anysam.segmentation.session_files import LoadedSession

__all__ = ["add_replay"]


def add_replay(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "replay",
        help="do a saved session again",
        description="Make the labels of a session again from its prompts, as they were answered.",
    )
    parser.add_argument("session", metavar="SESSION", type=Path, help="folder NAME.anysam")
    parser.add_argument(
        "--image", type=Path, help="the image's file (default: where it lay, or beside SESSION)"
    )
    parser.add_argument(
        "-o", "--output", metavar="LABELS", type=Path, help="label image: .tif, .png or .zarr"
    )
    parser.add_argument(
        "--check", action="store_true", help="compare with the labels of the session"
    )
    parser.add_argument("--model", metavar="NAME", help="name or file of the recorded model")
    parser.add_argument("--variant", help="member of a family, where a checkpoint cannot tell")
    parser.add_argument("--device", help="another device than the recorded one")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress on stderr")
    parser.set_defaults(run=_replay, usage_error=parser.error)


def _replay(options: argparse.Namespace) -> None:
    from napari_anysam.errors import LabelFileError
    from napari_anysam.images.files import read_image
    from napari_anysam.images.label_files import check_output, write_labels
    from napari_anysam.segmentation.session_files import load_session

    if options.output is None and not options.check:
        options.usage_error("Give -o LABELS, --check, or both.")
    loaded = load_session(options.session)
    if options.output is not None:
        if loaded.labels.ndim > 3:
            raise LabelFileError(
                f"Labels with {loaded.labels.ndim} axes are not written to a file; leave -o out "
                "and use --check."
            )
        check_output(options.output, loaded.labels.ndim)
    source = read_image(_image_path(options, loaded))
    image = source.array

    from napari_anysam.segmentation.replay import load_recorded, replay

    load = partial(
        load_recorded,
        name_or_path=options.model,
        device=options.device,
        variant=options.variant,
    )
    labels = replay(loaded, image, load, None if options.quiet else _tell)
    if options.output is not None:
        write_labels(options.output, labels, source.label_geometry())
        sys.stdout.write(f"{options.output}\n")
    if options.check:
        _check(labels, loaded.labels)
        sys.stdout.write("The labels are the same.\n")


def _image_path(options: argparse.Namespace, loaded: LoadedSession) -> Path:
    from napari_anysam.errors import SessionError

    if options.image is not None:
        given: Path = options.image
        return given
    record = loaded.session.image
    if record.path is None:
        raise SessionError(
            f"The session's image {record.name!r} was in no file; save it and give --image."
        )
    path = Path(record.path)
    beside = options.session.absolute().parent / path.name
    for candidate in (path, beside):
        if candidate.exists():
            return candidate
    raise SessionError(f"The session's image is not at {path}, nor at {beside}; give --image.")


def _check(labels: NDArray[Any], stored: NDArray[Any]) -> None:
    """Raise SessionError, naming the first planes, if any pixel differs."""
    import numpy as np

    from napari_anysam.errors import SessionError

    differs = labels != stored
    if not differs.any():
        return
    planes = differs.reshape(-1, *differs.shape[-2:])
    changed = np.flatnonzero(planes.any(axis=(1, 2)))
    count = int(np.count_nonzero(differs))
    rows, columns = (np.flatnonzero(planes.any(axis=(0, axis))) for axis in (2, 1))
    where = f"in rows {rows[0]} to {rows[-1]}, columns {columns[0]} to {columns[-1]}"
    if stored.ndim > 2:
        some = ", ".join(str(number) for number in changed[:5])
        where += (
            f" of {len(changed)} of {len(planes)} planes ({some}{', ...' * (len(changed) > 5)})"
        )
    ids = np.union1d(labels[differs], stored[differs])
    objects = ", ".join(str(number) for number in ids[ids > 0][:10])
    raise SessionError(
        f"{count} of {stored.size} pixels differ from the session's labels, {where}, of objects "
        f"{objects}; replay on the recorded device, with the recorded versions of torch."
    )


def _tell(words: str) -> None:
    sys.stderr.write(f"anysam: {words}\n")
