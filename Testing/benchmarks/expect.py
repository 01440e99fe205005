"""What to expect after how long: the two pictures of Resources/Docs/expect.md.

    python Testing/benchmarks/expect.py [FOLDER ...] [--output FOLDER]

FOLDER: outputs of protocols.py (default: those of build/protocols). expect_minutes.png is drawn from their scores: mean
Dice of the test cases over the minutes that the training took, for rows without an option. expect_quality.png shows
what a Dice looks like: a slice of a SYNTHETIC case, with the proposals of models of rising age, which takes some three
minutes. ``--output``: where they go, Resources/Screenshots unless told.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from partial_labels import make_project, semisupseg, split
from protocols import ALL
from seed.arguments import REPOSITORY
from seed.plots import curves
from seed.records import FILE, SETTINGS, Records
from seed.slices import Panel, panels, slice_of

from SemiSupSegLib.project.synthetic import write_cohort

TITLES = {
    "A": "A: left atrium, 8 cases annotated, 24 not",
    "B": "B: four abdominal organs, 3 of 10 annotations",
    "C": "C: heart from strokes, 16 cases",
    "D": "D: 138 brain regions, 5 cases annotated, 5 not",
}
AGES = (15, 40, 100, 250)
"""Steps of the models whose proposals show what a Dice looks like."""
CASES, TEST = 8, 2


def main() -> None:
    """Draw both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("protocols", metavar="FOLDER", type=Path, nargs="*", help="outputs of protocols.py")
    parser.add_argument("--output", type=Path, default=REPOSITORY / "Resources" / "Screenshots")
    args = parser.parse_args()
    folders = args.protocols or sorted(path.parent for path in (REPOSITORY / "build" / "protocols").glob(f"?/{FILE}"))
    lines = {title: points for folder in folders for title, points in [line_of(folder)] if points}
    args.output.mkdir(parents=True, exist_ok=True)
    caption = "Means and standard deviations over test cases that no model has seen; one point a preset"
    if lines:
        curves(lines, ("minutes of training", "Dice of the test cases"), args.output / "expect_minutes.png", caption)
    else:
        print("expect_minutes.png is not drawn: no output of protocols.py was found", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        quality(Path(folder), args.output / "expect_quality.png")


def line_of(folder: Path) -> tuple[str, list[tuple[float, float, float]]]:
    """Title of a protocol, and (minutes, mean Dice, deviation) of each preset with its own budget, the first seed."""
    settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    found: dict[str, dict[str, Any]] = {}
    for record in Records(folder, settings).all():
        if len(record["row"].split(", ")) == 3:  # method, preset, budget: nothing else was changed
            found.setdefault(record["row"], record)
    points = [(r["minutes"], r["summary"]["dice"][ALL], r["deviation"]) for r in found.values()]
    return TITLES[settings["protocol"]], sorted(points)


def quality(folder: Path, path: Path) -> None:
    """The reference of a synthetic case, and what models of rising age propose there."""
    write_cohort(folder / "all", cases=CASES)
    split(folder / "all", folder, TEST)
    test = folder / "test"
    image = min((test / "images").iterdir())
    case, shown = image.name.split(".")[0], []
    k, grey, labels = slice_of(image, test, case, None)
    shown.append(Panel("reference", grey, labels))
    project = folder / "project"
    make_project(project, folder)
    for steps in AGES:
        semisupseg("train", project, "--preset", "quick", "--iterations", steps, "--from-scratch", "--json")
        output = folder / f"after_{steps}"
        semisupseg("predict", project, "--images", test / "images", "--output", output, "--passes", 0, "--maps", "none")
        scores = json.loads(semisupseg("evaluate", "--predictions", output, "--reference", test, "--json"))
        dice = next(r["mean"] for r in scores["summary"] if (r["label"], r["metric"]) == (ALL, "dice"))
        _, grey, labels = slice_of(image, output, case, k)
        shown.append(Panel(f"{steps} steps\nDice {dice:.2f}", grey, labels))
    panels(shown, path, f"A SYNTHETIC case, slice {k}: ellipsoids in noise. Dice: mean of {TEST} cases and four organs")


if __name__ == "__main__":
    main()
