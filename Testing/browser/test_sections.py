"""What stands beside the loop: settings, adjacency rules, the sample project, and the volume in 3D."""

from __future__ import annotations

import re

import pytest
from test_whole_path import state_of, voxels

from SemiSupSegLib.project.adjacency_rules import read_rules
from SemiSupSegLib.project.project import Project

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(1800)]


def test_settings_say_where_the_project_is_and_delete_only_what_can_be_made_again(a_project, serve, open_page, until):
    (a_project.cache_folder / "volumes").mkdir(parents=True)
    (a_project.cache_folder / "volumes" / "x.npy").write_bytes(bytes(3_000_000))
    tab = open_page(serve(a_project.root).address)
    tab.case("patient_1").wait_for()
    tab.page.locator("#sectionSettings").click()
    tab.reads(f"Project: {a_project.root}")
    tab.page.locator("#stored").filter(has_text="3 MB of it can be made again").wait_for()
    tab.reads(re.compile("Python 3"))
    tab.page.locator("#sectionSettings").scroll_into_view_if_needed()
    tab.picture("17_settings")
    tab.press("deleteStored")
    until(lambda: not a_project.cache_folder.exists())
    tab.banner("What was stored is deleted; projects, labels and models stay")
    tab.page.locator("#stored").filter(has_text="0 MB of it").wait_for()
    assert tab.page.locator("#deleteStored").is_disabled()
    assert voxels(a_project, "patient_1", "liver") > 0


def test_what_a_person_says_of_two_organs_is_kept(a_project, serve, open_page):
    tab = open_page(serve(a_project.root).address)
    tab.press("adjacencyRules")
    pair = tab.page.locator("[data-pair='liver · spleen']")
    pair.filter(has_text="never touch in the annotated cases").wait_for()
    pair.locator("button").click()
    pair.filter(has_text="must not touch: you said so").wait_for()
    tab.picture("18_adjacency")
    assert read_rules(Project.open(a_project.root)).forbid == {frozenset(("liver", "spleen"))}
    pair.locator("button").click()
    pair.filter(has_text="may touch: you said so").wait_for()
    assert read_rules(Project.open(a_project.root)).allow == {frozenset(("liver", "spleen"))}


def test_the_sample_project_is_one_click_away(tmp_path, serve, open_page, until):
    tab = open_page(serve().address)
    tab.page.locator("#project").click()
    tab.page.locator("#chooser [data-mode='new']").click()
    tab.page.locator("#folder").fill(str(tmp_path))
    tab.press("makeSample")
    root = tmp_path / "semisupseg_sample"
    until(lambda: (root / "project.json").is_file() and len(Project.open(root).cases) == 6)
    tab.case("synthetic_06").wait_for()
    tab.banner("6 SYNTHETIC cases, 3 of them without labels: no patient")
    assert sum(case.annotated for case in Project.open(root).cases.values()) == 3


def test_the_volume_is_seen_in_3d_only_once_it_is_asked_for(a_project, serve, open_page, until):
    tab = open_page(serve(a_project.root).address)
    tab.case("patient_1").wait_for()
    tab.open_case("patient_1")
    places = [(0.5, 0.5), (0.42, 0.5), (0.58, 0.5), (0.5, 0.42), (0.5, 0.58)]

    def colours():
        return [tab.colour(x, y, "3D") for x, y in places]

    until(lambda: all(sum(colour) > 0 for colour in colours()))  # the ground is there
    empty = colours()
    tab.page.locator("#volume3d").click()
    until(lambda: sum(now != before for now, before in zip(colours(), empty, strict=True)) >= 3)
    tab.picture("19_volume")
    tab.page.locator("#volume3d").click()
    until(lambda: colours() == empty)
    assert tab.page.locator("#volume3d .text-primary").count() == 0  # and the button says so


def test_strokes_one_after_the_other_are_all_stored(a_project, serve, open_page, until):
    tab = open_page(serve(a_project.root).address)
    tab.case("patient_2").wait_for()
    tab.open_case("patient_2")
    tab.choose("liver")
    tab.tool("Paint")
    for row in (0.35, 0.5, 0.65):  # the next begins when the one before has just been given to the disk
        tab.stroke(start=(0.4, row), end=(0.5, row))
        tab.page.wait_for_timeout(450)
    until(lambda: voxels(a_project, "patient_2", "liver") > 60)
    tab.at_rest()
    tab.press("sliceDone")
    until(lambda: state_of(a_project, "patient_2", "liver") == "partial")
    tab.press("undo")  # what the click said
    until(lambda: state_of(a_project, "patient_2", "liver") == "unknown")
    painted = voxels(a_project, "patient_2", "liver")
    tab.press("undo")  # the strokes, as many as were stored at once
    until(lambda: voxels(a_project, "patient_2", "liver") < painted)
    assert Project.open(a_project.root).verify_journal() is None
