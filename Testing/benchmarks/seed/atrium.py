"""Table (a): left atrium, the benchmark of UA-MT and SASSNet (METHODS 2 and 6), at 1.25 mm instead of 0.625."""

from __future__ import annotations

import argparse

from .arguments import Table, settings
from .markdown import Column, by_row, methods_table
from .plots import points_of_rows
from .records import Records
from .rows import methods_there, read_rows
from .runs import caption, cohort, make_rows, project, publish, scored, train

COLUMNS = (
    Column("Dice", "dice"),
    Column("Jaccard", "jaccard"),
    Column("95HD voxels", "hd95_medpy_voxels", 2),
    Column("ASD voxels", "asd_medpy_voxels", 2),
    Column("95HD mm", "hd95_medpy_mm", 2, "diagonal"),
    Column("ASD mm", "asd_medpy_mm", 2, "diagonal"),
    Column("ASSD mm", "assd_medpy_mm", 2, "diagonal"),
)
MEANING = (
    "MedPy's definitions. In voxels of the training grid, as SASSNet counts: ASD from the prediction to the reference "
    "alone, and 0 where nothing is predicted. In mm, the volume's diagonal where nothing is predicted. "
    "mean ± standard deviation over cases (s: over seeds)."
)


def make(args: argparse.Namespace) -> None:
    """All rows on one project, which holds the labelled and the unlabelled cases."""
    run(args, COLUMNS, MEANING)


def run(args: argparse.Namespace, columns: tuple[Column, ...], meaning: str) -> None:
    """Rows that differ in their method alone, on the same cases: the table and its two plots."""
    rows = read_rows(args.methods, methods_there())
    records = Records(args.output, settings(args))  # refuses other settings before anything is made
    data = cohort(args)

    def one(row, seed):  # type: ignore[no-untyped-def]
        folder = project(args.output / "project", data)
        return scored(folder, data, args.output / "predictions", args, train(folder, row, seed, args))

    found = make_rows(rows, args, records, one)
    by_name, said = by_row(found, [row.said for row in rows]), caption(args, found)
    parts = [f"{args.labelled} labelled; {said}", meaning]
    for components in ("all", "largest"):
        title = "As predicted:" if components == "all" else "Only the largest component of each label:"
        parts += [title, methods_table(by_name, columns, components)]
        points_of_rows(by_name, columns[:4], components, args.output / f"{args.table}_{components}.png", said)
    publish(args, *parts)


TABLE = Table(
    summary="left atrium: supervised V-Net against the semi-supervised methods; Dice, Jaccard, 95HD, ASD",
    data="left_atrium",
    spacing="1.25",
    labelled=8,
    unlabelled=24,
    test=8,
    methods=("supervised", "mean_teacher", "uamt", "sassnet", "embedding_matching", "copy_paste", "auto"),
    backbone="vnet",
    make=make,
)
