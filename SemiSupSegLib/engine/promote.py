"""Promotion: a new model replaces the one in use only if the hold-out is not worse.

Both are scored now, on the same labels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..data.prepare import PreparedCase, prepare_holdout
from ..errors import RunError
from ..project import models
from ..project.project import Project
from .atlas import mix, vote
from .atlases import atlases_of
from .device import choose_device
from .model import Model
from .probe import probe_here
from .validate import Scores, validate
from .volume import Statistics

__all__ = ["Verdict", "model_folder", "promote"]

TOLERANCE = 0.005
"""Dice by which a new model may be lower and still count as not worse: the scatter of one training."""
FEW = 3
"""Hold-out cases below which a score says little."""


@dataclass(frozen=True)
class Verdict:
    """What became of a model."""

    promoted: bool
    model: str | None
    """Name under ``models/``; the refused one is not kept there (its checkpoint stays in the run)."""
    score: float | None
    """Mean Dice on the hold-out, [0, 1]; None without a hold-out."""
    before: float | None
    """The same of the model that was in use; None when there was none."""
    reason: str


def promote(project: Project, model: Model, *, alive: Callable[[], None] = lambda: None) -> Verdict:
    """Score a model and the one in use on the hold-out, and put the new one into use unless it is worse.

    Args:
        project: its hold-out is scored on what people annotated there, never on what came from a model.
        model: the candidate.
        alive: called now and then during the scoring.
    """
    current = models.promoted_model(project.models_folder)
    score = _score(project, model, alive)
    before = None if current is None or score is None else _score(project, Model.load(current), alive)
    if score is not None and before is not None and score < before - TOLERANCE:
        reason = f"the hold-out would get worse: Dice {score:.3f} after {before:.3f}; the model in use stays"
        return Verdict(False, None, score, before, reason)
    folder = models.new_model_folder(project.models_folder)
    model.save(folder, scores={} if score is None else {"holdout_dice": score})
    models.add_promoted(project.models_folder, folder.name)
    return Verdict(True, folder.name, score, before, _reason(project, score, before))


def _reason(project: Project, score: float | None, before: float | None) -> str:
    if score is None:
        return "there is no hold-out to compare on: set some annotated cases aside to see progress from round to round"
    n = len(project.holdout_cases())
    few = f" ({n} hold-out case{'s' if n > 1 else ''}: too few to be sure)" if n < FEW else ""
    if before is None:
        return f"the first model: Dice {score:.3f} on the hold-out{few}"
    return f"not worse on the hold-out: Dice {score:.3f} after {before:.3f}{few}"


def _score(project: Project, model: Model, alive: Callable[[], None]) -> float | None:
    cases = prepare_holdout(project, model.config.data)
    if not cases:
        return None
    device, _ = choose_device(model.config.train.device)
    names, atlases = model.label_set.names, atlases_of(project, model)

    def complete(case: PreparedCase, said: Statistics) -> None:
        """As predicting does: with what the model's atlases say."""
        if atlases:
            votes = vote(project.case(case.case_id).image(), case.grid, atlases, on_progress=lambda _: alive())
            mix(said, votes, names, model.atlas_share)

    found: Scores = validate(
        model.segmentor(),
        cases,
        project.label_set,
        model.config,
        probe_here(model.config, device),
        alive=alive,
        names=names,
        complete=complete,
    )
    return found.mean


def model_folder(project: Project, name: str | None = None) -> Path:
    """Folder of a promoted model by name, or of the one in use.

    Raises:
        RunError: there is none.
    """
    folder = models.promoted_model(project.models_folder) if name is None else project.models_folder / Path(name).name
    if folder is None or not folder.is_dir():
        msg = "no model yet: train one first" if name is None else f"no model {name!r} in this project"
        raise RunError(msg)
    return folder
