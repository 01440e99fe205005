"""Candidates: proposals that wait for a person, ranked by how much they need a look, each with its reason in words."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ProjectError
from .adjacency_rules import AdjacencyRules, read_rules
from .cases import Case
from .predictions import StoredPrediction, read_prediction
from .slice_order import finished_slices, slice_order
from .volumes import complete_volumes

if TYPE_CHECKING:
    from .project import Project

__all__ = ["Candidate", "candidates", "score_of"]

UNSURE = 0.2
"""Normalised entropy from which a border is called unsure: the default threshold of the overlay."""
ODD = 2.0
"""Deviations from which a volume is called odd."""
ASSUMED_SPREAD = 0.25
"""Standard deviation over mean of an organ's volume between people, assumed while two volumes are all there is."""
SHOWN = 2
"""Labels that are named of those that a candidate must not touch."""
SMALLEST_SPREAD = 0.05
"""Of the same ratio: a handful of volumes that happen to agree must not make every other one an outlier."""


@dataclass(frozen=True)
class Candidate:
    """One case and label under review."""

    case: str
    label: str
    voxels: int
    volume_ml: float
    confidence: float
    uncertainty: float
    """Mean normalised entropy in the band round the border, [0, 1]."""
    expected_dice: float | None
    """Dice with the truth that the model's probabilities lead one to expect once it is accepted, [0, 1]: finished
    slices stay as people left them. None where it was not measured."""
    mutual_information: float
    """The same of the part that the model could still learn."""
    volume_z: float | None
    """Deviations of the volume from those of complete labels; None with fewer than two of them."""
    parts: int
    left_out_ml: float
    """What was predicted beyond as many parts as the annotated cases have, and is not proposed."""
    worst_slice: int
    """Index along k of the slice in which most is expected to be wrong, of those that are not finished."""
    score: float
    """See :func:`score_of`; larger is worse."""
    reason: str
    """The score in words."""
    contacts: tuple[dict[str, Any], ...]
    """Labels that it touches and must not, most contacts first: see :meth:`.Adjacency.broken`."""
    model: str
    decision: str | None
    """``accepted`` (in part), ``rejected``, ``flagged``, or None."""
    preview: bool = False
    """Whether it is only looked at: see :attr:`.StoredPrediction.preview`."""

    @property
    def waits(self) -> bool:
        """Whether a person is still to decide on it."""
        return not self.preview and self.decision not in ("accepted", "rejected")


def candidates(project: Project) -> list[Candidate]:
    """All predicted labels that are neither complete nor absent in their case, worst first, those decided on last.

    Returns:
        An empty list when nothing is predicted.

    Raises:
        ProjectError: a prediction.json is damaged, or the project's adjacency rules are.
    """
    found: list[Candidate] = []
    rules = read_rules(project)
    for case in project.cases.values():
        prediction = read_prediction(project, case.id)
        for name in project.label_set.names if prediction else ():
            if prediction and name in prediction.labels and not case.annotation(name).everywhere:
                found.append(_candidate(project, case, name, prediction, rules))
    return sorted(found, key=lambda c: (c.decision in ("accepted", "rejected"), -c.score, c.case, c.label))


def score_of(
    *, doubt: float, volume_z: float | None, parts: int, empty: bool, forbidden: int = 0
) -> float:
    """How much a proposal needs a look, 0 (none) to 4.5.

    The doubt, which is what the model expects to lack to a Dice of 1 (0 to 1), or the mean uncertainty at the border of
    a proposal for which that was not measured; a quarter for every deviation of the volume beyond two, up to 1; a
    tenth for every proposed part beyond the first, up to 0.5 (what was left out needs no correction, and the worst
    proposals have little of it); a half for the first label that it touches and must not, a quarter for each further
    one, up to 1; and 1 when there is nothing where the label was expected.
    """
    odd_volume = min(1.0, 0.25 * max(0.0, abs(volume_z or 0.0) - 2.0))
    contacts = min(1.0, 0.25 * (forbidden + 1)) if forbidden else 0.0
    return doubt + odd_volume + min(0.5, 0.1 * max(0, parts - 1)) + contacts + (1.0 if empty else 0.0)


def volume_z(volume_ml: float, others: list[float]) -> float | None:
    """Deviations of a volume from others, in ml; None with fewer than two.

    The standard deviation is that of the others from three on, at least 5 % of their mean; with two, 25 % of it.
    """
    if len(others) < 2:
        return None
    mean = statistics.fmean(others)
    spread = max(statistics.stdev(others), SMALLEST_SPREAD * mean) if len(others) > 2 else ASSUMED_SPREAD * mean
    return (volume_ml - mean) / spread


