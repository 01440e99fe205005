"""Adjacency: which labels never touch in the annotated cases (METHODS 1.2, 1.6); the prior graph of NonAdjLoss.

Annotations are partial, so the graph is careful. A contact between two annotated labels allows the pair, wherever it is
seen. That two labels do *not* touch is believed only when some case shows both of them, each annotated everywhere: a
label that is unknown or partial could touch anything, and one that is absent says nothing. What is left is *never*, the
forbidden pairs. The background and a label itself may always be touched, as may labels that overlap, and labels that no
case shows. Hold-out cases do not count: they must not inform a training. What was accepted from a model does, as in
training. The user's rules outrank all of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ProjectError, SemiSupSegError
from .adjacency_rules import AdjacencyRules, read_rules
from .atomic import write_json
from .cases import Case
from .contacts import ContactCounts, count_contacts, find_contacts, node_names, nodes_of
from .labels import LabelSet
from .paths import inside

if TYPE_CHECKING:
    from .project import Project

__all__ = ["Adjacency", "Relation", "adjacency", "forbidden_pairs"]

CACHE_FORMAT = 1


class Relation(StrEnum):
    """What holds between two labels."""

    SELF = "self"
    OVERLAP = "overlap"
    """They may share voxels."""
    TOUCH = "touch"
    """They do, in an annotated case."""
    NEVER = "never"
    """Forbidden: annotated cases show both, and they never touch."""
    OPEN = "open"
    """Nothing tells; allowed."""
    ALLOWED = "allowed"
    """By the user."""
    FORBIDDEN = "forbidden"
    """By the user."""


@dataclass(frozen=True, eq=False)
class Adjacency:
    """The graph of a project. Node 0 of every matrix is the background, node c + 1 is channel c."""

    label_set: LabelSet
    rules: AdjacencyRules
    counts: NDArray[np.int64]
    """(K + 1, K + 1), symmetric: pairs of voxels in contact, over all cases that count; 0 on the diagonal."""
    judged: NDArray[np.bool_]
    """(K + 1, K + 1): some case shows both, each annotated everywhere."""
    cases: tuple[str, ...] = ()
    """Ids of the cases that counted."""
    unread: dict[str, str] = field(default_factory=dict)
    """Cases whose labels could not be read, with the sentence that says why; they did not count."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of the nodes."""
        return node_names(self.label_set)

    @cached_property
    def forbidden(self) -> NDArray[np.bool_]:
        """(K + 1, K + 1), symmetric: pairs that must not touch."""
        result: NDArray[np.bool_] = self.judged & (self.counts == 0)
        result[0, :] = result[:, 0] = False
        np.fill_diagonal(result, False)
        for pairs, value in ((self.label_set.overlaps, False), (self.rules.allow, False), (self.rules.forbid, True)):
            for pair in pairs:
                a, b = self._nodes(pair)
                result[a, b] = result[b, a] = value
        return result

    def forbidden_pairs(self) -> list[tuple[str, str]]:
        """Names of the pairs that must not touch, each once, in the order of the nodes."""
        return [(self.names[a], self.names[b]) for a, b in np.argwhere(np.triu(self.forbidden))]

    def relation(self, a: int, b: int) -> Relation:
        """What holds between two nodes, and why."""
        pair = frozenset((self.names[a], self.names[b]))
        if a == b:
            return Relation.SELF
        if pair in self.label_set.overlaps:
            return Relation.OVERLAP
        if pair in self.rules.allow | self.rules.forbid:
            return Relation.ALLOWED if pair in self.rules.allow else Relation.FORBIDDEN
        if self.counts[a, b]:
            return Relation.TOUCH
        return Relation.NEVER if self.forbidden[a, b] else Relation.OPEN

    def relations(self) -> list[list[Relation]]:
        """(K + 1) x (K + 1): :meth:`relation` of every two nodes."""
        nodes = range(len(self.names))
        return [[self.relation(a, b) for b in nodes] for a in nodes]

    def broken(self, layers: NDArray[np.integer[Any]], label_set: LabelSet) -> dict[str, list[dict[str, Any]]]:
        """Contacts of a predicted map that break the graph.

        Args:
            layers: (L, k, j, i) of the places of ``label_set``.
            label_set: the model's; a label of the project that it does not have is left out.

        Returns:
            Per label of the set, those it must not touch and does, most contacts first: ``label``, ``contacts`` (pairs
            of voxels), ``slice`` (the k with most of them), ``voxel`` ([k, j, i] of one in it) and ``relation``
            (``never`` or ``forbidden``).
        """
        known = nodes_of(label_set)
        pairs = [(a, b) for a, b in self.forbidden_pairs() if a in known and b in known]
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in label_set.names}
        for contact in find_contacts(layers, label_set, pairs):
            a, b = self._nodes((contact.first, contact.second))
            place = {"contacts": contact.contacts, "slice": contact.slice, "voxel": list(contact.voxel)}
            for name, other in ((contact.first, contact.second), (contact.second, contact.first)):
                if name in found:
                    found[name].append({"label": other, **place, "relation": str(self.relation(a, b))})
        return found

    def to_json(self) -> dict[str, Any]:
        """All of it, for programs."""
        return {
            "names": list(self.names),
            "cases": list(self.cases),
            "unread": self.unread,
            "rules": self.rules.to_json(),
            "forbidden": [list(pair) for pair in self.forbidden_pairs()],
            "relations": [[str(relation) for relation in row] for row in self.relations()],
            "contacts": self.counts.tolist(),
        }

    @cached_property
    def _node(self) -> dict[str, int]:
        return nodes_of(self.label_set)

    def _nodes(self, pair: frozenset[str] | tuple[str, str]) -> tuple[int, int]:
        a, b = (self._node[name] for name in pair)
        return a, b


