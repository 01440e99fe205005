"""Draws the pictures that Slicer shows: the icon, 128 x 128, and the thumbnail of the synthetic cohort.

``python Resources/make_icon.py`` writes them again, byte for byte the same.

The icon is one slice of a body. One organ is filled: a person annotated it. One is dashed and glows where it
is unsure: a proposal. One is empty: unknown, not background.
"""

from __future__ import annotations

import struct
import sys
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

REPOSITORY = Path(__file__).resolve().parents[1]
SIZE = 128
FINE = 6
"""Each pixel is the mean of 6 x 6 points, so that edges are smooth."""

Floats = NDArray[np.float64]
NIGHT, BODY, RIM = (0.07, 0.11, 0.17), (0.31, 0.37, 0.45), (0.62, 0.69, 0.77)
TEAL, AMBER, GLOW, HOLLOW = (0.13, 0.75, 0.68), (1.00, 0.72, 0.25), (1.00, 0.45, 0.22), (0.22, 0.27, 0.34)


def write_png(path: Path, rgba: Floats) -> None:
    """Write an image (rows, columns, 4) with values 0 to 1."""
    pixels = (np.clip(rgba, 0, 1) * 255 + 0.5).astype(np.uint8)
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    head = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 8, 6, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    content = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(content))


def plane(height: int, width: int) -> tuple[Floats, Floats]:
    """x and y of all fine points, in units of half the height, from the middle."""
    y, x = np.mgrid[0 : height * FINE, 0 : width * FINE] + 0.5
    return (x - width * FINE / 2) / (height * FINE / 2), (y - height * FINE / 2) / (height * FINE / 2)


def paint(canvas: Floats, where: NDArray[np.bool_] | Floats, colour: tuple[float, ...], alpha: float = 1.0) -> None:
    """Lay a colour over the canvas (rows, columns, 4)."""
    cover = (np.asarray(where, float) * alpha)[..., None]
    canvas[..., :3] = canvas[..., :3] * (1 - cover) + np.array(colour) * cover
    canvas[..., 3:] = np.maximum(canvas[..., 3:], cover)


def coarse(canvas: Floats) -> Floats:
    """Fine points to pixels."""
    rows, columns = canvas.shape[0] // FINE, canvas.shape[1] // FINE
    return canvas.reshape(rows, FINE, columns, FINE, 4).mean((1, 3))


def blob(
    x: Floats, y: Floats, middle: tuple[float, float], radii: tuple[float, float], turn: float, wave: float
) -> Floats:
    """Below 1 inside an organ: an ellipse, turned by radians, with a wavy edge."""
    u, v = x - middle[0], y - middle[1]
    a, b = u * np.cos(turn) + v * np.sin(turn), v * np.cos(turn) - u * np.sin(turn)
    angle = np.arctan2(b / radii[1], a / radii[0])
    return np.asarray(np.hypot(a / radii[0], b / radii[1]) / (1 + wave * np.cos(3 * angle + 0.6)))


def icon() -> Floats:
    """The icon, (128, 128, 4)."""
    x, y = plane(SIZE, SIZE)
    canvas = np.zeros((*x.shape, 4))
    corner = np.hypot(np.maximum(abs(x) - 0.72, 0), np.maximum(abs(y) - 0.72, 0))
    paint(canvas, corner < 0.24, NIGHT)
    body = np.hypot(x / 0.85, (y - 0.02) / 0.70)
    paint(canvas, body < 1, RIM)
    paint(canvas, body < 0.945, BODY)
    paint(canvas, np.hypot(x / 0.13, (y - 0.50) / 0.11) < 1, RIM)  # the spine

    annotated = blob(x, y, (-0.37, -0.10), (0.36, 0.33), -0.5, 0.10)
    paint(canvas, annotated < 1, TEAL)
    proposed = blob(x, y, (0.40, -0.20), (0.29, 0.25), 0.5, 0.08)
    angle = np.arctan2(y + 0.20, x - 0.40)
    paint(canvas, proposed < 1, AMBER, 0.16)
    unsure = np.exp(-(((proposed - 0.9) / 0.3) ** 2)) * np.exp(-(((angle - 2.1) / 0.8) ** 2))
    paint(canvas, unsure * (body < 0.945), GLOW, 0.95)
    paint(canvas, (abs(proposed - 1) < 0.12) & (np.sin(7 * angle) > -0.3), AMBER)
    unknown = blob(x, y, (0.37, 0.33), (0.15, 0.17), 0.3, 0.05)
    paint(canvas, unknown < 1, RIM)
    paint(canvas, unknown < 0.78, HOLLOW)

    tick = np.minimum(_segment(x, y, (-0.52, -0.10), (-0.40, 0.03)), _segment(x, y, (-0.40, 0.03), (-0.20, -0.23)))
    paint(canvas, tick < 0.052, (1.0, 1.0, 1.0))
    return coarse(canvas)


def _segment(x: Floats, y: Floats, start: tuple[float, float], end: tuple[float, float]) -> Floats:
    """Distance to a line from start to end."""
    along = np.array(end) - start
    share = np.clip(((x - start[0]) * along[0] + (y - start[1]) * along[1]) / (along @ along), 0, 1)
    return np.asarray(np.hypot(x - start[0] - share * along[0], y - start[1] - share * along[1]))


def thumbnail() -> Floats:
    """A slice of the first synthetic case with its labels, as 280 x 260 pixels."""
    sys.path.insert(0, str(REPOSITORY))
    from SemiSupSegLib.project.synthetic import synthetic_case

    case = synthetic_case(1, size=(144, 120, 80))
    areas = [sum(np.sqrt((part == c).sum()) for c in range(1, 5)) for part in case.labels]
    k = int(np.argmax(areas))
    image, labels = case.image[k].astype(float), case.labels[k]
    low, high = np.percentile(image, (1, 99.5))
    grey = np.clip((image - low) / (high - low), 0, 1)
    height, width = 260, 280
    rows = (np.arange(height) * image.shape[0] / height).astype(int)
    columns = (np.arange(width) * image.shape[1] / width).astype(int)
    grey, labels = grey[np.ix_(rows, columns)], labels[np.ix_(rows, columns)]
    canvas = np.concatenate([np.repeat(grey[..., None] * 0.9, 3, -1), np.ones((height, width, 1))], -1)
    for value, colour in enumerate((TEAL, AMBER, GLOW, (0.55, 0.60, 1.0)), start=1):
        mask = labels == value
        inner = mask.copy()
        for axis in (0, 1):
            for step in (-2, 2):
                inner &= np.roll(mask, step, axis)
        paint(canvas, mask & ~inner, colour)
        paint(canvas, inner, colour, 0.3)
    return canvas


if __name__ == "__main__":
    drawn = icon()
    write_png(REPOSITORY / "Resources" / "SemiSupSeg.png", drawn)
    icons = REPOSITORY / "SemiSupSeg" / "Resources" / "Icons"
    write_png(icons / "SemiSupSeg.png", drawn)
    write_png(icons / "SyntheticCohort.png", thumbnail())
