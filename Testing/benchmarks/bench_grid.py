"""How coarse the planned grid is, and what it costs: Dice of the labels themselves after going to the grid and back.

    python Testing/benchmarks/bench_grid.py [--data FOLDER ...] [--cases 4]

No network trained on that grid can do better than that, up to what it guesses between the voxels. Each data set becomes
a project; a few of its cases are measured. The label in the last column is the one that loses most.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from partial_labels import REPOSITORY, semisupseg

from SemiSupSegLib.config import PRESETS
from SemiSupSegLib.engine.training_grid import median_extent, training_spacing
from SemiSupSegLib.project.annotation import label_mask
from SemiSupSegLib.project.geometry import image_from_kji
from SemiSupSegLib.project.project import Project

DATA = ("left_atrium", "abdomen_mr", "cardiac_mr", "pelvis_mr", "brain_mr", "trunk_ct")


def main() -> None:
    """One row a data set and preset."""
    shared = REPOSITORY.parent / "shared" / "data"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", default=[shared / name for name in DATA])
    parser.add_argument("--cases", type=int, default=4, help="measured of each data set (default: %(default)s)")
    args = parser.parse_args()
    print("| data | preset | grid, mm | voxels of a typical volume | mean Dice | lowest | of |")
    print("|---|---|---|--:|--:|--:|---|")
    for data in args.data:
        with tempfile.TemporaryDirectory() as folder:
            semisupseg("import", Path(folder) / "p", data, "--holdout", 0, "--yes")
            project = Project.open(Path(folder) / "p")
            for preset in PRESETS:
                print(row(project, data.name, preset, args.cases), flush=True)


def row(project: Project, data: str, preset: str, count: int) -> str:
    """Of a data set and a preset."""
    cases = [case for case in project.train_cases() if case.annotated]
    grid_mm = training_spacing(cases, project.label_set, PRESETS[preset].with_labels(len(project.label_set)))
    voxels = float(np.prod(median_extent(cases) / np.array(grid_mm)))
    found: dict[str, list[float]] = {}
    for case in cases[:: -(-len(cases) // count)]:
        layers, grid = case.labels(project.label_set), case.grid()
        for channel, name in enumerate(project.label_set.names):
            mask = label_mask(layers, project.label_set, channel)
            if mask.any():
                found.setdefault(name, []).append(
                    there_and_back(image_from_kji(mask.astype(np.float32), grid), grid_mm)
                )
    means = {name: float(np.mean(values)) for name, values in found.items()}
    worst = min(means, key=lambda name: means[name])
    grid_words = " x ".join(f"{mm:.2f}" for mm in grid_mm)
    mean = float(np.mean(list(means.values())))
    return f"| {data} | {preset} | {grid_words} | {voxels:,.0f} | {mean:.3f} | {means[worst]:.3f} | {worst} |"


def there_and_back(label: sitk.Image, grid_mm: tuple[float, float, float]) -> float:
    """Dice of a label (float32 0 or 1, RAS axes) with itself after averaging to a grid and interpolating back."""
    wanted = np.maximum(grid_mm, label.GetSpacing())
    smooth = sitk.SmoothingRecursiveGaussian(label, [max(0.4 * mm, 1e-3) for mm in wanted])
    size = [max(1, round(n * mm / to)) for n, mm, to in zip(label.GetSize(), label.GetSpacing(), wanted, strict=True)]
    to = sitk.Image(size, sitk.sitkFloat32)
    to.SetDirection(label.GetDirection())
    to.SetSpacing([n * mm / m for n, mm, m in zip(label.GetSize(), label.GetSpacing(), size, strict=True)])
    to.SetOrigin(
        label.TransformContinuousIndexToPhysicalPoint(
            [0.5 * n / m - 0.5 for n, m in zip(label.GetSize(), size, strict=True)]
        )
    )
    coarse = sitk.Resample(smooth, to, sitk.Transform(), sitk.sitkLinear)
    back = sitk.GetArrayViewFromImage(sitk.Resample(coarse, label, sitk.Transform(), sitk.sitkLinear)) > 0.5
    here = sitk.GetArrayViewFromImage(label) > 0.5
    return 2 * float((back & here).sum()) / float(back.sum() + here.sum())


if __name__ == "__main__":
    main()
