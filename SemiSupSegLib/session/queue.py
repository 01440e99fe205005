"""Queue: the proposals of a project, ranked. Reading the volumes of a large project takes a while: a thread does it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..project.candidates import Candidate, candidates
from ..project.project import Project
from .rows import QueueRow
from .task import Thread

__all__ = ["DECIDED", "Queue"]

DECIDED = ("accepted", "rejected")
Key = tuple[str, str]
"""Case and label."""


class Queue:
    """What :func:`~SemiSupSegLib.project.candidates.candidates` gave last, corrected for what was decided since."""

    def __init__(self) -> None:
        self.candidates: list[Candidate] = []
        self._thread: Thread | None = None
        self._again = False

    def ask(self, root: Path, *, thread: bool) -> None:
        """Rank anew; the result comes with :meth:`new`, at once without a thread.

        Raises:
            ProjectError: a prediction is damaged (without a thread only; else :meth:`new` says so).
        """
        if not thread:
            self.candidates = candidates(Project.open(root))
        elif self._thread is not None:
            self._again = True
        else:
            self._thread = Thread("review", "ranking the proposals", lambda _tell: candidates(Project.open(root)))

    def new(self, root: Path) -> tuple[bool, str | None]:
        """Whether other candidates came since the last call, and what went wrong."""
        if self._thread is None or self._thread.active:
            return False, None
        done, self._thread = self._thread, None
        if self._again:  # something was decided meanwhile: what came is old
            self._again = False
            self.ask(root, thread=True)
            return False, None
        if done.problem is not None:
            return False, done.problem
        self.candidates = done.result
        return True, None

    def clear(self) -> None:
        """Nothing is known; a thread that still ranks is let go."""
        self.candidates, self._thread, self._again = [], None, False

    def find(self, key: Key | None) -> Candidate | None:
        """The candidate of a case and label; None when there is none."""
        return next((c for c in self.candidates if (c.case, c.label) == key), None)

    def decided(self, key: Key, decision: str | None) -> None:
        """Take a decision over at once: None removes the candidate, as its label is complete now."""
        kept = [c for c in self.candidates if (c.case, c.label) != key]
        if decision is not None:
            kept += [replace(c, decision=decision) for c in self.candidates if (c.case, c.label) == key]
        self.candidates = sorted(kept, key=lambda c: (c.decision in DECIDED, -c.score, c.case, c.label))

    def rows(self, selected: Key | None) -> list[QueueRow]:
        """All candidates, what needs a look most first."""
        return [
            QueueRow(
                rank, c.case, c.label, c.score, c.reason, c.uncertainty, c.volume_ml, c.parts, c.worst_slice,
                c.decision, c.model, c.voxels == 0, (c.case, c.label) == selected, c.preview,
            )
            for rank, c in enumerate(self.candidates, start=1)
        ]  # fmt: skip

    def neighbour(self, key: Key | None, step: int) -> Key | None:
        """The next (1) or previous (-1) open candidate from one on; the first one without any; None at the end."""
        keys = [(c.case, c.label) for c in self.candidates]
        is_open = [c.decision not in DECIDED for c in self.candidates]
        if key not in keys:
            places = range(len(keys)) if step > 0 else range(len(keys) - 1, -1, -1)
        else:
            at = keys.index(key)
            places = range(at + 1, len(keys)) if step > 0 else range(at - 1, -1, -1)
        return next((keys[place] for place in places if is_open[place]), None)
