"""EngineInstallPanel: what would be installed, the one button that does it, and a report to copy."""

from __future__ import annotations

from collections.abc import Callable

import qt
import slicer
from slicer.i18n import tr as _

from .EngineInstaller import EngineInstaller


class EngineInstallPanel:
    """Shown instead of the panel while packages are missing, and inside Settings afterwards.

    Args:
        parent: widget with a layout.
        installation: what :func:`~.EngineInstaller.makeInstallation` gave.
        onReady: called once everything is there.
    """

    def __init__(self, parent, installation, onReady: Callable[[], None]) -> None:
        self._installation = installation
        self._onReady = onReady
        self._installer = EngineInstaller(installation, self.showStage)
        self.widget = qt.QWidget(parent)
        layout = qt.QVBoxLayout(self.widget)
        self.offerLabel = qt.QLabel()
        self.offerLabel.setWordWrap(True)
        self.installButton = qt.QPushButton(_("Install engine"))
        self.statusLabel = qt.QLabel()
        self.statusLabel.setWordWrap(True)
        self.reportText = qt.QPlainTextEdit()
        self.reportText.setReadOnly(True)
        self.copyButton = qt.QPushButton(_("Copy report"))
        self.installButton.setObjectName("installButton")
        self.copyButton.setObjectName("copyButton")
        self.copyButton.setToolTip(_("Versions and what happened, without the name of your folders"))
        for part in (self.offerLabel, self.installButton, self.statusLabel, self.reportText, self.copyButton):
            layout.addWidget(part)
        layout.addStretch(1)
        parent.layout().addWidget(self.widget)
        self.installButton.connect("clicked()", self._installer.start)
        self.copyButton.connect("clicked()", self.copyReport)
        self._showOffer()

    def _showOffer(self) -> None:
        offer = self._installation.offer
        words = _(
            "SemiSupSeg trains in a process of its own, with packages that Slicer does not bring. This installs:\n"
            "{offer}\n"
            "They are downloaded from the Python package index; nothing is sent. NumPy, SimpleITK, ITK, VTK and "
            "pydicom stay as they are, or nothing is installed."
        )
        self.offerLabel.setText(words.format(offer=offer) if offer else _("The engine is installed."))
        self.installButton.setEnabled(bool(offer))
        there = _("Install engine: everything is there already")
        tip = _("Asks pip what would change, then installs the packages named above") if offer else there
        self.installButton.setToolTip(tip)
        self._showReport(shown=False)

    def showStage(self, stage) -> None:
        """Say how far the installation is; called by the installer."""
        from SemiSupSegLib.engine_install.installation import Stage

        working = stage in (Stage.ASKING, Stage.ALLOWED)
        self.installButton.setEnabled(not working)
        self.installButton.setToolTip(_("Install engine: an installation is under way") if working else _("Try again"))
        problem = self._installation.problem
        self.statusLabel.setText(str(problem) if problem else _(stage.value))
        self._showReport(shown=not working)
        if stage is Stage.DONE:
            self._showOffer()
            self._onReady()

    def _showReport(self, *, shown: bool) -> None:
        self.reportText.setVisible(shown)
        self.copyButton.setVisible(shown)
        if shown:
            self.reportText.setPlainText(self._installation.report)

    def copyReport(self) -> None:
        """Put the report on the clipboard."""
        qt.QApplication.clipboard().setText(self._installation.report)
        slicer.util.showStatusMessage(_("The report is on the clipboard"), 3000)

    def cleanup(self) -> None:
        """Stop asking pip, and take the widget away."""
        self._installer.cancel()
        self.widget.hide()
        self.widget.deleteLater()
