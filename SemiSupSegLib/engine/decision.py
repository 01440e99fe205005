"""Decision: which of the labels that exclude each other a voxel gets.

They share one probability, and what their sum lacks to 1 is the background's: the voxel gets the likeliest of all, the
background included. Of 0.4, 0.3 and 0.2 the first is proposed, as 0.1 is left for nothing being there. With one label
that is p > 0.5. SMILE's rule (Petit, Thome, Soler, DLMIA 2018) wants p > 0.5 of many labels, too: where three small
regions meet, none of them has that, and all lose their rims (``bench_threshold.py``: with 138 labels Dice 0.351
with that rule, 0.388 with ours). Models that follow a paper keep it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import Config

__all__ = ["HALF", "decide", "holds", "needed", "of_layers", "takes_likeliest"]

HALF = 0.5
"""Above it a label is the likeliest whatever the others are."""
LEAST = 0.25
"""A label with less is proposed nowhere, however little is left for the others: a network that has hardly learnt
anything gives many labels a little everywhere."""

Floats = NDArray[np.floating[Any]]


def takes_likeliest(config: Config) -> bool:
    """Whether a model of this configuration decides by the module's rule, and not by its paper's."""
    return not config.options.get("paper")


def holds(best: Floats, total: Floats, *, likeliest: bool = True) -> NDArray[np.bool_]:
    """Where the likeliest label is proposed.

    Args:
        best: its probability, [0, 1].
        total: sum of the probabilities of all labels that exclude each other, in the shape of ``best``.
        likeliest: by the module's rule; otherwise above 0.5 alone.
    """
    if not likeliest:
        return np.asarray(best > HALF)
    return np.asarray((best > HALF) | ((best > LEAST) & (best > 1 - total)))


def decide(probability: Floats, *, likeliest: bool = True) -> NDArray[np.intp]:
    """(*S): the row of the label that each voxel gets, -1 for none.

    Args:
        probability: (R, *S) of labels that exclude each other; of equals the first one is taken.
        likeliest: as of :func:`holds`.
    """
    if not len(probability):
        return np.full(probability.shape[1:], -1)
    row, total = probability.argmax(axis=0), probability.sum(axis=0, dtype=np.float32)
    return np.where(holds(probability.max(axis=0), total, likeliest=likeliest), row, -1)


def of_layers(probability: Floats, layers: Sequence[int], *, likeliest: bool = True) -> list[NDArray[np.bool_]]:
    """Where each label is proposed.

    Args:
        probability: (K, *S).
        layers: of each channel; labels of one layer exclude each other.
        likeliest: as of :func:`holds`.

    Returns:
        (*S) of each channel, in their order.
    """
    found: dict[int, NDArray[np.bool_]] = {}
    for layer in set(layers):
        members = [channel for channel, own in enumerate(layers) if own == layer]
        row = decide(probability[members], likeliest=likeliest)
        found |= {channel: row == place for place, channel in enumerate(members)}
    return [found[channel] for channel in range(len(layers))]


def needed(probability: Floats) -> Iterator[Floats]:
    """Of each label, (*S): what it must exceed to be proposed while the others stay as they are.

    With it at p and the others' sum at o, background has 1 - o - p: it must be above (1 - o) / 2, and above each other.

    Args:
        probability: (R, *S) of labels that exclude each other.
    """
    total, first = probability.sum(axis=0, dtype=np.float32), probability.argmax(axis=0)
    highest = np.partition(probability, -2, axis=0)[-2:] if len(probability) > 1 else probability
    for row, own in enumerate(probability):
        rival = np.where(first == row, highest[0], highest[-1]) if len(probability) > 1 else np.zeros_like(own)
        yield np.maximum(rival, np.clip((1 - (total - own)) / 2, LEAST, HALF))
