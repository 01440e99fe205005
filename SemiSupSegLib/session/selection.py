"""Selection: the queue of proposals, and the one that is looked at."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ..errors import ProjectError, SemiSupSegError
from ..project.candidates import Candidate
from .core import require
from .organs import Organs
from .predicting import Predicting
from .queue import DECIDED, Queue
from .rows import QueueRow

__all__ = ["Selection"]


class Selection(Predicting, Organs):
    """Which proposals there are, and going from one to the next."""

    def __init__(self, **said: Any) -> None:
        super().__init__(**said)
        self._queue = Queue()
        self._slices_seen: list[int] = []
        self._slice_at = -1
        self._slices_of: int | None = None

    def _candidates(self) -> Collection[Candidate]:
        return self._queue.candidates

    def _proposed(self) -> set[tuple[str, str]]:
        return {(c.case, c.label) for c in self._queue.candidates if c.decision not in DECIDED}

    # The queue -------------------------------------------------------------------------------------------------------

    def queue(self, only_case: str | None = None) -> list[QueueRow]:
        """What is proposed, what needs a look most first, what is decided last; empty when nothing is."""
        return [row for row in self._queue.rows(self._saved.candidate) if only_case in (None, row.case)]

    def refresh_queue(self) -> None:
        """Read the proposals again; ``queue_changed`` says when it is done."""
        if self._project is None:
            return
        try:
            self._queue.ask(self._project.root, thread=self.threads)
        except SemiSupSegError as error:  # a damaged prediction must not keep a project from being opened
            self._say(f"Review: {error}", "error")
            return
        if not self.threads:
            self._queue_is_new()

    def _poll_queue(self) -> None:
        if self._project is None:
            return
        came, problem = self._queue.new(self._project.root)
        if came:
            self._queue_is_new()
        if problem is not None:
            self._say(f"Review: {problem}", "error")

    def _queue_is_new(self) -> None:
        self._look_at_preview()
        signals = self.signals
        signals.tell(signals.queue_changed)
        signals.tell(signals.cases_changed)
        signals.tell(signals.organs_changed)
        signals.tell(signals.candidate_changed, self.selected)

    def _look_at_preview(self) -> None:
        case_id, self._previewed = self._previewed, None
        chosen = self._queue.find(self._saved.candidate)
        if case_id is None or case_id != self._saved.case or (chosen is not None and chosen.case == case_id):
            return
        first = next((c for c in self._queue.candidates if c.case == case_id and c.preview), None)
        if first is not None:
            self._remember(candidate=(first.case, first.label))

    @property
    def selected(self) -> QueueRow | None:
        """The proposal that is looked at; None when none is, or it is no longer there."""
        return next((row for row in self._queue.rows(self._saved.candidate) if row.selected), None)

    @property
    def may_review(self) -> str | None:
        """Why there is nothing to review; None when there is."""
        if self._project is None:
            return "Review: open or create a project first"
        if self._queue.candidates:
            return None
        return "Review: nothing is proposed yet: " + ("train a model first" if self.model is None else "predict first")

    @property
    def may_next(self) -> str | None:
        """Why no other proposal can be gone to; None when one can."""
        if (reason := self.may_review) is not None:
            return reason
        waits = any(c.decision not in DECIDED for c in self._queue.candidates)
        return None if waits else "Next: every proposal is decided on"

    def select(self, case: str | None, label: str | None = None) -> None:
        """Look at a proposal; its case becomes the current one. None for none.

        Raises:
            ProjectError: nothing is proposed there.
        """
        key = None if case is None else (case, self._name(label or ""))
        if key is not None and self._queue.find(key) is None:
            msg = f"nothing is proposed for {key[1]} in case {key[0]}"
            raise ProjectError(msg)
        if key is None or key[0] == self._saved.case:
            self._select(key)
        else:
            self._stored_then(lambda: self._look_into(key))

    def _look_into(self, key: tuple[str, str]) -> None:
        self._remember(candidate=key)  # first: who shows the case shows what is looked at in it
        self._enter(key[0])
        self._select(key)

    def select_next(self) -> None:
        """Go on to the next open proposal; the first one after the last.

        Raises:
            ProjectError: :attr:`may_next` gives a reason.
        """
        self._go(1)

    def select_previous(self) -> None:
        """Go back to the open proposal before."""
        self._go(-1)

    def _go(self, step: int) -> None:
        require(self.may_next)
        key = self._queue.neighbour(self._saved.candidate, step) or self._queue.neighbour(None, step)
        assert key is not None
        self.select(*key)

    def _select(self, key: tuple[str, str] | None) -> None:
        self._slices_seen, self._slice_at = [], -1
        self._remember(candidate=key)
        self.signals.tell(self.signals.candidate_changed, self.selected)

    def _key(self) -> tuple[str, str]:
        row = self.selected
        assert row is not None
        return row.case, row.label
