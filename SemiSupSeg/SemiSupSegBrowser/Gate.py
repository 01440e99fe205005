"""Gate: who may talk to the server. Only this computer, only with the token, and only pages of the server itself."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import web

__all__ = ["HOST", "Gate"]

HOST = "127.0.0.1"
PAGES = Path(__file__).resolve().parents[1] / "Resources" / "Browser"
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' ws://{host} blob: data:; "
    "worker-src 'self' blob:; frame-ancestors 'none'; base-uri 'self'; form-action 'self'"
)
"""The browser itself refuses any other host: nothing of a page, a font or an icon can come from outside."""


class Gate:
    """Middleware of the web server.

    The token stands in the address that is opened first. It is then kept as a cookie that no script reads, and leaves
    the address, so that it is not in a history, a bookmark or a picture of the screen.

    Args:
        port: at which the server listens; 0 until it is known.
        token: a new random one when None.
    """

    def __init__(self, port: int = 0, token: str | None = None) -> None:
        self.port = port
        self.token = token or secrets.token_urlsafe(24)

    @property
    def address(self) -> str:
        """What a person opens."""
        return f"http://{HOST}:{self.port}/?token={self.token}"

    def middleware(self) -> Any:
        """For the list of an aiohttp application."""

        @web.middleware
        async def guarded(request: web.Request, handler: Callable[..., Awaitable[Any]]) -> Any:
            refusal = self.refusal(request)
            if refusal is not None:
                return _page(refusal)
            if "token" in request.query:  # into the cookie, out of the address
                inside = web.HTTPFound("/")
                inside.set_cookie(self._cookie, self.token, httponly=True, samesite="Strict", path="/")
                raise inside
            answer = await handler(request)
            if not answer.prepared:  # a websocket is under way already
                answer.headers.update(self._headers())
            return answer

        return guarded

    def refusal(self, request: web.Request) -> str | None:
        """Why a request is turned away, in one sentence; None when it is not."""
        hosts = {f"{HOST}:{self.port}", f"localhost:{self.port}"}
        if request.headers.get("Host", "") not in hosts:  # a foreign name that was made to point here
            return "this server answers at its own address only"
        origin = request.headers.get("Origin")
        if origin is not None and origin not in {f"http://{host}" for host in hosts}:
            return "another page asked for this one"
        said = request.query.get("token") or request.cookies.get(self._cookie) or ""
        if not hmac.compare_digest(said.encode(), self.token.encode()):
            return "the address lacks its token, or the token is another one"
        return None

    @property
    def _cookie(self) -> str:
        return f"semisupseg_{self.port}"  # cookies do not know ports: two servers must not take each other's

    def _headers(self) -> dict[str, str]:
        return {
            "Content-Security-Policy": POLICY.format(host=f"{HOST}:{self.port} ws://localhost:{self.port}"),
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "no-store",
        }


def _page(why: str) -> web.Response:
    text = (PAGES / "refused.html").read_text(encoding="utf-8").replace("{why}", why)
    return web.Response(status=403, text=text, content_type="text/html")
