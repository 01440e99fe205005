"""The words that front ends share, beside those of the command line."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ..project.words import LEGEND, SYMBOLS, duration

__all__ = [
    "LEGEND", "SYMBOLS", "counted", "duration", "joined", "left", "said_by_program", "size_in_words",
    "slices_in_words",
]  # fmt: skip

_ERROR = re.compile(r"semisupseg [\w-]+: (.+)")


def counted(number: int, what: str) -> str:
    """``1 case``, ``2 cases``."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def joined(names: Iterable[str], *, most: int = 3) -> str:
    """``liver, spleen and 4 more``; empty for no name."""
    named = list(names)
    rest = len(named) - most
    return ", ".join(named) if rest <= 0 else f"{', '.join(named[:most])} and {rest} more"


def left(seconds: float | None) -> str:
    """``about 3 min left``; empty when nobody knows."""
    if seconds is None:
        return ""
    return f"about {round(seconds / 60)} min left" if seconds >= 90 else f"about {max(round(seconds), 1)} s left"


def size_in_words(count: int) -> str:
    """``0 MB``, ``12 MB``, ``3.4 GB``."""
    megabytes = count / 1e6
    return f"{megabytes:.0f} MB" if megabytes < 999.5 else f"{megabytes / 1000:.1f} GB"


def slices_in_words(ranges: Iterable[tuple[int, int]]) -> str:
    """``slices 40–60, 72``; empty for none."""
    parts = [str(first) if first == last else f"{first}–{last}" for first, last in sorted(ranges)]
    return f"slice{'' if len(parts) == 1 and '–' not in parts[0] else 's'} {', '.join(parts)}" if parts else ""


def said_by_program(log: str) -> str | None:
    """The sentence with which the command line said that something cannot be done; None when it did not."""
    found = _ERROR.findall(log)
    return found[-1] if found else None
