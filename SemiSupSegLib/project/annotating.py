"""What a person says about one label of one case, from files and numbers: the way in for every front end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ProjectError
from .annotation import Annotation, Region, RegionKind, State, label_mask
from .cases import Case
from .folders import read_dataset
from .geometry import Grid, check_same_grid
from .images import read_volume
from .label_source import LabelSource
from .labelmaps import read_labels
from .project import Project
from .transactions import commit

__all__ = ["Statement", "annotate", "has_voxels", "names_beside"]

Range = tuple[int, int]
NEW_STROKES = "strokes"


@dataclass(frozen=True)
class Statement:
    """``label`` is ``state`` in a case; the rest says where, or brings voxels."""

    label: str
    state: State
    slices: tuple[Range, ...] = ()
    """Finished slices along k, first and last, both included, from 0; for *partial*."""
    box: tuple[Range, Range, Range] | None = None
    """Finished box along k, j, i, both ends included; for *partial*."""
    strokes: Path | None = None
    """A volume whose voxels above 0 are finished; for *partial*."""
    voxels: Path | None = None
    """A label file: its voxels of the label replace those of the case."""

    def __post_init__(self) -> None:
        places = bool(self.slices) + (self.box is not None) + (self.strokes is not None)
        if self.state is not State.PARTIAL and places:
            msg = f"{self.label}: slices, a box or strokes go with the state partial, not with {self.state}"
            raise ProjectError(msg)
        if self.state is State.PARTIAL and not places:
            msg = f"{self.label}: say what is finished of a partial label: slices, a box or strokes"
            raise ProjectError(msg)
        if self.voxels and self.state in (State.UNKNOWN, State.ABSENT):
            msg = f"{self.label}: voxels make no sense for a label that is {self.state}"
            raise ProjectError(msg)


def annotate(
    project: Project, case_id: str, statement: Statement | None = None, *, ignore: Path | None = None, who: str
) -> Case:
    """Record a statement, an ignore mask, or both, as one change that undo takes back.

    A partial label gains the new regions beside those it has, unless new voxels come along. *Unknown* takes a statement
    back and leaves the voxels where they are. What was accepted from a model keeps its provenance until voxels of a
    person replace it.

    Args:
        project: the open project.
        case_id: the case.
        statement: about one label; None for none.
        ignore: a volume whose voxels above 0 are excluded from training and scores; without any, the mask is removed.
        who: id of the annotator.

    Returns:
        The case as it is now.

    Raises:
        ProjectError: no such case or label; voxels that another annotated label has; *absent* while voxels are there.
        ImageError: a file cannot be read or does not lie on the image.
    """
    case = project.case(case_id)
    changes: dict[str, Any] = {}
    detail: dict[str, Any] = {}
    name = None
    if ignore is not None:
        changes["ignore"] = _mask(case, ignore, "the ignore mask")
        detail["ignored"] = int(np.count_nonzero(changes["ignore"]))
    if statement is not None:
        name = project.label_set.names[project.label_set.index(statement.label)]
        detail["state"] = str(statement.state)
        if statement.voxels:
            changes["labels"] = _with_voxels(project, case, name, statement.voxels)
        if statement.strokes:
            changes["strokes"] = {NEW_STROKES: _mask(case, statement.strokes, "the strokes")}
        changes["annotations"] = {name: _annotation(case.annotation(name), statement)}
    return commit(project, case_id, action="annotate", who=who, label=name, detail=detail, **changes)


def has_voxels(project: Project, case: Case, name: str) -> bool:
    """Whether any voxel of the case carries the label."""
    labels = case.labels(project.label_set)
    return bool(label_mask(labels, project.label_set, project.label_set.index(name)).any())


def names_beside(labels: Path) -> dict[int, str]:
    """Names of values for a label file: ``dataset.json`` in its folder or the one above; empty without one."""
    folder = labels.resolve().parent
    dataset = read_dataset(folder) or read_dataset(folder.parent)
    return {} if dataset is None else dataset.names


def _annotation(before: Annotation, statement: Statement) -> Annotation:
    regions = _regions(statement)
    if statement.voxels:
        return Annotation(statement.state, regions)
    if statement.state is State.UNKNOWN and before.human is not None:  # takes back what people said, too
        return replace(before, state=State.UNKNOWN, regions=(), human=Annotation())
    if statement.state is State.PARTIAL:
        regions = (*before.regions, *regions)
    return replace(before, state=statement.state, regions=regions)


def _regions(statement: Statement) -> tuple[Region, ...]:
    regions: list[Region] = []
    if statement.slices:
        regions.append(Region(RegionKind.SLICES, statement.slices))
    if statement.box:
        regions.append(Region(RegionKind.BOX, statement.box))
    if statement.strokes:
        regions.append(Region(RegionKind.STROKES, file=NEW_STROKES))
    return tuple(regions)


def _mask(case: Case, path: Path, what: str) -> NDArray[np.bool_]:
    import SimpleITK as sitk  # noqa: N813

    image = read_volume(path)
    check_same_grid(case.grid(), Grid.of(image), what=what, where=case.id)
    return np.asarray(sitk.GetArrayViewFromImage(image) > 0)


def _with_voxels(project: Project, case: Case, name: str, path: Path) -> NDArray[np.integer[Any]]:
    """The case's layers with the voxels of one label replaced by those of a file."""
    source = LabelSource.read(path, names_beside(path) or dict.fromkeys(_only_value(path), name), case.grid())
    theirs = next((file_name for file_name in source.places if _same(project, file_name, name)), None)
    if theirs is None:
        msg = f"{path.name} has no label {name!r}: it has {', '.join(source.places) or 'no voxel at all'}"
        raise ProjectError(msg)
    layer, value = source.places[theirs]
    new = source.layers[layer] == value
    labels = case.labels(project.label_set)
    channel = project.label_set.index(name)
    for other in _excluding(project, case, channel):
        taken = int(np.count_nonzero(new & label_mask(labels, project.label_set, other)))
        if taken:
            its = project.label_set.names[other]
            msg = f"{path.name}: {taken} voxels of {name} are {its} in case {case.id}, and these exclude each other"
            raise ProjectError(msg)
    place = project.label_set.places[channel]
    labels[place.layer][labels[place.layer] == place.value] = 0
    labels[place.layer][new] = place.value
    return labels


def _excluding(project: Project, case: Case, channel: int) -> Sequence[int]:
    names = project.label_set.names
    return [
        other
        for other in range(len(names))
        if not project.label_set.may_overlap(channel, other) and case.annotation(names[other]).annotated
    ]


def _same(project: Project, file_name: str, name: str) -> bool:
    try:
        return project.label_set.names[project.label_set.index(file_name)] == name
    except ProjectError:
        return False


def _only_value(path: Path) -> list[int]:
    """The value of a mask without names: whatever is not background is the label that was asked for."""
    _, entries, _ = read_labels(path)
    values = {value for name, _, value in entries if name is None}
    return sorted(values) if len(values) == 1 else []
