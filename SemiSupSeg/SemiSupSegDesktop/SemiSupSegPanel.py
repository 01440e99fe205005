"""SemiSupSegPanel: all parts in the order of work. They give commands to the session and redraw when it says so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from .AnnotatePanel import AnnotatePanel
from .CasesPanel import CasesPanel
from .CaseView import CaseView
from .ExportPanel import ExportPanel
from .LoadedVolume import LoadedVolume
from .OrgansPanel import OrgansPanel
from .Panel import Panel
from .ProjectMenu import ProjectMenu, RecentProjects
from .ReviewPanel import ReviewPanel
from .SettingsPanel import SettingsPanel
from .StatusStrip import StatusStrip
from .StoredContent import StoredContent
from .TrainPanel import TrainPanel

__all__ = ["SemiSupSegPanel"]

POLL_MILLISECONDS = 250
SOON_MILLISECONDS = 20
"""While something is read or written: what came of it is shown as soon as it is there."""


class SemiSupSegPanel:
    """The module's panel.

    Args:
        parent: widget with a layout, to which the parts are added.
        session: a :class:`~SemiSupSegLib.session.Session`; a project may be open in it already.
        scene: Slicer's scene when None.
        installation: of the engine, for Settings; None where it is not installed from here.
        sampleCohort: makes the synthetic cohort and gives its folder; None where there is none.
    """

    def __init__(
        self,
        parent: Any,
        session: Any,
        *,
        scene: Any = None,
        installation: Any = None,
        sampleCohort: Callable[[], Path] | None = None,
    ) -> None:
        self.session = session
        self.scene = slicer.mrmlScene if scene is None else scene
        self._parent, self._installation = parent, installation
        self._changed: set[str] = set()
        self._recent = RecentProjects()
        self.view = CaseView(self.scene, session, session.signals.message.emit)
        projects = ProjectMenu(parent, session, lambda *said: self.status.attempt(*said), self._recent)
        self.status = StatusStrip(parent, session, projects, self._engineWords)
        self.cases = CasesPanel(parent, session, LoadedVolume(self.scene), sampleCohort)
        self.organs = OrgansPanel(parent, session)
        self.annotate = AnnotatePanel(parent, session, self.view)
        self.train = TrainPanel(parent, session, self.scene)
        self.review = ReviewPanel(parent, session, self.view, self.annotate)
        self.export = ExportPanel(parent, session)
        stored = StoredContent(session, self._recent)
        self.settings = SettingsPanel(parent, session, installation, stored, self._redrawAll)
        parent.layout().addStretch(1)
        session.signals.changed.connect(self._hear)
        self._later = self._timer(0, self.redraw, once=True)
        self._poll = self._timer(POLL_MILLISECONDS, self._look)
        self._poll.start()
        self._changed.add("all")
        self.redraw()

    @property
    def panels(self) -> tuple[Panel, ...]:
        """From top to bottom."""
        middle = (self.cases, self.organs, self.annotate, self.train, self.review)
        return (self.status, *middle, self.export, self.settings)

    def enter(self) -> None:
        """The module is shown: its keys act, and the scene's project is opened when this computer knows it."""
        self.annotate.enter()
        self.review.enter(self._window())
        if self.session.project is None:
            folder = self._recent.find(self.view.parameters.get("projectKey"))
            if folder is not None:
                self.status.attempt(self.session.open, folder)

    def exit(self) -> None:
        """Another module is shown: no key of this one acts; a training goes on."""
        self.review.exit()
        self.annotate.exit()
        if self.session.project is not None:
            self.status.attempt(self.session.save_painting)

    def cleanup(self) -> None:
        """Slicer closes, or reloads the module: what is painted is stored, a training goes on."""
        self._poll.stop()
        self._later.stop()
        if self.session.project is not None:
            self.status.attempt(self.session.settle)
        self.session.signals.changed.disconnect(self._hear)
        for panel in reversed(self.panels):
            panel.cleanup()
        self.view.cleanup()

    def redraw(self) -> None:
        """Show what changed since the last time; many changes in one command are one redrawing."""
        changed, self._changed = frozenset(self._changed), set()
        if changed & {"project_changed", "all"} and self.session.project is not None:
            self._recent.add(self.session.project.root)
        for panel in self.panels:
            panel.redraw(changed)
            panel.obeyRules()

    def _hear(self, signal: str) -> None:
        self._changed.add(signal)
        self._later.start()
        if signal == "work_changed":
            self._poll.setInterval(POLL_MILLISECONDS if self.session.busy is None else SOON_MILLISECONDS)

    def _redrawAll(self) -> None:
        self._hear("all")

    def _look(self) -> None:
        self.session.poll()
        if self.session.selected is not None:
            self.review.showSlice()  # the person scrolls in the views, of which the session knows nothing

    def _engineWords(self) -> str:
        if self._installation is not None and self._installation.missing:
            return _("⚠ Engine not installed")
        progress = self.session.progress
        if progress is None or not progress.device:
            return _("● Engine ready")
        name = "CPU" if progress.device == "cpu" else progress.device
        return (_("◐ Training · {device}") if progress.active else _("● Ready · {device}")).format(device=name)

    def _window(self) -> Any:
        return slicer.util.mainWindow() or self._parent.window()

    def _timer(self, milliseconds: int, call: Callable[[], None], *, once: bool = False) -> Any:
        timer = qt.QTimer()
        timer.setInterval(milliseconds)
        timer.setSingleShot(once)
        timer.connect("timeout()", call)
        return timer
