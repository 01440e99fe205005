"""What is printed: tables, JSON, progress, a question. Nothing else in the library prints."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Sequence
from typing import Any, TextIO

from ..errors import ProjectError
from ..project.words import LEGEND, SYMBOLS, duration

__all__ = [
    "LEGEND", "SYMBOLS", "Progress", "bar", "confirm", "duration", "print_json", "print_run", "table",
    "use_a_full_alphabet",
]  # fmt: skip


def use_a_full_alphabet() -> None:
    """Let the standard streams print :data:`SYMBOLS`: in an ASCII locale each would become the `?` of unknown."""
    for stream in (sys.stdout, sys.stderr):
        try:
            "".join(SYMBOLS.values()).encode(stream.encoding or "ascii")
        except (UnicodeEncodeError, LookupError):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(encoding="utf-8")


def table(rows: Sequence[Sequence[object]], header: Sequence[str] = ()) -> str:
    """Columns aligned by blanks: numbers to the right, the rest to the left; None is printed as a dash.

    Returns:
        One line a row without trailing blanks; an empty string when there is neither row nor header.
    """
    cells = [[_cell(value) for value in row] for row in rows]
    lines = ([list(header)] if header else []) + cells
    if not lines:
        return ""
    columns = range(max(map(len, lines)))
    width = [max(len(line[c]) for line in lines if c < len(line)) for c in columns]
    numeric = [bool(rows) and all(_is_number(row[c]) for row in rows if c < len(row)) for c in columns]
    if header:
        lines.insert(1, ["-" * w for w in width])
    aligned = [
        [text.rjust(width[c]) if numeric[c] else text.ljust(width[c]) for c, text in enumerate(line)] for line in lines
    ]
    return "\n".join("  ".join(line).rstrip() for line in aligned)


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _cell(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return "–" if math.isnan(value) else f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    return str(value)


def print_json(data: Any) -> None:
    """Indented JSON on standard output; NaN, which JSON does not have, becomes null."""
    print(json.dumps(_without_nan(data), indent=1, ensure_ascii=False))


def print_run(found: dict[str, Any], *, as_json: bool, more: str = "") -> None:
    """How a run ended, in a line or as JSON.

    Args:
        found: from :func:`~SemiSupSegLib.jobs.state.describe`, perhaps with more keys.
        as_json: print ``found`` as it is.
        more: what else the line says.
    """
    if as_json:
        print_json(found)
        return
    dice = "" if found["mean_dice"] is None else f"hold-out Dice {found['mean_dice']:.3f}"
    print(f"run {found['id']}: " + "; ".join(filter(None, (found["words"], dice, more))))


def _without_nan(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _without_nan(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_without_nan(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def bar(done: int, whole: int, *, width: int = 24) -> str:
    """``[######------]``; empty when there is nothing to do."""
    filled = round(width * done / whole) if whole else 0
    return f"[{'#' * filled}{'-' * (width - filled)}]"


def confirm(question: str) -> bool:
    """Ask on the terminal; anything but yes is no.

    Raises:
        ProjectError: there is no terminal to ask on.
    """
    if not sys.stdin or not sys.stdin.isatty():
        msg = "nothing was written: there is no terminal to ask on; look at the table above and repeat with --yes"
        raise ProjectError(msg)
    try:
        return input(f"{question} [y/N] ").strip().casefold() in ("y", "yes")
    except EOFError:
        return False


class Progress:
    """A line on standard error that says how far, and how long still; silent for work that is over in two seconds.

    On a terminal the line is redrawn; elsewhere a line is written every ten percent.
    """

    def __init__(self, what: str, *, stream: TextIO | None = None, quiet_seconds: float = 2.0) -> None:
        self._what, self._stream, self._quiet = what, stream or sys.stderr, quiet_seconds
        self._began = time.monotonic()
        self._drawn, self._tenth = 0, 0

    def __call__(self, done: int, whole: int, detail: str = "") -> None:
        """Say that ``done`` of ``whole`` are done; after the last one the line is finished."""
        elapsed = time.monotonic() - self._began
        if whole < 1 or (elapsed < self._quiet and not self._drawn):
            return
        left = f", {duration(elapsed / done * (whole - done))} left" if 0 < done < whole else ""
        line = f"{self._what} {bar(done, whole)} {done} of {whole}{left}{f'  {detail}' if detail else ''}"
        if self._stream.isatty():
            self._stream.write("\r" + line.ljust(self._drawn) + ("\n" if done >= whole else ""))
            self._drawn = len(line)
        elif (tenth := 10 * done // whole) > self._tenth or not self._drawn:
            self._stream.write(line + "\n")
            self._tenth, self._drawn = tenth, len(line)
        self._stream.flush()
