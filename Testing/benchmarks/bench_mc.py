"""What uncertainty costs: 8 Monte Carlo dropout passes against one deterministic pass; one piece against windows.

    python Testing/benchmarks/bench_mc.py [--size 128,128,96] [--labels 4] [--repeat 3]

Prints, per backbone, the time of the whole inference with 8 passes over that of one deterministic pass, over that of
the plain way (the whole network 8 times, dropout on), and the time in windows over that in one piece. Untrained
weights: time does not depend on them. Medians.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from SemiSupSegLib.config import Config, NetworkConfig, TrainConfig
from SemiSupSegLib.engine.probe import autocast
from SemiSupSegLib.engine.uncertainty import binary_entropy
from SemiSupSegLib.engine.volume import Inference
from SemiSupSegLib.engine.windows import Windows
from SemiSupSegLib.networks.segmentor import Segmentor

PASSES = 8


def seconds(action: Callable[[], object], repeat: int) -> float:
    """Median wall time after one run that is not counted."""
    action()
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


@torch.inference_mode()
def plain(inference: Inference, volume: torch.Tensor) -> None:
    """Dropout passes as they are usually made: the whole network each time, all passes kept, then mean and entropy."""
    segmentor = inference.segmentor
    passes = []
    with autocast(inference.probed):
        for _ in range(PASSES):
            logits = segmentor.monte_carlo(segmentor.features(volume), 1)[0]
            passes.append(segmentor.probabilities(logits)[0])
    stacked = torch.stack(passes)
    binary_entropy(stacked).mean(0)
    binary_entropy(stacked.mean(0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="128,128,96")
    parser.add_argument("--labels", type=int, default=4)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    x, y, z = (int(n) for n in args.size.split(","))
    image = np.random.default_rng(0).normal(size=(1, x, y, z)).astype(np.float32)
    print(f"{x} x {y} x {z} voxels, {args.labels} labels, {PASSES} passes, {torch.get_num_threads()} threads")
    print(f"{'backbone':10}  {'one pass':>9}  {'8 passes':>9}  {'over one':>8}  {'plain way':>9}  {'windows':>8}")
    for backbone in ("vnet", "dynunet"):
        config = Config(network=NetworkConfig(backbone=backbone), train=TrainConfig(iterations=1))
        torch.manual_seed(1)
        segmentor = Segmentor(config.network, labels=args.labels)
        inference = Inference(segmentor, config, device=args.device, memory_gb=64)
        whole = Windows((x, y, z), (x, y, z))
        cut = Windows((x, y, z), (x, y, max(z // 2, 1)))
        volume = torch.from_numpy(image)[None].to(inference.device)
        one = seconds(lambda: inference.run(image, args.labels, windows=whole), args.repeat)  # noqa: B023
        many = seconds(lambda: inference.run(image, args.labels, windows=whole, passes=PASSES), args.repeat)  # noqa: B023
        old = seconds(lambda: plain(inference, volume), 1)  # noqa: B023
        pieces = seconds(lambda: inference.run(image, args.labels, windows=cut, passes=PASSES), args.repeat)  # noqa: B023
        print(
            f"{backbone:10}  {one:7.2f} s  {many:7.2f} s  {many / one:7.2f}x  {old / many:8.1f}x  {pieces / many:7.2f}x"
        )


if __name__ == "__main__":
    main()
