"""ImportPlan: what an import would write, made without writing anything, so that it can be shown first.

What a label file says about a label that it does not contain: with ``dataset.json`` the file speaks for all labels
listed there, so one without voxels was looked for and is *absent*; without it, the label is *unknown*. ``missing``
overrides both.

A file with voxels "not annotated" (value 255 in ``scribbles/``, nnU-Net's *ignore*) holds strokes: every other voxel,
background included, is a statement, and all labels are *partial* in that region. Where these are whole slices along k
and nothing else, the region is said to be finished slices.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from ..errors import ProjectError, SemiSupSegError
from .annotation import Annotation, Region, RegionKind, State
from .cases import Case
from .folders import Dataset, Pair
from .geometry import Grid
from .holdout import choose_holdout
from .images import Volume, open_volume
from .label_source import LabelSource
from .labels import Label, LabelSet, distinct_colour
from .paths import safe_id
from .terminology import terminology_of

__all__ = ["SCRIBBLES", "ImportPlan", "Missing", "OnProgress", "PlannedCase", "new_label", "plan_import"]

Missing = Literal["unknown", "absent"]
OnProgress = Callable[[int, int, str], None]
SCRIBBLES, NOT_ANNOTATED = "scribbles", 255
CT_AT_MOST = -500
"""A volume that does not state its modality is taken for CT when its lowest value is at most this: air in HU."""


@dataclass(frozen=True)
class PlannedCase:
    """What will be written for one image, or why nothing will."""

    id: str
    pair: Pair
    grid: Grid | None = None
    """None when the image cannot be read."""
    modality: str = "unknown"
    found: tuple[str, ...] = ()
    """Names that have voxels in the file."""
    declared: tuple[str, ...] = ()
    """Names that the file or ``dataset.json`` speaks of."""
    region: Region | None = None
    """The part of the volume that the file speaks of; None: all of it."""
    overlaps: frozenset[frozenset[str]] = frozenset()
    """Pairs of names that share voxels."""
    styles: dict[str, Label] = field(default_factory=dict)
    """Colours and terminology that the file brings."""
    annotations: dict[str, Annotation] | None = None
    """What will be said, by label name; a label that is not in it stays unknown."""
    split: str = "train"
    problem: str | None = None
    """One sentence when the case is left out."""
    notes: tuple[str, ...] = ()
    """Sentences on what was odd but does not keep the case out."""

    @property
    def said(self) -> dict[str, Annotation]:
        """:attr:`annotations`, empty for an unlabelled case."""
        return self.annotations or {}


@dataclass(frozen=True)
class ImportPlan:
    """What an import would write. Nothing was written yet."""

    label_set: LabelSet
    """The labels of the project afterwards."""
    cases: tuple[PlannedCase, ...]
    """Sorted by id, those that are left out included."""
    dataset: Dataset
    """Names of values; ``not_annotated`` as it was decided."""
    dropped: int = 0
    """Annotations that ``keep_annotated`` left out."""

    @property
    def importable(self) -> list[PlannedCase]:
        """Those that will be written."""
        return [case for case in self.cases if case.problem is None]


def plan_import(
    pairs: Sequence[Pair],
    dataset: Dataset | None,
    *,
    label_set: LabelSet | None = None,
    cases: Collection[Case] = (),
    missing: Missing | None = None,
    not_annotated: int | None = None,
    holdout: int | Collection[str] | None = None,
    keep_annotated: float | None = None,
    seed: int = 1,
    on_progress: OnProgress | None = None,
) -> ImportPlan:
    """Read every file once and decide what would be written.

    Args:
        pairs: from :func:`~.folders.find_pairs`.
        dataset: from :func:`~.folders.read_dataset`; None when there is no ``dataset.json``.
        label_set: of the project, when there is one.
        cases: of the project, when there is one; an id that it has is skipped, never overwritten.
        missing: state of a label that a file speaks of but does not contain; see the top of this file.
        not_annotated: value of voxels that nobody annotated; None: what ``dataset.json`` or ``scribbles/`` says.
        holdout: number of cases to hold out in all, or their ids; None: the rule of :func:`.holdout.choose_holdout` for
            a new project, and none for one that has cases, whose hold-out stays as it is.
        keep_annotated: keep each label of each training case with this probability, for experiments; hold-out cases
            keep all.
        seed: of the draws.
        on_progress: called with done, all, file name.

    Raises:
        ProjectError: the whole import makes no sense (a hold-out that cannot be, a label name that is none). What is
            wrong with one case is in its ``problem``.
    """
    dataset = _with_not_annotated(dataset, pairs, not_annotated)
    taken = {case.id.casefold() for case in cases}
    planned: list[PlannedCase] = []
    for number, pair in enumerate(pairs):
        case = PlannedCase(safe_id(pair.stem, [c.id for c in planned]), pair)
        planned.append(_read(case, dataset, taken))
        if on_progress:
            on_progress(number + 1, len(pairs), pair.image.name)
    planned.sort(key=lambda case: case.id)
    labels = _label_set(label_set, dataset, planned)
    missing = missing or ("absent" if dataset.names else "unknown")
    planned = [case if case.problem else _said(case, labels, missing, planned) for case in planned]
    planned = _held_out(planned, cases, holdout, seed)
    kept = planned if keep_annotated is None else _thinned(planned, labels, keep_annotated, seed)
    dropped = sum(len(before.said) - len(after.said) for before, after in zip(planned, kept, strict=True))
    return ImportPlan(labels, tuple(kept), dataset, dropped)


def _with_not_annotated(dataset: Dataset | None, pairs: Sequence[Pair], value: int | None) -> Dataset:
    dataset = dataset or Dataset({})
    if value is None and dataset.not_annotated is None:
        scribbled = any(pair.labels and pair.labels.parent.name == SCRIBBLES for pair in pairs)
        value = NOT_ANNOTATED if scribbled and NOT_ANNOTATED not in dataset.names else None
    if value is not None and value in dataset.names:
        msg = f"value {value} is {dataset.names[value]!r} in dataset.json: it cannot mean 'not annotated' as well"
        raise ProjectError(msg)
    return dataset if value is None else replace(dataset, not_annotated=value)


def _read(case: PlannedCase, dataset: Dataset, taken: Collection[str]) -> PlannedCase:
    if case.id.casefold() in taken:
        return replace(case, problem=f"case {case.id} is in the project already; it was not touched")
    if case.pair.problem:
        return replace(case, problem=case.pair.problem)
    try:
        volume = open_volume(case.pair.image)
        grid, modality = Grid.of(volume.image), dataset.modality or _modality(volume)
        case = replace(case, grid=grid, modality=modality, notes=volume.warnings)
        if case.pair.labels is None:
            return case
        source = LabelSource.read(case.pair.labels, dataset.names, grid, not_annotated=dataset.not_annotated)
        return replace(
            case,
            found=tuple(name for name, voxels in source.voxels.items() if voxels),
            declared=tuple(dataset.names.values()) or tuple(source.places),
            region=_region(source),
            overlaps=frozenset(source.overlaps()),
            styles=source.styles,
            annotations={},
        )
    except SemiSupSegError as error:
        return replace(case, problem=str(error))


def _region(source: LabelSource) -> Region | None:
    if source.annotated is None:
        return None
    slices = source.annotated_slices
    return Region(RegionKind.SLICES, slices) if slices else Region(RegionKind.STROKES, file=SCRIBBLES)


def _modality(volume: Volume) -> str:
    """DICOM says it; otherwise Hounsfield units show themselves."""
    import SimpleITK as sitk  # noqa: N813

    lowest = np.min(sitk.GetArrayViewFromImage(volume.image), initial=0)
    return volume.modality or ("CT" if lowest <= CT_AT_MOST else "unknown")


def _label_set(before: LabelSet | None, dataset: Dataset, planned: Sequence[PlannedCase]) -> LabelSet:
    """The project's labels, then those of ``dataset.json`` in its order, then those of the files."""
    labels = before or LabelSet(())
    good = [case for case in planned if not case.problem]
    styles = {name: style for case in reversed(good) for name, style in case.styles.items()}
    from_files = [name for case in good for name in (*case.declared, *case.found)]
    for name in (*dataset.names.values(), *from_files):
        if not _has(labels, name):
            labels = labels.with_labels([styles.get(name) or new_label(name, len(labels))])
    if before is not None:
        return labels  # a project keeps its rules: a case that breaks them is refused
    pairs = {frozenset(labels.names[labels.index(name)] for name in pair) for case in planned for pair in case.overlaps}
    return LabelSet(labels.labels, labels.overlaps | pairs)


