"""Verbs of the review: review, accept, reject, flag, undo."""

from __future__ import annotations

import argparse

from ..project.proposals import Candidate, accept, candidates, flag, reject
from ..project.transactions import undo
from .arguments import Verb, add_json, add_project, add_who, index_range, open_project, share
from .output import print_json, table

__all__ = ["VERBS"]

HEADER = ("rank", "case", "label", "uncertainty", "ml", "parts", "slice", "decision", "reason")


def _configure_review(parser: argparse.ArgumentParser) -> None:
    add_project(parser)
    parser.add_argument("--case", metavar="ID", help="only this case")
    parser.add_argument("--most", metavar="N", type=int, help="only the N that need a look most")
    add_json(parser)


def _review(args: argparse.Namespace) -> int:
    project = open_project(args)
    if args.case is not None:
        project.case(args.case)  # a wrong id is an error, not an empty list
    ranked = [(rank, c) for rank, c in enumerate(candidates(project), start=1) if args.case in (None, c.case)]
    ranked = ranked[: args.most]
    if args.json:
        print_json({"candidates": [{"rank": rank, **vars(candidate)} for rank, candidate in ranked]})
        return 0
    if not ranked:
        print("nothing to review: `semisupseg predict` proposes labels for what is not annotated")
        return 0
    print(table([_row(rank, candidate) for rank, candidate in ranked], HEADER))
    first = next((c for _, c in ranked if c.waits), None)
    if first is not None:
        print(f"\nnext: semisupseg accept {args.project} {first.case} {quoted(first.label)}   (or reject, or flag)")
    return 0


def _row(rank: int, c: Candidate) -> tuple[object, ...]:
    numbers = (f"{c.uncertainty:.2f}", f"{c.volume_ml:.1f}", c.parts, c.worst_slice)
    return rank, c.case, c.label, *numbers, c.decision or "", c.reason


def _add_target(parser: argparse.ArgumentParser) -> None:
    add_project(parser, optional=True)
    parser.add_argument("case", metavar="CASE", help="id of the case")
    parser.add_argument("label", metavar="LABEL", help="name of the label")
    add_who(parser)


def _configure_accept(parser: argparse.ArgumentParser) -> None:
    _add_target(parser)
    part = parser.add_mutually_exclusive_group()
    words = "only voxels whose uncertainty is at most U, 0 to 1; the rest stays unknown"
    part.add_argument("--confident", metavar="U", type=share, help=words)
    words = "only slices along the third axis, from 0, both included"
    part.add_argument("--slices", metavar="FIRST:LAST", type=index_range, help=words)


def _accept(args: argparse.Namespace) -> int:
    project = open_project(args)
    case = accept(project, args.case, args.label, confident=args.confident, slices=args.slices, who=args.who)
    name = project.label_set.names[project.label_set.index(args.label)]
    said = case.annotation(name)
    print(f"accepted {said.accepted[-1].voxels} voxels: {name} is {said.state} in case {case.id}")
    return 0


def _reject(args: argparse.Namespace) -> int:
    case = reject(open_project(args), args.case, args.label, who=args.who)
    print(f"rejected: {args.label} stays as it was in case {case.id}; a later model may propose it again")
    return 0


def _flag(args: argparse.Namespace) -> int:
    case = flag(open_project(args), args.case, args.label, who=args.who)
    print(f"flagged: {args.label} in case {case.id} waits for a decision")
    return 0


def _configure_undo(parser: argparse.ArgumentParser) -> None:
    add_project(parser, optional=True)
    add_who(parser)


def _undo(args: argparse.Namespace) -> int:
    entry = undo(open_project(args), who=args.who)
    of = f" of {entry.label}" if entry.label else ""
    print(f"took back: {entry.detail['action']}{of} in case {entry.case}")
    return 0


def quoted(name: str) -> str:
    """A name as it is typed in a shell."""
    return f"'{name}'" if " " in name else name


VERBS = (
    Verb(
        "review",
        "List what the model proposes, what needs a look most first",
        ("semisupseg review liver_study", "semisupseg review liver_study --json --most 10"),
        _configure_review,
        _review,
    ),
    Verb(
        "accept",
        "Take over a proposal, or its confident part, or some slices",
        ("semisupseg accept liver_study scan_41 spleen",
         "semisupseg accept liver_study scan_41 liver --confident 0.2",
         "cd liver_study && semisupseg accept scan_42 liver --slices 40:60"),
        _configure_accept,
        _accept,
    ),
    Verb(
        "reject",
        "Turn down a proposal",
        ("semisupseg reject liver_study scan_41 'left kidney'",),
        _add_target,
        _reject,
    ),
    Verb(
        "flag",
        "Mark a proposal for somebody else to look at",
        ("semisupseg flag liver_study scan_41 liver --who reader_2",),
        _add_target,
        _flag,
    ),
    Verb(
        "undo",
        "Take back the last change: accept, reject, flag, annotate or hold-out",
        ("semisupseg undo liver_study",),
        _configure_undo,
        _undo,
    ),
)  # fmt: skip
