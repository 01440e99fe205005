"""A session that reads and writes beside its front end: what waits, what is told, and that nothing is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from SemiSupSegLib.errors import ProjectError
from SemiSupSegLib.project import proposals
from SemiSupSegLib.project.annotation import State, label_mask
from SemiSupSegLib.project.boxes import bounding_box
from SemiSupSegLib.project.labels import LabelSet
from SemiSupSegLib.project.project import Project
from SemiSupSegLib.session import Session
from SemiSupSegLib.session.differences import differences
from SemiSupSegLib.session.worker import Worker


@pytest.fixture
def a_session(a_project: Project, add_case, predict, box) -> Session:
    """Spleen and tumour are proposed in c1, which is the current case."""
    add_case(a_project, "c2")
    predict(a_project, "c1", {"spleen": box(slice(4, 6)), "tumour": box(0, 0)})
    session = Session(who="ann", threads=False, background=True)
    session.open(a_project.root)
    session.show_case("c1")
    yield session
    session.close()


@pytest.fixture
def accepting(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Acceptances wait until this is set."""
    through, accept = threading.Event(), proposals.accept

    def wait(*said, **also):
        assert through.wait(100)
        return accept(*said, **also)

    monkeypatch.setattr(proposals, "accept", wait)
    yield through
    through.set()


def until(look: Callable[[], None], done: Callable[[], object]) -> None:
    deadline = time.monotonic() + 100
    while not done():
        assert time.monotonic() < deadline
        look()
        time.sleep(0.005)


def settled(session: Session) -> None:
    until(session.poll, lambda: session.busy is None)


def test_a_decision_returns_at_once_and_everything_else_waits_for_it(a_session: Session, accepting) -> None:
    told = []
    a_session.signals.labels_written.connect(lambda *said: told.append(said))
    a_session.select("c1", "spleen")
    a_session.accept()
    assert a_session.busy == "spleen in case c1 is being accepted"
    assert a_session.next_step == "Spleen in case c1 is being accepted."
    for reason in (a_session.may_accept, a_session.may_undo, a_session.may_train, a_session.may_set_holdout):
        assert str(reason).endswith(": spleen in case c1 is being accepted")
    with pytest.raises(ProjectError, match="is being accepted"):
        a_session.set_state("tumour", State.ABSENT)
    assert a_session.project.cases["c1"].annotation("spleen").state is State.UNKNOWN
    accepting.set()
    settled(a_session)
    assert a_session.project.cases["c1"].annotation("spleen").state is State.COMPLETE
    for _look in range(3):
        a_session.poll()
    assert told == [("c1", ("spleen",))]  # and not once more as what another program wrote


def test_a_decision_that_fails_is_told_and_changes_nothing(a_session: Session, monkeypatch) -> None:
    def broken(*_said, **_also):
        msg = "the disk is full"
        raise ProjectError(msg)

    monkeypatch.setattr(proposals, "accept", broken)
    said = []
    a_session.signals.message.connect(lambda *what: said.append(what))
    a_session.select("c1", "spleen")
    a_session.accept()
    settled(a_session)
    assert said == [("the disk is full", "error")]
    assert a_session.may_accept is None
    assert a_session.project.cases["c1"].annotation("spleen").state is State.UNKNOWN


def test_a_person_s_voxels_stay_in_the_project_when_the_acceptance_after_them_fails(
    a_session: Session, monkeypatch, box
) -> None:
    monkeypatch.setattr(proposals, "accept", lambda *_said, **_also: 1 / 0)
    a_session.painting = lambda case: {"tumour": box(5)} if case == "c1" else None
    said = []
    a_session.signals.message.connect(lambda *what: said.append(what))
    a_session.select("c1", "spleen")
    a_session.accept()
    settled(a_session)
    assert "a mistake in the program: ZeroDivisionError" in said[-1][0]
    assert Project.open(a_session.project.root).verify_journal() is None
    a_session.poll()
    assert a_session.label_voxels("c1")["tumour"].sum() == 20


