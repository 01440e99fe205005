"""Runs: what all tables do: the cohort, one row trained and predicted, and what machine it was on."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

from partial_labels import budget, make_project, semisupseg, split

from .records import Records
from .rows import Row


def cohort(args: argparse.Namespace, name: str = "cohort", **change: Any) -> Path:
    """Folder with ``train/`` and ``test/`` of the table's cases; made once. ``change``: another ``unlabelled``."""
    folder = args.output / name
    if not folder.is_dir():
        unfinished = args.output / f".{name}"
        shutil.rmtree(unfinished, ignore_errors=True)
        split(args.data, unfinished, args.test, labelled=args.labelled, **{"unlabelled": args.unlabelled, **change})
        unfinished.rename(folder)
    return folder


def project(folder: Path, data: Path, **keep: Any) -> Path:
    """A new project at ``folder`` in place of what an interrupted row left there."""
    shutil.rmtree(folder, ignore_errors=True)
    make_project(folder, data, **keep)
    return folder


def train(folder: Path, row: Row, seed: int, args: argparse.Namespace, **changes: Any) -> dict[str, Any]:
    """Train a project with a row's method; what the command said, with ``minutes`` as it took, preparation included.

    ``changes``: ``minutes`` or ``iterations`` in place of the table's, ``from_scratch=False`` to start from the model
    in use.
    """
    limit = budget(changes.get("minutes", args.minutes), changes.get("iterations", args.iterations))
    scratch = ["--from-scratch"] if changes.get("from_scratch", True) else []
    grid = ["--spacing", args.spacing] if args.spacing else []
    grid += ["--activation", args.activation] if args.activation else []
    common = ["--preset", args.preset, *grid, "--seed", seed, "--device", args.device, "--json"]
    begin = time.monotonic()
    said = json.loads(semisupseg("train", folder, *row.words(args.backbone), *scratch, *limit, *common))
    return {**said, "minutes": (time.monotonic() - begin) / 60}


def predict(folder: Path, data: Path, output: Path, args: argparse.Namespace) -> Path:
    """Labels of the test images by the model in use, one deterministic pass; ``output`` is made anew."""
    shutil.rmtree(output, ignore_errors=True)
    # all parts: the tables show both, and keep the largest component themselves
    words = ["--passes", 0, "--maps", "none", "--all-parts", "--device", args.device, "--json"]
    semisupseg("predict", folder, "--images", data / "test" / "images", "--output", output, *words)
    return output


def spacing_of(folder: Path, run: str) -> str:
    """Training grid of a run, X,Y,Z in mm."""
    config = json.loads((folder / "runs" / run / "config.json").read_text(encoding="utf-8"))
    return ",".join(map(str, config["data"]["spacing"]))


def make_rows(
    rows: list[Row], args: argparse.Namespace, records: Records, one: Callable[[Row, int], dict[str, Any]]
) -> list[dict[str, Any]]:
    """Make what is not done yet, seed by seed, so that an interrupted table has whole seeds; all records of the rows.

    Args:
        rows: of the table.
        args: its command line.
        records: where each goes as soon as it is made.
        one: makes a row for a seed; what it returns becomes the record.
    """
    for seed in args.seeds:
        for row in rows:
            if records.has(row.said, seed):
                continue
            load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
            made = one(row, seed)
            records.append({"row": row.said, "seed": seed, "date": f"{date.today()}", "load_before": load, **made})
    wanted = {row.said for row in rows}
    return [r for r in records.all() if r["row"] in wanted and r["seed"] in args.seeds]


def scored(folder: Path, data: Path, output: Path, args: argparse.Namespace, said: dict[str, Any]) -> dict[str, Any]:
    """Predict with the model in use and score: a record of a row that has just been trained."""
    from .scores import scores  # torch, which --help does not need

    grid = spacing_of(folder, said["id"])
    found = scores(predict(folder, data, output, args), data / "test", grid)
    return {"minutes": said["minutes"], "steps": said["step"], "device": said["device"], "spacing": grid,
            "scores": found}  # fmt: skip


def caption(args: argparse.Namespace, records: list[dict[str, Any]]) -> str:
    """One line below each table and plot: machine, budget, seeds, date."""
    limit = f"{args.iterations} steps" if args.iterations else f"{args.minutes:g} minutes"
    devices = "/".join(sorted({str(r.get("device")) for r in records}))
    dates = sorted({r["date"] for r in records})
    loads = [r["load_before"] for r in records if r["load_before"] is not None]
    load = f"; load before the rows {min(loads):.1f} to {max(loads):.1f}" if loads else ""
    return (
        f"{args.data.name}, {limit} a row, last checkpoint, {args.test} test cases, seeds "
        f"{' '.join(map(str, sorted({r['seed'] for r in records})))}; {machine()}, trained on {devices}{load}; "
        f"{' to '.join(dict.fromkeys((dates[0], dates[-1])))}"
    )


def machine() -> str:
    """Processor, cores that this process may use, Python."""
    name, file = platform.processor() or platform.machine(), Path("/proc/cpuinfo")
    if file.is_file():
        lines = [line for line in file.read_text(encoding="utf-8").splitlines() if line.startswith("model name")]
        name = lines[0].partition(":")[2].strip() if lines else name
    there = os.cpu_count() or 1
    used = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else there
    cores = f"{there} cores" if used == there else f"{used} of {there} cores"
    return f"{cores} of {name}, Python {platform.python_version()}"


def publish(args: argparse.Namespace, *parts: str) -> None:
    """Print the table and keep it as ``table.md``."""
    text = "\n\n".join(part for part in parts if part)
    (args.output / "table.md").write_text(text + "\n", encoding="utf-8")
    print(text)
    print(f"\nin {args.output}: table.md, scores.jsonl and the plots", flush=True)
