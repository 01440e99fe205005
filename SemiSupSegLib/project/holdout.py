"""The hold-out: cases that never train, fixed and visible, so that scores of different rounds compare (R6)."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection
from typing import TYPE_CHECKING

from ..errors import ProjectError
from .cases import Case
from .transactions import commit

if TYPE_CHECKING:
    from .project import Project

__all__ = ["FEWEST_ANNOTATED", "choose_holdout", "set_holdout"]

FEWEST_ANNOTATED = 10
"""With fewer annotated cases than this, all of them train unless the user says otherwise."""
SHARE = 0.15


def choose_holdout(cases: Collection[Case], number: int | None = None, *, seed: int = 1) -> tuple[str, ...]:
    """Which cases to keep for scoring.

    Only what people annotated counts. Cases that are held out already come first, then those with most labels
    annotated; ties are drawn from the seed. A case that alone has a label to train on is left to training, unless
    ``number`` asks for it.

    Args:
        cases: all cases of a project.
        number: how many in all; None: none with fewer than 10 annotated cases, else 15 % of these and at least 2.
        seed: of the draw.

    Returns:
        Ids in alphabetical order.

    Raises:
        ProjectError: ``number`` is negative or leaves no annotated case to train on.
    """
    said = {case.id: _by_people(case) for case in cases}
    annotated = sorted(case_id for case_id, labels in said.items() if labels)
    held = {case.id for case in cases if case.split == "holdout"}
    if number is None:
        wanted = 0 if len(annotated) < FEWEST_ANNOTATED else max(2, round(SHARE * len(annotated)))
    elif 0 <= number < max(1, len(annotated)):
        wanted = number
    else:
        most = max(0, len(annotated) - 1)
        msg = f"hold-out: expected 0 to {most} of the {len(annotated)} annotated cases, found {number}"
        raise ProjectError(msg)
    random.Random(seed).shuffle(annotated)
    annotated.sort(key=lambda case_id: (case_id not in held, -len(said[case_id])))
    chosen: list[str] = []
    left = Counter(label for labels in said.values() for label in labels)
    for case_id in annotated:
        if len(chosen) < wanted and (case_id in held or all(left[label] > 1 for label in said[case_id])):
            chosen.append(case_id)
            left.subtract(said[case_id])
    if number is not None:
        chosen += [case_id for case_id in annotated if case_id not in chosen][: wanted - len(chosen)]
    return tuple(sorted(chosen))


def set_holdout(project: Project, case_ids: Collection[str], *, who: str) -> list[Case]:
    """Hold out exactly these cases; every other one trains. One journalled change per case that moves.

    Returns:
        The cases that moved.

    Raises:
        ProjectError: no such case.
    """
    held = {project.case(case_id).id for case_id in case_ids}
    moved = []
    for case in list(project.cases.values()):
        split = "holdout" if case.id in held else "train"
        if case.split != split:
            moved.append(commit(project, case.id, action="split", who=who, detail={"split": split}, split=split))
    return moved


def _by_people(case: Case) -> frozenset[str]:
    return frozenset(name for name, annotation in case.annotations.items() if annotation.by_people_only().annotated)