def new_label(name: str, index: int) -> Label:
    """A label with a colour of its own and, when its name is known, a terminology code."""
    return Label(name, distinct_colour(index), terminology_of(name))


def _has(labels: LabelSet, name: str) -> bool:
    try:
        labels.index(name)
    except ProjectError:
        return False
    return True


def _said(case: PlannedCase, labels: LabelSet, missing: Missing, planned: Sequence[PlannedCase]) -> PlannedCase:
    if case.pair.labels is None:
        return case
    shared = (sorted(pair) for pair in case.overlaps)
    blocked = next((pair for pair in shared if not labels.may_overlap(*map(labels.index, pair))), None)
    if blocked:
        msg = f"{case.pair.labels.name}: {blocked[0]} and {blocked[1]} share voxels, which this project does not allow"
        return replace(case, problem=msg)
    named = labels.names
    found = {named[labels.index(name)] for name in case.found}
    spoken = {named[labels.index(name)] for name in case.declared}
    if missing == "absent":
        spoken |= {named[labels.index(name)] for other in planned if not other.problem for name in other.declared}
    if case.region:
        said = dict.fromkeys(spoken | found, Annotation(State.PARTIAL, (case.region,)))
    else:
        said = dict.fromkeys(found, Annotation(State.COMPLETE))
        if missing == "absent":
            said |= dict.fromkeys(spoken - found, Annotation(State.ABSENT))
    return replace(case, annotations={name: said[name] for name in named if name in said})


