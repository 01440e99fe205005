"""Verb demo: the whole loop on a small synthetic cohort, with a table and pictures at the end."""

from __future__ import annotations

import argparse
import json
import shutil
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from ..errors import ProjectError
from ..project.synthetic import ORGANS, write_cohort
from .arguments import Verb
from .output import table

__all__ = ["VERBS"]

CASES = 10
KEPT = 0.45
"""Probability with which an organ's annotation is kept in a training case."""
AGREES = 0.75
"""Dice with the reference from which the demo accepts a proposal."""
WHO = "demo"
MARK = ".semisupseg-demo"
"""An empty file: this folder was made by the demo and may be made again."""


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder", metavar="FOLDER", type=Path, help="where to; a folder of an earlier demo is made anew"
    )
    parser.add_argument(
        "--minutes", type=float, default=1.5, metavar="N", help="of each of the two rounds (default: %(default)s)"
    )


def _run(args: argparse.Namespace) -> int:
    folder = _fresh(args.folder)
    cohort, project = folder / "cohort", folder / "project"
    print(
        f"A SYNTHETIC cohort: {CASES} volumes made by a program, ellipsoids in noise. No patient was ever near them.\n"
    )
    write_cohort(cohort, cases=CASES)
    _do("import", project, cohort, "--keep-annotated", KEPT, "--seed", 1, "--holdout", 2, "--yes")
    scores = [_round(project, cohort, args.minutes)]
    _do("review", project)
    accepted = _accept_what_is_right(project, cohort)
    print(f"\n{accepted} proposals agree with the reference and were accepted; a person would look at each.\n")
    if accepted:
        print("Every decision can be taken back, as the last of these now:")
        _do("undo", project)
    scores.append(_round(project, cohort, args.minutes))
    print(table(_rows(scores), ("Dice where nothing was annotated", "round 1", "round 2")))
    pictures = _pictures(project, cohort, folder / "pictures")
    print("\npictures:", *pictures, sep="\n  ")
    print(f"\nGo on by hand: semisupseg status {project}")
    return 0


def _fresh(folder: Path) -> Path:
    if folder.exists() and any(folder.iterdir()):
        if not (folder / MARK).is_file():
            msg = f"{folder} is not empty and was not made by the demo: choose another folder"
            raise ProjectError(msg)
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).touch()
    return folder


def _do(*words: object) -> None:
    from .main import main

    line = [str(word) for word in words]
    print("$ semisupseg", *line, flush=True)
    if main(line) != 0:
        msg = f"the demo cannot go on: `semisupseg {line[0]}` failed"
        raise ProjectError(msg)
    print(flush=True)


def _asked(*words: object) -> Any:
    """What a verb prints with --json."""
    from .main import main

    heard = StringIO()
    with redirect_stdout(heard):
        main([*map(str, words), "--json"])
    return json.loads(heard.getvalue())


def _round(project: Path, cohort: Path, minutes: float) -> dict[str, float]:
    """Train and predict; mean Dice per organ over what nobody annotated."""
    _do("train", project, "--preset", "quick", "--minutes", minutes)
    _do("predict", project)
    found: dict[str, list[float]] = {name: [] for name in ORGANS}
    for row in _asked("evaluate", project, "--reference", cohort)["rows"]:
        if row["dice"] is not None and row["group"] != "train, label annotated":
            found[row["label"]].append(row["dice"])
    return {name: sum(values) / len(values) if values else float("nan") for name, values in found.items()}


def _accept_what_is_right(project: Path, cohort: Path) -> int:
    scores = {(r["case"], r["label"]): r["dice"] for r in _asked("evaluate", project, "--reference", cohort)["rows"]}
    right = [c for c in _asked("review", project)["candidates"] if (scores.get((c["case"], c["label"])) or 0) > AGREES]
    for candidate in right:
        _do("accept", project, candidate["case"], candidate["label"], "--who", WHO)
    return len(right)


def _rows(scores: list[dict[str, float]]) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = [(name, *(round(s[name], 3) for s in scores)) for name in ORGANS]
    means = [sum(s.values()) / len(s) for s in scores]
    return [*rows, ("mean", *(round(m, 3) for m in means))]


def _pictures(project: Path, cohort: Path, folder: Path) -> list[Path]:
    from ..project.project import Project
    from .pictures import write_picture

    opened = Project.open(project)
    folder.mkdir(exist_ok=True)
    done = []
    for case in list(opened.cases.values())[:4]:
        path = folder / f"{case.id}.png"
        write_picture(opened, case, path, reference=cohort / "labels" / f"{case.id}.nii.gz")
        done.append(path)
    return done


VERBS = (
    Verb(
        "demo",
        "Run the whole loop on a small synthetic cohort, with a table and pictures",
        ("semisupseg demo demo", "semisupseg demo try --minutes 0.5"),
        _configure,
        _run,
    ),
)
