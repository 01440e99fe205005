"""What goes wrong in practice: a broken file, a second tab, a server that is gone."""

from __future__ import annotations

import pytest
from test_whole_path import voxels

from SemiSupSegLib.project.project import Project

pytestmark = [pytest.mark.robustness, pytest.mark.slow, pytest.mark.timeout(1800)]


def test_a_corrupt_file_is_refused_with_a_sentence_and_leaves_nothing(a_project, serve, open_page, tmp_path, until):
    broken = tmp_path / "scan.nii.gz"
    broken.write_bytes(b"\x1f\x8b this is no volume")
    tab = open_page(serve(a_project.root).address)
    tab.enabled("uploadFiles")
    with tab.page.expect_file_chooser() as asked:
        tab.press("uploadFiles")
    asked.value.set_files(str(broken))
    tab.banner("Upload: scan.nii.gz is damaged or incomplete")
    tab.picture("14_corrupt_upload")
    tab.reads("Copy diagnostics")
    assert set(Project.open(a_project.root).cases) == {"patient_1", "patient_2", "patient_3"}
    until(lambda: not list((a_project.root / "cache" / "uploads").glob("*")))


def test_an_upload_with_a_wicked_name_becomes_a_case_inside_the_project(a_project, serve, open_page, tmp_path, until):
    from SemiSupSegLib.project.synthetic import write_cohort

    write_cohort(tmp_path / "scans", cases=1, size=(20, 18, 16))
    scan = next((tmp_path / "scans" / "images").iterdir())
    tab = open_page(serve(a_project.root).address)
    tab.case("patient_1").wait_for()
    batch = tab.page.request.post(tab.page.url.partition("/index")[0] + "/upload").json()["batch"]
    root = tab.page.url.partition("/index")[0]
    wicked = "..%2F..%2F..%2Fetc%2Fscan%20%3Cscript%3E.nii.gz"
    assert tab.page.request.put(f"{root}/upload/{batch}?name={wicked}", data=scan.read_bytes()).ok
    elsewhere = tab.page.request.put(f"{root}/upload/..%2F..?name=x.nii.gz", data=b"x")
    assert elsewhere.status == 404 or "refused" in elsewhere.json()
    tab.page.evaluate(f"window.trame.trigger('semisupseg_uploaded', ['{batch}'])")
    until(lambda: len(Project.open(a_project.root).cases) == 4)
    [new] = set(Project.open(a_project.root).cases) - {"patient_1", "patient_2", "patient_3"}
    assert "/" not in new
    assert "<" not in new
    tab.case(new).wait_for()


def test_a_second_tab_is_told_so_and_may_take_over(a_project, serve, open_page):
    server = serve(a_project.root)
    first = open_page(server.address)
    first.case("patient_1").wait_for()
    second = open_page(server.address)
    second.reads("SemiSupSeg is open in another tab")
    second.picture("15_second_tab")
    second.page.locator("#take").click()
    second.case("patient_1").wait_for()
    first.reads("SemiSupSeg was opened in another tab. Load this page again to work here.")
    assert not second.page.locator("#take").is_visible()
    assert first.page.locator("[data-case='patient_1']").count() == 0  # nobody works on in the first one
    first.errors.clear()  # the browser itself writes that a connection was closed


def test_loading_the_page_again_shows_the_same_case(a_project, serve, open_page):
    tab = open_page(serve(a_project.root).address)
    tab.case("patient_1").wait_for()
    tab.open_case("patient_2")
    tab.page.reload()
    tab.page.locator("[data-case='patient_2'].ss-current").wait_for()
    assert tab.page.locator(".ss-current[data-case]").count() == 1


def test_a_second_program_on_the_same_project_can_only_look(a_project, serve, open_page):
    open_page(serve(a_project.root).address).case("patient_1").wait_for()
    other = open_page(serve(a_project.root).address)
    other.banner("ann has this project open")
    assert "ann has this project open" in other.reason("train")


def test_a_server_killed_while_somebody_paints_loses_at_most_the_stroke(a_project, serve, open_page, until):
    server = serve(a_project.root)
    tab = open_page(server.address)
    tab.case("patient_2").wait_for()
    tab.open_case("patient_2")
    tab.choose("liver")
    tab.tool("Paint")
    tab.stroke(start=(0.35, 0.45), end=(0.5, 0.5))
    until(lambda: voxels(a_project, "patient_2", "liver") > 20)
    stored = voxels(a_project, "patient_2", "liver")
    box = tab.view("Axial")
    tab.page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.6 * box["height"])
    tab.page.mouse.down()
    tab.page.mouse.move(box["x"] + 0.65 * box["width"], box["y"] + 0.65 * box["height"])
    server.kill()
    tab.reads("The server has stopped. What you painted is stored")
    tab.picture("16_server_gone")
    tab.errors.clear()  # of connections that are refused

    assert Project.open(a_project.root).verify_journal() is None
    assert voxels(a_project, "patient_2", "liver") == stored
    again = open_page(serve(a_project.root).address)
    again.page.locator("[data-case='patient_2'].ss-current").wait_for()
    again.press("undo")
    until(lambda: voxels(a_project, "patient_2", "liver") == 0)
