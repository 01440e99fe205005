"""Review: what a person decides on a proposal, and taking it back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..project import proposals, transactions
from ..project.annotation import State
from ..project.cases import Case
from .core import require
from .looking import Looking
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
        return self._may_change("Edit") or (None if self.selected is not None else "Edit: select a proposal first")

    @property
    def may_mark_absent(self) -> str | None:
        """Why the organ that is looked at cannot be said to be absent; None when it can."""
        row = self.selected
        if row is None:
            return "Absent: select a proposal first"
        return self.may_set_state(row.label, State.ABSENT, row.case)

    def _may_decide(self, button: str, *, empty: bool) -> str | None:
        if (reason := self._may_change(button)) is not None:
            return reason
        row = self.selected
        if row is None:
            return f"{button}: select a proposal first"
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
        self.set_state(label, State.ABSENT, case_id)
        self._after((case_id, label), None)

    def _accept(self, **part: Any) -> None:
        case_id, label = self._key()
        self._save_before(case_id)
        case = proposals.accept(self._opened(), case_id, label, who=self.who, **part)
        said = case.annotation(label)
        self._after((case_id, label), None if said.everywhere else "accepted", written=(label,))
        self._say(f"accepted {said.accepted[-1].voxels} voxels: {label} is {said.state} in case {case_id}")

    def _decide(self, decide: Callable[..., Case], decision: str) -> None:
        case_id, label = self._key()
        self._save_before(case_id)
        decide(self._opened(), case_id, label, who=self.who)
        self._after((case_id, label), decision)
        self._say(f"{decision}: {label} in case {case_id}")

    def _save_before(self, case_id: str) -> None:
        """A person's voxels are in the project before a model's join them, so that none of them is changed (G29)."""
        if case_id == self._saved.case:
            self.save_painting()

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
            said = None
            if change is not None and change.case is not None:
                said = f"{change.action} of {change.label} in case {change.case}" if change.label else (
                    f"{change.action} of case {change.case}"
                )
            self._undoable = (number, said)
        return self._undoable[1]

    def undo(self) -> None:
        """Take back the newest change of the project: accept, reject, flag, a state, painting, a hold-out.

        What is painted and not stored yet is stored first, and is what is taken back then.

        Raises:
            ProjectError: :attr:`may_undo` gives a reason, or the case was changed by something else since.
        """
        self.save_painting()
        require(self.may_undo)
        project, words = self._opened(), self.undo_words
        before = {case.id: case.labels_file for case in project.cases.values()}
        entry = transactions.undo(project, who=self.who)
        case_id = str(entry.case)
        written = project.label_set.names if before.get(case_id) != project.cases[case_id].labels_file else ()
        self._tell_case(case_id, written=written)
        if entry.detail["action"] in ("accept", "reject", "flag") and entry.label is not None:
            self._remember(candidate=(case_id, entry.label))
        self.refresh_queue()
        self._say(f"took back: {words}")
