"""The command line's ``anysam replay``: a saved session done again, without a window."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

    from numpy.typing import NDArray

    from napari_anysam.images.geometry import Geometry
    from napari_anysam.images.label_pyramid import LabelPyramid
    from napari_anysam.segmentation.saved_session import ImageRecord, SavedSession
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
        "--layer",
        metavar="NAME=FILE",
        action="append",
        default=[],
        help="the file of a layer that was blended with the image (default: as for the image)",
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
    from napari_anysam.images.label_files import check_output, write_labels
    from napari_anysam.images.label_pyramid import LabelPyramid
    from napari_anysam.segmentation.session_files import load_session

    if options.output is None and not options.check:
        options.usage_error("Give -o LABELS, --check, or both.")
    loaded = load_session(options.session)
    if isinstance(loaded.labels, LabelPyramid):
        _replay_store(options, loaded, loaded.labels)
        return
    if options.output is not None:
        if loaded.labels.ndim > 3:
            raise LabelFileError(
                f"Labels with {loaded.labels.ndim} axes are not written to a file; leave -o out "
                "and use --check."
            )
        check_output(options.output, loaded.labels.ndim)
    labels = _again(options, loaded)
    if options.output is not None:
        write_labels(options.output, labels, _geometry(options, loaded.session))
        sys.stdout.write(f"{options.output}\n")
    if options.check:
        _check(labels, loaded.labels)
        sys.stdout.write("The labels are the same.\n")


def _replay_store(options: argparse.Namespace, loaded: LoadedSession, stored: LabelPyramid) -> None:
    """Do a session again whose labels are in a store: into another one, window by window."""
    from tempfile import TemporaryDirectory

    from napari_anysam.errors import LabelFileError
    from napari_anysam.images.label_pyramid import LabelPyramid

    output: Path | None = options.output
    if output is not None and output.suffix != ".zarr":
        raise LabelFileError(
            f"Labels of a store are written into a store; name it {output.stem}.zarr."
        )
    with TemporaryDirectory() as folder:
        path = output or Path(folder) / "labels.zarr"
        labels = _again(options, loaded, LabelPyramid.create(path, stored.shape))
        if output is not None:
            sys.stdout.write(f"{output}\n")
        if options.check:
            for chunk in (*stored.written_chunks(), *labels.written_chunks()):
                window = (*chunk.index, chunk.rows, chunk.columns)
                _check(labels[window], stored[window])
            sys.stdout.write("The labels are the same.\n")


def _again(options: argparse.Namespace, loaded: LoadedSession, into: Any = None) -> Any:
    """Replay with the model and the files that the options say."""
    from napari_anysam.segmentation.replay import load_recorded, replay

    load = partial(
        load_recorded,
        name_or_path=options.model,
        device=options.device,
        variant=options.variant,
    )
    session, files = loaded.session, _files_of_layers(options, loaded.session)
    image = _open(session.image, options.image, options.session)
    others = {
        record.name: _open(record, files.get(record.name), options.session)
        for record in session.others
    }
    return replay(loaded, image, load, None if options.quiet else _tell, others, into)


def _files_of_layers(options: argparse.Namespace, session: SavedSession) -> dict[str, Path]:
    """Return what ``--layer`` says."""
    names = {record.name for record in session.others}
    files = {}
    for given in options.layer:
        name, _, file = given.rpartition("=")
        if name not in names:
            known = ", ".join(sorted(names)) or "none"
            options.usage_error(f"--layer {given}: the session blends no layer {name!r} ({known}).")
        files[name] = Path(file)
    return files


def _open(record: ImageRecord, given: Path | None, session: Path) -> list[Any]:
    """Open the levels of an image."""
    from napari_anysam.images.files import read_levels
    from napari_anysam.segmentation.saved_session import recorded_levels

    return recorded_levels(record, read_levels(_find(record, given, session)))


def _geometry(options: argparse.Namespace, session: SavedSession) -> Geometry | None:
    """Return where the labels' voxels lie, as the image's file says it; of medical volumes."""
    from napari_anysam.images.file_kinds import ending_of
    from napari_anysam.images.files import read_image
    from napari_anysam.images.volume_files import LABEL_VOLUMES

    if ending_of(options.output) not in LABEL_VOLUMES:
        return None
    return read_image(_find(session.image, options.image, options.session)).label_geometry()


def _find(record: ImageRecord, given: Path | None, session: Path) -> Path:
    """Return where an image is said to be, where it lay, or where it lies beside the session."""
    from napari_anysam.errors import SessionError

    option = f"--image, or --layer {record.name}=FILE for a blended layer"
    if given is None and record.path is None:
        raise SessionError(
            f"The session's image {record.name!r} was in no file; save it and give {option}."
        )
    path = Path(given or record.path or "")
    beside = session.absolute().parent / path.name
    if given is None and not path.exists():
        if not beside.exists():
            raise SessionError(
                f"The session's image is not at {path}, nor at {beside}; give {option}."
            )
        path = beside
    return path


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
