"""Does the uncertainty mean something? On cases with complete labels that the model has never seen.

    python Testing/benchmarks/bench_calibration.py PROJECT --test FOLDER [--output FOLDER]

PROJECT has a model in use; FOLDER has images/, labels/ and dataset.json. Printed, and drawn to OUTPUT:

* reliability: of the voxels to which the model gave a probability between two numbers, the share that is the organ, and
  the expected calibration error (ECE). Only voxels within 10 mm of the organ or of its proposal count: far from both
  everything is right, which would flatter any model.
* how much more uncertain wrong voxels are than right ones, there.
* worst slice first: the share of all wrong voxels that the first tenth of the slices holds, in the order in which the
  review offers them, next to other orders; and Spearman's correlation with a slice's number of wrong voxels.
* worst case first: Spearman's correlation of the number by which proposals are ranked with 1 - Dice.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from partial_labels import semisupseg

from SemiSupSegLib.engine.rank import LEAST, numbers
from SemiSupSegLib.engine.reference import LabelFolder
from SemiSupSegLib.engine.surface import distance_mm
from SemiSupSegLib.project.geometry import Grid
from SemiSupSegLib.project.images import read_volume
from SemiSupSegLib.project.paths import slug

KINDS = ("probability", "uncertainty")
NEAR_MM = 10.0
BINS = 10
TENTH = 0.1


@dataclass(frozen=True)
class Found:
    """One label of one case."""

    probability: NDArray[np.float32]
    """Of the voxels near the organ or its proposal, (n,)."""
    uncertainty: NDArray[np.float32]
    right: NDArray[np.bool_]
    is_organ: NDArray[np.bool_]
    slice_uncertainty: NDArray[np.floating]
    """Of all slices of the volume."""
    slice_expected: NDArray[np.floating]
    """What is expected to be wrong in them, by which the review orders them."""
    slice_everywhere: NDArray[np.floating]
    """The same if all of the volume counted, not only what is near the proposal."""
    slice_errors: NDArray[np.integer]
    expected: float
    """The Dice that the review says is to be expected, by which it ranks proposals."""
    everywhere: float
    """The same if all of the volume counted."""
    border: float
    """Mean uncertainty at the border."""
    dice: float


def main() -> None:
    """Predict, measure, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project", type=Path)
    parser.add_argument("--test", type=Path, required=True, help="images/, labels/ and dataset.json")
    parser.add_argument("--passes", type=int, default=8, help="Monte Carlo passes (default: %(default)s)")
    parser.add_argument("--output", type=Path, help="where the picture goes (default: none is drawn)")
    args = parser.parse_args()
    if not (args.project / "project.json").is_file() or not (args.test / "images").is_dir():
        sys.exit(f"expected a project in {args.project}, and images/ and labels/ in {args.test}")
    with tempfile.TemporaryDirectory() as folder:
        words = ["--images", args.test / "images", "--output", folder, "--passes", args.passes, "--maps", "all"]
        semisupseg("predict", args.project, *words, "--json")
        found = measure(Path(folder), args.test)
    if not found:
        sys.exit("no label of the model is in the reference")
    report(found)
    if args.output is not None:
        args.output.mkdir(parents=True, exist_ok=True)
        draw(found, args.output / "calibration.png", f"{args.test.name}, {args.passes} passes")


def measure(predicted: Path, test: Path) -> list[Found]:
    """Every label that the reference has, of every case."""
    found = []
    for path in sorted((test / "images").iterdir()):
        case = path.name.split(".")[0]
        proposals, references = LabelFolder(predicted).read(case), LabelFolder(test).read(case)
        for name in proposals.names or ():
            truth = references.mask(name)
            maps = [predicted / "maps" / f"{case}_{kind}_{slug(name)}.nii.gz" for kind in KINDS]
            if truth.any() and all(file.is_file() for file in maps):
                probability, uncertainty = (sitk.GetArrayFromImage(read_volume(file)) for file in maps)
                found.append(of_label(proposals.mask(name), truth, probability, uncertainty, proposals.grid))
    return found


def of_label(
    proposed: NDArray[np.bool_],
    truth: NDArray[np.bool_],
    probability: NDArray[np.float32],
    uncertainty: NDArray[np.float32],
    grid: Grid,
) -> Found:
    """Measure one label of one case; all arrays are (k, j, i)."""
    spacing = grid.spacing[::-1]
    near = truth | proposed | (distance_mm(truth, spacing) <= NEAR_MM)
    if proposed.any():
        near |= distance_mm(proposed, spacing) <= NEAR_MM
    said = numbers(proposed, probability, uncertainty, uncertainty, grid)
    wrong = proposed != truth
    inside, outside = np.where(proposed, probability, 0), np.where(proposed | (probability < LEAST), 0, probability)
    return Found(
        probability=probability[near],
        uncertainty=uncertainty[near],
        right=~wrong[near],
        is_organ=truth[near],
        slice_uncertainty=np.asarray(said.slices),
        slice_expected=np.asarray(said.errors_ml),
        slice_everywhere=(proposed - inside + outside).sum(axis=(1, 2), dtype=float),
        slice_errors=wrong.sum(axis=(1, 2)),
        expected=said.expected_dice,
        everywhere=float(2 * inside.sum() / max(float(proposed.sum() + inside.sum() + outside.sum()), 1e-9)),
        border=said.uncertainty_boundary,
        dice=2 * float((proposed & truth).sum()) / float(proposed.sum() + truth.sum()),
    )


