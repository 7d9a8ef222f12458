"""The command line's ``anysam models``: the catalogue, what is on disk, downloads and checks."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_anysam.errors import DownloadError, ModelNotFoundError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Sequence

    from napari_anysam.models.catalogue import ModelSpec
    from napari_anysam.models.download import Progress
    from napari_anysam.models.store import ModelStore

__all__ = ["add_models"]


def add_models(commands: Any) -> None:
    """Add the command and its subcommands to the parser."""
    parser = commands.add_parser(
        "models",
        help="list, download, check and remove models",
        description="Manage the models of the Segment Anything family.",
    )
    actions = parser.add_subparsers(title="actions", required=True, metavar="ACTION")
    listing = _add(actions, "list", _list, "all models, and which are on this computer")
    listing.add_argument(
        "--sort", choices=tuple(_ORDERS), help="default: as the catalogue orders them"
    )
    listing.add_argument("--kind", metavar="KIND", help="only those good for this kind of image")
    choose = _add(actions, "choose", _choose, "propose models for a kind of image, with reasons")
    choose.add_argument("kind", metavar="KIND", nargs="?", help="left out: lists the kinds")
    choose.add_argument("--stack", action="store_true", help="to follow through a stack or film")
    choose.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    choose.add_argument(
        "--commercial", action="store_true", help="leave out licences that limit or are unknown"
    )
    info = _add(actions, "info", _info, "all that is known of one model")
    info.add_argument("name", metavar="NAME")
    fetch = _add(actions, "download", _download, "fetch models, or continue where it stopped")
    fetch.add_argument("names", metavar="NAME", nargs="*")
    fetch.add_argument("--hub", metavar="OWNER/NAME", help="a repository of Hugging Face instead")
    fetch.add_argument("--file", help="its file, where it holds several files of weights")
    fetch.add_argument(
        "--accept-licence", action="store_true", help="agree to a licence that limits the use"
    )
    fetch.add_argument("-q", "--quiet", action="store_true", help="no progress on stderr")
    check = _add(actions, "verify", _verify, "compare files on disk with their hashes")
    check.add_argument("names", metavar="NAME", nargs="*", help="default: all on disk")
    remove = _add(actions, "remove", _remove, "delete downloaded models")
    remove.add_argument("names", metavar="NAME", nargs="+")
    identify = _add(actions, "identify", _identify, "tell what network a file holds")
    identify.add_argument("path", metavar="FILE", type=Path)


def _add(actions: Any, name: str, run: Any, words: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(name, help=words, description=words)
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.set_defaults(run=run)
    return parser


def _list(options: argparse.Namespace) -> None:
    from napari_anysam.models.catalogue import catalogue, check_kind

    if options.kind is not None:
        check_kind(options.kind)
    records = _records(spec for spec in catalogue() if options.kind in (None, *spec.good_for))
    if options.sort is not None:
        records.sort(key=_ORDERS[options.sort])
    if options.json:
        _write_json(records)
        return
    rows = [
        (
            str(record["name"]),
            str(record["status"]),
            _megabytes(record["size_bytes"]),
            _reported(record),
            _here(record),
            "tracks" if record["tracking"] else "",
            str(record["licence"]),
        )
        for record in records
    ]
    _write_table(("NAME", "STATUS", "MB", "MEMORY", "HERE", "STACKS", "LICENCE"), rows)


def _last_if_none(value: float | None) -> tuple[bool, float]:
    return value is None, value or 0.0


_ORDERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "name": lambda record: record["name"],
    "size": lambda record: _last_if_none(record["size_bytes"]),
    "memory": lambda record: _last_if_none(record["memory_fp32_mb"]),
}


def _reported(record: dict[str, Any]) -> str:
    """Write the reported memory of a graphics card in MB, in fp32 and in bf16."""
    figures = (record["memory_fp32_mb"], record["memory_bf16_mb"])
    return "/".join(str(figure) for figure in figures if figure is not None)


def _here(record: dict[str, Any]) -> str:
    from napari_anysam.models.measurements import Measurement

    alike = [one for one in record["measured"] if one["image_size"] == record["image_size"]]
    latest = max(alike, key=lambda one: str(one["date"]), default=None)
    return "" if latest is None else Measurement(**latest).figures


def _choose(options: argparse.Namespace) -> None:
    from napari_anysam.models.catalogue import IMAGE_KINDS, check_kind
    from napari_anysam.models.chooser import propose, this_machine

    if options.kind is None:
        if options.json:
            _write_json(dict(IMAGE_KINDS))
        else:
            _write_table(("KIND", "IMAGES"), list(IMAGE_KINDS.items()))
        return
    check_kind(options.kind)
    found = propose(
        options.kind,
        this_machine(options.device),
        tracking=options.stack,
        commercial=options.commercial,
    )
    records = _records(proposal.spec for proposal in found)
    answers = [
        record | {"reason": proposal.reason}
        for record, proposal in zip(records, found, strict=True)
    ]
    if options.json:
        _write_json(answers)
        return
    for answer in answers:
        sys.stdout.write(f"{answer['name']} ({answer['status']}): {answer['reason']}\n")


def _info(options: argparse.Namespace) -> None:
    from napari_anysam.models.catalogue import find_model
    from napari_anysam.models.measurements import Measurement

    (record,) = _records([find_model(options.name)])
    if options.json:
        _write_json(record)
        return
    record["measured"] = [Measurement(**one).words for one in record["measured"]]
    for key, value in record.items():
        text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
        if text not in ("", None):
            sys.stdout.write(f"{key.replace('_', ' ')}: {text}\n")


def _download(options: argparse.Namespace) -> None:
    from napari_anysam.models.catalogue import find_model
    from napari_anysam.models.store import default_store
    from napari_anysam.settings import read_settings

    store, settings = default_store(), read_settings()
    if options.hub:
        from napari_anysam.models.hub import download_from_hub

        path = download_from_hub(options.hub, options.file, settings)
        store.add(path)
        _write_paths([path], options)
        return
    if not options.names:
        raise ModelNotFoundError("Name a model, as 'anysam models list' writes it, or use --hub.")
    specs = [find_model(name) for name in options.names]
    for spec in specs:
        _agree(spec, options)
    from napari_anysam.models.download import download

    paths = []
    for spec in specs:
        with _Bar(spec, quiet=options.quiet) as bar:
            paths.append(download(spec, store, settings, report=bar.show))
    _write_paths(paths, options)


def _agree(spec: ModelSpec, options: argparse.Namespace) -> None:
    """Ask whether a licence that limits the use is accepted."""
    if not spec.restricted or options.accept_licence:
        return
    sys.stderr.write(f"{spec.title} comes under: {spec.licence}.\n")
    if sys.stdin.isatty():
        sys.stderr.write("Do you agree? [y/N] ")
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() in {"y", "yes"}:
            return
    raise DownloadError(
        f"The licence of {spec.title} limits its use and was not agreed to; add --accept-licence "
        "if you agree."
    )


class _Bar:
    """A progress bar of one download on stderr."""

    def __init__(self, spec: ModelSpec, *, quiet: bool) -> None:
        self._spec, self._quiet = spec, quiet

    def __enter__(self) -> _Bar:
        from tqdm import tqdm

        self._bar = tqdm(
            desc=self._spec.title,
            total=self._spec.size_bytes,
            unit="B",
            unit_scale=True,
            disable=self._quiet,
            file=sys.stderr,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def show(self, progress: Progress) -> None:
        """Move to where the download is."""
        if progress.total is not None:
            self._bar.total = progress.total
        self._bar.update(progress.done - self._bar.n)


def _verify(options: argparse.Namespace) -> None:
    from napari_anysam.models.catalogue import catalogue, find_model
    from napari_anysam.models.store import default_store

    store = default_store()
    if options.names:
        specs = [find_model(name) for name in options.names]
    else:
        specs = [spec for spec in catalogue() if store.find(spec) is not None]
    results = {spec.name: _check(spec, store) for spec in specs}
    if options.json:
        _write_json(results)
    else:
        _write_table(("NAME", "RESULT"), list(results.items()))
    wrong = [name for name, words in results.items() if words == _WRONG]
    if wrong:
        raise DownloadError(
            f"{', '.join(wrong)} differ from what was published; remove and download them again."
        )


_WRONG = "wrong hash"


def _check(spec: ModelSpec, store: ModelStore) -> str:
    from napari_anysam.models.checkpoint import file_sha256
    from napari_anysam.models.store import hash_trust

    path = store.locate(spec)
    if spec.builtin:
        return "comes with the package"
    found = file_sha256(path)
    if spec.sha256 is not None:
        return f"right ({hash_trust(spec, store)})" if found == spec.sha256 else _WRONG
    recorded = store.recorded_sha256(spec)
    if recorded is None:
        return "no hash is known"
    return "as it was downloaded; no hash is published" if found == recorded else _WRONG


def _remove(options: argparse.Namespace) -> None:
    from napari_anysam.models.catalogue import find_model
    from napari_anysam.models.download import discard_partial, downloaded_bytes
    from napari_anysam.models.store import default_store

    store = default_store()
    for spec in [find_model(name) for name in options.names]:
        unfinished = downloaded_bytes(spec, store) > 0
        discard_partial(spec, store)
        if not unfinished or store.can_delete(spec):
            store.delete(spec)
    if options.json:
        _write_json({"removed": options.names})


def _identify(options: argparse.Namespace) -> None:
    from napari_anysam.models.catalogue import catalogue, find_by_sha256
    from napari_anysam.models.checkpoint import file_sha256, read_checkpoint
    from napari_anysam.models.recognition import (
        architecture_of,
        distinction,
        possible_variants,
    )
    from napari_anysam.models.store import default_store

    checkpoint = read_checkpoint(options.path)
    architecture = str(architecture_of(checkpoint))
    possible = [
        {"name": spec.name, "title": spec.title, "distinction": distinction(spec)}
        for spec in possible_variants(options.path)
    ]
    remembered = default_store().remembered_variant(options.path)
    sha256 = file_sha256(options.path)
    known = find_by_sha256(sha256)
    fitting = [spec.name for spec in catalogue() if spec.architecture == architecture]
    answer = {
        "file": str(options.path),
        "architecture": architecture,
        "parameters": checkpoint.parameters,
        "tensors": len(checkpoint.tensors),
        "sha256": sha256,
        "model": None if known is None else known.name,
        "variants": fitting,
        "possible_variants": possible,
        "remembered_variant": remembered,
    }
    if options.json:
        _write_json(answer)
        return
    name = "unknown; it is none of the published files" if known is None else known.name
    sys.stdout.write(
        f"{options.path}: {architecture}, {checkpoint.parameters / 1e6:.1f} million parameters\n"
        f"model: {name}\n"
        f"models of this architecture: {', '.join(fitting) or 'none'}\n"
        f"sha256: {sha256}\n"
    )
    if remembered is not None:
        sys.stdout.write(f"used as: {remembered}, as was said when it was added\n")
    elif possible:
        sys.stdout.write(
            f"used as: {possible[0]['name']}, unless --variant says otherwise; it may be\n"
        )
        sys.stdout.writelines(f"  {one['name']}: {one['distinction']}\n" for one in possible)


def _records(specs: Iterable[ModelSpec]) -> list[dict[str, Any]]:
    """Return the catalogue's entries with what this computer has and has measured of them."""
    from napari_anysam.models.measurements import default_measurements
    from napari_anysam.models.store import default_store

    store, measured = default_store(), default_measurements().all()
    return [
        _record(spec, store) | {"measured": [asdict(m) for m in measured if m.model == spec.name]}
        for spec in specs
    ]


