"""Writing: how a change of the project is carried out, together with what is painted on the screen.

A change works on a twin of the open project, in a thread where the session has one. What came of it is taken over by
the thread of the front end, so nobody sees half of a change there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..errors import SemiSupSegError
from ..project.cases import Case
from ..project.project import Project
from ..project.transactions import commit
from .differences import Step, step_of
from .painting import Painted, Snapshot, newly_painted
from .showing import Showing

__all__ = ["Make", "Writing"]

Make = Callable[[Project, Painted | None], Any]
"""Changes a twin of the project, given what is painted in the current case; None where nothing is."""


@dataclass(frozen=True)
class _Written:
    """What came of a change."""

    result: Any
    problem: SemiSupSegError | OSError | None
    cases: tuple[Case, ...]
    """Those that are different now, also where it failed half-way."""
    unseen: frozenset[str]
    step: Step | None


class Writing(Showing):
    """Commands that store, and how they are carried out."""

    def save_painting(self) -> tuple[str, ...]:
        """Store what the person painted in the current case, as one change that undo takes back.

        Returns:
            Labels whose voxels differ from before; empty when nothing does, the project may not be changed, or a thread
            finds it out.

        Raises:
            ProjectError: two labels that exclude each other share voxels; the screen names no label of the project.
            ImageError: what is on the screen is not on the grid of the case.
        """
        if self._worker.writing is not None:
            self._later = self._later or self._save_again
            return ()
        case = self.current_case
        if case is None or self.may_change is not None or not self._on_screen(case):
            return ()
        stored: list[str] = []

        def told(names: tuple[str, ...]) -> None:
            """Tell everybody of the case."""
            stored.extend(names)
            if names:
                self._tell_case(case.id)

        self._write(f"what was painted in case {case.id} is being stored", self._store, told)
        return tuple(stored)

    def _save_again(self) -> None:
        self.save_painting()

    def settle(self) -> None:
        """Wait until all that is painted is stored, whatever thread does it: before a project is closed.

        Raises:
            SemiSupSegError: what is painted cannot be stored.
        """
        self.stop_reading()
        self._later = None
        self.wait()
        background, self.background = self.background, False
        try:
            self.save_painting()
        finally:
            self.background = background

    def wait(self) -> None:
        """Wait for the end of what is being stored: where nothing else may come in between. Says what goes wrong."""
        try:
            self._worker.finish()
        except (SemiSupSegError, OSError) as error:
            self._say(str(error), "error")

    def _poll_worker(self) -> None:
        self._worker.poll()

    # How a change is carried out -------------------------------------------------------------------------------------

    def _stored_then(self, then: Callable[[], None]) -> None:
        """Go on once all that is painted now is stored; the last call counts. Nothing happens when it cannot be."""
        if not self.background:
            self.save_painting()
            then()
            return
        case = self.current_case
        if self._worker.writing is not None:
            self._later = lambda: self._stored_then(then)
        elif case is None or self.may_change is not None or not self._on_screen(case):
            then()
        else:
            shown = self._on_screen(case)

            def told(names: tuple[str, ...]) -> None:
                """Go on, unless more was painted meanwhile: that is stored first."""
                if names:
                    self._tell_case(case.id)
                more = self._on_screen(case)
                if more and more is not shown and isinstance(more, Snapshot):  # painted on meanwhile
                    self._stored_then(then)
                else:
                    then()

            self._write(f"what was painted in case {case.id} is being stored", self._store, told)

    def _store(self, project: Project, found: Painted | None) -> tuple[str, ...]:
        """A :data:`Make` that stores what is painted and nothing else."""
        if found is None:
            return ()
        names = list(found.changed)
        commit(
            project, found.case, action="annotate", who=self.who, label=", ".join(names), detail={"painted": names},
            labels=found.layers,
        )  # fmt: skip
        return found.changed

    def _write(
        self,
        words: str,
        make: Make,
        then: Callable[[Any], None],
        *,
        rereads: bool = False,
        paints: bool = True,
    ) -> None:
        """Carry out one change: at once, or in a thread, whose end :meth:`.Session.poll` sees.

        Args:
            words: what is being done, for the status and for buttons that wait.
            make: the change.
            then: tells it, with what ``make`` gave.
            rereads: whether it may write other voxels than those that are painted.
            paints: whether it is to know what is painted.

        Raises:
            SemiSupSegError: what ``make`` raises, without a thread; else a message says it.
        """
        job = self._job(make, rereads=rereads, paints=paints)
        if not self.background:
            self._take_over(job(), then)
            return
        self._worker.write(words, job, lambda written: self._take_over(written, then), self._failing)
        self.signals.tell(self.signals.work_changed)

    def _job(self, make: Make, *, rereads: bool, paints: bool) -> Callable[[], _Written]:
        project, case, unseen = self._opened(), self.current_case, frozenset(self._unseen)
        masks = self._on_screen(case) if case is not None and paints else {}
        label_set, before = project.label_set, dict(project.cases)
        known = None if case is None or not self._layers.has(case, label_set) else self._layers.of(case, label_set)
        shows = self.painting is not None
        twin = Project(project.root, project.name, label_set, project.created, before.values())

        def work() -> _Written:
            """Read what is needed, change the twin, and find what the screen must take over."""
            result, problem, found, still, layers = None, None, None, unseen, known
            try:
                if case is not None and (masks or (rereads and shows)):
                    layers = case.labels(label_set) if known is None else known
                    found, still = newly_painted(case, label_set, layers, masks, unseen)
                result = make(twin, found)
            except (SemiSupSegError, OSError) as error:
                problem = error
            cases = tuple(each for each in twin.cases.values() if before.get(each.id) != each)
            step = None
            if case is not None and layers is not None and twin.cases[case.id] != case:
                agreed = None if still else masks
                step = step_of(label_set, case, twin.cases[case.id], layers, found, agreed, rereads=rereads)
            return _Written(result, problem, cases, still, step)

        return work

    def _take_over(self, written: _Written, then: Callable[[Any], None]) -> None:
        project = self._opened()
        for case in written.cases:
            project.keep(case)
        self._unseen, self._step = set(written.unseen), written.step
        if written.step is not None:
            step = written.step
            self._layers.keep(step.case, project.label_set, step.layers, step.held)
        later, self._later = self._later, None
        if self.background:
            self.signals.tell(self.signals.work_changed)
        if written.problem is not None:
            for case in written.cases:
                self._tell_case(case.id)
            raise written.problem
        then(written.result)
        if later is not None:
            later()

    def _commit(
        self, case: Case, words: str, make: Make, *, said: Callable[[], None], paints: bool = True
    ) -> None:
        """One change of a case in which what is painted takes part, told to everybody."""

        def told(_result: Any) -> None:
            """Tell everybody of the case."""
            self._tell_case(case.id)
            said()

        self._write(words, make, told, paints=paints)
