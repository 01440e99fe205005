"""Session: open and close a project, look at what happens in it, and say what makes sense next."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import SemiSupSegError
from ..project.annotation import label_mask
from ..project.labels import LabelSet
from ..project.project import Project
from .core import require
from .feed import Feed
from .owner import HEARTBEAT_SECONDS, Owner
from .painting import Layers, differing
from .sampling import Sampling
from .saved import Saved
from .task import clear_up

__all__ = ["Session"]

_LOG = logging.getLogger(__name__)


class Session(Sampling):
    """One project at a front end; see :class:`.Core` for the arguments.

    Commands change something and tell it by signals; a command that breaks a rule raises the reason that the property
    ``may_...`` of its button gives. Everything is called from one thread. :meth:`poll` is called by a timer.
    """

    def __init__(self, **said: Any) -> None:
        super().__init__(**said)
        self._feed: Feed | None = None
        self._beat = 0.0

    # Open and close --------------------------------------------------------------------------------------------------

    def create(
        self,
        folder: Path,
        labels: Iterable[str] = (),
        *,
        name: str | None = None,
        overlaps: Iterable[tuple[str, str]] = (),
    ) -> None:
        """Make a new project and open it.

        Args:
            folder: may exist but hold no project.
            labels: names, in order; those of imported files join them.
            name: of the project; that of its folder when None.
            overlaps: pairs of labels that may share voxels.

        Raises:
            ProjectError: there is a project already, or a name is none.
            OSError: the folder cannot be written.
        """
        from ..project.import_plan import new_label  # here, as it brings the readers of all files along

        named = tuple(new_label(label.strip(), number) for number, label in enumerate(labels))
        label_set = LabelSet(named, frozenset(frozenset(pair) for pair in overlaps))
        Project.create(Path(folder), name=name, label_set=label_set)
        self.open(folder)

    def make_sample(self, folder: Path) -> None:
        """Make a project of SYNTHETIC cases and open it; they come as a task.

        Args:
            folder: may exist but hold no project.

        Raises:
            ProjectError: :meth:`may_make_sample` gives a reason.
            OSError: the folder cannot be written.
        """
        require(self.may_make_sample(Path(folder)))
        self.create(folder)
        self._add_sample_cases()

    def open(self, folder: Path) -> None:
        """Open a project where it was left, and attach to its training. Another project is closed before.

        When another program has it open, it can be looked at; :attr:`owner` says who.

        Raises:
            ProjectError: no project there, a newer format, or a case that cannot be read.
        """
        project = Project.open(Path(folder))
        self.close()
        self._project, self._feed = project, Feed(project)
        self._saved = Saved.load(project.root)
        if self._saved.case not in project.cases:
            self._saved = Saved(threshold=self._saved.threshold, preset=self._saved.preset)
        self._claim()
        self._attach()
        self.refresh_queue()
        signals = self.signals
        signals.tell(signals.project_changed)
        signals.tell(signals.cases_changed)
        signals.tell(signals.current_case_changed, self._saved.case)
        signals.tell(signals.organs_changed)
        signals.tell(signals.candidate_changed, self.selected)
        if self._owner is not None:
            self._say(self._owner.sentence, "warning")

    def close(self) -> None:
        """Store what is painted and let go of the project; its training goes on.

        Raises:
            ProjectError: what is painted cannot be stored; the project stays open.
        """
        if self._project is None:
            return
        self.settle()
        if self._me is not None:
            self._me.leave(self._project.root)
        self._project = self._feed = self._owner = self._me = self._task = None
        self._writable, self._saved = True, Saved()
        self._layers, self._unseen, self._step = Layers(), set(), None
        self._queue.clear()
        self._forget_training()
        self._forget_contacts()
        self._forget_stored()
        self.signals.tell(self.signals.project_changed)
        self.signals.tell(self.signals.current_case_changed, None)

    def take_over(self) -> None:
        """Become the one who changes the project, after the person was asked; the other one can look only then.

        Raises:
            ProjectError: no project is open, or its folder cannot be written.
        """
        project = self._opened()
        require(None if os.access(project.root, os.W_OK) else "Take over: the folder of this project cannot be written")
        self._me, self._owner = Owner.me(self.who), None
        self._me.save(project.root)
        for case_id in list(project.cases):
            project.refresh(case_id)
        self.signals.tell(self.signals.project_changed)

    def _claim(self) -> None:
        project, me = self._opened(), Owner.me(self.who)
        found = Owner.of(project.root)
        self._owner = None if found is None or found.is_same(me) else found
        self._me = None
        if self._owner is None:
            try:
                me.save(project.root)
                self._me = me
                clear_up(project.cache_folder / "tasks")
            except OSError:
                self._writable = False

    # Look ------------------------------------------------------------------------------------------------------------

    def poll(self) -> None:
        """Take in what happened since the last call: the training, the task, other programs. Quick; never raises."""
        looks = (self._poll_worker, self._poll_training, self._poll_task, self._poll_feed, self._poll_queue)
        for look in (*looks, self._poll_contacts, self._poll_stored, self._poll_owner):
            if self._project is None:
                return
            self._guarded(look)

    def _guarded(self, look: Callable[[], None]) -> None:
        try:
            look()
        except (SemiSupSegError, OSError) as error:
            self._say(str(error), "error")
        except Exception:  # a timer of a front end that raises would be stopped, or raise again and again
            _LOG.exception("%s failed", look.__name__)

    def _poll_feed(self) -> None:
        assert self._feed is not None
        if self._worker.writing is not None:
            return  # what this session writes is no other program's
        current = self.current_case
        before = None if current is None else self._layers.last_of(current.id)
        news = self._feed.new()
        signals = self.signals
        if news.project:
            signals.tell(signals.project_changed)
        if news.cases:
            signals.tell(signals.cases_changed)
            if self._saved.case in news.cases:
                signals.tell(signals.organs_changed)
        for case_id in sorted(news.written):
            self._tell_case(case_id, written=self._written(case_id, before))
        if news.predictions or news.cases:
            self.refresh_queue()

    def _written(self, case_id: str, before: NDArray[np.integer[Any]] | None) -> tuple[str, ...]:
        """Labels whose voxels another program changed: of the current case only those, as others may be painted on."""
        label_set, case = self._opened().label_set, self._opened().cases[case_id]
        if before is None or case_id != self._saved.case or len(before) != label_set.n_layers:
            return label_set.names
        then = {name: label_mask(before, label_set, c) for c, name in enumerate(label_set.names)}
        return tuple(sorted(differing(label_set, self._layers.of(case, label_set), then)))

    def _poll_owner(self) -> None:
        now = time.monotonic()
        if now - self._beat < HEARTBEAT_SECONDS:
            return
        self._beat = now
        project, found = self._opened(), Owner.of(self._opened().root)
        mine = self._me is not None and (found is None or found.is_same(self._me))
        if mine and self._me is not None:
            self._me.touch(project.root)
        before, self._owner = self._owner, None if mine else found
        if found is None and not mine and self._writable:  # who had it is gone
            self._claim()
        if self._owner != before:
            self.signals.tell(self.signals.project_changed)
            self._say("this project may be changed again" if self._owner is None else self._owner.sentence, "warning")

    # What next -------------------------------------------------------------------------------------------------------

    @property
    def next_step(self) -> str:
        """One sentence: what makes sense now."""
        if self._project is None:
            return "Add a folder of volumes, or open a project to go on with earlier work."
        if self._owner is not None:
            return "Look around. To change something, close the project there first, or take over."
        if not self._project.cases:
            return "Add cases: a folder with volumes, or the volume that is loaded."
        if self._progress is not None and self._progress.active:
            return "Training is under way; you can go on annotating."
        if self.busy is not None:
            return _sentence(self.busy)
        if self._task is not None:
            return _sentence(f"{self._task.poll().words} is under way")
        if self._progress is not None and self._progress.state in ("crashed", "failed") and self.may_resume is None:
            return "The last training did not come to its end: Resume goes on from its last checkpoint."
        waiting = sum(row.open for row in self.queue())
        if waiting:
            how = "click the first one in the list" if self.selected is None else "A accepts an organ, X rejects it"
            return f"Review {waiting} proposal{'' if waiting == 1 else 's'}: {how}."
        if self.may_train is not None:
            return _sentence(self.may_train.removeprefix("Train: "))
        if self.model is None:
            return "Train a first model: Quick is enough to see what it proposes."
        return "Predict, or train another round with what was accepted." if not self.queue() else "Train another round."


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."  # names in it keep their letters
