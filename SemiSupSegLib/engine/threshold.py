"""Where a proposal's border lies: each label's threshold is moved to where proposals overlap most with the annotations.

Two things shift a network's probabilities. Patches are drawn around labels, so that it expects them more often than
volumes have them; and a short training leaves large organs below 0.5 for want of time. Both can be seen on the
annotated cases themselves, predicted as whole volumes (``Testing/benchmarks/README.md``: Dice on other cases 0.62 to
0.67 after 300 steps, 0.39 to 0.44 with 138 labels). The logit is moved in the weights (the bias of the last layer),
so that 0.5 stays the threshold everywhere else. Moving a decision threshold to the optimum of F1, which Dice is, is
common practice (Lipton, Elkan, Naryanaswamy, ECML 2014).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..data.prepare import PreparedCase
from ..project.annotation import label_mask
from .device import choose_device
from .model import Model
from .probe import probe_here
from .volume import Inference

__all__ = ["best_shift", "shifts", "with_shifts"]

SHIFTS = np.linspace(-2.0, 2.0, 41)
"""Of a logit: thresholds from 0.88 down to 0.12."""
EQUAL = 0.002
"""Dice that counts as the same: of shifts that differ by no more, the smallest is taken."""
CASES = 4
"""Annotated cases that are looked at for each label, at most."""
SHARE = 0.05
"""Share of the training's time that this may take; at least one case is looked at."""
NEARLY = 0.9
"""Share of a slice, or of what is known, that counts as all of it: resampled slices have rims."""
HEAD = "head.bias"


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
    found, true = np.zeros((len(names), len(SHIFTS))), np.zeros((len(names), len(SHIFTS)))
    whole, seen = np.zeros(len(names)), np.zeros(len(names), int)
    begin = time.monotonic()
    for case in sorted(cases, key=lambda c: -int(c.annotated.sum())):
        known = case.known()
        shown = _shown(case, known)
        if not (shown & (seen < CASES)).any():
            continue
        alive()
        probability = inference.run(case.image, len(names)).probability
        for channel in np.flatnonzero(shown).tolist():
            mask = label_mask(case.labels, model.label_set, channel) & known[channel]
            found[channel] += _above(probability[channel][known[channel]])
            true[channel] += _above(probability[channel][mask])
            whole[channel] += np.count_nonzero(mask)
        seen += shown
        if time.monotonic() - begin > seconds:
            break
    moved = {name: best_shift(found[c], true[c], whole[c]) for c, name in enumerate(names)}
    return {name: shift for name, shift in moved.items() if shift}


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


def _above(probability: NDArray[np.floating]) -> NDArray[np.integer]:
    """For each shift, how many probabilities would be above 0.5."""
    thresholds = 1 / (1 + np.exp(SHIFTS))  # falls as the shift rises
    candidates = np.sort(probability[probability > thresholds[-1]].astype(np.float32))
    return len(candidates) - np.searchsorted(candidates, thresholds, side="right")


def _shown(case: PreparedCase, known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(K,): the case shows how large the label is, in all of the volume or in whole slices of it."""
    partial = [c in case.region_channels and _whole_slices(known[c]) for c in range(len(known))]
    return np.asarray(case.everywhere | partial)


def _whole_slices(known: NDArray[np.bool_]) -> bool:
    """Whether nearly all of what is known, (*S), lies in slices across an axis that are known nearly everywhere."""
    shares = [known.mean(axis=tuple(a for a in range(known.ndim) if a != axis)) for axis in range(known.ndim)]
    return any(share[share >= NEARLY].sum() >= NEARLY * share.sum() > 0 for share in shares)
