"""What the Extensions Index and Slicer ask of an extension, checked against their published rules.

The rules stand here in our own words: version 1.0.2 of the index's schema (allowed keys, their types, the three that
are required), the names that its scripts refuse, and the checklist of a submission.
"""

from __future__ import annotations

import ast
import json
import re
import struct
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from SemiSupSegLib.engine_install.requirements import TORCH, is_protected, read_requirements

REPOSITORY = Path(__file__).resolve().parents[2]
MODULE = REPOSITORY / "SemiSupSeg"
ENTRY = REPOSITORY / "SemiSupSeg.json"
SCHEMA = (
    "https://raw.githubusercontent.com/Slicer/Slicer/main/Schemas/slicer-extension-catalog-entry-schema-v1.0.2.json#"
)
KEYS = {
    "$schema": str,
    "category": str,
    "scm_url": str,
    "scm_revision": str,
    "scm_type": str,
    "build_dependencies": list,
    "build_subdirectory": str,
    "dicom_support_rule": str,
    "enabled": bool,
    "tier": int,
}
REQUIRED = {"$schema", "category", "scm_url"}
BROUGHT_BY_SLICER = {"numpy", "simpleitk", "packaging", TORCH.name}
FREE_AT_FILE_SCOPE = {"slicer", "vtk", "SimpleITK", "numpy", "qt", "ctk", "SemiSupSegLib"} | {
    "SemiSupSegScene", "SemiSupSegDesktop",
}  # fmt: skip


def offences(text: str) -> list[str]:
    """What the index would refuse in an entry, in words; empty when there is nothing."""
    entry = json.loads(text)
    found = [f"{key} is missing" for key in sorted(REQUIRED - entry.keys())]
    for key, value in entry.items():
        if key not in KEYS:
            found.append(f"{key} is not allowed")
        elif type(value) is not KEYS[key]:
            found.append(f"{key} must be {KEYS[key].__name__}")
    if entry.get("$schema") != SCHEMA:
        found.append("another schema than 1.0.2")
    if entry.get("tier", 1) not in range(1, 6):
        found.append("tier is 1 to 5")
    if not all(isinstance(name, str) for name in entry.get("build_dependencies", [])):
        found.append("dependencies are names")
    address = re.fullmatch(r"https://[^/\s]+/[^/\s]+/([^/\s]+?)(\.git)?", entry.get("scm_url", ""))
    if address is None or "slicer" not in address[1].lower():
        found.append("scm_url must be https and its repository be called Slicer...")
    if "\r" in text or not text.endswith("\n"):
        found.append("lines must end with LF, the last one too")
    return found


def metadata() -> dict[str, str]:
    text = (REPOSITORY / "CMakeLists.txt").read_text(encoding="utf-8")
    return dict(re.findall(r'set\(EXTENSION_(\w+) "([^"]*)"\)', text))


def test_the_entry_keeps_to_the_rules_of_the_index():
    assert offences(ENTRY.read_bytes().decode()) == []


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"homepage": "x"}, "homepage"),
        ({"tier": 9}, "tier"),
        ({"tier": "3"}, "tier"),
        ({"build_dependencies": [1]}, "names"),
        ({"scm_url": "git://example.org/a/SlicerX"}, "scm_url"),
        ({"scm_url": "https://example.org/a/SemiSupSeg.git"}, "scm_url"),
        ({"$schema": "v1.0.0"}, "schema"),
    ],
)
def test_the_check_itself_sees_each_offence(change, word):
    text = json.dumps(json.loads(ENTRY.read_text()) | change) + "\n"
    assert any(word in offence for offence in offences(text))


def test_the_check_itself_sees_windows_line_ends_and_missing_keys():
    assert any("LF" in o for o in offences(ENTRY.read_text().replace("\n", "\r\n")))
    assert "category is missing" in offences('{"$schema": "' + SCHEMA + '"}\n')


