"""``anysam precompute``: the planes of a stack encoded before anybody clicks on them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_anysam.cli_options import (
    add_image_options,
    add_model_options,
    load_model,
    naming_slices,
    open_image,
)
from napari_anysam.errors import EmbeddingError

if TYPE_CHECKING:
    import argparse

__all__ = ["add_precompute"]


def add_precompute(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "precompute",
        help="encode a stack before it is clicked on",
        description="Encode the planes of a stack and keep them on disk, so that clicks on them in "
        "napari are answered at once. Planes that are there already are passed over, so a run that "
        "was interrupted goes on where it ended.",
    )
    parser.add_argument("image", metavar="STACK", type=Path, help="TIFF, Zarr, NIfTI, DICOM ...")
    add_model_options(parser, precision_help="has to be that of the window")
    add_image_options(
        parser,
        contrast_help="contrast limits of the layer in napari; with others the planes are encoded "
        "again there (default: 0.5 and 99.5 percentiles)",
    )
    parser.add_argument("--axis", type=int, help="axis of the planes (default: 0, or 1)")
    parser.add_argument("--start", type=int, help="first plane (default: 0)")
    parser.add_argument("--stop", type=int, help="plane to stop before (default: all)")
    parser.set_defaults(run=_precompute)


def _precompute(options: argparse.Namespace) -> None:
    from tqdm import tqdm

    from napari_anysam.images.conditioning import resolve_conditioning
    from napari_anysam.images.files import read_levels
    from napari_anysam.images.planes import Planes
    from napari_anysam.images.slicing import sliced_levels
    from napari_anysam.segmentation.precompute import precompute
    from napari_anysam.segmentation.stored_cache import user_store

    store = user_store()
    if store is None:
        raise EmbeddingError(
            "The setting embedding_disk_gb is 0, so embeddings are not kept; raise it first."
        )
    _, taken, channel_axis = open_image(options, 3)
    axis = options.axis if options.axis is not None else int(channel_axis == 0)
    levels = sliced_levels(read_levels(options.image, options.level), taken)
    with naming_slices():
        planes = Planes(levels, axis, channel_axis)
    conditioning = resolve_conditioning(planes, options.contrast or "auto")
    model = load_model(options)
    run = precompute(model, planes, conditioning, store, start=options.start, stop=options.stop)
    with tqdm(unit=" planes", disable=options.quiet, file=sys.stderr) as bar:
        for progress in run:
            bar.total = progress.total
            bar.update(progress.done - bar.n)
    sys.stdout.write(
        f"{progress.done} planes, {progress.encoded} of them encoded now; {store.folder}\n"
    )
