"""The app in a real browser: headless Chromium."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]

for folder in (REPOSITORY / "SemiSupSeg", HERE):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

from app_server import ARGUMENTS, CHROMIUM, PATIENCE, PICTURES, Server  # noqa: E402  beside this file
from small_project import make_project  # noqa: E402


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Starts the app: ``serve(project)``."""
    servers: list[Server] = []

    def begin(project: Any = "") -> Server:
        servers.append(Server(str(project)))
        return servers[-1]

    yield begin
    for server in servers:
        server.end()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium) -> Iterator[Callable[..., Any]]:
    """Opens an address as a person does: ``open_page(address)``. Errors on the page's console fail the test."""
    from tab import Tab

    screens: list[Any] = []

    def begin(address: str, *, context: Any = None) -> Any:
        context = context or chromium.new_context(viewport={"width": 1500, "height": 940}, accept_downloads=False)
        screens.append(Tab(context.new_page(), address, PICTURES, PATIENCE))
        return screens[-1]

    yield begin
    told = [error for screen in screens for error in screen.errors]
    outside = [url for screen in screens for url in screen.outside]
    for screen in screens:
        screen.page.context.close()
    assert told == []
    assert outside == [], "a page asked another host"


@pytest.fixture
def a_project(tmp_path: Path) -> Any:
    """Three small cases; one has two organs, nothing is known of the others."""
    return make_project(tmp_path / "study")


@pytest.fixture
def until() -> Callable[..., None]:
    """Waits for something that a real process does: ``until(lambda: ...)``."""

    def wait(done: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not done():
            assert time.monotonic() < deadline
            time.sleep(0.1)

    return wait
