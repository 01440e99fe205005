"""Reporter: what a run says while it works, at most about once a second. Only the first process speaks."""

from __future__ import annotations

import time
from collections import defaultdict
from typing import Any

from ..jobs.protocol import HEARTBEAT_SECONDS, EventKind
from ..jobs.run import Run

__all__ = ["Reporter"]

SECONDS = 1.0
"""Between two progress events."""


class Reporter:
    """Writes events of one process of a run.

    Args:
        run: where to.
        speaks: False in all processes but the first.
    """

    def __init__(self, run: Run, *, speaks: bool) -> None:
        self._run, self._speaks = run, speaks
        self._last = 0.0
        self._sums: dict[str, list[float]] = defaultdict(list)

    def say(self, kind: EventKind, **data: Any) -> None:
        """Write an event now."""
        if self._speaks:
            self._run.write(kind, **data)
            self._last = time.monotonic()

    def alive(self, doing: str) -> None:
        """A sign of life during long work, well within the heartbeat."""
        if time.monotonic() - self._last > HEARTBEAT_SECONDS / 6:
            self.say(EventKind.HEARTBEAT, doing=doing)

    def progress(self, *, step: int, fraction: float, eta: float | None, losses: dict[str, float], **data: Any) -> None:
        """Collect the terms of a step; write their means since the last progress event when a second has passed."""
        for name, value in losses.items():
            self._sums[name].append(value)
        if time.monotonic() - self._last < SECONDS:
            return
        means = {name: sum(values) / len(values) for name, values in self._sums.items()}
        self._sums.clear()
        self.say(
            EventKind.PROGRESS,
            step=step,
            fraction=round(min(fraction, 1.0), 4),
            eta_seconds=None if eta is None else round(eta, 1),
            losses={k: round(v, 6) for k, v in means.items()},
            **data,
        )
