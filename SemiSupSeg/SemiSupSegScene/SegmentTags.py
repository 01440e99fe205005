"""What a segment says about itself: its state in the case, where its voxels come from, and Slicer's own status.

The tags are saved with ``.seg.nrrd`` files and scenes. The project stays the one place where this is decided: tags are
written from it, and read only where a segmentation comes from outside.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import slicer
import vtk

from SemiSupSegLib.errors import ProjectError
from SemiSupSegLib.project.annotation import Acceptance, Annotation, State

__all__ = ["PROVENANCE_TAG", "STATE_TAG", "provenanceOf", "stateOf", "tagSegment"]

STATE_TAG = "SemiSupSeg.State"
PROVENANCE_TAG = "SemiSupSeg.Provenance"
FLAGGED = "flagged"


def tagSegment(segment: Any, annotation: Annotation, *, decision: str | None = None) -> None:
    """Write what the project says about a label onto its segment.

    Args:
        segment: a ``vtkSegment``.
        annotation: state and provenance.
        decision: of the review; ``flagged`` shows in Slicer's status column.
    """
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    statuses = {
        State.UNKNOWN: logic.NotStarted,
        State.PARTIAL: logic.InProgress,
        State.COMPLETE: logic.Completed,
        State.ABSENT: logic.Completed,
    }
    logic.SetSegmentStatus(segment, logic.Flagged if decision == FLAGGED else statuses[annotation.state])
    segment.SetTag(STATE_TAG, str(annotation.state))
    if annotation.accepted:
        segment.SetTag(PROVENANCE_TAG, _written(annotation.accepted))
    elif _tag(segment, PROVENANCE_TAG) is not None:
        segment.RemoveTag(PROVENANCE_TAG)


def stateOf(segment: Any) -> State:
    """The state that a segment carries; *unknown* when it says nothing.

    A segment from outside has no such tag: that it holds voxels says nothing of where it is finished, and that it holds
    none does not make the organ absent.

    Raises:
        ProjectError: the tag holds no state.
    """
    text = _tag(segment, STATE_TAG)
    try:
        return State.UNKNOWN if text is None else State(text)
    except ValueError as error:
        msg = f"the segment {segment.GetName()} says {text!r} for its state: expected one of {', '.join(State)}"
        raise ProjectError(msg) from error


def provenanceOf(segment: Any) -> tuple[Acceptance, ...]:
    """What was accepted from models; empty for a segment that people drew.

    Raises:
        ProjectError: the tag cannot be read.
    """
    text = _tag(segment, PROVENANCE_TAG)
    try:
        return () if text is None else tuple(Acceptance(**entry) for entry in json.loads(text))
    except (TypeError, ValueError) as error:
        msg = f"the provenance of the segment {segment.GetName()} cannot be read: {error!r}"
        raise ProjectError(msg) from error


def _written(accepted: Sequence[Acceptance]) -> str:
    # a bar would end the tag in a .seg.nrrd file; within JSON it can only stand in a string
    return json.dumps([vars(entry) for entry in accepted], separators=(",", ":")).replace("|", "\\u007c")


def _tag(segment: Any, name: str) -> str | None:
    value = vtk.reference("")  # Slicer writes the tag into it
    return str(value) if segment.GetTag(name, value) else None
