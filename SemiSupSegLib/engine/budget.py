"""Budget: how far a run is, by time or by iterations, and what follows from it: learning rate and time left."""

from __future__ import annotations

import time
from collections.abc import Callable

from ..config import TrainConfig

__all__ = ["Budget", "learning_rate"]

WARMUP_STEPS = 20
"""Steps over which the learning rate rises from 0: adaptive optimizers start with poor estimates."""
STEP_SHARE = 2500 / 6000
"""Of the budget, after which ``step`` goes down to a tenth: every 2500 of 6000 iterations (UA-MT, MICCAI 2019)."""


class Budget:
    """Time and steps spent, across interruptions.

    Args:
        config: which of minutes and iterations ends the run.
        elapsed: seconds spent before an interruption.
        clock: seconds; replaced in tests.
    """

    def __init__(
        self, config: TrainConfig, *, elapsed: float = 0.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds = None if config.minutes is None else 60.0 * config.minutes
        self._iterations = config.iterations
        self._clock = clock
        self._start = clock() - elapsed
        self._first: tuple[int, float] | None = None

    @property
    def elapsed(self) -> float:
        """Seconds of training so far, interruptions left out."""
        return self._clock() - self._start

    def progress(self, iteration: int) -> float:
        """Share of the budget used before this iteration; 1 or more when it is spent."""
        if self._seconds is not None:
            return self.elapsed / self._seconds
        assert self._iterations is not None
        return iteration / self._iterations

    def eta_seconds(self, iteration: int) -> float | None:
        """Seconds left; None until the speed of a run by iterations is known."""
        if self._seconds is not None:
            return max(self._seconds - self.elapsed, 0.0)
        assert self._iterations is not None
        if self._first is None:
            self._first = (iteration, self.elapsed)
        steps, seconds = iteration - self._first[0], self.elapsed - self._first[1]
        return seconds / steps * max(self._iterations - iteration, 0) if steps else None


def learning_rate(config: TrainConfig, *, progress: float, iteration: int, factor: float = 1.0) -> float:
    """The learning rate of a step: decay by ``config.schedule``, after a short linear rise.

    Args:
        config: its ``learning_rate`` is the peak of the whole schedule, of which the run has ``schedule_span``;
            ``poly`` decays as (1 - t)^0.9, ``step`` to a tenth at 2500/6000 and at 5000/6000 of it.
        progress: share of the budget used, clipped to [0, 1].
        iteration: steps done.
        factor: lowered after a roll-back.
    """
    first, last = config.schedule_span
    progress = first + (last - first) * min(max(progress, 0.0), 1.0)
    decay: float = 0.1 ** int(progress / STEP_SHARE) if config.schedule == "step" else (1.0 - progress) ** 0.9
    return config.learning_rate * factor * decay * min((iteration + 1) / WARMUP_STEPS, 1.0)
