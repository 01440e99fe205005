"""Smooth random fields: cubic B-splines over a coarse grid of control points, for elastic deformation and bias
fields."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["control_points", "smooth_field"]

DEGREE = 3


def control_points(extent_mm: Sequence[float], distance_mm: float) -> tuple[int, int, int]:
    """How many control points along X, Y, Z lie about ``distance_mm`` apart over an extent in mm; at least 4."""
    x, y, z = (max(1, round(extent / distance_mm)) + DEGREE for extent in extent_mm)
    return x, y, z


def smooth_field(points: NDArray[np.floating], shape: tuple[int, int, int]) -> Tensor:
    """The cubic B-spline through a grid of control points, at every voxel.

    Rueckert et al., "Nonrigid registration using free-form deformations", IEEE TMI 1999, equation 1; evaluated axis
    by axis as three matrix products. Where control points are independent with standard deviation s, the field's is
    about s / 3.

    Args:
        points: (C, GX, GY, GZ), at least 4 along each axis; constant points give a constant field.
        shape: voxels X, Y, Z.

    Returns:
        (C, X, Y, Z) float32.
    """
    field = torch.from_numpy(np.ascontiguousarray(points, np.float32))
    channels, gx, gy, gz = field.shape
    x, y, z = (_basis(n, g) for n, g in zip(shape, (gx, gy, gz), strict=True))
    field = (x @ field.reshape(channels, gx, gy * gz)).reshape(channels, shape[0], gy, gz)
    return (y @ field) @ z.T


@lru_cache(maxsize=64)
def _basis(voxels: int, points: int) -> Tensor:
    """(voxels, points): weight of each control point at each voxel; rows sum to 1."""
    spans = points - DEGREE
    position = np.linspace(0, spans, voxels) if voxels > 1 else np.full(1, spans / 2)
    first = np.minimum(position.astype(int), spans - 1)
    u = position - first
    weights = np.stack(((1 - u) ** 3, 3 * u**3 - 6 * u**2 + 4, -3 * u**3 + 3 * u**2 + 3 * u + 1, u**3), axis=1) / 6
    matrix = np.zeros((voxels, points), np.float32)
    for k in range(DEGREE + 1):
        matrix[np.arange(voxels), first + k] = weights[:, k]
    return torch.from_numpy(matrix)
