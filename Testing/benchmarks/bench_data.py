"""What data costs beside the plain way, in the same run: preparing, patches, waiting, distance maps.

    python Testing/benchmarks/bench_data.py [--size 224,224,64] [--patch 96,96,32] [--patches 40] [--step 0.4]

One thread each, as in a loader process; medians would hide that only some patches are deformed, so means are shown. The
plain way: MONAI's dictionary transforms RandAffined and Rand3DElasticd one after the other, then its intensity
transforms, each with the probabilities that are used here; and the signed distance of every crop.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from SemiSupSegLib.config import DataConfig
from SemiSupSegLib.data import appearance, augment
from SemiSupSegLib.data.cache import Cache, StoredArray
from SemiSupSegLib.data.distance import distance_maps, signed_distance
from SemiSupSegLib.data.loader import loader
from SemiSupSegLib.data.prepare import prepare
from SemiSupSegLib.data.prepared import PreparedCase
from SemiSupSegLib.data.source import PatchSource
from SemiSupSegLib.project.annotation import Annotation, State, label_mask
from SemiSupSegLib.project.geometry import image_from_kji
from SemiSupSegLib.project.labels import LabelSet
from SemiSupSegLib.project.project import Project
from SemiSupSegLib.project.synthetic import ORGANS, synthetic_case

CASES = 3
TAU = 10.0


def seconds(work: Callable[[int], object], repeats: int) -> float:
    """Mean wall time of work(0), work(1), ...; one round before does not count."""
    work(repeats)
    began = time.perf_counter()
    for number in range(repeats):
        work(number)
    return (time.perf_counter() - began) / repeats


def row(what: str, ours: float, plain: float, name: str) -> None:
    print(f"{what:44s} {1000 * ours:10.1f} {1000 * plain:10.1f} {plain / ours:9.1f}x  {name}")


def a_project(root: Path, size: tuple[int, int, int]) -> Project:
    """Synthetic cases, every organ annotated."""
    label_set = LabelSet.from_names(ORGANS)
    project = Project.create(root, label_set=label_set)
    said = dict.fromkeys(ORGANS, Annotation(State.COMPLETE))
    for number in range(CASES):
        case = synthetic_case(number, size=size)
        image = image_from_kji(case.image, case.grid)
        labels = case.labels[None]
        project.add_case(f"case_{number}", image, labels=labels, annotations=said, modality="CT", who="bench")
    return project


def monai_pipeline(config: DataConfig, *, always: bool) -> Callable[[dict[str, torch.Tensor]], object]:
    """The plain way to the same augmentation."""
    from monai import transforms as t

    def share(probability: float) -> float:
        return 1.0 if always else probability

    keys, modes = ("image", "labels", "valid"), ("bilinear", "nearest", "nearest")
    turn = np.deg2rad(config.rotation)
    pipeline = t.Compose([
        t.RandAffined(keys, prob=share(augment.DEFORMED), rotate_range=(turn / 3, turn / 3, turn),
                      scale_range=config.scaling, mode=modes, padding_mode="border"),
        t.Rand3DElasticd(keys, prob=share(augment.DEFORMED * augment.ELASTIC), sigma_range=(5, 7),
                         magnitude_range=(50, 150), mode=modes, padding_mode="border"),
        t.RandAxisFlipd(keys, prob=0.5),
        t.RandBiasFieldd("image", prob=share(appearance.BIASED), coeff_range=(0, 0.3)),
        t.RandGaussianSmoothd("image", prob=share(appearance.BLURRED), sigma_x=(0.3, 0.8), sigma_y=(0.3, 0.8),
                              sigma_z=(0.3, 0.8)),
        t.RandScaleIntensityd("image", factors=0.25, prob=share(appearance.CONTRAST)),
        t.RandShiftIntensityd("image", offsets=0.15, prob=share(appearance.CONTRAST)),
        t.RandAdjustContrastd("image", prob=share(appearance.GAMMA), gamma=(0.7, 1.4)),
        t.RandGaussianNoised("image", prob=share(appearance.NOISY), std=0.1),
    ])  # fmt: skip
    pipeline.set_random_state(1)
    return pipeline


def bench_patches(cases: list[PreparedCase], config: DataConfig, patches: int) -> None:
    source = PatchSource(cases, cases[0].label_set, config, seed=1, batch_size=2)
    x, y, z = config.patch_size
    whole = [
        {"image": torch.from_numpy(np.array(c.image, np.float32)), "labels": torch.from_numpy(np.array(c.labels)),
         "valid": torch.from_numpy(c.valid())} for c in cases
    ]  # fmt: skip

    def plain(pipeline: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[int], object]:
        def make(number: int) -> object:
            place = source.sampler.draw(number)
            a, b, c = place.start
            box = (slice(None), slice(a, a + x), slice(b, b + y), slice(c, c + z))
            return pipeline({name: values[box].float() for name, values in whole[place.case].items()})

        return make

    usual = seconds(source.__getitem__, patches)
    row("patch, as drawn", usual, seconds(plain(monai_pipeline(config, always=False)), patches), "MONAI's transforms")
    shares = {(augment, "DEFORMED"), (augment, "ELASTIC")} | {
        (appearance, name) for name in ("BLURRED", "NOISY", "CONTRAST", "GAMMA", "BIASED")
    }
    kept = {(module, name): getattr(module, name) for module, name in shares}
    for module, name in shares:
        setattr(module, name, 1.0)
    try:
        full = seconds(source.__getitem__, max(patches // 4, 4))
    finally:
        for (module, name), value in kept.items():
            setattr(module, name, value)
    theirs = seconds(plain(monai_pipeline(config, always=True)), max(patches // 4, 4))
    row("patch, everything applied", full, theirs, "MONAI's transforms")


def bench_distance(case: PreparedCase, config: DataConfig, cache: Cache) -> None:
    stored = distance_maps(case, TAU, cache)
    assert isinstance(stored, StoredArray)
    box = tuple(slice((n - p) // 2, (n - p) // 2 + p) for n, p in zip(case.shape, config.patch_size, strict=True))

    def cut(_: int) -> object:
        return np.array(stored.open()[(slice(None), *box)], np.float32)

    def compute(_: int) -> object:
        labels = np.asarray(case.labels[(slice(None), *box)])
        masks = (label_mask(labels, case.label_set, k) for k in range(len(case.label_set)))
        return np.stack([signed_distance(mask, config.spacing, TAU) for mask in masks])

    what = f"distance maps of a crop, {len(case.label_set)} labels"
    row(what, seconds(cut, 20), seconds(compute, 5), "computed per crop")


def bench_waiting(cases: list[PreparedCase], config: DataConfig, step: float) -> None:
    """A step of ``step`` seconds on two threads beside one worker."""
    source = PatchSource(cases, cases[0].label_set, config, seed=1, batch_size=2)
    torch.set_num_threads(2)
    a = torch.randn(512, 512)
    with loader(source, workers=1) as batches:
        next(batches)
        began = time.perf_counter()
        for _ in range(max(10, int(8 / step))):
            end = time.perf_counter() + step
            while time.perf_counter() < end:
                a = torch.tanh(a @ a / 512)
            next(batches)
        elapsed = time.perf_counter() - began
        print(
            f"\nwaiting for data: {100 * batches.waiting_seconds / elapsed:.2f} % of the time, steps of {step} s on "
            "2 threads, 1 worker, batches of 2 patches (wanted: under 5 %); "
            f"first batch after {batches.first_seconds:.1f} s"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="224,224,64", help="voxels of the volumes")
    parser.add_argument("--patch", default="96,96,32", help="voxels of a patch")
    parser.add_argument("--patches", type=int, default=40)
    parser.add_argument("--step", type=float, default=0.4, help="seconds of a training step")
    args = parser.parse_args()
    size, patch = (tuple(int(n) for n in text.split(",")) for text in (args.size, args.patch))
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        project = a_project(Path(folder) / "project", size)
        spacing = project.train_cases()[0].grid().spacing
        config = DataConfig(spacing=tuple(1.1 * s for s in spacing), patch_size=patch)
        print(f"{'':44s} {'here, ms':>10s} {'plain, ms':>10s} {'faster':>10s}  plain way")
        began = time.perf_counter()
        cases = prepare(project, config)
        first = time.perf_counter() - began
        again = seconds(lambda _: prepare(project, config), 3)
        row(f"preparing {CASES} cases again", again, first, "preparing them anew")
        bench_patches(cases, config, args.patches)
        bench_distance(cases[0], config, Cache(project.cache_folder))
        bench_waiting(cases, config, args.step)


if __name__ == "__main__":
    main()
