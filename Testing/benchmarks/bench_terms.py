"""What each method's terms add to a training step, next to the plain step in the same run, as ratios.

    python Testing/benchmarks/bench_terms.py [--seconds 60] [--patch 64 64 48] [--rows 2] [--labels 1]
        [--labels-brain 140] [--only uamt nonadjloss ...] [--threads N] [--memory]

The plain step is SMILE: the V-Net with 16 filters (3x3x3, instance normalisation), forward, losses, backward, optimizer
and moving average, as the loop does it, on 2 labelled and 2 unlabelled patches. Each contender is the same with one
method in its place; plain and contender take turns, one step each, so that other load on the machine hits both. Ratios
are of processor seconds (in which the time of other programs does not count), of the shortest steps by the clock and of
their medians. Where a method has a `paper` option it is listed with it, too: network and optimizer then are the
paper's, and the plain step beside it has the same.

The last lines: what a signed distance map costs on the data side, per crop (paper) and once per case (ours); and
(`--memory`: only) the peak memory that the adjacency of 140 labels adds, forward and backward, in a process of its own,
next to one copy of the probabilities. Seconds differ from machine to machine: read the ratios. Wanted: none above 2 at
its paper's own setting, and no adjacency that needs labels x labels x voxels.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from bench_memory import peak_gb

from SemiSupSegLib.config import Config, DataConfig, NetworkConfig, TrainConfig
from SemiSupSegLib.data.batch import Batch
from SemiSupSegLib.data.distance import crop_distances, signed_distance
from SemiSupSegLib.engine.launch import launch
from SemiSupSegLib.engine.probe import available_threads, probe
from SemiSupSegLib.engine.state import TrainingState
from SemiSupSegLib.methods import METHODS
from SemiSupSegLib.project.annotation import Annotation, State
from SemiSupSegLib.project.geometry import Grid, image_from_kji
from SemiSupSegLib.project.labels import LabelSet
from SemiSupSegLib.project.project import Project

TAUGHT, LATE = 0.6, 6000
"""Progress at which the steps are timed: after every warm-up, so that all terms are there."""
RATE = 1e-4
Seconds = tuple[float, float]
"""Of a step: by the clock, and of the processor."""
SIDE = 24
"""Voxels a side of the cases from which a method plans (which labels touch)."""


@dataclass(frozen=True)
class Contender:
    """One line."""

    title: str
    method: str
    options: dict[str, Any]
    brain: bool = False
    """Whether it is timed with as many labels as a brain has."""


CONTENDERS = (
    Contender("NonAdjLoss", "nonadjloss", {"warmup": 0.0}, brain=True),
    Contender("NonAdjLoss, paper", "nonadjloss", {"warmup": 0.0, "paper": True}, brain=True),
    Contender("SASSNet: SDM head, discriminator", "sassnet", {}),
    Contender("SASSNet, paper", "sassnet", {"paper": True}),
    Contender("embedding matching", "embedding_matching", {}),
    Contender("mean teacher", "mean_teacher", {}),
    Contender("UA-MT", "uamt", {}),
    Contender("UA-MT, paper", "uamt", {"paper": True}),
    Contender("copy-paste", "copy_paste", {}),
    Contender("copy-paste, paper", "copy_paste", {"paper": True}),
    Contender("auto: the default", "auto", {"teaches_below": 1.0}),
    Contender("auto + SDM", "auto", {"sdm": True, "teaches_below": 1.0}),
)


def blocks(label_count: int, side: int, rng: np.random.Generator) -> np.ndarray:
    """(side, side, side) labels 0 to label_count in blocks, so that most labels touch few others."""
    per_axis = int(np.ceil((label_count + 1) ** (1 / 3)))
    numbers = np.resize(np.arange(label_count + 1), per_axis**3).reshape((per_axis,) * 3)
    index = np.clip(np.arange(side) * per_axis // side, 0, per_axis - 1)
    jitter = rng.integers(0, 2)
    return np.roll(numbers[np.ix_(index, index, index)], jitter, axis=0)


def a_project(root: Path, labels: int, rows: int) -> Project:
    """Small cases, half of them without labels: what a method looks at when it plans."""
    label_set = LabelSet.from_names([f"region {n + 1}" for n in range(labels)])
    project = Project.create(root, label_set=label_set)
    said = {name: Annotation(State.COMPLETE) for name in label_set.names}
    rng = np.random.default_rng(0)
    for number in range(2 * rows):
        grid = Grid((SIDE,) * 3, (1.0, 1.0, 1.0))
        values = blocks(labels, SIDE, rng)
        image = image_from_kji((values + rng.normal(0, 1, values.shape)).astype(np.float32), grid)
        mine = (values[None].astype(np.int16), said) if number < rows else (None, {})
        project.add_case(f"case_{number}", image, labels=mine[0], annotations=mine[1], modality="MR", who="bench")
    return project


def a_batch(label_set: LabelSet, rows: int, patch: tuple[int, ...], *, sdm: bool) -> Batch:
    """As many labelled patches as unlabelled ones, of noise with blocks in it."""
    rng = np.random.default_rng(1)
    values = np.zeros((2 * rows, 1, *patch), np.int16)
    cube = blocks(len(label_set), max(patch), rng)[tuple(slice(n) for n in patch)]
    values[:rows, 0] = cube
    annotated = torch.zeros(2 * rows, len(label_set), dtype=torch.bool)
    annotated[:rows] = True
    maps = np.ones((2 * rows, len(label_set), *patch), np.float32) if sdm else None
    if maps is not None:
        maps[:rows] = crop_distances(values[0], label_set, np.ones(len(label_set), bool))
    image = torch.from_numpy(cube / max(1, len(label_set)) + rng.normal(0, 1, values.shape)).float()
    kind = np.uint8 if len(label_set) < 256 else np.int16
    return Batch(
        image=image,
        labels=torch.from_numpy(values.astype(kind)),
        annotated=annotated,
        everywhere=annotated,
        region=None,
        valid=torch.ones(values.shape, dtype=torch.bool),
        pseudo=None,
        label_set=label_set,
        case_ids=tuple(f"case_{n}" for n in range(2 * rows)),
        sdm=None if maps is None else torch.from_numpy(maps),
    )


class Contest:
    """Plain steps and those of the contenders, on the same batch.

    Args:
        args: the command line.
        project: from :func:`a_project`.
    """

    def __init__(self, args: argparse.Namespace, project: Project) -> None:
        self.args, self.project, self.fabric = args, project, launch("cpu")

    def config(self, method: str, options: dict[str, Any]) -> Config:
        """A method's configuration as it plans it; the patch is the command line's, the batch fits the rows."""
        network = NetworkConfig(backbone="vnet", filters=self.args.filters)
        patch = tuple(self.args.patch)
        train = TrainConfig(iterations=1000, batch_size=2 * self.args.rows, device="cpu", workers=0)
        data = DataConfig(spacing=(1.0, 1.0, 1.0), patch_size=patch)  # type: ignore[arg-type]
        config = Config(method=method, options=options, data=data, network=network, train=train)
        return METHODS[method](options, self.project.label_set, network).adapt(config, self.project)

    def step(self, config: Config) -> Callable[[], None]:
        """A function that does one step, and waits for nothing."""
        state = TrainingState(config, self.project.label_set, self.fabric, probe(config, "cpu"))
        state.iteration, state.progress = LATE, TAUGHT
        batch = a_batch(self.project.label_set, self.args.rows, config.data.patch_size,
                        sdm=config.data.distance != "none")  # fmt: skip
        if hasattr(state.method, "control"):  # NonAdjLoss: the weight that epoch 0 would have found
            state.method.control.weight = 1.0

        def step() -> None:
            state.train_step(batch, learning_rate=RATE)
            state.iteration += 1

        return step

    def turns(self, contender: Contender) -> tuple[list[Seconds], list[Seconds]]:
        """Seconds of plain steps and of the contender's, which take turns; the first of each warms up."""
        config = self.config(contender.method, dict(contender.options))
        plain = self.step(replace(config, method="smile", options={}, data=replace(config.data, distance="none")))
        own = self.step(config)
        times: tuple[list[Seconds], list[Seconds]] = ([], [])
        end = time.perf_counter() + self.args.seconds
        while len(times[0]) < 4 or time.perf_counter() < end:
            for work, found in zip((plain, own), times, strict=True):
                begin, processor = time.perf_counter(), time.process_time()
                work()
                found.append((time.perf_counter() - begin, time.process_time() - processor))
        return times[0][1:], times[1][1:]


