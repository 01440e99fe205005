"""Markdown tables: mean, standard deviation over cases, and over seeds, of records."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Empty = Literal["zero", "diagonal", "missing"]


@dataclass(frozen=True)
class Column:
    """One metric of a table."""

    title: str
    metric: str
    """Key of an entry of a record's scores."""
    digits: int = 3
    empty: Empty = "zero"
    """What a distance counts as where nothing was predicted: 0 as in the papers' programs, the volume's diagonal, or
    not at all."""


@dataclass(frozen=True)
class Spread:
    """A metric over the seeds and cases of a row; NaN where there is none (fewer than two)."""

    mean: float
    cases: float
    """Sample standard deviation over the cases, each averaged over the seeds."""
    seeds: float
    """Sample standard deviation over the seeds, each averaged over the cases."""


def value(entry: dict[str, Any], column: Column) -> float:
    """The metric of one label of one case; NaN where it does not exist."""
    found = entry[column.metric]
    if found is not None:
        return float(found)
    if column.empty == "zero":
        return 0.0
    unit = "voxels" if column.metric.endswith("voxels") else "mm"
    return float(entry[f"diagonal_{unit}"]) if column.empty == "diagonal" else math.nan


def spread(records: Iterable[dict[str, Any]], column: Column, components: str) -> Spread:
    """Mean and deviations of a metric; of several labels a case has the mean of those that the reference has."""
    by_place: dict[tuple[int, str], list[float]] = {}
    for record in records:
        for entry in record["scores"]:
            if entry.get("components", components) == components:
                by_place.setdefault((record["seed"], entry["case"]), []).append(value(entry, column))
    means = {place: _mean(found) for place, found in by_place.items()}
    cases, seeds = ([_mean(v for p, v in means.items() if p[part] == one) for one in {p[part] for p in means}]
                    for part in (1, 0))  # fmt: skip
    return Spread(_mean(means.values()), _deviation(cases), _deviation(seeds))


def cell(found: Spread, digits: int) -> str:
    """``mean ± cases (s seeds)``; what does not exist is left out."""
    if math.isnan(found.mean):
        return "–"
    words = f"{found.mean:.{digits}f}"
    if not math.isnan(found.cases):
        words += f" ± {found.cases:.{digits}f}"
    return words if math.isnan(found.seeds) else f"{words} (s {found.seeds:.{digits}f})"


def markdown(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def by_row(records: Iterable[dict[str, Any]], order: Sequence[str] = ()) -> dict[str, list[dict[str, Any]]]:
    """Records of each row, in an order; those that it does not name come last."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in order}
    for record in records:
        found.setdefault(record["row"], []).append(record)
    return {name: own for name, own in found.items() if own}


def methods_table(
    rows: dict[str, list[dict[str, Any]]], columns: Sequence[Column], components: str, *, extra: Sequence[Column] = ()
) -> str:
    """One line a row: seeds, steps, the metrics, how often nothing was predicted, minutes.

    Args:
        rows: from :func:`by_row`.
        columns: metrics of the test cases.
        components: ``all`` or ``largest``.
        extra: metrics of whole cases, in a record's ``cases``.
    """
    titles = ["method", "seeds", "steps", *(c.title for c in (*columns, *extra)), "empty", "minutes"]
    lines = []
    for name, records in rows.items():
        entries = [e for r in records for e in r["scores"] if e["components"] == components]
        steps = "/".join(str(r.get("steps", "–")) for r in records)
        cells = [cell(spread(records, column, components), column.digits) for column in columns]
        whole = [{**record, "scores": record.get("cases", [])} for record in records]
        cells += [cell(spread(whole, column, components), column.digits) for column in extra]
        empty = f"{sum(e['empty'] for e in entries)} of {len(entries)}"
        minutes = f"{_mean(r['minutes'] for r in records):.1f}"
        lines.append([name, "/".join(str(r["seed"]) for r in records), steps, *cells, empty, minutes])
    return markdown(titles, lines)


def _mean(values: Iterable[float]) -> float:
    real = [v for v in values if not math.isnan(v)]
    return float(np.mean(real)) if real else math.nan


def _deviation(values: Iterable[float]) -> float:
    real = [v for v in values if not math.isnan(v)]
    return float(np.std(real, ddof=1)) if len(real) > 1 else math.nan