def reliability(found: list[Found]) -> list[tuple[float, float, int]]:
    """Per bin of probability: its mean, the share that is the organ, and how many voxels; empty bins are left out."""
    probability = np.concatenate([f.probability for f in found])
    is_organ = np.concatenate([f.is_organ for f in found])
    place = np.minimum((probability * BINS).astype(int), BINS - 1)
    parts = [place == number for number in range(BINS)]
    return [(float(probability[p].mean()), float(is_organ[p].mean()), int(p.sum())) for p in parts if p.any()]


def calibration_error(bins: list[tuple[float, float, int]]) -> float:
    """Expected calibration error: mean distance of probability and share, weighted by the number of voxels."""
    whole = sum(count for _, _, count in bins)
    return sum(count * abs(said - true) for said, true, count in bins) / whole


def errors_in(found: Found, order: NDArray[np.floating]) -> NDArray[np.floating]:
    """Share of all wrong voxels in the first slices of an order, largest first; one number a slice."""
    errors = found.slice_errors[np.argsort(-order, kind="stable")]
    return np.cumsum(errors) / max(int(errors.sum()), 1)


def in_first_tenth(found: Found, order: NDArray[np.floating]) -> float:
    """The same for a tenth of the slices, at least one."""
    return float(errors_in(found, order)[max(round(TENTH * len(order)), 1) - 1])


def spearman(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """Correlation of the ranks; NaN where one of them is the same everywhere."""
    ranks = [_ranks(np.asarray(values, float)) for values in (one, other)]
    if len(one) < 3 or min(r.std() for r in ranks) == 0:
        return float("nan")
    return float(np.corrcoef(*ranks)[0, 1])


def _ranks(values: NDArray[np.floating]) -> NDArray[np.floating]:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return ((last - counts + 1 + last) / 2)[place]


def report(found: list[Found]) -> None:
    """Tables."""
    bins = reliability(found)
    print("| probability | share that is the organ | voxels |\n|--:|--:|--:|")
    for said, true, count in bins:
        print(f"| {said:.2f} | {true:.2f} | {count:,} |")
    right = np.concatenate([f.uncertainty[f.right] for f in found])
    wrong = np.concatenate([f.uncertainty[~f.right] for f in found])
    orders = ("slice_expected", "slice_everywhere", "slice_uncertainty", "slice_errors")
    shares = [float(np.mean([in_first_tenth(f, getattr(f, order)) for f in found])) for order in orders]
    slices = [np.nanmean([spearman(getattr(f, order), f.slice_errors) for f in found]) for order in orders[:3]]
    lost = np.array([1 - f.dice for f in found])
    ranks = [1 - f.expected for f in found], [1 - f.everywhere for f in found], [f.border for f in found]
    cases = [spearman(np.array(rank), lost) for rank in ranks]
    print(f"\n{len(found)} labels of cases, mean Dice {np.mean([f.dice for f in found]):.3f}\n")
    print("| what | value |\n|---|--:|")
    print(f"| expected calibration error | {calibration_error(bins):.3f} |")
    print(f"| mean uncertainty of right / wrong voxels | {right.mean():.3f} / {wrong.mean():.3f} |")
    print(f"| share of all errors in the worst tenth of the slices, as the review orders them | {shares[0]:.3f} |")
    others = f"{shares[1]:.3f} / {shares[2]:.3f} / {shares[3]:.3f} / {TENTH:.3f}"
    print(f"| if all of the volume counted / by mean uncertainty at the border / best order / none | {others} |")
    print(f"| correlation of a slice's expected errors with its errors | {slices[0]:.2f} |")
    print(f"| if all of the volume counted / of its uncertainty at the border | {slices[1]:.2f} / {slices[2]:.2f} |")
    print(f"| correlation of a proposal's rank with 1 - Dice | {cases[0]:.2f} |")
    print(f"| if all of the volume counted / of its uncertainty at the border | {cases[1]:.2f} / {cases[2]:.2f} |")
    said = np.array([f.expected for f in found])
    off = f"{said.mean():.2f} / {np.abs(said - (1 - lost)).mean():.2f}"
    print(f"| Dice that the review says is to be expected, mean / how far off | {off} |")


def draw(found: list[Found], path: Path, caption: str) -> None:
    """Reliability, and the errors that are found over the slices that were looked at."""
    from seed.plots import INK, POINT, plt, save

    figure, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3.8))
    said, true, _ = zip(*reliability(found), strict=True)
    left.plot([0, 1], [0, 1], color="#aaaaaa", linewidth=1)
    left.plot(said, true, marker="o", color=INK)
    left.set(xlabel="probability", ylabel="share that is the organ", xlim=(0, 1), ylim=(0, 1))
    looked = np.linspace(0, 1, 21)
    for words, colour, order in (
        ("as the review orders them", INK, "slice_expected"), ("best order", POINT, "slice_errors"),
    ):  # fmt: skip
        curves = []
        for each in found:
            shares = np.concatenate([[0.0], errors_in(each, getattr(each, order))])
            curves.append(np.interp(looked, np.linspace(0, 1, len(shares)), shares))
        right.plot(looked, np.mean(curves, axis=0), color=colour, label=words)
    right.plot([0, 1], [0, 1], color="#aaaaaa", linewidth=1, label="no order")
    right.set(xlabel="share of the slices looked at", ylabel="share of the errors found", xlim=(0, 1), ylim=(0, 1))
    right.legend(fontsize=7)
    save(figure, path, caption)
    print(json.dumps({"picture": path.name}), file=sys.stderr)


if __name__ == "__main__":
    main()
