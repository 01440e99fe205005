"""The verb status: labels, cases and their states, hold-out, model, runs, and what to do next."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from ..jobs.protocol import RunState
from ..jobs.state import ACTIVE, describe, runs
from ..project.annotation import State
from ..project.cases import Case
from ..project.models import promoted_model
from ..project.project import Project
from ..project.proposals import Candidate, candidates
from .arguments import Verb, add_json, add_project, open_project
from .output import LEGEND, SYMBOLS, bar, duration, print_json, table
from .preview import counts_of

__all__ = ["VERBS"]

WIDEST = 12
"""With more labels than this, a case shows how many are in which state."""
RUNS_SHOWN = 5


def _configure(parser: argparse.ArgumentParser) -> None:
    add_project(parser, optional=True)
    add_json(parser)


def _status(args: argparse.Namespace) -> int:
    project = open_project(args)
    found = candidates(project)
    seen = [describe(run) for run in runs(project.runs_folder)]
    model = promoted_model(project.models_folder)
    step = _next_step(project, str(args.project), found, seen, has_model=model is not None)
    if args.json:
        print_json(_as_json(project, found, seen, None if model is None else model.name, step))
        return 0
    waiting = {(c.case, c.label) for c in found if c.waits}
    print("\n".join((
        *_head(project, None if model is None else model.name),
        "",
        *_cases(project, waiting),
        *_runs(seen),
        f"next: {step}",
    )))  # fmt: skip
    return 0


def _head(project: Project, model: str | None) -> list[str]:
    cases = list(project.cases.values())
    labelled = sum(case.annotated for case in cases)
    held = ", ".join(case.id for case in project.holdout_cases()) or "none: nothing tells if a round got better"
    names = project.label_set.names
    lines = [
        f"project:  {project.name}",
        f"labels:   {', '.join(names) or 'none yet'}",
        f"cases:    {bar(labelled, len(cases))} {labelled} of {len(cases)} labelled",
        f"hold-out: {held}",
        f"model:    {model or 'none yet'}",
    ]
    if project.label_set.overlaps:
        lines.append("overlaps: " + "; ".join(" and ".join(sorted(pair)) for pair in project.label_set.overlaps))
    broken = project.verify_journal()
    if broken is not None:
        lines.append(f"journal:  line {broken} was edited, or lines before it were removed")
    return lines


def _cases(project: Project, waiting: set[tuple[str, str]]) -> list[str]:
    names = project.label_set.names
    if not project.cases:
        return []
    if len(names) <= WIDEST:
        header = ("case", *names, "")
        rows = [(c.id, *(_symbols(c, name, waiting) for name in names), _split(c)) for c in project.cases.values()]
    else:
        header = ("case", f"{len(names)} labels", "")
        rows = [(c.id, _counts(c, names, waiting), _split(c)) for c in project.cases.values()]
    return [table(rows, header), "", LEGEND, ""]


def _symbols(case: Case, name: str, waiting: set[tuple[str, str]]) -> str:
    return SYMBOLS[case.annotation(name).state] + (SYMBOLS["proposed"] if (case.id, name) in waiting else "")


def _counts(case: Case, names: tuple[str, ...], waiting: set[tuple[str, str]]) -> str:
    proposed = sum((case.id, name) in waiting for name in names)
    return counts_of(case.annotations, names) + (f" {SYMBOLS['proposed']}{proposed}" if proposed else "")


def _split(case: Case) -> str:
    return "hold-out" if case.split == "holdout" else ""


def _runs(seen: Sequence[dict[str, Any]]) -> list[str]:
    if not seen:
        return []
    rows = []
    for run in seen[-RUNS_SHOWN:]:
        dice = None if run["mean_dice"] is None else f"{run['mean_dice']:.3f}"
        left = f", {duration(run['eta_seconds'])} left" if run["eta_seconds"] else ""
        rows.append((run["id"], run["state"], dice, run["model"], run["words"].splitlines()[0] + left))
    lines = [table(rows, ("run", "state", "hold-out Dice", "model", ""))]
    if len(seen) > RUNS_SHOWN:
        lines.append(f"and {len(seen) - RUNS_SHOWN} earlier ones")
    return [*lines, ""]


def _next_step(
    project: Project, where: str, found: Sequence[Candidate], seen: Sequence[dict[str, Any]], *, has_model: bool
) -> str:
    """The command that makes sense now, with its reason."""
    if not project.cases:
        return f"semisupseg import {where} FOLDER"
    last = seen[-1] if seen else None
    if last and RunState(last["state"]) in ACTIVE:
        return f"wait for run {last['id']}, or semisupseg stop {where}"
    if last and last["state"] in (RunState.STOPPED, RunState.CRASHED):
        return f"semisupseg resume {where}   (run {last['id']} is {last['state']})"
    positive = (State.COMPLETE, State.PARTIAL)
    if not any(a.state in positive for case in project.train_cases() for a in case.annotations.values()):
        return f"semisupseg annotate {where} CASE LABEL --state complete --from FILE   (no label to train on yet)"
    if not has_model:
        return f"semisupseg train {where} --preset quick"
    open_ones = sum(c.waits for c in found)
    if open_ones:
        return f"semisupseg review {where}   ({open_ones} proposals wait)"
    if not found:
        return f"semisupseg predict {where}"
    return f"semisupseg train {where}   (another round, with what was accepted)"


def _as_json(
    project: Project, found: Sequence[Candidate], seen: Sequence[dict[str, Any]], model: str | None, step: str
) -> dict[str, Any]:
    waiting: dict[str, list[str]] = {}
    for candidate in found:
        if candidate.waits:
            waiting.setdefault(candidate.case, []).append(candidate.label)
    names = project.label_set.names
    return {
        "project": project.name,
        **project.label_set.to_json(),
        "cases": [
            {
                "id": case.id,
                "split": case.split,
                "modality": case.modality,
                "states": {name: str(case.annotation(name).state) for name in names},
                "proposed": waiting.get(case.id, []),
            }
            for case in project.cases.values()
        ],
        "labelled": sum(case.annotated for case in project.cases.values()),
        "holdout": [case.id for case in project.holdout_cases()],
        "model": model,
        "runs": list(seen),
        "journal_broken_at": project.verify_journal(),
        "next": step,
    }


VERBS = (
    Verb(
        "status",
        "Show cases, labels, hold-out, model and runs, and what to do next",
        ("semisupseg status liver_study", "semisupseg status liver_study --json"),
        _configure,
        _status,
    ),
)
