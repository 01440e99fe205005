"""A session is opened, used, closed and opened again; two of them meet; signals reach everybody."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from SemiSupSegLib.errors import ProjectError
from SemiSupSegLib.project.annotation import State
from SemiSupSegLib.project.journal import content_hash
from SemiSupSegLib.project.labels import Label
from SemiSupSegLib.project.project import Project
from SemiSupSegLib.project.proposals import accept
from SemiSupSegLib.session import Session, Signal
from SemiSupSegLib.session.owner import Owner


@pytest.fixture
def a_session(a_project: Project) -> Session:
    session = Session(who="ann", threads=False)
    session.open(a_project.root)
    return session


@pytest.fixture
def another_program(a_project: Project):
    """A living process that has the project open."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    import psutil

    created = psutil.Process(process.pid).create_time()
    Owner("bob", Owner.me("x").host, process.pid, created, time.time()).save(a_project.root)
    yield process
    process.kill()
    process.wait()


def heard(signal: Signal) -> list[tuple]:
    said: list[tuple] = []
    signal.connect(lambda *what: said.append(what))
    return said


def test_without_a_project_every_button_says_what_is_missing() -> None:
    session = Session(who="ann")
    session.poll()
    rules = [name for name in dir(Session) if name.startswith("may_") and isinstance(getattr(Session, name), property)]
    assert len(rules) >= 20
    for rule in rules:
        assert getattr(session, rule), rule
    assert session.may_train == "Train: open or create a project first"
    assert session.next_step == "Add a folder of volumes, or open a project to go on with earlier work."
    assert session.case_rows() == []
    assert session.organ_rows() == []
    assert session.queue() == []


def test_a_new_project_is_open_and_asks_for_cases(tmp_path: Path) -> None:
    session = Session(who="ann", threads=False)
    opened = heard(session.signals.project_changed)
    session.create(tmp_path / "new", ["liver", "spleen"])
    assert [row.name for row in session.organ_rows()] == ["liver", "spleen"]
    assert opened
    assert session.next_step.startswith("Add cases")
    assert session.may_train == "Train: the project has no case yet"
    with pytest.raises(ProjectError, match="is a project already"):
        session.create(tmp_path / "new")


def test_it_goes_on_where_it_was_left(a_session: Session, a_project: Project, predict, box) -> None:
    predict(a_project, "c1", {"spleen": box(4)})
    a_session.refresh_queue()
    a_session.select("c1", "spleen")
    a_session.threshold, a_session.preset = 0.35, "quick"
    a_session.close()
    assert a_session.project is None
    assert a_session.current_case is None
    later = Session(who="ann", threads=False)
    later.open(a_project.root)
    assert later.current_case is not None
    assert later.current_case.id == "c1"
    assert later.selected is not None
    assert (later.selected.case, later.selected.label) == ("c1", "spleen")
    assert (later.threshold, later.preset) == (0.35, "quick")


@pytest.mark.parametrize("content", [b"", b"[1]", b'{"threshold": "much"}', b'{"case": "gone", "candidate": [1]}'])
def test_a_damaged_memory_is_as_good_as_none(a_project: Project, content: bytes) -> None:
    (a_project.root / "session.json").write_bytes(content)
    session = Session(who="ann", threads=False)
    session.open(a_project.root)
    assert session.current_case is None
    assert session.threshold == 0.2


def test_what_the_command_line_changes_shows_at_the_next_look(a_session: Session, predict, box) -> None:
    theirs = Project.open(a_session.project.root)
    a_session.show_case("c1")
    assert a_session.label_voxels()["liver"].any()
    predict(theirs, "c1", {"spleen": box(4)})
    a_session.poll()
    assert [row.label for row in a_session.queue()] == ["spleen"]
    written = heard(a_session.signals.labels_written)
    accept(theirs, "c1", "spleen", who="bob")
    theirs.add_labels([Label("aorta")])
    a_session.poll()
    assert a_session.project.cases["c1"].annotation("spleen").state is State.COMPLETE
    assert written == [("c1", ("spleen",))]  # the others may be painted on just now
    assert a_session.queue() == []
    assert "aorta" in [row.name for row in a_session.organ_rows()]
    written.clear()
    a_session.poll()
    assert written == []


