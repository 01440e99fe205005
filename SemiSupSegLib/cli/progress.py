"""RunDisplay: a training in the foreground, told on standard error by reading its events like any other watcher."""

from __future__ import annotations

import contextlib
import shutil
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TextIO

from ..jobs.events import Event
from ..jobs.protocol import EventKind
from ..jobs.run import Run
from ..jobs.state import Watch
from .output import bar, duration

__all__ = ["RunDisplay", "sentence"]

LOOK_SECONDS = 0.25
LINE_SECONDS = 10.0
"""Where there is no terminal: a line so often, or every ten percent, whichever comes first."""


def sentence(event: Event) -> str | None:
    """An event that deserves a line of its own, in words; None for the steady ones."""
    data = event.data
    match event.kind:
        case EventKind.STARTED:
            again = f", going on from step {step}" if (step := data.get("resumed_from")) is not None else ""
            return f"started on {data.get('device')} ({data.get('reason')}){again}"
        case EventKind.PREPARED:
            grid = " × ".join(f"{mm:g}" for mm in data.get("spacing") or ())
            return f"prepared {data.get('cases')} cases in {duration(data.get('seconds') or 0)}, grid {grid} mm"
        case EventKind.BACKED_OFF:
            return f"memory ran out: {data.get('what')}"
        case EventKind.ROLLED_BACK:
            return f"back to step {data.get('to_step')}: {data.get('reason')}"
        case EventKind.RELABELLED:
            added = ", ".join(f"{name} {voxels:,}" for name, voxels in (data.get("added") or {}).items()) or "nothing"
            return f"round {data.get('round')}: added voxels of {added}"
        case EventKind.PROMOTED:
            return f"model {data.get('model')} is in use now: {data.get('reason')}"
        case EventKind.NOT_PROMOTED:
            return f"the new model is not used: {data.get('reason')}"
        case EventKind.STOPPED:
            return f"stopped at step {data.get('step')}"
        case EventKind.FINISHED:
            early = " early," if data.get("early") else ""
            return f"finished{early} after {data.get('step')} steps in {duration(data.get('seconds') or 0)}"
    return None  # FAILED is the verb's own last sentence


class RunDisplay:
    """A context: while it is open, a thread shows what the run says.

    On a terminal one line is redrawn, elsewhere lines are added.

    Args:
        run: what to show, from now on.
        stream: standard error when None.
        clock: seconds; replaced in tests.
    """

    def __init__(self, run: Run, *, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._clock = clock
        self._watch = Watch(run)
        self._watch.update()  # what an earlier process of a resumed run said was shown then
        self._drawn = 0
        self._shown: tuple[float, int] | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="progress", daemon=True)

    def __enter__(self) -> RunDisplay:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self.look()
        if self._drawn:
            self._write("\n")
            self._drawn = 0

    def _follow(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            self.look()

    def look(self) -> None:
        """Show what is new."""
        for event in self._watch.update():
            if (words := sentence(event)) is not None:
                self._line(words)
            elif event.kind == EventKind.PROGRESS:
                self._steady(self._progress(event), 10 * float(event.data.get("fraction") or 0))
            elif event.kind == EventKind.HEARTBEAT:
                self._steady(f"{event.data.get('doing')} ...", 0.0)

    def _progress(self, event: Event) -> str:
        data = event.data
        fraction = float(data.get("fraction") or 0)
        eta = data.get("eta_seconds")
        losses = (data.get("losses") or {}).items()
        parts = [
            f"{bar(round(1000 * fraction), 1000)} {100 * fraction:3.0f} %",
            f"step {data.get('step')}",
            "" if eta is None else f"{duration(eta)} left",
            " ".join(f"{name} {'–' if value is None else f'{value:.3f}'}" for name, value in losses),
            self._dice(),
        ]
        return "  ".join(filter(None, parts))

    def _dice(self) -> str:
        validated = self._watch.latest(EventKind.VALIDATED)
        if validated is None or (mean := validated.data.get("mean")) is None:
            return ""
        best = self._watch.best_dice
        return f"hold-out Dice {mean:.3f}" + (f" (best {best:.3f})" if best is not None and best > mean else "")

    def _steady(self, text: str, tenths: float) -> None:
        if self._terminal:
            room = shutil.get_terminal_size().columns - 1
            self._write("\r" + text[:room].ljust(self._drawn))
            self._drawn = min(len(text), room)
            return
        now = self._clock()
        if self._shown is None or now - self._shown[0] >= LINE_SECONDS or int(tenths) > self._shown[1]:
            self._write(text + "\n")
            self._shown = (now, int(tenths))

    def _line(self, text: str) -> None:
        start = "\r" if self._drawn else ""
        self._write(start + text.ljust(self._drawn) + "\n")
        self._drawn = 0

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # a closed terminal is no reason to end a training
            self._stream.write(text)
            self._stream.flush()
