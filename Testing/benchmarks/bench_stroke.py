"""How long a stroke takes to show in the browser app, alone and while a job trains on the same cores.

``python Testing/benchmarks/bench_stroke.py [--strokes 20] [--load N]``: from the mouse's step over a point of the axial
view to the first picture in which that point looks otherwise, as the page itself sees it. The training is N processes
that multiply matrices all the time, at the priority that a training has. Needs trame-slicer, playwright and Chromium.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "Testing"), str(REPOSITORY / "Testing" / "browser")]

BUSY = "import numpy as np\na = np.random.rand(600, 600)\nwhile True: a @ a"
SIZE = (160, 140, 60)
APART = 60
"""Pixels between two places of the mouse: more than the brush is wide."""
WATCH = """
([x, y]) => {
  const area = document.querySelector("[data-view='Axial'] .ss-view");
  const shown = () => [...area.querySelectorAll("canvas, img")].find((e) => e.getBoundingClientRect().width > 50);
  const probe = document.createElement("canvas");
  probe.width = probe.height = 3;
  const pen = probe.getContext("2d", { willReadFrequently: true });
  const colour = () => {
    const source = shown(), box = source.getBoundingClientRect();
    const wide = source.naturalWidth || source.width, high = source.naturalHeight || source.height;
    pen.drawImage(source, ((x - box.left) / box.width) * wide - 1, ((y - box.top) / box.height) * high - 1, 3, 3,
                  0, 0, 3, 3);
    return pen.getImageData(1, 1, 1, 1).data;
  };
  const before = [...colour()];
  window.strokeShown = new Promise((resolve) => {
    let passed = null;
    window.addEventListener("pointermove", function heard(event) {
      if (passed === null && Math.hypot(event.clientX - x, event.clientY - y) < 3) {
        passed = performance.now();
        window.removeEventListener("pointermove", heard, true);
      }
    }, true);
    const look = () => {
      const now = colour();
      const apart = Math.max(...[0, 1, 2].map((i) => Math.abs(now[i] - before[i])));
      if (passed !== null && apart > 12) return resolve(performance.now() - passed);
      if (passed !== null && performance.now() - passed > 20000) return resolve(null);
      requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  });
}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strokes", type=int, default=20)
    parser.add_argument("--load", type=int, default=os.cpu_count() or 2, help="processes of the stand-in training")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        project = make_project(Path(folder))
        print(f"{platform.platform()}, {os.cpu_count()} cores, volume {SIZE}, load average {os.getloadavg()[0]:.1f}")
        print("| what else runs | strokes | median ms | 95 % ms | longest ms |\n|---|--:|--:|--:|--:|")
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

    busy = [subprocess.Popen([sys.executable, "-c", BUSY], preexec_fn=lambda: os.nice(10)) for _ in range(load)]
    server = Server(str(project))
    try:
        with sync_playwright() as driver:
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
        for process in busy:
            process.kill()
    return [ms for ms in found if ms is not None]


def stroke(tab: Any, number: int, of: int) -> float | None:
    """One short stroke in a place of its own, and how long its middle took to show."""
    box = tab.view("Axial")
    columns = max(1, round(of**0.5))
    x = box["x"] + box["width"] * (0.25 + 0.5 * (number % columns) / columns)
    y = box["y"] + box["height"] * (0.25 + 0.5 * (number // columns) / columns)
    tab.page.wait_for_timeout(1200)  # the stroke before is stored, and all is at rest
    tab.page.mouse.move(x - APART, y)
    tab.page.wait_for_timeout(600)
    tab.page.evaluate(WATCH, [x, y])
    tab.page.mouse.down()
    tab.page.mouse.move(x, y)
    tab.page.mouse.move(x + APART, y)
    tab.page.mouse.up()
    found = tab.page.evaluate("() => window.strokeShown")
    return None if found is None else float(found)


def row(words: str, found: list[float]) -> str:
    if not found:
        return f"| {words} | 0 | | | |"
    found = sorted(found)
    high = found[min(len(found) - 1, round(0.95 * len(found)))]
    return f"| {words} | {len(found)} | {statistics.median(found):.0f} | {high:.0f} | {found[-1]:.0f} |"


if __name__ == "__main__":
    main()
