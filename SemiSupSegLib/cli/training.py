"""Verbs of training: train, resume; and train-run, which is what a background process or torchrun runs."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..config import DEFAULT_METHOD, Config
from ..errors import RunError, SemiSupSegError
from ..jobs.job import LocalJob, claim
from ..jobs.run import Run
from ..jobs.state import describe, run_state
from ..project.project import Project
from .arguments import Verb, add_json, add_project, open_project
from .foreground import stopping_on_interrupt, train_here
from .output import duration, print_json, print_run
from .planning import add_budget, add_plan, planned
from .progress import RunDisplay
from .run_choice import add_run, refuse_while_active, run_to_resume

if TYPE_CHECKING:
    from ..engine.plan import Estimate

__all__ = ["VERBS", "add_budget", "add_plan", "planned", "refuse_while_active"]


def _configure_train(parser: argparse.ArgumentParser) -> None:
    add_project(parser)
    listed = "`semisupseg methods` lists them (default: %(default)s)"
    parser.add_argument("--method", default=DEFAULT_METHOD, help=listed)
    add_budget(parser, "for the training")
    add_plan(parser)
    parser.add_argument("--from-scratch", action="store_true", help="start with random weights, not the model in use")
    _add_background(parser)
    add_json(parser)


def _train(args: argparse.Namespace) -> int:
    project = open_project(args)
    refuse_while_active(project)  # at once, not after torch is imported and the training planned
    from ..engine.plan import estimate

    config = planned(project, args, method=args.method)
    if not args.json:
        print(_announcement(project, config, estimate(project, config)))
    with project.lock():  # two trainings that start together: one of them sees the other
        refuse_while_active(project)
        run = Run.create(project.runs_folder, config, method=args.method, from_scratch=args.from_scratch)
        _take(run, background=args.background)
    return _go_on(run, args)


def _configure_resume(parser: argparse.ArgumentParser) -> None:
    add_project(parser)
    add_run(parser, "run to go on with (default: the last one)")
    _add_background(parser)
    add_json(parser)


def _resume(args: argparse.Namespace) -> int:
    project = open_project(args)
    with project.lock():
        refuse_while_active(project)
        run = run_to_resume(project, args.run)
        from ..engine.round import ROUND_FILE

        if (run.folder / ROUND_FILE).is_file():
            msg = f"run {run.id} is a round of a relabelling: go on with `semisupseg relabel {args.project} --resume`"
            raise RunError(msg)
        run.set_request(replace(run.request(), resume=True))
        if not args.json:
            print(f"going on with run {run.id}: {run_state(run)[1].splitlines()[0]}")
        _take(run, background=args.background)
    return _go_on(run, args)


def _configure_train_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_folder", metavar="RUN", type=Path, help="folder of a run, PROJECT/runs/<id>")


def _train_run(args: argparse.Namespace) -> int:
    first = os.environ.get("RANK", "0") == "0"  # torchrun numbers its processes; one of them speaks
    run = Run.open(args.run_folder, writes=first)
    if first:
        claim(run)
    try:
        train_here(run)
    except SemiSupSegError:
        raise
    except Exception as error:  # the traceback is in the run's log already
        print(f"semisupseg train-run: {type(error).__name__}, see log.txt of run {run.id}", file=sys.stderr)
        return 1
    return 0


def _take(run: Run, *, background: bool) -> None:
    if background:
        LocalJob.start(run)
    else:
        claim(run)


def _go_on(run: Run, args: argparse.Namespace) -> int:
    if args.background:
        if args.json:
            print_json(describe(run))
        else:
            print(f"run {run.id} works in the background")
            print(f"  watch: semisupseg status {args.project}")
            print(f"  stop:  semisupseg stop {args.project}")
        return 0
    with stopping_on_interrupt(run), RunDisplay(run):
        train_here(run)
    print_run(describe(run), as_json=args.json)
    return 0


def _announcement(project: Project, config: Config, need: Estimate) -> str:
    train, holdout = project.train_cases(), project.holdout_cases()
    annotated = sum(case.annotated for case in train)
    kept = f"{len(holdout)} case{'s' if len(holdout) > 1 else ''}" if holdout else "none: nothing tells if it improves"
    time = f"{config.train.iterations} steps" if need.minutes is None else f"about {duration(60 * need.minutes)}"
    grid = " × ".join(f"{mm:g}" for mm in config.data.spacing)
    patch = " × ".join(map(str, config.data.patch_size))
    patch += " voxels, smaller ones first," if config.data.first_patch_size else " voxels"
    sides = ["sides:    mirror images teach, too, with left and right labels exchanged"]
    return "\n".join((
        f"method:   {config.method} ({config.network.backbone}, patches of {patch} on a grid of {grid} mm)",
        f"cases:    {len(train)} to train on, {annotated} of them annotated; hold-out: {kept}",
        f"labels:   {', '.join(project.label_set.names)}",
        *(sides if config.data.mirrored else []),
        f"device:   {need.device} ({need.reason})",
        f"estimate: {time}, {need.memory_gb:.1f} GB of memory",
    ))  # fmt: skip


def _add_background(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--background", action="store_true", help="return at once; training outlives this terminal")


VERBS = (
    Verb(
        "train",
        "Train a model on what is annotated; a round starts from the model in use",
        (
            "semisupseg train liver_study --preset quick",
            "semisupseg train liver_study --method smile --minutes 30 --spacing 2 --background",
            "semisupseg train liver_study --iterations 500 --from-scratch --option dice_weight=0",
        ),
        _configure_train,
        _train,
    ),
    Verb(
        "resume",
        "Go on with a training that was stopped or cut short",
        ("semisupseg resume liver_study", "semisupseg resume liver_study 2026-11-22_0915_smile --background"),
        _configure_resume,
        _resume,
    ),
    Verb(
        "train-run",
        "Make one run in this process (for torchrun; `train --background` does it for you)",
        ("torchrun --nproc_per_node 2 -m SemiSupSegLib train-run liver_study/runs/2026-11-22_0915_smile",),
        _configure_train_run,
        _train_run,
    ),
)
