"""ExportPanel: labels, model and audit for others, and proposals for a folder of volumes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

from .Panel import Panel
from .ProjectMenu import chooseFolder

__all__ = ["ExportPanel"]


class ExportPanel(Panel):
    """Four ways out. Each asks where to, and writes nothing over what is there."""

    def __init__(self, parent: Any, session: Any) -> None:
        super().__init__(parent, session)
        ui = self.ui
        for kind, words in (("nifti", _("NIfTI (.nii.gz)")), ("seg.nrrd", _("Slicer segmentation (.seg.nrrd)"))):
            ui.kindBox.addItem(words, kind)
        self.bind(
            ui.exportLabelsButton,
            self.exportLabels,
            lambda: session.may_export,
            _("With a table of what is known of each organ"),
        )
        self.bind(
            ui.exportModelButton,
            self.exportModel,
            self._mayExportModel,
            _("Weights, settings and names of the organs; nothing of a patient"),
        )
        self.bind(
            ui.exportAuditButton,
            self.exportAudit,
            self._mayExportAudit,
            _("Who decided what, and when, as .csv or .json"),
        )
        self.bind(
            ui.predictFolderButton,
            self.predictFolder,
            lambda: session.may_predict,
            _("Proposals for volumes that are no cases"),
        )

    def exportLabels(self) -> None:
        """Ask for a new folder and write the labels of all cases there."""
        folder = chooseFolder(self.widget, _("A new, empty folder for the labels"))
        if folder is not None:
            self.session.export_labels(folder, str(self.ui.kindBox.itemData(self.ui.kindBox.currentIndex)))

    def exportModel(self) -> None:
        """Ask for a new folder and copy the model in use there."""
        folder = chooseFolder(self.widget, _("A new, empty folder for the model"))
        if folder is not None:
            self.session.export_model(folder)

    def exportAudit(self) -> None:
        """Ask for a file and write the journal there."""
        found = qt.QFileDialog.getSaveFileName(
            self.widget, _("File for the audit"), "audit.csv", "CSV (*.csv);;JSON (*.json)"
        )
        name = found[0] if isinstance(found, tuple) else found
        if name:
            self.session.export_audit(Path(name))

    def predictFolder(self) -> None:
        """Ask for a folder of volumes and one for the proposals."""
        images = chooseFolder(self.widget, _("Folder with volumes"))
        output = None if images is None else chooseFolder(self.widget, _("A new, empty folder for the proposals"))
        if output is not None:
            self.session.predict_folder(images, output)

    def _mayExportModel(self) -> str | None:
        return (
            _("Export model: open or create a project first")
            if self.session.project is None
            else self.session.may_export_model
        )

    def _mayExportAudit(self) -> str | None:
        return _("Export audit: open or create a project first") if self.session.project is None else None
