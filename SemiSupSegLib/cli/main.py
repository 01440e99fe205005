"""``semisupseg VERB ...``: finds the verb, runs it, and turns what goes wrong into one sentence and an exit code.

Exit codes: 0 done; 1 it could not be done (one sentence on standard error); 2 the command line is not right; 130
interrupted. A bug of ours keeps its traceback.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches

from .. import __version__
from ..errors import SemiSupSegError
from .arguments import UsageError, Verb, parser_of
from .output import table, use_a_full_alphabet

__all__ = ["VERB_MODULES", "main", "verb_named"]

VERB_MODULES: dict[str, str] = {
    "init": "projects",
    "import": "projects",
    "add": "projects",
    "annotate": "projects",
    "holdout": "projects",
    "adjacency": "adjacency",
    "status": "status",
    "train": "training",
    "train-run": "training",
    "stop": "stopping",
    "resume": "training",
    "predict": "prediction",
    "review": "review",
    "accept": "review",
    "reject": "review",
    "flag": "review",
    "undo": "review",
    "relabel": "models",
    "rollback": "models",
    "evaluate": "prediction",
    "methods": "methods",
    "demo": "demo",
    "app": "app",
}
"""File of each verb, in the order of work. Only the file of the verb that runs is imported, and no file imports torch
outside of ``run``: what needs no network answers at once."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line.

    Args:
        argv: the words after the program's name; those of this process when None.

    Returns:
        The exit code.
    """
    use_a_full_alphabet()
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        code = _dispatch(words)
        sys.stdout.flush()  # a closed pipe shows here, not while the interpreter shuts down
    except SemiSupSegError as error:
        print(f"semisupseg {words[0]}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `semisupseg status PROJECT | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(overview())
        return 0 if words else 2
    if words[0] == "--version":
        print(f"semisupseg {__version__}")
        return 0
    name, *rest = words
    if name not in VERB_MODULES:
        near = get_close_matches(name, VERB_MODULES, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        print(f"semisupseg: there is no verb {name!r}: {hint}`semisupseg --help` lists them", file=sys.stderr)
        return 2
    parser = parser_of(verb := verb_named(name))
    try:
        args = parser.parse_intermixed_args(rest)
        try:
            return verb.run(args)
        except UsageError as error:
            parser.error(str(error))
    except SystemExit as end:  # argparse: 0 after --help, 2 after a mistake, which it has explained
        return int(end.code or 0)


def verb_named(name: str) -> Verb:
    """The verb of that name; its file is imported now."""
    module = importlib.import_module(f".{VERB_MODULES[name]}", __package__)
    verbs: tuple[Verb, ...] = module.VERBS
    return next(verb for verb in verbs if verb.name == name)


def overview() -> str:
    """What ``semisupseg --help`` prints: every verb with its summary."""
    rows = [(f"  {name}", verb_named(name).summary) for name in VERB_MODULES]
    return "\n".join((
        "usage: semisupseg VERB ...   (semisupseg VERB --help: all about one verb, with examples)",
        "",
        "Segment CT and MR volumes from partial annotations: train, see what is proposed and how sure it is,",
        "accept some of it, train again.",
        "",
        table(rows),
    ))