def test_a_change_that_is_announced_and_not_done_yet_is_waited_for(a_session: Session) -> None:
    case = a_session.project.cases["c1"]
    later = replace(case, split="holdout").to_bytes()
    a_session.project.journal.append(who="bob", action="split", case="c1", content=(None, content_hash(later)))
    a_session.poll()
    assert a_session.case_rows()[0].split == "train"
    (case.folder / "case.json").write_bytes(later)
    a_session.poll()
    assert a_session.case_rows()[0].split == "holdout"


def test_g07_a_second_program_looks_and_does_not_change(a_project: Project, another_program) -> None:
    session = Session(who="ann", threads=False)
    session.open(a_project.root)
    assert session.owner is not None
    assert session.owner.who == "bob"
    absent = session.may_set_state("liver", State.ABSENT, "c1")
    for reason in (session.may_train, session.may_import, session.may_undo, absent):
        assert reason is not None
        assert "bob has this project open on" in reason
        assert str(another_program.pid) in reason
    with pytest.raises(ProjectError, match="close it there first"):
        session.set_state("spleen", State.ABSENT, "c1")
    assert session.case_rows()[0].id == "c1"
    session.take_over()
    session.set_state("spleen", State.ABSENT, "c1")
    assert session.owner is None


def test_g07_who_is_gone_does_not_keep_the_project(a_project: Project, another_program) -> None:
    another_program.kill()
    another_program.wait()
    session = Session(who="ann", threads=False)
    session.open(a_project.root)
    assert session.owner is None
    assert session.may_change is None
    session.close()
    assert not (a_project.root / "owner.json").exists()


def test_who_lost_the_project_sees_it_at_the_next_heartbeat(a_session: Session, another_program) -> None:
    said = heard(a_session.signals.message)
    a_session._beat = 0.0
    a_session.poll()
    assert a_session.may_change is not None
    assert "bob has this project open" in said[-1][0]
    another_program.kill()
    another_program.wait()
    a_session._beat = 0.0
    a_session.poll()
    assert a_session.may_change is None


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_can_be_looked_at(a_project: Project) -> None:
    a_project.root.chmod(0o500)
    try:
        session = Session(who="ann", threads=False)
        session.open(a_project.root)
        assert session.may_change == "Change: the folder of this project cannot be written"
    finally:
        a_project.root.chmod(0o700)


def test_a_listener_that_raises_keeps_nobody_from_hearing(caplog: pytest.LogCaptureFixture) -> None:
    signal, said = Signal("told"), []
    signal.connect(lambda: 1 / 0)
    hear = signal.connect(lambda: said.append(1))
    signal.connect(hear)
    signal.emit()
    assert said == [1]
    assert "a listener of told failed" in caplog.text
    signal.disconnect(hear)
    signal.disconnect(hear)
    signal.emit()
    assert said == [1]


def test_after_every_signal_the_buttons_are_told(a_session: Session) -> None:
    names = heard(a_session.signals.changed)
    a_session.show_case("c1")
    assert [name for (name,) in names] == ["current_case_changed", "cases_changed", "organs_changed"]


def test_a_look_that_fails_is_told_and_does_not_raise(a_session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    said = heard(a_session.signals.message)

    def broken() -> None:
        raise ProjectError("the disk is away")

    monkeypatch.setattr(a_session, "_poll_feed", broken)
    a_session.poll()
    assert said == [("the disk is away", "error")]


def test_a_session_brings_neither_torch_nor_a_toolkit_along() -> None:
    script = "import sys, SemiSupSegLib.session; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"torch", "monai", "SimpleITK", "qt", "PySide6", "slicer", "vtk", "cattrs", "psutil"}
