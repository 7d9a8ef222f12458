"""Options of the command line for how logits become masks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from napari_anysam.segmentation.mask_options import MaskOptions

__all__ = ["add_mask_options", "mask_options"]


def add_mask_options(parser: argparse.ArgumentParser) -> None:
    """Add the fields of ``MaskOptions`` to a command."""
    group = parser.add_argument_group("masks")
    group.add_argument(
        "--threshold", type=float, default=0.0, help="logit above which pixels are inside"
    )
    group.add_argument(
        "--smallest-area", type=int, metavar="N", default=0, help="drop parts of fewer pixels"
    )
    group.add_argument(
        "--fill-holes", type=int, metavar="N", default=0, help="fill holes of up to N pixels"
    )
    group.add_argument(
        "--smoothing",
        type=float,
        metavar="R",
        default=0.0,
        help="smooth outlines, radius in pixels",
    )
    group.add_argument(
        "--largest-component",
        action="store_true",
        help="keep only the parts with a positive point, or else the largest one",
    )
    group.add_argument(
        "--box-padding",
        type=float,
        metavar="PART",
        default=0.0,
        help="let boxes grow by this part of their side at each end, 0 to 0.1",
    )


def mask_options(options: argparse.Namespace) -> MaskOptions:
    """Return what was asked for.

    Raises
    ------
    OptionsError
        If a value is out of its range.
    """
    from napari_anysam.segmentation.mask_options import MaskOptions

    return MaskOptions(
        threshold=options.threshold,
        smallest_area=options.smallest_area,
        fill_holes=options.fill_holes,
        smoothing=options.smoothing,
        largest_component=options.largest_component,
        box_padding=options.box_padding,
    )
