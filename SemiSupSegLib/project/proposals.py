"""Proposals, taken over or turned down.

A proposal changes nothing by itself. :func:`accept` writes its voxels only where the label is not known yet, and never
over another label that excludes it, so that no voxel of a person is ever changed (G29).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ProjectError
from .annotation import Acceptance, Annotation, Region, RegionKind, label_mask
from .candidates import Candidate, candidates
from .cases import Case
from .geometry import check_same_grid
from .labels import LabelSet
from .predictions import StoredPrediction, read_prediction
from .transactions import commit

if TYPE_CHECKING:
    from .project import Project

__all__ = ["Candidate", "accept", "candidates", "flag", "reject"]


def accept(
    project: Project,
    case_id: str,
    label: str,
    *,
    confident: float | None = None,
    slices: tuple[int, int] | None = None,
    who: str,
) -> Case:
    """Take over a proposal: all of it, its confident part, or some slices.

    Args:
        project: the open project.
        case_id: the case.
        label: the label's name.
        confident: take only voxels whose uncertainty is at most this, [0, 1]; they become known, the rest does not.
        slices: take only slices k from the first to the last, both included; there the label is done.
        who: id of the annotator.

    Returns:
        The case as it is now: the label complete, or partial with one more finished region.

    Raises:
        ProjectError: nothing is predicted, the label is complete or absent already, or nothing would be taken.
        ImageError: the prediction lies on another grid than the image.
    """
    if confident is not None and slices is not None:
        msg = "accept: give a threshold of confidence or a range of slices, not both"
        raise ProjectError(msg)
    with project.lock():
        case, name = project.refresh(case_id), project.label_set.names[project.label_set.index(label)]
        prediction = _open_for_review(project, case, name)
        part = _Part.of(case, name, prediction, confident=confident, slices=slices)
        labels = case.labels(project.label_set)
        place = project.label_set.places[project.label_set.index(name)]
        painted = labels[place.layer] == place.value
        taken = _taken(case, name, prediction, part, labels, project.label_set)
        annotation, strokes = _with_strokes(case.annotation(name), painted)
        if part.region and part.region.kind is RegionKind.STROKES:
            strokes[str(part.region.file)] = taken
        written = taken & ~painted
        labels[place.layer][written] = place.value
        voxels, date = int(np.count_nonzero(written)), datetime.now(UTC).isoformat(timespec="seconds")
        provenance = Acceptance(prediction.run, prediction.checkpoint, date, who, part.what, voxels)
        return commit(
            project,
            case.id,
            action="accept",
            who=who,
            label=name,
            detail={"what": part.what, "voxels": voxels, "model": prediction.model, "run": prediction.run},
            annotations={name: annotation.accept(provenance, region=part.region)},
            labels=labels,
            strokes=strokes,
            reviewed={name: None},
        )


def reject(project: Project, case_id: str, label: str, *, who: str) -> Case:
    """Turn down a model's proposal; a later model may propose again. Raises as :func:`accept` does."""
    return _decide(project, case_id, label, action="reject", decision="rejected", who=who)


def flag(project: Project, case_id: str, label: str, *, who: str) -> Case:
    """Mark a proposal for somebody else to look at; it stays flagged until it is accepted or rejected."""
    return _decide(project, case_id, label, action="flag", decision="flagged", who=who)


def _decide(project: Project, case_id: str, label: str, *, action: str, decision: str, who: str) -> Case:
    with project.lock():
        case = project.refresh(case_id)
        name = project.label_set.names[project.label_set.index(label)]
        model = _open_for_review(project, case, name).model
        said = {name: {"decision": decision, "model": model}}
        return commit(project, case_id, action=action, who=who, label=name, detail={"model": model}, reviewed=said)


def _open_for_review(project: Project, case: Case, name: str) -> StoredPrediction:
    prediction = read_prediction(project, case.id)
    if prediction is None or name not in prediction.labels:
        msg = f"case {case.id} has no proposal for {name}: predict it first"
        raise ProjectError(msg)
    if prediction.preview:  # nobody scored its weights, and they are gone within minutes: provenance would be empty
        what = f"{name} in case {case.id} is a {prediction.model}, not of the model in use"
        msg = f"{what}: predict the case again to decide on it"
        raise ProjectError(msg)
    if case.annotation(name).everywhere:
        msg = f"{name} is {case.annotation(name).state} in case {case.id} already: there is nothing to decide on"
        raise ProjectError(msg)
    return prediction


