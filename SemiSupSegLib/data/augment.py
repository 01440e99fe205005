"""Where the voxels of a training patch come from: rotation, scaling, elastic deformation and mirroring in one
resampling.

Parameters are drawn first and applied second. Everything is in millimetres, so that thick slices are not sheared. A
patch that is only cropped, turned by quarters and mirrored is not interpolated at all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..config import DataConfig
from .smooth import control_points, smooth_field

__all__ = ["Deformation", "draw_deformation", "source_voxels"]

DEFORMED = 0.7
"""Share of patches that are rotated and scaled."""
ELASTIC = 0.4
"""Share of those that are deformed elastically as well."""
ELASTIC_DISTANCE_MM = 32.0
"""Distance of the elastic deformation's control points: bends organs, leaves their surfaces smooth."""


@dataclass(frozen=True)
class Deformation:
    """Where to look in the image for each voxel of the patch."""

    matrix: NDArray[np.float64] | None
    """(3, 3) in mm: offset in the image = matrix x offset in the patch, both from the patch's centre; None: a plain
    crop."""
    elastic: NDArray[np.float64] | None
    """(3, GX, GY, GZ) displacement of the control points in mm; None without."""
    flips: tuple[bool, bool, bool]
    """Whether the finished patch is mirrored along X, Y, Z."""
    quarter_turns: int = 0
    """Turns by 90° from X towards Y, 0 to 3, before the mirrors; voxels change places, whatever their spacing."""

    @property
    def flipped_axes(self) -> tuple[int, ...]:
        """Numbers of the mirrored axes among (X, Y, Z), counted from the end so that leading axes do not matter."""
        return tuple(axis - 3 for axis, flip in enumerate(self.flips) if flip)

    @property
    def moves_voxels(self) -> bool:
        """Whether voxels change places after the resampling."""
        return bool(self.quarter_turns or self.flipped_axes)

    def size_before_turns(self, size: tuple[int, int, int]) -> tuple[int, int, int]:
        """Voxels X, Y, Z to cut for a finished patch of a size: X and Y change places in an odd number of turns."""
        return (size[1], size[0], size[2]) if self.quarter_turns % 2 else size

    def turned_and_flipped(self, values: Tensor) -> Tensor:
        """(..., X, Y, Z) values of the patch at their final places."""
        if self.quarter_turns:
            values = values.rot90(self.quarter_turns, (-3, -2))
        return values.flip(self.flipped_axes) if self.flipped_axes else values


def draw_deformation(random: np.random.Generator, config: DataConfig) -> Deformation:
    """Draw one; a plain crop when all of rotation, scaling, elastic and flips are off.

    Rotation is uniform up to ``rotation`` about Z and up to a third of it about X and Y; scaling is uniform in its
    logarithm between 1 / (1 + ``scaling``) and 1 + ``scaling``, alike along all axes. ``uamt`` is a quarter turn,
    0 to 3 of them, and then a mirror along X or Y, never none (Yu et al., "UA-MT", MICCAI 2019; the authors' code): the
    patch is always one of the four mirror images of the square, and never as the scanner gave it.
    """
    if config.augmentation == "uamt":
        turns, axis = int(random.integers(4)), int(random.integers(2))
        return Deformation(None, None, (axis == 0, axis == 1, False), turns)
    flips = tuple(bool(random.random() < 0.5) and allowed for allowed in config.flips)
    deformed, bent = random.random() < DEFORMED, random.random() < ELASTIC
    angles = np.deg2rad(config.rotation) * random.uniform(-1, 1, 3) * (1 / 3, 1 / 3, 1)
    zoom = math.exp(random.uniform(-1, 1) * math.log1p(config.scaling))
    if not deformed or not (config.rotation or config.scaling or config.elastic):
        return Deformation(None, None, flips)  # type: ignore[arg-type]
    elastic = None
    if bent and config.elastic:
        extent = np.multiply(config.patch_size, config.spacing).tolist()
        elastic = config.elastic * random.standard_normal((3, *control_points(extent, ELASTIC_DISTANCE_MM)))
    return Deformation(_rotation(angles) / zoom, elastic, flips)  # type: ignore[arg-type]


def source_voxels(
    deformation: Deformation,
    start: tuple[int, int, int],
    size: tuple[int, int, int],
    spacing: tuple[float, float, float],
) -> Tensor:
    """Where each voxel of an unmirrored patch lies in the volume, (3, *size) float32, in voxels along X, Y, Z.

    Args:
        deformation: with a matrix.
        start: first voxel of the undeformed patch.
        size: voxels of the patch.
        spacing: mm per voxel of the volume and of the patch.
    """
    assert deformation.matrix is not None
    # from mm to voxels; written so that the identity stays exact
    matrix = deformation.matrix * np.asarray(spacing)[None, :] / np.asarray(spacing)[:, None]
    offsets = [torch.arange(n, dtype=torch.float32) - (n - 1) / 2 for n in size]
    voxels = torch.empty((3, *size))
    for row in range(3):
        x, y, z = (float(m) * o for m, o in zip(matrix[row], offsets, strict=True))
        centre = start[row] + (size[row] - 1) / 2
        torch.add(x[:, None, None] + y[:, None], z + centre, out=voxels[row])
    if deformation.elastic is not None:
        voxels += smooth_field(deformation.elastic / np.reshape(spacing, (3, 1, 1, 1)), size)
    return voxels


def _rotation(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3, 3) rotation about X, then Y, then Z by angles in radians."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(angles), np.sin(angles)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    rotation: NDArray[np.float64] = about_z @ about_y @ about_x
    return rotation
