"""Which view is drawn first, while the hand is in one of them and after it."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from SemiSupSegBrowser.Turns import HELD_SECONDS, REST_SECONDS, InTurn, Turns


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def drawn(clock) -> tuple[Turns, list[str]]:
    """Turns, and the views that were drawn, in order."""
    return Turns(clock), []


def ask(turns: Turns, drawn: list[str], *views: str) -> None:
    for view in views:
        turns.ask(view, lambda view=view: drawn.append(view))


def test_at_rest_every_view_is_drawn_at_once(drawn) -> None:
    turns, seen = drawn
    ask(turns, seen, "axial", "coronal")
    assert seen == ["axial", "coronal"]


def test_under_a_stroke_only_its_own_view_is_drawn_and_the_others_once_after_it(drawn, clock) -> None:
    turns, seen = drawn
    turns.touch("axial", held=True)
    for _move in range(3):
        ask(turns, seen, "coronal", "axial", "sagittal")
    clock.now += 2
    turns.look()
    assert seen == ["axial"] * 3
    assert turns.held
    turns.touch("axial", held=False)
    turns.look()
    assert seen == ["axial"] * 3
    clock.now += REST_SECONDS
    turns.look()
    assert seen == ["axial"] * 3 + ["coronal", "sagittal"]
    turns.look()
    assert len(seen) == 5


def test_a_button_that_was_let_go_outside_of_the_window_does_not_keep_the_page_waiting(drawn, clock) -> None:
    turns, seen = drawn
    turns.touch("axial", held=True)
    ask(turns, seen, "coronal")
    clock.now += HELD_SECONDS
    turns.look()
    assert not turns.held
    assert seen == ["coronal"]


def test_what_the_hand_does_in_one_moment_is_drawn_once(drawn, monkeypatch) -> None:
    turns, seen = drawn
    monkeypatch.setattr("SemiSupSegBrowser.Turns.GATHERING_SECONDS", 0)
    view = InTurn(turns, "axial", lambda: seen.append("axial"))

    async def press_and_move() -> None:
        for _event in range(3):
            view.schedule_render()
        assert seen == []
        while not seen:
            await asyncio.sleep(0)
        view.schedule_render()
        while len(seen) < 2:
            await asyncio.sleep(0)

    with ThreadPoolExecutor(1) as server:  # the browser's driver has a loop in this thread
        server.submit(lambda: asyncio.run(asyncio.wait_for(press_and_move(), 60))).result()
        assert seen == ["axial", "axial"]
        server.submit(view.schedule_render).result()  # before the server's loop runs nothing is gathered
    assert len(seen) == 3
