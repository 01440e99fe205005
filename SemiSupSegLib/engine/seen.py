"""Seen: what a trained model says of annotated cases, predicted as whole volumes, beside what people said."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..data.prepare import PreparedCase
from ..project.labels import LabelSet
from .decision import of_layers
from .device import choose_device
from .model import Model
from .probe import probe_here
from .volume import Inference

__all__ = ["SMALL", "Seen", "logit", "look"]

CASES = 4
"""Annotated cases that are looked at for each label, at most."""
SMALL = 0.006
"""A probability below it counts for nothing: its logit is 4 below that of the lowest that ever is proposed."""
NEARLY = 0.9
"""Share of a slice, or of what is known, that counts as all of it: resampled slices have rims."""

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Seen:
    """What a model says of a case, in the N voxels in which some label has a chance."""

    near: NDArray[np.bool_]
    """(*S): which voxels these are."""
    probability: Floats
    """(K, N), as trained."""
    layers: NDArray[np.integer]
    """(L, N) what people drew."""
    shown: NDArray[np.bool_]
    """(K,) labels that the case shows in all of the volume or in whole slices of it."""
    known: dict[int, NDArray[np.bool_]]
    """(N,) of those that are not known everywhere."""
    whole: NDArray[np.integer]
    """(K,) known voxels of each label in all of the case."""

    @classmethod
    def of(cls, case: PreparedCase, shown: NDArray[np.bool_], probability: Floats) -> Seen:
        """With the probabilities of all of the case, (K, *S)."""
        known, labels, near = case.known(), np.asarray(case.labels), np.asarray((probability >= SMALL).any(axis=0))
        partly = {int(c): known[c][near] for c in np.flatnonzero(shown & ~known.all(axis=(1, 2, 3)))}
        whole = [int((known[c] & (labels[p.layer] == p.value)).sum()) for c, p in enumerate(case.label_set.places)]
        return cls(near, probability[:, near], labels[:, near], shown, partly, np.array(whole))

    def proposed(self, moved: Floats, label_set: LabelSet) -> list[NDArray[np.bool_]]:
        """(N,) of each label: where it would be proposed with its logit moved by so much."""
        own = logit(self.probability.astype(np.float32)) + moved[:, np.newaxis].astype(np.float32)
        return of_layers(1 / (1 + np.exp(-own)), [place.layer for place in label_set.places])

    def drawn(self, channel: int, label_set: LabelSet) -> NDArray[np.bool_]:
        """(N,): where a label is known to be."""
        place = label_set.places[channel]
        found = self.layers[place.layer] == place.value
        return np.asarray(found & self.known[channel] if channel in self.known else found)


def look(
    model: Model,
    cases: Sequence[PreparedCase],
    *,
    seconds: float = np.inf,
    alive: Callable[[], None] = lambda: None,
) -> list[Seen]:
    """Predict annotated cases, those with most labels first, until each label was seen in four.

    Args:
        model: as trained.
        cases: prepared on its grid. A label counts where it is annotated everywhere (or absent) or in whole slices:
            strokes do not say how large it is.
        seconds: no further case is looked at after them.
        alive: called between cases.
    """
    labels, names = len(model.label_set), model.label_set.names
    device, _ = choose_device(model.config.train.device)
    probed = probe_here(model.config, device)
    inference = Inference(model.segmentor(), model.config, device=device, probed=probed, names=names)
    seen: list[Seen] = []
    count, begin = np.zeros(labels, int), time.monotonic()
    for case in sorted(cases, key=lambda c: -int(c.annotated.sum())):
        shown = _shown(case, case.known())
        if not (shown & (count < CASES)).any():
            continue
        alive()
        seen.append(Seen.of(case, shown, inference.run(case.image, labels).probability))
        count += shown
        if time.monotonic() - begin > seconds:
            break
    return seen


def logit(probability: Floats) -> Floats:
    """Of probabilities, those of 0 and 1 as if they were 0.0001 away."""
    p = np.clip(probability, 1e-4, 1 - 1e-4)
    return np.asarray(np.log(p / (1 - p)))


def _shown(case: PreparedCase, known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(K,): the case shows how large the label is, in all of the volume or in whole slices of it."""
    partial = [c in case.region_channels and _whole_slices(known[c]) for c in range(len(known))]
    return np.asarray(case.everywhere | partial)


def _whole_slices(known: NDArray[np.bool_]) -> bool:
    """Whether nearly all of what is known, (*S), lies in slices across an axis that are known nearly everywhere."""
    shares = [known.mean(axis=tuple(a for a in range(known.ndim) if a != axis)) for axis in range(known.ndim)]
    return any(share[share >= NEARLY].sum() >= NEARLY * share.sum() > 0 for share in shares)
