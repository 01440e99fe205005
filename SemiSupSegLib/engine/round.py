"""Round: what the run of one relabelling round is made from. It lies in the run's folder, so that the next can follow.

Paths in it are relative to the project. The folder of complete labels, which is nobody's but the user's, is not in it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import ProjectError, RunError
from ..jobs.run import Run
from ..jobs.state import runs
from ..project.atomic import write_json
from ..project.paths import inside
from ..project.project import Project
from ..structure import structure
from .selection import Select

__all__ = ["FIRST_SHARE", "Relabelling", "Round", "last_round"]

FORMAT_VERSION = 1
ROUND_FILE = "relabelling.json"
FIRST_SHARE = 0.7
"""Share of a relabelling's budget, and of its learning rate's schedule, that the first model gets when it has to be
trained; the rounds share the rest."""


@dataclass(frozen=True)
class Relabelling:
    """How to relabel."""

    rounds: int = 3
    """T, at least 1."""
    gamma_max: float = 1.0
    """Share of the predicted positives that the last round takes, in (0, 1]."""
    keep_earlier: bool = True
    """Union with what earlier rounds added (the paper); False selects anew each round, so that errors can go away."""
    reference: Path | None = None
    """Folder of complete labels, only to report the precision TP / (TP + FP) of what is added."""
    select: Select = "score"
    """What ranks the predicted positives, see :mod:`.selection`; ``score`` is the paper's."""
    all_parts: bool = False
    """Choose among all predicted positives (the paper), not only among as many connected parts, the largest ones, as
    the label has where it is annotated."""
    begins: float = FIRST_SHARE
    """Where in the schedule of the learning rate the rounds begin, in [0, 1): they go on from what the first model
    learnt. A restart at the peak would first forget some of it."""


@dataclass(frozen=True)
class Round:
    """One of the T."""

    number: int
    """t, from 1."""
    relabelling: Relabelling
    start: Path
    """Folder of m_{t-1}, inside the project."""
    earlier: Path | None
    """Folder of the run of round t - 1; None for the first."""

    @property
    def gamma(self) -> float:
        """gamma_t = t/T gamma_max."""
        return self.number / self.relabelling.rounds * self.relabelling.gamma_max

    @property
    def schedule_span(self) -> tuple[float, float]:
        """Its part of the schedule of the learning rate."""
        begins, rounds = self.relabelling.begins, self.relabelling.rounds
        return begins + (1 - begins) * (self.number - 1) / rounds, begins + (1 - begins) * self.number / rounds

    @property
    def is_last(self) -> bool:
        """Whether none follows."""
        return self.number >= self.relabelling.rounds

    def after(self, model_folder: Path, run: Run) -> Round:
        """The next one: it goes on from what the run of this one learnt."""
        return replace(self, number=self.number + 1, start=model_folder, earlier=run.folder)

    def save(self, run: Run, project: Project) -> None:
        """Write it into its run's folder."""
        how = {name: value for name, value in vars(self.relabelling).items() if name != "reference"}
        said = {
            "format": FORMAT_VERSION,
            "round": self.number,
            "relabelling": how,
            "start": _relative(self.start, project),
            "earlier": None if self.earlier is None else _relative(self.earlier, project),
        }
        write_json(run.folder / ROUND_FILE, said)

    @classmethod
    def load(cls, run: Run, project: Project, *, reference: Path | None) -> Round:
        """Read what :meth:`save` wrote.

        Raises:
            RunError: it is damaged, or of a newer version.
        """
        try:
            said: dict[str, Any] = json.loads((run.folder / ROUND_FILE).read_text(encoding="utf-8"))
            if int(said["format"]) > FORMAT_VERSION:
                msg = f"run {run.id}: {ROUND_FILE} is of a newer version: please update this program"
                raise RunError(msg)
            how = replace(structure(said["relabelling"], Relabelling), reference=reference)
            earlier = None if said["earlier"] is None else inside(project.root, said["earlier"])
            return cls(int(said["round"]), how, inside(project.root, said["start"]), earlier)
        except (OSError, ValueError, KeyError, TypeError, ProjectError) as error:
            msg = f"run {run.id}: {ROUND_FILE} cannot be read ({type(error).__name__}): relabel again"
            raise RunError(msg) from error


def last_round(project: Project) -> Run:
    """The run of the project's newest relabelling round.

    Raises:
        RunError: there is none.
    """
    found = [run for run in runs(project.runs_folder) if (run.folder / ROUND_FILE).is_file()]
    if not found:
        msg = "there is no relabelling to go on with: start one with `semisupseg relabel`"
        raise RunError(msg)
    return found[-1]


def _relative(path: Path, project: Project) -> str:
    return path.resolve().relative_to(project.root.resolve()).as_posix()
