"""AdjacencyTable: which organs may touch, as the annotated cases show it and as the person says; a click changes it."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from SemiSupSegLib.session.touching import CONTACT_LEGEND as LEGEND
from SemiSupSegLib.session.touching import CONTACT_SIGNS as SIGNS

from .Tables import fillRow, keyOf, prepareTable, setRowCount

__all__ = ["AdjacencyTable"]

HOLDS = 2


class AdjacencyTable:
    """Inside the panel of organs, below "Adjacency rules…"; no window of its own.

    Args:
        panel: the :class:`~.OrgansPanel.OrgansPanel` with the widgets.
    """

    def __init__(self, panel: Any) -> None:
        self._panel, self._session = panel, panel.session
        ui = panel.ui
        prepareTable(ui.adjacencyTable, (_("organ"), _("organ"), _("may they touch?"), _("contacts")), stretch=HOLDS)
        ui.adjacencyTable.connect("cellClicked(int,int)", lambda row, *_said: self.change(row))
        ui.adjacencyTable.connect("cellActivated(int,int)", lambda row, *_said: self.change(row))
        ui.adjacencyButton.connect("toggled(bool)", lambda on: panel.attempt(self.show, on))
        panel.rule(
            ui.adjacencyButton,
            lambda: self._session.may_count_contacts,
            _("Which organs touch in the annotated cases, and what you say about it"),
        )
        ui.adjacencyWidget.setVisible(False)

    def show(self, on: bool) -> None:
        """Count and show the pairs, or fold them away.

        Raises:
            ProjectError: ``session.may_count_contacts`` gives a reason.
        """
        self._panel.ui.adjacencyWidget.setVisible(on)
        if on:
            self._session.count_contacts()
            self._fill()

    def redraw(self, changed: frozenset[str]) -> None:
        """Show what was counted or said meanwhile; counted anew when organs or states changed."""
        ui = self._panel.ui
        if not ui.adjacencyButton.checked:
            return
        if self._session.may_count_contacts is not None:
            ui.adjacencyButton.setChecked(False)
        elif changed & {"project_changed", "cases_changed"} and not self._session.counting_contacts:
            self._panel.attempt(self._session.count_contacts)
            self._fill()
        elif changed & {"contacts_changed", "all"}:
            self._fill()

    def change(self, row: int) -> None:
        """What a click on a pair does."""
        pair = keyOf(self._panel.ui.adjacencyTable, row)
        found = [r for r in self._session.contact_rows() if (r.first, r.second) == tuple(pair or ())]
        for each in found:
            self._panel.attempt(self._session.set_contact, each.first, each.second, self._session.next_contact(each))

    def _fill(self) -> None:
        ui, rows = self._panel.ui, self._session.contact_rows()
        ui.adjacencyLabel.setText(f"{_(LEGEND)}\n{self._session.contacts_words}".strip())
        table = ui.adjacencyTable
        setRowCount(table, len(rows))
        for number, row in enumerate(rows):
            refused = self._session.may_set_contact(row.first, row.second)
            words = f"{SIGNS.get(row.relation, '')} {_(row.words)}"
            tips = (row.first, row.second, refused or _(LEGEND), _("pairs of neighbouring voxels"))
            fillRow(table, number, (row.first, row.second), (row.first, row.second, words, str(row.contacts)), tips)
        table.setVisible(bool(rows))
