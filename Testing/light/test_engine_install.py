"""Installing the engine: what is offered, refused and reported. pip is a stand-in, the rules are not."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from SemiSupSegLib.engine_install.dry_run import DryRun, dry_run_command
from SemiSupSegLib.engine_install.installation import Installation, Stage
from SemiSupSegLib.engine_install.plan import Change, Plan, read_plan
from SemiSupSegLib.engine_install.requirements import (
    InstallError,
    constraints,
    installed_versions,
    is_protected,
    missing,
    read_requirements,
)

SLICER = {"numpy": "2.1.0", "simpleitk": "2.4.0", "pydicom": "3.0.1", "packaging": "25.0"}
"""What a Slicer without the engine has."""
WANTED = (Requirement("monai>=1.4"), Requirement("psutil>=5.9"))
ENGINE = {"monai": "1.5.0", "psutil": "7.0.0", "torch": "2.7.0"}


def pip_report(**packages: str) -> str:
    """What `pip install --dry-run --report` writes."""
    entries = [
        {"metadata": {"name": name, "version": version}, "requested": True} for name, version in packages.items()
    ]
    return json.dumps({"version": "1", "pip_version": "24.0", "install": entries, "environment": {}})


class APip:
    """Answers at the second look, as a process does that takes its time."""

    def __init__(self, answer: Plan | InstallError) -> None:
        self.answer, self.looks, self.asked = answer, 0, ()

    def __call__(self, python, wanted, installed, *, wheels=None):  # noqa: ARG002
        self.asked = tuple(map(str, wanted))
        return self

    def poll(self) -> Plan | None:
        self.looks += 1
        if self.looks < 2:
            return None
        if isinstance(self.answer, InstallError):
            raise self.answer
        return self.answer

    def cancel(self) -> None:
        pass


class ASlicer:
    """An environment that the installers change, and a list of what was called in it."""

    def __init__(self, **more: str) -> None:
        self.packages = {**SLICER, **more}
        self.calls: list[str] = []
        self.held: list[str] = []
        self.breaks: Exception | None = None
        self.sneaks: dict[str, str] = {}

    def torch(self, versions: str, held: str) -> None:
        self.calls.append(f"torch{versions}")
        self.held.append(held)
        self.packages["torch"] = ENGINE["torch"]

    def pip(self, words: list[str], held: str) -> None:
        self.calls.append(" ".join(words))
        self.held.append(held)
        if self.breaks:
            raise self.breaks
        self.packages |= {name: ENGINE[name] for name in ("monai", "psutil")} | self.sneaks

    def installation(self, pip: APip, **more) -> Installation:
        given = {"install_torch": self.torch, "install_packages": self.pip, **more}
        return Installation(WANTED, python="PythonSlicer", installed=lambda: dict(self.packages), dry_run=pip, **given)


def run(installation: Installation) -> Stage:
    installation.start()
    for _ in range(5):
        installation.poll()
    return installation.install()


@pytest.fixture
def a_slicer() -> ASlicer:
    """Slicer without the engine."""
    return ASlicer()


@pytest.fixture
def a_willing_pip() -> APip:
    """pip, which would only add packages."""
    return APip(Plan((Change("monai", None, "1.5.0"), Change("torch", None, "2.7.0"))))


def test_the_offer_names_each_missing_package_and_how_much_is_downloaded(a_slicer, a_willing_pip):
    offer = a_slicer.installation(a_willing_pip).offer
    assert "torch>=2.4" in offer
    assert "monai>=1.4" in offer
    assert "MB" in offer


def test_nothing_is_asked_or_installed_before_the_click(a_slicer, a_willing_pip):
    installation = a_slicer.installation(a_willing_pip)
    assert installation.offer
    assert installation.poll() is Stage.IDLE
    assert installation.install() is Stage.IDLE
    assert (a_slicer.calls, a_willing_pip.looks) == ([], 0)


def test_torch_comes_first_and_through_slicers_own_way_and_the_rest_in_one_go(a_slicer, a_willing_pip):
    assert run(a_slicer.installation(a_willing_pip)) is Stage.DONE
    assert a_slicer.calls == ["torch>=2.4", "monai>=1.4 psutil>=5.9"]


def test_a_torch_that_is_new_enough_stays(a_willing_pip):
    slicer = ASlicer(torch="2.5.1+cu121")
    assert run(slicer.installation(a_willing_pip)) is Stage.DONE
    assert slicer.calls == ["monai>=1.4 psutil>=5.9"]


def test_a_second_click_finds_nothing_to_do(a_slicer, a_willing_pip):
    run(a_slicer.installation(a_willing_pip))
    a_slicer.calls.clear()
    again = a_slicer.installation(a_willing_pip)
    assert again.offer == ""
    assert run(again) is Stage.DONE
    assert a_slicer.calls == []


@pytest.mark.parametrize("name", ["numpy", "SimpleITK", "vtk", "pydicom", "itk", "itk-core"])
@pytest.mark.robustness
def test_an_installation_that_would_change_what_slicer_is_built_on_is_refused(a_slicer, name):
    pip = APip(Plan((Change("monai", None, "1.5.0"), Change(name, a_slicer.packages.get(name), "9.9"))))
    installation = a_slicer.installation(pip)
    assert run(installation) is Stage.FAILED
    assert name in str(installation.problem)
    assert a_slicer.calls == []


def test_the_installers_are_told_to_hold_slicers_packages_at_their_versions(a_slicer, a_willing_pip):
    run(a_slicer.installation(a_willing_pip))
    own = "numpy==2.1.0\npydicom==3.0.1\nsimpleitk==2.4.0\n"
    assert a_slicer.held == [own, own + "torch==2.7.0\n"]


@pytest.mark.robustness
def test_a_package_of_slicers_that_changed_all_the_same_is_reported_as_a_failure(a_slicer, a_willing_pip):
    a_slicer.sneaks = {"numpy": "1.26.4"}
    installation = a_slicer.installation(a_willing_pip)
    assert run(installation) is Stage.FAILED
    assert "numpy 2.1.0 -> 1.26.4" in installation.report


@pytest.mark.robustness
def test_when_pip_finds_no_way_nothing_is_installed_and_its_words_can_be_copied(a_slicer):
    installation = a_slicer.installation(APip(InstallError("nothing was installed", "ERROR: ResolutionImpossible")))
    assert run(installation) is Stage.FAILED
    assert a_slicer.calls == []
    assert "ResolutionImpossible" in installation.report


@pytest.mark.robustness
def test_after_a_broken_download_a_second_click_goes_on_from_what_is_there(a_slicer, a_willing_pip):
    a_slicer.breaks = OSError("connection lost")
    installation = a_slicer.installation(a_willing_pip)
    assert run(installation) is Stage.FAILED
    assert "connection lost" in installation.report
    a_slicer.breaks = None
    a_slicer.calls.clear()
    assert run(installation) is Stage.DONE
    assert a_slicer.calls == ["monai>=1.4 psutil>=5.9"]


@pytest.mark.robustness
def test_packages_that_are_not_there_after_an_installation_without_error_are_a_failure(a_slicer, a_willing_pip):
    installation = a_slicer.installation(a_willing_pip, install_packages=lambda words, held: None)  # noqa: ARG005
    assert run(installation) is Stage.FAILED
    assert "monai>=1.4" in str(installation.problem)


def test_a_hospital_without_network_installs_everything_from_a_folder_of_wheels(a_slicer, a_willing_pip):
    installation = a_slicer.installation(a_willing_pip, wheels=Path("wheels"))
    run(installation)
    assert a_slicer.calls == ["--no-index --find-links wheels torch>=2.4 monai>=1.4 psutil>=5.9"]


def test_the_report_holds_versions_and_no_home_folder(a_slicer, a_willing_pip):
    a_slicer.breaks = OSError(f"disk full: {Path.home()}/slicer")
    installation = a_slicer.installation(a_willing_pip)
    run(installation)
    assert "numpy 2.1.0" in installation.report
    assert "monai not installed" in installation.report
    assert str(Path.home()) not in installation.report


def test_a_report_of_pip_becomes_a_plan_with_the_versions_before_and_after():
    plan = read_plan(pip_report(monai="1.5.0", PyYAML="6.0.2", numpy="1.26.4"), {**SLICER, "pyyaml": "5.4"})
    assert [str(c) for c in plan.changes] == ["monai 1.5.0", "numpy 2.1.0 -> 1.26.4", "pyyaml 5.4 -> 6.0.2"]
    assert plan.refusal is not None
    assert plan.words.splitlines()[0] == "install monai 1.5.0"


def test_a_report_without_packages_changes_nothing():
    plan = read_plan(pip_report(), SLICER)
    assert plan.refusal is None
    assert plan.words == "nothing to install"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"install": [{}]}', "Usage: pip install"])
@pytest.mark.robustness
def test_an_answer_of_pip_that_is_no_report_is_an_error_in_one_sentence(text):
    with pytest.raises(InstallError, match="not understood"):
        read_plan(text, SLICER)


def test_a_package_is_missing_when_it_is_absent_or_too_old_and_markers_are_kept():
    wanted = [Requirement(w) for w in ("psutil>=5.9", "numpy>=1.26", "cattrs>=23", "wmi>=1; sys_platform == 'never'")]
    assert [r.name for r in missing(wanted, {"psutil": "5.1", "numpy": "2.1.0"})] == ["psutil", "cattrs"]


def test_a_development_version_that_is_high_enough_counts():
    assert missing([Requirement("torch>=2.4")], {"torch": "2.8.0.dev20250601+cu128"}) == ()


@pytest.mark.parametrize("name", ["NumPy", "simpleitk", "ITK", "itk_filtering", "vtk", "vtk-osmesa", "pydicom"])
def test_slicers_own_packages_are_known_however_they_are_written(name):
    assert is_protected(name)


@pytest.mark.parametrize("name", ["numpydoc", "itkwidgets", "torch", "pydicom-seg"])
def test_packages_with_similar_names_are_free(name):
    assert not is_protected(name)


def test_a_torch_built_for_the_graphics_card_is_held_with_its_companions_and_one_that_is_too_old_is_not():
    family = {"torch": "2.5.1+cu121", "torchvision": "0.20.1+cu121"}
    assert constraints(family) == "torch==2.5.1+cu121\ntorchvision==0.20.1+cu121\n"
    assert constraints(family | {"torch": "2.1.0"}) == ""


def test_the_constraints_hold_only_what_is_installed():
    assert constraints({"numpy": "2.1.0", "rich": "14.0"}) == "numpy==2.1.0\n"


def test_this_pythons_packages_are_found():
    assert {"numpy", "simpleitk", "packaging"} <= installed_versions().keys()


def test_the_file_of_requirements_is_read_with_its_comments(tmp_path):
    path = tmp_path / "requirements.txt"
    path.write_text("# why\n\nmonai>=1.4,<2  # as tested\n--no-binary x\n")
    assert [str(r) for r in read_requirements(path)] == ["monai<2,>=1.4"]


@pytest.mark.parametrize("line", ["torch>=2", "numpy", "SimpleITK>=2.3", "monai >< 3"])
@pytest.mark.robustness
def test_a_file_that_lists_torch_or_slicers_packages_or_nonsense_is_refused(tmp_path, line):
    path = tmp_path / "requirements.txt"
    path.write_text(line)
    with pytest.raises(InstallError, match=r"requirements\.txt"):
        read_requirements(path)


@pytest.mark.robustness
def test_a_list_that_is_not_there_is_an_error_in_one_sentence(tmp_path):
    with pytest.raises(InstallError, match="cannot be read"):
        read_requirements(tmp_path / "requirements.txt")


def fake_pip(script: str):
    """Starts this Python with a script in pip's place; ``sys.argv`` holds pip's words."""

    def start(command: list[str], **how):
        return subprocess.Popen([sys.executable, "-c", script, *command[1:]], **how)

    return start


def answer_of(dry_run: DryRun) -> Plan:
    deadline = time.monotonic() + 60
    while (plan := dry_run.poll()) is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return plan


WRITE = f"import sys; open(sys.argv[sys.argv.index('--report') + 1], 'w').write({pip_report(monai='1.5.0')!r})"


def test_a_process_that_writes_a_report_is_understood_and_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert answer_of(DryRun("python", WANTED, SLICER, start=fake_pip(WRITE))).changes == (
        Change("monai", None, "1.5.0"),
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.robustness
def test_a_process_that_fails_gives_its_last_words_whatever_bytes_they_are():
    script = "import sys; sys.stdout.buffer.write(b'No matching distribution \\xff'); sys.exit(1)"
    with pytest.raises(InstallError, match="no way") as caught:
        answer_of(DryRun("python", WANTED, SLICER, start=fake_pip(script)))
    assert "No matching distribution" in caught.value.detail


@pytest.mark.robustness
def test_an_interpreter_that_cannot_be_started_is_an_error_in_one_sentence(tmp_path):
    with pytest.raises(InstallError, match="cannot be started"):
        DryRun(str(tmp_path / "no_python"), WANTED, SLICER)


def test_a_dry_run_that_is_given_up_ends_its_process(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    started = []

    def start(command, **how):
        started.append(fake_pip("import time; time.sleep(60)")(command, **how))
        return started[0]

    DryRun("python", WANTED, SLICER, start=start).cancel()
    assert started[0].poll() is not None
    assert list(tmp_path.iterdir()) == []


def test_pip_is_asked_for_a_dry_run_that_may_not_ask_back():
    words = dry_run_command("python", WANTED, Path("r.json"), held=Path("held.txt"))
    assert {"--dry-run", "--no-input", "--constraint"} <= set(words)
    assert words[-2:] == ["monai>=1.4", "psutil>=5.9"]
