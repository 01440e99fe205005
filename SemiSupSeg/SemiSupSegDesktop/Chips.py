"""Chips: the state of an organ as a small picture, a sign in a frame of the organ's colour. Never colour alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import qt

__all__ = ["chip", "chips", "isDark", "swatch"]

SIZE = 18
GAP = 2


def isDark(widget: Any) -> bool:
    """Whether Slicer shows light text on a dark ground."""
    return widget.palette.color(qt.QPalette.Window).lightness() < 128


def chips(signs: Sequence[tuple[str, tuple[int, int, int]]], widget: Any) -> Any:
    """Signs side by side.

    Args:
        signs: sign and colour of the organ, red, green, blue 0 to 255; at least one.
        widget: whose font and text colour are used.
    """
    number = len(signs)
    picture = qt.QPixmap(number * SIZE + (number - 1) * GAP, SIZE)
    picture.fill(qt.QColor(0, 0, 0, 0))
    painter = qt.QPainter()
    painter.begin(picture)
    painter.setRenderHint(qt.QPainter.Antialiasing)
    for place, (sign, colour) in enumerate(signs):
        _paint(painter, place * (SIZE + GAP), sign, colour, widget)
    painter.end()
    return picture


def chip(sign: str, colour: tuple[int, int, int], widget: Any) -> Any:
    """One sign."""
    return chips([(sign, colour)], widget)


def swatch(colour: tuple[int, int, int]) -> Any:
    """A square of an organ's colour."""
    picture = qt.QPixmap(12, 12)
    picture.fill(qt.QColor(*colour))
    return picture


def _paint(painter: Any, left: int, sign: str, colour: tuple[int, int, int], widget: Any) -> None:
    painter.setPen(qt.QPen(qt.QColor(*colour), 2))
    ground = qt.QColor(*colour)
    ground.setAlpha(0 if sign == "?" else 60)  # what is not annotated looks empty
    painter.setBrush(qt.QBrush(ground))
    painter.drawRoundedRect(left + 1, 1, SIZE - 2, SIZE - 2, 4, 4)
    painter.setPen(qt.QPen(widget.palette.color(qt.QPalette.Text)))
    painter.drawText(qt.QRect(left, 0, SIZE, SIZE), qt.Qt.AlignCenter, sign)
