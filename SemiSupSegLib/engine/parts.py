# SimpleITK names the types of some of its methods only:
# mypy: allow-untyped-calls
"""Connected parts: how many an organ has where people annotated it, and a prediction's that many largest ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..data.prepare import PreparedCase
from ..project.annotation import label_mask
from ..project.geometry import Grid, array_xyz, image_from_xyz

__all__ = ["annotated_parts", "largest_parts"]

SPECK = 0.02
"""Share of a label's voxels below which a part is a slip of the brush."""


def annotated_parts(cases: Sequence[PreparedCase]) -> list[int | None]:
    """For each label the largest number of parts that it has in any case in which it is annotated everywhere.

    Args:
        cases: of one project, at least one.

    Returns:
        One number a label; None where no case shows the whole of it.
    """
    label_set = cases[0].label_set
    found: list[int | None] = [None] * len(label_set)
    for case in cases:
        labels = np.asarray(case.labels)
        for channel in np.flatnonzero(case.everywhere):
            mask = label_mask(labels, label_set, int(channel))
            if mask.any():
                sizes = _sizes(_parts(mask))
                count = int((sizes >= SPECK * sizes.sum()).sum())
                found[channel] = max(found[channel] or 0, count)
    return found


def largest_parts(mask: NDArray[np.bool_], count: int | None) -> NDArray[np.bool_]:
    """The ``count`` largest parts (26 neighbours) of a mask (X, Y, Z); all of them for None."""
    if count is None or not mask.any():
        return mask
    parts = _parts(mask)
    kept = np.argsort(-_sizes(parts), kind="stable")[:count] + 1
    return np.isin(parts, kept)


def _parts(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(X, Y, Z) number of the part from 1, 0 outside."""
    import SimpleITK as sitk  # noqa: N813  everybody's name for it

    image = image_from_xyz(mask, Grid(mask.shape, (1.0, 1.0, 1.0)))
    numbered = sitk.ConnectedComponent(image, True)
    return np.asarray(array_xyz(numbered), np.int64)


def _sizes(parts: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.bincount(parts.ravel())[1:]
