"""Keys: each does what its button does, and none takes a key of Slicer's Segment Editor."""

from __future__ import annotations

import pytest

from SemiSupSegLib.project.annotation import State

SEGMENT_EDITORS = {"Left", "Right", "Q", "W", "Z", "Y", "Ctrl+Z", "Ctrl+Y", "I", "Space", "Esc", *"0123456789"}


@pytest.fixture
def a_review(proposed, a_session, open_panel):
    """The screen with the liver of patient 3 selected."""
    a_session.open(proposed.root)
    screen = open_panel(a_session)
    a_session.select("patient_3", "liver")
    screen.look()
    return screen


def press(screen, word: str) -> None:
    """The key that stands for a word, wherever the tables say it is."""
    from PySide6 import QtCore
    from SemiSupSegDesktop.ReviewKeys import KEYS

    key = next(key for key, its in KEYS.items() if its == word)
    screen.press(getattr(QtCore.Qt, f"Key_{key[-1]}"), shift="Shift" in key)


def said(screen, label: str = "liver") -> State:
    return screen.panel.session.project.case("patient_3").annotation(label).state


def decision(screen, label: str) -> str | None:
    rows = screen.panel.session.queue()
    return next(row.decision for row in rows if (row.case, row.label) == ("patient_3", label))


def accept(screen) -> None:
    press(screen, "accept")
    assert said(screen) is State.COMPLETE


def accept_confident(screen) -> None:
    screen.panel.session.threshold = 0.3
    press(screen, "acceptConfident")
    assert said(screen) is State.PARTIAL


def reject(screen) -> None:
    press(screen, "reject")
    assert decision(screen, "liver") == "rejected"


def flag(screen) -> None:
    press(screen, "flag")
    assert decision(screen, "liver") == "flagged"


def worst(screen) -> None:
    press(screen, "worst")
    first = screen.panel.view.slice()
    assert first == screen.panel.session.profile().argmax()
    press(screen, "worst")
    assert screen.panel.view.slice() != first
    press(screen, "lessWorst")
    assert screen.panel.view.slice() == first


def uncertainty(screen) -> None:
    press(screen, "uncertainty")
    assert not screen.panel.view.overlay.visible
    assert not screen.widget("uncertaintyBox").checked


def edit(screen) -> None:
    press(screen, "edit")
    assert screen.widget("segmentEditor").effect == "Paint"
    assert screen.widget("editButton").checked


def following(screen) -> None:
    session = screen.panel.session
    open_ones = [(row.case, row.label) for row in session.queue()]
    before = open_ones.index(("patient_3", "liver"))
    press(screen, "next")
    assert (session.selected.case, session.selected.label) == open_ones[(before + 1) % len(open_ones)]
    press(screen, "previous")
    assert (session.selected.case, session.selected.label) == ("patient_3", "liver")


def undo(screen) -> None:
    press(screen, "accept")
    press(screen, "undo")
    assert said(screen) is State.UNKNOWN
    assert screen.message == "Took back: accept of liver in case patient_3"


BY_WORD = {
    "accept": accept, "acceptConfident": accept_confident, "reject": reject, "flag": flag, "worst": worst,
    "lessWorst": worst, "uncertainty": uncertainty, "edit": edit, "next": following, "previous": following,
    "undo": undo,
}  # fmt: skip


@pytest.mark.parametrize("word", BY_WORD)
def test_a_key_does_what_its_button_does(a_review, word: str) -> None:
    BY_WORD[word](a_review)


def test_every_key_is_tried_here_and_none_is_the_segment_editors() -> None:
    from SemiSupSegDesktop.ReviewKeys import KEYS

    assert set(KEYS.values()) == set(BY_WORD)
    assert not set(KEYS) & SEGMENT_EDITORS


def test_a_key_that_may_not_act_says_why_and_changes_nothing(a_review) -> None:
    session = a_review.panel.session
    session.select("patient_3", "left kidney")
    a_review.look()
    press(a_review, "accept")
    assert a_review.message.startswith("✖ Accept: nothing was found")
    assert said(a_review, "left kidney") is State.UNKNOWN


def test_keys_are_named_on_the_buttons_that_they_press(a_review) -> None:
    named = {"acceptButton": "A", "acceptConfidentButton": "⇧A", "rejectButton": "X", "flagButton": "F",
             "editButton": "E", "worstButton": "J / ⇧J", "uncertaintyBox": "U", "nextButton": "N",
             "previousButton": "⇧N"}  # fmt: skip
    for name, key in named.items():
        assert f"({key})" in a_review.widget(name).text, name
    press(a_review, "accept")
    assert "⇧Z" in a_review.widget("undoButton").toolTip
