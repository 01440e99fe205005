"""The verb methods: what there is to train with, and what each option of a method means."""

from __future__ import annotations

import argparse
import ast
import inspect
import textwrap
from dataclasses import MISSING, Field, fields
from typing import TYPE_CHECKING, Any

from .arguments import Verb, add_json
from .output import print_json, table

if TYPE_CHECKING:
    from ..methods.base import Method

__all__ = ["VERBS"]

WIDTH = 100
"""Characters of a line of explanation."""


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="METHOD", help="explain this one and its options")
    add_json(parser)


def _run(args: argparse.Namespace) -> int:
    from ..methods import METHODS
    from ..methods.base import method_named

    chosen = METHODS if args.name is None else {args.name: method_named(args.name)}
    found = [_described(name, method) for name, method in sorted(chosen.items())]
    if args.json:
        print_json(found)
    elif args.name is None:
        print(table([(one["name"], one["summary"]) for one in found], ("method", "what it does")))
        print("\nnext: semisupseg methods METHOD explains one with its options")
    else:
        print(_explained(found[0], method_named(args.name)))
    return 0


def _described(name: str, method: type[Method]) -> dict[str, Any]:
    texts = _option_texts(method.Config)
    return {
        "name": name,
        "summary": method.summary,
        "options": [{**_option(f), "text": texts.get(f.name, "")} for f in fields(method.Config)],
    }


def _explained(described: dict[str, Any], method: type[Method]) -> str:
    module = inspect.getmodule(method)
    lines = [f"{described['name']}: {described['summary']}", "", (module.__doc__ or "").strip() if module else "", ""]
    for option in described["options"]:
        lines += [f"--option {option['name']}={_spelled(option['default'])}", textwrap.indent(_wrapped(option), "    ")]
    return "\n".join(lines)


def _wrapped(option: dict[str, Any]) -> str:
    return textwrap.fill(option["text"].replace("``", ""), WIDTH)


def _spelled(default: object) -> str:
    """A default as ``--option`` takes it."""
    words = {True: "true", False: "false", None: "null"}
    if isinstance(default, bool) or default is None:
        return words[default]
    return f"{default:.4g}" if isinstance(default, float) else str(default)


def _option(field: Field[Any]) -> dict[str, Any]:
    default = field.default
    if default is MISSING:
        default = field.default_factory() if field.default_factory is not MISSING else None
    return {"name": field.name, "type": str(field.type), "default": default}


def _option_texts(config: type) -> dict[str, str]:
    """The string below each field of a dataclass and of those it inherits from, by the field's name."""
    texts: dict[str, str] = {}
    for cls in reversed([c for c in config.__mro__ if c is not object]):
        (body,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
        assert isinstance(body, ast.ClassDef)
        for field, below in zip(body.body, body.body[1:], strict=False):
            is_text = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and is_text:
                texts[field.target.id] = " ".join(str(below.value.value).split())  # type: ignore[attr-defined]
    return texts


VERBS = (
    Verb(
        "methods",
        "List the methods, or explain one with its options",
        ("semisupseg methods", "semisupseg methods sassnet", "semisupseg methods --json"),
        _configure,
        _run,
    ),
)
