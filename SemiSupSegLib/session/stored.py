"""Stored: what a project keeps that can be made again, how much that is, and when it may be deleted."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from .core import require
from .export import Export
from .task import Thread
from .words import size_in_words

__all__ = ["Stored"]

Sizes = tuple[int, int]
"""Bytes of the whole project, and of its cache."""


class Stored(Export):
    """The cache of the open project: volumes on the training grid, counted contacts. Labels are never part of it."""

    _measuring: Thread | None = None
    _sizes: Sizes | None = None

    @property
    def has_stored(self) -> bool:
        """Whether the open project has a cache; False without a project."""
        return self._project is not None and self._project.cache_folder.is_dir()

    @property
    def stored_words(self) -> str:
        """What the open project takes on the disk, as it was measured last; empty before, and without a project."""
        if self._project is None:
            return ""
        if self._sizes is None:
            return "measuring what the project takes on the disk …" if self._measuring is not None else ""
        whole, cache = map(size_in_words, self._sizes)
        return f"The project takes {whole} on the disk; {cache} of it can be made again."

    def measure_stored(self) -> None:
        """Find out what the open project takes on the disk; ``stored_changed`` says when it is done."""
        if self._project is None:
            return
        root, cache = self._project.root, self._project.cache_folder
        self._measuring = Thread("measure", "measuring", lambda _tell: (_bytes_of(root), _bytes_of(cache)))
        if not self.threads:
            self._measuring.wait(3600)
            self._poll_stored()

    def may_delete_stored(self, *, elsewhere: bool = False) -> str | None:
        """Why nothing can be deleted now; None when something can.

        Args:
            elsewhere: whether the front end keeps something of its own that would go with it.
        """
        button = "Delete stored content"
        if self._project is not None:
            if self._is_active:
                return f"{button}: a training is under way, which reads it"
            if (reason := self._may_start(button)) is not None:
                return reason
            if self.has_stored and (reason := self._may_change(button)) is not None:
                return reason
        return None if elsewhere or self.has_stored else f"{button}: there is none"

    def delete_stored(self) -> None:
        """Delete the cache, beside the front end; nothing when there is none. Projects, labels and models stay.

        Raises:
            ProjectError: :meth:`may_delete_stored` gives a reason.
        """
        require(self.may_delete_stored(elsewhere=True))
        if not self.has_stored:
            return
        folder = self._opened().cache_folder
        self._do(Thread("delete", "deleting stored content", lambda _tell: _delete(folder)))

    def _poll_stored(self) -> None:
        if self._measuring is None or self._measuring.active:
            return
        done, self._measuring = self._measuring, None
        self._sizes = done.result
        self.signals.tell(self.signals.stored_changed)

    def _forget_stored(self) -> None:
        """Of the project that is closed."""
        self._measuring = self._sizes = None


def _delete(folder: Path) -> str:
    shutil.rmtree(folder)
    return "what was stored is deleted; projects, labels and models stay"


def _bytes_of(folder: Path) -> int:
    """Sum over all files below a folder; what vanishes meanwhile counts nothing."""
    found = 0
    for place, _folders, files in os.walk(folder):
        for name in files:
            try:
                found += os.lstat(Path(place) / name).st_size
            except OSError:
                continue
    return found
