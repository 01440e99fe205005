"""Colours: of organs, as the page writes them."""

from __future__ import annotations

__all__ = ["css"]


def css(colour: tuple[int, int, int]) -> str:
    """``#rrggbb`` of red, green and blue in 0 to 255."""
    return "#{:02x}{:02x}{:02x}".format(*colour)
