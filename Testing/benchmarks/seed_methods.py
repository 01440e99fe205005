"""The four seed methods and their comparators on real data: one command a table.

    python Testing/benchmarks/seed_methods.py atrium  [--minutes 10] [--seeds 1 2] [--methods smile uamt ...]
    python Testing/benchmarks/seed_methods.py brain   [--minutes 10]
    python Testing/benchmarks/seed_methods.py abdomen [--minutes 10] [--missing 0 0.3 0.5 0.7 0.9]
    python Testing/benchmarks/seed_methods.py pelvis  [--minutes 10]

Only commands that a user can type are run, each with `--json` where there is one, and each is printed. Every row of a
table has the same wall-clock budget (preparation of the data not counted); there is no hold-out, so that the last
checkpoint predicts, and the test cases never enter the project. Scores are computed with the engine's own functions.

Each row and seed that is done is one line of OUTPUT/scores.jsonl: run the same command again and an interrupted table
goes on where it was. OUTPUT gets the table as table.md and its plots, too. Read it as: mean ± standard deviation over
the cases (s: standard deviation over the seeds).
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from seed import abdomen, atrium, brain, pelvis
from seed.arguments import read_arguments

TABLES = {"atrium": atrium.TABLE, "brain": brain.TABLE, "abdomen": abdomen.TABLE, "pelvis": pelvis.TABLE}


def main() -> None:
    """Read the command line and make one table."""
    args = read_arguments(__doc__ or "", TABLES)
    TABLES[args.table].make(args)


if __name__ == "__main__":
    main()
