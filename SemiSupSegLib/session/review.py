"""Review: what a person decides on a proposal, and taking it back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..project import proposals, transactions
from ..project.annotation import State
from ..project.cases import Case
from ..project.journal import JournalEntry
from ..project.project import Project
from .core import require
from .looking import Looking
from .painting import Painted
from .queue import DECIDED

__all__ = ["Review"]


class Review(Looking):
    """Commands and rules of the review."""

    _undoable: tuple[int, str | None] = (-1, None)
    """Id of the last journal entry, and what undo would take back then."""

    @property
    def may_accept(self) -> str | None:
        """Why the selected proposal cannot be taken over; None when it can."""
        return self._may_decide("Accept", empty=False)

    @property
    def may_accept_confident(self) -> str | None:
        """The same for its confident part."""
        return self._may_decide("Accept confident part", empty=False)

    @property
    def may_accept_slice(self) -> str | None:
        """The same for some of its slices."""
        return self._may_decide("Accept slice", empty=False)

    @property
    def may_reject(self) -> str | None:
        """Why it cannot be turned down; None when it can."""
        row = self.selected
        said = "Reject: it is rejected already" if row is not None and row.decision == "rejected" else None
        return self._may_decide("Reject", empty=True) or said

    @property
    def may_flag(self) -> str | None:
        """Why it cannot be left to somebody else; None when it can."""
        row = self.selected
        said = "Flag: it is flagged already" if row is not None and row.decision == "flagged" else None
        return self._may_decide("Flag", empty=True) or said

    @property
    def may_edit(self) -> str | None:
        """Why the organ that is looked at cannot be painted; None when it can."""
        missing = None if self.selected is not None else "Edit: select a proposal first"
        return self._may_own("Edit") or self._may_see("Edit") or missing

    @property
    def may_mark_absent(self) -> str | None:
        """Why the organ that is looked at cannot be said to be absent; None when it can."""
        row = self.selected
        if row is None:
            return "Absent: select a proposal first"
        if row.case != self._saved.case:  # whether it is painted there is not known without reading that case
            return f"Absent: show case {row.case} first"
        return self.may_set_state(row.label, State.ABSENT, row.case)

    def _may_decide(self, button: str, *, empty: bool) -> str | None:
        if (reason := self._may_change(button)) is not None:
            return reason
        row = self.selected
        if row is None:
            return f"{button}: select a proposal first"
        if (reason := self._may_look(button)) is not None:
            return reason
        if row.preview:
            return f"{button}: this is a {row.model}, not of the model in use: predict the case again to decide on it"
        if row.empty and not empty:
            return f"{button}: nothing was found; if case {row.case} has no {row.label}, mark it as absent"
        return None

    @property
    def threshold(self) -> float:
        """Largest uncertainty that counts as sure, [0, 1]; kept in the project."""
        return self._saved.threshold

    @threshold.setter
    def threshold(self, value: float) -> None:
        """Raises ProjectError for anything but 0 to 1."""
        require(None if 0 <= value <= 1 else f"Threshold: expected 0 to 1, found {value:g}")
        if value != self._saved.threshold:
            self._remember(threshold=float(value))
            self.signals.tell(self.signals.threshold_changed, float(value))

    def accept(self) -> None:
        """Take over the whole proposal; the label is complete then.

        Raises:
            ProjectError: :attr:`may_accept` gives a reason, or it would change nothing.
        """
        require(self.may_accept)
        self._accept()

    def accept_confident(self) -> None:
        """Take over the voxels whose uncertainty is at most :attr:`threshold`; raises as :meth:`accept` does."""
        require(self.may_accept_confident)
        self._accept(confident=self.threshold)

    def accept_slices(self, first: int, last: int | None = None) -> None:
        """Take over the slices k from the first to the last, both included; raises as :meth:`accept` does."""
        require(self.may_accept_slice)
        self._accept(slices=(int(first), int(first if last is None else last)))  # an array may have given them

    def reject(self) -> None:
        """Turn it down; a later model may propose again. Raises as :meth:`accept` does."""
        require(self.may_reject)
        self._decide(proposals.reject, "rejected")

    def flag(self) -> None:
        """Leave it to somebody else; raises as :meth:`accept` does."""
        require(self.may_flag)
        self._decide(proposals.flag, "flagged")

    def mark_absent(self) -> None:
        """Say that the selected label is not there: the answer to a proposal in which nothing was found.

        Raises:
            ProjectError: :attr:`may_mark_absent` gives a reason.
        """
        require(self.may_mark_absent)
        case_id, label = self._key()
        self.set_state(label, State.ABSENT, case_id, then=lambda: self._after((case_id, label), None))

    def _accept(self, **part: Any) -> None:
        case_id, label = self._key()

        def told(case: Case) -> None:
            """Say what came of it, and go on to the next proposal."""
            said = case.annotation(label)
            self._after((case_id, label), None if said.everywhere else "accepted", written=(label,))
            self._say(f"accepted {said.accepted[-1].voxels} voxels: {label} is {said.state} in case {case_id}")

        def decide(project: Project) -> Case:
            return proposals.accept(project, case_id, label, who=self.who, **part)

        self._decide_on(case_id, f"{label} in case {case_id} is being accepted", decide, told)

    def _decide(self, decide: Callable[..., Case], decision: str) -> None:
        case_id, label = self._key()

        def told(_case: Case) -> None:
            """Say what came of it, and go on to the next proposal."""
            self._after((case_id, label), decision)
            self._say(f"{decision}: {label} in case {case_id}")

        def make(project: Project) -> Case:
            return decide(project, case_id, label, who=self.who)

        self._decide_on(case_id, f"{label} in case {case_id} is being {decision}", make, told)

    def _decide_on(
        self, case_id: str, words: str, decide: Callable[[Project], Case], told: Callable[[Case], None]
    ) -> None:
        """A person's voxels are in the project before a model's join them, so that none of them is changed (G29)."""

        def make(project: Project, found: Painted | None) -> Case:
            if found is not None and found.case == case_id:
                self._store(project, found)
            return decide(project)

        self._write(words, make, told, rereads=True)

    def _after(self, key: tuple[str, str], decision: str | None, *, written: tuple[str, ...] = ()) -> None:
        """What was decided shows at once, the rank of the others soon; the next one of the case is looked at."""
        following = self._queue.neighbour(key, 1)
        self._queue.decided(key, decision)
        self._tell_case(key[0], written=written)
        if decision in (None, "rejected"):
            same = [(c.case, c.label) for c in self._queue.candidates if c.case == key[0] and c.decision not in DECIDED]
            self._select(following if following in same else next(iter(same), None))
        self.signals.tell(self.signals.queue_changed)
        self.refresh_queue()

    # Undo ------------------------------------------------------------------------------------------------------------

    @property
    def may_undo(self) -> str | None:
        """Why nothing can be taken back; None when something can."""
        if (reason := self._may_change("Undo")) is not None:
            return reason
        if (reason := self._may_see("Undo")) is not None:
            return reason
        return None if self.undo_words else "Undo: nothing is left to take back"

    @property
    def undo_words(self) -> str | None:
        """What :meth:`undo` takes back, as ``accept of liver in case c1``; None when there is nothing."""
        if self._project is None:
            return None
        last = self._project.journal.last()
        number = 0 if last is None else last.id
        if self._undoable[0] != number:
            change = transactions._newest_change(self._project)
            said = _in_words(change.action, change.label, change.case) if change and change.case else None
            self._undoable = (number, said)
        return self._undoable[1]

    def undo(self) -> None:
        """Take back the newest change of the project: accept, reject, flag, a state, painting, a hold-out.

        What is painted and not stored yet is stored first, and is what is taken back then.

        Raises:
            ProjectError: :attr:`may_undo` gives a reason, or the case was changed by something else since.
        """
        require(self._may_change("Undo") or self._may_see("Undo"))
        self._stored_then(self._undo)

    def _undo(self) -> None:
        require(self.may_undo)
        files = {case.id: case.labels_file for case in self._opened().cases.values()}

        def make(project: Project, _found: Painted | None) -> JournalEntry:
            return transactions.undo(project, who=self.who)

        def told(entry: JournalEntry) -> None:
            """Say what came of it, and go on to the next proposal."""
            project, case_id = self._opened(), str(entry.case)
            is_written = files.get(case_id) != project.cases[case_id].labels_file
            self._tell_case(case_id, written=project.label_set.names if is_written else ())
            if entry.detail["action"] in ("accept", "reject", "flag") and entry.label is not None:
                self._remember(candidate=(case_id, entry.label))
            self.refresh_queue()
            self._say(f"took back: {_in_words(str(entry.detail['action']), entry.label, case_id)}")

        self._write("the last change is being taken back", make, told, rereads=True)


def _in_words(action: str, label: str | None, case_id: str) -> str:
    return f"{action} of {label} in case {case_id}" if label else f"{action} of case {case_id}"
