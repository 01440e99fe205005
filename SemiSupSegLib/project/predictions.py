"""What a prediction wrote to ``predictions/<case>/``, as the review reads it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ProjectError
from .geometry import Grid
from .labels import LabelSet
from .paths import inside

if TYPE_CHECKING:
    from .project import Project

__all__ = ["LABELS_FILE", "PREDICTION_FILE", "StoredPrediction", "read_prediction"]

FORMAT_VERSION = 1
PREDICTION_FILE = "prediction.json"
LABELS_FILE = "labels.seg.nrrd"


@dataclass(frozen=True)
class StoredPrediction:
    """``prediction.json`` of one case."""

    folder: Path
    model: str
    run: str
    checkpoint: str
    date: str
    passes: int
    threshold: float
    labels: dict[str, dict[str, Any]]
    """By label name: file names and measurements."""
    preview: bool = False
    """Whether a training that had not ended made it: ``model`` says which then, and it is only looked at."""

    def layers(self, label_set: LabelSet) -> tuple[NDArray[np.integer[Any]], Grid]:
        """The predicted layers (L, k, j, i) and their grid."""
        from .labelmaps import load_labels

        found: tuple[NDArray[np.integer[Any]], Grid] = load_labels(self.folder / LABELS_FILE, label_set)
        return found

    def uncertainty(self, name: str, kind: str = "uncertainty") -> tuple[NDArray[np.floating[Any]], Grid]:
        """A map of a label, (k, j, i) in [0, 1], and its grid.

        Args:
            name: of the label.
            kind: ``uncertainty``, normalised predictive entropy, or ``mutual_information``, its epistemic part.
        """
        import SimpleITK as sitk  # noqa: N813

        from .images import read_volume

        image = read_volume(inside(self.folder, str(self.labels[name][kind])))
        return sitk.GetArrayFromImage(image), Grid.of(image)


def read_prediction(project: Project, case_id: str) -> StoredPrediction | None:
    """What was predicted for a case; None when nothing was.

    Raises:
        ProjectError: prediction.json is damaged or of a newer format.
    """
    folder = project.predictions_folder / project.case(case_id).id
    try:
        data = json.loads((folder / PREDICTION_FILE).read_bytes())
        if data["format"] > FORMAT_VERSION:
            msg = f"the prediction of case {case_id} has format {data['format']}, not {FORMAT_VERSION}: please update"
            raise ProjectError(msg)
        names = ("model", "run", "checkpoint", "date", "passes", "threshold", "labels")
        said = {name: data[name] for name in names} | {"preview": bool(data.get("preview", False))}
        return StoredPrediction(folder, **said)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        msg = f"the prediction of case {case_id} cannot be read ({error!r}): predict it again"
        raise ProjectError(msg) from error
