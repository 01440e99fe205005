"""Memory of a prediction: a CT of 512 x 512 x 300 voxels with 20 labels must stay below 8 GB.

    python Testing/benchmarks/bench_predict_memory.py [--small] [--labels 20] [--passes 8] [--maps all]

Makes the volume, predicts it with an untrained model on a 1.5 mm grid and writes all files as `semisupseg predict`
does, then prints the peak resident memory of the process, and times. An untrained model is the worst case: every map
is full everywhere, where organs fill a small part of the volume.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import torch

from SemiSupSegLib.config import Config, DataConfig, NetworkConfig, TrainConfig
from SemiSupSegLib.engine.model import Model
from SemiSupSegLib.engine.predict import predict_volume
from SemiSupSegLib.engine.prediction_files import replace_prediction
from SemiSupSegLib.networks.segmentor import Segmentor
from SemiSupSegLib.project.geometry import Grid, image_from_kji
from SemiSupSegLib.project.images import read_volume, write_volume
from SemiSupSegLib.project.labels import LabelSet

LIMIT_GB = 8.0


class Peak:
    """Largest resident memory of this process while open, by looking twenty times a second."""

    def __enter__(self) -> Peak:
        self.gb, self._over, self._process = 0.0, threading.Event(), psutil.Process()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.05):
            self.gb = max(self.gb, self._process.memory_info().rss / 1e9)


def a_ct(path: Path, size: tuple[int, int, int]) -> None:
    """A body-like cylinder with spheres in it, in Hounsfield units, int16."""
    i, j, k = size
    y, x = np.ogrid[-1 : 1 : j * 1j, -1 : 1 : i * 1j]
    body = np.where(x**2 + y**2 < 0.7, 40, -1000)
    rng = np.random.default_rng(0)
    array = np.empty((k, j, i), np.int16)
    for n in range(k):
        array[n] = body + rng.normal(0, 20, (j, i)) + np.where((x - 0.3) ** 2 + y**2 + (n / k - 0.5) ** 2 < 0.1, 80, 0)
    write_volume(image_from_kji(array, Grid(size, (0.75, 0.75, 1.0))), path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="128 x 128 x 75 voxels, to see that it runs")
    parser.add_argument("--labels", type=int, default=20)
    parser.add_argument("--passes", type=int, default=8)
    parser.add_argument("--maps", choices=("auto", "all", "none"), default="all")
    args = parser.parse_args()
    size = (128, 128, 75) if args.small else (512, 512, 300)
    data = DataConfig(spacing=(1.5, 1.5, 1.5), intensity="ct", ct_window=(-200.0, 300.0, 40.0, 80.0))
    config = Config(data=data, network=NetworkConfig(), train=TrainConfig(iterations=1, device="cpu"))
    names = LabelSet.from_names([f"organ {n + 1}" for n in range(args.labels)])
    torch.manual_seed(1)
    weights = Segmentor(config.network, labels=args.labels).state_dict()
    model = Model(
        config=config, label_set=names, weights=weights, run="none", checkpoint="last", step=0, name="0001",
        parts=dict.fromkeys(names.names, 1),
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        a_ct(root / "image.nii.gz", size)
        start = time.perf_counter()
        with Peak() as network:
            prediction = predict_volume(model, read_volume(root / "image.nii.gz"), passes=args.passes, scratch=root)
        between = time.perf_counter()
        with Peak() as files:
            replace_prediction(prediction, root / "predictions" / "case", model, scratch=root, maps=args.maps)
        end = time.perf_counter()
        written = sum(p.stat().st_size for p in (root / "predictions").rglob("*") if p.is_file()) / 1e9
    print(f"{size[0]} x {size[1]} x {size[2]} voxels, {args.labels} labels, {args.passes} passes, maps {args.maps}")
    print(f"network: {between - start:6.1f} s, peak {network.gb:.2f} GB")
    print(f"files:   {end - between:6.1f} s, peak {files.gb:.2f} GB, {written:.2f} GB written")
    peak = max(network.gb, files.gb)
    print(f"peak resident memory {peak:.2f} GB, {'below' if peak < LIMIT_GB else 'ABOVE'} {LIMIT_GB:.0f} GB")


if __name__ == "__main__":
    main()
