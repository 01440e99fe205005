"""States: why a label of a case cannot be given a state, and the change that gives it one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ..project.annotation import Annotation, Region, RegionKind, State, label_mask
from ..project.cases import Case
from ..project.project import Project
from ..project.transactions import commit
from .painting import Painted
from .words import SYMBOLS

__all__ = ["commit_state", "refused", "refused_in", "with_slice"]


def refused(case: Case, name: str, state: State, is_painted: Callable[[], bool]) -> str | None:
    """Why a label cannot be given a state by what is known of it; None when it can."""
    button = f"{SYMBOLS[state]} {name}"
    if state is State.PARTIAL and case.annotation(name).state is not State.PARTIAL:
        return f"{button}: a label becomes partial by its finished slices: go to one and say that it is done"
    if state is State.ABSENT and is_painted():
        return f"{button}: {name} is painted in case {case.id}: erase it before saying that it is absent"
    if state is State.COMPLETE and not is_painted():
        return f"{button}: nothing is painted; if it was looked for and is not there, it is {SYMBOLS['absent']}"
    return None


def refused_in(project: Project, case: Case, name: str, state: State, found: Painted | None) -> str | None:
    """The same for any case, of which the file is read, if need be."""
    if case.annotation(name).state is state:
        return None
    label_set = project.label_set

    def is_painted() -> bool:
        layers = case.labels(label_set) if found is None else found.layers
        return bool(label_mask(layers, label_set, label_set.index(name)).any())

    return refused(case, name, state, is_painted)


def commit_state(project: Project, case: Case, name: str, state: State, found: Painted | None, *, who: str) -> None:
    """Commit the state of one label, and all that is painted in that case."""
    before = case.annotation(name)
    if found is not None and name in found.changed and state is not State.UNKNOWN:
        after = Annotation(state)  # voxels of a person: what came from a model is theirs now
    elif state is State.UNKNOWN and before.human is not None:  # takes back what people said, too
        after = replace(before, state=state, regions=(), human=Annotation())
    else:
        after = replace(before, state=state, regions=())
    painted = {} if found is None else {"painted": list(found.changed)}
    commit(
        project, case.id, action="annotate", who=who, label=name, detail={"state": str(state), **painted},
        labels=None if found is None else found.layers, annotations={name: after},
    )  # fmt: skip


def with_slice(said: Annotation, index: int, axis: int, shape: tuple[int, ...]) -> Annotation:
    """The annotation with one more finished slice; neighbouring slices become one range."""
    if axis == 0:
        others = tuple(region for region in said.regions if region.kind is not RegionKind.SLICES)
        ranges = [r for region in said.regions if region.kind is RegionKind.SLICES for r in region.ranges]
        regions = (*others, Region(RegionKind.SLICES, _merged([*ranges, (index, index)])))
    else:
        box = tuple((index, index) if a == axis else (0, n - 1) for a, n in enumerate(shape))
        new = Region(RegionKind.BOX, box)
        regions = said.regions if new in said.regions else (*said.regions, new)
    return replace(said, state=State.PARTIAL, regions=regions)


def _merged(ranges: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    merged: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return tuple(merged)
