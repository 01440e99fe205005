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


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Starts the app: ``serve(project)``."""
    servers: list[Server] = []

    def begin(*words: Any) -> Server:
        servers.append(Server(*map(str, words)))
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
    import numpy as np

    from SemiSupSegLib.project.annotation import Annotation, State
    from SemiSupSegLib.project.geometry import Grid, image_from_kji
    from SemiSupSegLib.project.labels import LabelSet
    from SemiSupSegLib.project.project import Project

    project = Project.create(tmp_path / "study", label_set=LabelSet.from_names(["liver", "spleen"]))
    grid = Grid((64, 56, 32), (4.0, 4.0, 5.0), (0.0, 0.0, 0.0))
    layers = np.zeros((1, *grid.shape), np.uint8)
    k, j, i = np.indices(grid.shape)
    layers[0][((k - 15) / 9) ** 2 + ((j - 26) / 13) ** 2 + ((i - 20) / 12) ** 2 < 1] = 1
    layers[0][((k - 16) / 6) ** 2 + ((j - 32) / 8) ** 2 + ((i - 46) / 7) ** 2 < 1] = 2
    complete = {"liver": Annotation(State.COMPLETE), "spleen": Annotation(State.COMPLETE)}
    body = ((j - 28) / 26) ** 2 + ((i - 32) / 30) ** 2 < 1
    for number, said in enumerate((complete, {}, {})):
        noise = np.random.default_rng(number).normal(0, 15, grid.shape)
        image = np.where(body, 40 + 60 * (layers[0] == 1) + 110 * (layers[0] == 2), -900) + noise
        project.add_case(
            f"patient_{number + 1}", image_from_kji(image.astype(np.int16), grid), labels=layers if said else None,
            annotations=said, modality="CT", who="ann",
        )  # fmt: skip
    return project


@pytest.fixture
def until() -> Callable[..., None]:
    """Waits for something that a real process does: ``until(lambda: ...)``."""

    def wait(done: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not done():
            assert time.monotonic() < deadline
            time.sleep(0.1)

    return wait
