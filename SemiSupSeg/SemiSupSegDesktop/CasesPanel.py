"""CasesPanel: volumes come in, are listed with what is known of them, and are opened. Nothing is ever cleared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

from .Chips import chips
from .FolderPreview import FolderPreview
from .Panel import Panel
from .ProjectMenu import chooseFolder
from .Tables import fillRow, keyOf, prepareTable, setRowCount

__all__ = ["CasesPanel"]

CHIPS = 3


class CasesPanel(Panel):
    """The table of cases, and three ways to more of them.

    Args:
        parent: widget with a layout.
        session: the session.
        loadedVolume: gives image, name and label file of the volume that is shown: see ``LoadedVolume``.
        sampleCohort: makes the synthetic cohort and gives its folder; None where there is none.
    """

    def __init__(
        self,
        parent: Any,
        session: Any,
        loadedVolume: Any,
        sampleCohort: Callable[[], Path] | None,
    ) -> None:
        super().__init__(parent, session)
        self._loadedVolume, self._sampleCohort = loadedVolume, sampleCohort
        self.preview = FolderPreview(self)
        ui = self.ui
        self.bind(
            ui.addFolderButton, self.addFolder, self._mayAdd, _("Shows what a folder holds before anything is copied")
        )
        self.bind(
            ui.addVolumeButton,
            self.addVolume,
            self._mayAddVolume,
            _("Copies the volume that is shown into the project"),
        )
        self.bind(
            ui.sampleButton, self.addSample, self._maySample, _("A SYNTHETIC cohort, made on this computer; no patient")
        )
        titles = (_("case"), _("modality"), _("status"), _("organs"), _("round"), _("score"))
        prepareTable(ui.casesTable, titles, stretch=CHIPS)
        ui.casesTable.connect("cellDoubleClicked(int,int)", lambda row, *_said: self.open(row))
        ui.casesTable.connect("cellActivated(int,int)", lambda row, *_said: self.open(row))
        ui.filterBox.addItem(_("All cases"), "")
        from SemiSupSegLib.session import STATUSES

        for status in STATUSES:
            ui.filterBox.addItem(_(status.capitalize()), status)
        ui.filterBox.connect("currentIndexChanged(int)", lambda *_said: self.fill())
        ui.holdoutButton.connect("clicked()", lambda *_said: self.attempt(self.toggleHoldout))
        self.rule(
            ui.holdoutButton, self._mayHoldOut, _("Keeps the selected case for scores only; training never sees it")
        )
        ui.casesTable.connect("itemSelectionChanged()", self.obeyRules)

    def redraw(self, changed: frozenset[str]) -> None:
        """See :meth:`.Panel.redraw`."""
        if changed & {"project_changed", "cases_changed", "current_case_changed", "queue_changed", "all"}:
            self.fill()
        self.preview.redraw()

    def fill(self) -> None:
        """List the cases of the chosen status."""
        session, ui = self.session, self.ui
        only = str(ui.filterBox.itemData(ui.filterBox.currentIndex) or "")
        rows = session.case_rows(only or None)
        colours = {} if session.project is None else {x.name: tuple(x.colour) for x in session.project.label_set.labels}
        setRowCount(ui.casesTable, len(rows))
        for number, row in enumerate(rows):
            name = ("▶ " if row.current else "") + row.id
            status = row.status + (_(" · held out") if row.split == "holdout" else "")
            score = "" if row.score is None else f"{row.score:.2f}"
            signs = [
                ("◆" if cell.proposed else cell.symbol, colours[cell.label])
                for cell in row.cells
                if cell.label in colours
            ]
            words = "\n".join(
                f"{c.symbol} {c.label}: {c.state}" + (_(" (proposed)") if c.proposed else "") for c in row.cells
            )
            fillRow(ui.casesTable, number, row.id, (name, row.modality, status, "", row.round or "", score),
                    (_("Double-click opens the case"), row.modality, status, words or _("no organ yet"),
                     _("the model that predicted it last"), _("how much its worst proposal needs a look")))  # fmt: skip
            item = ui.casesTable.item(number, CHIPS)
            item.setData(qt.Qt.AccessibleTextRole, words)
            label = qt.QLabel()
            label.setToolTip(words)
            if signs:
                label.setPixmap(chips(signs, self.widget))
            ui.casesTable.setCellWidget(number, CHIPS, label)
        done, every = session.reviewed
        ui.reviewedLabel.setText(_("{done} of {all} reviewed").format(done=done, all=every))
        ui.reviewedBar.setRange(0, max(every, 1))
        ui.reviewedBar.setValue(done)
        ui.casesTable.setVisible(every > 0)
        ui.emptyLabel.setVisible(not rows and not self.preview.shown)
        ui.emptyLabel.setText(
            _("No case has this status.")
            if every
            else _("No case yet: add a folder of volumes, or the volume that is shown.")
        )
        held = [row.id for row in session.case_rows() if row.split == "holdout"]
        told = (
            _("Held out: {cases}").format(cases=", ".join(held))
            if held
            else _("Nothing is held out: no round can be compared with the last.")
        )
        ui.holdoutLabel.setText(told)
        for widget in (ui.holdoutLabel, ui.holdoutButton, ui.filterBox, ui.reviewedLabel, ui.reviewedBar):
            widget.setVisible(every > 0)

    # Commands --------------------------------------------------------------------------------------------------------

    def open(self, row: int) -> None:
        """Show the case of a row; nodes of the one before stay in the scene."""
        case = keyOf(self.ui.casesTable, row)
        if case:
            self.attempt(self.session.show_case, str(case))

    def addFolder(self) -> None:
        """Ask for a folder and show what is in it."""
        folder = chooseFolder(self.widget, _("Folder with volumes"))
        if folder is not None:
            self.preview.show(folder)

    def addSample(self) -> None:
        """Make the synthetic cohort and show what is in it."""
        assert self._sampleCohort is not None
        self.preview.show(self._sampleCohort())

    def addVolume(self) -> None:
        """Add the volume that is shown in the slice views."""
        image, name, labels = self._loadedVolume.read()
        self.session.add_volume(image, name, labels)

    def toggleHoldout(self) -> None:
        """Hold the selected case out, or take it back into training."""
        case = self._selectedCase()
        held = {row.id for row in self.session.case_rows() if row.split == "holdout"}
        self.session.set_holdout(sorted(held ^ {case}))

    # Rules: the session's, and what only the screen knows ------------------------------------------------------------

    def _mayAdd(self) -> str | None:
        return None if self.session.project is None else self.session.may_import

    def _mayAddVolume(self) -> str | None:
        return self.session.may_import or self._loadedVolume.missing

    def _maySample(self) -> str | None:
        if self._sampleCohort is None:
            return _("Sample data: they are not part of this installation")
        return self._mayAdd()

    def _mayHoldOut(self) -> str | None:
        reason = self.session.may_set_holdout
        return reason or (None if self._selectedCase() else _("Hold out: select a case in the table first"))

    def _selectedCase(self) -> str | None:
        table = self.ui.casesTable
        row = table.currentRow()
        return str(keyOf(table, row)) if row >= 0 and keyOf(table, row) else None