def test_the_entry_and_the_build_name_the_same_dependencies_and_repository():
    entry = json.loads(ENTRY.read_text())
    assert metadata()["DEPENDS"].split() == entry["build_dependencies"]
    assert metadata()["HOMEPAGE"] == entry["scm_url"].removesuffix(".git")


def test_the_extension_is_called_like_its_entry_and_not_slicer_something():
    assert "project(SemiSupSeg)" in (REPOSITORY / "CMakeLists.txt").read_text()
    assert not ENTRY.stem.startswith("Slicer")


@pytest.mark.parametrize("field", ["ICONURL", "SCREENSHOTURLS"])
def test_pictures_are_fetched_by_https_from_files_of_this_repository(field):
    base = metadata()["HOMEPAGE"].replace("https://github.com/", "https://raw.githubusercontent.com/") + "/main/"
    for address in metadata()[field].split():
        assert address.startswith(base)
        assert (REPOSITORY / address.removeprefix(base)).is_file(), address


@pytest.mark.parametrize(
    "path", [REPOSITORY / "Resources" / "SemiSupSeg.png", MODULE / "Resources/Icons/SemiSupSeg.png"]
)
def test_the_icon_is_a_png_of_128_pixels_with_a_transparent_ground(path):
    head = path.read_bytes()[:26]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", head[16:24]) == (128, 128)
    assert head[25] == 6  # colour and opacity


def test_a_licence_stands_in_the_repository():
    assert "MIT License" in (REPOSITORY / "LICENSE.txt").read_text()


def test_slicer_installs_what_the_project_itself_asks_for_and_nothing_that_slicer_brings():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["dependencies"]
    asked = {canonicalize_name(r.name): r.specifier for r in map(Requirement, project)}
    offered = {canonicalize_name(r.name): r.specifier for r in read_requirements(MODULE / "Resources/requirements.txt")}
    assert offered == {name: range_ for name, range_ in asked.items() if name not in BROUGHT_BY_SLICER}
    assert asked["torch"] == TORCH.specifier


def test_requirements_are_ranges_that_leave_other_extensions_their_versions():
    for requirement in read_requirements(MODULE / "Resources/requirements.txt"):
        assert requirement.specifier, requirement
        assert {s.operator for s in requirement.specifier} <= {">=", "<", "!="}, requirement
        assert not is_protected(requirement.name)


def sources() -> list[Path]:
    return sorted(p for p in MODULE.rglob("*.py") if "SemiSupSegBrowser" not in p.parts)


@pytest.mark.parametrize("path", sources(), ids=lambda p: p.name)
def test_slicer_can_load_each_file_before_anything_is_installed(path):
    foreign = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            foreign |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            foreign.add((node.module or "").partition(".")[0])
    assert foreign - FREE_AT_FILE_SCOPE - sys.stdlib_module_names == set()


def test_the_modules_main_script_imports_no_part_of_the_library_at_file_scope():
    text = (MODULE / "SemiSupSeg.py").read_text(encoding="utf-8")
    assert not re.search(r"^(from|import) SemiSupSeg", text, re.MULTILINE)


def test_the_modules_main_script_holds_the_classes_that_slicer_looks_for():
    tree = ast.parse((MODULE / "SemiSupSeg.py").read_text(encoding="utf-8"))
    classes = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    assert classes >= {"SemiSupSeg", "SemiSupSegWidget", "SemiSupSegLogic", "SemiSupSegTest"}


def test_the_samples_say_which_of_them_is_synthetic_and_name_slicers_own():
    samples = json.loads((MODULE / "Resources/SampleData/samples.json").read_text(encoding="utf-8"))
    assert "SYNTHETIC" in samples["synthetic"]["description"]
    assert "Synthetic" in samples["synthetic"]["name"]
    assert (MODULE / "Resources/Icons" / samples["synthetic"]["thumbnail"]).is_file()
    assert 0 < samples["synthetic"]["unlabelled"] < samples["synthetic"]["cases"]
    assert {row["modality"] for row in samples["slicer"]} == {"CT", "MR"}
    assert len({row["name"] for row in samples["slicer"]}) == len(samples["slicer"])
