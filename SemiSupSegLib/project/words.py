"""The signs and words that the command line and the front ends share."""

from __future__ import annotations

__all__ = ["LEGEND", "SYMBOLS", "duration"]

SYMBOLS = {"unknown": "?", "partial": "✎", "complete": "✓", "absent": "∅", "proposed": "◆"}
"""State of a label in a case."""
LEGEND = (
    "? not annotated   ✎ partial   ✓ complete   ∅ absent   ◆ proposed\n"
    "? is ignored in training, never counted as background."
)


def duration(seconds: float) -> str:
    """``8 s``, ``2 min 05 s``, ``1 h 10 min``."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest} s"
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
