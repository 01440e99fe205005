# SimpleITK names the types of some of its methods only:
# mypy: allow-untyped-calls
"""Renaming a label: possible until a file is written that knows the name, for names are the key of everything."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from ..errors import SemiSupSegError
from ..project.adjacency_rules import RULES_FILE
from ..project.atomic import write_json
from ..project.labels import LabelSet
from ..project.project import FORMAT_VERSION, PROJECT_FILE, Project
from .words import counted

__all__ = ["rename", "what_names"]


def what_names(project: Project, name: str) -> str | None:
    """What knows a label by its name, as the beginning of a sentence; None when nothing does."""
    said = sum(name in case.annotations for case in project.cases.values())
    if said:
        return f"{counted(said, 'case')} {'say' if said > 1 else 'says'} something about"
    files = [path for case in project.cases.values() for path in (case.folder / "labels").glob("*.seg.nrrd")]
    if any(_is_segment(path, name) for path in files):  # also those of earlier generations: undo goes back to them
        return "label files hold"
    if any(_mentions(path, name) for path in project.models_folder.glob("*/model.json")):
        return "a model has learnt"
    return "the adjacency rules name" if _mentions(project.root / RULES_FILE, name) else None


def rename(project: Project, old: str, new: str, *, who: str) -> None:
    """Write the label set with another name. Only for a label that :func:`what_names` finds nowhere.

    Raises:
        ProjectError: the name is none, or another label has it.
        WriteError: the file could not be written; the name is the old one.
    """
    with project.lock():
        labels = tuple(replace(x, name=new, terminology=None) if x.name == old else x for x in project.label_set.labels)
        overlaps = frozenset(frozenset(new if n == old else n for n in pair) for pair in project.label_set.overlaps)
        label_set = LabelSet(labels, overlaps)
        project.journal.append(who=who, action="labels", detail={"renamed": [old, new]})
        content = {"name": project.name, "label_set": label_set.to_json(), "created": project.created}
        write_json(project.root / PROJECT_FILE, {"format": FORMAT_VERSION, **content})
        project.label_set = label_set


def _is_segment(path: Path, name: str) -> bool:
    from ..project.images import file_reader  # here, as SimpleITK takes its time

    try:
        reader = file_reader(path)
    except SemiSupSegError:
        return True  # a file that cannot be read may well know it
    keys = [key for key in reader.GetMetaDataKeys() if key.startswith("Segment") and key.endswith("_Name")]
    return any(reader.GetMetaData(key) == name for key in keys)


def _mentions(path: Path, name: str) -> bool:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:
        return False
    return json.dumps(name) in text or json.dumps(name, ensure_ascii=False) in text
