"""FolderPreview: what a folder holds, shown inside the panel before "Use these" copies anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

from .ProjectMenu import chooseFolder
from .Tables import fillRow, prepareTable, setRowCount

__all__ = ["FolderPreview", "placeFor"]


def placeFor(folder: Path) -> Path:
    """Where a new project for the volumes of a folder goes: in the person's documents, under a name that is free."""
    documents = Path(qt.QStandardPaths.writableLocation(qt.QStandardPaths.DocumentsLocation) or Path.home())
    place, number = documents / "SemiSupSeg" / folder.name, 1
    while place.exists() and any(place.iterdir()):
        number += 1
        place = documents / "SemiSupSeg" / f"{folder.name} {number}"
    return place


class FolderPreview:
    """The pairs that were found by name, and the two answers to them.

    Args:
        panel: the :class:`~.CasesPanel.CasesPanel` with the widgets.
    """

    def __init__(self, panel: Any) -> None:
        self._panel = panel
        self._folder: Path | None = None
        self._place: Path | None = None
        self._usable = 0
        ui = panel.ui
        prepareTable(ui.previewTable, (_("volume"), _("labels"), _("remark")), stretch=2)
        panel.bind(ui.useTheseButton, self.use, self._mayUse, _("Copies these volumes and labels into the project"))
        ui.notTheseButton.connect("clicked()", self.hide)
        ui.notTheseButton.setToolTip(_("Nothing was copied yet, and nothing will be"))
        ui.placeButton.connect("clicked()", lambda *_said: self.choosePlace())
        self.hide()

    def show(self, folder: Path) -> None:
        """Look at the names in a folder.

        Raises:
            ProjectError: there is no volume in it.
        """
        found = self._panel.session.find_cases(folder)
        ui = self._panel.ui
        self._folder = Path(folder)
        self._place = placeFor(self._folder) if self._panel.session.project is None else None
        self._usable = sum(each.problem is None for each in found)
        labelled = sum(each.problem is None and each.labels is not None for each in found)
        words = _("{folder}: {volumes} volumes, {labelled} with labels").format(
            folder=self._folder.name, volumes=self._usable, labelled=labelled
        )
        left = len(found) - self._usable
        ui.previewLabel.setText(words + (_("; ⚠ {left} left out").format(left=left) if left else ""))
        setRowCount(ui.previewTable, len(found))
        for row, each in enumerate(found):
            labels = "–" if each.labels is None else each.labels.name
            remark = ("⚠ " + each.problem) if each.problem else ""
            fillRow(ui.previewTable, row, each.name, (each.image.name, labels, remark))
        ui.previewWidget.setVisible(True)
        ui.emptyLabel.setVisible(False)
        self._panel.obeyRules()
        self.redraw()

    @property
    def shown(self) -> bool:
        """Whether a folder is looked at, and waits for an answer."""
        return self._folder is not None

    def redraw(self) -> None:
        """Say where the cases will go."""
        ui, project = self._panel.ui, self._panel.session.project
        ui.placeButton.setVisible(project is None)
        where = str(self._place) if project is None else project.name
        words = (
            _("A new project will be made in {where}")
            if project is None
            else _("They are copied into the project {where}")
        )
        ui.previewPlaceLabel.setText(words.format(where=where))
        ui.previewPlaceLabel.setToolTip(where)

    def choosePlace(self) -> None:
        """Ask for another folder for the new project."""
        self._place = chooseFolder(self._panel.widget, _("A new, empty folder for the project")) or self._place
        self.redraw()

    def use(self) -> None:
        """Make the project when there is none, and let a child process copy the cases.

        Raises:
            SemiSupSegError: the folder of the project is taken, or cannot be written.
        """
        session = self._panel.session
        assert self._folder is not None
        if session.project is None:
            assert self._place is not None
            session.create(self._place)
        session.import_folder(self._folder)
        self.hide()

    def hide(self, *_said: Any) -> None:
        """Look at no folder any more."""
        self._panel.ui.previewWidget.setVisible(False)
        asked, self._folder, self._place = self.shown, None, None
        if asked:
            self._panel.fill()

    def _mayUse(self) -> str | None:
        if self._usable == 0:
            return _("Use these: there is no volume that can be used")
        return None if self._panel.session.project is None else self._panel.session.may_import
