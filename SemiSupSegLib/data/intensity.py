"""From scanner units to the numbers that a network sees."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import DataConfig
from ..errors import ConfigError

__all__ = ["LIMIT", "body", "clipping_range", "normalise"]

LIMIT = 10.0
"""Normalised values are clipped to this on both sides: float16 cannot overflow, and one hot voxel cannot dominate."""
BODY_SHARE = 0.1
"""Voxels above this share of the range from the 0.5th to the 99.5th percentile are body: neither air around an MR nor
air around a CT, and nothing of a skull-stripped background."""
FEWEST_BODY_VOXELS = 8
MOST_SAMPLES = 1_000_000
"""Percentiles are taken of at most about this many voxels, at regular steps."""


def normalise(volume: NDArray[Any], config: DataConfig) -> NDArray[np.float32]:
    """Normalised intensities within [-:data:`LIMIT`, :data:`LIMIT`].

    ``zscore``: clipped at the volume's 0.5th and the body's 99.5th percentile, minus the mean and divided by the
    standard deviation of the body (see :func:`body`), so that it does not matter how much air is in the picture.
    ``ct``: clipped at the window, minus its mean, divided by its deviation, so that a Hounsfield unit means the same
    in every case.

    Args:
        volume: (*S), any real kind, any range. A value that is no number counts as the lowest.
        config: ``intensity`` and ``ct_window``.

    Returns:
        (*S) float32; all 0 for a constant volume under ``zscore``.

    Raises:
        ConfigError: ``ct`` without a window.
    """
    values = np.asarray(volume, np.float64)
    if not (finite := np.isfinite(values)).all():
        values = np.where(finite, values, values[finite].min() if finite.any() else 0.0)
    if config.intensity == "ct":
        if config.ct_window is None:
            msg = "data.intensity is ct, but data.ct_window is not set; it is measured on the training cases"
            raise ConfigError(msg)
        low, high, mean, deviation = config.ct_window
        values = np.clip(values, low, high)
    else:
        inside = body(values)
        low, high = clipping_range(values)[0], clipping_range(values[inside])[1]
        values = np.clip(values, low, high)
        mean, deviation = float(values[inside].mean()), float(values[inside].std())
    if not deviation > 1e-12 * max(abs(low), abs(high)):  # constant but for rounding
        return np.zeros(values.shape, np.float32)
    return np.clip((values - mean) / deviation, -LIMIT, LIMIT).astype(np.float32)


def body(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Voxels that are not the dark surroundings, (*S) bool; every voxel when there are hardly any others."""
    low, high = clipping_range(values)
    inside = values > low + BODY_SHARE * (high - low)
    return inside if inside.sum() >= FEWEST_BODY_VOXELS else np.ones(values.shape, bool)


def clipping_range(values: NDArray[np.float64]) -> tuple[float, float]:
    """The 0.5th and the 99.5th percentile; the whole range where nearly all voxels are alike."""
    sample = values.ravel()[:: max(1, values.size // MOST_SAMPLES)]
    low, high = np.percentile(sample, (0.5, 99.5))
    if low == high:
        low, high = values.min(), values.max()
    return float(low), float(high)
