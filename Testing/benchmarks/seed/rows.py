"""Row: what one line of a table trains, as it is typed."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass

from partial_labels import semisupseg

ALIASES = {"supervised": "smile", "pretrained": "smile"}
"""The supervised network is SMILE where every case has all of its labels or none."""


@dataclass(frozen=True)
class Row:
    """``METHOD[+NOTE][@BACKBONE][:OPTION=VALUE...]``, such as ``auto@dynunet`` or ``sassnet:paper=true``.

    A note tells two rows of one method apart.
    """

    said: str
    method: str
    backbone: str | None
    options: tuple[str, ...]

    @classmethod
    def parse(cls, said: str) -> Row:
        """Take a row apart.

        Raises:
            ValueError: a part of it is empty, or an option has no value.
        """
        what, *options = said.split(":")
        method, at, backbone = what.partition("@")
        method = method.partition("+")[0]
        if not method or (at and not backbone) or not all("=" in option for option in options):
            raise ValueError(f"{said!r} is not METHOD[+NOTE][@BACKBONE][:OPTION=VALUE...]")
        return cls(said, ALIASES.get(method, method), backbone or None, tuple(options))

    def words(self, backbone: str | None) -> list[object]:
        """What ``train`` is told, with the table's backbone where the row has none of its own."""
        chosen = self.backbone or backbone
        found: list[object] = ["--method", self.method, *(["--backbone", chosen] if chosen else [])]
        for option in self.options:
            found += ["--option", option]
        return found


def read_rows(said: list[str], there: set[str]) -> list[Row]:
    """The rows whose methods exist; a sentence is printed for each that does not. Ends the program when none does."""
    found = []
    for words in said:
        try:
            row = Row.parse(words)
        except ValueError as error:
            sys.exit(str(error))
        if row.method in there:
            found.append(row)
        else:
            print(f"left out: there is no method {row.method!r} in this version", file=sys.stderr)
    if not found:
        sys.exit("nothing to make: no row names a method of this version")
    return found


def methods_there() -> set[str]:
    """Names of all methods, as ``semisupseg methods`` lists them."""
    return {method["name"] for method in json.loads(semisupseg("methods", "--json"))}
