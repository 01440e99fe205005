"""Looking: where the selected proposal is least sure, and its voxels for the overlay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ProjectError
from ..project.annotation import label_mask
from ..project.cases import Case
from ..project.geometry import check_same_grid
from ..project.predictions import PREDICTION_FILE, StoredPrediction, read_prediction
from ..project.slice_order import finished_slices, slice_order
from .core import require
from .selection import Selection

__all__ = ["MAPS", "Looking"]

MAPS = {"uncertainty": "Uncertainty", "mutual_information": "Mutual information"}
"""Kinds of maps: normalised predictive entropy, all doubt; and its epistemic part, what more labels could remove."""


class Looking(Selection):
    """What is shown of the selected proposal."""

    _measured: tuple[tuple[str, str, int | None], dict[str, Any]] | None = None
    """Case, label and stamp of a prediction, and what it says of that label."""

    @property
    def may_worst_slice(self) -> str | None:
        """Why there is no worst slice; None when there is one."""
        if self.selected is None:
            return "Worst slice: select a proposal first"
        if self.expected_errors().any():
            return None
        why = "what the model was unsure of is finished" if self.profile().any() else "the model is sure everywhere"
        return f"Worst slice: {why}"

    def profile(self) -> NDArray[np.float64]:
        """Mean uncertainty of each slice k of the selected proposal, [0, 1]; empty without one."""
        return self._per_slice("slices")

    def expected_errors(self) -> NDArray[np.float64]:
        """What the model expects to be wrong in each slice k of the selected proposal, in its largest mean uncertainty
        at most: bars of [0, 1]; as :meth:`profile` where it was not measured. In slices that are finished it is 0."""
        profile, errors = self._per_slice("slices"), self._per_slice("errors_ml")
        if len(errors) == len(profile) and errors.any():
            profile = errors * (float(profile.max(initial=0)) / errors.max())
        profile[self._finished(len(profile))] = 0
        return profile

    def worst_slice(self, step: int = 1) -> int:
        """Go to the next slice in the order of what is to be gained by correcting it, most first, leaving out what is
        finished; with -1 back again.

        Returns:
            Its index k; ``slice_wanted`` tells it as well. After the last one it stays there.

        Raises:
            ProjectError: :attr:`may_worst_slice` gives a reason.
        """
        require(self.may_worst_slice)
        case_id, label = self._key()
        if self._slices_of != self.prediction_stamp:  # another model's slices
            self._slices_seen, self._slice_at, self._slices_of = [], -1, self.prediction_stamp
        self._slice_at = max(self._slice_at + step, 0)
        if self._slice_at >= len(self._slices_seen):
            self._see_one_more()
        found = self._slices_seen[self._slice_at]
        self.signals.tell(self.signals.slice_wanted, case_id, found, label)
        return found

    def _see_one_more(self) -> None:
        errors = self.expected_errors()
        order = slice_order(errors, self._finished(len(errors)), self._slice_mm())
        fresh = next((k for k in order if k not in self._slices_seen), None)
        self._slices_seen += [] if fresh is None else [fresh]
        self._slice_at = len(self._slices_seen) - 1

    def _slice_mm(self) -> float:
        """From one slice of the selected proposal to the next."""
        return self._case(self._key()[0]).grid().spacing[2]

    def _finished(self, depth: int) -> NDArray[np.bool_]:
        """(depth,): slices of the selected label that are known as a whole."""
        chosen = self._queue.find(self._saved.candidate)
        if chosen is None:
            return np.zeros(depth, bool)
        return finished_slices(self._case(chosen.case).annotation(chosen.label), depth)

    def proposal(self) -> NDArray[np.bool_]:
        """(k, j, i): the selected proposal on the grid of its case.

        Raises:
            ProjectError: none is selected.
            ImageError: it lies on another grid than the case.
        """
        mask: NDArray[np.bool_] = self.proposal_reader()()
        return mask

    def proposal_reader(self) -> Callable[[], NDArray[np.bool_]]:
        """Reads what :meth:`proposal` gives, of what is selected now; in any thread."""
        case, label, said = self._looked_at()
        label_set = self._opened().label_set

        def read() -> NDArray[np.bool_]:
            layers, grid = said.layers(label_set)
            check_same_grid(case.grid(), grid, what="proposed labels", where=f"case {case.id}")
            return label_mask(layers, label_set, label_set.index(label))

        return read

    def may_show_map(self, kind: str) -> str | None:
        """Why a kind of map cannot be shown of the selected proposal; None when it can.

        Args:
            kind: one of :data:`MAPS`.
        """
        row = self.selected
        if row is None:
            return f"{MAPS[kind]}: select a proposal first"
        said = self._prediction(row.case)
        if said is None or not said.labels.get(row.label, {}).get(kind):
            return f"{MAPS[kind]}: the prediction of case {row.case} has no such map: predict it again"
        return None

    def uncertainty(self, kind: str = "uncertainty") -> NDArray[np.floating[Any]]:
        """(k, j, i) in [0, 1]: a map of the selected proposal.

        Args:
            kind: one of :data:`MAPS`.

        Raises:
            ProjectError: :meth:`may_show_map` gives a reason.
            ImageError: it lies on another grid than the case.
        """
        values: NDArray[np.floating[Any]] = self.uncertainty_reader(kind)()
        return values

    def uncertainty_reader(self, kind: str = "uncertainty") -> Callable[[], NDArray[np.floating[Any]]]:
        """Reads what :meth:`uncertainty` gives, of what is selected now; in any thread."""
        case, label, said = self._looked_at()
        require(self.may_show_map(kind))

        def read() -> NDArray[np.floating[Any]]:
            values, grid = said.uncertainty(label, kind)
            check_same_grid(case.grid(), grid, what="uncertainty", where=f"case {case.id}")
            return values

        return read

    @property
    def prediction_stamp(self) -> int | None:
        """Another number is another prediction of the case that is looked at; None without one."""
        row = self.selected
        if row is None:
            return None
        try:
            return (self._opened().predictions_folder / row.case / PREDICTION_FILE).stat().st_mtime_ns
        except OSError:
            return None

    def _per_slice(self, name: str) -> NDArray[np.float64]:
        """A measurement of each slice k of the selected proposal; empty without one. Its file is read once: timers ask
        four times a second."""
        row = self._queue.find(self._saved.candidate)  # the rows of all proposals would be made for `selected`
        if row is None:
            return np.zeros(0)
        key = (row.case, row.label, self.prediction_stamp)
        if self._measured is None or self._measured[0] != key:
            said = self._prediction(row.case)
            self._measured = (key, {} if said is None else said.labels.get(row.label, {}))
        return np.asarray([0.0 if v is None else v for v in self._measured[1].get(name) or ()], np.float64)

    def _looked_at(self) -> tuple[Case, str, StoredPrediction]:
        require(None if self.selected is not None else "select a proposal first")
        case_id, label = self._key()
        said = self._prediction(case_id)
        if said is None:
            msg = f"case {case_id} has no proposal any more: predict it again"
            raise ProjectError(msg)
        return self._case(case_id), label, said

    def _prediction(self, case_id: str) -> StoredPrediction | None:
        return read_prediction(self._opened(), case_id)
