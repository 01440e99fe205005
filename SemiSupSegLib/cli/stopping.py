"""The verb stop: end a training to go on later, at once, or for good with its best checkpoint kept as a model."""

from __future__ import annotations

import argparse
import contextlib
import time

from ..errors import RunError
from ..jobs.job import LocalJob, claim
from ..jobs.protocol import EventKind, RunState
from ..jobs.run import Run
from ..jobs.state import ACTIVE, Watch, active_run, describe, run_state
from ..project.project import Project
from .arguments import Verb, add_json, add_project, open_project
from .foreground import carry_out
from .output import print_run
from .progress import RunDisplay
from .run_choice import add_run, refuse_while_active, run_named, run_to_keep

__all__ = ["VERBS"]

STOP_SECONDS = 5.0
KEEP_SECONDS = 600.0
"""What scoring a kept model and the one in use on the hold-out may take while the run gives signs of life."""
LOOK_SECONDS = 1.0


def _configure_stop(parser: argparse.ArgumentParser) -> None:
    add_project(parser)
    add_run(parser, "run to stop (default: the one that is active; with --keep-best else the last one)")
    parser.add_argument("--now", action="store_true", help="kill it: lose what came after its last checkpoint")
    parser.add_argument(
        "--keep-best",
        action="store_true",
        help="end it for good: its best checkpoint on the hold-out (the last one without a hold-out) becomes a model, "
        "which is used unless the hold-out gets worse; also for a run that was stopped or cut short before",
    )
    add_json(parser)


def _stop(args: argparse.Namespace) -> int:
    project = open_project(args)
    if args.keep_best:
        run = run_to_keep(project, args.run)
        _keep(project, run, args)
        _report_kept(run, as_json=args.json)
        return 0
    run = _active(project, args.run)
    job = LocalJob.attach(run)
    if args.now:
        job.kill()
    else:
        job.stop()
        if not job.wait(STOP_SECONDS):
            msg = (
                f"run {run.id} was asked to stop and has not yet, after {STOP_SECONDS:.0f} s: it ends when "
                f"its present work is done, or at once with `semisupseg stop {args.project} {run.id} --now`"
            )
            raise RunError(msg)
    print_run(describe(run), as_json=args.json)
    return 0


def _active(project: Project, name: str | None) -> Run:
    run = run_named(project, name) if name else active_run(project.runs_folder)
    if run is None:
        msg = "no training of this project is active, so there is nothing to stop"
        raise RunError(msg)
    state, words = run_state(run)
    if state not in ACTIVE:
        msg = f"run {run.id} is not active: it is {state} ({words.splitlines()[0]})"
        raise RunError(msg)
    return run


def _keep(project: Project, run: Run, args: argparse.Namespace) -> None:
    """Let the run's own process keep its best; where there is none, or it ended without, do it here."""
    if run_state(run)[0] in ACTIVE:
        job = LocalJob.attach(run)
        if args.now:
            job.kill()
        else:
            job.stop(keep_best=True)
            _wait(job, args)
    if run_state(run)[0] is RunState.FINISHED:
        return
    from ..engine.keep import check_learnt, keep_best

    with project.lock():
        refuse_while_active(project)
        check_learnt(run)  # before the run is touched: what cannot be kept stays as it was
        claim(run)
    with contextlib.nullcontext() if args.json else RunDisplay(run):
        carry_out(run, lambda: keep_best(run, project))


def _wait(job: LocalJob, args: argparse.Namespace) -> None:
    deadline = time.monotonic() + KEEP_SECONDS
    while not job.wait(min(LOOK_SECONDS, KEEP_SECONDS)):
        if time.monotonic() >= deadline or job.poll()[0] is RunState.HUNG:
            msg = (
                f"run {job.run.id} was asked to end and keep its best checkpoint and has not yet: it does so when its "
                f"present work is done, or `semisupseg stop {args.project} {job.run.id} --keep-best --now` does it"
            )
            raise RunError(msg)


def _report_kept(run: Run, *, as_json: bool) -> None:
    watch = Watch(run)
    found = describe(run, watch=watch)
    told = [event for kind in (EventKind.PROMOTED, EventKind.NOT_PROMOTED) if (event := watch.latest(kind))]
    last = max(told, key=lambda event: event.offset, default=None)
    verdict = None if last is None else str(last.data.get("reason", ""))
    used = f"model {found['model']} is in use now: " if last is not None and last.kind == EventKind.PROMOTED else ""
    print_run({**found, "verdict": verdict}, as_json=as_json, more=f"{used}{verdict or ''}")


VERBS = (
    Verb(
        "stop",
        "End a training: to go on later, or with its best checkpoint kept as a model",
        (
            "semisupseg stop liver_study",
            "semisupseg stop liver_study --keep-best",
            "semisupseg stop liver_study 2026-11-22_0915_smile --now",
        ),
        _configure_stop,
        _stop,
    ),
)
