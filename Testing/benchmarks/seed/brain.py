"""Table (b): about 140 brain regions, the benchmark of NonAdjLoss (METHODS 1.5): without and with the constraint."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

from partial_labels import semisupseg

from SemiSupSegLib.project.adjacency import forbidden_pairs
from SemiSupSegLib.project.project import Project

from .arguments import Table, settings
from .markdown import Column, by_row, methods_table
from .plots import matrices, points_of_rows
from .records import Records
from .rows import Row, methods_there, read_rows
from .runs import caption, cohort, make_rows, project, publish, scored, train

WITH = "+unlabelled"
START = "start"
COLUMNS = (
    Column("Dice", "dice"),
    Column("Hausdorff voxels", "hd_medpy_voxels", 2),
    Column("MSD voxels", "assd_medpy_voxels", 3),
    Column("Hausdorff mm", "hd_medpy_mm", 2, "diagonal"),
    Column("MSD mm", "assd_medpy_mm", 2, "diagonal"),
)
EXTRA = (Column("m1", "m1", 4, "missing"), Column("m2", "m2", 4, "missing"))
MEANING = (
    "m1: share of the forbidden pairs that touch; m2: forbidden neighbours per contour voxel (true contour voxels; the "
    "published code divides by those that are none). Hausdorff and MSD in voxels as the paper counts, 0 for a label "
    "that was missed, which flatters them; in mm the volume's diagonal for it. A case has the mean of its labels. "
    "`start` is where the constrained rows begin: it had a part of the budget only. "
    "mean ± standard deviation over cases (s: over seeds)."
)


def make(args: argparse.Namespace) -> None:
    """Pretrained for the whole budget, against pretrained for a share of it and constrained for the rest."""
    rows = read_rows(args.methods, methods_there())
    records = Records(args.output, settings(args))
    folders = {False: cohort(args, "labelled", unlabelled=0), True: cohort(args)}

    def one(row: Row, seed: int) -> dict[str, Any]:
        made = args.output / "project"
        if row.method != "smile":
            said = _constrain(made, row, seed, args, folders, records)
        else:
            said = train(project(made, folders[False]), row, seed, args)
        return _record(made, said, args, folders[False])

    found = make_rows(rows, args, records, one)
    report(args, [*(r for r in records.all() if r["row"] == START and r["seed"] in args.seeds), *found])


def _constrain(
    made: Path, row: Row, seed: int, args: argparse.Namespace, folders: dict[bool, Path], records: Records
) -> dict[str, Any]:
    """A copy of the seed's pretrained project, with the unlabelled cases if asked, trained on under the constraint."""
    start = args.output / f"start_{seed}"
    told = start / "told.json"
    if not told.is_file():
        plain = Row(START, "smile", row.backbone, ())
        said = train(project(start, folders[False]), plain, seed, args, **_part(args, args.pretraining))
        records.append({"row": START, "seed": seed, "date": "", "load_before": None,
                        **_record(start, said, args, folders[False])})  # fmt: skip
        told.write_text(json.dumps(said), encoding="utf-8")
    shutil.rmtree(made, ignore_errors=True)
    shutil.copytree(start, made)
    options = row.options
    if WITH in row.said.split(":")[0]:
        there = {path.name for path in (folders[False] / "train" / "images").iterdir()}
        images = [p for p in sorted((folders[True] / "train" / "images").iterdir()) if p.name not in there]
        semisupseg("add", made, *images)
    else:
        options = ("unlabelled=0", *options)
    later = Row(row.said, row.method, row.backbone, options)
    said = train(made, later, seed, args, from_scratch=False, **_part(args, 1 - args.pretraining))
    before = json.loads(told.read_text(encoding="utf-8"))
    return {**said, "minutes": said["minutes"] + before["minutes"], "step": said["step"] + before["step"]}


def _part(args: argparse.Namespace, share: float) -> dict[str, Any]:
    """A share of the table's budget, as arguments of :func:`.runs.train`."""
    steps = None if args.iterations is None else max(1, round(args.iterations * share))
    return {"minutes": args.minutes * share, "iterations": steps}


def _record(made: Path, said: dict[str, Any], args: argparse.Namespace, data: Path) -> dict[str, Any]:
    """Scores, and the contacts of labels against the graph of the labelled cases."""

    from .contact_matrix import contact_matrix, contacts_of, measures_of

    output = args.output / "predictions"
    found = scored(made, data, output, args, said)
    pairs = [tuple(pair) for pair in forbidden_pairs(Project.open(made))]
    counts = contacts_of(output, data / "test", found["spacing"])
    reference = contacts_of(data / "test", data / "test", found["spacing"])
    return {
        **found,
        "cases": measures_of(counts, pairs, data / "test"),
        "reference_cases": measures_of(reference, pairs, data / "test"),
        "contacts": contact_matrix(counts),
        "reference_contacts": contact_matrix(reference),
        "forbidden": pairs,
    }


def report(args: argparse.Namespace, records: list[dict[str, Any]]) -> None:
    """Table, plots, and the picture of the matrices."""
    from .contact_matrix import allowed_matrix

    by_name = by_row(records, [START, *args.methods])
    proper = [r for r in records if r["row"] != START]
    said = caption(args, proper)
    pairs, labels = len(records[0]["forbidden"]), len({e["label"] for r in records for e in r["scores"]})
    broken = sum(case["m1"] or 0 for case in records[0]["reference_cases"]) / len(records[0]["reference_cases"])
    note = f"{labels} labels, {args.labelled} labelled cases, {pairs} forbidden pairs; the references of the test cases"
    parts = [f"{said}. {note} break {100 * broken:.2f} % of these (m1).", MEANING]
    for components in ("all", "largest"):
        title = "As predicted:" if components == "all" else "Only the largest component of each label:"
        extra = EXTRA if components == "all" else ()
        parts += [title, methods_table(by_name, COLUMNS, components, extra=extra)]
    points_of_rows(by_name, COLUMNS[:3], "all", args.output / "brain_scores.png", said)
    matrices(_pictures(by_name), allowed_matrix(records[0]["forbidden"], args.data),
             args.output / "brain_contacts.png", f"labels in the order of their values; {said}")  # fmt: skip
    publish(args, *parts)


def _pictures(by_name: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Contacts in the test cases: of the references, and of the first seed of each row."""
    import numpy as np

    first = next(iter(by_name.values()))[0]
    found = {"reference": np.array(first["reference_contacts"]) > 0}
    return found | {n: np.array(own[0]["contacts"]) > 0 for n, own in by_name.items() if n != START}


def _more(parser: argparse.ArgumentParser) -> None:
    words = "share of the budget before the constraint, in the rows that have one (default: %(default)s)"
    parser.add_argument("--pretraining", type=_share, default=0.75, help=words)


def _share(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


TABLE = Table(
    summary="brain: pretrained without constraint, + NonAdjLoss, + NonAdjLoss with unlabelled cases; m1, m2, HD, MSD",
    data="brain_mr",
    spacing="3",
    labelled=5,
    unlabelled=5,
    test=5,
    methods=("pretrained", "nonadjloss", f"nonadjloss{WITH}"),
    make=make,
    more=_more,
)
