"""Scores of test cases on the training grid, per case and label, with and without the largest component alone."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from SemiSupSegLib.engine.evaluate import reference_on_grid
from SemiSupSegLib.engine.metrics import score_medpy
from SemiSupSegLib.engine.reference import LabelFolder
from SemiSupSegLib.project.geometry import Grid, to_ras, training_grid
from SemiSupSegLib.project.images import read_volume
from SemiSupSegLib.project.labels import LabelSet

Mask = NDArray[np.bool_]
COMPONENTS = ("all", "largest")


def largest_component(mask: Mask) -> Mask:
    """The largest of a mask's parts, voxels that touch by a corner being of one part (SASSNet's ``--nms``).

    The first in the order of the array where two are as large; an empty mask stays empty.
    """
    import SimpleITK as sitk  # noqa: N813

    parts = sitk.GetArrayFromImage(sitk.ConnectedComponent(sitk.GetImageFromArray(mask.astype(np.uint8)), True))
    sizes = np.bincount(parts.ravel())[1:]
    return np.zeros_like(mask) if not sizes.size else np.asarray(parts == 1 + sizes.argmax())


def label_set_of(folder: Path) -> LabelSet:
    """Labels of a data set with ``dataset.json``, in the order of their values."""
    return LabelSet.from_names(LabelFolder(folder).said.values())


def on_training_grid(folder: Path, images: Path, label_set: LabelSet, spacing: str) -> dict[str, tuple[Mask, Grid]]:
    """By case: (K, X, Y, Z) labels of a folder on the training grid of their images, and that grid."""
    values = [float(part) for part in spacing.split(",")]
    x, y, z = values * (3 // len(values))
    found = {}
    for path in sorted(images.iterdir()):
        grid = training_grid(Grid.of(to_ras(read_volume(path))), (x, y, z))
        case = path.name.split(".")[0]
        found[case] = (reference_on_grid(folder, case, label_set, grid), grid)
    return found


def scores(predictions: Path, test: Path, spacing: str) -> list[dict[str, Any]]:
    """One entry per case, label and treatment of components.

    Labels that the reference does not have are left out. ``*_voxels`` are of the training grid; null where nothing is
    predicted; then ``diagonal_*`` of the volume can stand for the distance.

    Args:
        predictions: what ``predict --output`` wrote.
        test: folder with images/, labels/ and dataset.json.
        spacing: training grid, MM or X,Y,Z.
    """
    label_set = label_set_of(test)
    found: list[dict[str, Any]] = []
    predicted = on_training_grid(predictions, test / "images", label_set, spacing)
    for case, (reference, grid) in on_training_grid(test, test / "images", label_set, spacing).items():
        for name, ours, theirs in zip(label_set.names, predicted[case][0], reference, strict=True):
            if theirs.any():
                found += [{"case": case, "label": name, **entry} for entry in _entries(ours, theirs, grid)]
    return found


def _entries(predicted: Mask, reference: Mask, grid: Grid) -> list[dict[str, Any]]:
    """The treatments of components of one label of one case."""
    found = []
    diagonal_mm = math.dist((0, 0, 0), [n * mm for n, mm in zip(grid.size, grid.spacing, strict=True)])
    for components in COMPONENTS:
        chosen = predicted if components == "all" else largest_component(predicted)
        in_voxels, in_mm = score_medpy(chosen, reference), score_medpy(chosen, reference, grid.spacing)
        distances = {f"{name}_voxels": value for name, value in asdict(in_voxels).items() if "medpy" in name}
        distances |= {f"{name}_mm": value for name, value in asdict(in_mm).items() if "medpy" in name}
        found.append(
            {
                "components": components,
                "empty": not chosen.any(),
                "dice": in_voxels.dice,
                "jaccard": in_voxels.jaccard,
                **{name: None if math.isnan(value) else value for name, value in distances.items()},
                "diagonal_voxels": math.dist((0, 0, 0), grid.size),
                "diagonal_mm": diagonal_mm,
            }
        )
    return found
