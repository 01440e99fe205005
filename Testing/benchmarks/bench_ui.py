"""How long the panel keeps the person waiting: the longest stretch in which no event is handled, for each thing done.

    python Testing/benchmarks/bench_ui.py              # a small project, and one case of 512 x 512 x 300 with 10 organs
    python Testing/benchmarks/bench_ui.py --size 128   # the large case has 128 x 128 x 75 voxels

It drives the real panel under PySide6 over the real MRML scene; nothing is drawn in slice views. Needs slicer-core and
PySide6; a step that goes on in a thread or a child is followed to its end, and its longest stretch counts. "Of it
computing" is what the panel's own thread computes in such a stretch, which a busy machine does not lengthen; the clock
also counts what others take away, on one core the reading thread among them.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

REPOSITORY = Path(__file__).parents[2]
for _folder in (REPOSITORY, *(REPOSITORY / name for name in ("SemiSupSeg", "Testing/scene", "Testing/desktop"))):
    sys.path.insert(0, str(_folder))

LIMIT = 0.2
"""Seconds: what nobody takes for a stall (G21)."""
ORGANS = 10
BREATH = 0.002


class Stopwatch:
    """Does one thing after the other and notes the longest time between two looks at the events."""

    def __init__(self, application: Any, screen: Any) -> None:
        self.application, self.screen = application, screen
        self.rows: list[tuple[str, float, float, float]] = []

    def does(self, words: str, call: Callable[[], object], until: Callable[[], object] = lambda: True) -> None:
        """Do something, let events be handled until it is over, and note how long the longest turn was."""
        begin = time.perf_counter()
        turns = [self._turn(call), self._turn(self.application.processEvents)]
        while not until():
            turns += [self._turn(look) for look in (self.screen.panel.session.poll, self.application.processEvents)]
            time.sleep(BREATH)
        longest, busy = max(wall for wall, _ in turns), max(cpu for _, cpu in turns)
        self.rows.append((words, longest, busy, time.perf_counter() - begin))
        print(f"  {words}: {1000 * longest:.0f} ms, of it computing {1000 * busy:.0f} ms", file=sys.stderr)

    @staticmethod
    def _turn(call: Callable[[], object]) -> tuple[float, float]:
        """Seconds on the clock, and seconds of this thread's own computing, which a busy machine does not lengthen."""
        begin, computed = time.perf_counter(), time.thread_time()
        call()
        return time.perf_counter() - begin, time.thread_time() - computed

    def table(self, title: str) -> str:
        """Markdown."""
        head = "| step | longest without an event, ms | of it computing, ms | until it is done, ms |"
        lines = [f"{title}", "", head, "|---|---:|---:|---:|"]
        for words, longest, busy, whole in self.rows:
            over = " **over**" if busy > LIMIT else ""
            lines.append(f"| {words} | {1000 * longest:.0f} | {1000 * busy:.0f}{over} | {1000 * whole:.0f} |")
        return "\n".join(lines)


def a_project(root: Path, shape: tuple[int, int, int], *, organs: int, cases: int) -> Any:
    """Cases of a shape (k, j, i): in the first every organ is complete; in the others they are proposed."""
    from standins.engine import write_prediction

    from SemiSupSegLib.project.annotation import Annotation, State
    from SemiSupSegLib.project.geometry import Grid, image_from_kji
    from SemiSupSegLib.project.labels import LabelSet
    from SemiSupSegLib.project.models import add_promoted
    from SemiSupSegLib.project.project import Project

    names = [f"organ {number}" for number in range(organs)]
    project = Project.create(root, label_set=LabelSet.from_names(names))
    grid = Grid(tuple(reversed(shape)), (0.8, 0.8, 1.0), (0.0, 0.0, 0.0))  # type: ignore[arg-type]
    layers = _blobs(shape, organs)
    noise = np.random.default_rng(0).normal(40, 12, shape).astype(np.int16)
    for number in range(cases):
        said = dict.fromkeys(names, Annotation(State.COMPLETE)) if number == 0 else {}
        image = image_from_kji(noise + 20 * layers[0].astype(np.int16), grid)
        project.add_case(
            f"case_{number}", image, labels=layers if said else None, annotations=said, modality="CT", who="ann"
        )
    (project.models_folder / "0001").mkdir(parents=True)
    (project.models_folder / "0001" / "model.json").write_text("{}")
    add_promoted(project.models_folder, "0001")
    for number in range(1, cases):
        masks = {name: layers[0] == place + 1 for place, name in enumerate(names)}
        write_prediction(project, f"case_{number}", masks)
    return project


