"""Rows of a table widget, filled in without losing the place where the person reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import qt

__all__ = ["fillRow", "keyOf", "prepareTable", "setRowCount"]

KEY_ROLE = 256  # Qt.UserRole, which is an enumeration in some versions and a number in others

ROW_HEIGHT, HEADER_HEIGHT = 24, 30  # pixels
MOST_ROWS = 8
"""More are scrolled to."""


def prepareTable(table: Any, titles: Sequence[str], *, stretch: int) -> None:
    """Name the columns; one of them takes the room that is left."""
    table.setColumnCount(len(titles))
    table.setHorizontalHeaderLabels(list(titles))
    table.verticalHeader().setVisible(False)
    table.verticalHeader().setDefaultSectionSize(ROW_HEIGHT)
    header = table.horizontalHeader()
    for column in range(len(titles)):
        mode = qt.QHeaderView.Stretch if column == stretch else qt.QHeaderView.ResizeToContents
        header.setSectionResizeMode(column, mode)


def setRowCount(table: Any, number: int) -> None:
    """Make or remove rows at the end; the table is as high as its rows, up to :data:`MOST_ROWS`."""
    if table.rowCount != number:
        table.setRowCount(number)
    table.setFixedHeight(HEADER_HEIGHT + ROW_HEIGHT * min(max(number, 1), MOST_ROWS))


def fillRow(table: Any, row: int, key: Any, texts: Sequence[str], tips: Sequence[str] = ()) -> None:
    """Write one row; only cells that differ are touched, so a click that is under way does not lose its cell.

    Args:
        table: a table widget.
        row: from 0.
        key: what the row stands for, given back by :func:`keyOf`.
        texts: one a column.
        tips: tooltips, one a column or none at all.
    """
    for column, text in enumerate(texts):
        item = table.item(row, column)
        if item is None:
            item = qt.QTableWidgetItem()
            table.setItem(row, column, item)
        if item.text() != text:
            item.setText(text)
        item.setToolTip(tips[column] if tips else text)
        item.setData(KEY_ROLE, key)


def keyOf(table: Any, row: int) -> Any:
    """What a row stands for; None for no such row."""
    item = table.item(row, 0)
    return None if item is None else item.data(KEY_ROLE)
