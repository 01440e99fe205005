"""The naive baseline: what is not annotated is taken for background. Wrong on purpose; figures need it beside SMILE.

The "baseline FCN" of Petit et al., DLMIA 2018: with missing rate a, a share a of each organ's voxels become false
negatives, and it breaks down above a = 0.5.
"""

from __future__ import annotations

from .base import Method

__all__ = ["Naive"]


class Naive(Method):
    """Full supervision with missing labels as background."""

    name = "naive"
    summary = "Baseline for comparison: takes every missing annotation for background, and learns to miss organs."
    missing_is_background = True
