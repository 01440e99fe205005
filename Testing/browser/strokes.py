"""Strokes that are timed: how long one takes to show, alone and beside a training on the same processors.

From the mouse's step over a point of the axial view to the first picture in which that point looks otherwise, as the
page itself sees it. The training is processes that multiply matrices all the time, at the priority that a training has.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["HEADER", "busy", "row", "stroke"]

BUSY = "import numpy as np\na = np.random.rand(600, 600)\nwhile True: a @ a"
APART = 60
"""Pixels between two places of the mouse: more than the brush is wide."""
COLUMNS = 3
"""Of strokes: none crosses the place of another, which would look no different then."""
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
HEADER = "| what else runs | strokes | median ms | 95 % ms | longest ms |\n|---|--:|--:|--:|--:|"


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """Something else computes meanwhile."""
    running = [subprocess.Popen([sys.executable, "-c", BUSY], preexec_fn=lambda: os.nice(10)) for _ in range(processes)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def stroke(tab: Any, number: int, of: int) -> float | None:
    """One short stroke in a place of its own, and how long its middle took to show."""
    box = tab.view("Axial")
    rows = -(-of // COLUMNS)
    x = box["x"] + box["width"] * (0.2 + 0.6 * (number % COLUMNS) / COLUMNS)
    y = box["y"] + box["height"] * (0.25 + 0.5 * (number // COLUMNS) / rows)
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
    """Of the table below :data:`HEADER`; milliseconds."""
    if not found:
        return f"| {words} | 0 | | | |"
    found = sorted(found)
    high = found[min(len(found) - 1, round(0.95 * len(found)))]
    return f"| {words} | {len(found)} | {statistics.median(found):.0f} | {high:.0f} | {found[-1]:.0f} |"
