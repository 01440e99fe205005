"""How a training patch looks: blur, noise, brightness, contrast, gamma and, for MR, a bias field.

The same changes as MONAI's RandGaussianSmooth, RandGaussianNoise, RandScaleIntensity, RandShiftIntensity,
RandAdjustContrast and RandBiasField, on the whole patch in a fraction of their time
(``Testing/benchmarks/bench_data.py``). Parameters are drawn first and applied second.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..config import DataConfig
from .smooth import control_points, smooth_field

__all__ = ["Appearance", "adjust_gamma", "blur", "draw_appearance"]

BLURRED, NOISY, CONTRAST, GAMMA, BIASED = 0.2, 0.3, 0.5, 0.3, 0.3
"""Share of patches that each change meets."""
BIAS_DISTANCE_MM = 80.0
"""Distance of the bias field's control points: coils light up quarters of a body, not organs."""


@dataclass(frozen=True)
class Appearance:
    """What to do to one patch; None leaves a change out."""

    blur: float | None = None
    """Standard deviation of the Gaussian in voxels."""
    noise: tuple[float, int] | None = None
    """Standard deviation of Gaussian noise, and the seed that draws it."""
    contrast: tuple[float, float] | None = None
    """Factor about the patch's mean, and what is added."""
    gamma: float | None = None
    """Exponent on the patch's range scaled to [0, 1]."""
    bias: NDArray[np.float64] | None = None
    """(1, GX, GY, GZ) control points of the logarithm of the field."""

    def apply(self, image: Tensor, *, padding: float) -> Tensor:
        """The changed patch, (M, X, Y, Z) float32; the given one where nothing is to be done.

        Args:
            image: normalised.
            padding: the volume's lowest value: what no signal looks like, which a bias field leaves alone.
        """
        if self.bias is not None:
            field = smooth_field(self.bias, (image.shape[1], image.shape[2], image.shape[3])).exp_()
            image = (image - padding) * field + padding
        if self.blur is not None:
            image = blur(image, self.blur)
        if self.contrast is not None:
            factor, shift = self.contrast
            mean = float(image.mean())
            image = image * factor + (mean * (1 - factor) + shift)
        if self.gamma is not None:
            image = adjust_gamma(image, self.gamma)
        if self.noise is not None:
            deviation, seed = self.noise
            values = np.random.Generator(np.random.SFC64(seed)).standard_normal(tuple(image.shape), np.float32)
            image = torch.add(image, torch.from_numpy(values), alpha=deviation)
        return image


def draw_appearance(random: np.random.Generator, config: DataConfig) -> Appearance:
    """Draw one; nothing at all when ``intensity_strength`` is 0, or with ``uamt``'s augmentation. No bias field on CT,
    whose units are calibrated."""
    strength = config.intensity_strength
    met = random.random(5) < (BLURRED, NOISY, CONTRAST, GAMMA, BIASED)
    size, amount, about, log_gamma = random.random(), random.random(), random.uniform(-1, 1, 2), random.uniform(-1, 1)
    seed = int(random.integers(2**63))
    if not strength or config.augmentation == "uamt":
        return Appearance()
    points = control_points(np.multiply(config.patch_size, config.spacing).tolist(), BIAS_DISTANCE_MM)
    biased = bool(met[4]) and config.intensity != "ct"
    return Appearance(
        blur=strength * (0.3 + 0.5 * size) if met[0] else None,
        noise=(strength * 0.15 * amount, seed) if met[1] else None,
        contrast=(float(np.exp(strength * 0.25 * about[0])), strength * 0.15 * about[1]) if met[2] else None,
        gamma=float(np.exp(strength * 0.35 * log_gamma)) if met[3] else None,
        bias=strength * 0.4 * random.standard_normal((1, *points)) if biased else None,
    )


def blur(image: Tensor, deviation: float) -> Tensor:
    """Gaussian blur of (M, X, Y, Z) by ``deviation`` voxels along each axis; edges are repeated."""
    reach = max(1, round(3 * deviation))
    taps = np.exp(-0.5 * (np.arange(reach + 1) / deviation) ** 2)
    taps /= taps[0] + 2 * taps[1:].sum()
    for axis in (1, 2, 3):
        length = image.shape[axis]
        where = torch.arange(-reach, length + reach).clamp_(0, length - 1)
        padded = image.index_select(axis, where)
        result = padded.narrow(axis, reach, length) * float(taps[0])
        for k in range(1, reach + 1):
            for side in (reach - k, reach + k):
                result.add_(padded.narrow(axis, side, length), alpha=float(taps[k]))
        image = result
    return image


def adjust_gamma(image: Tensor, gamma: float) -> Tensor:
    """Values scaled to [0, 1], to the power of gamma, scaled back (MONAI's AdjustContrast); constant images stay."""
    low, high = torch.aminmax(image)
    span = float(high - low)
    if span < 1e-7:
        return image
    return ((image - low) / span).pow_(gamma).mul_(span).add_(low)
