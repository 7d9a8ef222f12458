"""``anysam precompute``: the planes of a stack encoded before anybody clicks on them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_anysam.errors import EmbeddingError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from napari_anysam.networks.protocol import PromptableModel

__all__ = ["add_precompute"]


def add_precompute(commands: Any, load: Callable[[argparse.Namespace], PromptableModel]) -> None:
    """Add the command.

    Parameters
    ----------
    commands : subparsers of argparse
    load : callable
        Returns the model that the options name.
    """
    parser = commands.add_parser(
        "precompute",
        help="encode a stack before it is clicked on",
        description="Encode the planes of a stack and keep them on disk, so that clicks on them in "
        "napari are answered at once. Planes that are there already are passed over, so a run that "
        "was interrupted goes on where it ended.",
    )
    parser.add_argument("image", metavar="STACK", type=Path, help="TIFF, Zarr, NIfTI, DICOM ...")
    parser.add_argument(
        "--model",
        metavar="NAME",
        default="anysam-nano",
        help="catalogue name or checkpoint file (default: anysam-nano, the shipped model)",
    )
    parser.add_argument("--variant", help="member of a family, where a checkpoint cannot tell")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    parser.add_argument(
        "--precision",
        choices=("auto", "fp32", "bf16", "fp16"),
        default="auto",
        help="has to be that of the window",
    )
    parser.add_argument(
        "--contrast",
        nargs=2,
        type=float,
        metavar=("LOW", "HIGH"),
        help="contrast limits of the layer in napari; with others the planes are encoded again "
        "there (default: 0.5 and 99.5 percentiles)",
    )
    parser.add_argument("--axis", type=int, help="axis of the planes (default: 0, or 1)")
    parser.add_argument("--channel-axis", type=int, metavar="K", help="axis that holds channels")
    parser.add_argument(
        "--level", type=int, metavar="L", default=0, help="level of a pyramid (default: 0)"
    )
    parser.add_argument("--start", type=int, help="first plane (default: 0)")
    parser.add_argument("--stop", type=int, help="plane to stop before (default: all)")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress on stderr")
    parser.set_defaults(run=lambda options: _precompute(options, load))


def _precompute(
    options: argparse.Namespace, load: Callable[[argparse.Namespace], PromptableModel]
) -> None:
    from tqdm import tqdm

    from napari_anysam.images.conditioning import resolve_conditioning
    from napari_anysam.images.files import read_image
    from napari_anysam.images.planes import Planes
    from napari_anysam.segmentation.precompute import precompute
    from napari_anysam.segmentation.stored_cache import user_store

    store = user_store()
    if store is None:
        raise EmbeddingError(
            "The setting embedding_disk_gb is 0, so embeddings are not kept; raise it first."
        )
    image = read_image(options.image, options.level)
    channel_axis = options.channel_axis
    if channel_axis is None and image.array.ndim == 4:
        channel_axis = image.channel_axis
    axis = options.axis if options.axis is not None else int(channel_axis == 0)
    planes = Planes(image.array, axis, channel_axis)
    conditioning = resolve_conditioning(planes, options.contrast or "auto")
    model = load(options)
    run = precompute(model, planes, conditioning, store, start=options.start, stop=options.stop)
    with tqdm(unit=" planes", disable=options.quiet, file=sys.stderr) as bar:
        for progress in run:
            bar.total = progress.total
            bar.update(progress.done - bar.n)
    sys.stdout.write(
        f"{progress.done} planes, {progress.encoded} of them encoded now; {store.folder}\n"
    )
