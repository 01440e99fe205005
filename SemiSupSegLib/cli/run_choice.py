"""Which run a command means, and whether another may start now."""

from __future__ import annotations

import argparse
from difflib import get_close_matches

from ..errors import RunError
from ..jobs.protocol import RunState
from ..jobs.run import Run
from ..jobs.state import active_run, run_state, runs
from ..project.project import Project

__all__ = ["add_run", "refuse_while_active", "run_named", "run_to_keep", "run_to_resume"]


def add_run(parser: argparse.ArgumentParser, what: str) -> None:
    """``RUN``, which may be left out; ``what`` says which one it is then."""
    parser.add_argument("run", metavar="RUN", nargs="?", help=what)


def run_to_resume(project: Project, name: str | None) -> Run:
    """The run of that name, or the project's last one, unless it is finished.

    Raises:
        RunError: it is finished, there is none of that name, or none at all.
        ConfigError: its settings are of a newer version.
    """
    known = runs(project.runs_folder)
    if not known:
        msg = "this project has no run yet: start one with `semisupseg train`"
        raise RunError(msg)
    run = run_named(project, name) if name else known[-1]
    if run_state(run)[0] is RunState.FINISHED:
        others = [] if name else [r.id for r in reversed(known[:-1]) if run_state(r)[0] is not RunState.FINISHED]
        hint = f", or name {others[0]}, which is not finished" if others else ""
        msg = f"run {run.id} is finished: start a new one with `semisupseg train`{hint}"
        raise RunError(msg)
    run.config()  # a damaged one is refused now
    return run


def run_to_keep(project: Project, name: str | None) -> Run:
    """The run of that name, or the one that is active, or the project's last one: its best checkpoint can be kept.

    Raises:
        RunError: it is finished, there is none of that name, or none at all.
    """
    known = runs(project.runs_folder)
    if not known:
        msg = "this project has no run yet, so there is nothing to keep"
        raise RunError(msg)
    run = run_named(project, name) if name else active_run(project.runs_folder) or known[-1]
    if run_state(run)[0] is RunState.FINISHED:
        msg = f"run {run.id} is finished: what it learnt is a model already, and was judged at its end"
        raise RunError(msg)
    return run


def refuse_while_active(project: Project) -> None:
    """Nothing, unless a run of the project is active: two would share the machine and race for the model in use.

    Raises:
        RunError: one is; the message says which.
    """
    run = active_run(project.runs_folder)
    if run is not None:
        state, _ = run_state(run)
        msg = f"run {run.id} of this project is {state}: wait for its end or `semisupseg stop {project.root}`"
        raise RunError(msg)


def run_named(project: Project, name: str) -> Run:
    """A run by its id.

    Raises:
        RunError: there is none of that name; the message names a similar one.
    """
    known = {run.id: run for run in runs(project.runs_folder)}
    if name not in known:
        near = get_close_matches(name, known, n=1) or list(known)[-1:]
        msg = f"no run {name!r} in this project: " + (f"did you mean {near[0]}?" if near else "it has none yet")
        raise RunError(msg)
    return known[name]
