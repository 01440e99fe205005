"""ExportPanel: labels, model and audit for others, and proposals for a folder of volumes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

from .Panel import Panel
from .ProjectMenu import chooseFolder

__all__ = ["ExportPanel"]

KINDS = {
    "nifti": "NIfTI (.nii.gz)",
    "seg.nrrd": "Slicer segmentation (.seg.nrrd)",
    "dicom seg": "DICOM SEG (.dcm)",
}


class ExportPanel(Panel):
    """Four ways out. Each asks where to, and writes nothing over what is there."""

    def __init__(self, parent: Any, session: Any) -> None:
        super().__init__(parent, session)
        ui = self.ui
        for kind, words in KINDS.items():
            ui.kindBox.addItem(_(words), kind)
        ui.kindBox.connect("currentIndexChanged(int)", lambda *_said: self.obeyRules())
        self.bind(
            ui.exportLabelsButton,
            self.exportLabels,
            lambda: session.may_export_as(self._kind),
            _("With a table of what is known of each organ"),
        )
        self.bind(
            ui.exportModelButton,
            self.exportModel,
            lambda: session.may_export_model,
            _("Weights, settings and names of the organs; nothing of a patient"),
        )
        self.bind(
            ui.exportAuditButton,
            self.exportAudit,
            lambda: session.may_export_audit,
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
            self.session.export_labels(folder, self._kind)

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

    def obeyRules(self) -> None:
        """See :meth:`.Panel.obeyRules`; why a kind is not written is to be read without pointing at the button."""
        from SemiSupSegLib.session.export import UNAVAILABLE

        super().obeyRules()
        why = UNAVAILABLE.get(self._kind, "")
        self.ui.kindHintLabel.setText(_(why))
        self.ui.kindHintLabel.setVisible(bool(why))

    @property
    def _kind(self) -> str:
        return str(self.ui.kindBox.itemData(self.ui.kindBox.currentIndex))
