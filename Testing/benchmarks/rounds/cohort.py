"""Cohort: the cases that wait for labels, what the model proposes for them, and the truth that the simulated person
knows."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813
from numpy.typing import NDArray
from partial_labels import semisupseg

from SemiSupSegLib.engine.reference import LabelFolder
from SemiSupSegLib.project.annotation import label_mask
from SemiSupSegLib.project.predictions import read_prediction
from SemiSupSegLib.project.project import Project
from SemiSupSegLib.project.slice_order import finished_slices

__all__ = ["Cohort", "Key", "Proposal", "Slice", "correct", "dice"]

Key = tuple[str, str]
"""Case and label."""
Slice = tuple[Key, int]
"""One slice k of one label of one case: what a person corrects at a time."""
Masks = NDArray[np.bool_]


@dataclass(frozen=True)
class Proposal:
    """One label of one case."""

    proposed: Masks
    """(k, j, i)."""
    truth: Masks
    """(k, j, i)."""
    errors_ml: NDArray[np.floating]
    """(k,) what the model expects to be wrong in each slice, by which the review orders them."""
    finished: NDArray[np.bool_]
    """(k,) slices that were corrected before it was proposed."""
    slice_mm: float
    """From one slice to the next."""

    @property
    def wrong(self) -> NDArray[np.integer]:
        """(k,) voxels that are wrong."""
        return np.asarray((self.proposed != self.truth).sum(axis=(1, 2)))

    def corrected(self, slices: Iterable[int]) -> Masks:
        """The proposal with the truth in some slices."""
        fixed = self.proposed.copy()
        for k in slices:
            fixed[k] = self.truth[k]
        return fixed


@dataclass(frozen=True)
class Cohort:
    """All proposals of a project's cases that wait, in the order in which the review offers them."""

    proposals: dict[Key, Proposal]

    @classmethod
    def of(cls, folder: Path, cases: Iterable[str], reference: Path) -> Cohort:
        """Read what was predicted; labels that the reference does not have in a case are left out.

        Args:
            folder: of the project.
            cases: ids of those that wait.
            reference: folder with their complete labels.
        """
        project, wanted = Project.open(folder), set(cases)
        found: dict[Key, Proposal] = {}
        for said in json.loads(semisupseg("review", folder, "--json"))["candidates"]:
            case, label = said["case"], said["label"]
            prediction = read_prediction(project, case)
            truth = LabelFolder(reference).read(case).mask(label) if case in wanted and prediction else None
            if truth is None or prediction is None or not truth.any():
                continue
            layers, _ = prediction.layers(project.label_set)
            proposed = label_mask(layers, project.label_set, project.label_set.index(label))
            errors = np.asarray(prediction.labels[label]["errors_ml"], float)
            finished = finished_slices(project.cases[case].annotation(label), len(errors))
            mm = project.cases[case].grid().spacing[2]
            found[case, label] = Proposal(proposed, truth, errors, finished, mm)
        return cls(found)

    def dice(self, corrected: Iterable[Slice]) -> float:
        """Mean Dice of all labels of all cases, with the truth in the slices that were corrected."""
        by_key: dict[Key, list[int]] = {}
        for key, k in corrected:
            by_key.setdefault(key, []).append(k)
        return float(np.mean([dice(p.corrected(by_key.get(key, ())), p.truth) for key, p in self.proposals.items()]))


def dice(one: Masks, other: Masks) -> float:
    """Of two masks; 1 when both are empty."""
    whole = int(one.sum() + other.sum())
    return 2 * int((one & other).sum()) / whole if whole else 1.0


def correct(folder: Path, cohort: Cohort, corrected: Iterable[Slice], scratch: Path) -> None:
    """Put the truth into the project's slices, as a person does who says that these are finished."""
    by_key: dict[Key, list[int]] = {}
    for key, k in corrected:
        by_key.setdefault(key, []).append(k)
    project = Project.open(folder)
    for (case, label), slices in by_key.items():
        voxels = np.zeros(cohort.proposals[case, label].truth.shape, np.uint8)
        voxels[slices] = cohort.proposals[case, label].truth[slices]
        image = sitk.GetImageFromArray(voxels)
        image.CopyInformation(project.cases[case].image())
        path = scratch / "corrected.nii.gz"
        sitk.WriteImage(image, str(path))
        where = [word for k in sorted(slices) for word in ("--slices", f"{k}:{k}")]
        brings = ["--from", path] if voxels.any() else []
        semisupseg("annotate", folder, case, label, "--state", "partial", *where, *brings, "--who", "reference")
