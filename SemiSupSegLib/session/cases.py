"""Cases: the table of a project's volumes, how they come in, which is shown, and which are held out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ProjectError
from ..project.cases import Case
from .core import require
from .rows import STATUSES, CaseRow, Cell, Found
from .task import Child
from .words import SYMBOLS, counted, joined
from .writing import Writing

if TYPE_CHECKING:
    import SimpleITK as sitk  # noqa: N813  everybody's name for it

    from ..project.candidates import Candidate

__all__ = ["Cases"]


class Cases(Writing):
    """Commands and rules of the case table."""

    def _candidates(self) -> Collection[Candidate]:
        """All proposals; the review has them."""
        return ()

    def case_rows(self, only: str | None = None) -> list[CaseRow]:
        """All cases by id, or those with one status; empty without a project.

        Raises:
            ProjectError: no such status.
        """
        if only is not None and only not in STATUSES:
            msg = f"no status {only!r}: choose one of {', '.join(STATUSES)}"
            raise ProjectError(msg)
        if self._project is None:
            return []
        by_case: dict[str, list[Candidate]] = {}
        for candidate in self._candidates():
            by_case.setdefault(candidate.case, []).append(candidate)
        rows = [self._row(case, by_case.get(case.id, [])) for case in self._project.cases.values()]
        return [row for row in rows if only in (None, row.status)]

    def _row(self, case: Case, found: Sequence[Candidate]) -> CaseRow:
        waiting = {c.label: c.score for c in found if c.decision not in ("accepted", "rejected")}
        cells = []
        for name in self._opened().label_set.names:
            state = case.annotation(name).state
            cells.append(Cell(name, state, SYMBOLS[state], name in waiting))
        score = max(waiting.values(), default=None)
        status = self._status(case, found, waits=bool(waiting))
        current = case.id == self._saved.case
        return CaseRow(
            case.id, case.modality, case.split, tuple(cells), status, _last_model(found), score, current
        )

    def _status(self, case: Case, found: Sequence[Candidate], *, waits: bool) -> str:
        names = self._opened().label_set.names
        if any(candidate.decision == "flagged" for candidate in found):
            return "flagged"
        if waits:
            return "needs review"
        everywhere = bool(names) and all(case.annotation(name).everywhere for name in names)
        return "done" if everywhere or found else "to do"  # all that was proposed is decided on

    @property
    def reviewed(self) -> tuple[int, int]:
        """How many cases are done, and how many there are."""
        rows = self.case_rows()
        return sum(row.status == "done" for row in rows), len(rows)

    # What is shown ---------------------------------------------------------------------------------------------------

    def show_case(self, case_id: str | None) -> None:
        """Make a case the current one, after what was painted in the one before is stored.

        Raises:
            ProjectError: no such case; or what is painted cannot be stored: then the case before stays.
        """
        if case_id is not None:
            self._opened().case(case_id)
        if case_id != self._saved.case:
            self._stored_then(lambda: self._enter(case_id))

    def _enter(self, case_id: str | None) -> None:
        self._unseen = set()
        self._remember(case=case_id)
        self.signals.tell(self.signals.current_case_changed, case_id)
        self.signals.tell(self.signals.cases_changed)
        self.signals.tell(self.signals.organs_changed)

    # Cases come in ---------------------------------------------------------------------------------------------------

    @property
    def may_import(self) -> str | None:
        """Why no case can be added; None when one can."""
        return self._may_change("Add cases") or self._may_start("Add cases")

    def find_cases(self, folder: Path) -> list[Found]:
        """What a folder holds, by the names of its files: nothing is read, nothing is written.

        Raises:
            ProjectError: there is no such folder, or no volume in it.
        """
        from ..project.folders import find_pairs  # here, as importing a session must be quick

        return [Found(pair.stem, pair.image, pair.labels, pair.problem) for pair in find_pairs(Path(folder))]

    def import_folder(self, folder: Path) -> None:
        """Copy all volumes of a folder, with their labels, into the project; a child process does it.

        Raises:
            ProjectError: :attr:`may_import` gives a reason.
            RunError: the child cannot be started.
        """
        require(self.may_import)
        words = f"adding the cases of {Path(folder).name}"
        self._begin(self._child("import", words, "import", self._root, str(folder), "--yes", "--who", self.who))

    def add_files(self, files: Iterable[Path], labels: Path | None = None) -> None:
        """Copy volume files, or folders with one DICOM series each, into the project; a child process does it.

        Args:
            files: one or several.
            labels: label file of the volume; only with one.

        Raises:
            ProjectError: :attr:`may_import` gives a reason, or labels were given for several files.
            RunError: the child cannot be started.
        """
        require(self.may_import)
        paths = [str(path) for path in files]
        require("Add cases: choose at least one file" if not paths else None)
        require("Add cases: a label file goes with one volume" if labels and len(paths) > 1 else None)
        more = ["--labels", str(labels)] if labels else []
        words = f"adding {counted(len(paths), 'case')}"
        self._begin(self._child("add", words, "add", self._root, *paths, *more, "--who", self.who))

    def add_volume(self, image: sitk.Image, name: str, labels: Path | None = None) -> str:
        """Copy a volume of the scene into the project.

        Args:
            image: the volume, LPS as SimpleITK has it.
            name: what to call the case; made safe as the name of a folder.
            labels: its label file, on the same grid.

        Returns:
            The id that the case will have.

        Raises:
            ProjectError: :attr:`may_import` gives a reason.
            RunError: the child cannot be started.
        """
        import SimpleITK as sitk  # noqa: N813

        from ..project.paths import safe_id

        require(self.may_import)
        case_id = safe_id(name, self._opened().cases)
        folder = self._task_folder("add")
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "volume.nrrd"
        sitk.WriteImage(image, str(file), False)  # not compressed: it is read once, and the person waits
        more = ["--labels", str(labels)] if labels else []
        command = (*self.program, "add", self._root, str(file), "--id", case_id, *more, "--who", self.who)
        self._begin(Child("add", f"adding case {case_id}", command, folder))
        return case_id

    # Hold-out --------------------------------------------------------------------------------------------------------

    @property
    def may_set_holdout(self) -> str | None:
        """Why the hold-out stays as it is; None when it may change."""
        if (reason := self._may_change("Hold-out")) is not None:
            return reason
        return None if self._opened().cases else "Hold-out: the project has no case yet"

    def suggest_holdout(self) -> tuple[str, ...]:
        """Ids of the cases that the rule would hold out; empty with fewer than 10 annotated cases."""
        from ..project.holdout import choose_holdout

        return choose_holdout(self._opened().cases.values())

    def set_holdout(self, case_ids: Collection[str]) -> None:
        """Hold out exactly these cases.

        Raises:
            ProjectError: :attr:`may_set_holdout` gives a reason, or there is no such case.
        """
        from ..project.holdout import set_holdout

        require(self.may_set_holdout)
        moved = set_holdout(self._opened(), case_ids, who=self.who)
        if moved:
            self.signals.tell(self.signals.project_changed)
            self.signals.tell(self.signals.cases_changed)
        held = joined(case.id for case in self._opened().holdout_cases())
        self._say(f"held out: {held or 'no case: nothing tells if a round is better'}")

    # Children --------------------------------------------------------------------------------------------------------

    @property
    def _root(self) -> str:
        return str(self._opened().root)

    def _task_folder(self, kind: str) -> Path:
        parent, number = self._opened().cache_folder / "tasks", 1
        while (parent / f"{kind}_{number}").exists():
            number += 1
        return parent / f"{kind}_{number}"

    def _child(self, kind: str, words: str, *verb: str) -> Child:
        return Child(kind, words, (*self.program, *verb), self._task_folder(kind.replace(" ", "_")))


def _last_model(found: Sequence[Candidate]) -> str | None:
    return found[0].model if found else None
