"""Orders: which slices are corrected first."""

from __future__ import annotations

import numpy as np

from SemiSupSegLib.project.slice_order import slice_order

from .cohort import Cohort, Slice

__all__ = ["ORDERS", "best", "random", "tool"]

AT_A_TIME = 5
"""Slices that are corrected of a proposal before the next one is opened."""


def tool(cohort: Cohort, seed: int) -> list[Slice]:  # noqa: ARG001  the tool knows no chance
    """As the review offers them: the proposal on top, its worst slices; then the next one, and so on round."""
    orders = {key: slice_order(p.errors_ml, p.finished, p.slice_mm) for key, p in cohort.proposals.items()}
    piles = [[(key, k) for k in order] for key, order in orders.items()]
    found: list[Slice] = []
    while any(piles):
        for pile in piles:
            found += pile[:AT_A_TIME]
            del pile[:AT_A_TIME]
    return found


def random(cohort: Cohort, seed: int) -> list[Slice]:
    """Slices that show a proposal, and those next to it, in any order."""
    found: list[Slice] = []
    for key, proposal in cohort.proposals.items():
        shown = np.flatnonzero(proposal.proposed.any(axis=(1, 2)))
        if len(shown):
            found += [(key, k) for k in range(max(shown[0] - 1, 0), min(shown[-1] + 2, len(proposal.proposed)))]
        else:
            found += [(key, k) for k in range(len(proposal.proposed))]
    np.random.default_rng(seed).shuffle(found)  # type: ignore[arg-type]
    return [(key, int(k)) for key, k in found]


def best(cohort: Cohort, seed: int) -> list[Slice]:  # noqa: ARG001
    """The most wrong voxels first, which only who knows the truth can do."""
    found = [(int(n), key, k) for key, p in cohort.proposals.items() for k, n in enumerate(p.wrong) if n]
    return [(key, k) for _, key, k in sorted(found, key=lambda each: -each[0])]


ORDERS = {"tool": tool, "random": random, "best": best}
