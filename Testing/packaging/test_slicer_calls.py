"""The few lines that only Slicer can run, against stand-ins of the modules that they call."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

MODULE = Path(__file__).resolve().parents[2] / "SemiSupSeg"
HELD = "numpy==2.1.0\n"


class ASlicer:
    """Modules named as Slicer's, which note what they are asked, and what pip would have been held to meanwhile."""

    def __init__(self, cache: Path) -> None:
        self.calls: list[tuple] = []
        self.held: list[str] = []
        self.loaded: list[tuple[str, dict]] = []
        self.torch: object = "torch"
        cached = SimpleNamespace(GetRemoteCacheDirectory=lambda: str(cache))
        self.slicer = self._module(
            "slicer",
            modules=SimpleNamespace(),
            mrmlScene=SimpleNamespace(GetCacheManager=lambda: cached),
            util=SimpleNamespace(pip_install=lambda words: self._pip("util", words), loadVolume=self._load),
        )
        self.i18n = self._module("slicer.i18n", tr=str)
        self.packaging = self._module(
            "slicer.packaging", pip_install=lambda words, requester: self._pip(requester, words)
        )
        self.utils = self._module("PyTorchUtils", PyTorchUtilsLogic=lambda: SimpleNamespace(installTorch=self._torch))
        self.samples = self._module(
            "SampleData", SampleDataLogic=SimpleNamespace(registerCustomSampleDataSource=self._register)
        )
        self.registered: dict = {}

    @staticmethod
    def _module(name: str, **members) -> ModuleType:
        module = ModuleType(name)
        module.__dict__.update(members)
        return module

    def _note(self) -> None:
        address = os.environ["PIP_CONSTRAINT"].split()[-1]
        self.held.append(Path(address.removeprefix("file://")).read_text())

    def _pip(self, who, words) -> None:
        self._note()
        self.calls.append((who, words))

    def _torch(self, **asked):
        self._note()
        self.calls.append(("PyTorch", asked))
        return self.torch

    def _load(self, path, properties):
        self.loaded.append((path, properties))
        return SimpleNamespace(GetName=lambda: properties["name"])

    def _register(self, **source) -> None:
        self.registered = source


@pytest.fixture
def a_slicer(tmp_path, monkeypatch) -> ASlicer:
    """Slicer with its PyTorch extension and slicer.packaging, as from 5.11 on."""
    slicer = ASlicer(tmp_path)
    parts = {"slicer": slicer.slicer, "slicer.i18n": slicer.i18n, "slicer.packaging": slicer.packaging}
    for name, part in {
        **parts,
        "qt": ModuleType("qt"),
        "PyTorchUtils": slicer.utils,
        "SampleData": slicer.samples,
    }.items():
        monkeypatch.setitem(sys.modules, name, part)
    for name in [n for n in sys.modules if n.partition(".")[0] == "SemiSupSegDesktop"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(MODULE))
    monkeypatch.delenv("PIP_CONSTRAINT", raising=False)
    yield slicer
    for name in [n for n in sys.modules if n.partition(".")[0] == "SemiSupSegDesktop"]:
        del sys.modules[name]  # they hold the stand-ins


@pytest.fixture
def installer(a_slicer):  # noqa: ARG001 - its modules must be there first
    """The module EngineInstaller, inside that Slicer."""
    return importlib.import_module("SemiSupSegDesktop.EngineInstaller")


def test_torch_comes_from_the_extension_without_a_second_question_and_with_slicers_packages_held(a_slicer, installer):
    installer.installTorch(">=2.4", HELD)
    assert a_slicer.calls == [("PyTorch", {"askConfirmation": False, "torchVersionRequirement": ">=2.4"})]
    assert a_slicer.held == [HELD]


def test_a_torch_that_the_extension_did_not_install_is_an_error(a_slicer, installer):
    a_slicer.torch = None
    with pytest.raises(RuntimeError, match="PyTorch"):
        installer.installTorch(">=2.4", HELD)


def test_the_rest_comes_from_slicers_packaging_with_slicers_packages_held(a_slicer, installer):
    installer.installPackages(["monai>=1.4"], HELD)
    assert a_slicer.calls == [("SemiSupSeg", ["monai>=1.4"])]
    assert a_slicer.held == [HELD]


def test_an_older_slicer_installs_the_older_way(a_slicer, installer, monkeypatch):
    monkeypatch.setitem(sys.modules, "slicer.packaging", None)  # as if it were not there
    installer.installPackages(["monai>=1.4"], HELD)
    assert a_slicer.calls == [("util", ["monai>=1.4"])]
    assert a_slicer.held == [HELD]


@pytest.mark.parametrize("before", [None, "https://example.org/hospital.txt"])
def test_afterwards_pip_is_as_free_as_before_also_when_the_installation_broke(installer, monkeypatch, before):
    if before:
        monkeypatch.setenv("PIP_CONSTRAINT", before)
    seen = []

    def breaks():
        with installer.constrained(HELD):
            seen.append(os.environ["PIP_CONSTRAINT"])
            raise OSError("connection lost")

    with pytest.raises(OSError, match="lost"):
        breaks()
    assert seen[0].startswith(before or "file:")
    assert os.environ.get("PIP_CONSTRAINT") == before


def test_the_extension_is_looked_for_before_pip_is_left_to_choose_a_torch(a_slicer, installer):
    assert not installer.hasPyTorchExtension()
    a_slicer.slicer.modules.pytorchutils = object()
    assert installer.hasPyTorchExtension()


def test_the_installation_is_that_of_the_modules_own_list(installer):
    installation = installer.makeInstallation(str(MODULE / "Resources" / "requirements.txt"))
    assert "monai" in {requirement.name for requirement in installation.requirements}


def test_sample_data_offers_the_synthetic_cohort_and_downloads_nothing(a_slicer, installer):  # noqa: ARG001
    cohorts = importlib.import_module("SemiSupSegDesktop.SampleCohorts")
    cohorts.registerSampleData()
    assert a_slicer.registered["category"] == "SemiSupSeg"
    assert "Synthetic" in a_slicer.registered["sampleName"]
    assert a_slicer.registered["uris"] == ""
    assert Path(a_slicer.registered["thumbnailFileName"]).is_file()


def test_the_synthetic_cohort_is_made_once_and_its_first_volume_is_shown_by_its_name(a_slicer, installer, monkeypatch):  # noqa: ARG001
    cohorts = importlib.import_module("SemiSupSegDesktop.SampleCohorts")
    described = cohorts.samples()
    described["synthetic"] |= {"cases": 2, "unlabelled": 1}
    monkeypatch.setattr(cohorts, "samples", lambda: described)
    assert cohorts.loadSyntheticCase().GetName() == "synthetic_01"
    folder = cohorts.makeSyntheticCohort()
    assert len(list((folder / "images").iterdir())) == 2
    assert len(list((folder / "labels").iterdir())) == 1
    made = (folder / "dataset.json").stat().st_mtime_ns
    cohorts.loadSyntheticCase()
    assert (folder / "dataset.json").stat().st_mtime_ns == made
