"""The table that an import shows before it writes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from ..project.annotation import Annotation, State
from ..project.import_plan import ImportPlan, PlannedCase
from .output import LEGEND, SYMBOLS, table

__all__ = ["counts_of", "preview"]

NAMES_SHOWN = 4


def preview(plan: ImportPlan) -> str:
    """What will be written, a line a case, and below it the label set and what is left out."""
    labels = plan.label_set.names
    header = ("case", "size", "spacing mm", "kind", "labels found", "states", "split")
    lines = [table([_row(case, labels) for case in plan.cases], header), ""]
    names = ", ".join(labels[:12]) + (f" and {len(labels) - 12} more" if len(labels) > 12 else "")
    lines.append(f"{len(labels)} labels: {names}" if labels else "no labels: all cases are unlabelled")
    if plan.label_set.overlaps:
        lines.append("labels that may overlap: " + "; ".join(" and ".join(sorted(p)) for p in plan.label_set.overlaps))
    absent = sum(said.state is State.ABSENT for case in plan.importable for said in case.said.values())
    if absent:
        lines.append(
            f"{absent} times a label without voxels is taken as looked for and absent ({SYMBOLS['absent']}); "
            "--missing unknown leaves it open"
        )
    if plan.dropped:
        lines.append(f"{plan.dropped} annotations of training cases are dropped on purpose (--keep-annotated)")
    lines += [f"note on {case.id}: {note}" for case in plan.cases for note in case.notes]
    lines += [f"left out {case.id}: {case.problem}" for case in plan.cases if case.problem]
    return "\n".join([*lines, "", LEGEND])


def counts_of(said: Mapping[str, Annotation], labels: tuple[str, ...]) -> str:
    """``✓3 ∅1 ?2``: how many labels are in which state; empty without labels."""
    counts = Counter(str(said[name].state) if name in said else "unknown" for name in labels)
    return " ".join(f"{symbol}{counts[state]}" for state, symbol in SYMBOLS.items() if counts[state])


def _row(case: PlannedCase, labels: tuple[str, ...]) -> tuple[object, ...]:
    size = spacing = None
    if case.grid:
        size = "×".join(map(str, case.grid.size))
        spacing = "×".join(f"{mm:.3g}" for mm in case.grid.spacing)
    if case.problem:
        return case.id, size, spacing, None, None, "left out", None
    more = len(case.found) - NAMES_SHOWN
    shown = [*case.found[:NAMES_SHOWN], *([f"+{more}"] if more > 0 else [])]
    named = ", ".join(shown) or ("none" if case.pair.labels else "no label file")
    kind = case.modality + (f" {case.region.kind}" if case.region else "")
    return case.id, size, spacing, kind, named, counts_of(case.said, labels), case.split