def _held_out(
    planned: list[PlannedCase], cases: Collection[Case], holdout: int | Collection[str] | None, seed: int
) -> list[PlannedCase]:
    able = {case.id: case for case in planned if case.problem is None}
    if isinstance(holdout, int) or holdout is None:
        if holdout == 0 or (holdout is None and cases):
            return planned
        held = [case for case in cases if case.split == "holdout"]
        new = [Case(c.id, Path(), 0, "", None, None, c.modality, "train", c.said) for c in able.values()]
        chosen: Collection[str] = choose_holdout([*held, *new], holdout, seed=seed)
    else:
        chosen = [safe_id(name, ()) for name in holdout]
        for case_id in chosen:
            if case_id not in able or not able[case_id].said:
                those = ", ".join(c for c in able if able[c].said) or "there are none"
                msg = f"hold-out: {case_id!r} is not one of the annotated cases to import: {those}"
                raise ProjectError(msg)
    return [replace(case, split="holdout") if case.id in chosen and case.id in able else case for case in planned]


def _thinned(planned: list[PlannedCase], labels: LabelSet, keep: float, seed: int) -> list[PlannedCase]:
    """One draw per label of the set for each training case with labels, in the order of ids: repeatable."""
    generator = np.random.default_rng(seed)
    thinned = []
    for case in planned:
        if case.problem is None and case.pair.labels is not None and case.split == "train":
            kept = dict(zip(labels.names, generator.random(len(labels)) < keep, strict=True))
            case = replace(case, annotations={name: said for name, said in case.said.items() if kept[name]})
        thinned.append(case)
    return thinned
