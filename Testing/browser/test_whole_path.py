"""The whole loop in the browser: paint, train, review, accept, undo, accept, train again, export."""

from __future__ import annotations

import re

import pytest

from SemiSupSegLib.project.project import Project

pytestmark = [
    pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(1800),
    pytest.mark.skip(reason="first version: the path was walked to its end once; not yet run on its final pages"),
]  # fmt: skip


def voxels(project: Project, case: str, label: str) -> int:
    """How many the project has on the disk."""
    from SemiSupSegLib.project.annotation import label_mask

    again = Project.open(project.root)
    layers = again.case(case).labels(again.label_set)
    return int(label_mask(layers, again.label_set, again.label_set.index(label)).sum())


def state_of(project: Project, case: str, label: str) -> str:
    return str(Project.open(project.root).case(case).annotation(label).state)


def test_a_person_paints_trains_reviews_and_exports(a_project, serve, open_page, until):
    tab = open_page(serve(a_project.root).address)
    tab.reads("Click a case on the left to open it.")
    tab.picture("01_open")

    tab.open_case("patient_2")
    assert "not annotated" in tab.organ("liver").inner_text()
    tab.picture("02_case")

    tab.choose("liver")
    tab.tool("Paint")
    tab.stroke(start=(0.35, 0.45), end=(0.5, 0.5))
    until(lambda: voxels(a_project, "patient_2", "liver") > 20)
    tab.picture("03_painted")

    tab.tool("No tool")
    tab.organ("liver").locator("[data-state]").click()
    until(lambda: state_of(a_project, "patient_2", "liver") == "complete")
    tab.organ("spleen").locator("[data-state]").click()
    until(lambda: state_of(a_project, "patient_2", "spleen") == "absent")
    tab.picture("04_states")

    tab.press("train")
    tab.page.locator("#curve svg").wait_for()
    tab.picture("05_training")
    tab.reads("Stop & keep best")
    tab.press("pause")
    tab.reads(re.compile("stopped", re.IGNORECASE))
    tab.page.locator("#sectionTrain .v-select").first.click()
    tab.page.get_by_role("option", name=re.compile("Quick")).click()
    tab.press("train")

    tab.proposal("patient_3", "liver").wait_for()
    tab.picture("06_proposed")
    tab.proposal("patient_3", "liver").click()
    tab.page.locator("#reason").filter(has_text="liver in patient_3").wait_for()
    tab.page.locator("#overlay").check()
    tab.enabled("worst")
    tab.page.keyboard.press("j")
    tab.page.locator("#slice").filter(has_text="U 0.").wait_for()
    tab.picture("07_review")

    tab.page.keyboard.press("a")
    until(lambda: state_of(a_project, "patient_3", "liver") == "complete")
    whole = voxels(a_project, "patient_3", "liver")
    tab.picture("08_accepted")
    tab.press("undo")
    until(lambda: voxels(a_project, "patient_3", "liver") == 0)
    tab.picture("09_undone")
    tab.proposal("patient_3", "liver").click()
    tab.press("acceptConfident")
    until(lambda: 0 < voxels(a_project, "patient_3", "liver") < whole)
    tab.press("acceptSlice")
    tab.press("accept")
    until(lambda: voxels(a_project, "patient_3", "liver") == whole)
    tab.proposal("patient_3", "spleen").click()
    tab.press("reject")
    tab.proposal("patient_3", "spleen").filter(has_text="rejected").wait_for()
    tab.picture("10_decided")

    tab.press("train")
    tab.banner(re.compile("in use|predicted"))
    tab.page.locator("#sectionExport").click()
    tab.press("exportLabels")
    until(lambda: list((a_project.root / "exports").glob("labels */patient_3*.nii.gz")))
    tab.press("exportAudit")
    until(lambda: list((a_project.root / "exports").glob("audit */audit.csv")))
    tab.picture("11_exported")


def test_a_project_is_made_and_filled_without_leaving_the_page(tmp_path, serve, open_page, until):
    from SemiSupSegLib.project.synthetic import write_cohort

    write_cohort(tmp_path / "scans", cases=2, unlabelled=1, size=(24, 20, 16))
    tab = open_page(serve().address)
    tab.reads("Open a project, or create one")
    tab.page.locator("#project").click()
    tab.page.locator("#chooser [data-mode='new']").click()
    tab.page.locator("#folder").fill(str(tmp_path / "new study"))
    tab.page.locator("#newOrgans").fill("synthetic liver, synthetic spleen")
    tab.press("chooseNew")
    tab.reads("No case yet: add a folder of volumes, or upload some.")
    tab.press("addFolder")
    tab.page.locator("#folder").fill(str(tmp_path / "scans"))
    tab.reads("scans: 2 volumes, 1 with labels")
    tab.picture("12_add_folder")
    tab.press("useThese")
    tab.case("synthetic_02").wait_for()
    until(lambda: len(Project.open(tmp_path / "new study").cases) == 2)


def test_buttons_that_may_not_be_used_say_why(a_project, serve, open_page):
    tab = open_page(serve(a_project.root).address)
    tab.case("patient_1").wait_for()
    tab.page.locator("#sectionExport").click()
    assert tab.page.locator("#exportModel").is_disabled()
    assert tab.reason("exportModel") == "Export model: none was trained yet"
    assert tab.reason("preview") == "Predict: no model was trained yet"
    tab.reads(re.compile("Nothing is proposed yet"))


def test_the_page_turns_light_and_back(a_project, serve, open_page):
    tab = open_page(serve(a_project.root).address)
    tab.open_case("patient_1")
    tab.page.locator("#theme").click()
    tab.page.locator(".v-theme--light .ss-drawer, .ss-drawer.v-theme--light").first.wait_for()
    tab.picture("13_light")
