"""Seat: one person at a time. A second tab is told so, and may take the first one's place."""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import web

__all__ = ["Seat"]

RESERVED_SECONDS = 10.0
"""Between a ticket and the connection of its page nobody else gets one."""
PAGES = Path(__file__).resolve().parents[1] / "Resources" / "Browser"


class Seat:
    """Gives a ticket for the app's page to one tab at a time.

    A tab that is loaded again has closed its connection before it asks; so it gets its seat back.

    Args:
        leave: closes the connection of whoever sits there; awaited.
    """

    def __init__(self, leave: Callable[[], Awaitable[None]]) -> None:
        self._leave = leave
        self._tickets: set[str] = set()
        self._holder: str | None = None
        self._until = 0.0
        self.taken = False
        """Whether a page is connected."""

    def routes(self) -> list[Any]:
        """For an aiohttp application."""
        return [
            web.get("/", self._door),
            web.get("/index.html", self._app),
            web.post("/seat", self._ask),
            web.get("/seat", self._alive),
        ]

    def middleware(self) -> Any:
        """Refuses a second connection, whatever page it comes from."""

        @web.middleware
        async def single(request: web.Request, handler: Callable[..., Awaitable[Any]]) -> Any:
            if request.path != "/ws":
                return await handler(request)
            if self.taken:
                return web.Response(status=409, text="the app is open in another tab")
            self.taken, self._until = True, 0.0
            try:
                return await handler(request)
            finally:
                self.taken = False

        return single

    async def _door(self, _request: web.Request) -> web.FileResponse:
        return web.FileResponse(PAGES / "door.html")

    async def _ask(self, request: web.Request) -> web.Response:
        """A ticket, when the seat is free or the person wants it all the same."""
        if "take" in request.query:
            await self._leave()
            self.taken, self._until = False, 0.0
        if self.taken or time.monotonic() < self._until:
            return web.json_response({"free": False})
        self._holder = secrets.token_urlsafe(9)
        self._tickets, self._until = {self._holder}, time.monotonic() + RESERVED_SECONDS
        return web.json_response({"free": True, "ticket": self._holder})

    async def _alive(self, request: web.Request) -> web.Response:
        """Whether a page still has its seat."""
        return web.json_response({"mine": request.query.get("ticket") == self._holder})

    async def _app(self, request: web.Request) -> web.StreamResponse:
        ticket = request.query.get("ticket", "")
        if ticket not in self._tickets:
            raise web.HTTPFound(location="/")  # a page that is loaded again knocks first
        self._tickets.discard(ticket)
        from trame_client.module import vue3

        return web.FileResponse(Path(vue3.www) / "index.html")