def steps(args: argparse.Namespace, *, brain: bool) -> None:
    """Lines of the contenders that are timed with this many labels."""
    count = args.labels_brain if brain else args.labels
    chosen = [c for c in CONTENDERS if c.brain == brain and (not args.only or c.method in args.only)]
    if not chosen:
        return
    print(f"\n{count} labels, {args.rows} + {args.rows} patches of {'x'.join(map(str, args.patch))}, V-Net with "
          f"{args.filters} filters unless a paper says otherwise, {torch.get_num_threads()} threads")  # fmt: skip
    print(f"{'':34s} {'plain':>9s} {'with it':>9s} {'processor':>10s} {'shortest':>9s} {'medians':>8s}")
    with tempfile.TemporaryDirectory() as folder:
        contest = Contest(args, a_project(Path(folder) / "project", count, args.rows))
        for contender in chosen:
            if contender.method not in METHODS:
                print(f"{contender.title:34s} left out: there is no method {contender.method!r} in this version")
                continue
            if not set(contender.options) <= set(METHODS[contender.method].Config.__dataclass_fields__):
                print(f"{contender.title:34s} left out: it has no option {', '.join(contender.options)}")
                continue
            try:
                line(contender.title, *contest.turns(contender))
            except Exception as error:  # one that fails must not hide the others
                print(f"{contender.title:34s} FAILED: {type(error).__name__}: {error}", flush=True)


