"""The whole loop in the browser: paint, train, review, accept, undo, accept, train again, export."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from SemiSupSegLib.project.project import Project

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(1800)]


def voxels(project: Project, case: str, label: str) -> int:
    """How many the project has on the disk."""
    from SemiSupSegLib.project.annotation import label_mask

    again = Project.open(project.root)
    layers = again.case(case).labels(again.label_set)
    return int(label_mask(layers, again.label_set, again.label_set.index(label)).sum())


def state_of(project: Project, case: str, label: str) -> str:
    return str(Project.open(project.root).case(case).annotation(label).state)


def write_series(folder: Path, *, slices: int) -> None:
    """A small CT, one file a slice."""
    folder.mkdir()
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    uid = "1.2.826.0.1.3680043.2.1125.7.{}"
    for k in range(slices):
        image = sitk.GetImageFromArray(np.full((1, 10, 12), k, np.int16))
        tags = {
            "0008|0060": "CT", "0008|0016": "1.2.840.10008.5.1.4.1.1.2", "0008|0018": uid.format(f"1.{k + 1}"),
            "0020|000d": uid.format(9), "0020|000e": uid.format(1), "0020|0013": str(k + 1),
            "0020|0032": f"0\\0\\{3 * k}", "0020|0037": "1\\0\\0\\0\\1\\0",
        }  # fmt: skip
        for tag, value in tags.items():
            image.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"slice{k}.dcm"))
        writer.Execute(image)


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

    def painted_over() -> bool:
        red, green, blue = tab.colour(0.425, 0.475)
        return red > blue + 40 and green > 80  # the liver's grey shines through; over black its green would be 40

    until(painted_over)

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
    made = Project.open(tmp_path / "new study")
    assert made.label_set.names[:2] == ("synthetic liver", "synthetic spleen")
    assert [case.annotated for case in made.cases.values()] == [True, False]


def test_a_dicom_folder_becomes_a_case_of_its_name(a_project, serve, open_page, tmp_path, until):
    write_series(tmp_path / "Series 7", slices=6)
    (tmp_path / "Series 7" / "DICOMDIR").write_bytes(b"no image")
    tab = open_page(serve(a_project.root).address)
    tab.enabled("uploadFolder")
    with tab.page.expect_file_chooser() as asked:
        tab.press("uploadFolder")
    asked.value.set_files(tmp_path / "Series 7")
    tab.page.locator("[data-case^='Series']").wait_for()
    [new] = set(Project.open(a_project.root).cases) - {"patient_1", "patient_2", "patient_3"}
    assert Project.open(a_project.root).case(new).grid().size == (12, 10, 6)
    until(lambda: not list((a_project.root / "cache" / "uploads").glob("*")))


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
    light = tab.page.locator(".v-theme--light .ss-drawer, .ss-drawer.v-theme--light")
    light.first.wait_for()
    tab.picture("13_light")
    tab.page.locator("#theme").click()
    light.first.wait_for(state="detached")
    assert tab.page.locator("[data-case='patient_1'].ss-current").is_visible()
