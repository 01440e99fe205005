"""Ids and paths: valid everywhere, never outside the project (G16, G25)."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from SemiSupSegLib.errors import ProjectError
from SemiSupSegLib.project.paths import inside, safe_id, slug


def test_an_ordinary_name_stays_as_it_is():
    assert safe_id("abdomen_01-b.2", []) == "abdomen_01-b.2"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a b/c", "a_b_c"),
        ("../../etc/passwd", "_.._etc_passwd"),
        (".hidden", "hidden"),
        ("", "case"),
        ("...", "case"),
        ("  ", "case"),
        ("ends.", "ends"),
        ("-rf", "_-rf"),
        ("CON", "_CON"),
        ("nul.nii", "_nul.nii"),
        ("com1", "_com1"),
        ("console", "console"),
        ("Müller", "Müller"),
        ("肝臓", "肝臓"),
        ("a\x00b\nc", "a_b_c"),
        ('a<b>:"|?*', "a_b______"),
    ],
)
def test_g25_an_id_holds_nothing_that_a_file_system_or_a_shell_could_misread(name: str, expected: str):
    assert safe_id(name, []) == expected


def test_composed_and_decomposed_letters_give_the_same_id():
    assert safe_id("Mu\u0308ller", []) == safe_id("M\u00fcller", []) == "M\u00fcller"


def test_g16_ids_differ_in_more_than_upper_and_lower_case():
    assert safe_id("Case1", ["case1"]) == "Case1_2"
    assert safe_id("Case1", ["case1", "CASE1_2"]) == "Case1_3"


def test_g16_a_very_long_name_is_cut_and_stays_different_from_its_neighbour():
    first, second = safe_id("x" * 300 + "1", []), safe_id("x" * 300 + "2", [])
    assert len(first) == len(second) == 64
    assert first != second
    assert len(safe_id("x" * 64, ["x" * 64])) == 64


def test_g16_a_long_name_of_wide_letters_fits_a_file_system_that_counts_bytes():
    assert len(safe_id("\U00020000" * 80, []).encode()) <= 200


@given(st.text(max_size=120), st.lists(st.text(max_size=20), max_size=4))
def test_g25_any_text_gives_a_new_valid_id_that_is_its_own_id(name: str, taken: list[str]):
    result = safe_id(name, taken)
    assert 1 <= len(result) <= 64
    assert result[0] not in ".-"
    assert result[-1] != "."
    assert all(c in "-_." or unicodedata.category(c)[0] in "LNM" for c in result)
    assert result.casefold() not in {other.casefold() for other in taken}
    assert safe_id(result, []) == result


def test_a_slug_is_lower_case_with_underscores():
    assert slug("Left kidney") == "left_kidney"


@given(
    st.lists(
        st.text(min_size=1, max_size=80), min_size=2, max_size=6, unique_by=lambda t: t.casefold().replace(" ", "_")
    )
)
def test_different_labels_have_different_slugs(names: list[str]):
    slugs = [slug(name) for name in names]
    assert len({s.casefold() for s in slugs}) == len(names)
    assert all("/" not in s and "\\" not in s and s for s in slugs)


def test_a_relative_path_is_resolved_inside_the_root(tmp_path: Path):
    assert inside(tmp_path, "labels/0003.seg.nrrd") == tmp_path.resolve() / "labels" / "0003.seg.nrrd"


@pytest.mark.parametrize(
    "path",
    ["../other/image.nii.gz", "labels/../../x", "/etc/passwd", "C:\\x", "C:x", "..\\x", "\\\\server\\share", "a\x00b"],
)
def test_g25_a_path_that_leads_outside_is_refused(tmp_path: Path, path: str):
    with pytest.raises(ProjectError, match="leads outside the project folder"):
        inside(tmp_path, path)


def test_g25_a_link_that_leads_outside_is_refused(tmp_path: Path):
    (tmp_path / "secret").mkdir()
    root = tmp_path / "project"
    root.mkdir()
    (root / "labels").symlink_to(tmp_path / "secret")
    with pytest.raises(ProjectError, match="leads outside the project folder"):
        inside(root, "labels/x.nii.gz")


def test_a_project_reached_through_a_link_is_still_inside_itself(tmp_path: Path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert inside(tmp_path / "link", "case.json") == (tmp_path / "real" / "case.json").resolve()
