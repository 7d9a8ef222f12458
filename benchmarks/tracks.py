"""Cells through time: identities kept, cells lost and divisions found, against the truth.

    python benchmarks/tracks.py
    python benchmarks/tracks.py --sets synthetic psc --objects 12

Every cell of the first frame is prompted there with its true mask and followed to the end with its
daughters (``follow_divisions``). At each time point a true cell is matched with the label that
covers more than half of it, as the Cell Tracking Challenge does. Counted are true cells that were
there in the first frame or descend from one, where the truth says so:

- lost: time points at which such a cell is matched with nothing, of all of them;
- switches: time points at which it is matched with another id than before, unless that is a
  daughter's after the mother's;
- divisions: true ones whose daughters are matched with two daughters of the mother's id, proposed
  at most two time points away; and false ones.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from quality_sets import SETS, data_folder, evenly_spaced, targets_in_first_frame

from napari_anysam import Prompt, load_model
from napari_anysam.images.conditioning import resolve_conditioning
from napari_anysam.images.planes import Planes
from napari_anysam.images.synthetic import synthetic_divisions
from napari_anysam.segmentation.following_divisions import follow_divisions
from napari_anysam.segmentation.tracking import Tracker

TOLERANCE = 2


@dataclass(frozen=True)
class Series:
    """A time series with its truth; ``parents`` is None where the truth does not say."""

    name: str
    image: np.ndarray
    labels: np.ndarray
    parents: dict[int, int] | None


def all_series(objects: int):
    for seed in range(3):
        image, labels, parents = synthetic_divisions(seed, (24, 256, 256), divisions=4)
        yield Series(f"synthetic, seed {seed}", image, labels, parents), None
    for data_set in SETS:
        if data_set.name in ("psc", "livecyte"):
            for sample in data_set.load(data_folder() / data_set.folder):
                yield Series(data_set.name, sample.image, sample.labels, None), objects


def matches(truth, labels, number):
    """Return the label that covers more than half of a true cell at each time point, or 0."""
    found = {}
    for t in np.flatnonzero((truth == number).any(axis=(1, 2))):
        inside = labels[t][truth[t] == number]
        label = int(np.bincount(inside).argmax())
        found[int(t)] = label if label and (inside == label).sum() > inside.size / 2 else 0
    return found


def evaluate(series: Series, labels, links, prompted):
    known = set(prompted)
    for child, parent in sorted((series.parents or {}).items()):
        if parent in known:
            known.add(child)
    found = {number: matches(series.labels, labels, number) for number in known}
    cells = sum(len(one) for one in found.values())
    lost = sum(label == 0 for one in found.values() for label in one.values())
    switches = 0
    for one in found.values():
        ids = [label for _, label in sorted(one.items()) if label]
        switches += sum(
            before != after and links.get(after) != before for before, after in pairwise(ids)
        )
    begins = {child: np.flatnonzero((labels == child).any(axis=(1, 2))) for child in links}
    right, true_ones = set(), set()
    for mother in set((series.parents or {}).values()) & known:
        daughters = [child for child, one in series.parents.items() if one == mother]
        begin = min(found[daughters[0]])
        true_ones.add(mother)
        own = [set(found[one].values()) - {0} for one in daughters]
        for parent in set(links.values()):
            pair = [child for child in links if links[child] == parent]
            near = all(
                len(begins[one]) and abs(begins[one][0] - begin) <= TOLERANCE for one in pair
            )
            apart = [{one for one in pair if one in ids} for ids in own]
            if near and all(apart) and apart[0] != apart[1]:
                right.add(parent)
    return cells, lost, switches, len(right), len(true_ones), len(set(links.values()) - right)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", default=["synthetic", "psc", "livecyte"])
    parser.add_argument("--objects", type=int, default=16, help="of each real series")
    parser.add_argument("--model", default="anysam-nano")
    options = parser.parse_args()
    model = load_model(options.model)
    print("| series | prompted | cells x times | lost | switches | divisions | false ones | s |")
    print("|---|---|---|---|---|---|---|---|")
    for series, most in all_series(options.objects):
        if not any(word in series.name for word in options.sets):
            continue
        targets = targets_in_first_frame(series)
        targets = targets if most is None else evenly_spaced(targets, most)
        prompts = [Prompt(one.object_id, 0, mask=one.truth) for one in targets]
        planes = Planes(series.image)
        tracker = Tracker(model, planes, resolve_conditioning(planes))
        labels = np.zeros(series.image.shape[:3], np.int32)
        links = {}
        began = time.perf_counter()
        for one in follow_divisions(tracker, prompts):
            labels[one.result.index] = one.drawn_over(labels[one.result.index])
            links = one.parents
        seconds = time.perf_counter() - began
        numbers = [one.object_id for one in targets]
        cells, lost, switches, right, true, false = evaluate(series, labels, links, numbers)
        divisions = f"{right} of {true}" if series.parents is not None else "not known"
        print(
            f"| {series.name} | {len(targets)} | {cells} | {lost} | {switches} | {divisions} "
            f"| {false if series.parents is not None else f'{false} proposed'} | {seconds:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
