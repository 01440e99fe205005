"""The module as Slicer sees it: its name, an empty shell for the panel, and the test that runs inside Slicer.

Every rule lives in ``SemiSupSegLib.session``, what touches the scene in ``SemiSupSegScene``, what is clicked in
``SemiSupSegDesktop``. They are imported when the module is first opened, so Slicer starts as fast as without it, and
works where the engine's packages are not installed yet.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)

OLDEST_PYTHON = (3, 11)


def findLibrary() -> None:
    """Let Python find SemiSupSegLib: beside the module once installed, one folder up in a checkout."""
    if importlib.util.find_spec("SemiSupSegLib") is None:
        sys.path.append(str(Path(__file__).resolve().parents[1]))


#
# SemiSupSeg
#


class SemiSupSeg(ScriptedLoadableModule):
    """What Slicer's module list shows."""

    def __init__(self, parent) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("SemiSupSeg")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = ["Segmentations", "SegmentEditor", "Volumes"]
        parent.contributors = ["SemiSupSeg contributors"]
        parent.helpText = _(
            "Label a cohort of CT or MR volumes without drawing every organ in every case. Annotate some organs in "
            "some volumes, train on exactly that, look at the proposals where they are unsure, and accept what is "
            "right, organ by organ. A missing annotation is unknown, never background. Every acceptance can be undone."
            "<br>"
            "Research software, not a medical device: look at every label before you rely on it.<br>"
            'See the <a href="https://github.com/SemiSupSeg/SlicerSemiSupSeg#in-3d-slicer">tutorial</a>.'
        )
        parent.acknowledgementText = _(
            "Methods: Petit et al., Handling missing annotations for semantic segmentation with deep ConvNets, "
            "DLMIA 2018, and others that each file names. Built on 3D Slicer, SimpleITK, PyTorch, MONAI and "
            "Lightning Fabric."
        )
        slicer.app.connect("startupCompleted()", registerSampleData)


def registerSampleData() -> None:
    """Add the synthetic cohort to Slicer's Sample Data module."""
    findLibrary()
    from SemiSupSegDesktop import SampleCohorts

    SampleCohorts.registerSampleData()


#
# SemiSupSegWidget
#


class SemiSupSegWidget(ScriptedLoadableModuleWidget):
    """A shell: either the offer to install the engine, or the panel."""

    def __init__(self, parent=None) -> None:
        self.logic = None
        self.installation = None
        self.panel = None
        self.installPanel = None
        ScriptedLoadableModuleWidget.__init__(self, parent)  # last: without a parent it calls setup itself

    def setup(self) -> None:
        ScriptedLoadableModuleWidget.setup(self)
        findLibrary()
        if sys.version_info < OLDEST_PYTHON:
            self._showTooOld()
            return
        from SemiSupSegDesktop.EngineInstaller import makeInstallation

        self.logic = SemiSupSegLogic()
        self.installation = makeInstallation(self.resourcePath("requirements.txt"))
        if self.installation.missing:
            from SemiSupSegDesktop.EngineInstallPanel import EngineInstallPanel

            self.installPanel = EngineInstallPanel(self.parent, self.installation, self.showPanel)
        else:
            self.showPanel()

    def _showTooOld(self) -> None:
        words = _("SemiSupSeg needs Python {oldest}, which Slicer has from version 5.10 on; this one has {found}.")
        oldest, found = (".".join(map(str, version[:2])) for version in (OLDEST_PYTHON, sys.version_info))
        label = qt.QLabel(words.format(oldest=oldest, found=found))
        label.setWordWrap(True)
        self.layout.addWidget(label)
        self.layout.addStretch(1)

    def showPanel(self) -> None:
        """Replace the offer by the panel; nothing when it is there."""
        if self.panel is not None:
            return
        from SemiSupSegDesktop.SampleCohorts import makeSyntheticCohort
        from SemiSupSegDesktop.SemiSupSegPanel import SemiSupSegPanel

        offered, self.installPanel = self.installPanel, None
        if offered is not None:
            offered.cleanup()
        self.panel = SemiSupSegPanel(
            self.parent, self.logic.session, installation=self.installation, sampleCohort=makeSyntheticCohort
        )
        if offered is not None:  # the module is on the screen already, and Slicer does not enter it again
            self.panel.enter()

    def enter(self) -> None:
        """The module comes on the screen: keys act from here on."""
        if self.panel is not None:
            self.panel.enter()

    def exit(self) -> None:
        """Another module comes: keys act no longer; a training goes on."""
        if self.panel is not None:
            self.panel.exit()

    def cleanup(self) -> None:
        """Slicer closes, or the module is reloaded; a training goes on and is found again."""
        parts, self.panel, self.installPanel = (self.panel, self.installPanel), None, None
        for part in parts:
            if part is not None:
                part.cleanup()
        if self.logic is not None:
            self.logic.close()


#
# SemiSupSegLogic
#


class SemiSupSegLogic(ScriptedLoadableModuleLogic):
    """Holds the session, which is all the logic there is, and toolkit-free. Usable without the widget."""

    def __init__(self) -> None:
        ScriptedLoadableModuleLogic.__init__(self)
        self._session = None

    @property
    def session(self):
        """The one session of this Slicer; made when first asked for, because the engine may be missing before."""
        if self._session is None:
            findLibrary()
            from SemiSupSegLib.session import Session

            self._session = Session(background=True)
        return self._session

    def close(self) -> None:
        """Close the project; nothing when there was no session yet."""
        if self._session is not None:
            self._session.close()
            self._session = None


