"""Which cases a protocol annotates and tests; in a trial run the test cases are nowhere."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import protocols

pytestmark = pytest.mark.unit


@pytest.fixture
def ten_cases(tmp_path: Path) -> Path:
    data = tmp_path / "data"
    for kind in ("images", "labels", "scribbles"):
        (data / kind).mkdir(parents=True)
        for number in range(10):
            (data / kind / f"case_{number}.nii.gz").write_text(f"{kind} {number}", encoding="utf-8")
    (data / "dataset.json").write_text("{}", encoding="utf-8")
    return data


def arguments(data: Path, *, dev: bool = False, labelled: int | None = None) -> argparse.Namespace:
    return argparse.Namespace(data=data, dev=dev, labelled=labelled)


def numbers(folder: Path) -> list[int]:
    return sorted(int(path.name[5]) for path in folder.iterdir())


def test_the_first_cases_are_annotated_and_the_last_are_tested(ten_cases: Path, tmp_path: Path) -> None:
    cohort = tmp_path / "cohort"
    protocols.cases(protocols.Protocol("data", 3, 2), cohort, arguments(ten_cases))
    assert numbers(cohort / "train" / "labels") == [0, 1]
    assert numbers(cohort / "train" / "images") == [0, 1, 2, 3, 4, 5, 6]
    assert numbers(cohort / "test" / "labels") == [7, 8, 9]


def test_another_number_of_annotated_cases_leaves_the_test_cases_as_they_are(ten_cases: Path, tmp_path: Path) -> None:
    cohort = tmp_path / "cohort"
    protocols.cases(protocols.Protocol("data", 3, 2), cohort, arguments(ten_cases, labelled=4))
    assert numbers(cohort / "train" / "labels") == [0, 1, 2, 3]
    assert numbers(cohort / "test" / "images") == [7, 8, 9]


@pytest.mark.parametrize("labelled", [2, None])
def test_a_trial_run_never_sees_the_test_cases(ten_cases: Path, tmp_path: Path, labelled: int | None) -> None:
    cohort = tmp_path / "cohort"
    protocols.cases(protocols.Protocol("data", 3, labelled), cohort, arguments(ten_cases, dev=True))
    assert numbers(cohort / "train" / "images") == [0, 1, 2, 3]
    assert numbers(cohort / "test" / "images") == [4, 5, 6]


def test_strokes_are_for_training_alone(ten_cases: Path, tmp_path: Path) -> None:
    cohort = tmp_path / "cohort"
    protocols.cases(protocols.Protocol("data", 3, None, labels_folder="scribbles"), cohort, arguments(ten_cases))
    assert (cohort / "train" / "scribbles" / "case_0.nii.gz").read_text(encoding="utf-8") == "scribbles 0"
    assert (cohort / "test" / "labels" / "case_9.nii.gz").read_text(encoding="utf-8") == "labels 9"
    assert not (cohort / "train" / "labels").exists()


def test_a_row_is_named_by_all_that_differs() -> None:
    said = argparse.Namespace(
        method="auto", iterations=None, minutes=None, labelled=4, option=["train.learning_rate=0.002"]
    )
    assert protocols.row_name("quick", said) == "auto, quick, 5 min, 4 labelled, train.learning_rate=0.002"
    said.iterations = 300
    assert protocols.row_name("quick", said).startswith("auto, quick, 300 steps, ")
