"""Server: the app behind its gate, on this computer only."""

from __future__ import annotations

import socket
import sys
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trame.app import get_server
from trame_server.utils.asynchronous import create_task

from SemiSupSegLib.session import Session

from .App import App
from .Gate import HOST, Gate
from .Seat import Seat

__all__ = ["serve"]

PAGES = Path(__file__).resolve().parents[1] / "Resources" / "Browser"


def serve(
    project: Path | None,
    *,
    port: int = 0,
    openBrowser: bool = True,
    session: Session | None = None,
    tell: Callable[[str], None] = print,
) -> None:
    """Serve the app until it is interrupted.

    Args:
        project: folder of the project to open; None for none.
        port: 0 for a free one.
        openBrowser: open the person's browser at the address.
        session: one that reads and writes in the background; a new one when None.
        tell: says the address.

    Raises:
        ProjectError: the folder holds no project.
        OSError: the port is taken.
    """
    from trame_slicer import module

    sys.argv = sys.argv[:1]  # trame reads the command line by itself, where somebody could open another host
    gate = Gate(_free(port))
    server = get_server("semisupseg", client_type="vue3")
    server.enable_module(module)
    server.enable_module({"serve": {"semisupseg": str(PAGES)}, "scripts": ["semisupseg/page.js"],
                          "styles": ["semisupseg/page.css"]})  # fmt: skip
    session = session or Session(background=True)
    app = App(server, session)
    if project is not None:
        session.open(project)
    app.redraw()
    seat = Seat(lambda: _leave(server))

    def bind(web: Any) -> None:
        web.app.middlewares.extend([gate.middleware(), seat.middleware()])
        web.app.add_routes([*seat.routes(), *app.uploads.routes()])

    def ready(**_said: Any) -> None:
        create_task(app.watch.run())
        tell(f"SemiSupSeg is at  {gate.address}")
        if openBrowser:
            webbrowser.open(gate.address)

    server.controller.on_server_bind.add(bind)
    server.controller.on_server_ready.add(ready)
    server.controller.on_client_connected.add(lambda *_said, **_more: app.connected())
    try:
        server.start(port=gate.port, host=HOST, open_browser=False, show_connection_info=False, timeout=0)
    finally:
        app.close()


def _free(port: int) -> int:
    with socket.socket() as probe:
        probe.bind((HOST, port))
        return int(probe.getsockname()[1])


async def _leave(server: Any) -> None:
    for handler in server._server._ws_handlers:
        for connection in list(handler.connections.values()):
            await connection.close()
