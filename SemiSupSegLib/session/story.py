"""What a training said so far, as rows and curves; read from its events, each once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .rows import Curves, Progress
from .words import left

if TYPE_CHECKING:
    from ..jobs.events import Event
    from ..jobs.job import LocalJob
    from ..jobs.run import Run

__all__ = ["Story"]

POINTS = 2000
"""Of a curve; a longer one is thinned out by leaving out every second point, so that a plot stays quick."""
_TOLD = {
    "crashed": "the training ended unexpectedly; Resume goes on from its last checkpoint",
    "hung": "the training gives no sign of life",
}


class Story:
    """One run as it is told: :attr:`job` says whether it lives, the events say how far it came.

    Args:
        run: the run; it may be over already.
        job: its process when this session started it; else it is attached.
    """

    def __init__(self, run: Run, job: LocalJob | None = None) -> None:
        from ..jobs.events import EventReader  # here, as importing a session must be quick
        from ..jobs.job import LocalJob

        self.run = run
        self.job = job or LocalJob.attach(run)
        self._reader = EventReader(run)
        self._losses: dict[str, list[tuple[int, float]]] = {}
        self._dice: list[tuple[int, float]] = []
        self._best: tuple[int, float] | None = None
        self._said: dict[str, Event] = {}
        self.steps = 0
        """Of training that were told of so far."""
        self.saved = 0
        """Step of the newest checkpoint; 0 while there is none but the one from before the first step."""

    def new(self) -> list[Event]:
        """Events since the last call, taken into the curves."""
        events = self._reader.new()
        self._take(events)
        return events

    def _take(self, events: Iterable[Event]) -> None:
        from ..jobs.protocol import EventKind

        for event in events:
            data = event.data
            self._said[event.kind] = event
            step = data.get("step")
            if not isinstance(step, int):
                continue
            self.steps = step
            if event.kind == EventKind.CHECKPOINT:
                self.saved = step
            elif event.kind == EventKind.PROGRESS:
                for name, value in (data.get("losses") or {}).items():
                    if isinstance(value, int | float):
                        _add(self._losses.setdefault(str(name), []), step, float(value))
            elif event.kind == EventKind.VALIDATED and isinstance(mean := data.get("mean"), int | float):
                _add(self._dice, step, float(mean))
                if data.get("best"):
                    self._best = (step, float(mean))

    @property
    def curves(self) -> Curves:
        """Everything for a plot."""
        losses = {name: tuple(points) for name, points in self._losses.items()}
        return Curves(losses, tuple(self._dice), self._best)

    def progress(self) -> Progress:
        """How it stands now."""
        from ..jobs.protocol import EventKind, RunState
        from ..jobs.state import ACTIVE, describe

        state, words = self.job.poll()
        told = describe(self.run, watch=self.job.watch)
        first, _, rest = words.partition("\n")
        prepared, started = self._data(EventKind.PREPARED), self._data(EventKind.STARTED)
        verdict = self._data(EventKind.PROMOTED) or self._data(EventKind.NOT_PROMOTED)
        eta = told["eta_seconds"]
        return Progress(
            run=self.run.id,
            state=str(state),
            active=state in ACTIVE,
            words=self._ending() if state in ACTIVE and self.run.stop_requested else _sentence(state, first),
            detail=rest if state is RunState.CRASHED else self.run.log_tail() if state is RunState.FAILED else "",
            fraction=told["fraction"],
            eta_seconds=eta,
            eta=left(eta),
            step=told["step"],
            losses=dict(told["losses"] or {}),
            dice=dict(told["dice"] or {}),
            mean_dice=told["mean_dice"],
            best_dice=told["best_dice"],
            best_step=None if self._best is None else self._best[0],
            device=told["device"],
            device_reason=str(started.get("reason") or ""),
            minutes=prepared.get("minutes"),
            memory_gb=prepared.get("memory_gb"),
            model=told["model"],
            verdict=str(verdict.get("reason") or ""),
        )

    def _ending(self) -> str:
        if self.run.keep_requested:
            return "ending early: its best checkpoint becomes a model and is scored on the hold-out"
        return "stopping: it writes a checkpoint first"

    def _data(self, kind: str) -> dict[str, Any]:
        event = self._said.get(kind)
        return {} if event is None else dict(event.data)


def _sentence(state: object, words: str) -> str:
    told = _TOLD.get(str(state))
    if told is not None:
        return f"{told} ({words.removesuffix('; its log ends with:')})"
    return f"the training failed: {words}" if str(state) == "failed" else words


def _add(points: list[tuple[int, float]], step: int, value: float) -> None:
    while points and points[-1][0] >= step:  # a resumed run, or one that rolled back, goes over these steps again
        points.pop()
    points.append((step, value))
    if len(points) > POINTS:
        del points[1:-1:2]