def _record(spec: ModelSpec, store: ModelStore) -> dict[str, Any]:
    """Return the catalogue's entry with what this computer has of it."""
    from napari_anysam.models.download import downloaded_bytes
    from napari_anysam.models.store import hash_trust

    path = store.find(spec)
    arrived = 0 if path is not None else downloaded_bytes(spec, store)
    status = "on disk" if path is not None else "unfinished" if arrived else "not on disk"
    if spec.builtin:
        status = "built in" if path is not None else "missing"
    return {
        **asdict(spec),
        "hash_trust": hash_trust(spec, store),
        "status": status,
        "path": None if path is None else str(path),
        "downloaded_bytes": arrived,
        "size_bytes": spec.size_bytes if path is None else path.stat().st_size,
    }


def _megabytes(size: object) -> str:
    return f"{size / 1e6:.0f}" if isinstance(size, int) else "?"


def _write_json(content: object) -> None:
    sys.stdout.write(json.dumps(content, indent=2, default=str) + "\n")


def _write_paths(paths: list[Path], options: argparse.Namespace) -> None:
    if options.json:
        _write_json([str(path) for path in paths])
        return
    for path in paths:
        sys.stdout.write(f"{path}\n")


def _write_table(titles: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(len(row[k]) for row in [titles, *rows]) for k in range(len(titles))]
    for row in [titles, *rows]:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        sys.stdout.write("  ".join(cells).rstrip() + "\n")
