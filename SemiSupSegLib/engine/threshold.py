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

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..data.prepare import PreparedCase
from ..project.labels import LabelSet
from .decision import needed
from .device import choose_device
from .model import Model
from .probe import probe_here
from .volume import Inference

__all__ = ["best_shift", "shifts", "with_shifts"]

SHIFTS = np.linspace(-4.0, 4.0, 81)
"""Of a logit: what was 0.02 may become 0.5, and what was 0.98. Small regions among many labels need it."""
EQUAL = 0.002
"""Dice that counts as the same: of shifts that differ by no more, the smallest is taken."""
CASES = 4
"""Annotated cases that are looked at for each label, at most."""
PASSES = 4
"""Over all labels. With 138 of them two give a Dice of 0.456, four 0.467 (``Testing/benchmarks/README.md``)."""
PIECE = 1 << 16
"""Voxels that are looked at in one go: their probabilities are needed in several copies."""
SHARE = 0.05
"""Share of the training's time that this may take; at least one case is looked at."""
NEARLY = 0.9
"""Share of a slice, or of what is known, that counts as all of it: resampled slices have rims."""
SMALL = 0.006
"""A probability below it is proposed with no shift: its logit is 4 below that of the lowest that ever is."""
HEAD = "head.bias"

Floats = NDArray[np.floating]


def with_shifts(model: Model, found: dict[str, float]) -> Model:
    """The model with each label's logit moved by its number; the others stay."""
    exclusive = model.config.network.activation == "softmax"
    bias = model.weights[HEAD].clone()
    for name, shift in found.items():
        bias[model.label_set.index(name) + exclusive] += shift
    return replace(model, weights={**model.weights, HEAD: bias}, moved=dict(found))


def shifts(
    model: Model,
    cases: Sequence[PreparedCase],
    *,
    seconds: float = np.inf,
    alive: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """What to add to each label's logit; only labels for which that is not 0.

    Args:
        model: as trained.
        cases: prepared on its grid. A label counts where it is annotated everywhere (or absent) or in whole slices:
            strokes do not say how large it is.
        seconds: no further case is looked at after them.
        alive: called between cases.
    """
    names = model.label_set.names
    device, _ = choose_device(model.config.train.device)
    inference = Inference(model.segmentor(), model.config, device=device, probed=probe_here(model.config, device))
    seen: list[_Seen] = []
    count, begin = np.zeros(len(names), int), time.monotonic()
    for case in sorted(cases, key=lambda c: -int(c.annotated.sum())):
        shown = _shown(case, case.known())
        if not (shown & (count < CASES)).any():
            continue
        alive()
        seen.append(_Seen.of(case, shown, inference.run(case.image, len(names)).probability))
        count += shown
        if time.monotonic() - begin > seconds:
            break
    moved, whole = np.zeros(len(names)), sum((case.whole * case.shown for case in seen), np.zeros(len(names)))
    for _ in range(PASSES if seen else 0):
        found, true = np.sum([case.counts(moved, model.label_set) for case in seen], axis=0)
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


@dataclass(frozen=True)
class _Seen:
    """What a model says of a case, in the N voxels in which some label has a chance."""

    probability: Floats
    """(K, N), as trained."""
    layers: NDArray[np.integer]
    """(L, N) what people drew."""
    shown: NDArray[np.bool_]
    """(K,) labels that the case can say something about."""
    known: dict[int, NDArray[np.bool_]]
    """(N,) of those that are not known everywhere."""
    whole: NDArray[np.integer]
    """(K,) known voxels of each label in all of the case."""

    @classmethod
    def of(cls, case: PreparedCase, shown: NDArray[np.bool_], probability: Floats) -> _Seen:
        """With the probabilities of all of the case, (K, *S)."""
        known, labels, near = case.known(), np.asarray(case.labels), (probability >= SMALL).any(axis=0)
        partly = {int(c): known[c][near] for c in np.flatnonzero(shown & ~known.all(axis=(1, 2, 3)))}
        whole = [int((known[c] & (labels[p.layer] == p.value)).sum()) for c, p in enumerate(case.label_set.places)]
        return cls(probability[:, near], labels[:, near], shown, partly, np.array(whole))

    def counts(self, moved: Floats, label_set: LabelSet) -> tuple[Floats, Floats]:
        """(K, shifts) twice: the voxels that would be proposed of each label while the others are where they were
        moved to, and how many of them are the label."""
        counted = np.zeros((2, len(moved), len(SHIFTS)))
        for start in range(0, self.probability.shape[1], PIECE):
            piece = slice(start, start + PIECE)
            for layer in range(label_set.n_layers):
                members = [c for c, place in enumerate(label_set.places) if place.layer == layer]
                own = _logit(self.probability[members, piece].astype(np.float32))
                others = 1 / (1 + np.exp(-(own + moved[members, np.newaxis].astype(np.float32))))
                for c, logit, limit in zip(members, own, needed(others), strict=True):
                    if self.shown[c]:
                        known = self.known[c][piece] if c in self.known else np.ones(len(logit), bool)
                        right = known & (self.layers[layer, piece] == label_set.places[c].value)
                        lacks = _logit(limit) - logit
                        counted[:, c] += [_below(lacks[known]), _below(lacks[right])]
        return counted[0], counted[1]


def _logit(probability: Floats) -> Floats:
    p = np.clip(probability, 1e-4, 1 - 1e-4)
    return np.asarray(np.log(p / (1 - p)))


def _below(lacks: Floats) -> NDArray[np.integer]:
    """For each shift, how many voxels it lifts over what they lack."""
    return np.searchsorted(np.sort(lacks[lacks < SHIFTS[-1]]), SHIFTS, side="left")


def _shown(case: PreparedCase, known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(K,): the case shows how large the label is, in all of the volume or in whole slices of it."""
    partial = [c in case.region_channels and _whole_slices(known[c]) for c in range(len(known))]
    return np.asarray(case.everywhere | partial)


def _whole_slices(known: NDArray[np.bool_]) -> bool:
    """Whether nearly all of what is known, (*S), lies in slices across an axis that are known nearly everywhere."""
    shares = [known.mean(axis=tuple(a for a in range(known.ndim) if a != axis)) for axis in range(known.ndim)]
    return any(share[share >= NEARLY].sum() >= NEARLY * share.sum() > 0 for share in shares)
