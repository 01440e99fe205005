"""What a correction is worth: annotation rounds with a simulated person who knows the truth.

    python Testing/benchmarks/bench_rounds.py [--data FOLDER] [--labelled 2] [--pool 8] [--test 4] [--rounds 3]
        [--slices 40] [--minutes 3] [--orders tool random] [--preset quick] [--seed 1] [--output FOLDER]

A few cases are annotated, the others wait. The tool trains and proposes; the person corrects some slices (one label in
one slice is one correction), in the order in which the review offers them, or in any order; the tool trains again from
where it was, and so on. Printed, and drawn to OUTPUT:

* before anything is learnt from it: mean Dice of the waiting cases over the number of corrected slices, in the order of
  the review, in any order (mean of ten), and in the best order there is;
* predicted again by the same model after each SLICES, so that what is proposed beside corrected slices follows;
* round by round: mean Dice of the waiting cases with what was corrected so far, and of the test cases, which nobody
  ever sees, for each order. The first model is the same for all.

Only commands that a user can type are run.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from partial_labels import REPOSITORY, budget, make_project, semisupseg, split
from rounds.cohort import Cohort, Slice, correct
from rounds.orders import ORDERS, random

DRAWS = 10
POINTS = 21
AGAIN = 6
"""Times that the first model predicts again."""


def main() -> None:
    """Read the command line, run, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--data", type=Path, default=REPOSITORY.parent / "shared" / "data" / "left_atrium")
    add("--labelled", type=int, default=2, help="annotated cases, the first (default: %(default)s)")
    add("--pool", type=int, default=8, help="cases that wait, the next (default: %(default)s)")
    add("--test", type=int, default=4, help="cases kept apart, the last (default: %(default)s)")
    add("--rounds", type=int, default=3, help="of corrections (default: %(default)s)")
    add("--slices", type=int, default=40, help="corrected in each round (default: %(default)s)")
    add("--orders", nargs="+", default=["tool", "random"], choices=list(ORDERS))
    add("--method", default="auto", help="default: %(default)s")
    add("--preset", default="quick", help="default: %(default)s")
    add("--minutes", type=float, default=3.0, help="of each training (default: %(default)s)")
    add("--iterations", type=int, help="budget in steps instead")
    add("--spacing", help="training grid in mm")
    add("--seed", type=int, default=1)
    add("--output", type=Path, help="keep projects and figures here")
    args = parser.parse_args()
    if not (args.data / "images").is_dir() or not (args.data / "labels").is_dir():
        sys.exit(f"no data in {args.data}: expected images/, labels/ and dataset.json there")
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.output or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        found = run(args, folder)
        (folder / "rounds.json").write_text(json.dumps(found), encoding="utf-8")
        report(found, args)
        if args.output is not None:
            draw(found, folder / "rounds.png", f"{args.data.name}, {args.labelled} annotated and {args.pool} waiting")


