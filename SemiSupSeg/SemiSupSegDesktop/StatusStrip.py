"""StatusStrip: which project, which engine, the last message, what makes sense next, and what is under way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
from slicer.i18n import tr as _

from .Panel import Panel

__all__ = ["StatusStrip"]

SIGNS = {"info": "", "warning": "⚠ ", "error": "✖ "}
COLOURS = {"warning": ("#8a5a00", "#f0c060"), "error": ("#a3141e", "#ff9a9a")}
"""On a light and on a dark ground."""
TOUR = (
    "1  Cases: add a folder of volumes, with the labels you have.\n"
    "2  Organs: say what is known of each organ in this case. What is ? is ignored, never taken for background.\n"
    "3  Annotate: paint, then say that a slice is done.\n"
    "4  Train: Quick is enough for a first look; you can go on painting meanwhile.\n"
    "5  Review: look where the map glows; A accepts an organ, X rejects it. Every decision can be undone."
)


class StatusStrip(Panel):
    """The top of the panel. Errors are told here, one readable line each, never in a window of their own.

    Args:
        parent: widget with a layout.
        session: the session.
        projects: gives the menu of projects: :class:`~.ProjectMenu.ProjectMenu`.
        engine: says in a few words which engine is there.
    """

    def __init__(self, parent: Any, session: Any, projects: Any, engine: Callable[[], str]) -> None:
        super().__init__(parent, session)
        self._engine = engine
        self._level = "info"
        ui = self.ui
        ui.projectButton.setMenu(projects.menu)
        undoes = _("Takes back the last change, also after a restart (⇧Z)")
        self.bind(ui.undoButton, session.undo, lambda: session.may_undo, undoes)
        self.bind(ui.cancelButton, session.cancel_task, lambda: session.may_cancel, _("What is finished so far stays"))
        self.bind(
            ui.takeOverButton, session.take_over, self._mayTakeOver, _("The other one can look only from then on")
        )
        ui.tourButton.connect("toggled(bool)", ui.tourLabel.setVisible)
        ui.tourLabel.setText(_(TOUR))
        ui.tourLabel.setVisible(False)
        ui.messageLabel.setTextInteractionFlags(qt.Qt.TextSelectableByMouse)
        session.signals.message.connect(self.showMessage)
        self.showMessage("", "info")

    def redraw(self, _changed: frozenset[str]) -> None:
        """See :meth:`.Panel.redraw`."""
        session, ui = self.session, self.ui
        project, owner = session.project, session.owner
        ui.projectButton.setText((project.name if project else _("No project")) + " ▾")
        ui.projectButton.setToolTip(str(project.root) if project else _("Open a project, or make a new one"))
        ui.engineChip.setText(self._engine())
        ui.ownerLabel.setVisible(owner is not None)
        ui.takeOverButton.setVisible(owner is not None)
        if owner is not None:
            ui.ownerLabel.setText(SIGNS["warning"] + owner.sentence)
        busy = session.busy
        said = _("Next: {step}").format(step=session.next_step) if busy is None else f"{busy[:1].upper()}{busy[1:]} …"
        ui.nextStepLabel.setText(said)
        self._showTask(session.task)

    def showMessage(self, sentence: str, level: str = "info") -> None:
        """Show a sentence until the next one comes; empty for none."""
        label = self.ui.messageLabel
        words = sentence[:1].upper() + sentence[1:]
        label.setText(SIGNS.get(level, "") + words)
        label.setToolTip(words)
        label.setVisible(bool(words))
        from .Chips import isDark

        colours = COLOURS.get(level)
        label.setStyleSheet(f"color: {colours[isDark(self.widget)]}" if colours else "")

    def _showTask(self, task: Any) -> None:
        ui = self.ui
        ui.taskBar.setVisible(task is not None)
        ui.cancelButton.setVisible(task is not None)
        if task is not None:
            ui.taskBar.setRange(0, 0 if task.fraction is None else 100)
            ui.taskBar.setValue(0 if task.fraction is None else round(100 * task.fraction))
            ui.taskBar.setFormat(f"{task.words}  %p%" if task.fraction is not None else task.words)

    def _mayTakeOver(self) -> str | None:
        return None if self.session.owner is not None else _("Take over: nobody else has this project open")

    def cleanup(self) -> None:
        """See :meth:`.Panel.cleanup`."""
        self.session.signals.message.disconnect(self.showMessage)
