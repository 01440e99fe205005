"""Peak memory of training beside the planner's estimate, for each backbone and patch.

    python Testing/benchmarks/bench_memory.py [--backbones vnet dynunet] [--patches 48,48,32 64,64,48] [--labels 4]
        [--batch 2] [--filters 16] [--steps 3] [--method smile]

Each line is a process of its own that makes a few training steps as the loop does (network, losses, backward,
optimizer, moving average) on made-up patches and reports its peak resident memory. `engine/plan.py` estimates
BASE_GB + voxels of the batch x (kept activations of the backbone + what each label needs); the last column is what
`KEPT_ACTIVATIONS` of that backbone would have to be for the estimate to meet the peak. An estimate that is too low lets
a run die; one that is too high makes patches smaller than they need to be.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import get_args, get_type_hints

sys.path.insert(0, str(Path(__file__).parents[2]))

from SemiSupSegLib.config import Config, DataConfig, NetworkConfig, TrainConfig

BACKBONES = ("vnet", "monai_vnet", "dynunet", "segresnet")
CHILD_SAYS = "bench_memory:"


def peak_gb() -> float:
    """Largest resident memory of this process so far, in GB.

    Linux says it per program; the number of getrusage also holds that of the program which started this one.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e9
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def config_of(args: argparse.Namespace, backbone: str, patch: tuple[int, ...], precision: str) -> Config:
    """What a child trains."""
    filters = 16 if backbone == "monai_vnet" else args.filters  # MONAI's V-Net has no choice
    network = NetworkConfig(backbone=backbone, filters=filters, activation=args.activation)  # type: ignore[arg-type]
    data = DataConfig(spacing=(1.0, 1.0, 1.0), patch_size=patch)  # type: ignore[arg-type]
    train = TrainConfig(iterations=1000, batch_size=args.batch, device="cpu", workers=0, precision=precision)  # type: ignore[arg-type]
    return Config(method=args.method, data=data, network=network, train=train)


def child(config: Config, labels: int, steps: int) -> None:
    """Train for a few steps; print estimate and peak."""
    import torch

    from SemiSupSegLib.data.batch import Batch
    from SemiSupSegLib.engine.launch import launch
    from SemiSupSegLib.engine.plan import BASE_GB, estimate
    from SemiSupSegLib.engine.probe import probe
    from SemiSupSegLib.engine.state import TrainingState
    from SemiSupSegLib.project.labels import LabelSet
    from SemiSupSegLib.project.project import Project

    label_set = LabelSet.from_names([f"region {n + 1}" for n in range(labels)])
    with tempfile.TemporaryDirectory() as folder:
        need = estimate(Project.create(Path(folder) / "project", label_set=label_set), config).memory_gb
    state = TrainingState(config, label_set, launch("cpu"), probe(config, "cpu"))
    state.progress = 0.6
    batch_size, patch = config.train.batch_size, config.data.patch_size
    there = torch.ones(batch_size, labels, dtype=torch.bool)
    batch = Batch(
        image=torch.randn(batch_size, 1, *patch),
        labels=torch.randint(0, labels + 1, (batch_size, 1, *patch), dtype=torch.uint8),
        annotated=there,
        everywhere=there,
        region=None,
        valid=torch.ones(batch_size, 1, *patch, dtype=torch.bool),
        pseudo=None,
        label_set=label_set,
        case_ids=tuple(map(str, range(batch_size))),
    )
    for _ in range(steps):
        state.train_step(batch, learning_rate=1e-4)
        state.iteration += 1
    said = {"estimate": need, "peak": peak_gb(), "base": BASE_GB, "precision": state.probe.precision}
    print(CHILD_SAYS, json.dumps(said), flush=True)


def measured(config: Config, labels: int, steps: int) -> dict[str, float | str] | None:
    """What a child found; None when it died."""
    words = [sys.executable, __file__, "--child", json.dumps([config.to_json(), labels, steps])]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith(CHILD_SAYS)]
    if not lines:
        tail = (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1]
        print(f"{config.network.backbone}: {tail}", file=sys.stderr)
        return None
    found: dict[str, float | str] = json.loads(lines[-1].removeprefix(CHILD_SAYS))
    return found


def fitting(found: dict[str, float | str], config: Config, labels: int) -> float:
    """KEPT_ACTIVATIONS that would make the estimate the peak."""
    voxels = config.train.batch_size * math.prod(config.data.patch_size)
    per_label = 4 * 8 * (labels + (config.network.activation == "softmax"))
    kept = (float(found["peak"]) - float(found["base"])) * 1e9 / voxels - per_label
    return kept / 4 * 16 / config.network.filters


def patch_of(text: str) -> tuple[int, ...]:
    """``64,64,48``."""
    values = tuple(int(part) for part in text.split(","))
    if len(values) != 3 or min(values) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not X,Y,Z in voxels")
    return values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = get_args(get_type_hints(NetworkConfig)["backbone"])
    parser.add_argument("--backbones", nargs="+", default=list(BACKBONES), choices=known)
    parser.add_argument("--patches", nargs="+", type=patch_of, default=[(48, 48, 32), (64, 64, 48), (96, 96, 48)])
    parser.add_argument("--labels", type=int, nargs="+", default=[4])
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--filters", type=int, default=16)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--method", default="smile")
    parser.add_argument("--activation", choices=("sigmoid", "softmax"), default="sigmoid")
    parser.add_argument("--precisions", nargs="+", choices=("float32", "bfloat16"), default=["float32", "bfloat16"])
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        config, labels, steps = json.loads(args.child)
        child(Config.from_json(config), labels, steps)
        return
    print(f"{args.method}, batch {args.batch}, {args.filters} filters, {args.steps} steps, {args.activation}\n")
    titles = ("backbone", "patch", "labels", "precision", "peak GB", "estimate GB", "estimate / peak", "kept that fits")
    print("|", " | ".join(titles), "|")
    print("|---|---|---|---|---|---|---|---|")
    for backbone in args.backbones:
        for patch in args.patches:
            for labels in args.labels:
                for precision in args.precisions:
                    config = config_of(args, backbone, patch, precision)
                    row(config, labels, measured(config, labels, args.steps))


def row(config: Config, labels: int, found: dict[str, float | str] | None) -> None:
    """One line of the table."""
    patch = " x ".join(map(str, config.data.patch_size))
    start = f"| {config.network.backbone} | {patch} | {labels} | {config.train.precision} |"
    if found is None:
        print(f"{start} – | – | – | – |", flush=True)
        return
    peak, need = float(found["peak"]), float(found["estimate"])
    kept = fitting(found, config, labels)
    print(f"{start} {peak:.2f} | {need:.2f} | {need / peak:.2f} | {f'{kept:.0f}' if kept > 0 else '–'} |", flush=True)


if __name__ == "__main__":
    main()
