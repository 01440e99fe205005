"""Adjacency rules: what the user says about which labels may touch. They outrank what the annotated cases show.

They lie in ``adjacency.json`` of the project. A change is one line in the journal; it is taken back by the opposite
rule, not by undo, which is for cases.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import ProjectError
from .atomic import write_json
from .contacts import node, node_names
from .labels import LabelSet

if TYPE_CHECKING:
    from .project import Project

__all__ = ["REACHES", "RULES_FILE", "AdjacencyRules", "change_rules", "read_rules"]

FORMAT_VERSION = 1
RULES_FILE = "adjacency.json"
REACHES = (1, 2)

Pair = frozenset[str]


@dataclass(frozen=True)
class AdjacencyRules:
    """All of them; pairs are names of labels, or of the background."""

    allow: frozenset[Pair] = frozenset()
    """Pairs that may touch whatever the cases show."""
    forbid: frozenset[Pair] = frozenset()
    """Pairs that must not touch."""
    reach: int = 1
    """How far apart, in voxels, two labels of an annotated case still count as touching: 1, or 2 (``n-size`` 2)."""

    def to_json(self) -> dict[str, Any]:
        """The content of ``adjacency.json``."""
        pairs = {name: sorted(sorted(pair) for pair in getattr(self, name)) for name in ("allow", "forbid")}
        return {"format": FORMAT_VERSION, "reach": self.reach, **pairs}


def read_rules(project: Project) -> AdjacencyRules:
    """The rules of a project; those of the default when none were given.

    Raises:
        ProjectError: the file is damaged, of a newer format, or names a label that the project does not have.
    """
    try:
        data = json.loads((project.root / RULES_FILE).read_bytes())
        if data["format"] > FORMAT_VERSION:
            msg = f"{RULES_FILE} has format {data['format']}; this program knows {FORMAT_VERSION}: please update it"
            raise ProjectError(msg)
        if data["reach"] not in REACHES:
            raise ValueError(f"reach {data['reach']!r}")  # noqa: EM102
        allow, forbid = (
            frozenset(_pair(project.label_set, *map(str, pair)) for pair in data[name]) for name in ("allow", "forbid")
        )
        return AdjacencyRules(allow - forbid, forbid, data["reach"])
    except FileNotFoundError:
        return AdjacencyRules()
    except ProjectError as error:
        msg = f"{RULES_FILE} of project {project.name} cannot be used: {error}"
        raise ProjectError(msg) from error
    except (ValueError, KeyError, TypeError, OSError) as error:
        msg = f"{RULES_FILE} of project {project.name} cannot be read ({error!r}): delete it, and give the rules again"
        raise ProjectError(msg) from error


def change_rules(
    project: Project,
    *,
    allow: Iterable[tuple[str, str]] = (),
    forbid: Iterable[tuple[str, str]] = (),
    reach: int | None = None,
    reset: bool = False,
    who: str,
) -> AdjacencyRules:
    """Add rules; the newest one of a pair holds.

    Args:
        project: the open project.
        allow: pairs of names that may touch.
        forbid: pairs of names that must not.
        reach: 1 or 2; None leaves it.
        reset: forget all rules first; a damaged file is replaced.
        who: for the journal.

    Returns:
        All rules as they are now; nothing is written when they are what they were.

    Raises:
        ProjectError: no such label, a label and itself, a pair that may overlap, or a pair both allowed and forbidden.
        WriteError: nothing was changed.
    """
    label_set = project.label_set
    allowed, forbidden = ({_pair(label_set, *pair) for pair in pairs} for pairs in (allow, forbid))
    for pair in forbidden:
        if pair in label_set.overlaps:
            msg = f"{_words(pair)} may overlap in this project, so they cannot be forbidden to touch"
            raise ProjectError(msg)
        if pair in allowed:
            msg = f"{_words(pair)} cannot be both allowed and forbidden to touch"
            raise ProjectError(msg)
    if reach is not None and reach not in REACHES:
        msg = f"adjacency: expected a reach of {' or '.join(map(str, REACHES))} voxels, found {reach}"
        raise ProjectError(msg)
    with project.lock():
        before = AdjacencyRules() if reset else read_rules(project)
        rules = AdjacencyRules(
            (before.allow - forbidden) | allowed,
            (before.forbid - allowed) | forbidden,
            before.reach if reach is None else reach,
        )
        if reset or rules != before:
            said = {"reset": reset, "reach": reach, "allow": _sorted(allowed), "forbid": _sorted(forbidden)}
            detail = {name: value for name, value in said.items() if value}
            project.journal.append(who=who, action="adjacency", detail=detail)
            write_json(project.root / RULES_FILE, rules.to_json())
        return rules


def _pair(label_set: LabelSet, *names: str) -> Pair:
    """The pair with its names as the project writes them."""
    if len(names) != 2:
        msg = f"expected the names of two labels, found {', '.join(names) or 'none'}"
        raise ProjectError(msg)
    spelt = frozenset(node_names(label_set)[node(label_set, name)] for name in names)
    if len(spelt) == 1:
        msg = f"{names[0]} always touches itself: name two different labels"
        raise ProjectError(msg)
    return spelt


def _sorted(pairs: Iterable[Pair]) -> list[list[str]]:
    return sorted(sorted(pair) for pair in pairs)


def _words(pair: Pair) -> str:
    return " and ".join(sorted(pair))
