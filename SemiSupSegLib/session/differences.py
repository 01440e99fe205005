"""Differences: where two states of a case carry a label differently, cut to a box, so that a screen changes little."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import SemiSupSegError
from ..project.boxes import Box, bounding_box, within
from ..project.cases import Case
from ..project.labels import LabelSet
from .painting import Masks, Painted, held_channels

__all__ = ["Difference", "Step", "differences", "missed", "step_of"]


@dataclass(frozen=True)
class Difference:
    """Voxels that one label gained and lost."""

    box: Box
    """Where the arrays lie in the volume (k, j, i)."""
    added: NDArray[np.bool_]
    removed: NDArray[np.bool_]


@dataclass(frozen=True)
class Step:
    """What a change of this session wrote, for the screen that shows the case."""

    shown: Case
    """The case as the screen shows it; what was painted on it is in ``before``."""
    case: Case
    """The case as it is now."""
    before: NDArray[np.integer[Any]]
    """(L, k, j, i): what the screen shows."""
    layers: NDArray[np.integer[Any]]
    """(L, k, j, i): what the project holds now."""
    differences: Mapping[str, Difference]
    """From ``before`` to ``layers``, by label."""
    held: Mapping[int, bool]
    """Which labels ``layers`` hold, by channel."""
    painting: Masks | None
    """What the screen had given, when all of it is in ``before``; None where it shows a label otherwise."""


def differences(
    label_set: LabelSet, before: NDArray[np.integer[Any]], after: NDArray[np.integer[Any]]
) -> dict[str, Difference]:
    """Labels that differ between two arrays of layers (L, k, j, i), in the order of the set."""
    if before is after:
        return {}
    boxes = [bounding_box(then != now) for then, now in zip(before, after, strict=True)]
    found: dict[str, Difference] = {}
    for name, place in zip(label_set.names, label_set.places, strict=True):
        box = boxes[place.layer]
        if box is None:
            continue
        then, now = (layers[place.layer][box] == place.value for layers in (before, after))
        added, removed = now & ~then, then & ~now
        own = bounding_box(added | removed)
        if own is not None:
            found[name] = Difference(within(box, own), added[own], removed[own])
    return found


def missed(found: Mapping[str, Difference], masks: Masks) -> set[str]:
    """Labels that a screen shows otherwise than they were written, where they were written."""

    def is_missed(name: str, difference: Difference) -> bool:
        shown = masks[name][difference.box]
        return bool((difference.added & ~shown).any() or (difference.removed & shown).any())

    return {name for name, difference in found.items() if name in masks and is_missed(name, difference)}


def step_of(
    label_set: LabelSet,
    case: Case,
    now: Case,
    layers: NDArray[np.integer[Any]],
    found: Painted | None,
    masks: Masks | None,
    *,
    rereads: bool,
) -> Step | None:
    """What the screen must take over; None where that cannot be read: the screen tries itself then, and says why."""
    is_written = now.labels_file != case.labels_file
    shown = found.layers if found is not None and is_written else layers
    try:
        after = now.labels(label_set) if rereads and is_written else shown
    except (SemiSupSegError, OSError):
        return None
    agreed = masks if found is None or is_written else None
    held = held_channels(label_set, after)
    return Step(case, now, shown, after, differences(label_set, shown, after), held, agreed)
