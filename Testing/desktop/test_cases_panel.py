"""Cases and organs: sample data, the hold-out, filters, names, and which organs may touch."""

from __future__ import annotations

from pathlib import Path

import pytest
from screen import PICTURES

from SemiSupSegLib.project.synthetic import write_cohort


@pytest.fixture
def opened(a_project, a_session, open_panel):
    """The screen with the three patients."""
    a_session.open(a_project.root)
    return open_panel(a_session)


# -------------------------------------------------------------------------------------------------------- sample data


@pytest.mark.e2e
def test_sample_data_are_made_here_shown_as_synthetic_and_become_a_project(
    tmp_path: Path, a_session, open_panel, until, monkeypatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    made = []

    def cohort() -> Path:
        made.append(1)
        write_cohort(tmp_path / "SemiSupSeg_synthetic_cohort", cases=3, unlabelled=1, size=(16, 16, 16))
        return tmp_path / "SemiSupSeg_synthetic_cohort"

    screen = open_panel(a_session, sampleCohort=cohort)
    assert made == []  # nothing is made before the click
    assert "SYNTHETIC" in screen.widget("sampleButton").toolTip
    screen.click("sampleButton")
    assert "synthetic" in screen.widget("previewLabel").text
    screen.click("useTheseButton")
    until(screen, lambda: a_session.task is None and len(a_session.case_rows()) == 3)
    assert all("synthetic" in name for name in screen.cells("casesTable", 0))
    assert all("synthetic" in name for name in screen.cells("organsTable", 0))


def test_without_sample_data_the_button_says_so(opened) -> None:
    assert opened.widget("sampleButton").toolTip == "Sample data: they are not part of this installation"


# ----------------------------------------------------------------------------------------------------------- hold-out


def test_a_case_is_held_out_and_taken_back_by_a_click(opened) -> None:
    assert opened.widget("holdoutButton").toolTip == "Hold out: select a case in the table first"
    opened.click_cell("casesTable", 0, 0)
    opened.click("holdoutButton")
    assert opened.widget("holdoutLabel").text == "Held out: patient_1"
    assert opened.cells("casesTable", 2)[0] == "done · held out"
    assert [case.id for case in opened.panel.session.project.train_cases()] == ["patient_2", "patient_3"]
    opened.photograph(PICTURES / "15_holdout.png")
    opened.click_cell("casesTable", 0, 0)
    opened.click("holdoutButton")
    assert opened.widget("holdoutLabel").text.startswith("Nothing is held out")


def test_the_filter_lists_the_cases_of_one_status(opened) -> None:
    box = opened.widget("filterBox")
    box.setCurrentIndex(box.findData("done"))
    assert opened.cells("casesTable", 0) == ["patient_1"]
    box.setCurrentIndex(box.findData("flagged"))
    assert opened.widget("emptyLabel").text == "No case has this status."


# -------------------------------------------------------------------------------------------------------------- names


def rename(screen, row: int, name: str) -> None:
    screen.widget("organsTable").item(row, 0).setText(name)
    screen.look()


def test_an_organ_that_no_file_knows_is_renamed_in_its_cell(opened) -> None:
    opened.widget("nameEdit").setText("pancraes")
    opened.look()
    opened.click("addOrganButton")
    rename(opened, 3, "pancreas")
    assert opened.panel.session.project.label_set.names[-1] == "pancreas"
    assert not opened.message.startswith("✖")


def test_an_organ_that_files_know_keeps_its_name_and_one_line_says_why(opened) -> None:
    rename(opened, 0, "hepar")
    assert opened.message.startswith("✖ Rename: 2 cases say something about liver")
    assert opened.cells("organsTable", 0)[0] == "liver"


# ---------------------------------------------------------------------------------------------------------- adjacency


def test_pairs_of_organs_are_listed_and_a_click_says_that_they_must_not_touch(opened, until) -> None:
    session = opened.panel.session
    assert not opened.widget("adjacencyWidget").isVisible()
    opened.click("adjacencyButton")
    until(opened, lambda: session.contact_rows())
    assert opened.cells("adjacencyTable", 2)[0] == "✗ never touch in the annotated cases"
    assert "counted from" in opened.widget("adjacencyLabel").text
    opened.photograph(PICTURES / "16_adjacency.png")
    opened.click_cell("adjacencyTable", 0, 2)
    assert opened.cells("adjacencyTable", 2)[0] == "✗ ● must not touch: you said so"
    assert "must not touch" in opened.message
    opened.click("adjacencyButton")
    assert not opened.widget("adjacencyWidget").isVisible()


def test_without_two_organs_the_rules_say_so(a_session, open_panel, tmp_path: Path) -> None:
    a_session.create(tmp_path / "p", ["liver"])
    screen = open_panel(a_session)
    assert screen.widget("adjacencyButton").toolTip == "Adjacency rules: the project has fewer than two organs"
