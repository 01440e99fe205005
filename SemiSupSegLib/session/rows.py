"""What the tables of a front end show, one frozen dataclass a row."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ..project.annotation import State

__all__ = [
    "STATUSES", "CaseRow", "Cell", "ContactRow", "Curves", "Found", "OrganRow", "PresetRow", "Progress", "QueueRow",
    "TaskProgress",
]  # fmt: skip

STATUSES = ("to do", "needs review", "done", "flagged")


@dataclass(frozen=True)
class Cell:
    """One label in one case."""

    label: str
    state: State
    symbol: str
    """One of the values of ``SYMBOLS``."""
    proposed: bool
    """Whether a proposal waits for a decision."""


@dataclass(frozen=True)
class CaseRow:
    """One case."""

    id: str
    modality: str
    split: str
    """``train`` or ``holdout``."""
    cells: tuple[Cell, ...]
    """In the order of the project's labels."""
    status: str
    """One of :data:`STATUSES`."""
    round: str | None
    """Model that predicted it last; None when none did."""
    score: float | None
    """Of the proposal that needs a look most; None when none waits."""
    current: bool


@dataclass(frozen=True)
class OrganRow:
    """One label in the current case."""

    name: str
    colour: tuple[int, int, int]
    terminology: str | None
    state: State
    symbol: str
    proposed: bool
    finished: str
    """What is finished of a partial label, in words; empty otherwise."""
    accepted: str
    """What was accepted from a model, by whom; empty when nothing was."""
    next_state: State
    """What a click makes of it."""


@dataclass(frozen=True)
class ContactRow:
    """Two organs, and whether they may touch."""

    first: str
    second: str
    relation: str
    """A :class:`~SemiSupSegLib.project.adjacency.Relation`."""
    said: str
    """By the person: ``learned`` (nothing), ``forbid`` or ``allow``."""
    words: str
    contacts: int
    """Pairs of voxels in contact, over the annotated cases."""


@dataclass(frozen=True)
class QueueRow:
    """One proposal under review."""

    rank: int
    """From 1: the one that needs a look most."""
    case: str
    label: str
    score: float
    reason: str
    uncertainty: float
    volume_ml: float
    parts: int
    worst_slice: int
    decision: str | None
    """``accepted`` (in part), ``rejected``, ``flagged`` or None."""
    model: str
    empty: bool
    selected: bool
    preview: bool = False
    """Whether a training that had not ended proposes it: it is only looked at, and ``model`` says which training."""

    @property
    def open(self) -> bool:
        """Whether a person is still to decide on it."""
        return not self.preview and self.decision not in ("accepted", "rejected")


@dataclass(frozen=True)
class Progress:
    """How a training stands."""

    run: str
    """Id; empty while it is planned."""
    state: str
    """A :class:`~SemiSupSegLib.jobs.protocol.RunState`, ``planning``, or ``keeping``."""
    active: bool
    words: str
    """One sentence."""
    detail: str = ""
    """The end of its log when it failed; else empty."""
    fraction: float | None = None
    """[0, 1]."""
    eta_seconds: float | None = None
    eta: str = ""
    """``about 3 min left``, or empty."""
    step: int | None = None
    losses: dict[str, float | None] = field(default_factory=dict)
    dice: dict[str, float | None] = field(default_factory=dict)
    """On the hold-out, by label."""
    mean_dice: float | None = None
    best_dice: float | None = None
    best_step: int | None = None
    device: str | None = None
    device_reason: str = ""
    minutes: float | None = None
    """Budget, as the engine planned it."""
    memory_gb: float | None = None
    model: str | None = None
    """Name of the model that it put into use."""
    verdict: str = ""
    """Why its model is in use, or is not."""


@dataclass(frozen=True)
class Curves:
    """What a plot shows; empty tuples before the first values."""

    losses: dict[str, tuple[tuple[int, float], ...]] = field(default_factory=dict)
    """By name: (step, value)."""
    dice: tuple[tuple[int, float], ...] = ()
    """(step, mean on the hold-out)."""
    best: tuple[int, float] | None = None
    """Where the mean was highest."""


@dataclass(frozen=True)
class TaskProgress:
    """A prediction, an import or an export that is under way."""

    kind: str
    """``predict``, ``preview``, ``predict folder``, ``import``, ``add``, ``export``."""
    words: str
    fraction: float | None
    """[0, 1]; None while nothing is known."""
    active: bool = True


@dataclass(frozen=True)
class Found:
    """One volume of a folder that may be imported."""

    name: str
    image: Path
    labels: Path | None
    problem: str | None
    """One sentence when it will be left out."""


@dataclass(frozen=True)
class PresetRow:
    """One choice of how much to train."""

    name: str
    minutes: float
    words: str
