"""Export: labels for other programs, the journal for an audit, the model for another project."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Collection
from io import StringIO
from pathlib import Path
from typing import Any

from ..errors import ProjectError
from ..project.annotation import label_mask
from ..project.atomic import write_bytes, write_json
from ..project.cases import Case
from ..project.labels import LabelSet
from ..project.models import promoted_model
from ..project.paths import slug
from ..project.project import Project
from .core import require
from .review import Review
from .task import Thread
from .words import counted

__all__ = ["KINDS", "UNAVAILABLE", "Export", "write_audit", "write_label_files"]

KINDS = {"nifti": ".nii.gz", "seg.nrrd": ".seg.nrrd"}
UNAVAILABLE = {
    "dicom seg": "DICOM SEG names the DICOM files that a volume came from, and a project keeps none of them (they say "
    "who the patient is): export .seg.nrrd, load it in Slicer beside the DICOM series, and export it there "
    "(extension QuantitativeReporting)"
}
"""Kinds that people look for, and why they are not written here."""
STATES_FILE = "annotation_states.csv"
AUDIT_COLUMNS = ("id", "time", "who", "action", "case", "label", "detail", "hash")


class Export(Review):
    """Commands and rules of the export panel."""

    @property
    def may_export(self) -> str | None:
        """Why no labels can be written; None when they can. A project that another has open may be exported."""
        if self._project is None:
            return "Export: open or create a project first"
        if not any(case.annotated or case.labels_file for case in self._project.cases.values()):
            return "Export: no case has a label yet"
        return self._may_start("Export")

    def may_export_as(self, kind: str) -> str | None:
        """Why labels cannot be written as a kind; None when they can."""
        if kind in UNAVAILABLE:
            return f"Export: {UNAVAILABLE[kind]}"
        return self.may_export if kind in KINDS else f"Export: no kind {kind!r}: choose one of {', '.join(KINDS)}"

    @property
    def may_export_model(self) -> str | None:
        """Why there is no model to write; None when there is."""
        if self._project is None:
            return "Export model: open or create a project first"
        return None if self.model is not None else "Export model: none was trained yet"

    @property
    def may_export_audit(self) -> str | None:
        """Why there is no audit to write; None when there is."""
        return None if self._project is not None else "Export audit: open or create a project first"

    def export_labels(self, folder: Path, kind: str = "nifti", cases: Collection[str] | None = None) -> None:
        """Write the labels of cases, and beside them what is known of each, as a mask alone does not tell.

        Args:
            folder: new or empty.
            kind: ``nifti`` or ``seg.nrrd``.
            cases: ids; None for all cases with labels.

        Raises:
            ProjectError: :attr:`may_export` gives a reason, the kind is unknown, or the folder holds something.
        """
        require(None if self._worker.writing is None else self._may_change("Export labels"))
        self._stored_then(lambda: self._export_labels(folder, kind, cases))

    def _export_labels(self, folder: Path, kind: str, cases: Collection[str] | None) -> None:
        require(self.may_export_as(kind))
        project = self._opened()
        labelled = [case.id for case in project.cases.values() if case.labels_file or case.annotated]
        wanted = labelled if cases is None else [project.case(case_id).id for case_id in cases]
        _new_folder(Path(folder))
        root = project.root

        def work(tell: Callable[[int, int], None]) -> str:
            write_label_files(Project.open(root), wanted, Path(folder), kind, tell)
            return f"{counted(len(wanted), 'case')} exported to {folder}"

        self._do(Thread("export", f"exporting {counted(len(wanted), 'case')}", work))

    def export_audit(self, file: Path) -> None:
        """Write who decided what and when, as ``.csv`` or ``.json``; whether the journal is intact is told as well.

        Raises:
            ProjectError: no project is open, another ending, or the journal is damaged beyond reading.
            WriteError: the file could not be written.
        """
        require(self.may_export_audit)
        broken = write_audit(self._opened(), Path(file))
        if broken is None:
            self._say(f"the audit is in {file}; the journal is intact")
        else:
            why = f"line {broken} of the journal was edited, or lines before it were removed"
            self._say(f"the audit is in {file}; {why}", "warning")

    def export_model(self, folder: Path) -> None:
        """Copy the model in use: weights, settings and labels, nothing of a patient.

        Raises:
            ProjectError: :attr:`may_export_model` gives a reason, or the folder holds something.
            OSError: it could not be written.
        """
        require(self.may_export_model)
        source = promoted_model(self._opened().models_folder)
        assert source is not None
        _new_folder(Path(folder))
        shutil.copytree(source, folder, dirs_exist_ok=True)
        self._say(f"model {source.name} is in {folder}")

    def _do(self, task: Thread) -> None:
        """Begin a task; without threads, wait for its end."""
        self._begin(task)
        if not self.threads:
            task.wait(3600)
            self._poll_task()


def write_label_files(
    project: Project, case_ids: Collection[str], folder: Path, kind: str, tell: Callable[[int, int], None]
) -> None:
    """One file a case; as NIfTI one file a label where labels overlap. States and names lie beside them.

    Args:
        project: the project.
        case_ids: whose labels.
        folder: exists.
        kind: a key of :data:`KINDS`.
        tell: called with done and all.
    """
    label_set = project.label_set
    for number, case_id in enumerate(case_ids):
        tell(number, len(case_ids))
        _write_case(project.case(case_id), label_set, folder, kind)
    if kind == "nifti" and label_set.n_layers == 1:
        values = {str(place.value): name for name, place in zip(label_set.names, label_set.places, strict=True)}
        write_json(folder / "dataset.json", {"labels": values})
    rows = [
        (case_id, name, str(said.state), project.case(case_id).split, sum(a.voxels for a in said.accepted))
        for case_id in case_ids
        for name, said in ((name, project.case(case_id).annotation(name)) for name in label_set.names)
    ]
    _write_csv(folder / STATES_FILE, ("case", "label", "state", "split", "voxels accepted from models"), rows)
    tell(len(case_ids), len(case_ids))


def _write_case(case: Case, label_set: LabelSet, folder: Path, kind: str) -> None:
    from ..project.labelmaps import write_labels  # here, as it brings SimpleITK along

    layers, grid = case.labels(label_set), case.grid()
    if kind == "nifti" and label_set.n_layers > 1:
        for channel, label in enumerate(label_set.labels):
            alone = label_mask(layers, label_set, channel)[None].astype("uint8")
            write_labels(folder / f"{case.id}_{slug(label.name)}.nii.gz", alone, LabelSet((label,)), grid)
        return
    tags = {name: {"SemiSupSeg.State": str(case.annotation(name).state)} for name in label_set.names}
    write_labels(folder / f"{case.id}{KINDS[kind]}", layers, label_set, grid, tags=tags)


def write_audit(project: Project, file: Path) -> int | None:
    """Write the journal as ``.csv`` or ``.json``.

    Returns:
        Number of the first line that was edited or is missing; None when the journal is intact.

    Raises:
        ProjectError: another ending, or a line that is no entry.
    """
    entries, broken = project.journal.entries(), project.verify_journal()
    if file.suffix.casefold() == ".json":
        said = [{**entry.to_json(), "hash": entry.hash} for entry in entries]
        write_json(file, {"project": project.name, "intact": broken is None, "broken_at": broken, "entries": said})
    elif file.suffix.casefold() == ".csv":
        rows = [
            (e.id, e.time, e.who, e.action, e.case, e.label, json.dumps(e.detail, ensure_ascii=False), e.hash)
            for e in entries
        ]
        _write_csv(file, AUDIT_COLUMNS, rows)
    else:
        msg = f"Export audit: {file.name} should end in .csv or .json"
        raise ProjectError(msg)
    return broken


def _write_csv(path: Path, header: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    text = StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(header)
    writer.writerows([_harmless(value) for value in row] for row in rows)
    write_bytes(path, text.getvalue().encode("utf-8-sig"))  # spreadsheets take it for another alphabet without the mark


def _harmless(value: Any) -> Any:
    """A text that a spreadsheet does not take for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" and value[:1] else value


def _new_folder(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        msg = f"Export: {folder} holds something already: choose a new or an empty folder"
        raise ProjectError(msg)
    folder.mkdir(parents=True, exist_ok=True)
