"""Turns: the view that the hand is in is drawn first, the others when the hand rests. One processor draws them all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from trame_slicer.views import ScheduledRenderStrategy

__all__ = ["InTurn", "Turns"]

REST_SECONDS = 0.2
"""The hand rests when it did nothing for so long."""
HELD_SECONDS = 10.0
"""A button that was let go outside of the window is taken for one that is held no longer than this."""
MOVED = ("MouseMoveEvent", "MouseWheelForwardEvent", "MouseWheelBackwardEvent")
PRESSED = ("LeftButtonPressEvent", "MiddleButtonPressEvent", "RightButtonPressEvent")
RELEASED = ("LeftButtonReleaseEvent", "MiddleButtonReleaseEvent", "RightButtonReleaseEvent")
GATHERING_SECONDS = 0.008
"""Before a picture is drawn: what the hand did since is on the way already, and is drawn with it."""
BEFORE_THE_STYLE = 10.0
"""Priority of an observer: what the event does to the scene asks for pictures already."""


class Turns:
    """Of the views of one page.

    Args:
        now: seconds, growing.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._first: Any = None
        self._at, self._held = -HELD_SECONDS, False
        self._waiting: dict[Any, Callable[[], None]] = {}

    @property
    def held(self) -> bool:
        """Whether a button of the mouse is held down in a view."""
        return self._held and self._now() - self._at < HELD_SECONDS

    @property
    def resting(self) -> bool:
        """Whether nothing happened in any view for a moment."""
        return not self.held and self._now() - self._at >= REST_SECONDS

    def watch(self, key: Any, interactor: Any) -> None:
        """Notice what the hand does in a view."""
        for names, held in ((MOVED, None), (PRESSED, True), (RELEASED, False)):
            for name in names:
                interactor.AddObserver(name, lambda *_said, held=held: self.touch(key, held), BEFORE_THE_STYLE)

    def touch(self, key: Any, held: bool | None = None) -> None:
        """The hand does something in a view.

        Args:
            key: of the view.
            held: whether a button is held from now on; None leaves it as it is.
        """
        self._first, self._at = key, self._now()
        self._held = self._held if held is None else held

    def ask(self, key: Any, draw: Callable[[], None]) -> None:
        """Draw a view now, or when it is its turn."""
        if self.resting or key == self._first:
            self._waiting.pop(key, None)
            draw()
        else:
            self._waiting[key] = draw

    def look(self) -> None:
        """Draw what waits, when the hand rests."""
        if self._waiting and self.resting:
            waiting, self._waiting = self._waiting, {}
            for draw in waiting.values():
                draw()


class InTurn(ScheduledRenderStrategy):
    """How a view asks for its picture.

    Args:
        turns: of all views.
        key: of this one.
        draw: gets it drawn and sent soon.
    """

    def __init__(self, turns: Turns, key: Any, draw: Callable[[], None]) -> None:
        super().__init__()
        self._turns, self._key, self._draw = turns, key, draw
        self._gathering = False

    def schedule_render(self) -> None:
        """See the base class."""
        super().schedule_render()
        if self._gathering:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # the server does not run yet
            self._ask()
            return
        self._gathering = True
        loop.call_later(GATHERING_SECONDS, self._ask)

    def _ask(self) -> None:
        self._gathering = False
        self._turns.ask(self._key, self._draw)
