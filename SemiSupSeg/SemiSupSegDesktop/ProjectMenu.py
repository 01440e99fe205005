"""ProjectMenu: open a project, make one, and go back to those of late. Their folders stay on this computer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

__all__ = ["ProjectMenu", "RecentProjects", "chooseFolder"]

SETTING = "SemiSupSeg/projects"
MOST = 8


def chooseFolder(parent: Any, title: str) -> Path | None:
    """The folder chooser of the system, the only window that the module opens; None when it was cancelled."""
    found = qt.QFileDialog.getExistingDirectory(parent, title)
    return Path(found) if found else None


class RecentProjects:
    """Folders of projects that were open on this computer, the last one first. A scene holds a key, never a folder."""

    def folders(self) -> list[Path]:
        """Those that are still there; empty when nothing was opened yet."""
        said = qt.QSettings().value(SETTING, "") or ""
        return [Path(line) for line in str(said).splitlines() if line and Path(line).is_dir()]

    def add(self, folder: Path) -> None:
        """Remember one as the last."""
        rest = [known for known in self.folders() if known != folder]
        qt.QSettings().setValue(SETTING, "\n".join(map(str, [folder, *rest][:MOST])))

    def find(self, key: str) -> Path | None:
        """The folder that a scene's key names; None when this computer does not know it."""
        from SemiSupSegScene.SceneParameters import projectKey

        return next((folder for folder in self.folders() if key and projectKey(folder) == key), None)

    def forget(self) -> None:
        """Remember none; the projects themselves stay."""
        qt.QSettings().remove(SETTING)


class ProjectMenu:
    """The menu behind the project's name.

    Args:
        parent: widget over which choosers open.
        session: the session.
        attempt: gives a command and tells what goes wrong: :meth:`.Panel.attempt`.
        recent: the projects of late.
    """

    def __init__(self, parent: Any, session: Any, attempt: Callable[..., bool], recent: RecentProjects) -> None:
        self._parent, self._session, self._attempt, self._recent = parent, session, attempt, recent
        self.menu = qt.QMenu(parent)
        self.menu.setToolTipsVisible(True)
        self.menu.connect("aboutToShow()", self.fill)

    def fill(self) -> None:
        """Offer what can be opened now."""
        self.menu.clear()
        self._offer(_("Open project…"), self.openProject)
        self._offer(_("New project…"), self.newProject)
        self.menu.addSeparator()
        for folder in self._recent.folders():
            self._offer(
                f"{folder.name}   ({folder.parent})", lambda folder=folder: self._attempt(self._session.open, folder)
            )
        self.menu.addSeparator()
        close = self._offer(_("Close project"), lambda: self._attempt(self._session.close))
        close.setEnabled(self._session.project is not None)
        close.setToolTip("" if self._session.project is not None else _("Close project: none is open"))

    def openProject(self) -> None:
        """Ask for a folder and open its project."""
        folder = chooseFolder(self._parent, _("Folder of the project"))
        if folder is not None:
            self._attempt(self._session.open, folder)

    def newProject(self) -> None:
        """Ask for a folder and make a project there; organs come with the cases, or are typed."""
        folder = chooseFolder(self._parent, _("A new, empty folder for the project"))
        if folder is not None:
            self._attempt(self._session.create, folder)

    def _offer(self, words: str, command: Callable[[], Any]) -> Any:
        action = self.menu.addAction(words)
        action.connect("triggered()", lambda *_said: command())
        return action
