"""Showing: what the screen of a session shows of the current case, and what it must take over from the project."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..project.cases import Case
from .core import Core
from .differences import Step, missed
from .painting import Masks, Snapshot, differing
from .words import joined

__all__ = ["Showing"]


class Showing(Core):
    """What a screen asks, reads and is told."""

    _step: Step | None = None
    """What the last change of this session wrote."""
    _later: Callable[[], None] | None = None
    """What waits for the end of the writing that is under way."""

    def label_voxels(self, case_id: str | None = None, names: Iterable[str] | None = None) -> Masks:
        """What the project holds, by label name: (k, j, i) bool; all labels of the current case by default."""
        from ..project.annotation import label_mask

        project, case = self._opened(), self._case(case_id)
        layers = self._layers.of(case, project.label_set)
        wanted = project.label_set.names if names is None else tuple(map(self._name, names))
        return {name: label_mask(layers, project.label_set, project.label_set.index(name)) for name in wanted}

    def has_voxels(self, label: str, case_id: str | None = None) -> bool:
        """Whether any voxel carries the label, on the screen where it is there, else in the project."""
        case, name = self._case(case_id), self._name(label)
        on_screen = self._on_screen(case)
        if name in on_screen:
            return on_screen.holds(name) if isinstance(on_screen, Snapshot) else bool(np.any(on_screen[name]))
        label_set = self._opened().label_set
        return self._layers.holds(case, label_set, label_set.index(name))

    def keep_layers(
        self, case: Case, layers: NDArray[np.integer[Any]], held: Mapping[int, bool] | None = None
    ) -> None:
        """Spare the session the reading of a case whose layers (L, k, j, i) somebody else has read.

        Args:
            case: the case.
            layers: all of them.
            held: which labels they hold: :func:`.painting.held_channels`.
        """
        self._layers.keep(case, self._opened().label_set, layers, held)

    def step(self, shown: Case) -> Step | None:
        """What the screen must take over of this session's last change; None when it shows another state before it."""
        step = self._step
        return step if step is not None and step.shown == shown and step.case == self.current_case else None

    def read(
        self, words: str, call: Callable[[], Any], then: Callable[[Any], None], *, opens: bool = False
    ) -> None:
        """Read something for the screen, instead of what is being read for it.

        Args:
            words: ``case c1 is being opened``.
            call: reads; in a thread where the session has one, so it touches neither the scene nor this session.
            then: takes over what was read, in the thread of the front end.
            opens: whether the current case is not on the screen until then, so that nothing can be said of it.

        Raises:
            SemiSupSegError: what ``call`` raises, without a thread; else a message says it.
        """
        if not self.background:
            then(call())
            return
        self._reads_case = opens
        self._worker.read(words, call, self._taking(then), self._failing)
        self.signals.tell(self.signals.work_changed)

    def stop_reading(self) -> None:
        """What is being read for the screen is not wanted any more."""
        self._worker.stop_reading()

    def _failing(self, sentence: str) -> None:
        self._later = None
        self.signals.tell(self.signals.work_changed)
        self._say(sentence, "error")

    def _taking(self, then: Callable[[Any], None]) -> Callable[[Any], None]:
        def take(result: Any) -> None:
            self.signals.tell(self.signals.work_changed)
            then(result)

        return take

    # The screen ------------------------------------------------------------------------------------------------------

    def _on_screen(self, case: Case) -> Masks:
        masks = None if self.painting is None else self.painting(case.id)
        if masks is None or isinstance(masks, Snapshot):
            return masks or {}
        return {self._name(name): mask for name, mask in masks.items()}

    def _tell_case(self, case_id: str, *, written: Iterable[str] = ()) -> None:
        """A case changed; ``written`` are labels whose voxels the screen does not show yet."""
        tell, signals = self.signals.tell, self.signals
        if names := tuple(written):
            tell(signals.labels_written, case_id, names)
            self._check_screen(case_id, names)
        tell(signals.cases_changed)
        if case_id == self._saved.case:
            tell(signals.organs_changed)

    def _check_screen(self, case_id: str, names: Iterable[str]) -> None:
        """Find what was written and is not on the screen: to store it as painted there would erase it again."""
        case = self._opened().cases[case_id]
        if case_id != self._saved.case or not (masks := self._on_screen(case)):
            return
        label_set, step = self._opened().label_set, self._step
        if step is not None and step.case == case:
            self._unseen |= missed({name: step.differences[name] for name in names if name in step.differences}, masks)
        else:
            self._unseen |= differing(label_set, self._layers.of(case, label_set), masks) & set(names)
        if self._unseen:
            said = f"the screen does not show {joined(sorted(self._unseen))} of case {case_id} as it is stored"
            self._say(f"{said}: show the case again", "error")
