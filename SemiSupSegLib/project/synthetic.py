"""A small synthetic cohort: ellipsoidal "organs" in noise, for the demo, the tests and first steps. It says that it
is synthetic.

No patient was ever near these volumes. They differ in size, spacing, orientation, contrast and bias field, so that a
program that takes geometry or intensity for granted fails on them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .geometry import Grid, image_from_kji
from .images import write_volume

__all__ = ["ORGANS", "SyntheticCase", "synthetic_case", "write_cohort"]

ORGANS = ("synthetic liver", "synthetic left kidney", "synthetic right kidney", "synthetic spleen")
"""Names of the labels, in the order of their values 1, 2, ..."""

_CENTRES = np.array([(-45.0, 0.0, 20.0), (38.0, 35.0, -22.0), (-38.0, 35.0, -26.0), (58.0, 8.0, 24.0)])
"""mm from the middle of the body, along left, back, head."""
_RADII = np.array([(42.0, 40.0, 34.0), (14.0, 15.0, 27.0), (14.0, 15.0, 27.0), (18.0, 24.0, 22.0)])
_INTENSITY = np.array([140.0, 190.0, 190.0, 165.0])
_BODY = np.array([115.0, 80.0, 200.0])


@dataclass(frozen=True)
class SyntheticCase:
    """One volume with all of its labels."""

    image: NDArray[np.int16]
    """(k, j, i)."""
    labels: NDArray[np.uint8]
    """(k, j, i): 0 background, c + 1 for ``ORGANS[c]``."""
    grid: Grid


def synthetic_case(seed: int, *, size: tuple[int, int, int] = (72, 60, 40), noise: float = 14.0) -> SyntheticCase:
    """Draw a case.

    Args:
        seed: the same seed gives the same case.
        size: voxels along i, j, k; at least 16 each.
        noise: standard deviation; the organs stand 25 to 75 above the body.
    """
    rng = np.random.default_rng(seed)
    shape = tuple(round(n * rng.uniform(0.92, 1.08)) for n in size)
    spacing = np.array([250.0, 190.0, 150.0]) / size * rng.uniform(0.95, 1.05)
    grid = _grid(shape, spacing, rng)
    points = grid.point(np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), -1)[..., ::-1])
    points = points - grid.point((np.array(grid.size) - 1) / 2)
    image = np.where(((points / _BODY) ** 2).sum(-1) < 1, 100.0, 0.0)
    labels = np.zeros(grid.shape, np.uint8)
    for c in range(len(ORGANS)):
        inside = _organ(points, c, rng)
        image[inside] = _INTENSITY[c] * rng.uniform(0.94, 1.06)
        labels[inside] = c + 1
    bias = 1 + 0.15 * np.tanh((points @ rng.normal(size=3)) / 120)
    image = image * bias * rng.uniform(0.8, 1.25) + rng.normal(0, noise, grid.shape)
    return SyntheticCase(image.round().astype(np.int16), labels, grid)


def _grid(shape: tuple[int, ...], spacing: NDArray[Any], rng: np.random.Generator) -> Grid:
    a = rng.uniform(-0.12, 0.12)  # oblique by up to 7 degrees
    turn = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    flip = np.diag(rng.choice([-1.0, 1.0], 3))
    return Grid(
        (shape[0], shape[1], shape[2]),
        tuple(float(s) for s in spacing),  # type: ignore[arg-type]
        tuple(float(o) for o in rng.uniform(-200, 200, 3)),  # type: ignore[arg-type]
        tuple(float(d) for d in (turn @ flip).ravel()),  # type: ignore[arg-type]
    )


def _organ(points: NDArray[Any], channel: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    centre = _CENTRES[channel] + rng.normal(0, 5, 3)
    radii = _RADII[channel] * rng.uniform(0.85, 1.15, 3)
    local = (points - centre) / radii
    wobble = 0.12 * np.sin(3 * local[..., 0] + rng.uniform(0, 6)) * np.cos(2 * local[..., 2] + rng.uniform(0, 6))
    return np.asarray((local**2).sum(-1) < 1 + wobble)


def write_cohort(folder: Path, *, cases: int = 10, unlabelled: int = 0, seed: int = 1, **case: Any) -> None:
    """Write ``images/``, ``labels/`` and ``dataset.json``, as ``semisupseg import`` reads them.

    Args:
        folder: made when missing.
        cases: how many.
        unlabelled: how many of them, the last ones, get no label file.
        seed: of the first case; the next ones count on.
        case: further arguments of :func:`synthetic_case`.
    """
    for sub in ("images", "labels"):
        (folder / sub).mkdir(parents=True, exist_ok=True)
    for i in range(cases):
        made = synthetic_case(seed + i, **case)
        name = f"synthetic_{i + 1:02d}.nii.gz"
        write_volume(image_from_kji(made.image, made.grid), folder / "images" / name)
        if i < cases - unlabelled:
            write_volume(image_from_kji(made.labels, made.grid), folder / "labels" / name)
    description = {
        "labels": {str(c + 1): name for c, name in enumerate(ORGANS)},
        "modality": "MR",
        "description": "Synthetic: ellipsoids in noise, made by a program. Not patients, not for clinical use.",
    }
    (folder / "dataset.json").write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")
