"""OrgansPanel: what is known of each organ in the case that is shown. A click changes it."""

from __future__ import annotations

from typing import Any

import qt
from slicer.i18n import tr as _

from .AdjacencyTable import AdjacencyTable
from .Chips import chip, swatch
from .Panel import Panel
from .Tables import fillRow, keyOf, prepareTable, setRowCount

__all__ = ["OrgansPanel"]

NAME, STATE = 0, 1
IN_WORDS = {"unknown": _("not annotated"), "partial": _("partial"), "complete": _("complete"), "absent": _("absent")}


class OrgansPanel(Panel):
    """The table of organs: click the state to change it, the right button gives all choices, a name can be edited."""

    def __init__(self, parent: Any, session: Any) -> None:
        super().__init__(parent, session)
        from SemiSupSegLib.session import LEGEND

        ui = self.ui
        ui.legendLabel.setText(LEGEND)
        table = ui.organsTable
        prepareTable(table, (_("organ"), _("state in this case"), _("finished")), stretch=2)
        table.setEditTriggers(qt.QAbstractItemView.DoubleClicked)
        table.setContextMenuPolicy(qt.Qt.CustomContextMenu)
        table.connect("cellClicked(int,int)", self._clicked)
        table.connect("cellActivated(int,int)", lambda row, column: self._clicked(row, column, key=True))
        table.connect("customContextMenuRequested(QPoint)", self._menuAt)
        table.connect("itemChanged(QTableWidgetItem*)", self._renamed)
        ui.nameEdit.connect("textChanged(QString)", lambda *_said: self.obeyRules())
        ui.nameEdit.connect("returnPressed()", lambda *_said: self.attempt(self.addOrgan))
        self.bind(
            ui.addOrganButton,
            self.addOrgan,
            lambda: session.may_add_organ(ui.nameEdit.text),
            _("It is ? in every case"),
        )
        self.adjacency = AdjacencyTable(self)
        self._filling = False
        self.menu: Any = None

    def redraw(self, changed: frozenset[str]) -> None:
        """See :meth:`.Panel.redraw`."""
        self.adjacency.redraw(changed)
        if not changed & {"project_changed", "organs_changed", "current_case_changed", "queue_changed", "all"}:
            return
        session, ui = self.session, self.ui
        case = session.current_case
        ui.caseLabel.setText(
            _("In case {case}:").format(case=case.id) if case else _("No case is shown: double-click one above.")
        )
        rows = session.organ_rows()
        self._filling = True
        setRowCount(ui.organsTable, len(rows))
        for number, row in enumerate(rows):
            self._fill(number, row, shown=case is not None)
        self._filling = False
        ui.organsTable.setVisible(bool(rows))

    def _fill(self, number: int, row: Any, *, shown: bool) -> None:
        state = str(row.state)
        words = IN_WORDS.get(state, state) + (_(" · ◆ proposed") if row.proposed else "")
        does = _("Click: {sign} {state}").format(sign="", state=IN_WORDS.get(str(row.next_state), str(row.next_state)))
        refused = self.session.may_set_state(row.name, row.next_state) if shown else _("Open a case first")
        rest = " · ".join(filter(None, (row.finished, row.accepted)))
        table = self.ui.organsTable
        name = row.name + (f"\n{row.terminology}" if row.terminology else "")
        fillRow(table, number, row.name, (row.name, words if shown else "", rest), (name, refused or does, rest))
        table.item(number, NAME).setIcon(qt.QIcon(swatch(row.colour)))
        table.item(number, STATE).setIcon(qt.QIcon(chip(row.symbol if shown else " ", row.colour, self.widget)))
        for column in (STATE, 2):
            item = table.item(number, column)
            item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable)

    # Commands --------------------------------------------------------------------------------------------------------

    def cycle(self, row: int) -> None:
        """What a click on the state of a row does."""
        self.attempt(self.session.cycle, str(keyOf(self.ui.organsTable, row)))

    def addOrgan(self) -> None:
        """Add the organ whose name was typed.

        Raises:
            ProjectError: ``session.may_add_organ`` gives a reason.
        """
        self.session.add_organ(self.ui.nameEdit.text)
        self.ui.nameEdit.setText("")

    def choices(self, label: str) -> Any:
        """The menu of one organ; what may not be chosen says why."""
        from SemiSupSegLib.project.annotation import State
        from SemiSupSegLib.session import SYMBOLS

        menu = qt.QMenu(self.widget)
        menu.setToolTipsVisible(True)
        everywhere = menu.addMenu(_("Apply to all cases"))
        for state in (State.UNKNOWN, State.COMPLETE, State.ABSENT):
            words = f"{SYMBOLS[state]}  {IN_WORDS[str(state)]}"
            here = menu.addAction(words)
            reason = self.session.may_set_state(label, state) if self.session.current_case else _("open a case first")
            here.setEnabled(reason is None)
            here.setToolTip(reason or "")
            here.connect("triggered()", lambda *_s, state=state: self.attempt(self.session.set_state, label, state))
            there = everywhere.addAction(words)
            there.setEnabled(self.session.may_change is None)
            there.setToolTip(self.session.may_change or _("In every case where that may be; the others are named"))
            there.connect("triggered()", lambda *_s, state=state: self.attempt(self.session.apply_to_all, label, state))
        return menu

    def _clicked(self, row: int, column: int, *, key: bool = False) -> None:
        if column == STATE or (key and column != NAME):
            self.cycle(row)

    def _menuAt(self, point: Any) -> None:
        item = self.ui.organsTable.itemAt(point)
        if item is not None:
            self.menu = self.choices(str(keyOf(self.ui.organsTable, item.row())))
            self.menu.popup(self.ui.organsTable.viewport().mapToGlobal(point))

    def _renamed(self, item: Any) -> None:
        if self._filling or item.column() != NAME:
            return
        old, new = str(keyOf(self.ui.organsTable, item.row())), item.text()
        if old != new and not self.attempt(self.session.rename_organ, old, new):
            self.redraw(frozenset({"all"}))
