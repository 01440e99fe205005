"""Sampling: a SYNTHETIC sample project, for a first look. No patient was ever near it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from .task import Thread
from .touching import Touching
from .words import counted

__all__ = ["SAMPLE_CASES", "SAMPLE_UNLABELLED", "Sampling"]

SAMPLE_CASES, SAMPLE_UNLABELLED = 6, 3


class Sampling(Touching):
    """The rule of the sample project, and its cases; the session has the command."""

    def may_make_sample(self, folder: Path) -> str | None:
        """Why no sample project can be made in a folder; None when one can."""
        from ..project.project import PROJECT_FILE

        if self._project is not None:
            return "Sample project: close the project first"
        if not folder.is_absolute():
            return "Sample project: type the whole path of a folder"
        there = (folder / PROJECT_FILE).is_file()
        return "Sample project: there is a project already in this folder" if there else None

    def _add_sample_cases(self) -> None:
        """Into the project that was just made, as a task; the message after it says how many."""
        folder, who = self._opened().root, self.who
        self._do(Thread("import", "making the SYNTHETIC sample cases", lambda tell: _write_sample(folder, who, tell)))


def _write_sample(root: Path, who: str, tell: Callable[[int, int], None]) -> str:
    from ..project.folders import find_pairs, read_dataset
    from ..project.import_plan import plan_import
    from ..project.importing import write_import
    from ..project.project import Project
    from ..project.synthetic import write_cohort

    with tempfile.TemporaryDirectory(prefix="semisupseg_sample_") as room:
        cohort = Path(room) / "cohort"
        write_cohort(cohort, cases=SAMPLE_CASES, unlabelled=SAMPLE_UNLABELLED)
        project = Project.open(root)
        plan = plan_import(find_pairs(cohort), read_dataset(cohort), label_set=project.label_set, holdout=0)
        write_import(project, plan, who=who, on_progress=lambda done, whole, _case: tell(done, whole))
    return f"{counted(SAMPLE_CASES, 'SYNTHETIC case')}, {SAMPLE_UNLABELLED} of them without labels: no patient"
