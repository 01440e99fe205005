"""Picture of an adjacency matrix, readable for a handful of labels and for more than a hundred."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ProjectError
from ..project.adjacency import Adjacency, Relation

__all__ = ["write_matrix"]

COLOURS = {
    Relation.SELF: "#9a9a9a",
    Relation.TOUCH: "#2b6cb0",
    Relation.NEVER: "#ffffff",
    Relation.OPEN: "#e6e6e6",
    Relation.OVERLAP: "#7fb3a6",
    Relation.ALLOWED: "#c5a3dc",
    Relation.FORBIDDEN: "#d9822b",
}
"""Told apart in grey as well; few labels carry signs, too."""
MEANING = {
    Relation.TOUCH: "touch (darker: more contacts)",
    Relation.NEVER: "never touch: forbidden",
    Relation.OPEN: "not known: allowed",
    Relation.OVERLAP: "may overlap",
    Relation.ALLOWED: "allowed by the user",
    Relation.FORBIDDEN: "forbidden by the user",
}
SIGNS = {
    Relation.NEVER: "×",
    Relation.OPEN: "?",
    Relation.OVERLAP: "o",
    Relation.ALLOWED: "+",
    Relation.FORBIDDEN: "×!",
}
FEW = 20
"""Up to as many labels have a sign or a number in each cell."""
PALEST = 0.35
"""Share of its colour that the pair with fewest contacts has."""


def write_matrix(graph: Adjacency, path: Path) -> None:
    """Write a PNG: one row and one column a label, the background first.

    Raises:
        ProjectError: matplotlib is not installed, or the file cannot be written.
    """
    try:
        from matplotlib.colors import to_rgb
        from matplotlib.figure import Figure
        from matplotlib.patches import Patch
    except ImportError as error:
        msg = "pictures need matplotlib: pip install matplotlib"
        raise ProjectError(msg) from error
    size, relations = len(graph.names), graph.relations()
    few = size <= FEW + 1
    cell, font = (0.5, 9.0) if few else (0.13, 6.5)  # inches, points
    side = max(4.0, cell * size)
    figure = Figure(figsize=(side + 1.8, side + 2.2), layout="constrained")
    axis = figure.subplots()
    colours = np.array([[to_rgb(COLOURS[relation]) for relation in row] for row in relations])
    depth = _depth(graph)[..., None]
    touch = np.array([[relation is Relation.TOUCH for relation in row] for row in relations])
    colours[touch] = (1 - depth * (1 - colours))[touch]
    axis.imshow(colours, interpolation="nearest")
    _names(axis, graph.names, font)
    if few:
        for a, row in enumerate(relations):
            for b, relation in enumerate(row):
                dark = bool(colours[a, b].mean() < 0.6)
                text = _short(int(graph.counts[a, b])) if relation is Relation.TOUCH else SIGNS.get(relation, "")
                axis.text(b, a, text, ha="center", va="center", fontsize=8, color="white" if dark else "black")
    shown = {relation for row in relations for relation in row}
    handles = [
        Patch(facecolor=COLOURS[relation], edgecolor="black", linewidth=0.5, label=words)
        for relation, words in MEANING.items()
        if relation in shown
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=9, frameon=False)
    cases = f"{len(graph.cases)} annotated case{'' if len(graph.cases) == 1 else 's'}"
    axis.set_title(f"contacts in {cases}, reach {graph.rules.reach}", fontsize=10)
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        msg = f"{path} could not be written ({error.strerror or error})"
        raise ProjectError(msg) from error


def _names(axis: Any, names: tuple[str, ...], font: float) -> None:
    ticks = range(len(names))
    axis.set_xticks(ticks, names, rotation=90, fontsize=font)
    axis.set_yticks(ticks, names, fontsize=font)
    axis.tick_params(length=0)
    borders = np.arange(1, len(names)) - 0.5
    span = (-0.5, len(names) - 0.5)
    axis.hlines(borders, *span, color="#cccccc", linewidth=0.3)
    axis.vlines(borders, *span, color="#cccccc", linewidth=0.3)


def _depth(graph: Adjacency) -> Any:
    """How strong the colour of a contact is, by the logarithm of its number: (K + 1, K + 1) in [PALEST, 1]."""
    logarithm = np.log1p(graph.counts.astype(float))
    return PALEST + (1 - PALEST) * logarithm / max(1e-9, float(logarithm.max()))


def _short(number: int) -> str:
    """At most four characters: ``812``, ``3.1k``, ``54k``, ``2.0M``."""
    for unit, letter in ((1_000_000, "M"), (1000, "k")):
        if number >= unit:
            value = number / unit
            return f"{value:.1f}{letter}" if value < 9.95 else f"{value:.0f}{letter}"
    return str(number)
