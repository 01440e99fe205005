"""Feed: what anybody changed in a project, seen as its files grow. The command line's changes show as well."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ProjectError
from ..project.cases import CASE_FILE, Case
from ..project.journal import content_hash
from ..project.labels import LabelSet
from ..project.project import PROJECT_FILE, Project

__all__ = ["Feed", "News"]


@dataclass(frozen=True)
class News:
    """What is different from the last look."""

    cases: frozenset[str] = frozenset()
    """Ids of cases that are new or changed."""
    written: frozenset[str] = frozenset()
    """Those of them that were there before and have another label file now."""
    project: bool = False
    """Labels, the model in use, or another thing of the whole project."""
    predictions: bool = False


class Feed:
    """Keeps an open project in step with its folder. A look costs a few ``stat`` while nothing happens.

    Args:
        project: its ``cases`` and ``label_set`` are updated.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self._offset = self._size()
        self._files = self._stamps()
        self._waiting: dict[str, str | None] = {}
        """Case id: hash of the case.json that was announced and is not there yet."""

    def new(self) -> News:
        """Take over what was written since the last look."""
        whole = False
        if self._size() > self._offset:
            for entry in self._entries():
                if entry.get("case") is None:
                    whole = True
                else:
                    self._waiting[str(entry["case"])] = (entry.get("content") or (None, None))[1]
        files = {case.id: case.labels_file for case in self._project.cases.values()}
        changed = frozenset(case_id for case_id in tuple(self._waiting) if self._taken(case_id))
        cases = self._project.cases
        written = frozenset(c for c in changed if c in files and files[c] != cases[c].labels_file)
        before, self._files = self._files, self._stamps()
        if before[0] != self._files[0]:
            self._project.label_set = self._label_set()
        return News(changed, written, whole or before[:2] != self._files[:2], before[2] != self._files[2])

    def _size(self) -> int:
        stamp = _stamp(self._project.journal.path)
        return 0 if stamp is None else stamp[1]

    def _stamps(self) -> tuple[tuple[int, int] | None, ...]:
        project = self._project
        files = project.root / PROJECT_FILE, project.models_folder / "promoted.json", project.predictions_folder
        return tuple(map(_stamp, files))

    def _entries(self) -> list[dict[str, Any]]:
        try:
            with self._project.journal.path.open("rb") as file:
                file.seek(self._offset)
                block = file.read()
        except OSError:  # a shared disk that is away for a moment
            return []
        whole = block[: block.rfind(b"\n") + 1]
        self._offset += len(whole)
        found = []
        for line in whole.splitlines():
            with suppress(ValueError):
                found.append(json.loads(line))
        return [entry for entry in found if isinstance(entry, dict)]

    def _taken(self, case_id: str) -> bool:
        folder = self._project.cases_folder / case_id
        try:
            content = (folder / CASE_FILE).read_bytes()
            wanted = self._waiting[case_id]
            if wanted is not None and content_hash(content) != wanted:
                return False  # announced, and not done yet
            case = Case.from_bytes(content, folder)
        except (OSError, ProjectError):
            return False
        del self._waiting[case_id]
        if self._project.cases.get(case_id) == case:
            return False  # our own change
        self._project.keep(case)
        return True

    def _label_set(self) -> LabelSet:
        try:
            return LabelSet.from_json(json.loads((self._project.root / PROJECT_FILE).read_bytes())["label_set"])
        except (OSError, ValueError, KeyError, TypeError, ProjectError):
            return self._project.label_set


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
