"""StoredContent: what the module keeps that can be made again, and how to be rid of it. The session has the rule."""

from __future__ import annotations

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
        kept = _("Projects that this computer remembers: {names}").format(names=names)
        cache = _("; the open project has a cache that can be made again") if self._session.has_stored else ""
        return kept + cache + "."

    @property
    def mayDelete(self) -> str | None:
        """Why nothing can be deleted now; None when it can."""
        return self._session.may_delete_stored(elsewhere=bool(self._recent.folders()))

    def delete(self) -> None:
        """Forget the projects' folders, and remove the cache. Projects, labels and models stay.

        Raises:
            ProjectError: :attr:`mayDelete` gives a reason.
        """
        self._session.delete_stored()
        self._recent.forget()
