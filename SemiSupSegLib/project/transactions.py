"""The one way a case changes (G3, G4). Every step before the last leaves the old state, the last one makes the new:

1. take the project's lock;
2. write new label, region and ignore files under names of the new generation, never over old ones;
3. copy the bytes of case.json to ``history/<generation>.json``;
4. write the intent to the journal, with the hashes of case.json before and after;
5. replace case.json.

A crash between 4 and 5 leaves an intent that never came true; whoever comes next marks it with an ``aborted`` entry.
Files that nothing points to are left alone. Undo is the same change with the bytes of history: no action has its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ProjectError
from .annotation import Annotation
from .atomic import write_bytes
from .cases import CASE_FILE, SPLITS, Case
from .generations import earlier_bytes, next_generation, remember, write_pixels
from .journal import JournalEntry, content_hash
from .paths import safe_id

if TYPE_CHECKING:
    import SimpleITK as sitk  # noqa: N813  everybody's name for it

    from .project import Project

__all__ = ["add", "commit", "settle", "undo"]

NOT_UNDOABLE = ("add", "labels", "adjacency", "rollback", "undo", "aborted")


def commit(
    project: Project,
    case_id: str,
    *,
    action: str,
    who: str,
    label: str | None = None,
    detail: Mapping[str, Any] | None = None,
    annotations: Mapping[str, Annotation] | None = None,
    labels: NDArray[np.integer[Any]] | None = None,
    ignore: NDArray[np.bool_] | None = None,
    strokes: Mapping[str, NDArray[np.bool_]] | None = None,
    split: str | None = None,
    reviewed: Mapping[str, dict[str, Any] | None] | None = None,
) -> Case:
    """Change a case. What is None stays as it is.

    Args:
        project: the open project; its ``cases`` are updated.
        case_id: the case.
        action: a word for the journal: ``annotate``, ``accept``, ``reject``, ``flag``, ``split``.
        who: id of the annotator.
        label: the label that the change is about, for the journal.
        detail: for the journal; ids and numbers only.
        annotations: by label name; labels that it does not name keep theirs.
        labels: all layers (L, k, j, i).
        ignore: (k, j, i) bool; all False removes the mask.
        strokes: new stroke regions (k, j, i) bool, by the name under which ``annotations`` refer to them.
        split: ``train`` or ``holdout``.
        reviewed: by label name; None takes a decision back.

    Returns:
        The case as it is now.

    Raises:
        ProjectError: another program changed the case since it was read, or the change fits no label, region or split.
        ImageError: an array does not fit the image.
    """
    with project.lock():
        before = _current(project, case_id)
        case = project.cases[case_id]
        generation = next_generation(case)
        case = replace(case, generation=generation, split=case.split if split is None else split)
        case = replace(case, reviewed=_merged(case.reviewed, reviewed or {}))
        case = write_pixels(
            case, project.label_set, labels=labels, ignore=ignore, annotations=annotations or {}, strokes=strokes or {}
        )
        return _put(project, case, before, action=action, who=who, label=label, detail=detail or {})


def add(
    project: Project,
    case_id: str,
    image: sitk.Image,
    *,
    labels: NDArray[np.integer[Any]] | None,
    annotations: Mapping[str, Annotation],
    modality: str,
    split: str,
    ignore: NDArray[np.bool_] | None,
    strokes: Mapping[str, NDArray[np.bool_]] | None,
    who: str,
) -> Case:
    """A new case. The image is written without its metadata.

    Raises:
        ProjectError: the id is taken or no safe folder name; annotations fit no label or region.
        ImageError: an array does not fit the image.
    """
    from .images import write_volume

    with project.lock():
        free = safe_id(case_id, project.cases.keys() - {case_id})
        if free != case_id:
            msg = f"{case_id!r} cannot be the id of a case: use {free!r}"
            raise ProjectError(msg)
        folder = project.cases_folder / case_id
        if (folder / CASE_FILE).exists():
            msg = f"there is a case {case_id!r} already: choose another id"
            raise ProjectError(msg)
        folder.mkdir(parents=True, exist_ok=True)
        write_volume(image, folder / "image.nii.gz")
        case = Case(case_id, folder, 0, "image.nii.gz", None, None, modality, split)
        case = replace(case, generation=next_generation(case))
        case = write_pixels(
            case, project.label_set, labels=labels, ignore=ignore, annotations=annotations, strokes=strokes or {}
        )
        return _put(project, case, None, action="add", who=who, label=None, detail={})


def undo(project: Project, *, who: str) -> JournalEntry:
    """Take back the newest change that was not taken back yet: case.json becomes the very bytes it was (G32).

    Returns:
        The entry of the undo; ``detail`` holds the id and the action of what was undone.

    Raises:
        ProjectError: nothing is left to undo, or the case was changed by something else since.
    """
    with project.lock():
        settle(project)
        change = _newest_change(project)
        if change is None or change.case is None:
            msg = f"project {project.name} has nothing to undo"
            raise ProjectError(msg)
        folder = project.case(change.case).folder
        now = (folder / CASE_FILE).read_bytes()
        what = f"{change.action} of {change.label or 'the case'} in {change.case}"
        if content_hash(now) != change.content[1]:
            msg = f"cannot undo {what}: its {CASE_FILE} was changed by something else since"
            raise ProjectError(msg)
        earlier = earlier_bytes(folder, change.generation[0], change.content[0])
        if earlier is None:
            msg = f"cannot undo {what}: the earlier {CASE_FILE} is missing from its history or was changed"
            raise ProjectError(msg)
        remember(folder, change.generation[1], now)
        entry = project.journal.append(
            who=who,
            action="undo",
            case=change.case,
            label=change.label,
            detail={"undoes": change.id, "action": change.action},
            generation=(change.generation[1], change.generation[0]),
            content=(change.content[1], change.content[0]),
        )
        _replace(project, folder, earlier)
        return entry


def settle(project: Project) -> None:
    """Mark the newest journal entry as aborted when a crash kept its change from happening.

    Only the newest can be unfinished: every change settles before it begins. :meth:`.Project.open` calls this too, and
    must work in a folder that cannot be written, and while another program is in the middle of a change.
    """
    if not _unfinished(project):
        return
    try:
        with project.lock(seconds=0):
            entry = _unfinished(project)  # again: the change may have been under way, and be done by now
            if entry:
                project.journal.append(
                    who=entry.who, action="aborted", case=entry.case, label=entry.label, detail={"entry": entry.id},
                    generation=(entry.generation[0], entry.generation[0]), content=(entry.content[0], entry.content[0]),
                )  # fmt: skip
    except ProjectError:
        return  # somebody is at work, or nothing can be written here: the next change will settle it


def _unfinished(project: Project) -> JournalEntry | None:
    entry = project.journal.last()
    if entry is None or entry.case is None or entry.action == "aborted":
        return None
    file = project.cases_folder / entry.case / CASE_FILE
    now = content_hash(file.read_bytes()) if file.exists() else None
    return entry if now == entry.content[0] else None


def _newest_change(project: Project) -> JournalEntry | None:
    entries = project.journal.entries()
    aborted = {entry.detail["entry"] for entry in entries if entry.action == "aborted"}
    undone = {entry.detail["undoes"] for entry in entries if entry.action == "undo" and entry.id not in aborted}
    changes = (e for e in reversed(entries) if e.action not in NOT_UNDOABLE and e.id not in aborted | undone)
    return next(changes, None)


def _current(project: Project, case_id: str) -> bytes:
    """The bytes of case.json, when they are what the project knows."""
    case = project.case(case_id)
    now = (case.folder / CASE_FILE).read_bytes()
    if project.refresh(case_id) != case:
        msg = f"case {case_id} was changed by another program in the meantime: look at it again, then repeat the change"
        raise ProjectError(msg)
    return now


def _put(
    project: Project,
    case: Case,
    before: bytes | None,
    *,
    action: str,
    who: str,
    label: str | None,
    detail: Mapping[str, Any],
) -> Case:
    """Steps 3 to 5."""
    if case.split not in SPLITS:
        msg = f"case {case.id}: expected one of the splits {', '.join(SPLITS)}, found {case.split!r}"
        raise ProjectError(msg)
    settle(project)
    case = replace(case, entry=project.journal.next_id())
    old = 0
    if before is not None:
        old = Case.from_bytes(before, case.folder).generation
        remember(case.folder, old, before)
    after = case.to_bytes()
    project.journal.append(
        who=who, action=action, case=case.id, label=label, detail=detail, generation=(old, case.generation),
        content=(None if before is None else content_hash(before), content_hash(after)),
    )  # fmt: skip
    _replace(project, case.folder, after)
    return project.cases[case.id]


def _replace(project: Project, folder: Path, content: bytes) -> None:
    """Step 5. The project shows what is on the disk even when the last sync fails after the replacement."""
    try:
        write_bytes(folder / CASE_FILE, content)
    finally:
        if (folder / CASE_FILE).exists():
            project.keep(Case.from_bytes((folder / CASE_FILE).read_bytes(), folder))


def _merged(old: Mapping[str, dict[str, Any]], new: Mapping[str, dict[str, Any] | None]) -> dict[str, dict[str, Any]]:
    return {name: decision for name, decision in {**old, **new}.items() if decision is not None}
