"""StoredContent: what the module keeps that can be made again, and how to be rid of it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from .ProjectMenu import RecentProjects

__all__ = ["StoredContent"]


class StoredContent:
    """The list of recent projects on this computer, and the cache of the open project. Labels are never part of it."""

    def __init__(self, session: Any, recent: RecentProjects) -> None:
        self._session, self._recent = session, recent

    @property
    def words(self) -> str:
        """What is there."""
        names = len(self._recent.folders())
        cache = self._cache
        kept = _("{names} recent projects are remembered on this computer").format(names=names)
        return kept + (_("; the open project has a cache that can be made again") if cache is not None else "") + "."

    @property
    def mayDelete(self) -> str | None:
        """Why nothing can be deleted now; None when it can."""
        session = self._session
        if session.may_stop is None or (session.progress is not None and session.progress.active):
            return _("Delete stored content: a training is under way")
        if session.task is not None:
            return _("Delete stored content: {task} is under way").format(task=session.task.words)
        return None if self._cache is not None or self._recent.folders() else _("Delete stored content: there is none")

    def delete(self) -> None:
        """Forget the projects' folders, and remove the cache. Projects, labels and models stay.

        Raises:
            OSError: a file cannot be removed.
        """
        self._recent.forget()
        if self._cache is not None:
            shutil.rmtree(self._cache)

    @property
    def _cache(self) -> Path | None:
        project = self._session.project
        folder = None if project is None or self._session.may_change is not None else project.cache_folder
        return folder if folder is not None and folder.is_dir() else None
