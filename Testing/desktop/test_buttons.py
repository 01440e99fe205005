"""Every button of every part, in every state of the work: what may not be clicked says why, in words."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture
def a_state(a_session, open_panel, proposed, tmp_path) -> Callable[[str], Any]:
    """The screen in a state of the work: ``a_state("a case is open")``."""

    def run(*last: tuple[str, dict[str, Any]]) -> Any:
        import os

        from SemiSupSegLib.config import Config, TrainConfig
        from SemiSupSegLib.jobs.process_tree import ProcessIdentity
        from SemiSupSegLib.jobs.run import Run

        made = Run.create(proposed.runs_folder, Config(train=TrainConfig(minutes=5)))
        ProcessIdentity.of(os.getpid()).save(made.folder)
        made.write("started", device="cpu", reason="torch has no CUDA build")
        made.write("progress", step=5, fraction=0.1, eta_seconds=100, losses={"dice": 0.9})
        for kind, said in last:
            made.write(kind, **said)
        return made

    def crashed() -> None:
        file = run().folder / "process.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "created": 1.0}))  # its number is another's now

    def somebody_else() -> None:
        import psutil

        from SemiSupSegLib.session.owner import Owner

        parent = psutil.Process(psutil.Process().ppid())
        host = Owner.me("bob").host
        Owner("bob", host, parent.pid, parent.create_time(), time.time()).save(proposed.root)

    def a_task() -> None:
        from SemiSupSegLib.session.task import Thread

        task = Thread("predict", "predicting 3 cases", lambda _tell: None)
        task.wait(60)
        task._thread = type("Lives", (), {"is_alive": staticmethod(lambda: True), "join": lambda *_said: None})()
        a_session._begin(task)

    before: dict[str, Callable[[], Any]] = {
        "a training is under way": run,
        "a training was stopped": lambda: run(("stopped", {"step": 5})),
        "a training is finished": lambda: run(("finished", {"step": 9, "seconds": 1})),
        "a training crashed": crashed,
        "somebody else has the project": somebody_else,
    }
    after: dict[str, Callable[[], Any]] = {
        "no project": lambda: None,
        "an empty project": lambda: a_session.create(tmp_path / "empty"),
        "organs and no case": lambda: a_session.create(tmp_path / "organs", ["liver", "spleen"]),
        "a case is open": lambda: a_session.show_case("patient_2"),
        "a finished case is open": lambda: a_session.show_case("patient_1"),
        "a proposal is looked at": lambda: a_session.select("patient_3", "liver"),
        "nothing was found": lambda: a_session.select("patient_3", "left kidney"),
        "a task is under way": a_task,
    }

    def begin(words: str) -> Any:
        before.get(words, lambda: None)()
        if words not in ("no project", "an empty project", "organs and no case"):
            a_session.open(proposed.root)
        screen = open_panel(a_session)
        after.get(words, lambda: None)()
        screen.look()
        return screen

    begin.states = (*before, *after)  # type: ignore[attr-defined]
    return begin


STATES = (
    "no project", "an empty project", "organs and no case", "a case is open", "a finished case is open",
    "a proposal is looked at", "nothing was found", "a task is under way", "a training is under way",
    "a training was stopped", "a training is finished", "a training crashed", "somebody else has the project",
)  # fmt: skip


@pytest.mark.parametrize("words", STATES)
def test_what_may_not_be_clicked_says_why_and_what_may_says_what_it_does(a_state, words: str) -> None:
    screen = a_state(words)
    for button in screen.buttons():
        name = button.property("objectName")
        assert button.toolTip, f"{name} says nothing when {words}"
        if not button.isEnabled():
            subject, colon, why = button.toolTip.partition(": ")
            assert all((subject, colon, why)), f"{name} is disabled when {words}, and says only {button.toolTip!r}"


def test_the_states_here_are_those_of_the_work(a_state) -> None:
    assert set(STATES) == set(a_state.states)


def test_what_the_menu_of_projects_does_not_offer_says_why(a_session, open_panel) -> None:
    screen = open_panel(a_session)
    menu = screen.widget("projectButton").menu()
    menu.aboutToShow.emit()
    closed = next(action for action in menu.actions() if action.text() == "Close project")
    assert not closed.isEnabled()
    assert closed.toolTip() == "Close project: none is open"


def test_the_next_step_is_said_in_every_state(a_state) -> None:
    screen = a_state("a training crashed")
    assert screen.widget("nextStepLabel").text.startswith("Next: ")
    assert "✖" in screen.widget("progressLabel").text