def test_closing_waits_for_what_is_being_stored(a_session: Session, accepting, monkeypatch) -> None:
    root, finish = a_session.project.root, a_session._worker.finish
    a_session.select("c1", "spleen")
    a_session.accept()
    monkeypatch.setattr(a_session._worker, "finish", lambda: (accepting.set(), finish()))
    a_session.close()
    later = Project.open(root)
    assert later.verify_journal() is None
    assert later.case("c1").annotation("spleen").state is State.COMPLETE


def test_a_stroke_that_is_painted_while_one_is_stored_is_stored_after_it(a_session: Session, accepting, box) -> None:
    shown = {"tumour": box(0)}
    a_session.painting = lambda case: dict(shown) if case == "c1" else None
    a_session.select("c1", "spleen")
    a_session.accept()
    shown["tumour"] = box(slice(0, 2))
    assert a_session.save_painting() == ()  # the disk is busy
    accepting.set()
    settled(a_session)
    stored = Project.open(a_session.project.root)
    assert stored.verify_journal() is None
    layers = stored.case("c1").labels(stored.label_set)
    assert np.array_equal(label_mask(layers, stored.label_set, stored.label_set.index("tumour")), box(slice(0, 2)))


def test_what_is_painted_is_stored_before_the_next_case_comes(a_session: Session, box) -> None:
    a_session.painting = lambda case: {"tumour": box(5)} if case == "c1" else None
    a_session.show_case("c2")
    assert a_session.current_case.id == "c1"
    assert a_session.busy == "what was painted in case c1 is being stored"
    settled(a_session)
    assert a_session.current_case.id == "c2"
    assert a_session.label_voxels("c1")["tumour"].sum() == 20


def test_a_state_for_all_cases_is_told_when_it_is_stored(a_session: Session) -> None:
    said = []
    a_session.signals.message.connect(lambda *what: said.append(what))
    a_session.apply_to_all("tumour", State.ABSENT)
    settled(a_session)
    assert said == [("tumour is absent in 2 more cases", "info")]
    assert a_session.project.cases["c2"].annotation("tumour").state is State.ABSENT


def test_of_two_readings_only_the_last_is_handed_over_and_none_before_a_look(a_session: Session) -> None:
    got: list[int] = []
    started, through = threading.Event(), threading.Event()

    def slow() -> int:
        started.set()
        assert through.wait(100)
        return 1

    a_session.read("one is being read", slow, got.append)
    assert started.wait(100)
    a_session.read("two is being read", lambda: 2, got.append)
    assert a_session.opening == "two is being read"
    through.set()
    settled(a_session)
    assert got == [2]


def test_a_reading_begins_after_the_writing_and_a_failure_is_a_sentence() -> None:
    worker, order = Worker(), []
    through = threading.Event()

    def write() -> str:
        assert through.wait(100)
        order.append("written")
        return "w"

    worker.write("writing", write, order.append, order.append)
    worker.read("reading", lambda: order.append("read") or 1 / 0, order.append, order.append)
    through.set()
    until(worker.poll, lambda: worker.reading is None and worker.writing is None)
    assert order == ["written", "w", "read", "a mistake in the program: ZeroDivisionError: division by zero"]


def test_only_what_differs_is_in_a_difference_each_in_its_box() -> None:
    label_set = LabelSet.from_names(["a", "b"])
    before = np.zeros((1, 6, 5, 4), np.uint8)
    before[0, 1:3, 1:3, 1:3] = 1
    after = before.copy()
    after[0, 1, 1, 1], after[0, 4, 4, 3] = 0, 2
    found = differences(label_set, before, after)
    assert {name: (d.box, d.added.sum(), d.removed.sum()) for name, d in found.items()} == {
        "a": ((slice(1, 2),) * 3, 0, 1),
        "b": ((slice(4, 5), slice(4, 5), slice(3, 4)), 1, 0),
    }
    assert differences(label_set, after, after.copy()) == {}
    assert bounding_box(np.zeros((2, 2, 2), bool)) is None
