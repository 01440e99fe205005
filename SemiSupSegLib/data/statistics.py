"""What is measured over all training cases before they are prepared."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import ProjectError
from ..project.annotation import label_mask
from ..project.cases import Case
from ..project.labels import LabelSet
from ..project.project import Project
from .prepared import PreparedCase

__all__ = ["ct_statistics", "label_shares"]

BODY_HU = -500.0
"""Voxels above it are body rather than air or lung; used only where no label has a voxel."""
CASES_PER_LABEL = 10
"""From which it is measured how large a label is."""
SAMPLES_PER_CASE = 20_000
"""Voxels taken of each case, at regular steps, so that no case weighs more than another."""


def ct_statistics(project: Project) -> tuple[float, float, float, float]:
    """Lower and upper clipping value, mean and standard deviation in HU: ``DataConfig.ct_window``.

    The 0.5th and 99.5th percentile, and mean and deviation between them, over the voxels that carry an annotated
    label in the training cases (as nnU-Net does: Isensee et al., Nature Methods 2021); over the body where no label
    has a voxel.

    Raises:
        ProjectError: there is no training case, or its voxels are all alike.
    """
    cases = project.train_cases()
    samples = [_labelled(case, project.label_set) for case in cases if case.annotated]
    if not any(len(s) for s in samples):
        samples = [_sample((values := _hounsfield(case)), values > BODY_HU) for case in cases]
    values = np.concatenate([np.zeros(0), *samples])
    if not len(values) or values.min() == values.max():
        msg = f"no CT window can be measured: the {len(cases)} training cases hold no two different values in the body"
        raise ProjectError(msg)
    low, high = np.percentile(values, (0.5, 99.5))
    inside = np.clip(values, low, high)
    return float(low), float(high), float(inside.mean()), float(max(inside.std(), 1e-3))


def label_shares(cases: Sequence[PreparedCase]) -> list[float | None]:
    """What each label has of the voxels of the first cases in which it is complete or absent, [0, 1].

    Args:
        cases: prepared; of thousands only as many are read as it takes to know every label from ten.

    Returns:
        One number a label, None where there is no such case; empty without cases.
    """
    labels = len(cases[0].label_set) if cases else 0
    seen, found, voxels = (np.zeros(labels, np.int64) for _ in range(3))
    for case in cases:
        wanted = case.everywhere & (seen < CASES_PER_LABEL)
        if wanted.any():
            counts = [np.bincount(layer.ravel(), minlength=labels + 1) for layer in np.asarray(case.labels)]
            own = np.array([counts[place.layer][place.value] for place in case.label_set.places])
            seen, found = seen + wanted, found + np.where(wanted, own, 0)
            voxels += np.where(wanted, np.prod(case.shape), 0)
    return [float(f / v) if v else None for f, v in zip(found, voxels, strict=True)]


def _labelled(case: Case, label_set: LabelSet) -> NDArray[np.float64]:
    labels = case.labels(label_set)
    mask = np.zeros(labels.shape[1:], bool)
    for channel, name in enumerate(label_set.names):
        if case.annotation(name).annotated:
            mask |= label_mask(labels, label_set, channel)
    return _sample(_hounsfield(case), mask) if mask.any() else np.zeros(0)


def _hounsfield(case: Case) -> NDArray[np.float64]:
    import SimpleITK as sitk  # noqa: N813  everybody's name for it

    return sitk.GetArrayFromImage(case.image()).astype(np.float64)


def _sample(values: NDArray[np.float64], mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    chosen = values[mask]
    return chosen[:: max(1, len(chosen) // SAMPLES_PER_CASE)]
