"""Verb: what a file of this folder registers; and the arguments that several verbs share."""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from ..project.project import Project

__all__ = [
    "UsageError",
    "Verb",
    "add_json",
    "add_project",
    "add_who",
    "index_range",
    "login_name",
    "names",
    "open_project",
    "parser_of",
    "share",
]


class UsageError(Exception):
    """Arguments that contradict each other; shown like argparse's own complaints, with exit code 2."""


@dataclass(frozen=True)
class Verb:
    """One word after ``semisupseg``."""

    name: str
    summary: str
    """One line for ``semisupseg --help``, without a full stop."""
    examples: tuple[str, ...]
    """Whole command lines that work as they stand."""
    configure: Callable[[argparse.ArgumentParser], None]
    """Adds the arguments."""
    run: Callable[[argparse.Namespace], int]
    """Does it; returns the exit code. Raises :class:`SemiSupSegError` or :class:`UsageError`."""


class _Parser(argparse.ArgumentParser):
    """argparse with one line of usage before a complaint, however long."""

    def error(self, message: str) -> NoReturn:
        print(" ".join(self.format_usage().split()), file=sys.stderr)
        self.exit(2, f"{self.prog}: {message}\n")


def parser_of(verb: Verb) -> argparse.ArgumentParser:
    """The verb's parser, with its examples below its help."""
    parser = _Parser(
        prog=f"semisupseg {verb.name}",
        description=f"{verb.summary}.",
        epilog="examples:\n" + "\n".join(f"  {line}" for line in verb.examples),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    verb.configure(parser)
    return parser


def add_project(parser: argparse.ArgumentParser, *, optional: bool = False) -> None:
    """``PROJECT``, a folder; the current one when it may be left out."""
    if optional:
        words = "project folder (default: the current one)"
        parser.add_argument("project", metavar="PROJECT", type=Path, nargs="?", default=Path(), help=words)
    else:
        parser.add_argument("project", metavar="PROJECT", type=Path, help="project folder")


def add_json(parser: argparse.ArgumentParser) -> None:
    """``--json``."""
    parser.add_argument("--json", action="store_true", help="print JSON for programs instead of a table")


def add_who(parser: argparse.ArgumentParser) -> None:
    """``--who``: whose decision the journal records."""
    words = "who decides, for the journal (default: %(default)s)"
    parser.add_argument("--who", metavar="NAME", default=login_name(), help=words)


def login_name() -> str:
    """Name of the account, ``unknown`` where the system knows none (some containers)."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def open_project(args: argparse.Namespace) -> Project:
    """The project that ``PROJECT`` names."""
    return Project.open(args.project)


def names(text: str) -> tuple[str, ...]:
    """``liver,left kidney`` as a tuple; empty parts are refused."""
    parts = tuple(part.strip() for part in text.split(","))
    if not all(parts):
        msg = f"{text!r} has an empty name: expected NAME,NAME,..."
        raise argparse.ArgumentTypeError(msg)
    return parts


def index_range(text: str) -> tuple[int, int]:
    """``40:60`` (both included) or ``40``, counted from 0, as (first, last)."""
    first, _, last = text.partition(":")
    try:
        low, high = int(first), int(last or first)
    except ValueError:
        msg = f"{text!r} is not FIRST:LAST, two whole numbers counted from 0, both included"
        raise argparse.ArgumentTypeError(msg) from None
    if not 0 <= low <= high:
        msg = f"{text!r} runs from {low} to {high}: expected 0 <= FIRST <= LAST"
        raise argparse.ArgumentTypeError(msg)
    return low, high


def share(text: str) -> float:
    """A number from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        msg = f"{text!r} is not a number from 0 to 1"
        raise argparse.ArgumentTypeError(msg)
    return value
