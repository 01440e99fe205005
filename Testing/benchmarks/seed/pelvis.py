"""Table (d): bones in MR with four labelled cases, the setting of Embedding Matching (METHODS 4), whose data are
private."""

from __future__ import annotations

import argparse

from .arguments import Table
from .atrium import run
from .markdown import Column

COLUMNS = (
    Column("HD95 mm", "hd95_medpy_mm", 2, "diagonal"),
    Column("IoU", "jaccard"),
    Column("Dice", "dice"),
    Column("HD95 mm, empty 0", "hd95_medpy_mm", 2),
)
MEANING = (
    "HD95: MedPy's hd95 on the training grid; the volume's diagonal where nothing is predicted (last column: 0, as "
    "published programs count). A case has the mean of its labels. The femur has two parts: its largest component is "
    "one of them. mean ± standard deviation over cases (s: over seeds)."
)


def make(args: argparse.Namespace) -> None:
    """All rows on one project."""
    run(args, COLUMNS, MEANING)


TABLE = Table(
    summary="pelvis: 4 labelled cases, supervised against mean teachers and embedding matching; HD95 and IoU",
    data="pelvis_mr",
    spacing="2.5,5.2,2.5",
    labelled=4,
    test=6,
    methods=("supervised", "mean_teacher", "uamt", "embedding_matching"),
    backbone="vnet",
    make=make,
)
