"""Laterality: which label is which one's counterpart on the other side of the body."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["counterparts"]

SIDES = {"left": "right", "right": "left"}
SHORT = {"l": "r", "r": "l", "lh": "rh", "rh": "lh"}
"""Sides only where the other one is there, too: the L of a vertebra is none."""


def counterparts(names: Sequence[str]) -> tuple[int | None, ...]:
    """What each label is called when left and right change places.

    Args:
        names: of the labels; a side is a word of its own, such as in ``Left Hippocampus``, ``kidney_right`` or
            ``ctx-lh-insula``.

    Returns:
        The number of each label's counterpart: its own for a label without a side, None for one whose other side has no
        label. Who is whose counterpart is mutual.
    """
    words = [tuple(re.findall(r"[^\W_]+", name.casefold())) for name in names]
    places = {each: n for n, each in enumerate(words)}
    return tuple(_other_side(n, each, places) for n, each in enumerate(words))


def _other_side(own: int, words: tuple[str, ...], places: dict[tuple[str, ...], int]) -> int | None:
    for sides in ({**SIDES, **SHORT}, SIDES):
        other = tuple(sides.get(word, word) for word in words)
        if other == words:
            return own
        if other in places:
            return places[other]
    return None if set(words) & set(SIDES) else own
