"""Sampling: a SYNTHETIC sample project, for a first look. No patient was ever near it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from .core import require
from .task import Thread
from .touching import Touching
from .words import counted

__all__ = ["SAMPLE_CASES", "SAMPLE_UNLABELLED", "Sampling"]

SAMPLE_CASES, SAMPLE_UNLABELLED = 6, 3


class Sampling(Touching):
    """The command of the sample project."""

    def create(self, folder: Path, labels: Iterable[str] = ()) -> None:
        """Make a new project and open it; the session has it."""
        raise NotImplementedError

    def may_make_sample(self, folder: Path) -> str | None:
        """Why no sample project can be made in a folder; None when one can."""
        from ..project.project import PROJECT_FILE

        if self._project is not None:
            return "Sample project: close the project first"
        if not folder.is_absolute():
            return "Sample project: type the whole path of a folder"
        there = (folder / PROJECT_FILE).is_file()
        return "Sample project: there is a project already in this folder" if there else None

    def make_sample(self, folder: Path) -> None:
        """Make a project and open it; its cases come as a task, and the message after it says how many.

        Args:
            folder: may exist but hold no project.

        Raises:
            ProjectError: :meth:`may_make_sample` gives a reason.
            OSError: the folder cannot be written.
        """
        folder = Path(folder)
        require(self.may_make_sample(folder))
        self.create(folder)
        who = self.who
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