def _candidate(
    project: Project, case: Case, name: str, prediction: StoredPrediction, rules: AdjacencyRules
) -> Candidate:
    try:
        said = prediction.labels[name]
        voxels, volume, parts = int(said["voxels"]), float(said["volume_ml"]), int(said["parts"])
        uncertainty, worst = _number(said["uncertainty_boundary"]), int(said["worst_slice"] or 0)
        expected = None if said.get("expected_dice") is None else float(said["expected_dice"])
        confidence, mutual = _number(said["confidence"]), _number(said["mutual_information_boundary"])
        empty = bool(said["empty"])
        if (unfinished := _unfinished(case, name, said)) is not None and expected is not None:
            share, next_one = unfinished
            expected, worst = 1 - (1 - expected) * share, worst if next_one is None else next_one
        left_out = said.get("left_out") or {"parts": 0, "volume_ml": 0.0, "kept": None}
        left_ml = float(left_out["volume_ml"])
        contacts = tuple(c for c in said.get("contacts", ()) if _still_forbidden(name, c, rules))
        touches = [_touches(contact) for contact in contacts]
    except (KeyError, TypeError, ValueError) as error:
        msg = f"the prediction of {name} in case {case.id} cannot be read ({error!r}): predict it again"
        raise ProjectError(msg) from error
    z = volume_z(volume, complete_volumes(tuple(project.cases.values()), project.label_set, name))
    # a prediction of an earlier version knows only the uncertainty of the border
    doubt = uncertainty if expected is None or empty else 1 - expected
    score = score_of(doubt=doubt, volume_z=z, parts=parts, empty=empty, forbidden=len(contacts))
    reason = _reason(
        uncertainty=uncertainty, expected=expected, z=z, parts=parts, empty=empty, worst=worst, touches=touches,
        left_out=left_out, follows=int(said.get("finished_slices") or 0),
    )  # fmt: skip
    if prediction.preview:
        reason = f"{prediction.model}, not the model in use; {reason}"
    return Candidate(
        case.id, name, voxels, volume, confidence, uncertainty, expected, mutual, z, parts, left_ml, worst, score,
        reason, contacts, prediction.model, _decision(case, name, prediction), prediction.preview,
    )  # fmt: skip


def _unfinished(case: Case, name: str, said: dict[str, Any]) -> tuple[float, int | None] | None:
    """Of a label with finished slices, the share of the expected errors that lies in others, [0, 1], and which of
    those to look at first; None where no slice is finished, or errors were not measured."""
    errors = np.asarray(said.get("errors_ml") or (), float)
    finished = finished_slices(case.annotation(name), len(errors))
    if not finished.any() or not errors.any():
        return None
    worst = next(slice_order(errors, finished, float(said.get("slice_mm") or 0)), None)
    return float(errors[~finished].sum() / errors.sum()), worst


def _number(value: Any) -> float:
    """A measurement; 0 where an empty proposal has none."""
    return 0.0 if value is None or math.isnan(float(value)) else float(value)


def _reason(
    *,
    uncertainty: float,
    expected: float | None,
    z: float | None,
    parts: int,
    empty: bool,
    worst: int,
    touches: Sequence[str],
    left_out: dict[str, Any],
    follows: int,
) -> str:
    if empty:
        return "nothing found"
    words = [] if expected is None else [f"expected Dice {expected:.2f}"]
    words.append(f"{'unsure' if uncertainty >= UNSURE else 'sure'} at the border ({uncertainty:.2f})")
    words += touches[:SHOWN]
    if len(touches) > SHOWN:
        words.append(f"and touches {len(touches) - SHOWN} more that it should not")
    if parts > 1:
        words.append(f"{parts} parts")
    if more := int(left_out["parts"]):
        pieces = f"{more} more piece{'' if more == 1 else 's'} ({float(left_out['volume_ml']):.1f} ml)"
        words.append(f"{pieces} left out, as every annotated case has {left_out['kept']}")
    if follows:
        words.append(f"follows {follows} finished slice{'' if follows == 1 else 's'}")
    if z is not None and abs(z) > ODD:
        words.append(f"volume {abs(z):.1f} deviations {'above' if z > 0 else 'below'} the accepted ones")
    return "; ".join([*words, f"worst slice {worst}"])


def _still_forbidden(name: str, contact: dict[str, Any], rules: AdjacencyRules) -> bool:
    """Whether what was forbidden when it was predicted is so still, as far as the user's rules tell."""
    pair = frozenset((name, str(contact["label"])))
    return pair in rules.forbid or (contact["relation"] != "forbidden" and pair not in rules.allow)


def _touches(contact: dict[str, Any]) -> str:
    by_user = contact["relation"] == "forbidden"
    why = "must not by the project's rules" if by_user else "never does in the annotated cases"
    number = int(contact["contacts"])
    found = f"{number} contact{'' if number == 1 else 's'}, slice {int(contact['slice'])}"
    return f"touches {contact['label']}, which it {why} ({found})"


def _decision(case: Case, name: str, prediction: StoredPrediction) -> str | None:
    """What was decided on this very proposal; a flag holds for later ones too, until somebody decides."""
    said = case.reviewed.get(name)
    if said and (said["decision"] == "flagged" or said["model"] == prediction.model):
        return str(said["decision"])
    source = (prediction.run, prediction.checkpoint)
    return "accepted" if any((a.run, a.checkpoint) == source for a in case.annotation(name).accepted) else None
