"""One training step: a plain float32 loop, torch's bfloat16 autocast, and what training here does, taking turns.

    python Testing/benchmarks/bench_step.py [--seconds 40] [--batch 4] [--patch 64 64 48]

The network is the 16-filter V-Net (3x3x3, instance normalisation, 5 labels); a step is forward, cross-entropy,
backward, SGD. The plain loop is written out below with torch's own layers. Each contender runs in a process of its
own, as they set up memory differently; they take turns, one step each, and the shortest of each counts, so that other
load on the machine hits all of them. Seconds differ from machine to machine and hour to hour: read the ratios.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).parents[2]))

from SemiSupSegLib.config import Config, NetworkConfig, TrainConfig
from SemiSupSegLib.engine.probe import autocast, available_threads, prepare_network, probe
from SemiSupSegLib.networks.segmentor import Segmentor

LABELS, FILTERS = 5, 16
CONTENDERS = ("plain", "autocast", "ours")
WORDS = {
    "plain": "float32, contiguous, torch's layers",
    "autocast": "bfloat16 autocast, channels-last, torch's layers",
    "ours": "what the probe chose",
}


def stage(incoming: int, channels: int, count: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for n in range(count):
        convolution = nn.Conv3d(channels if n else incoming, channels, 3, padding=1, bias=False)
        layers += [convolution, nn.InstanceNorm3d(channels, affine=True), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def resampling(kind: type[nn.Module], incoming: int, channels: int) -> nn.Sequential:
    norm = nn.InstanceNorm3d(channels, affine=True)
    return nn.Sequential(kind(incoming, channels, 2, 2, bias=False), norm, nn.ReLU(inplace=True))


class PlainVNet(nn.Module):
    """The same network as anybody would write it."""

    def __init__(self) -> None:
        super().__init__()
        width, counts = [FILTERS * 2**level for level in range(5)], (1, 2, 3, 3, 3)
        self.encoders = nn.ModuleList(stage(w if n else 1, w, counts[n]) for n, w in enumerate(width))
        self.decoders = nn.ModuleList(stage(w, w, counts[n]) for n, w in enumerate(width[:4]))
        self.downs = nn.ModuleList(resampling(nn.Conv3d, width[n], width[n + 1]) for n in range(4))
        self.ups = nn.ModuleList(resampling(nn.ConvTranspose3d, width[n + 1], width[n]) for n in range(4))
        self.head = nn.Sequential(nn.Dropout3d(0.5), nn.Conv3d(FILTERS, LABELS, 1))

    def forward(self, image: Tensor) -> Tensor:
        skips, x = [], self.encoders[0](image)
        for level in range(4):
            skips.append(x)
            x = self.encoders[level + 1](self.downs[level](x))
        for level in reversed(range(4)):
            x = self.decoders[level](self.ups[level](x) + skips[level])
        logits: Tensor = self.head(x)
        return logits


def contender(name: str, batch: int, patch: list[int]) -> tuple[Callable[[], None], str]:
    """A function that does one step, and what was chosen, in words."""
    torch.manual_seed(0)
    image = torch.randn(batch, 1, *patch)
    target = (torch.rand(batch, LABELS, *patch) > 0.9).float()
    words, channels_last = WORDS[name], name != "plain"
    if name == "ours":
        network_config = NetworkConfig(backbone="vnet", filters=FILTERS)
        probed = probe(Config(network=network_config, train=TrainConfig(iterations=1)), "cpu")
        network = prepare_network(Segmentor(network_config, labels=LABELS), probed)
        channels_last, words = probed.channels_last, f"{probed.precision}; {probed.reason}"
    else:
        network = PlainVNet()
        if channels_last:
            network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    if channels_last:
        image = image.to(memory_format=torch.channels_last_3d)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)

    def step() -> None:
        with autocast(probed) if name == "ours" else torch.autocast("cpu", torch.bfloat16, name == "autocast"):
            output = network(image)
        logits = output.logits if name == "ours" else output
        optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(logits.float(), target).backward()
        optimizer.step()

    return step, words


def serve(name: str, batch: int, patch: list[int]) -> None:
    """Child: for every line on standard input one step, whose seconds are printed."""
    step, words = contender(name, batch, patch)
    print(words, flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        step()
        print(time.perf_counter() - start, flush=True)


def take_turns(seconds: float, arguments: list[str]) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Seconds of every step of each contender (the first, which warms up, left out), and their words."""
    command = [sys.executable, __file__, *arguments, "--serve"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    children, words = {}, {}
    for name in CONTENDERS:  # one after the other, so that none is disturbed while it sets itself up
        children[name] = subprocess.Popen([*command, name], **pipes)  # type: ignore[call-overload]
        words[name] = children[name].stdout.readline().strip()
    times: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times["plain"]) < 3:
        for name, child in children.items():
            child.stdin.write("step\n")
            child.stdin.flush()
            times[name].append(float(child.stdout.readline()))
    for child in children.values():
        child.stdin.close()
        child.wait()
    return {name: found[1:] for name, found in times.items()}, words


def matrix_rate(kind: torch.dtype) -> float:
    """Best measured rate of a matrix product, in operations per second."""
    best = 0.0
    for size in (1024, 2048, 4096):
        a, b = (torch.randn(size, size).to(kind) for _ in range(2))
        for _ in range(4):
            start = time.perf_counter()
            torch.mm(a, b)
            best = max(best, 2 * size**3 / (time.perf_counter() - start))
    return best


def operations(batch: int, patch: list[int]) -> int:
    """Floating-point operations of the convolutions of one step, forward and backward."""
    network = PlainVNet()
    with FlopCounterMode(display=False) as counter:
        network(torch.randn(1, 1, *patch)).mean().backward()
    return batch * counter.get_total_flops()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=40, help="how long to take turns")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--patch", type=int, nargs=3, default=[64, 64, 48])
    parser.add_argument("--serve", choices=CONTENDERS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(available_threads())
    if given.serve:
        serve(given.serve, given.batch, given.patch)
        return
    rates = {"float32": matrix_rate(torch.float32), "bfloat16": matrix_rate(torch.bfloat16)}
    arguments = ["--batch", str(given.batch), "--patch", *map(str, given.patch)]
    times, words = take_turns(given.seconds, arguments)
    work = operations(given.batch, given.patch)
    size = "x".join(map(str, given.patch))
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads; {given.batch} patches of {size}")
    print("matrix product:", ", ".join(f"{kind} {rate / 1e12:.2f} TFLOP/s" for kind, rate in rates.items()))
    print(f"a step is {work / 1e9:.0f} GFLOP of convolutions\n")
    print(f"{'':9} {'shortest':>9} {'median':>9} {'ratio':>7} {'of medians':>11}  share of the matrix rate")
    plain = sorted(times["plain"])
    for name in CONTENDERS:
        found = sorted(times[name])
        low, middle = found[0], found[len(found) // 2]
        kind = "float32" if name == "plain" or words[name].startswith("float32") else "bfloat16"
        ratio, of_medians = plain[0] / low, plain[len(plain) // 2] / middle
        share = work / low / rates[kind]
        print(f"{name:9} {low:8.2f}s {middle:8.2f}s {ratio:6.1f}x {of_medians:10.1f}x  {share:.0%} of {kind}'s")
    for name in CONTENDERS:
        print(f"\n{name}: {words[name]}", end="")
    print(f"\n\nbench_step: {plain[0] / min(times['ours']):.1f}x")


if __name__ == "__main__":
    main()
