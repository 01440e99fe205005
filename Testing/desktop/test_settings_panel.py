"""Settings: who annotates, the engine's installation with its dry run and report, and deleting what is stored."""

from __future__ import annotations

import pytest
from packaging.requirements import Requirement
from screen import PICTURES

from SemiSupSegLib.engine_install.installation import Installation


class Pip:
    """pip's dry run: it answers at the second look."""

    def __init__(self, refusal: str) -> None:
        self._refusal, self.looks = refusal, 0

    def poll(self):
        self.looks += 1
        return None if self.looks < 2 else _Answer(self._refusal)

    def cancel(self) -> None:
        pass


class _Answer:
    """What a dry run found."""

    def __init__(self, refusal: str) -> None:
        self.refusal = refusal
        self.words = "would install:\n  monai 1.6.1" + ("\n  numpy 1.26.4 -> 2.4.0" if refusal else "")


@pytest.fixture
def an_installation():
    """The engine is not there; ``an_installation(refusal)`` says what pip would do to Slicer's own packages."""

    def make(refusal: str = ""):
        there = {"numpy": "1.26.4", "torch": "2.8.0"}
        made = Installation(
            [Requirement("monai>=1.5")], python="python", install_torch=None,
            install_packages=lambda _words, _held: there.update(monai="1.6.1"), installed=lambda: dict(there),
            dry_run=lambda *_said, **_also: Pip(refusal),
        )  # fmt: skip
        made.there = there
        return made

    return make


def install(screen) -> None:
    engine = screen.panel.settings.engine
    assert engine.installButton.isEnabled(), engine.installButton.toolTip
    engine.installButton.click()
    screen.look()


def answered(screen) -> None:
    """Let pip answer: two looks of the installer's timer."""
    for _look in range(2):
        screen.panel.settings.engine._installer._poll()
    screen.look()


def test_the_offer_names_packages_and_says_what_stays_as_it_is(a_session, open_panel, an_installation) -> None:
    screen = open_panel(a_session, installation=an_installation())
    screen.unfold("settingsBox")
    offer = screen.panel.settings.engine.offerLabel.text
    assert "monai>=1.5" in offer
    assert "NumPy, SimpleITK, ITK, VTK and pydicom stay as they are" in offer
    assert screen.widget("engineChip").text == "⚠ Engine not installed"
    screen.photograph(PICTURES / "13_settings_offer.png")


def test_an_allowed_installation_asks_first_then_installs_and_the_chip_says_ready(
    a_session, open_panel, an_installation
) -> None:
    installation = an_installation()
    screen = open_panel(a_session, installation=installation)
    screen.unfold("settingsBox")
    install(screen)
    engine = screen.panel.settings.engine
    assert engine.statusLabel.text == "asking pip what would change"
    assert "monai" not in installation.there
    assert engine.installButton.toolTip == "Install engine: an installation is under way"
    answered(screen)
    assert installation.there["monai"] == "1.6.1"
    assert engine.statusLabel.text == "installed"
    assert screen.message == "The engine is ready"
    assert screen.widget("engineChip").text == "● Engine ready"


def test_a_dry_run_that_would_touch_numpy_is_refused_with_a_report_to_copy(
    a_session, open_panel, an_installation, host
) -> None:
    installation = an_installation("numpy 1.26.4 would become 2.4.0, and Slicer is built on it: nothing was installed")
    screen = open_panel(a_session, installation=installation)
    screen.unfold("settingsBox")
    install(screen)
    answered(screen)
    engine = screen.panel.settings.engine
    assert "numpy 1.26.4 would become 2.4.0" in engine.statusLabel.text
    assert "monai" not in installation.there
    assert "numpy 1.26.4 -> 2.4.0" in engine.reportText.plainText
    screen.photograph(PICTURES / "14_settings_refused.png")
    engine.copyButton.click()
    assert host.application.clipboard().text() == installation.report
    assert engine.installButton.isEnabled()


def test_what_is_stored_is_deleted_and_the_project_stays(a_project, a_session, open_panel) -> None:
    a_session.open(a_project.root)
    screen = open_panel(a_session)
    screen.unfold("settingsBox")
    a_project.cache_folder.joinpath("volumes").mkdir(parents=True, exist_ok=True)
    screen.panel.redraw()
    assert "this computer remembers: 1" in screen.widget("storedLabel").text
    assert "a cache that can be made again" in screen.widget("storedLabel").text
    screen.click("deleteStoredButton")
    assert "projects, labels and models stay" in screen.message
    assert not a_project.cache_folder.exists()
    assert a_session.project.case("patient_1").labels_file
    assert screen.widget("deleteStoredButton").toolTip == "Delete stored content: there is none"


def test_the_annotators_name_stands_in_the_journal_from_then_on(a_project, a_session, open_panel) -> None:
    from SemiSupSegLib.project.annotation import State

    a_session.open(a_project.root)
    screen = open_panel(a_session)
    screen.unfold("settingsBox")
    edit = screen.widget("whoEdit")
    assert edit.text == "ann"
    edit.setText("bea")
    edit.editingFinished.emit()
    a_session.set_state("spleen", State.ABSENT, "patient_3")
    assert a_session.project.journal.last().who == "bea"
    edit.setText("  ")
    edit.editingFinished.emit()
    assert edit.text == "bea"  # somebody it must be


def test_the_panel_says_that_nothing_leaves_this_computer(a_session, open_panel) -> None:
    screen = open_panel(a_session)
    assert "nothing is sent" in screen.widget("privacyLabel").text