@dataclass(frozen=True)
class _Part:
    """What of a proposal is accepted."""

    what: str
    """For the journal."""
    region: Region | None
    """What will be known; None for the whole volume."""
    scope: NDArray[np.bool_]
    """(k, j, i): the voxels that are looked at."""

    @classmethod
    def of(
        cls,
        case: Case,
        name: str,
        prediction: StoredPrediction,
        *,
        confident: float | None,
        slices: tuple[int, int] | None,
    ) -> _Part:
        grid = case.grid()
        if confident is not None:
            if not 0 <= confident <= 1:
                msg = f"accept: expected a largest uncertainty from 0 to 1, found {confident}"
                raise ProjectError(msg)
            uncertainty, its_grid = prediction.uncertainty(name)
            check_same_grid(grid, its_grid, what="uncertainty", where=f"case {case.id}")
            # stored in 255ths: 0.2 must include 51/255 as a float32 has it
            scope = uncertainty <= confident + 1e-6
            return cls(f"confident {confident:g}", Region(RegionKind.STROKES, file="accepted"), scope)
        if slices is None:
            return cls("whole", None, np.ones(grid.shape, bool))
        first, last = slices
        if not 0 <= first <= last < grid.shape[0]:
            msg = f"case {case.id}: expected slices within 0:{grid.shape[0] - 1}, found {first}:{last}"
            raise ProjectError(msg)
        region = Region(RegionKind.SLICES, ((first, last),))
        none = np.zeros(grid.shape, bool)
        return cls(f"slices {first}:{last}", region, region.mask(grid.shape, painted=none, strokes=None))


def _taken(
    case: Case,
    name: str,
    prediction: StoredPrediction,
    part: _Part,
    labels: NDArray[np.integer[Any]],
    label_set: LabelSet,
) -> NDArray[np.bool_]:
    """(k, j, i): the voxels that become known to carry the label."""
    channel, where = label_set.index(name), f"case {case.id}"
    predicted, found = prediction.layers(label_set)
    check_same_grid(case.grid(), found, what="proposed labels", where=where)
    proposed = label_mask(predicted, label_set, channel)
    if not proposed.any():
        msg = f"the proposal for {name} in {where} is empty: if the case has none, mark it absent with annotate"
        raise ProjectError(msg)
    open_to_change = part.scope & ~case.known_of(name, labels, label_set)
    if (ignore := case.ignore()) is not None:
        open_to_change &= ~ignore  # excluded, not unknown: what was said there before still holds when it is lifted
    taken = proposed & open_to_change & ~_of_others(channel, labels, label_set)
    if part.region is None:
        changes = taken.any() or label_mask(labels, label_set, channel).any()
    else:
        changes = (open_to_change if part.region.kind is RegionKind.SLICES else taken).any()
    if not changes:
        msg = f"accepting {part.what} of {name} in {where} would change nothing: all of it is known already or left out"
        raise ProjectError(msg)
    return taken


def _of_others(channel: int, labels: NDArray[np.integer[Any]], label_set: LabelSet) -> NDArray[np.bool_]:
    """(k, j, i): voxels of labels that exclude this one, annotated or only painted: a person put them there."""
    own = label_set.places[channel]
    layer = labels[own.layer]
    taken: NDArray[np.bool_] = (layer != 0) & (layer != own.value)  # labels of one layer exclude each other
    for other, place in enumerate(label_set.places):
        if place.layer != own.layer and not label_set.may_overlap(channel, other):
            taken |= label_mask(labels, label_set, other)
    return taken


def _with_strokes(
    annotation: Annotation, painted: NDArray[np.bool_]
) -> tuple[Annotation, dict[str, NDArray[np.bool_]]]:
    """The annotation with *painted* regions fixed as the voxels painted now: a model's must not join them (G30)."""
    if not any(region.kind is RegionKind.PAINTED for region in annotation.regions):
        return annotation, {}
    fixed = Region(RegionKind.STROKES, file="painted")
    regions = tuple(fixed if region.kind is RegionKind.PAINTED else region for region in annotation.regions)
    return replace(annotation, regions=regions), {"painted": painted}
