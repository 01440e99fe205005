"""How long a stroke takes to show in the browser app, alone and while a job trains on the same cores.

``python Testing/benchmarks/bench_stroke.py [--strokes 20] [--load N]``: from the mouse's step over a point of the axial
view to the first picture in which that point looks otherwise, as the page itself sees it. The training is N processes
that multiply matrices all the time, at the priority that a training has. Needs trame-slicer, playwright and Chromium.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "Testing"), str(REPOSITORY / "Testing" / "browser")]

from strokes import HEADER, busy, row, stroke  # noqa: E402  beside the browser tests

SIZE = (160, 140, 60)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strokes", type=int, default=20)
    parser.add_argument("--load", type=int, default=os.cpu_count() or 2, help="processes of the stand-in training")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        project = make_project(Path(folder))
        print(f"{platform.platform()}, {os.cpu_count()} cores, volume {SIZE}, load average {os.getloadavg()[0]:.1f}")
        print(HEADER)
        for words, load in (("nothing", 0), (f"a training on {args.load} cores", args.load)):
            print(row(words, measure(project, args.strokes, load)))


def make_project(folder: Path) -> Path:
    """One CT of SIZE with one organ of which nothing is known."""
    import numpy as np

    from SemiSupSegLib.project.geometry import Grid, image_from_kji
    from SemiSupSegLib.project.labels import LabelSet
    from SemiSupSegLib.project.project import Project

    project = Project.create(folder / "study", label_set=LabelSet.from_names(["liver"]))
    grid = Grid(SIZE, (2.0, 2.0, 4.0), (0.0, 0.0, 0.0))
    image = np.random.default_rng(0).normal(40, 5, grid.shape).astype(np.int16)
    project.add_case(
        "patient_1", image_from_kji(image, grid), labels=None, annotations={}, modality="CT", who="bench"
    )  # fmt: skip
    return project.root


def measure(project: Path, strokes: int, load: int) -> list[float]:
    """Milliseconds of each stroke."""
    from app_server import ARGUMENTS, CHROMIUM, PATIENCE, PICTURES, Server
    from playwright.sync_api import sync_playwright
    from tab import Tab

    server = Server(str(project))
    try:
        with busy(load), sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
            tab = Tab(browser.new_page(viewport={"width": 1500, "height": 940}), server.address, PICTURES, PATIENCE)
            tab.case("patient_1").wait_for()
            tab.open_case("patient_1")
            tab.choose("liver")
            tab.tool("Paint")
            found = [stroke(tab, number, strokes) for number in range(strokes)]
            browser.close()
    finally:
        server.end()
    return [ms for ms in found if ms is not None]


if __name__ == "__main__":
    main()
