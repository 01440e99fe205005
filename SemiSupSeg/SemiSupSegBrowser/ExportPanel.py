"""ExportPanel: labels, model and audit for others, and proposals for a folder of volumes."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from trame.widgets import html
from trame.widgets.vuetify3 import VSelect, VTextField

from SemiSupSegLib.session.export import UNAVAILABLE

from .Panel import Panel

__all__ = ["ExportPanel"]

KINDS = {
    "nifti": "NIfTI (.nii.gz)",
    "seg.nrrd": "Slicer segmentation (.seg.nrrd)",
    "dicom seg": "DICOM SEG (.dcm)",
}


class ExportPanel(Panel):
    """Four ways out, each into a new folder below the project's ``exports``; nothing that is there is written over."""

    name = "exporting"

    def build(self) -> None:
        """See :meth:`.Panel.build`."""
        session = self.session
        self.state.change("export_kind")(lambda **_said: self.redraw())
        with html.Div(classes="ss-buttons"):
            VSelect(v_model=("export_kind", "nifti"), density="compact", hide_details=True, variant="underlined",
                    items=("kinds", [{"title": words, "value": kind} for kind, words in KINDS.items()]))  # fmt: skip
            self.button("exportLabels", "Export labels", self.exportLabels,
                        lambda: session.may_export_as(self._kind),
                        "With a table of what is known of each organ")  # fmt: skip
        with html.Div(classes="ss-buttons"):
            self.button("exportModel", "Export model", self.exportModel, lambda: session.may_export_model,
                        "Weights, settings and names of the organs; nothing of a patient")  # fmt: skip
            self.button("exportAudit", "Export audit", self.exportAudit, lambda: session.may_export_audit,
                        "Who decided what, and when, as .csv")  # fmt: skip
        with html.Div(classes="ss-buttons"):
            VTextField(v_model=("predict_images", ""), label="Folder with volumes", density="compact",
                       hide_details=True, variant="underlined", style="min-width: 220px")  # fmt: skip
            self.button("predictFolder", "Predict folder", self.predictFolder, lambda: session.may_predict,
                        "Proposals for volumes that are no cases")  # fmt: skip
        html.Div("{{ exporting.why }}", v_if=("exporting.why",), classes="ss-quiet")
        html.Div("{{ exporting.where }}", classes="ss-quiet")

    def content(self) -> dict[str, Any]:
        """See :meth:`.Panel.content`."""
        project = self.session.project
        return {
            "where": "" if project is None else f"New folders are made in {project.root / 'exports'}",
            "why": UNAVAILABLE.get(self._kind, ""),
        }

    @property
    def _kind(self) -> str:
        return str(self.state.export_kind or "nifti")

    def exportLabels(self) -> None:
        """Write the labels of all cases.

        Raises:
            SemiSupSegError: ``session.may_export`` gives a reason.
        """
        self.session.export_labels(self._place("labels"), self._kind)

    def exportModel(self) -> None:
        """Copy the model in use."""
        self.session.export_model(self._place("model"))

    def exportAudit(self) -> None:
        """Write the journal."""
        file = self._place("audit") / "audit.csv"
        file.parent.mkdir(parents=True, exist_ok=True)
        self.session.export_audit(file)

    def predictFolder(self) -> None:
        """Propose labels for a folder of volumes.

        Raises:
            SemiSupSegError: ``session.may_predict`` gives a reason, or there is no such folder.
        """
        self.session.predict_folder(Path(str(self.state.predict_images)).expanduser(), self._place("predictions"))

    def _place(self, what: str) -> Path:
        parent = self.session.project.root / "exports" if self.session.project else Path()
        name = f"{what} {datetime.now():%Y-%m-%d %H-%M}"
        place, number = parent / name, 1
        while place.exists():
            number += 1
            place = parent / f"{name} {number}"
        return place
