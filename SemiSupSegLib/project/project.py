"""Project: a folder with labels, cases, and the journal of what was done to them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ProjectError
from . import transactions
from .annotation import Annotation
from .atomic import write_bytes, write_json
from .cases import CASE_FILE, Case
from .journal import Journal
from .labels import Label, LabelSet

if TYPE_CHECKING:
    import SimpleITK as sitk  # noqa: N813  everybody's name for it

__all__ = ["PROJECT_FILE", "Project"]

FORMAT_VERSION = 1
PROJECT_FILE = "project.json"
LOCK_SECONDS = 20.0
"""How long a change waits for another program's change of the same project."""


class Project:
    """An open project. Its cases are read once; every change goes through :mod:`.transactions` and updates them."""

    def __init__(self, root: Path, name: str, label_set: LabelSet, created: str, cases: Iterable[Case]) -> None:
        from filelock import FileLock

        self.root = root
        self.name = name
        self.label_set = label_set
        self.created = created
        self.cases: dict[str, Case] = {case.id: case for case in sorted(cases, key=lambda case: case.id)}
        self.journal = Journal(root / "journal.jsonl")
        self._lock = FileLock(root / "project.lock")

    @classmethod
    def create(cls, root: Path, *, name: str | None = None, label_set: LabelSet | None = None) -> Project:
        """Make a new, empty project; the folder may exist but hold no project.

        Raises:
            ProjectError: there is a project already.
        """
        root = root.resolve()
        if (root / PROJECT_FILE).exists():
            msg = f"{root} is a project already: open it, or choose another folder"
            raise ProjectError(msg)
        (root / "cases").mkdir(parents=True, exist_ok=True)
        created = datetime.now(UTC).isoformat(timespec="seconds")
        project = cls(root, name or root.name, label_set or LabelSet(()), created, ())
        write_bytes(project.journal.path, b"")
        project._save()
        return project

    @classmethod
    def open(cls, root: Path) -> Project:
        """Open a project and settle a change that a crash cut short.

        Raises:
            ProjectError: no project there, a newer format, or a case.json that cannot be read.
        """
        root = root.resolve()
        try:
            data = json.loads((root / PROJECT_FILE).read_bytes())
            if data["format"] > FORMAT_VERSION:
                msg = f"{root} has format {data['format']}; this program knows up to {FORMAT_VERSION}: please update it"
                raise ProjectError(msg)
            name, created, labels = str(data["name"]), str(data["created"]), data["label_set"]
        except FileNotFoundError as error:
            msg = f"{root} is not a project: it has no {PROJECT_FILE}"
            raise ProjectError(msg) from error
        except (ValueError, KeyError, TypeError) as error:
            msg = f"{root / PROJECT_FILE} cannot be read: {error!r}"
            raise ProjectError(msg) from error
        project = cls(root, name, LabelSet.from_json(labels), created, _read_cases(root / "cases"))
        with suppress(ProjectError):  # a damaged journal stops changes, and says so then, but not looking at cases
            transactions.settle(project)
        return project

    @property
    def cases_folder(self) -> Path:
        """One folder a case."""
        return self.root / "cases"

    @property
    def runs_folder(self) -> Path:
        """One folder a training run."""
        return self.root / "runs"

    @property
    def models_folder(self) -> Path:
        """Promoted models."""
        return self.root / "models"

    @property
    def predictions_folder(self) -> Path:
        """One folder a predicted case."""
        return self.root / "predictions"

    @property
    def cache_folder(self) -> Path:
        """May be deleted at any time."""
        return self.root / "cache"

    def case(self, case_id: str) -> Case:
        """A case by its id.

        Raises:
            ProjectError: there is none; the message names similar ones.
        """
        if case_id in self.cases:
            return self.cases[case_id]
        import difflib  # here, as opening a project must be quick

        near = difflib.get_close_matches(case_id, self.cases, n=3) or list(self.cases)[:3]
        hint = f"did you mean {' or '.join(near)}?" if near else "it has no cases yet"
        msg = f"no case {case_id!r} in project {self.name}: {hint}"
        raise ProjectError(msg)

    def train_cases(self) -> list[Case]:
        """Cases to train on, by id, annotated or not."""
        return [case for case in self.cases.values() if case.split == "train"]

    def holdout_cases(self) -> list[Case]:
        """Cases to score on, by id."""
        return [case for case in self.cases.values() if case.split == "holdout"]

    @contextmanager
    def lock(self, seconds: float = LOCK_SECONDS) -> Iterator[None]:
        """The right to change the project; may be nested. It ends with the process that holds it.

        Args:
            seconds: how long to wait for another program that has it.

        Raises:
            ProjectError: another program kept it for too long, or the folder cannot be written.
        """
        from filelock import Timeout

        try:
            self._lock.acquire(timeout=seconds)
        except Timeout as error:
            msg = f"another program is changing project {self.name}: waited {seconds:.0f} s, try again when it is done"
            raise ProjectError(msg) from error
        except OSError as error:
            msg = f"project {self.name} cannot be changed: {error.strerror or error} ({self.root})"
            raise ProjectError(msg) from error
        try:
            yield
        finally:
            self._lock.release()

    def refresh(self, case_id: str) -> Case:
        """Read a case again, after another program may have changed it."""
        folder = self.case(case_id).folder
        self.keep(Case.from_bytes((folder / CASE_FILE).read_bytes(), folder))
        return self.cases[case_id]

    def keep(self, case: Case) -> None:
        """Take over the new state of a case, or a new case, that was written."""
        is_new = case.id not in self.cases
        self.cases[case.id] = case
        if is_new:
            self.cases = dict(sorted(self.cases.items()))

    def add_labels(self, new: Iterable[Label], *, who: str = "") -> None:
        """Add labels at the end of the set; those that are there already stay as they are."""
        with self.lock():
            label_set = self.label_set.with_labels(new)
            added = label_set.names[len(self.label_set) :]
            if added:
                self.journal.append(who=who, action="labels", detail={"added": list(added)})
                self.label_set = label_set
                self._save()

    def add_case(
        self,
        case_id: str,
        image: sitk.Image,
        *,
        labels: NDArray[np.integer[Any]] | None,
        annotations: Mapping[str, Annotation],
        modality: str,
        split: str = "train",
        ignore: NDArray[np.bool_] | None = None,
        strokes: Mapping[str, NDArray[np.bool_]] | None = None,
        who: str,
    ) -> Case:
        """Copy a volume and what is known of it into the project; see :func:`.transactions.add`."""
        return transactions.add(
            self, case_id, image, labels=labels, annotations=annotations, modality=modality, split=split, ignore=ignore,
            strokes=strokes, who=who,
        )  # fmt: skip

    def verify_journal(self) -> int | None:
        """Number of the first journal line that was edited or removed; None when all is well (G28)."""
        return self.journal.verify(newest=max((case.entry for case in self.cases.values()), default=0))

    def _save(self) -> None:
        said = {"name": self.name, "label_set": self.label_set.to_json(), "created": self.created}
        write_json(self.root / PROJECT_FILE, {"format": FORMAT_VERSION, **said})


def _read_cases(folder: Path) -> Iterator[Case]:
    """All cases; folders without case.json are what an unfinished import left, and are passed over."""
    for case_folder in folder.iterdir() if folder.is_dir() else ():
        try:
            content = (case_folder / CASE_FILE).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            continue
        yield Case.from_bytes(content, case_folder)