def line(title: str, plain: list[Seconds], own: list[Seconds]) -> None:
    """Shortest steps, and the ratios."""
    (clock, processor), (clock_own, processor_own) = (zip(*times, strict=True) for times in (plain, own))
    ratio = min(processor_own) / min(processor)
    medians = statistics.median(clock_own) / statistics.median(clock)
    remark = "  ABOVE 2" if ratio > 2 else ""
    print(f"{title:34s} {min(clock):8.3f}s {min(clock_own):8.3f}s {ratio:9.2f}x {min(clock_own) / min(clock):8.2f}x "
          f"{medians:7.2f}x{remark}", flush=True)  # fmt: skip


def data_side(args: argparse.Namespace) -> None:
    """Seconds of signed distance maps, per label, next to drawing noise of the patch's size as the unit."""
    label_set = LabelSet.from_names(["organ"])
    patch = tuple(args.patch)
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in patch), indexing="ij")
    mask = sum(a**2 for a in axes) < 0.4
    large = np.pad(mask, [(n // 2, n // 2) for n in patch])

    def seconds(work: Callable[[], object]) -> float:
        times = []
        for _ in range(5):
            begin = time.perf_counter()
            work()
            times.append(time.perf_counter() - begin)
        return min(times)

    crop = seconds(lambda: crop_distances(mask[None].astype(np.uint8), label_set, np.ones(1, bool)))
    volume = seconds(lambda: signed_distance(large, (1.0, 1.0, 1.0), 10.0))
    copied = seconds(lambda: torch.from_numpy(mask.astype(np.float16)).float())
    size = "x".join(map(str, large.shape))
    print(f"\nSDM on the data side, a label and patch: per crop (paper) {1000 * crop:.1f} ms; ours: once a case of "
          f"{size} {1000 * volume:.1f} ms, then {1000 * copied:.1f} ms a crop")  # fmt: skip


MEMORY = """
import json, sys
import torch
from bench_memory import peak_gb
from SemiSupSegLib.losses.nonadjacency import soft_adjacency
labels, rows, *patch = json.loads(sys.argv[1])
torch.set_num_threads(1)
p = torch.rand(rows, labels + 1, *patch)
for row in p:
    row /= row.sum(0)  # one by one: the peak before must not hide the one that is measured
p.requires_grad_(True)
soft_adjacency(torch.rand(1, 2, 4, 4, 4, requires_grad=True)).sum().backward()  # loads what a first call loads
before = peak_gb()
soft_adjacency(p).sum().backward()
after = peak_gb()
print(json.dumps({"copy": p.numel() * 4 / 1e9, "more": after - before, "peak": after}))
"""


def memory(args: argparse.Namespace) -> None:
    """Peak memory that the adjacency adds, in a child."""
    words = json.dumps([args.labels_brain, 2 * args.rows, *args.patch])
    said = subprocess.run([sys.executable, "-c", MEMORY, words], check=True, stdout=subprocess.PIPE, text=True,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})  # fmt: skip
    found = json.loads(said.stdout)
    pairs = found["copy"] * (args.labels_brain + 1)
    print(f"\nadjacency of {args.labels_brain} labels, forward and backward: {found['more']:.2f} GB above what was "
          f"there, of which the gradient is {found['copy']:.2f} GB (one copy of the probabilities); labels x labels x "
          f"voxels would be {pairs:.0f} GB; peak of the process {found['peak']:.2f} GB")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="how long each contender takes turns")
    parser.add_argument("--patch", type=int, nargs=3, default=[64, 64, 48])
    parser.add_argument("--rows", type=int, default=2, help="labelled patches, and as many unlabelled ones")
    parser.add_argument("--filters", type=int, default=16)
    parser.add_argument("--labels", type=int, default=1, help="the atrium's 1 by default")
    parser.add_argument("--labels-brain", type=int, default=140, help="for NonAdjLoss")
    parser.add_argument("--only", nargs="+", help="methods")
    parser.add_argument("--threads", type=int, help="default: what the machine gives")
    parser.add_argument("--memory", action="store_true", help="only the memory of the adjacency")
    args = parser.parse_args()
    torch.set_num_threads(args.threads or available_threads())
    if not args.memory:
        steps(args, brain=False)
        data_side(args)
        steps(args, brain=True)
    memory(args)
    print(f"torch {torch.__version__}; peak memory of the timings {peak_gb():.1f} GB")


if __name__ == "__main__":
    main()
