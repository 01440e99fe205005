"""The state of a run, derived from its events and its process. Nothing stores it, so nothing can store it wrongly."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path
from typing import Any

from ..errors import SemiSupSegError
from .events import Event, EventReader
from .process_tree import ProcessIdentity
from .protocol import CONFIG_FILE, HEARTBEAT_SECONDS, TERMINAL, EventKind, RunState
from .run import Run

__all__ = ["ACTIVE", "Watch", "active_run", "describe", "run_state", "runs"]

ACTIVE = frozenset({RunState.STARTING, RunState.RUNNING, RunState.HUNG})
"""States in which a process works on the run, or seems to."""
STARTING_SECONDS = 4 * HEARTBEAT_SECONDS
"""Time until the first event: importing torch from a cold disk alone can take longer than a heartbeat."""
TAIL_LINES = 8


class Watch:
    """What is known about one run. Reads only what is new, so it can be asked several times a second."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._reader = EventReader(run)
        self._latest: dict[str, Event] = {}
        self._last: Event | None = None
        self._decisive: Event | None = None
        self._best: Event | None = None

    def update(self) -> list[Event]:
        """Take in what was written since the last time, and return it."""
        events = self._reader.new()
        for event in events:
            self._last = self._latest[event.kind] = event
            if event.kind == EventKind.STARTED or event.kind in TERMINAL:
                self._decisive = event
            if event.kind == EventKind.VALIDATED and event.data.get("best"):
                self._best = event
        return events

    def latest(self, kind: str) -> Event | None:
        """The last event of a kind that :meth:`update` has seen."""
        return self._latest.get(kind)

    @property
    def best_dice(self) -> float | None:
        """Highest mean Dice on the hold-out so far; None before the first."""
        return None if self._best is None else self._best.data.get("mean")

    def state(self, *, now: float | None = None) -> tuple[RunState, str]:
        """State, and the reason or the progress in words.

        Args:
            now: seconds since the epoch; the clock's when None.
        """
        now = time.time() if now is None else now
        process = ProcessIdentity.load(self.run.folder)
        gone = process is not None and process.here and not process.alive  # asked before its last event is read
        self.update()
        begin = process.events_from if process else 0
        end = self._decisive
        if end is not None and end.offset >= begin and end.kind in TERMINAL:
            return TERMINAL[EventKind(end.kind)], self._end_words(end)
        last = self._last if self._last is not None and self._last.offset >= begin else None
        if gone:
            return RunState.CRASHED, _with_tail("the process ended unexpectedly", self.run)
        if last is None:
            return self._before_first_event(process, now)
        silent = now - last.time.timestamp()
        if silent <= HEARTBEAT_SECONDS:
            return RunState.RUNNING, self._progress_words()
        if process is None:
            what = f"nobody knows its process, and it has been silent for {silent:.0f} s"
            return RunState.CRASHED, _with_tail(what, self.run)
        where = "" if process.here else f" on {process.host}"
        return RunState.HUNG, f"process {process.pid}{where} has given no sign of life for {silent:.0f} s"

    def _before_first_event(self, process: ProcessIdentity | None, now: float) -> tuple[RunState, str]:
        waiting = now - (process.since if process else _created(self.run))
        if waiting <= STARTING_SECONDS:
            return RunState.STARTING, "starting"
        if process is None:
            return RunState.CRASHED, "it was made, but never started"
        return RunState.HUNG, f"process {process.pid} was started {waiting:.0f} s ago and has given no sign of life yet"

    def _progress_words(self) -> str:
        assert self._last is not None
        if self._last.kind == EventKind.HEARTBEAT:
            return str(self._last.data.get("doing", ""))
        found = self.latest(EventKind.PROGRESS)
        started = self.latest(EventKind.STARTED)
        if found is None or (started is not None and found.offset < started.offset):
            return "preparing"
        return f"step {found.data.get('step')}, {100 * float(found.data.get('fraction') or 0):.0f} %"

    def _end_words(self, end: Event) -> str:
        step = end.data.get("step")
        if end.kind == EventKind.FAILED:
            return str(end.data.get("reason", "no reason was given"))
        if end.kind == EventKind.FINISHED:
            return f"finished early, after {step} steps" if end.data.get("early") else f"finished after {step} steps"
        if not end.data.get("at_once"):
            return f"stopped at step {step}"
        kept = "before its first checkpoint" if step is None else f"its last checkpoint is of step {step}"
        return f"ended at once, {kept}"


def run_state(run: Run) -> tuple[RunState, str]:
    """State of a run, and the reason or the progress in words; a crashed one's words end with the tail of its log."""
    return Watch(run).state()


def runs(runs_folder: Path) -> list[Run]:
    """All runs of a project, the newest last; empty when there are none."""
    if not runs_folder.is_dir():
        return []
    found = [Run.open(folder) for folder in runs_folder.iterdir() if (folder / CONFIG_FILE).is_file()]
    return sorted(found, key=lambda run: (_created(run), run.id))


def active_run(runs_folder: Path) -> Run | None:
    """The newest run on which a process works; None when there is none. Old runs cost a look at their process only."""
    for run in reversed(runs(runs_folder)):
        process = ProcessIdentity.load(run.folder)
        if process is not None and process.here and not process.alive:
            continue
        if run_state(run)[0] in ACTIVE:
            return run
    return None


def describe(run: Run, *, watch: Watch | None = None) -> dict[str, Any]:
    """The run for programs: plain JSON values.

    Args:
        run: any run, also a damaged one.
        watch: spares reading the events again.

    Returns:
        ``id``, ``state``, ``words``, ``method``, ``step``, ``fraction`` (0 to 1), ``eta_seconds``, ``losses``;
        of the hold-out ``dice`` per label and ``mean_dice`` (the last ones) and ``best_dice``; ``device``, ``model``
        (promoted by it). Null where there is none yet.
    """
    watch = watch or Watch(run)
    state, words = watch.state()

    def value(kind: EventKind, key: str) -> Any:
        event = watch.latest(kind)
        return None if event is None else event.data.get(key)

    steps = [s for kind in (EventKind.PROGRESS, *TERMINAL) if isinstance(s := value(kind, "step"), int)]
    return {
        "id": run.id,
        "state": str(state),
        "words": words,
        "method": _method(run),
        "step": max(steps, default=None),
        "fraction": 1.0 if state is RunState.FINISHED else value(EventKind.PROGRESS, "fraction"),
        "eta_seconds": value(EventKind.PROGRESS, "eta_seconds") if state is RunState.RUNNING else None,
        "losses": value(EventKind.PROGRESS, "losses"),
        "dice": value(EventKind.VALIDATED, "dice"),
        "mean_dice": value(EventKind.VALIDATED, "mean"),
        "best_dice": watch.best_dice,
        "device": value(EventKind.STARTED, "device"),
        "model": value(EventKind.PROMOTED, "model"),
    }


def _with_tail(what: str, run: Run) -> str:
    tail = run.log_tail(TAIL_LINES)
    return f"{what}; its log ends with:\n{tail}" if tail.strip() else f"{what} and left nothing in its log"


def _created(run: Run) -> float:
    try:
        return datetime.fromisoformat(run.request().created).timestamp()
    except (SemiSupSegError, ValueError):
        return (run.folder / CONFIG_FILE).stat().st_mtime


def _method(run: Run) -> str | None:
    try:
        return run.config().method
    except SemiSupSegError:
        return None
