"""Screenshots for the README and the Extensions Index, from the project that ``make demo`` leaves.

    make demo
    python Testing/desktop/pictures.py                     # reads demo/project, writes Resources/Screenshots
    python Testing/desktop/pictures.py PROJECT --to FOLDER

Left the slice view, drawn off screen by Slicer's own code (``slicer-core``); right the panel, under PySide6 with
stand-ins for Slicer's widgets: a caption says so. Needs both; the project itself stays as it is.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
for _folder in (REPOSITORY, *(REPOSITORY / name for name in ("SemiSupSeg", "Testing/scene", "Testing/desktop"))):
    sys.path.insert(0, str(_folder))

VIEW = (600, 560)
"""Pixels of the slice view."""
STRIP = 24
THRESHOLD = 0.5
"""The model of the demo is trained for seconds and doubts everything a little; this shows where it doubts most."""
CAPTION = (
    "Synthetic data. Slice view: drawn by Slicer's own core. Panel: stand-ins for Slicer's widgets, whose look differs."
)
GROUND = "#f4f4f4"


def compose(pixels: Any, panels: Iterable[Any], path: Path) -> None:
    """Slice view and parts of the panel side by side, over the caption.

    Args:
        pixels: (rows, columns, RGB) of the slice view.
        panels: pictures of parts of the panel, from top to bottom.
        path: of the PNG file.
    """
    from PySide6 import QtCore, QtGui

    rows, columns, _ = pixels.shape
    view = QtGui.QImage(pixels.tobytes(), columns, rows, 3 * columns, QtGui.QImage.Format_RGB888)
    parts = list(panels)
    wide = columns + max(part.width() for part in parts) + 12
    tall = max(rows, sum(part.height() for part in parts)) + STRIP
    picture = QtGui.QPixmap(wide, tall)
    picture.fill(QtGui.QColor(GROUND))
    painter = QtGui.QPainter(picture)
    painter.drawImage(0, 0, view)
    top = 0
    for part in parts:
        painter.drawPixmap(columns + 12, top, part)
        top += part.height()
    painter.drawText(QtCore.QRect(8, tall - STRIP, wide - 16, STRIP), QtCore.Qt.AlignVCenter, CAPTION)
    painter.end()
    path.parent.mkdir(parents=True, exist_ok=True)
    if not picture.save(str(path)):
        msg = f"{path} cannot be written"
        raise SystemExit(msg)
    sys.stdout.write(f"{path}\n")


def grabbed(screen: Any, names: Iterable[str]) -> list[Any]:
    """Pictures of parts of the panel, as high as they want to be."""
    screen.look()
    size = screen.window.sizeHint()
    screen.window.resize(560, max(screen.window.minimumSizeHint().height(), size.height()))
    screen.look()
    return [getattr(screen.panel, name).widget.grab() for name in names]


def take(project: Path, folder: Path) -> None:
    """All pictures.

    Args:
        project: with accepted labels and with proposals; what is done for the pictures is done in it.
        folder: where they go.
    """
    import slicer
    from slice_view import SliceView
    from slicer_host import Host
    from standins import pythonqt, widgets

    host = Host()
    host.application = pythonqt.install()
    slicer.qMRMLPlotView, slicer.qMRMLSegmentEditorWidget = widgets.qMRMLPlotView, widgets.qMRMLSegmentEditorWidget
    slicer.util.mainWindow = lambda *_said, **_also: None
    slicer.util.showStatusMessage = lambda *_said, **_also: None
    view = SliceView(host.scene, host.logic, size=VIEW)
    from screen import Screen

    from SemiSupSegLib.session import Session

    session = Session(who="ann", threads=False, program=(sys.executable, "-m", "SemiSupSegLib"))
    session.open(project)
    screen = Screen(host.application, session, host.scene)
    labelled = next(row for row in session.case_rows() if any(cell.symbol in "✎✓" for cell in row.cells))
    session.show_case(labelled.id)
    view.fit()  # goes to the middle of the volume: the slice is chosen after it
    _to_middle(screen, labelled)
    compose(view.pixels(), grabbed(screen, ("status", "cases", "organs")), folder / "annotate.png")

    worth = [row for row in session.queue() if row.open and row.volume_ml > 0]
    row = max(worth, key=lambda row: row.volume_ml)
    session.show_case(row.case)
    view.fit()
    session.threshold = THRESHOLD
    session.select(row.case, row.label)
    compose(view.pixels(), grabbed(screen, ("status", "review")), folder / "review.png")

    session.accept()
    screen.panel.view.setOverlayVisible(False)
    screen.look()
    screen.panel.view.goToSlice(row.worst_slice)  # the next proposal is looked at already
    compose(view.pixels(), grabbed(screen, ("status", "organs")), folder / "accepted.png")
    screen.close()
    session.close()


def _to_middle(screen: Any, row: Any) -> None:
    """The slice with most of what is annotated."""
    masks = screen.panel.session.label_voxels(row.id)
    found = sum(mask.sum(axis=(1, 2), dtype=int) for mask in masks.values())
    screen.panel.view.goToSlice(int(found.argmax()))


def main() -> None:
    """Write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project", nargs="?", type=Path, default=REPOSITORY / "demo" / "project")
    parser.add_argument("--to", type=Path, default=REPOSITORY / "Resources" / "Screenshots")
    args = parser.parse_args()
    if not (args.project / "project.json").is_file():
        parser.error(f"no project in {args.project}: make demo first")
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    with tempfile.TemporaryDirectory(prefix="semisupseg_pictures_") as room:
        os.environ["XDG_CONFIG_HOME"] = room  # no trace among the settings of whoever runs this
        copy = Path(room) / "study"
        shutil.copytree(args.project, copy, ignore=shutil.ignore_patterns("cache", "project.lock", "owner.json"))
        take(copy, args.to)


if __name__ == "__main__":
    main()
