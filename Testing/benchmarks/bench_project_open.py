"""How long it takes to open a project of 1,000 cases, and to import the package that does.

Prints the time of ``Project.open``, that of a plain loop of ``json.loads`` over the same files, their ratio, and the
time that a fresh Python takes to import the light floor. Medians of 5 runs.

    python Testing/benchmarks/bench_project_open.py [--cases 1000] [--labels 10]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from SemiSupSegLib.project.annotation import Acceptance, Annotation, Region, RegionKind, State
from SemiSupSegLib.project.cases import Case
from SemiSupSegLib.project.labels import LabelSet
from SemiSupSegLib.project.project import Project

REPOSITORY = Path(__file__).parents[2]
RUNS = 5


def make_project(root: Path, cases: int, labels: int) -> None:
    """Case folders as the program leaves them, without volumes, which opening never reads."""
    names = [f"label {n}" for n in range(labels)]
    project = Project.create(root, label_set=LabelSet.from_names(names))
    partial = Annotation(State.PARTIAL, (Region(RegionKind.SLICES, ((10, 20), (40, 44))),))
    source = Acceptance("2026-11-22_0915_smile", "last", "2026-11-22T09:15:00+00:00", "ann", "whole", 12345)
    kinds = [Annotation(State.COMPLETE), Annotation(State.ABSENT), partial, partial.accept(source, region=None)]
    for number in range(cases):
        folder = project.cases_folder / f"case_{number:04d}"
        folder.mkdir()
        said = {name: kinds[(number + n) % len(kinds)] for n, name in enumerate(names)}
        content = (None, "0" * 64)
        entry = project.journal.append(who="ann", action="add", case=folder.name, generation=(0, 1), content=content)
        files = ("image.nii.gz", "labels/0001.seg.nrrd", None)
        case = Case(folder.name, folder, 1, *files, "CT", "train", said, {}, entry.id)
        (folder / "case.json").write_bytes(case.to_bytes())


def plain_loop(root: Path) -> int:
    """The least that any program must do: read and parse every file."""
    return sum(len(json.loads(path.read_bytes())) for path in sorted(root.glob("cases/*/case.json")))


def seconds(action: Callable[[], object]) -> float:
    """Median wall time."""
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def import_seconds(modules: str) -> float:
    """Median time of importing modules in a fresh Python, its own start not counted."""
    script = f"import time; t = time.perf_counter(); import {modules}; print(time.perf_counter() - t)"
    command = [sys.executable, "-c", script]
    runs = [subprocess.run(command, check=True, capture_output=True, text=True, cwd=REPOSITORY) for _ in range(RUNS)]
    return statistics.median(float(run.stdout) for run in runs)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--labels", type=int, default=10)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "project"
        make_project(root, arguments.cases, arguments.labels)
        opening, plain = seconds(lambda: Project.open(root)), seconds(lambda: plain_loop(root))
    whole = import_seconds("SemiSupSegLib.project.project, SemiSupSegLib.project.proposals")
    numpy = import_seconds("numpy, numpy.typing")
    print(f"cases                                 {arguments.cases} with {arguments.labels} labels each")
    print(f"Project.open                          {1000 * opening:8.1f} ms   (bar: 1000 ms)")
    print(f"json.loads over the same files        {1000 * plain:8.1f} ms")
    print(f"ratio                                 {opening / plain:8.2f}")
    print(f"import of project and proposals       {1000 * whole:8.1f} ms   (bar: 300 ms)")
    print(f"  of which numpy                      {1000 * numpy:8.1f} ms")


if __name__ == "__main__":
    main()
