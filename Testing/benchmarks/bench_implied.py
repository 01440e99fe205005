"""How much of what surrounds a label strokes imply not to be it, and how much of the label lies there by mistake.

    python Testing/benchmarks/bench_implied.py [--data ../shared/data/cardiac_mr] [--strokes scribbles | --simulate]
        [--cases 6] [--margin 0.25]

Needs a data set with strokes beside complete labels, or simulates strokes: two lines in each of five slices of a label,
along the middle row and the middle column. Prints for each of the two rules of `SemiSupSegLib/data/implied.py`, place
and looks, as means over cases and labels: the share of what surrounds the label (its box, 15 mm wider, without it) that
is implied, and the mean and largest share of the label's own voxels in it. By `--simulate`, only looks, as strokes
around a label are not simulated.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY))

from SemiSupSegLib.data.implied import what_strokes_say  # noqa: E402  the repository's own, wherever this is started
from SemiSupSegLib.data.intensity_range import LEAST, MARGIN, looks_otherwise  # noqa: E402
from SemiSupSegLib.project.boxes import bounding_box, grown  # noqa: E402
from SemiSupSegLib.project.geometry import Grid, array_xyz, to_ras  # noqa: E402
from SemiSupSegLib.project.images import read_volume  # noqa: E402

AROUND_MM = 15.0
SLICES = 5
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Stroked:
    """One label of one case, arrays (X, Y, Z)."""

    name: str
    image: NDArray[np.floating]
    label: Mask
    positive: Mask
    negative: Mask
    spacing: tuple[float, float, float]


def main() -> None:
    """Measure all cases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=REPOSITORY.parent / "shared" / "data" / "cardiac_mr")
    parser.add_argument("--strokes", default="scribbles", help="folder of the strokes (default: %(default)s)")
    parser.add_argument("--not-annotated", type=int, default=255, help="their value elsewhere (default: %(default)s)")
    parser.add_argument("--simulate", action="store_true", help="strokes from the labels instead")
    parser.add_argument("--cases", type=int, help="the first so many; default: all")
    parser.add_argument("--margin", type=float, default=MARGIN, help="of the rule of looks (default: %(default)s)")
    args = parser.parse_args()
    if not (args.data / "labels").is_dir() or not (args.simulate or (args.data / args.strokes).is_dir()):
        sys.exit(f"no {args.strokes}/ and labels/ in {args.data}: --simulate makes strokes from labels/")
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for stroked in labels(args):
        for rule, implied in rules(stroked, args.margin, place=not args.simulate):
            found.setdefault((stroked.name, rule), []).append(shares(implied, stroked))
            found.setdefault(("all labels", rule), []).append(shares(implied, stroked))
    print(f"{args.data.name}, {'simulated strokes' if args.simulate else args.strokes}\n")
    print("| label | rule | cases | implied of what surrounds it | of the label itself | at most |")
    print("|---|---|--:|--:|--:|--:|")
    many = len(found) > 30
    for (name, rule), measured in sorted(found.items()):
        if not many or name == "all labels":
            cover, wrong = np.array(measured).T
            mean, most = 100 * wrong.mean(), 100 * wrong.max()
            print(f"| {name} | {rule} | {len(cover)} | {cover.mean():.2f} | {mean:.2f} % | {most:.2f} % |")


def labels(args: argparse.Namespace) -> Iterator[Stroked]:
    """Every label of every case that has strokes."""
    names = json.loads((args.data / "dataset.json").read_text(encoding="utf-8"))["labels"]
    for file in sorted((args.data / "labels").iterdir())[: args.cases]:
        volume = to_ras(read_volume(args.data / "images" / file.name))
        image, truth = array_xyz(volume), array_xyz(to_ras(read_volume(file)))
        drawn = None if args.simulate else array_xyz(to_ras(read_volume(args.data / args.strokes / file.name)))
        for value, name in names.items():
            label = truth == int(value)
            positive = lines(label) if drawn is None else drawn == int(value)
            negative = np.zeros_like(label) if drawn is None else (drawn != args.not_annotated) & ~positive
            if label.any() and int(positive.sum()) >= LEAST:
                yield Stroked(name, image, label, positive, negative, Grid.of(volume).spacing)


def lines(label: Mask) -> Mask:
    """The middle row and the middle column of a label in five of its slices."""
    found = np.zeros_like(label)
    slices = np.flatnonzero(label.any(axis=(0, 1)))
    for k in slices[np.linspace(0, len(slices) - 1, SLICES + 2).round().astype(int)[1:-1]] if len(slices) else ():
        x, y = (int(np.median(places)) for places in np.nonzero(label[..., k]))
        found[x, :, k] |= label[x, :, k]
        found[:, y, k] |= label[:, y, k]
    return found


def rules(stroked: Stroked, margin: float, *, place: bool) -> Iterator[tuple[str, Mask]]:
    """What each rule implies."""
    if place:
        yield "place", what_strokes_say(stroked.positive, stroked.negative, stroked.spacing)[0]
    looks = looks_otherwise(stroked.image[np.newaxis], stroked.positive, margin=margin)
    yield "looks", looks & ~stroked.positive & ~stroked.negative


def shares(implied: Mask, stroked: Stroked) -> tuple[float, float]:
    """Of what surrounds the label, and of the label itself."""
    box = bounding_box(stroked.label)
    assert box is not None
    near = grown(box, AROUND_MM / np.array(stroked.spacing), stroked.label.shape)
    return float(implied[near][~stroked.label[near]].mean()), float(implied[stroked.label].mean())


if __name__ == "__main__":
    main()
