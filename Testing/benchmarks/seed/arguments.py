"""The command line of all tables, and what a table is."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[3]
DATA = REPOSITORY.parent / "shared" / "data"
OUTPUT = REPOSITORY / "build" / "seed_methods"
NOT_SETTINGS = ("methods", "seeds", "output", "data", "table", "missing")
"""Arguments that say which rows are made, not how: a table may grow by them."""


@dataclass(frozen=True)
class Table:
    """One table: what it is made of unless told otherwise, and how it is made."""

    summary: str
    data: str
    """Folder of ../shared/data."""
    spacing: str | None
    """Training grid in mm, MM or X,Y,Z (RAS); None: planned."""
    labelled: int | None
    """None: all that are not for the test."""
    test: int
    methods: tuple[str, ...]
    make: Callable[[argparse.Namespace], None]
    unlabelled: int | None = None
    """None: all others."""
    backbone: str | None = None
    more: Callable[[argparse.ArgumentParser], None] = field(default=lambda _: None)
    """Adds the table's own arguments."""


def read_arguments(text: str, tables: Mapping[str, Table], words: list[str] | None = None) -> argparse.Namespace:
    """The command line, checked.

    Args:
        text: what the command does.
        tables: by name.
        words: of the command line; None for this process's.
    """
    kind = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=text, formatter_class=kind)
    verbs = parser.add_subparsers(dest="table", required=True, metavar="|".join(tables))
    for name, table in tables.items():
        own = verbs.add_parser(name, description=table.summary, help=table.summary)
        _add_arguments(own, name, table)
        table.more(own)
    args = parser.parse_args(words)
    if args.minutes <= 0 or (args.iterations is not None and args.iterations < 1):
        parser.error("--minutes and --iterations must be above 0")
    if len(set(args.seeds)) < 2:
        print("note: with one seed the table cannot say how much chance decides", file=sys.stderr)
    refuse_missing(args.data)
    args.output.mkdir(parents=True, exist_ok=True)
    return args


def refuse_missing(data: Path) -> None:
    """End with one sentence where the data are not there."""
    if not (data / "dataset.json").is_file() or not (data / "images").is_dir():
        sys.exit(f"no data in {data}: expected images/, labels/ and dataset.json there, or give --data FOLDER")


def settings(args: argparse.Namespace) -> dict[str, Any]:
    """What must be the same for all rows of a table, as JSON."""
    found = {name: value for name, value in vars(args).items() if name not in NOT_SETTINGS}
    return {"data": args.data.name, **found}


def _add_arguments(parser: argparse.ArgumentParser, name: str, table: Table) -> None:
    add = parser.add_argument
    add("--data", type=Path, default=DATA / table.data, help="images/, labels/, dataset.json (default: %(default)s)")
    add("--minutes", type=float, default=10.0, help="wall-clock budget of each row (default: %(default)s)")
    add("--iterations", type=int, help="budget in steps instead; rows then differ in time")
    add("--seeds", type=int, nargs="+", default=[1, 2], help="of the draws; a row is made once for each")
    words = "rows, each METHOD[+NOTE][@BACKBONE][:OPTION=VALUE...]; `supervised` is smile (default: %(default)s)"
    add("--methods", nargs="+", default=list(table.methods), metavar="ROW", help=words)
    add("--labelled", type=int, default=table.labelled, help="training cases with labels, the first (%(default)s)")
    add("--unlabelled", type=int, default=table.unlabelled, help="training cases without, the next (default: the rest)")
    add("--test", type=int, default=table.test, help="cases kept apart, the last ones (default: %(default)s)")
    add("--spacing", default=table.spacing, help="training grid in mm, MM or X,Y,Z (default: %(default)s)")
    add("--backbone", default=table.backbone, help="of rows that name none (default: %(default)s)")
    add("--activation", choices=("sigmoid", "softmax"), help="of all rows (default: the usual one)")
    add("--preset", default="balanced", help="patch, batch and filters (default: %(default)s)")
    add("--device", default="auto", choices=("auto", "cpu", "cuda"), help="default: %(default)s")
    add("--output", type=Path, default=OUTPUT / name, help="where everything goes (default: %(default)s)")
