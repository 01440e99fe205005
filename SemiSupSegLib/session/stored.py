"""Stored: what a project keeps that can be made again, and when it may be deleted."""

from __future__ import annotations

import shutil
from pathlib import Path

from .core import require
from .export import Export
from .task import Thread

__all__ = ["Stored"]


class Stored(Export):
    """The cache of the open project: volumes on the training grid, counted contacts. Labels are never part of it."""

    @property
    def has_stored(self) -> bool:
        """Whether the open project has a cache; False without a project."""
        return self._project is not None and self._project.cache_folder.is_dir()

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


def _delete(folder: Path) -> str:
    shutil.rmtree(folder)
    return "what was stored is deleted; projects, labels and models stay"
