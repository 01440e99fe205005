"""Options of embedding matching. All numbers are ours: the paper's could not be read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..errors import ConfigError
from .base import MethodConfig

__all__ = ["EmbeddingMatchingConfig"]


@dataclass(frozen=True, kw_only=True)
class EmbeddingMatchingConfig(MethodConfig):
    """How voxels become pseudo-labels, and how much these count."""

    warmup: float = 0.3
    """Share of the budget with supervised terms alone, 0 to 1: features that mean nothing yet cannot be matched."""
    ramp: float = 0.4
    """Share of the budget after that until the terms below have their full weight (Gaussian ramp)."""
    pseudo_label_weight: float = 1.0
    """Full weight of the cross-entropy with reliable and matched labels, >= 0."""
    entropy_weight: float = 0.05
    """Full weight of the entropy of what is unknown, >= 0; keep it small, it makes sure of what is wrong as well."""
    passes: int = 8
    """Monte Carlo dropout passes of the teacher's head."""
    uncertainty: Literal["entropy", "variance"] = "entropy"
    """``entropy``: of the mean over the passes; ``variance``: over the passes. Both are scaled to [0, 1]; variances
    are much smaller, so take a percentile with them."""
    threshold: tuple[float, float] = (0.5, 0.75)
    """Uncertainty below which the teacher is reliable, after the warm-up and after the ramp: 0 sends every voxel to
    the matching, 1 takes every prediction."""
    percentile: float | None = None
    """Instead of that ramp: the threshold that this percentage, 0 to 100, of the known voxels stays below."""
    references: int = 256
    """Reference voxels of each class in the bank."""
    batches: int = 16
    """Batches from which they are, the last ones in which the class was."""
    neighbours: int = 5
    """Nearest references that vote, k; a class with fewer references takes no part."""
    similarity: float = 0.7
    """Least cosine similarity of the nearest reference, -1 to 1."""
    margin: float = 0.6
    """Lead of the winner's votes over the next class's, as a share of k."""
    voxels: int = 10_000
    """Most voxels a patch that are matched in one step, drawn anew each time."""
    vote: Literal["auto", "classes", "labels"] = "auto"
    """``classes``: one vote between the background and all labels; it needs voxels that are known to be background,
    that is, cases in which every label is annotated. ``labels``: one vote a label, there or absent. ``auto``: by
    classes, by labels where labels may overlap or no training case has all of them annotated."""
    everywhere_unknown: bool = True
    """Teach also what is unknown in partly annotated cases; False: cases without any annotation only."""
    unlabelled: float = 0.5
    """Share of each batch that is drawn from cases without any annotation, where there are such, 0 to 1."""
    paper: bool = False
    """What the abstract says: images without any annotation alone get pseudo-labels, never the unknown rest of a
    partly annotated one. Network, optimizer and augmentation, which it does not give, are UA-MT's."""

    def __post_init__(self) -> None:
        ranges = [(name, getattr(self, name), 1) for name in ("warmup", "ramp", "margin", "unlabelled")]
        ranges += [("threshold", value, 1) for value in self.threshold] + [("percentile", self.percentile or 0, 100)]
        for name, value, most in ranges:
            if not 0 <= value <= most:
                msg = f"{name}: {value} is not between 0 and {most}"
                raise ConfigError(msg)
        for name in ("passes", "batches", "neighbours", "voxels"):
            if getattr(self, name) < 1:
                msg = f"{name}: {getattr(self, name)} is not at least 1"
                raise ConfigError(msg)
        if self.references < max(2 * self.batches, self.neighbours):
            msg = f"references: {self.references} for {self.batches} batches, each of which must give at least 2"
            raise ConfigError(msg)
