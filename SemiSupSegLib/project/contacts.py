"""Contacts: which labels of a map touch each other, how often and where (METHODS 1.1, 1.2, 1.5).

Two voxels are in contact when one lies in the 3 x 3 x 3 box round the other, so each voxel has 26 neighbours, as in the
prior graph of NonAdjLoss (Ganaye, Sdika, Benoit-Cattin, MICCAI 2018; MedIA 2019). Outside the image is nothing.

Node 0 of every matrix is the background, node c + 1 is channel c. Labels of several layers are counted as they lie:
background is where no layer has a label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ProjectError
from .labels import LabelSet
from .slabs import slabs

__all__ = ["BACKGROUND", "Contact", "ContactCounts", "count_contacts", "find_contacts", "measures", "node",
           "node_names", "nodes_of"]  # fmt: skip

BACKGROUND = "background"
"""Name of node 0; a label of this name comes first, and leaves node 0 without one."""

Labels = NDArray[np.integer[Any]]
Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True, eq=False)
class ContactCounts:
    """Of one map, or the sum over several."""

    counts: NDArray[np.int64]
    """(K + 1, K + 1), symmetric: pairs of voxels in contact, one of each label. The diagonal is 0: not counted."""
    seen: NDArray[np.bool_]
    """(K + 1,): whether there is a voxel of it."""
    contour: int
    """Voxels whose neighbourhood holds another label than their own."""


@dataclass(frozen=True)
class Contact:
    """Two labels that touch, and where to look."""

    first: str
    second: str
    contacts: int
    """Pairs of voxels in contact."""
    slice: int
    """Index along k of the slice with most of them."""
    voxel: tuple[int, int, int]
    """(k, j, i) of one of these voxels, in that slice."""


def node_names(label_set: LabelSet) -> tuple[str, ...]:
    """Names of the nodes: the background, then the labels in channel order."""
    return (BACKGROUND, *label_set.names)


def nodes_of(label_set: LabelSet) -> dict[str, int]:
    """Node of each name, as the label set writes it."""
    return {name: n for n, name in enumerate(node_names(label_set))}


def node(label_set: LabelSet, name: str) -> int:
    """Node of a name, matched as :meth:`.LabelSet.index` does.

    Raises:
        ProjectError: no such label; the message names similar ones.
    """
    try:
        return label_set.index(name) + 1
    except ProjectError:
        if name.casefold() == BACKGROUND:
            return 0
    names = node_names(label_set)
    plain = {other.casefold(): other for other in names}
    near = [plain[other] for other in get_close_matches(name.casefold(), plain, n=3)]
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"it has {', '.join(names[1:]) or 'none yet'}"
    msg = f"no label {name!r} in this project: {hint}"
    raise ProjectError(msg)


def count_contacts(layers: Labels, label_set: LabelSet, *, reach: int = 1) -> ContactCounts:
    """Count the contacts of every two labels of a map.

    Args:
        layers: (L, k, j, i) layers of ``label_set.places``.
        label_set: what the values mean.
        reach: 1 for the 26 neighbours; 2 for the 124 of the 5 x 5 x 5 box (``n-size`` 2).

    Returns:
        The counts; all 0 for a map without labels.
    """
    size = len(label_set) + 2
    counts = np.zeros(size * size, np.int64)
    seen = np.zeros(size + 1, bool)
    contour = 0
    for slab in slabs(layers, label_set, reach):
        contour += slab.contour_voxels()
        for codes in slab.codes:
            seen[slab.core(codes)] = True
        for first, second, _, _ in slab.touching():
            counts += np.bincount(first.astype(np.intp) * size + second, minlength=size * size)
    half = counts.reshape(size, size)[:-1, :-1]
    seen[0] = any(not plane.any(axis=0).all() for plane in np.moveaxis(layers, 1, 0))
    return ContactCounts(half + half.T, seen[: size - 1], contour)


def find_contacts(layers: Labels, label_set: LabelSet, pairs: Pairs) -> list[Contact]:
    """Where labels touch that are asked for, with the 26 neighbours; those with most contacts first.

    Args:
        layers: (L, k, j, i) layers of ``label_set.places``.
        label_set: what the values mean.
        pairs: names as the label set writes them; those that do not touch are left out.
    """
    if not pairs:
        return []
    number = np.full((len(label_set) + 2,) * 2, -1)
    nodes = nodes_of(label_set)
    for n, (one, two) in enumerate(pairs):
        a, b = nodes[one], nodes[two]
        number[a, b] = number[b, a] = n
    total = np.zeros(len(pairs), np.int64)
    in_slice = np.zeros((len(pairs), layers.shape[1]), np.int64)
    voxel = np.zeros_like(in_slice)
    for slab in slabs(layers, label_set, 1):
        for first, second, at, offset in slab.touching():
            which = number[first, second]
            asked = np.flatnonzero(which >= 0)
            if not len(asked):
                continue
            which = which[asked]
            total += np.bincount(which, minlength=len(pairs))
            for ends in (at[asked], at[asked] + offset):
                place = slab.place(ends)
                np.add.at(in_slice, (which, place[0]), 1)
                voxel[which, place[0]] = np.ravel_multi_index(place, layers.shape[1:])
    found = []
    for n in np.flatnonzero(total).tolist():
        k = int(in_slice[n].argmax())
        where = tuple(int(x) for x in np.unravel_index(voxel[n, k], layers.shape[1:]))
        found.append(Contact(*pairs[n], int(total[n]), k, where))  # type: ignore[arg-type]
    return sorted(found, key=lambda contact: -contact.contacts)


def measures(found: ContactCounts, label_set: LabelSet, forbidden: Pairs) -> dict[str, float]:
    """The two adjacency measures of a map with hard labels (METHODS 1.5).

    ``m1``: share of the forbidden pairs that touch, [0, 1]. ``m2``: neighbours that the graph forbids, summed over all
    voxels, over the number of contour voxels, [0, 26]. These are true contour voxels; the published code divides by the
    number of voxels that are *not* on a contour, so its m2 does not compare with this one.

    Returns:
        Both; not a number where nothing is forbidden. 0 for a map without contour.
    """
    if not forbidden:
        return {"m1": float("nan"), "m2": float("nan")}
    nodes = nodes_of(label_set)
    broken = np.array([found.counts[nodes[a], nodes[b]] for a, b in forbidden])
    return {"m1": float((broken > 0).mean()), "m2": 2 * float(broken.sum()) / max(1, found.contour)}
