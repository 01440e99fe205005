"""Worker: files are read and written in a thread; what that gives is handed over when the front end looks."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from ..errors import SemiSupSegError

__all__ = ["Worker"]

_LOG = logging.getLogger(__name__)


class _Job:
    def __init__(
        self, words: str, call: Callable[[], Any], then: Callable[[Any], None], failed: Callable[[str], None]
    ) -> None:
        self.words, self._call, self._then, self._failed = words, call, then, failed
        self.wanted = True
        self._result: Any = None
        self._problem: str | None = None
        self._thread: threading.Thread | None = None

    def start(self, *, daemon: bool) -> None:
        self._thread = threading.Thread(target=self._run, name=self.words, daemon=daemon)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._result = self._call()
        except (SemiSupSegError, OSError) as error:
            self._problem = str(error)
        except Exception as error:
            _LOG.exception("%s: failed", self.words)
            self._problem = f"a mistake in the program: {type(error).__name__}: {error}"

    @property
    def active(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def wait(self) -> None:
        if self._thread is not None:
            self._thread.join()

    def hand_over(self) -> None:
        """Tell what came of it, in the thread that calls, unless nobody wants to know any more."""
        if not self.wanted:
            return
        if self._problem is not None:
            self._failed(self._problem)
        else:
            self._then(self._result)


class Worker:
    """One writing and one reading at a time; the front end's own thread hears of both by :meth:`poll` alone.

    A writing is never given up: the program does not end before it has. A reading is given up when another one is
    wanted, and begins after the writing that is under way, as it would read what is about to change.
    """

    def __init__(self) -> None:
        self._write: _Job | None = None
        self._read: _Job | None = None
        self._next: _Job | None = None

    @property
    def writing(self) -> str | None:
        """What is being written, in words; None for nothing."""
        return None if self._write is None else self._write.words

    @property
    def reading(self) -> str | None:
        """What is being read, or waits for that, in words; None for nothing."""
        if self._next is not None:
            return self._next.words
        return None if self._read is None or not self._read.wanted else self._read.words

    def write(
        self, words: str, call: Callable[[], Any], then: Callable[[Any], None], failed: Callable[[str], None]
    ) -> None:
        """Begin to write.

        Args:
            words: ``liver in case c1 is being accepted``.
            call: does it, in a thread; touches nothing that the front end changes.
            then: called by :meth:`poll` with what it gave.
            failed: called by :meth:`poll` with a sentence instead.
        """
        assert self._write is None  # the rules of the buttons see to it
        self._write = _Job(words, call, then, failed)
        self._write.start(daemon=False)

    def read(
        self, words: str, call: Callable[[], Any], then: Callable[[Any], None], failed: Callable[[str], None]
    ) -> None:
        """Begin to read, instead of what is being read; see :meth:`write`."""
        self.stop_reading()
        self._next = _Job(words, call, then, failed)
        self._begin()

    def stop_reading(self) -> None:
        """Nobody wants to know any more what is being read."""
        self._next = None
        if self._read is not None:
            self._read.wanted = False

    def poll(self) -> None:
        """Hand over what is done, and begin what waits."""
        if self._write is not None and not self._write.active:
            self._hand_over_written()
        if self._read is not None and not self._read.active:
            done, self._read = self._read, None
            self._begin()
            done.hand_over()
        self._begin()

    def finish(self) -> None:
        """Wait for the end of the writing, those that follow from it included, and hand it over."""
        while self._write is not None:
            self._write.wait()
            self._hand_over_written()

    def _hand_over_written(self) -> None:
        assert self._write is not None
        done, self._write = self._write, None
        done.hand_over()

    def _begin(self) -> None:
        if self._next is not None and self._read is None and self._write is None:
            self._read, self._next = self._next, None
            self._read.start(daemon=True)
