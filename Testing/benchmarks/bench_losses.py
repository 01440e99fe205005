"""Cross-entropy and Dice of many labels in pieces, against the same losses written in one go.

    python Testing/benchmarks/bench_losses.py [--labels 1 4 23 140] [--patch 32 48 48] [--threads N]

Forward and backward of two patches, bfloat16 logits as the network gives them, all labels known. Processor seconds, the
shortest of five; the two take turns. Ratios are what to read.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from SemiSupSegLib.engine.probe import available_threads
from SemiSupSegLib.losses.masked import marginal_cross_entropy, masked_bce, masked_dice, segmentation_terms

ROWS, TIMES = 2, 5


def plainly(logits: Tensor, target: Tensor, known: Tensor, *, exclusive: bool) -> tuple[Tensor, Tensor]:
    """Both losses by themselves."""
    if exclusive:
        probability = logits.float().softmax(dim=1)[:, 1:]
        return marginal_cross_entropy(logits, target, known), masked_dice(probability, target, known)
    return masked_bce(logits, target, known), masked_dice(logits.float().sigmoid(), target, known)


def seconds(loss: Callable[[], tuple[Tensor, Tensor]]) -> float:
    """Of the processor, forward and backward."""
    begin = time.process_time()
    sum(loss()).backward()
    return time.process_time() - begin


def ratio(labels: int, patch: tuple[int, ...], *, exclusive: bool) -> tuple[float, float]:
    """Seconds in one go, and in pieces."""
    logits = torch.randn(ROWS, labels + exclusive, *patch).bfloat16().requires_grad_()
    target = torch.randint(0, labels + 1, (ROWS, 1, *patch)) == torch.arange(1, labels + 1).view(1, -1, 1, 1, 1)
    known = torch.ones_like(target)
    both = []
    for _ in range(TIMES):
        plain = seconds(lambda: plainly(logits, target, known, exclusive=exclusive))
        ours = seconds(lambda: segmentation_terms(logits, target, known, known, exclusive=exclusive))
        both.append((plain, ours))
    plain, ours = (min(times) for times in zip(*both, strict=True))
    return plain, ours


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=int, nargs="+", default=[1, 4, 23, 140])
    parser.add_argument("--patch", type=int, nargs=3, default=[32, 48, 48])
    parser.add_argument("--threads", type=int, help="default: what the machine gives")
    args = parser.parse_args()
    torch.set_num_threads(args.threads or available_threads())
    print(f"{ROWS} patches of {'x'.join(map(str, args.patch))}, {torch.get_num_threads()} threads\n")
    print("| labels | activation | in one go, s | in pieces, s | ratio |\n|--:|---|--:|--:|--:|")
    for labels in args.labels:
        for exclusive in (False, True):
            plain, ours = ratio(labels, tuple(args.patch), exclusive=exclusive)
            name = "softmax" if exclusive else "sigmoid"
            print(f"| {labels} | {name} | {plain:.3f} | {ours:.3f} | {plain / ours:.1f}x |", flush=True)


if __name__ == "__main__":
    main()
