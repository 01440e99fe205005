"""Watch: looks at the session again and again, stores strokes, and keeps the page in step."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from typing import Any

from SemiSupSegLib.errors import SemiSupSegError

__all__ = ["Watch"]

LOOK_SECONDS = 0.25
SOON_SECONDS = 0.02
"""While something is read or written: what came of it is shown as soon as it is there."""
SHOWN_SECONDS = 0.3
"""What is stored sooner is not shown: buttons that turn grey for a blink help nobody, and cost a stroke its time."""
INFO_SECONDS = 8.0
RESET_SECONDS = (1.5, 3.0)
"""After so long the views of a new page have their size."""
_LOG = logging.getLogger(__name__)


class Watch:
    """The timer of the page.

    Args:
        app: the :class:`~.App.App`.
    """

    def __init__(self, app: Any) -> None:
        self._app = app
        self.changed = True
        """Whether the page shows something otherwise than it is."""
        self._drawnAt = self._infoUntil = self._workedAt = 0.0
        self._resetsAt: list[float] = []
        self._working, self._busyShown = asyncio.Event(), False

    # What it is told -------------------------------------------------------------------------------------------------

    def hear(self, signal: str) -> None:
        """A signal of the session came."""
        if signal != "work_changed":
            self.changed = True
            return
        self._working.set()
        self._workedAt = time.monotonic()
        self.changed = self.changed or self._busyShown

    def drawn(self) -> None:
        """The page shows all now."""
        self.changed, self._drawnAt = False, time.monotonic()
        self._busyShown = self._app.session.busy is not None

    def told(self) -> None:
        """A sentence is in the banner."""
        self._infoUntil = time.monotonic() + INFO_SECONDS

    def pageCame(self) -> None:
        """A page is there, or has another layout: its views have their size in a moment."""
        self._resetsAt = [time.monotonic() + seconds for seconds in RESET_SECONDS]

    # What it does ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Look until the server ends."""
        while True:
            await self._rest()
            try:
                with self._app.server.state:
                    self._look()
            except Exception:  # whatever it is, the next look must come
                _LOG.exception("looking failed")

    async def _rest(self) -> None:
        """Wait until the next look is due; what begins to be read or written ends the wait."""
        seconds = LOOK_SECONDS if self._app.session.busy is None else SOON_SECONDS
        self._working.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._working.wait(), seconds)
            await asyncio.sleep(SOON_SECONDS)

    def _look(self) -> None:
        app = self._app
        try:
            app.annotate.store()
        except (SemiSupSegError, OSError) as error:
            app.tell(str(error), "error")
        app.session.poll()
        app.views.turns.look()
        if app.views.turns.held:
            return  # the stroke first: the rest of the page can wait for it
        now = time.monotonic()
        self._keepTime(now)
        late = app.session.busy is not None and not self._busyShown and now - self._workedAt >= SHOWN_SECONDS
        if self.changed or late:
            app.redraw()
        elif now - self._drawnAt >= LOOK_SECONDS:
            self._drawnAt = now
            app.strip.redraw()  # the person scrolls in the views, of which the session knows nothing

    def _keepTime(self, now: float) -> None:
        if self._resetsAt and now >= self._resetsAt[0]:
            self._resetsAt.pop(0)
            self._app.views.reset()
        banner = self._app.banner
        if now >= self._infoUntil and banner.level == "info" and banner.text:
            banner.close()
