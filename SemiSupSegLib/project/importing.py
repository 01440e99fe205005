"""Writing an :class:`~.import_plan.ImportPlan`: the files of a folder become cases of a project."""

from __future__ import annotations

from ..errors import SemiSupSegError
from .annotation import RegionKind
from .atomic import WriteError
from .folders import Dataset
from .geometry import Grid
from .images import read_volume
from .import_plan import SCRIBBLES, ImportPlan, OnProgress, PlannedCase
from .label_source import LabelSource
from .project import Project

__all__ = ["write_import"]


def write_import(
    project: Project, plan: ImportPlan, *, who: str, on_progress: OnProgress | None = None
) -> list[tuple[str, str]]:
    """Write what was planned, case by case; one that fails leaves nothing behind and the others go on.

    Args:
        project: the project that the plan was made for.
        plan: what to write.
        who: for the journal.
        on_progress: called with done, all, case id.

    Returns:
        Id and reason of the cases that were refused only now; empty when all went well.

    Raises:
        WriteError: the disk is full or cannot be written; the cases before are complete.
    """
    project.add_labels(plan.label_set.labels, who=who)
    refused: list[tuple[str, str]] = []
    for number, case in enumerate(plan.importable):
        try:
            _write(project, case, plan.dataset, who)
        except WriteError:
            raise
        except SemiSupSegError as error:
            refused.append((case.id, str(error)))
        if on_progress:
            on_progress(number + 1, len(plan.importable), case.id)
    return refused


def _write(project: Project, case: PlannedCase, dataset: Dataset, who: str) -> None:
    image, labels, strokes = read_volume(case.pair.image), None, {}
    if case.pair.labels is not None and case.said:
        grid = Grid.of(image)
        source = LabelSource.read(case.pair.labels, dataset.names, grid, not_annotated=dataset.not_annotated)
        labels = source.arranged(project.label_set, case.said)
        stroked = case.region is not None and case.region.kind is RegionKind.STROKES
        strokes = {SCRIBBLES: source.annotated} if stroked and source.annotated is not None else {}
    project.add_case(
        case.id, image, labels=labels, annotations=case.said, modality=case.modality, split=case.split, strokes=strokes,
        who=who,
    )  # fmt: skip
