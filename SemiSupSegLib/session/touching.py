"""Touching: which organs may touch each other, as the annotated cases show it and as the person says."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING

from .core import require
from .rows import ContactRow
from .stored import Stored
from .task import Thread
from .words import counted

if TYPE_CHECKING:
    from ..project.adjacency import Adjacency

__all__ = ["CONTACT_LEGEND", "CONTACT_SIGNS", "RULES", "Touching"]

RULES = ("learned", "forbid", "allow")
"""What a person says of a pair: nothing, so that the annotated cases decide; they never touch; they may."""
CONTACT_LEGEND = (
    "A click on a pair: must not touch, may touch, and what the cases show again. A proposal that breaks it is marked."
)
CONTACT_SIGNS = {"never": "✗", "forbidden": "✗ ●", "allowed": "✓ ●", "touch": "✓", "open": "?", "overlap": "✓"}
"""By relation; ● is the person's own rule."""
_WORDS = {
    "overlap": "may overlap",
    "touch": "touch in the annotated cases",
    "never": "never touch in the annotated cases",
    "open": "no case shows both, fully annotated",
    "allowed": "may touch: you said so",
    "forbidden": "must not touch: you said so",
}
_ORDER = ("forbidden", "allowed", "never", "touch", "open", "overlap")


class Touching(Stored):
    """Commands and rules of the adjacency table. Contacts are counted in a thread, and kept in the cache."""

    _graph: Adjacency | None = None
    _counting: Thread | None = None

    @property
    def may_count_contacts(self) -> str | None:
        """Why there are no pairs to show; None when there are."""
        if self._project is None:
            return "Adjacency rules: open or create a project first"
        return None if len(self._project.label_set) > 1 else "Adjacency rules: the project has fewer than two organs"

    def count_contacts(self) -> None:
        """Count which organs touch; ``contacts_changed`` says when it is done.

        Raises:
            ProjectError: :attr:`may_count_contacts` gives a reason.
        """
        require(self.may_count_contacts)
        root = self._opened().root

        def work(_tell: object) -> Adjacency:
            """Count in a project of the thread's own."""
            from ..project.adjacency import adjacency
            from ..project.project import Project

            return adjacency(Project.open(root))

        self._counting = Thread("contacts", "counting which organs touch", work)
        if not self.threads:
            self._counting.wait(3600)
            self._poll_contacts()

    @property
    def counting_contacts(self) -> bool:
        """Whether they are being counted."""
        return self._counting is not None

    def contact_rows(self) -> list[ContactRow]:
        """Every two organs, the person's rules first; empty until they were counted once, and without a project."""
        graph = self._graph
        if graph is None or self._project is None or graph.label_set != self._project.label_set:
            return []
        rows = []
        for a, b in combinations(range(1, len(graph.names)), 2):
            relation = str(graph.relation(a, b))
            said = {"allowed": "allow", "forbidden": "forbid"}.get(relation, "learned")
            rows.append(
                ContactRow(graph.names[a], graph.names[b], relation, said, _WORDS[relation], int(graph.counts[a, b]))
            )
        return sorted(rows, key=lambda row: (_ORDER.index(row.relation), row.contacts))

    @property
    def contacts_words(self) -> str:
        """From how many cases was counted, and which could not be read."""
        if self._counting is not None:
            return "counting which organs touch …"
        if self._graph is None:
            return ""
        number = len(self._graph.cases)
        said = f"counted from {counted(number, 'annotated case')}" if number else "no annotated case to count from yet"
        return said + (f"; not read: {', '.join(self._graph.unread)}" if self._graph.unread else "")

    def may_set_contact(self, first: str, second: str) -> str | None:
        """Why nothing can be said of two organs; None when it can."""
        if (reason := self._may_change("Adjacency rules")) is not None:
            return reason
        pair = frozenset((self._name(first), self._name(second)))
        if pair in self._opened().label_set.overlaps:
            return f"Adjacency rules: {first} and {second} may overlap in this project"
        return None

    def set_contact(self, first: str, second: str, said: str) -> None:
        """Say whether two organs may touch.

        Args:
            first: an organ.
            second: another.
            said: one of :data:`RULES`; ``learned`` takes back what was said.

        Raises:
            ProjectError: :meth:`may_set_contact` gives a reason, or it is none of the rules.
        """
        from ..project.adjacency_rules import change_rules, read_rules

        require(self.may_set_contact(first, second))
        require(None if said in RULES else f"Adjacency rules: expected {', '.join(RULES)}, found {said!r}")
        project, pair = self._opened(), frozenset((self._name(first), self._name(second)))
        before = read_rules(project)
        allow, forbid = before.allow - {pair}, before.forbid - {pair}
        allow |= {pair} if said == "allow" else set()
        forbid |= {pair} if said == "forbid" else set()
        pairs = [[(a, b) for a, b in map(sorted, those)] for those in (allow, forbid)]
        rules = change_rules(
            project, allow=pairs[0], forbid=pairs[1], reach=before.reach, reset=said == "learned", who=self.who
        )
        if self._graph is not None:
            self._graph = replace(self._graph, rules=rules)
        self.signals.tell(self.signals.contacts_changed)
        words = {"learned": "as the annotated cases show", "forbid": "must not touch", "allow": "may touch"}[said]
        self._say(f"{first} and {second}: {words}; the next training and prediction heed it")

    def next_contact(self, row: ContactRow) -> str:
        """What a click on a pair makes of it: learned, forbidden, allowed, and learned again."""
        return RULES[(RULES.index(row.said) + 1) % len(RULES)]

    def _poll_contacts(self) -> None:
        if self._counting is None or self._counting.active:
            return
        done, self._counting = self._counting, None
        if done.problem is None:
            self._graph = done.result
        else:
            self._say(f"Adjacency rules: {done.problem}", "error")
        self.signals.tell(self.signals.contacts_changed)

    def _forget_contacts(self) -> None:
        """Of the project that is closed."""
        self._graph = self._counting = None