def run(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The first model, the curve of its proposals, and the rounds of each order."""
    shutil.rmtree(folder / "cohort", ignore_errors=True)
    split(args.data, folder / "cohort", args.test, labelled=args.labelled, unlabelled=args.pool)
    labelled = {path.name.split(".")[0] for path in (folder / "cohort" / "train" / "labels").iterdir()}
    names = sorted(path.name.split(".")[0] for path in (folder / "cohort" / "train" / "images").iterdir())
    waiting = [name for name in names if name not in labelled]
    first = folder / "first"
    shutil.rmtree(first, ignore_errors=True)
    make_project(first, folder / "cohort")
    begin = learn(first, waiting, args, folder, from_scratch=True)
    cohort = Cohort.of(first, waiting, args.data)
    return {
        "curve": curve(cohort, args.seed),
        "labels": len(cohort.proposals),
        "again": {order: follow(order, first, waiting, begin, args, folder, learns=False) for order in args.orders},
        "rounds": {order: follow(order, first, waiting, begin, args, folder) for order in args.orders},
    }


def learn(project: Path, waiting: list[str], args: argparse.Namespace, folder: Path, *, from_scratch: bool) -> float:
    """Train, propose for the waiting cases, and give the mean Dice of the test cases."""
    scratch = ["--from-scratch"] if from_scratch else []
    grid = ["--spacing", args.spacing] if args.spacing else []
    limit = budget(args.minutes, args.iterations)
    semisupseg("train", project, "--method", args.method, "--preset", args.preset, "--seed", args.seed, *scratch, *grid,
               *limit, "--json")  # fmt: skip
    propose(project, waiting)
    test, output = folder / "cohort" / "test", folder / "predictions"
    shutil.rmtree(output, ignore_errors=True)
    words = ["--images", test / "images", "--output", output, "--passes", 0, "--maps", "none"]
    semisupseg("predict", project, *words, "--json")
    found = json.loads(semisupseg("evaluate", "--predictions", output, "--reference", test, "--json"))
    return next(r["mean"] for r in found["summary"] if (r["label"], r["metric"]) == ("all labels", "dice"))


def propose(project: Path, waiting: list[str]) -> None:
    """Predict the waiting cases with the model in use."""
    semisupseg("predict", project, *(word for case in waiting for word in ("--case", case)), "--json")


def curve(cohort: Cohort, seed: int) -> dict[str, list[tuple[int, float]]]:
    """Mean Dice of the waiting cases over the number of corrections, for each order."""
    longest = len(ORDERS["best"](cohort, seed))
    counts = sorted({round(longest * n / (POINTS - 1)) for n in range(POINTS)})
    found = {}
    for name, order in ORDERS.items():
        draws = [order(cohort, seed + n) for n in range(DRAWS if order is random else 1)]
        found[name] = [(n, sum(cohort.dice(d[:n]) for d in draws) / len(draws)) for n in counts]
    return found


def follow(
    order: str, first: Path, waiting: list[str], begin: float, args: argparse.Namespace, folder: Path,
    *, learns: bool = True,
) -> list[dict[str, float]]:  # fmt: skip
    """Rounds of one order on a copy of the first project: corrections so far, Dice of waiting and of test cases; where
    nothing is learnt the first model predicts again."""
    project = folder / order
    shutil.rmtree(project, ignore_errors=True)
    shutil.copytree(first, project)
    done: list[Slice] = []
    cohort = Cohort.of(project, waiting, args.data)
    found = [{"slices": 0, "waiting": cohort.dice(()), "test": begin}]
    for number in range(args.rounds if learns else AGAIN):
        taken = set(done)
        done += [each for each in ORDERS[order](cohort, args.seed + number) if each not in taken][: args.slices]
        correct(project, cohort, done, folder)
        if learns:
            test = learn(project, waiting, args, folder, from_scratch=False)
        else:
            propose(project, waiting)
            test = begin
        cohort = Cohort.of(project, waiting, args.data)
        found.append({"slices": len(done), "waiting": cohort.dice(done), "test": test})
    return found


def report(found: dict[str, Any], args: argparse.Namespace) -> None:
    """Three Markdown tables."""
    print(f"{args.data.name}: {args.labelled} annotated cases, {args.pool} waiting with {found['labels']} labels, "
          f"{args.method}, {args.preset}, {' '.join(map(str, budget(args.minutes, args.iterations)))}\n")  # fmt: skip
    names = list(found["curve"])
    print("| corrected slices |", " | ".join(names), "|\n|--:|" + "--:|" * len(names))
    for place in range(0, len(found["curve"][names[0]]), 2):
        values = [found["curve"][name][place] for name in names]
        print(f"| {values[0][0]} |", " | ".join(f"{value:.3f}" for _, value in values), "|")
    print("\npredicted again:\n\n| order | corrected slices | Dice of the waiting cases |\n|---|--:|--:|")
    for order, rounds in found["again"].items():
        for each in rounds:
            print(f"| {order} | {each['slices']} | {each['waiting']:.3f} |")
    print("\n| order | corrected slices | Dice of the waiting cases | of the test cases |\n|---|--:|--:|--:|")
    for order, rounds in found["rounds"].items():
        for each in rounds:
            print(f"| {order} | {each['slices']} | {each['waiting']:.3f} | {each['test']:.3f} |")


def draw(found: dict[str, Any], path: Path, caption: str) -> None:
    """The curve of the first proposals, and the rounds."""
    from seed.plots import INK, POINT, plt, save

    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(11.5, 3.8))
    colours = {"tool": INK, "random": "#aaaaaa", "best": POINT}
    words = {"tool": "as the review offers them", "random": "in any order", "best": "best order there is"}
    for name, points in found["curve"].items():
        left.plot(*zip(*points, strict=True), color=colours[name], label=words[name])
    left.set(xlabel="corrected slices", ylabel="mean Dice of the waiting cases", title="nothing learnt from it yet")
    for name, rounds in found["again"].items():
        points = [(each["slices"], each["waiting"]) for each in rounds]
        label = f"{words[name]}, predicted again"
        left.plot(*zip(*points, strict=True), color=colours[name], marker="o", markersize=3, label=label)
    for axis, what in ((middle, "waiting"), (right, "test")):
        for name, rounds in found["rounds"].items():
            points = [(each["slices"], each[what]) for each in rounds]
            axis.plot(*zip(*points, strict=True), color=colours[name], marker="o", label=words[name])
        axis.set(xlabel="corrected slices", title=f"round by round: {what} cases")
    for axis in (left, middle, right):
        axis.grid(alpha=0.3)
    left.set_ylim(bottom=left.get_ylim()[0] - 0.07)  # room for the names
    left.legend(fontsize=7, loc="lower right")
    save(figure, path, caption)


if __name__ == "__main__":
    main()
