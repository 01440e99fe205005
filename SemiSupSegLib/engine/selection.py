"""Selection: which of the voxels that a model takes for a label it learns from next, by one of three rankings.

* ``score``: the probability itself (Petit et al., DLMIA 2018).
* ``uncertainty``: the predictive entropy of Monte Carlo dropout, lowest first (the future work that they name). Of one
  label alone H(mean p) falls as mean p rises above one half, so that it would rank as the mean of the passes does;
  ranked is the sum over all labels of a voxel, which also says whether another label claims it (ours).
* ``confidence``: a learned confidence, see :mod:`.confidence` (the idea of INERRANT, CMIG 2021).

The rankings choose among voxels of one label in one image; they never compare labels or images.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from ..networks.confidence import ConfidenceHead, ConfidentSegmentor
from ..networks.segmentor import Segmentor
from ..project.labels import LabelSet
from .decision import of_layers
from .parts import largest_parts
from .volume import Inference

if TYPE_CHECKING:
    from .model import Model

__all__ = ["Ranked", "Select", "positives", "ranking", "select_top"]

Select = Literal["score", "uncertainty", "confidence"]
PASSES = 8
"""Dropout passes of ``uncertainty``."""


@dataclass(frozen=True)
class Ranked:
    """What a model says about one volume, K labels in the model's order."""

    probability: NDArray[np.float32]
    """(K, X, Y, Z) in [0, 1]: above one half the label is there."""
    surety: NDArray[np.float32]
    """(K, X, Y, Z) any scale: the highest are chosen first."""


def ranking(select: Select, model: Model, head: ConfidenceHead | None) -> Callable[[NDArray[Any]], Ranked]:
    """What ranks a prepared image (M, X, Y, Z).

    Args:
        select: how.
        model: predicts.
        head: what was trained on it, for ``confidence``; otherwise None.
    """
    labels, device, network = len(model.label_set), model.config.train.device, model.segmentor()
    names = model.label_set.names
    if head is not None:
        names = ()  # its outputs are labels and, for each, how sure it is
        network = cast(Segmentor, ConfidentSegmentor(network, head))  # as far as inference asks it anything
    inference = Inference(network, model.config, device=device, names=names)

    def by_score(image: NDArray[Any]) -> Ranked:
        probability = inference.run(image, labels).probability.astype(np.float32)
        return Ranked(probability, probability)

    def by_uncertainty(image: NDArray[Any]) -> Ranked:
        found = inference.run(image, labels, passes=PASSES)
        entropy = sum(found.uncertainty(row) for row in range(labels))
        surety = np.broadcast_to(-np.asarray(entropy, np.float32), found.probability.shape)
        return Ranked(found.probability.astype(np.float32), surety)

    def by_confidence(image: NDArray[Any]) -> Ranked:
        both = inference.run(image, 2 * labels).probability.astype(np.float32)
        return Ranked(both[:labels], both[labels:])

    return {"score": by_score, "uncertainty": by_uncertainty, "confidence": by_confidence}[select]


def positives(
    ranked: Ranked,
    ours: LabelSet,
    label_set: LabelSet,
    known: NDArray[np.bool_],
    share: float,
    parts: Sequence[int | None] | None = None,
) -> NDArray[np.bool_]:
    """What one round adds in one image: per label, the surest share of what is predicted there and not known.

    Args:
        ranked: what the model says, a row for each of its labels.
        ours: the model's labels.
        label_set: the project's.
        known: (K, X, Y, Z) of the project's labels.
        share: gamma, in [0, 1].
        parts: how many connected parts of each of the project's labels to choose from, the largest; None: all.

    Returns:
        (K, X, Y, Z) of the project's labels; nothing where a label is not the model's.
    """
    chosen, layers = np.zeros_like(known), [place.layer for place in ours.places]
    proposed = of_layers(ranked.probability, layers, likeliest=False)  # SMILEr's own rule
    for name, found, row in zip(ours.names, proposed, range(len(ours)), strict=True):
        channel = label_set.index(name)
        candidates = largest_parts(found, None if parts is None else parts[channel]) & ~known[channel]
        chosen[channel] = select_top(ranked.surety[row], candidates, share)
    return chosen


def select_top(score: NDArray[np.floating[Any]], candidates: NDArray[np.bool_], share: float) -> NDArray[np.bool_]:
    """The ``share`` of the candidates with the highest scores, ties by position; (*S) bool.

    Args:
        score: (*S), any scale.
        candidates: (*S) voxels to choose from.
        share: in [0, 1]; the number chosen is rounded up, so that a small organ is not forgotten.
    """
    where = np.flatnonzero(candidates)
    chosen = np.zeros(candidates.shape, bool)
    count = int(np.ceil(share * len(where)))
    if count:
        order = np.argsort(-score.ravel()[where], kind="stable")
        chosen.flat[where[order[:count]]] = True
    return chosen
