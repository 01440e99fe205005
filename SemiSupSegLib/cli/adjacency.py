"""The verb adjacency: which labels may touch, as counted and as the user says; a table, a picture, rules."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ..project.adjacency import Adjacency, Relation, adjacency
from ..project.adjacency_rules import REACHES, AdjacencyRules, change_rules
from ..project.project import Project
from .arguments import UsageError, Verb, add_json, add_project, add_who, open_project
from .output import Progress, print_json, table

__all__ = ["VERBS"]

WIDEST = 10
"""With more labels than this, pairs are listed instead of a matrix."""
LONGEST = 40
"""Pairs of one kind that are listed; all are in the picture, and in --json."""
RAREST = 10
"""Pairs with fewest contacts that are listed: what touches in a few voxels only may be a slip of the annotation."""
WORDS = {
    Relation.SELF: "",
    Relation.OVERLAP: "may overlap",
    Relation.NEVER: "never",
    Relation.OPEN: "?",
    Relation.ALLOWED: "allowed *",
    Relation.FORBIDDEN: "forbidden *",
}
LEGEND = (
    "number: voxel pairs in contact   never: does not touch in the annotated cases, so it is forbidden\n"
    "?: no case shows both, fully annotated; allowed   *: by the user"
)


def _configure(parser: argparse.ArgumentParser) -> None:
    add_project(parser, optional=True)
    parser.add_argument("--show", action="store_true", help="print the matrix, or for many labels a summary (default)")
    pair = {"metavar": ("A", "B"), "nargs": 2, "action": "append", "default": []}
    words = "these two labels may touch, whatever the cases show (repeatable); `background` is a label, too"
    parser.add_argument("--allow", help=words, **pair)  # type: ignore[arg-type]
    parser.add_argument("--forbid", help="these two labels must not touch (repeatable)", **pair)  # type: ignore[arg-type]
    words = "forget the rules that were given, before the new ones"
    parser.add_argument("--reset", action="store_true", help=words)
    words = "labels of an annotated case that are this many voxels apart count as touching: 1, or 2 for few cases"
    parser.add_argument("--reach", metavar="N", type=int, choices=REACHES, help=words)
    parser.add_argument("--picture", metavar="FILE.png", type=Path, help="write the matrix as a picture")
    add_json(parser)
    add_who(parser)


def _adjacency(args: argparse.Namespace) -> int:
    if args.picture is not None and args.picture.suffix.lower() != ".png":
        msg = f"--picture: expected a file that ends in .png, found {args.picture}"
        raise UsageError(msg)
    project = open_project(args)
    changes = bool(args.allow or args.forbid or args.reset or args.reach is not None)
    if changes:
        rules = change_rules(
            project, allow=args.allow, forbid=args.forbid, reach=args.reach, reset=args.reset, who=args.who
        )
    graph = adjacency(project, on_case=Progress("counting contacts:"))
    for case_id, reason in graph.unread.items():
        print(f"left out {case_id}: {reason}", file=sys.stderr)
    if args.picture is not None:
        from .adjacency_picture import write_matrix

        write_matrix(graph, args.picture)
    if args.json:
        print_json(graph.to_json())
        return 0
    if changes:
        _say_rules(rules)
        _warn(graph, args.forbid)
    if args.picture is not None:
        print(f"the matrix of {project.name} is in {args.picture}")
    if args.show or not (changes or args.picture):
        print("\n".join(_shown(project, graph)))
    return 0


def _say_rules(rules: AdjacencyRules) -> None:
    for word, pairs in (("may touch", rules.allow), ("must not touch", rules.forbid)):
        for pair in sorted(sorted(pair) for pair in pairs):
            print(f"rule: {pair[0]} and {pair[1]} {word}")
    if not rules.allow | rules.forbid:
        print("rules: none; the annotated cases decide")
    if rules.reach > 1:
        print(f"labels count as touching {rules.reach} voxels apart")


def _warn(graph: Adjacency, forbidden: Sequence[Sequence[str]]) -> None:
    from ..project.contacts import node

    for pair in forbidden:
        a, b = (node(graph.label_set, name) for name in pair)
        if graph.counts[a, b]:
            names = f"{graph.names[a]} and {graph.names[b]}"
            found = f"{graph.counts[a, b]} contacts"
            print(f"note: {names} touch in the annotated cases ({found}): the rule contradicts them", file=sys.stderr)


def _shown(project: Project, graph: Adjacency) -> list[str]:
    if not len(graph.label_set):
        return [f"project {project.name} has no labels yet"]
    n = len(graph.cases)
    counted = f"counted from {n} annotated case{'' if n == 1 else 's'}" if n else "no annotated case to count from"
    lines = [f"adjacency of {project.name}: {counted}; reach {graph.rules.reach}", ""]
    body = _matrix(graph) if len(graph.label_set) <= WIDEST else _summary(graph)
    pairs = len(graph.forbidden_pairs())
    return [*lines, *body, "", f"{pairs} pair{'' if pairs == 1 else 's'} of labels must not touch"]


def _matrix(graph: Adjacency) -> list[str]:
    """The lower triangle: each pair once."""
    names = graph.names
    rows = [(names[a], *(_cell(graph, a, b) for b in range(a))) for a in range(1, len(names))]
    return [table(rows, ("", *names[:-1])), "", LEGEND]


def _cell(graph: Adjacency, a: int, b: int) -> str:
    relation = graph.relation(a, b)
    return str(graph.counts[a, b]) if relation is Relation.TOUCH else WORDS[relation]


def _summary(graph: Adjacency) -> list[str]:
    pairs: dict[Relation, list[tuple[int, int]]] = {relation: [] for relation in Relation}
    for a in range(1, len(graph.names)):
        for b in range(1, a):
            pairs[graph.relation(a, b)].append((b, a))
    for b in range(1, len(graph.names)):  # of the background only what somebody said
        if graph.relation(0, b) in (Relation.ALLOWED, Relation.FORBIDDEN):
            pairs[graph.relation(0, b)].append((0, b))
    meaning = {
        Relation.TOUCH: "touch in the annotated cases",
        Relation.NEVER: "never do: forbidden",
        Relation.OPEN: "no case shows both, fully annotated: allowed",
        Relation.OVERLAP: "may overlap",
        Relation.ALLOWED: "allowed by the user",
        Relation.FORBIDDEN: "forbidden by the user",
    }
    rows = [(len(pairs[relation]), words) for relation, words in meaning.items() if pairs[relation]]
    lines = [f"{len(graph.label_set)} labels", table(rows, ("pairs", ""))]
    rarest = sorted(pairs[Relation.TOUCH], key=lambda pair: graph.counts[pair])[:RAREST]
    for title, listed in (
        ("forbidden by the user", pairs[Relation.FORBIDDEN]),
        ("allowed by the user", pairs[Relation.ALLOWED]),
        ("touching with fewest contacts", rarest),
    ):
        if listed:
            cells = [(graph.names[a], graph.names[b], int(graph.counts[a, b])) for a, b in listed[:LONGEST]]
            lines += ["", f"{title}:", table(cells, ("", "", "contacts"))]
    never = pairs[Relation.NEVER]
    if never and len(never) <= LONGEST:
        names = [(graph.names[a], graph.names[b]) for a, b in never]
        lines += ["", "never touching:", table(names)]
    elif never:
        lines += ["", f"never touching: {len(never)} pairs, see --picture or --json"]
    return lines


VERBS = (
    Verb(
        "adjacency",
        "Show which labels touch in the annotated cases, and say which may and which must not",
        ("semisupseg adjacency liver_study",
         "semisupseg adjacency liver_study --forbid spleen 'right kidney' --allow liver spleen --show",
         "semisupseg adjacency liver_study --reach 2",
         "semisupseg adjacency liver_study --picture adjacency.png",
         "semisupseg adjacency liver_study --reset"),
        _configure,
        _adjacency,
    ),
)  # fmt: skip
