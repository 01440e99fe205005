"""Verbs of models: relabel (SMILEr), rollback."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..config import Config
from ..jobs.job import claim
from ..jobs.run import Run
from ..project.models import promoted_model, roll_back
from ..project.project import Project
from .arguments import Verb, add_json, add_project, add_who, open_project
from .foreground import carry_out, stopping_on_interrupt
from .output import print_json
from .planning import add_budget, add_plan, planned
from .progress import RunDisplay
from .run_choice import refuse_while_active

if TYPE_CHECKING:
    from ..engine.relabel import Relabelled
    from ..engine.train import Outcome

__all__ = ["VERBS"]

SELECTIONS = ("score", "uncertainty", "confidence")
"""Of ``engine.selection``, which needs torch."""


def _configure_relabel(parser: argparse.ArgumentParser) -> None:
    add_project(parser)
    parser.add_argument("--rounds", type=int, default=3, metavar="T", help="how often (default: %(default)s)")
    parser.add_argument(
        "--gamma-max",
        type=float,
        default=1.0,
        metavar="G",
        help="share of the predicted voxels that the last round takes, above 0 to 1 (default: %(default)s)",
    )
    parser.add_argument(
        "--select",
        choices=SELECTIONS,
        default=SELECTIONS[0],
        help="what ranks the predicted voxels: the paper's score, least dropout entropy, or a learned confidence "
        "(default: %(default)s)",
    )
    add_budget(parser, "for everything together")
    add_plan(parser)
    parser.add_argument(
        "--from-scratch", action="store_true", help="train the first model, too, instead of using the one in use"
    )
    parser.add_argument(
        "--recompute", action="store_true", help="choose anew each round instead of adding to the earlier choice"
    )
    parser.add_argument(
        "--all-parts",
        action="store_true",
        help="choose from all that is predicted (the paper), not from as many of its largest connected parts as the "
        "label has where it is annotated",
    )
    parser.add_argument(
        "--reference",
        type=Path,
        metavar="FOLDER",
        help="complete labels, only to report how many added voxels are right",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with the last relabelling, with its settings: of all others only --reference counts",
    )
    add_json(parser)


def _relabel(args: argparse.Namespace) -> int:
    from ..engine.relabel import Relabelling, relabel, resume_relabelling
    from ..errors import ConfigError

    if args.rounds < 1 or not 0 < args.gamma_max <= 1:
        found = f"--rounds {args.rounds} and --gamma-max {args.gamma_max}"
        msg = f"{found}: expected at least 1 round and a share above 0, at most 1"
        raise ConfigError(msg)
    project = open_project(args)
    refuse_while_active(project)
    told: list[Relabelled] = []

    def on_round(one: Relabelled) -> None:
        told.append(one)
        if not args.json:
            print(_sentence(one))

    if args.resume:
        outcome = resume_relabelling(project, reference=args.reference, perform=_perform, on_round=on_round)
    else:
        start, config = _start(project, args)
        if start is None:  # stopped before the first round
            if args.json:
                print_json({"rounds": [], "finished": False, "promoted": None})
            return 0
        how = Relabelling(
            args.rounds, args.gamma_max, not args.recompute, args.reference, args.select, args.all_parts
        )
        outcome = relabel(project, config, how, start=start, perform=_perform, on_round=on_round)
    if args.json:
        print_json({"rounds": [vars(one) for one in told], "finished": outcome.finished, "promoted": outcome.promoted})
    elif outcome.finished:
        print(
            f"model {outcome.promoted} is in use"
            if outcome.promoted
            else "the model in use stays: the hold-out would get worse"
        )
    else:
        print(f"stopped: `semisupseg relabel {args.project} --resume` goes on")
    return 0


def _start(project: Project, args: argparse.Namespace) -> tuple[Path | None, Config]:
    """Folder of the first model, trained now where there is none, and the configuration of one round."""
    from ..engine.model import Model
    from ..engine.round import FIRST_SHARE
    from ..engine.train import train
    from ..methods.base import method_named

    folder = None if args.from_scratch else promoted_model(project.models_folder)
    model = None if folder is None else Model.load(folder, project.label_set)
    if model is not None and not method_named(model.config.method).missing_is_background:
        config = planned(project, args, method=model.config.method)
        config = replace(config, data=model.config.data, network=model.config.network, options=model.config.options)
        return folder, _with_share(config, 1 / args.rounds)
    whole = planned(project, args, method="smile")
    first = _with_share(whole, FIRST_SHARE)
    first = replace(first, train=replace(first.train, schedule_span=(0.0, FIRST_SHARE)))
    run = Run.create(project.runs_folder, first, from_scratch=True)
    outcome = _perform(run, lambda: train(run, project, from_scratch=True))
    # Stopped, also to keep what there is: then no round follows.
    return None if outcome.early else outcome.model_folder, _with_share(whole, (1 - FIRST_SHARE) / args.rounds)


def _with_share(config: Config, share: float) -> Config:
    train = config.train
    minutes = None if train.minutes is None else train.minutes * share
    iterations = None if train.iterations is None else max(round(train.iterations * share), 1)
    return replace(config, train=replace(train, minutes=minutes, iterations=iterations))


def _perform(run: Run, work: Callable[[], Outcome]) -> Outcome:
    claim(run)
    done: list[Outcome] = []
    with stopping_on_interrupt(run), RunDisplay(run):
        carry_out(run, lambda: done.append(work()))
    return done[0]


def _sentence(one: Relabelled) -> str:
    parts = [
        f"{name} {count:,}"
        + ("" if one.precision[name] is None else f" ({100 * float(one.precision[name] or 0):.1f} % right)")
        for name, count in one.added.items()
    ]
    return f"round {one.round} of {one.rounds}, gamma {one.gamma:.2f}: added voxels: {', '.join(parts)}"


def _configure_rollback(parser: argparse.ArgumentParser) -> None:
    add_project(parser)
    add_who(parser)
    add_json(parser)


def _rollback(args: argparse.Namespace) -> int:
    project = open_project(args)
    with project.lock():
        left, now = roll_back(project.models_folder)
        project.journal.append(action="rollback", who=args.who, detail={"from": left, "to": now})
    if args.json:
        print_json({"model": now, "before": left})
    else:
        print(f"model {now} is in use again; {left} stays on disk")
    return 0


VERBS = (
    Verb(
        "relabel",
        "SMILEr: rounds in which the model's surest voxels are learnt from where nobody annotated",
        (
            "semisupseg relabel liver_study --rounds 3 --gamma-max 1.0",
            "semisupseg relabel liver_study --rounds 3 --minutes 30 --reference complete_labels",
            "semisupseg relabel liver_study --select confidence --recompute",
            "semisupseg relabel liver_study --resume",
        ),
        _configure_relabel,
        _relabel,
    ),
    Verb(
        "rollback",
        "Go back to the model that was in use before",
        ("semisupseg rollback liver_study",),
        _configure_rollback,
        _rollback,
    ),
)