def _blobs(shape: tuple[int, int, int], organs: int) -> np.ndarray:
    """(1, k, j, i): boxes side by side, each about a hundredth of the volume."""
    layers = np.zeros((1, *shape), np.uint8)
    edge = [max(n // 6, 2) for n in shape]
    for number in range(organs):
        at = (0.3, 0.1 + 0.4 * (number % 2), 0.05 + 0.18 * (number // 2))
        k, j, i = (int(n * share) for n, share in zip(shape, at, strict=True))
        layers[0, k : k + edge[0], j : j + edge[1], i : i + edge[2]] = number + 1
    return layers


def measure(root: Path, host: Any, title: str) -> str:
    """All that a person does in a project that is there, once."""
    from screen import Screen

    from SemiSupSegLib.session import Session

    program = (sys.executable, str(REPOSITORY / "Testing/desktop/standins/engine.py"))
    session = Session(who="ann", program=program, background=True)
    screen = Screen(host.application, session, host.scene)
    watch = Stopwatch(host.application, screen)
    waits = lambda: session.busy is None  # noqa: E731
    quiet = lambda: session.busy is None and session.task is None and session.queue()  # noqa: E731
    watch.does("open the project", lambda: session.open(root), quiet)
    watch.does("open a case", lambda: session.show_case("case_1"), waits)
    watch.does("look at a proposal", lambda: session.select("case_1", "organ 1"), waits)
    watch.does("nothing: the timer looks", lambda: [screen.panel._look() for _ in range(3)])
    watch.does("move the threshold", lambda: setattr(session, "threshold", 0.4))
    watch.does("hide and show the map", lambda: [screen.panel.view.setOverlayVisible(on) for on in (False, True)])
    watch.does("worst slice", session.worst_slice)
    watch.does("paint a stroke, and this slice is done", lambda: _stroke(screen), quiet)
    watch.does("accept a slice", lambda: session.accept_slices(session.profile().argmax()), quiet)
    watch.does("accept the confident part", session.accept_confident, quiet)
    watch.does("accept the organ", session.accept, quiet)
    watch.does("undo", session.undo, quiet)
    watch.does("look at another proposal", lambda: session.select("case_1", "organ 2"), waits)
    watch.does("show the other map", lambda: screen.panel.view.setMap("mutual_information"), waits)
    watch.does("reject", session.reject, quiet)
    watch.does("say that an organ is absent", lambda: session.apply_to_all("organ 9", "absent"), quiet)
    watch.does("open another case", lambda: session.show_case("case_0"), waits)
    watch.does("and go back", lambda: session.show_case("case_1"), waits)
    screen.close()
    session.close()
    host.scene.Clear(False)
    return watch.table(title)


def _stroke(screen: Any) -> None:
    from SemiSupSegScene.SegmentVoxels import changeSegment

    view, session = screen.panel.view, screen.panel.session
    grid = session.current_case.grid()
    mask = np.zeros(grid.shape, bool)
    mask[2, 4:8, 4:8] = True
    begin = time.perf_counter()
    changeSegment(view.segmentationNode, view.segmentOf("organ 0"), grid, added=mask, removed=np.zeros_like(mask))
    spent = 1000 * (time.perf_counter() - begin)
    print(f"(of which the stroke itself, which is the Segment Editor's: {spent:.0f} ms)", file=sys.stderr)
    session.finish_slice(2, label="organ 0")


def main() -> None:
    """Print two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=512, help="voxels of the large case along i and j; 300/512 along k")
    parser.add_argument("--only", choices=("small", "large"), help="one of the two")
    parser.add_argument("--keep", type=Path, help="folder for the large project; found again the next time")
    args = parser.parse_args()
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    import slicer
    from slicer_host import Host
    from standins import pythonqt, widgets

    host = Host()
    host.application = pythonqt.install()
    slicer.qMRMLPlotView, slicer.qMRMLSegmentEditorWidget = widgets.qMRMLPlotView, widgets.qMRMLSegmentEditorWidget
    slicer.util.mainWindow = lambda *_said, **_also: None
    slicer.util.showStatusMessage = lambda *_said, **_also: None
    import qt

    with tempfile.TemporaryDirectory(prefix="semisupseg_ui_") as folder:
        qt.QSettings.setDefaultFormat(qt.QSettings.IniFormat)
        qt.QSettings.setPath(qt.QSettings.IniFormat, qt.QSettings.UserScope, folder)
        sizes = {"small": (48, 64, 64), "large": (args.size * 300 // 512, args.size, args.size)}
        for name, shape in sizes.items():
            if args.only in (None, name):
                root = (args.keep or Path(folder)) / f"{name}_{args.size}"
                if not root.is_dir():
                    a_project(root, shape, organs=ORGANS, cases=3 if name == "small" else 2)
                print(measure(root, host, f"{name}: {' x '.join(map(str, reversed(shape)))} voxels, {ORGANS} organs"))
                print()


if __name__ == "__main__":
    main()
