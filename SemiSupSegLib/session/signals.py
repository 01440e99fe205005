"""Signal: somebody changes something, others hear of it. No toolkit."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

__all__ = ["Signal", "Signals"]

Listener = Callable[..., object]
_LOG = logging.getLogger(__name__)


class Signal:
    """Listeners, in the order in which they connected.

    A listener that raises is written to the log, and the others still hear. One that connects or disconnects while the
    signal is emitted counts from the next time on.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._listeners: list[Listener] = []

    def connect(self, listener: Listener) -> Listener:
        """Call the listener whenever the signal is emitted; connecting twice is connecting once.

        Returns:
            The listener, so that this can decorate a function.
        """
        if listener not in self._listeners:
            self._listeners.append(listener)
        return listener

    def disconnect(self, listener: Listener) -> None:
        """Call it no more; nothing happens when it was not connected."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    def emit(self, *said: Any) -> None:
        """Tell every listener."""
        for listener in tuple(self._listeners):
            try:
                listener(*said)
            except Exception:  # a panel that fails must not keep the others, or the command itself, from going on
                _LOG.exception("a listener of %s failed", self.name)


class Signals:
    """All signals of a session. After any of them but ``message``, ``changed`` is emitted with its name."""

    def __init__(self) -> None:
        self.project_changed = Signal("project_changed")
        """No argument: opened, closed, another owner, labels, hold-out or model in use."""
        self.cases_changed = Signal("cases_changed")
        """No argument: a case is new, or a state in any case."""
        self.current_case_changed = Signal("current_case_changed")
        """Case id or None."""
        self.organs_changed = Signal("organs_changed")
        """No argument: a state in the current case."""
        self.labels_written = Signal("labels_written")
        """Case id, tuple of label names: the project's voxels differ from before."""
        self.queue_changed = Signal("queue_changed")
        """No argument: the rows of the review."""
        self.candidate_changed = Signal("candidate_changed")
        """:class:`QueueRow` or None."""
        self.slice_wanted = Signal("slice_wanted")
        """Case id, slice k, label."""
        self.threshold_changed = Signal("threshold_changed")
        """Largest uncertainty, [0, 1]."""
        self.contacts_changed = Signal("contacts_changed")
        """No argument: which organs may touch, or that it is being counted."""
        self.stored_changed = Signal("stored_changed")
        """No argument: what the project takes on the disk was measured."""
        self.job_changed = Signal("job_changed")
        """:class:`Progress`."""
        self.task_changed = Signal("task_changed")
        """:class:`TaskProgress`, or None when it is over."""
        self.work_changed = Signal("work_changed")
        """No argument: what is read or written beside the front end: :attr:`Session.busy`."""
        self.message = Signal("message")
        """A sentence, and ``info``, ``warning`` or ``error``."""
        self.changed = Signal("changed")
        """Name of the signal before it."""

    def tell(self, signal: Signal, *said: Any) -> None:
        """Emit a signal, then ``changed``."""
        signal.emit(*said)
        if signal is not self.message:
            self.changed.emit(signal.name)