def adjacency(project: Project, *, on_case: Callable[[int, int], None] | None = None) -> Adjacency:
    """The graph of a project, counted from its annotated training cases; what was counted once is kept in the cache.

    Args:
        project: the open project.
        on_case: told how many cases are done, of how many.

    Returns:
        The graph; without an annotated case, nothing is forbidden but what the user forbids.

    Raises:
        ProjectError: the project's rules cannot be read.
    """
    rules, label_set = read_rules(project), project.label_set
    counts = np.zeros((len(label_set) + 1,) * 2, np.int64)
    judged = np.zeros_like(counts, bool)
    counted: list[str] = []
    unread: dict[str, str] = {}
    cases = [case for case in project.train_cases() if case.annotated and case.labels_file]
    for number, case in enumerate(cases, start=1):
        try:
            found = _counts_of(project, case, rules.reach)
        except SemiSupSegError as error:
            unread[case.id] = str(error)
            continue
        said = [case.annotation(name) for name in label_set.names]
        everywhere = [annotation.everywhere for annotation in said]
        known = np.array([all(everywhere), *(annotation.annotated for annotation in said)])
        counts += found.counts * np.outer(known, known)
        shown = found.seen & [all(everywhere), *everywhere]
        judged |= np.outer(shown, shown)
        counted.append(case.id)
        if on_case is not None:
            on_case(number, len(cases))
    return Adjacency(label_set, rules, counts, judged, tuple(counted), unread)


def forbidden_pairs(project: Project) -> list[tuple[str, str]]:
    """Names of the labels that must not touch, each pair once; ``background`` is in one only if the user forbids it."""
    return adjacency(project).forbidden_pairs()


def _counts_of(project: Project, case: Case, reach: int) -> ContactCounts:
    """Contacts between all that is painted in a case. Label files are never overwritten, so counts are kept."""
    from .labelmaps import load_labels

    file = inside(case.folder, str(case.labels_file))
    kept = project.cache_folder / "contacts" / case.id / f"{file.name.partition('.')[0]}_reach{reach}.json"
    label_set = project.label_set
    try:
        status = file.stat()
    except OSError as error:
        msg = f"case {case.id}: {file.name} cannot be read ({error.strerror})"
        raise ProjectError(msg) from error
    stamp = [status.st_size, status.st_mtime_ns]
    found = _from_cache(kept, stamp, label_set)
    if found is None:
        found = count_contacts(load_labels(file, label_set)[0], label_set, reach=reach)
        with suppress(ProjectError, OSError):  # a folder that cannot be written only costs time
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_json(kept, _to_cache(found, stamp, label_set))
    return found


def _to_cache(found: ContactCounts, stamp: list[int], label_set: LabelSet) -> dict[str, Any]:
    """By name, None for the background: channels change when labels are added."""
    names = (None, *label_set.names)
    pairs = [[names[a], names[b], int(found.counts[a, b])] for a, b in np.argwhere(np.triu(found.counts))]
    seen = [names[a] for a in np.flatnonzero(found.seen)]
    return {"format": CACHE_FORMAT, "file": stamp, "contour": found.contour, "seen": seen, "contacts": pairs}


def _from_cache(path: Path, stamp: list[int], label_set: LabelSet) -> ContactCounts | None:
    nodes = {name: n for n, name in enumerate((None, *label_set.names))}
    counts, seen = np.zeros((len(nodes),) * 2, np.int64), np.zeros(len(nodes), bool)
    try:
        data = json.loads(path.read_bytes())
        if data["format"] != CACHE_FORMAT or data["file"] != stamp:
            return None
        seen[[nodes[name] for name in data["seen"]]] = True
        for one, two, number in data["contacts"]:
            counts[nodes[one], nodes[two]] = counts[nodes[two], nodes[one]] = number
        return ContactCounts(counts, seen, int(data["contour"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
