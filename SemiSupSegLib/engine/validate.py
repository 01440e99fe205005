"""Scoring the hold-out: Dice per label over what people annotated there, on the training grid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ..config import Config
from ..data.prepare import PreparedCase
from ..networks.segmentor import Segmentor
from ..project.annotation import label_mask
from ..project.labels import LabelSet
from .decision import of_layers, takes_likeliest
from .probe import Probe
from .volume import Inference, Statistics

__all__ = ["Scores", "validate"]


@dataclass(frozen=True)
class Scores:
    """What a model reaches on the hold-out."""

    dice: dict[str, float | None]
    """Per label: 2 |P and Y| / (|P| + |Y|) over the known voxels of all hold-out cases together; None where nothing
    is known or
    the label is nowhere."""
    mean: float | None
    """Mean over the labels that have a score; None when none has."""
    measures: dict[str, float] = field(default_factory=dict)
    """Means over the cases of what ``measure`` gave."""


def validate(
    segmentor: Segmentor,
    cases: Sequence[PreparedCase],
    label_set: LabelSet,
    config: Config,
    probed: Probe,
    *,
    alive: Callable[[], None] = lambda: None,
    names: Sequence[str] | None = None,
    measure: Callable[[Tensor], dict[str, float]] = lambda _: {},
    complete: Callable[[PreparedCase, Statistics], None] = lambda _case, _said: None,
) -> Scores:
    """Predict every case without dropout and compare with what is known.

    Sums run over all cases before they are divided, so that a case in which only a few slices are known counts as
    much as it says. Of labels that exclude each other :mod:`.decision` says which one is taken.

    Args:
        segmentor: predicts ``names``.
        cases: prepared from people's annotations only.
        label_set: the project's labels; one that the segmentor does not know is predicted nowhere.
        config: of the run or the model.
        probed: precision and memory format.
        alive: called between cases.
        names: the segmentor's labels in channel order; all of the project's when None.
        measure: further measures of a case's probabilities, (K, *S) float32.
        complete: adds in place what is predicted by other means than the network.
    """
    names = label_set.names if names is None else names
    channels = [label_set.index(name) for name in names]
    device = "cuda" if probed.device == "cuda" else "cpu"
    inference = Inference(segmentor, config, device=device, probed=probed, names=names)
    both, either = np.zeros(len(label_set)), np.zeros(len(label_set))
    positive = np.zeros(len(label_set))
    measured: list[dict[str, float]] = []
    for case in cases:
        alive()
        said = inference.run(case.image, len(channels))
        complete(case, said)
        probability = said.probability
        measured.append(measure(torch.from_numpy(probability.astype(np.float32))))
        layers, known = [label_set.places[c].layer for c in channels], case.known()
        proposed = of_layers(probability, layers, likeliest=takes_likeliest(config))
        for channel, everywhere in zip(channels, proposed, strict=True):
            predicted = everywhere & known[channel]
            truth = label_mask(case.labels, label_set, channel) & known[channel]
            both[channel] += np.count_nonzero(predicted & truth)
            either[channel] += np.count_nonzero(predicted) + np.count_nonzero(truth)
            positive[channel] += np.count_nonzero(truth)
        for channel in set(range(len(label_set))) - set(channels):
            count = np.count_nonzero(label_mask(case.labels, label_set, channel) & known[channel])
            either[channel] += count
            positive[channel] += count
    dice = {name: float(2 * both[c] / either[c]) if positive[c] else None for c, name in enumerate(label_set.names)}
    scored = [value for value in dice.values() if value is not None]
    means = {name: float(np.mean([one[name] for one in measured])) for name in (measured[0] if measured else ())}
    return Scores(dice, float(np.mean(scored)) if scored else None, means)
