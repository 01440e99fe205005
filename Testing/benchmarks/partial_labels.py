"""Naive, SMILE and SMILEr on the same partly annotated cases, with the same budget: Dice per organ on cases kept apart.

    python Testing/benchmarks/partial_labels.py [--data FOLDER] [--keep 0.3] [--minutes 10] [--test 3] [--seed 1]
    [--output FOLDER]
    python Testing/benchmarks/partial_labels.py --data ../shared/data/cardiac_mr --labels-folder scribbles --keep 1
    --methods naive smile-known smile

Only commands that a user can type are run. The test cases never enter the project, so nothing is chosen on them; the
last checkpoint predicts. ``--labels-folder``: what the training cases come with, such as strokes; the test cases are
scored against their complete ``labels/``. SMILEr's budget covers its first model and all its rounds. Prints a Markdown
table; its last column is what ``predict --all-parts`` gives.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
METHODS = ("naive", "smile", "smiler", "smiler-uncertainty", "smiler-confidence", "smile-known")
"""`smiler-...` ranks what it relabels by something else than the score; `smile-known` is SMILE without what strokes
imply."""
ALL = "all labels"


def semisupseg(*words: object) -> str:
    """Run one command line; its standard output. What it says of its progress goes to the terminal."""
    command = [sys.executable, "-m", "SemiSupSegLib", *map(str, words)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    print("$ semisupseg", *words, file=sys.stderr, flush=True)
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout


def split(
    data: Path, folder: Path, test: int, *, labelled: int | None = None, unlabelled: int | None = None,
    labels_folder: str = "labels",
) -> None:  # fmt: skip
    """Copy a data set into ``folder/train`` and ``folder/test``; the last cases in the order of their names are the
    test.

    Of the others, the first ``labelled`` come with their labels, those of ``labels_folder``, and the next
    ``unlabelled`` without; None: all.
    """
    images = sorted((data / "images").iterdir())
    first = len(images) - test
    count = first if labelled is None else labelled
    end = first if unlabelled is None else count + unlabelled
    if test < 1 or count < 1 or count > first or end > first:
        sys.exit(
            f"{data.name} has {len(images)} cases: too few for {count} labelled, {max(end - count, 0)} unlabelled and "
            f"{test} test cases"
        )
    for number, image in enumerate(images):
        if end <= number < first:
            continue
        part = folder / ("train" if number < first else "test")
        labels = labels_folder if number < first else "labels"
        for kind in ("images", labels):
            (part / kind).mkdir(parents=True, exist_ok=True)
            source = data / kind / image.name
            if source.exists() and (kind == "images" or number < count or number >= first):
                shutil.copy(source, part / kind)
        shutil.copy(data / "dataset.json", part)


def make_project(
    project: Path, folder: Path, *, keep: float = 1.0, seed: int = 1, labels_folder: str = "labels"
) -> None:
    """A project of ``folder/train`` without a hold-out, each annotation kept with a probability."""
    kept = [] if keep == 1.0 else ["--keep-annotated", keep, "--seed", seed]
    labels = [] if labels_folder == "labels" else ["--labels-folder", labels_folder]
    semisupseg("import", project, folder / "train", *labels, *kept, "--holdout", 0, "--yes")


def budget(minutes: float, iterations: int | None) -> list[object]:
    """The words that limit a run."""
    return ["--iterations", iterations] if iterations else ["--minutes", minutes]


def fit(
    project: Path, method: str, args: argparse.Namespace, *, seed: int, reference: Path | None = None
) -> tuple[float, dict]:
    """Train a project with a method: the minutes it took, preparation of the data included, and what the command said.

    ``reference``: complete labels of the training cases, only for SMILEr to say how much of what it adds is right.
    """
    begin = time.monotonic()
    more: list[object] = ["--preset", args.preset, "--seed", seed, "--device", args.device, "--json"]
    for word in ("spacing", "backbone", "activation"):
        if chosen := getattr(args, word, None):
            more += [f"--{word}", chosen]
    limit = budget(args.minutes, args.iterations)
    relabels, _, select = method.partition("-")
    if relabels == "smiler":
        right = ["--reference", reference] if reference else []
        rounds = ["--rounds", args.rounds, "--gamma-max", 1.0, *(["--select", select] if select else [])]
        said = semisupseg("relabel", project, *rounds, "--from-scratch", *right, *limit, *more)
    else:
        name, _, known = method.partition("-")
        option = ["--option", "implied_weight=0"] if known else []
        said = semisupseg("train", project, "--method", name, *option, "--from-scratch", *limit, *more)
    return (time.monotonic() - begin) / 60, json.loads(said)


def score(project: Path, folder: Path, output: Path, *words: str) -> dict[str, dict[str, float]]:
    """Dice and the rest per label, of the test cases; ``words``: more of the command."""
    semisupseg("predict", project, "--images", folder / "test" / "images", "--output", output, "--passes", 0, *words)
    found = semisupseg("evaluate", "--predictions", output, "--reference", folder / "test", "--json")
    return json.loads(found)


def main() -> None:
    """Run all three and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=REPOSITORY.parent / "shared" / "data" / "abdomen_mr")
    parser.add_argument("--keep", type=float, default=0.3, help="probability with which an organ's annotation is kept")
    parser.add_argument("--labels-folder", default="labels", help="of the training cases (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=10.0, help="budget of each method")
    parser.add_argument("--iterations", type=int, help="budget in steps instead, of each model")
    parser.add_argument("--preset", default="balanced")
    parser.add_argument("--spacing", help="training grid in mm")
    parser.add_argument("--device", default="auto", help="where to train")
    parser.add_argument("--rounds", type=int, default=3, help="of SMILEr")
    parser.add_argument("--test", type=int, default=3, help="cases kept apart")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--methods", nargs="+", default=list(METHODS[:3]), choices=METHODS)
    parser.add_argument("--output", type=Path, help="keep projects and predictions here")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.output or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        split(args.data, folder, args.test, labels_folder=args.labels_folder)
        rows = {}
        for method in args.methods:
            project = folder / method
            make_project(project, folder, keep=args.keep, seed=args.seed, labels_folder=args.labels_folder)
            minutes, _ = fit(project, method, args, seed=args.seed)
            output = folder / f"{method}_predictions"
            rows[method] = (minutes, score(project, folder, output), score(project, folder, output, "--all-parts"))
    report(rows, args)


def report(rows: dict[str, tuple[float, dict, dict]], args: argparse.Namespace) -> None:
    """The Markdown table: proposals as the tool makes them, and the mean Dice of all that is above one half."""
    found, every = (
        {method: {(r["label"], r["metric"]): r for r in row[which]["summary"]} for method, row in rows.items()}
        for which in (1, 2)
    )
    labels = list(dict.fromkeys(label for label, _ in next(iter(found.values())) if label != ALL))
    print(
        f"{args.data.name}: annotations kept with probability {args.keep}, {args.test} test cases, seed {args.seed}, "
        f"{platform.machine()}, {os.cpu_count()} cores\n"
    )
    print("| method | minutes |", " | ".join(labels), "| mean Dice | HD95 mm | ASSD mm | mean Dice, all parts |")
    print("|---|---|" + "---|" * (len(labels) + 4))
    for method, values in found.items():
        cells = [_number(values[label, "dice"]["mean"], 3) for label in labels]
        dice = values[ALL, "dice"]
        print(
            f"| {method} | {rows[method][0]:.1f} | {' | '.join(cells)} "
            f"| **{_number(dice['mean'], 3)}** ± {_number(dice['deviation'], 3)} "
            f"| {_number(values[ALL, 'hd95_mm']['mean'], 1)} | {_number(values[ALL, 'assd_mm']['mean'], 1)} "
            f"| {_number(every[method][ALL, 'dice']['mean'], 3)} |"
        )


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


if __name__ == "__main__":
    main()
