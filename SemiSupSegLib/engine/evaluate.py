"""Evaluating: proposals against reference labels, per case and label, with means per label and group.

A value that does not exist (nothing there and nothing proposed) is left out of every mean and shown as missing, never
as 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import RunError, SemiSupSegError
from ..project.annotation import label_mask
from ..project.cases import Case
from ..project.geometry import Grid, array_xyz, image_from_kji, resample, to_ras
from ..project.labels import LabelSet
from ..project.predictions import StoredPrediction, read_prediction
from ..project.project import Project
from .metrics import DEFINITIONS, Scores, mean_and_deviation, score
from .reference import LabelFile, LabelFolder, common_names

__all__ = [
    "ALL_LABELS",
    "GROUPS",
    "Evaluation",
    "Row",
    "Summary",
    "evaluate_folders",
    "evaluate_project",
    "reference_on_grid",
]

GROUPS = ("holdout", "train, label annotated", "train, label not annotated", "unlabelled")
"""What the case was for the model and label, in the order that they are shown in."""
ALL_LABELS = "all labels"
"""Row of the summary over all labels of a group: the mean over its cases and labels."""

Progress = Callable[[int, int, str], None]
"""Told cases done, all cases, and the one that is next."""


@dataclass(frozen=True)
class Row:
    """One label of one case."""

    case: str
    label: str
    group: str
    scores: Scores

    def to_json(self) -> dict[str, Any]:
        """Plain JSON; what does not exist is null."""
        return {"case": self.case, "label": self.label, "group": self.group, **self.scores.to_json()}


@dataclass(frozen=True)
class Summary:
    """One metric of one label (or all) in one group."""

    group: str
    label: str
    metric: str
    mean: float
    deviation: float
    """Sample standard deviation; NaN for fewer than two values."""
    count: int
    """Values that exist."""


@dataclass(frozen=True)
class Evaluation:
    """All rows, and what could not be compared."""

    rows: tuple[Row, ...]
    skipped: dict[str, str]
    """By case: the sentence that says why."""
    matched_by_number: bool
    """Whether labels had to be matched by their values, as the files have no names: it is up to the user that they
    agree.
    """

    def summary(self) -> list[Summary]:
        """Mean, standard deviation and number per group, label and metric, and over all labels of a group."""
        found = []
        order = {name: n for n, name in enumerate(GROUPS)}
        for group in sorted({row.group for row in self.rows}, key=lambda g: (order.get(g, len(order)), g)):
            rows = [row for row in self.rows if row.group == group]
            for label in [*dict.fromkeys(row.label for row in rows), ALL_LABELS]:
                own = [row for row in rows if label in (row.label, ALL_LABELS)]
                for metric in DEFINITIONS:
                    values = [getattr(row.scores, metric) for row in own]
                    found.append(Summary(group, label, metric, *mean_and_deviation(values)))
        return found

    def to_json(self) -> dict[str, Any]:
        """Plain JSON with the definitions of all metrics."""
        summary = [{k: None if v != v else v for k, v in asdict(s).items()} for s in self.summary()]
        return {
            "definitions": DEFINITIONS,
            "matched_by": "number" if self.matched_by_number else "name",
            "rows": [row.to_json() for row in self.rows],
            "summary": summary,
            "skipped": self.skipped,
        }


def evaluate_project(project: Project, reference: Path, *, on_progress: Progress | None = None) -> Evaluation:
    """Compare ``predictions/`` with reference labels.

    Args:
        project: its predictions are compared as they are; nothing is predicted now.
        reference: folder of label files, or with ``labels/`` and ``dataset.json``.
        on_progress: told cases done.

    Raises:
        RunError: nothing is predicted, or no predicted case has a reference.
        ProjectError: the folder holds no labels.
    """
    names = project.label_set.names
    folder = LabelFolder(reference, {c + 1: name for c, name in enumerate(names)})
    stored = [(case, read_prediction(project, case.id)) for case in project.cases.values()]
    predicted = [(case, p) for case, p in stored if p is not None and not p.preview]
    if not predicted:
        msg = "nothing is predicted in this project yet: run `semisupseg predict` first"
        raise RunError(msg)
    matching = [(case, p) for case, p in predicted if folder.has(case.id)]

    def compare(number: int) -> tuple[str, Callable[[], list[Row]]]:
        case, prediction = matching[number]
        return case.id, lambda: _rows_of_case(project, case, prediction, folder)

    return _all_rows(folder, len(matching), compare, on_progress, of=[case.id for case, _ in predicted])


def evaluate_folders(predictions: Path, reference: Path, *, on_progress: Progress | None = None) -> Evaluation:
    """Compare two folders of label files; arguments and errors as of :func:`evaluate_project`.

    Files are paired by name. Where neither folder names its values, equal numbers are compared and the result says so.
    """
    theirs = LabelFolder(reference, LabelFolder(predictions).said)
    ours = LabelFolder(predictions, theirs.said)
    stems = [stem for stem in ours.stems if theirs.has(stem)]

    def compare(number: int) -> tuple[str, Callable[[], list[Row]]]:
        stem = stems[number]
        return stem, lambda: _rows_of_files(stem, proposed := ours.read(stem), theirs.read(stem, proposed.grid))

    found = _all_rows(theirs, len(stems), compare, on_progress, of=ours.stems)
    return Evaluation(found.rows, found.skipped, found.matched_by_number or ours.matched_by_number)


def reference_on_grid(folder: Path, case_id: str, label_set: LabelSet, grid: Grid) -> NDArray[np.bool_]:
    """Reference labels of a case on a training grid, (K, X, Y, Z) bool; all False for labels that it does not name.

    Raises:
        ProjectError: the folder has no labels of the case.
        ImageError: they cannot be read.
    """
    file = LabelFolder(folder, {c + 1: name for c, name in enumerate(label_set.names)}).read(case_id)
    return np.stack(
        [
            array_xyz(resample(to_ras(image_from_kji(file.mask(name), file.grid)), grid, linear=False)) > 0
            for name in label_set.names
        ]
    )


def _all_rows(
    folder: LabelFolder,
    count: int,
    compare: Callable[[int], tuple[str, Callable[[], list[Row]]]],
    on_progress: Progress | None,
    *,
    of: list[str],
) -> Evaluation:
    rows: list[Row] = []
    skipped: dict[str, str] = {}
    for number in range(count):
        case_id, compute = compare(number)
        if on_progress is not None:
            on_progress(number, count, case_id)
        try:
            rows += compute()
        except SemiSupSegError as error:
            skipped[case_id] = str(error)
    if on_progress is not None:
        on_progress(count, count, "")
    if not rows:
        why = "; ".join(skipped.values()) or f"predictions of {_some(of)}, references of {_some(folder.stems)}"
        msg = f"nothing to compare: {why}"
        raise RunError(msg)
    return Evaluation(tuple(rows), skipped, folder.matched_by_number)


def _rows_of_case(project: Project, case: Case, prediction: StoredPrediction, folder: LabelFolder) -> list[Row]:
    labels, grid = prediction.layers(project.label_set)
    reference = folder.read(case.id, grid)
    rows = []
    for name in common_names([n for n in project.label_set.names if n in prediction.labels], reference.names) or ():
        proposed = label_mask(labels, project.label_set, project.label_set.index(name))
        scores = score(proposed, reference.mask(name), grid.spacing[::-1], known=reference.known())
        rows.append(Row(case.id, name, _group(case, name), scores))
    return rows


def _rows_of_files(stem: str, ours: LabelFile, theirs: LabelFile) -> list[Row]:
    names = common_names(ours.names, theirs.names)
    if names is None:  # label maps without names: the values that occur
        names = sorted({*ours.source.places, *theirs.source.places}, key=lambda name: int(name.split()[-1]))
    spacing = ours.grid.spacing[::-1]
    return [
        Row(stem, n, "all cases", score(ours.mask(n), theirs.mask(n), spacing, known=theirs.known())) for n in names
    ]


def _group(case: Case, name: str) -> str:
    if case.split == "holdout":
        return GROUPS[0]
    if not case.annotated:
        return GROUPS[3]
    return GROUPS[1] if case.annotation(name).annotated else GROUPS[2]


def _some(names: list[str]) -> str:
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "") if names else "none"
