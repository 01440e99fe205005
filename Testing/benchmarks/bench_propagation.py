"""What finished slices are worth for the slices between them, without any training.

    python Testing/benchmarks/bench_propagation.py PROJECT --test FOLDER [--device cpu]

PROJECT has a model in use; FOLDER has images/, labels/ and dataset.json. Each volume is predicted once. Then every
second, fourth, ... slice of each label is finished with the reference, from just before its first to just behind its
last one, and what is proposed in the slices between them is compared with the reference. Printed, mean Dice of these
slices: of the network alone; as it follows the finished slices (`SemiSupSegLib/engine/propagation.py`); and for
comparison what is drawn without any network, by shape-based interpolation (Raya and Udupa, IEEE TMI 1990): the signed
distances to the organ's border of the two finished slices, interpolated linearly.
"""

from __future__ import annotations

import argparse
import copy
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import SimpleITK as sitk  # noqa: N813
from bench_threshold import read_arguments
from numpy.typing import NDArray

from SemiSupSegLib.engine.model import Model
from SemiSupSegLib.engine.predict import predict_volume, predictor
from SemiSupSegLib.engine.prediction import Prediction
from SemiSupSegLib.engine.propagation import Finished, propagate
from SemiSupSegLib.engine.reference import LabelFolder
from SemiSupSegLib.project.annotation import label_mask
from SemiSupSegLib.project.folders import find_pairs
from SemiSupSegLib.project.grid import Grid
from SemiSupSegLib.project.images import read_volume
from SemiSupSegLib.project.models import promoted_model
from SemiSupSegLib.project.project import Project

EVERY = (2, 4, 8, 16)
WAYS = ("network alone", "follows finished slices", "shapes interpolated")

Masks = NDArray[np.bool_]


def main() -> None:
    """Score all distances, and print a Markdown table."""
    args = read_arguments(__doc__)
    folder = promoted_model(Project.open(args.project).models_folder)
    if folder is None:
        sys.exit("this project has no model yet")
    found: dict[int, list[list[float]]] = {n: [] for n in EVERY}
    spacing = []
    for prediction, truth in predictions(args, Model.load(folder)):
        spacing.append(prediction.grid.spacing[2])
        for n in EVERY:
            found[n] += scores(prediction, truth, n)
    print("| finished slices | mm apart |", " | ".join(WAYS), "|\n|---|--:|", "--:|" * len(WAYS))
    for n, rows in found.items():
        mean = " | ".join(f"{one:.3f}" for one in np.mean(rows, axis=0))
        print(f"| one of {n} | {n * np.mean(spacing):.1f} |", mean, "|")


def predictions(args: argparse.Namespace, model: Model) -> Iterator[tuple[Prediction, dict[str, Masks]]]:
    """Of each volume what the network says, and the labels that the reference shows."""
    inference = predictor(model, device=args.device)
    for pair in find_pairs(args.test):
        image = read_volume(pair.image)
        reference = LabelFolder(args.test).read(pair.stem, Grid.of(image))
        truth = {name: reference.mask(name) for name in model.label_set.names}
        shown = {name: mask for name, mask in truth.items() if mask.any()}
        yield predict_volume(model, image, passes=0, inference=inference), shown


def scores(prediction: Prediction, truth: dict[str, Masks], every: int) -> list[list[float]]:
    """Dice of the slices between the finished ones, of each label that has any, for each of :data:`WAYS`."""
    chosen = {name: finished_slices(mask, every) for name, mask in truth.items()}
    statistics, names = copy.deepcopy(prediction.statistics), list(prediction.label_set.names)
    finished = [Finished(name, tuple(slices), truth[name][slices]) for name, slices in chosen.items()]
    propagate(statistics, prediction.training_grid, prediction.grid, finished, names)
    ways, found = (prediction, replace(prediction, statistics=statistics)), []
    for name, slices in chosen.items():
        between = np.setdiff1d(np.arange(slices[0], slices[-1] + 1), slices)
        if truth[name][between].any():
            proposed = [label_mask(way.labels, prediction.label_set, names.index(name)) for way in ways]
            proposed.append(interpolated(truth[name], slices, prediction.grid))
            found.append([dice(one[between], truth[name][between]) for one in proposed])
    return found


def finished_slices(mask: Masks, every: int) -> list[int]:
    """Slices k of a label (k, j, i), beginning just before its first one and ending just behind its last one."""
    shown = np.flatnonzero(mask.any(axis=(1, 2)))
    first, last = max(int(shown[0]) - every // 2, 0), int(shown[-1]) + every // 2
    return list(range(first, min(last + 1, len(mask)), every))


def interpolated(mask: Masks, slices: list[int], grid: Grid) -> Masks:
    """(k, j, i): the label between its finished slices, by their shapes."""
    distances = {k: signed_distance(mask[k], grid) for k in slices}
    found = np.zeros_like(mask)
    for low, high in pairwise(slices):
        for k in range(low + 1, high):
            share = (k - low) / (high - low)
            found[k] = (1 - share) * distances[low] + share * distances[high] > 0
    return found


def signed_distance(mask: Masks, grid: Grid) -> NDArray[np.float32]:
    """(j, i) mm to the border between voxels, positive inside; far outside where nothing is drawn."""
    if not mask.any():
        return np.full(mask.shape, -10.0, np.float32)
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    image.SetSpacing(grid.spacing[:2])
    away = sitk.GetArrayFromImage(sitk.SignedMaurerDistanceMap(image, squaredDistance=False, useImageSpacing=True))
    return np.asarray(min(grid.spacing[:2]) / 2 - away, np.float32)  # its 0 is at the organ's outermost voxels


def dice(one: Masks, other: Masks) -> float:
    """Of two masks, one of which is not empty."""
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


if __name__ == "__main__":
    main()
