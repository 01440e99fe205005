"""Where a proposal's border lies: each label's threshold is moved to where proposals overlap most with the annotations.

Two things shift a network's probabilities. Patches are drawn around labels, so that it expects them more often than
volumes have them; and a short training leaves large organs below 0.5 for want of time. Both can be seen on the
annotated cases themselves, predicted as whole volumes (``Testing/benchmarks/README.md``: Dice on other cases 0.62 to
0.67 after 300 steps, 0.39 to 0.47 with 138 labels). The logit is moved in the weights (the bias of the last layer),
so that :mod:`.decision` holds everywhere else. Moving a decision threshold to the optimum of F1, which Dice is, is
common practice (Lipton, Elkan, Naryanaswamy, ECML 2014). Labels that exclude each other are rivals for a voxel: where
they have been moved to is what each is moved against in the next pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..project.labels import LabelSet
from .decision import needed
from .model import Model
from .seen import Seen, logit

__all__ = ["best_shift", "shifts", "with_shifts"]

SHIFTS = np.linspace(-4.0, 4.0, 81)
"""Of a logit: what was 0.02 may become 0.5, and what was 0.98. Small regions among many labels need it."""
EQUAL = 0.002
"""Dice that counts as the same: of shifts that differ by no more, the smallest is taken."""
PASSES = 4
"""Over all labels. With 138 of them two give a Dice of 0.456, four 0.467 (``Testing/benchmarks/README.md``)."""
PIECE = 1 << 16
"""Voxels that are looked at in one go: their probabilities are needed in several copies."""
HEAD = "head.bias"

Floats = NDArray[np.floating]


def with_shifts(model: Model, found: dict[str, float]) -> Model:
    """The model with each label's logit moved by its number; the others stay."""
    exclusive = model.config.network.activation == "softmax"
    bias = model.weights[HEAD].clone()
    for name, shift in found.items():
        bias[model.label_set.index(name) + exclusive] += shift
    return replace(model, weights={**model.weights, HEAD: bias}, moved=dict(found))


def shifts(seen: Sequence[Seen], label_set: LabelSet) -> dict[str, float]:
    """What to add to each label's logit; only labels for which that is not 0.

    Args:
        seen: annotated cases, as the model predicts them.
        label_set: the model's.
    """
    names = label_set.names
    moved, whole = np.zeros(len(names)), sum((case.whole * case.shown for case in seen), np.zeros(len(names)))
    for _ in range(PASSES if seen else 0):
        found, true = np.sum([_counts(case, moved, label_set) for case in seen], axis=0)
        moved = np.array([best_shift(*counted) for counted in zip(found, true, whole, strict=True)])
    return {name: float(shift) for name, shift in zip(names, moved, strict=True) if shift}


def best_shift(found: NDArray[np.floating], true: NDArray[np.floating], whole: float) -> float:
    """The shift with the highest Dice, or 0 where nothing of the label was there or found.

    Args:
        found: for each of :data:`SHIFTS`, the voxels that would be proposed.
        true: how many of them are the label.
        whole: voxels of the label.
    """
    dice = 2 * true / np.maximum(found + whole, 1)
    if not whole or not dice.max() > 0:
        return 0.0
    best = SHIFTS[dice >= dice.max() - EQUAL]
    return round(float(best[np.abs(best).argmin()]), 6)


def _counts(case: Seen, moved: Floats, label_set: LabelSet) -> tuple[Floats, Floats]:
    """(K, shifts) twice: the voxels that would be proposed of each label while the others are where they were moved
    to, and how many of them are the label."""
    counted = np.zeros((2, len(moved), len(SHIFTS)))
    for start in range(0, case.probability.shape[1], PIECE):
        piece = slice(start, start + PIECE)
        for layer in range(label_set.n_layers):
            members = [c for c, place in enumerate(label_set.places) if place.layer == layer]
            own = logit(case.probability[members, piece].astype(np.float32))
            others = 1 / (1 + np.exp(-(own + moved[members, np.newaxis].astype(np.float32))))
            for c, its, limit in zip(members, own, needed(others), strict=True):
                if case.shown[c]:
                    known = case.known[c][piece] if c in case.known else np.ones(len(its), bool)
                    right = known & (case.layers[layer, piece] == label_set.places[c].value)
                    lacks = logit(limit) - its
                    counted[:, c] += [_below(lacks[known]), _below(lacks[right])]
    return counted[0], counted[1]


def _below(lacks: Floats) -> NDArray[np.integer]:
    """For each shift, how many voxels it lifts over what they lack."""
    return np.searchsorted(np.sort(lacks[lacks < SHIFTS[-1]]), SHIFTS, side="left")