#
# SemiSupSegTest
#


class SemiSupSegTest(ScriptedLoadableModuleTest):
    """The whole loop in the real Slicer: a synthetic cohort, a child process that trains, review, accept, undo."""

    PATIENCE_SECONDS = 600.0

    def setUp(self) -> None:
        slicer.mrmlScene.Clear()
        findLibrary()
        self.room = tempfile.TemporaryDirectory(prefix="semisupseg_test_")
        self.session = None

    def tearDown(self) -> None:
        if self.session is not None:
            self.session.close()
        self.room.cleanup()

    def runTest(self) -> None:
        """Slicer calls this alone, from the Reload and Test button and from ctest."""
        tests = (
            self.test_SyntheticCaseIsShownAndLabelledAsSynthetic,
            self.test_NothingIsInstalledUnasked,
            self.test_Loop,
        )
        for test in tests:
            self.setUp()
            try:
                test()
            except unittest.SkipTest as reason:
                self.delayDisplay(_("skipped: {reason}").format(reason=reason))
            finally:
                self.tearDown()

    def test_SyntheticCaseIsShownAndLabelledAsSynthetic(self) -> None:
        """Sample Data makes a volume whose name says what it is, and the scene keeps what it held."""
        from SemiSupSegDesktop.SampleCohorts import loadSyntheticCase

        other = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "mine")
        volume = loadSyntheticCase()
        self.assertIn("synthetic", volume.GetName())
        self.assertIsNotNone(slicer.mrmlScene.GetNodeByID(other.GetID()))

    def test_NothingIsInstalledUnasked(self) -> None:
        """Opening the module installs nothing and imports no torch into Slicer."""
        from SemiSupSegLib.engine_install.requirements import installed_versions

        before = installed_versions()
        slicer.util.selectModule("SemiSupSeg")
        slicer.app.processEvents()
        self.assertEqual(installed_versions(), before)
        self.assertNotIn("torch", sys.modules)

    def test_Loop(self) -> None:
        """From a folder to an accepted organ and back, with every long step in a child process."""
        self._skipWithoutEngine()
        from SemiSupSegLib.project.synthetic import ORGANS, write_cohort

        folder = Path(self.room.name)
        write_cohort(folder / "cohort", cases=4, unlabelled=1, size=(36, 30, 24))
        self.session = session = SemiSupSegLogic().session
        project = folder / "project"
        session.create(project, labels=ORGANS)
        session.import_folder(folder / "cohort")
        self._waitFor(lambda: session.task is None and len(session.case_rows()) == 4, "the import")

        session.close()  # a training outlives the session that watched it, and is found again
        self._trainInTheBackground(project)
        session.open(project)
        self._waitFor(lambda: session.model is not None, "the training")
        if session.may_predict is None:  # else the prediction that follows a training is under way
            session.predict()
        self._waitFor(
            lambda: session.task is None and any(self._isWorthALook(r) for r in session.queue()), "the proposals"
        )

        row = next(row for row in session.queue() if self._isWorthALook(row))
        before = session.label_voxels(row.case, [row.label])[row.label]
        session.select(row.case, row.label)
        self._waitFor(lambda: session.busy is None, "opening the case")
        session.accept()
        self._waitFor(lambda: session.busy is None, "accepting")
        after = session.label_voxels(row.case, [row.label])[row.label]
        self.assertGreater(after.sum(), before.sum())
        self.assertTrue((after >= before).all())
        session.undo()
        self._waitFor(lambda: session.busy is None, "taking it back")
        again = session.label_voxels(row.case, [row.label])[row.label]
        self.assertTrue((again == before).all())
        self.assertNotIn("torch", sys.modules)
        self.delayDisplay(_("Test passed"))

    def _trainInTheBackground(self, project: Path) -> None:
        """A few steps on a coarse grid: enough for proposals, not for good ones."""
        import SemiSupSegLib

        place = str(Path(SemiSupSegLib.__file__).resolve().parents[1])
        words = ["train", str(project), "--preset", "quick", "--iterations", "60", "--spacing", "8", "--background"]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [place, os.environ.get("PYTHONPATH")]))}
        child = subprocess.Popen([*self.session.program, *words], stdin=subprocess.DEVNULL, env=environment)
        self._waitFor(lambda: child.poll() is not None, "the start of the training")
        self.assertEqual(child.returncode, 0)

    @staticmethod
    def _isWorthALook(row) -> bool:
        return row.open and row.volume_ml > 0

    def _skipWithoutEngine(self) -> None:
        from SemiSupSegDesktop.EngineInstaller import makeInstallation

        resources = Path(__file__).resolve().parent / "Resources"
        lacking = makeInstallation(str(resources / "requirements.txt")).missing
        if lacking:
            words = "the engine is not installed: open the module and click Install engine first; missing: "
            raise unittest.SkipTest(words + ", ".join(map(str, lacking)))

    def _waitFor(self, condition, what: str) -> None:
        """Let Slicer and the session live until something holds; fails after ten minutes, with the job's last words."""
        deadline = time.monotonic() + self.PATIENCE_SECONDS
        while True:
            slicer.app.processEvents()
            self.session.poll()
            if condition():
                return
            progress = self.session.progress
            self.assertLess(time.monotonic(), deadline, f"{what}: {progress and progress.words}")
            qt.QThread.msleep(50)
