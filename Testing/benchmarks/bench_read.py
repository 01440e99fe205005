"""Reading a compressed volume with all our checks, beside SimpleITK alone: the ratio of the shortest of several times.

    python Testing/benchmarks/bench_read.py
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813

from SemiSupSegLib.project.geometry import Grid, image_from_kji
from SemiSupSegLib.project.images import read_volume, write_volume


def shortest(read: Callable[[], object]) -> float:
    """Seconds of the fastest of six calls."""
    times = []
    for _ in range(6):
        start = time.perf_counter()
        read()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    """Print both times and their ratio."""
    grid = Grid((256, 256, 160), (1.0, 1.0, 1.0))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "volume.nii.gz"
        voxels = np.random.default_rng(0).normal(0, 30, grid.shape).astype(np.int16)
        write_volume(image_from_kji(voxels, grid), path)
        ours, plain = shortest(lambda: read_volume(path)), shortest(lambda: sitk.ReadImage(str(path)))
    print(f"read_volume {1000 * ours:.0f} ms, SimpleITK {1000 * plain:.0f} ms: {ours / plain:.2f}x")


if __name__ == "__main__":
    main()
