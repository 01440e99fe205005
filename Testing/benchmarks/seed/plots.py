"""Plots, each with its caption below. Files only: no window is opened."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.colors import ListedColormap
from numpy.typing import NDArray

from .markdown import Column, value

INK, POINT, WRONG = "#1b3a57", "#7aa6c2", "#c0392b"


def save(figure: Any, path: Path, caption: str) -> None:
    """Write a figure with its caption and close it."""
    lines = textwrap.wrap(caption, int(figure.get_figwidth() * 15))
    figure.tight_layout(rect=(0, 0.05 * len(lines) * 3.6 / figure.get_figheight(), 1, 1))
    figure.text(0.01, 0.01, "\n".join(lines), fontsize=7, va="bottom", color="#555555")
    figure.savefig(path, dpi=130)
    plt.close(figure)


def points_of_rows(
    rows: dict[str, list[dict[str, Any]]], columns: Sequence[Column], components: str, path: Path, caption: str
) -> None:
    """One panel a metric: every case of every seed as a point, the mean of a row as a bar."""
    figure, axes = plt.subplots(1, len(columns), figsize=(3.4 * len(columns), 1.6 + 0.4 * len(rows)), squeeze=False)
    for axis, column in zip(axes[0], columns, strict=True):
        for place, records in enumerate(rows.values()):
            entries = [e for r in records for e in r["scores"] if e["components"] == components]
            values = np.array([value(e, column) for e in entries])
            jitter = np.linspace(-0.22, 0.22, len(values)) if len(values) else np.zeros(0)
            axis.plot(values, place + jitter, ".", color=POINT, markersize=4)
            if np.isfinite(values).any():
                axis.plot([np.nanmean(values)] * 2, [place - 0.3, place + 0.3], color=INK, linewidth=2)
        axis.set_yticks(range(len(rows)), list(rows) if axis is axes[0][0] else [""] * len(rows))
        axis.set_ylim(len(rows) - 0.5, -0.5)
        axis.set_xlabel(column.title)
        axis.grid(axis="x", alpha=0.3)
    save(figure, path, f"{components} components; bars: means; {caption}")


def curves(
    lines: dict[str, list[tuple[float, float, float]]], labels: tuple[str, str], path: Path, caption: str
) -> None:
    """One line each: (x, mean, deviation) at its points; ``labels`` of x and y. Names stand above, where no line is."""
    figure, axis = plt.subplots(figsize=(5.4, 3.4 + 0.2 * len(lines)))
    for name, points in lines.items():
        x, mean, deviation = (np.array(part) for part in zip(*points, strict=True))
        axis.errorbar(x, mean, np.nan_to_num(deviation), marker="o", capsize=3, label=name)
    axis.set_xlabel(labels[0])
    axis.set_ylabel(labels[1])
    axis.grid(alpha=0.3)
    axis.legend(loc="lower left", bbox_to_anchor=(0, 1), frameon=False, fontsize=8)
    save(figure, path, caption)


def panels_of_rounds(
    panels: dict[str, dict[str, list[list[float]]]], labels: tuple[str, str], path: Path, caption: str
) -> None:
    """One panel each, with one line a name: the mean over repetitions, which are thin lines; x counts from 1. A name
    has the same colour in all panels."""
    names = list(dict.fromkeys(name for lines in panels.values() for name in lines))
    figure, axes = plt.subplots(1, len(panels), figsize=(2.9 * len(panels), 3.4), squeeze=False, sharey=True)
    for axis, (title, lines) in zip(axes[0], panels.items(), strict=True):
        for name, repetitions in lines.items():
            number = names.index(name)
            longest = max(map(len, repetitions))
            table = np.full((len(repetitions), longest), np.nan)
            for place, repetition in enumerate(repetitions):
                table[place, : len(repetition)] = repetition
                axis.plot(range(1, len(repetition) + 1), repetition, color=f"C{number}", linewidth=0.5, alpha=0.5)
            there = np.isfinite(table).any(axis=0)
            mean = np.nanmean(table[:, there], axis=0)
            axis.plot(np.arange(1, longest + 1)[there], mean, marker="o", color=f"C{number}", label=name)
        axis.set_title(title, fontsize=9)
        axis.set_xlabel(labels[0])
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(alpha=0.3)
    axes[0][0].set_ylabel(labels[1])
    axes[0][0].set_ylim(0, 1.02)
    fullest = max(axes[0], key=lambda axis: len(axis.get_legend_handles_labels()[1]))
    fullest.legend(fontsize=7)
    save(figure, path, caption)


def matrices(found: dict[str, NDArray[np.bool_]], allowed: NDArray[np.bool_], path: Path, caption: str) -> None:
    """Contacts of labels side by side: dark where there is one that ``allowed`` has, red where it has not."""
    figure, axes = plt.subplots(1, len(found), figsize=(3.3 * len(found), 4.2), squeeze=False)
    colours = ListedColormap(["white", INK, WRONG])
    for axis, (title, contacts) in zip(axes[0], found.items(), strict=True):
        kind = np.where(contacts & ~allowed, 2, np.where(contacts, 1, 0))
        axis.imshow(kind, cmap=colours, vmin=0, vmax=2, interpolation="nearest")
        wrong = int((contacts & ~allowed).sum()) // 2
        axis.set_title(f"{title}\n{int(np.triu(contacts, 1).sum())} contacts, {wrong} of them forbidden", fontsize=8)
        axis.set_xticks([])
        axis.set_yticks([])
    save(figure, path, f"red: contacts that the labelled cases do not have; {caption}")
