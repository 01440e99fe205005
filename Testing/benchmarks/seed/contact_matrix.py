"""Contacts of labels in test cases: the adjacency measures m1 and m2, and the matrices of the picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from SemiSupSegLib.project.contacts import ContactCounts, count_contacts, measures, node

from .scores import label_set_of, on_training_grid

Pairs = Sequence[Sequence[str]]


def contacts_of(folder: Path, test: Path, spacing: str) -> dict[str, ContactCounts]:
    """By case, of the labels of a folder on the training grid of the test images. No two labels may share a voxel."""
    label_set = label_set_of(test)
    found = {}
    for case, (masks, _) in on_training_grid(folder, test / "images", label_set, spacing).items():
        values = np.array([place.value for place in label_set.places])[:, None, None, None]
        layers = (masks * values).max(axis=0)[None].astype(np.int16)
        found[case] = count_contacts(layers, label_set)
    return found


def measures_of(found: dict[str, ContactCounts], forbidden: Pairs, test: Path) -> list[dict[str, Any]]:
    """m1 and m2 of each case; null where nothing is forbidden."""
    label_set, pairs = label_set_of(test), [(a, b) for a, b in forbidden]
    said = {case: measures(counts, label_set, pairs) for case, counts in found.items()}
    return [{"case": case, **{k: None if v != v else v for k, v in m.items()}} for case, m in said.items()]


def contact_matrix(found: dict[str, ContactCounts]) -> list[list[int]]:
    """(K + 1, K + 1) contacts summed over the cases, the background first."""
    return np.sum([counts.counts for counts in found.values()], axis=0).tolist()  # type: ignore[no-any-return]


def allowed_matrix(forbidden: Pairs, data: Path) -> NDArray[np.bool_]:
    """(K + 1, K + 1), the background first: True where two labels may touch."""
    label_set = label_set_of(data)
    allowed = np.ones((len(label_set) + 1,) * 2, bool)
    for a, b in forbidden:
        one, two = node(label_set, a), node(label_set, b)
        allowed[one, two] = allowed[two, one] = False
    return allowed
