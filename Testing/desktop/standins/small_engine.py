"""The real engine on a small budget: 60 steps on a coarse grid, enough for proposals, not for good ones.

``python small_engine.py VERB ...``; every verb is the command line's own, ``train`` gets fewer and larger steps.
"""

from __future__ import annotations

import sys

SMALL = ("--iterations", "60", "--spacing", "8")


def main(*words: str) -> int:
    """Do what a verb says; returns the exit code."""
    from SemiSupSegLib.cli.main import main as real

    return real([*words, *(SMALL if words[:1] == ("train",) else ())])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
