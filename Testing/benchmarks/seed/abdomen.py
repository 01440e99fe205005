"""Table (c): organs whose annotations are removed at random: naive, SMILE, SMILEr over the missing rate (METHODS 5)."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from partial_labels import fit

from SemiSupSegLib.jobs.state import describe, runs
from SemiSupSegLib.project.project import Project

from .arguments import Table, settings
from .markdown import Column, by_row, markdown, methods_table, spread
from .plots import curves, panels_of_rounds
from .records import Records
from .rows import Row
from .runs import caption, cohort, make_rows, project, publish, scored

SAME = "smile"
"""What all methods are where nothing is missing."""

COLUMNS = (
    Column("Dice", "dice"),
    Column("Jaccard", "jaccard"),
    Column("95HD mm", "hd95_medpy_mm", 1, "diagonal"),
    Column("ASSD mm", "assd_medpy_mm", 1, "diagonal"),
)
MEANING = (
    "Each annotation of each training case is removed with probability `missing`, the same ones for all methods of a "
    "seed. SMILEr's budget covers its first model and all rounds. A case has the mean of its organs; distances are the "
    "volume's diagonal where nothing is predicted. Where nothing is missing all three are SMILE, and made once. "
    "mean ± standard deviation over cases (s: over seeds)."
)
ROUNDS_MEANING = (
    "Share TP / (TP + FP) of the voxels that SMILEr has added up to a round that are right, mean over seeds "
    "(– where an organ had none added):"
)


def make(args: argparse.Namespace) -> None:
    """A project for each missing rate, method and seed: the table, the curve and the precision of each round."""
    wanted = [(rate, method) for rate in args.missing for method in methods_at(rate, args.methods)]
    rows = [Row(f"{method} at {rate:g}", method, None, ()) for rate, method in wanted]
    rate_of = {row.said: rate for row, (rate, _) in zip(rows, wanted, strict=True)}
    records = Records(args.output, settings(args))
    data = cohort(args)

    def one(row: Row, seed: int) -> dict[str, Any]:
        rate = rate_of[row.said]
        folder = project(args.output / "project", data, keep=round(1 - rate, 6), seed=seed)
        kept = sum(a.annotated for case in Project.open(folder).cases.values() for a in case.annotations.values())
        minutes, said = fit(folder, row.method, args, seed=seed, reference=data / "train")
        done = runs(folder / "runs")
        steps = sum(describe(run)["step"] or 0 for run in done)
        about = {"id": done[-1].id, "minutes": minutes, "step": steps, "device": describe(done[-1])["device"]}
        found = scored(folder, data, args.output / "predictions", args, about)
        return {**found, "method": row.method, "missing": rate, "kept": kept, "rounds": said.get("rounds", [])}

    report(args, make_rows(rows, args, records, one), [row.said for row in rows])


def methods_at(rate: float, methods: Sequence[str]) -> Sequence[str]:
    """Where nothing is missing, all methods are SMILE: nothing is taken for background, nothing is there to relabel."""
    return methods if rate or SAME not in methods else [SAME]


def report(args: argparse.Namespace, records: list[dict[str, Any]], order: list[str]) -> None:
    """Table and plots."""
    by_name, said = by_row(records, order), caption(args, records)
    kept = {r["missing"]: [] for r in records}
    for r in records:
        kept[r["missing"]].append(r["kept"])
    left = ", ".join(f"{min(n)}–{max(n)} at {rate:g}" for rate, n in sorted(kept.items()))
    parts = [f"{said}. Annotations left: {left}.", MEANING]
    for components in ("all", "largest"):
        title = "As predicted:" if components == "all" else "Only the largest component of each label:"
        parts += [title, methods_table(by_name, COLUMNS, components)]
    parts += [per_label(by_name), rounds_table(records)]
    curves(_curve(records), ("missing rate", "mean Dice of the test cases"), args.output / "abdomen_dice.png",
           f"bars: standard deviation over seeds; {said}")  # fmt: skip
    precision = precisions(records)
    if precision:
        panels = {f"{method}, missing {rate:g}": precision[method, rate] for method, rate in sorted(precision)}
        labels = ("round", "share of the added voxels that is right")
        panels_of_rounds(panels, labels, args.output / "abdomen_precision.png", f"thin: single seeds; {said}")
    publish(args, *parts)


def per_label(rows: dict[str, list[dict[str, Any]]]) -> str:
    """Mean Dice of each label, as predicted."""
    labels = list(dict.fromkeys(e["label"] for own in rows.values() for r in own for e in r["scores"]))
    lines = []
    for name, own in rows.items():
        cells = []
        for label in labels:
            part = [{**r, "scores": [e for e in r["scores"] if e["label"] == label]} for r in own]
            cells.append(f"{spread(part, Column('Dice', 'dice'), 'all').mean:.3f}")
        lines.append([name, *cells])
    return "Dice of each organ:\n\n" + markdown(["method", *labels], lines)


def precisions(records: list[dict[str, Any]]) -> dict[tuple[str, float], dict[str, list[list[float]]]]:
    """By method and missing rate, then label: the precision of each round, one list a seed; NaN where none was
    added."""
    found: dict[tuple[str, float], dict[str, list[list[float]]]] = {}
    for record in records:
        labels = list(record["rounds"][0]["precision"]) if record["rounds"] else []
        for label in labels:
            values = [one["precision"][label] for one in record["rounds"]]
            if any(v is not None for v in values):
                own = found.setdefault((record["method"], record["missing"]), {})
                own.setdefault(label, []).append([float("nan") if v is None else float(v) for v in values])
    return found


def rounds_table(records: list[dict[str, Any]]) -> str:
    """Relabel precision per round; empty without SMILEr."""
    found = precisions(records)
    labels = list(dict.fromkeys(label for own in found.values() for label in own))
    lines = []
    for (method, rate), own in found.items():
        for number in range(max(len(values) for lists in own.values() for values in lists)):
            cells = []
            for label in labels:
                values = [v[number] for v in own.get(label, []) if len(v) > number and v[number] == v[number]]
                cells.append(f"{sum(values) / len(values):.3f}" if values else "–")
            lines.append([method, f"{rate:g}", str(number + 1), *cells])
    return f"{ROUNDS_MEANING}\n\n{markdown(['method', 'missing', 'round', *labels], lines)}" if lines else ""


def _curve(records: list[dict[str, Any]]) -> dict[str, list[tuple[float, float, float]]]:
    lines: dict[str, list[tuple[float, float, float]]] = {}
    for method in dict.fromkeys(r["method"] for r in records):
        for rate in sorted({r["missing"] for r in records}):
            own = [r for r in records if (r["method"], r["missing"]) == (method if rate else SAME, rate)]
            if not own:
                continue
            dice = spread(own, Column("Dice", "dice"), "all")
            lines.setdefault(method, []).append((rate, dice.mean, dice.seeds))
    return lines


def _more(parser: argparse.ArgumentParser) -> None:
    rates = [0.0, 0.3, 0.5, 0.7, 0.9]
    parser.add_argument("--missing", type=_rate, nargs="+", default=rates, help="missing rates (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="of SMILEr (default: %(default)s)")


def _rate(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a share from 0 to below 1")
    return value


TABLE = Table(
    summary="abdomen: naive, SMILE and SMILEr over the share of annotations that is missing; relabel precision",
    data="abdomen_mr",
    spacing=None,
    labelled=None,
    test=3,
    methods=("naive", "smile", "smiler"),
    make=make,
    more=_more,
)
