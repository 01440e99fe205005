"""TrainingCurve: losses and score of a training as a small picture (SVG) of the page; drawn here, fetched nowhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["trainingCurve"]

WIDTH, HEIGHT, MARGIN = 380, 130, 16
COLOURS = ("#4e9bdc", "#e08a3c", "#7fb069", "#c77dba", "#9a9a9a")
DICE = "#d6b400"
Points = Sequence[tuple[int, float]]


def trainingCurve(curves: Any) -> str:
    """The picture; empty before the first values.

    Args:
        curves: a :class:`~SemiSupSegLib.session.Curves`. Losses are drawn each to its own largest value, the score on
            the hold-out from 0 to 1.
    """
    everything = [*curves.losses.values(), curves.dice]
    steps = [step for points in everything for step, _value in points]
    if not steps:
        return ""
    last = max(*steps, 1)
    lines, names = [], []
    for (name, points), colour in zip(list(curves.losses.items())[: len(COLOURS)], COLOURS, strict=False):
        top = max((abs(value) for _step, value in points), default=0) or 1.0
        lines.append(_line(points, last, top, colour))
        names.append(f'<tspan fill="{colour}">— {_safe(name)} </tspan>')
    if curves.dice:
        lines.append(_line(curves.dice, last, 1.0, DICE, width=2.5))
        names.append(f'<tspan fill="{DICE}">━ Dice on the hold-out </tspan>')
    if curves.best:
        x, y = _place(curves.best[0], curves.best[1], last, 1.0)
        lines.append(f'<text x="{x:.1f}" y="{y + 4:.1f}" text-anchor="middle" fill="{DICE}">◆</text>')
    axis = (
        f'<path d="M{MARGIN} {MARGIN} V{HEIGHT - MARGIN} H{WIDTH - MARGIN}" stroke="#888" fill="none"/>'
        f'<text x="{WIDTH - MARGIN}" y="{HEIGHT - 3}" text-anchor="end" fill="#888">step {last}</text>'
    )
    head = f'<text x="{MARGIN}" y="11">{"".join(names)}</text>'
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" font-size="10" role="img">{axis}{"".join(lines)}{head}</svg>'


def _place(step: int, value: float, last: int, top: float) -> tuple[float, float]:
    x = MARGIN + (WIDTH - 2 * MARGIN) * step / last
    return x, HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * min(max(value / top, 0.0), 1.0)


def _line(points: Points, last: int, top: float, colour: str, width: float = 1.2) -> str:
    places = " ".join("{:.1f},{:.1f}".format(*_place(step, value, last, top)) for step, value in points)
    return f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="{width}"/>'


def _safe(name: str) -> str:
    return name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
