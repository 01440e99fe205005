"""Fixtures that every room uses, and which rooms can be used here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from room_needs import why_not

REPOSITORY = Path(__file__).parents[1]


class Unusable(pytest.Module):
    """A file of tests that cannot run here; it is not even imported."""

    why = ""

    def collect(self) -> Any:
        pytest.skip(self.why, allow_module_level=True)


def pytest_pycollect_makemodule(module_path: Path, parent: Any) -> Any:
    why = why_not(module_path.relative_to(Path(__file__).parent).parts[0])
    if why is None:
        return None
    module = Unusable.from_parent(parent, path=module_path)
    module.why = why
    return module


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real volumes, beside the repository; tests that need it are skipped, with this reason, where it is
    not."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not (folder / "abdomen_mr" / "dataset.json").is_file():
        pytest.skip("real volumes are not on this machine (../shared/data)")
    return folder


@pytest.fixture
def a_small_study(tmp_path: Path) -> Any:
    """A project with two annotated synthetic cases to train on and one to score on, small enough for real trainings."""
    from SemiSupSegLib.project.annotation import Annotation, State
    from SemiSupSegLib.project.geometry import image_from_kji
    from SemiSupSegLib.project.labels import LabelSet
    from SemiSupSegLib.project.project import Project
    from SemiSupSegLib.project.synthetic import ORGANS, synthetic_case

    project = Project.create(tmp_path / "study", label_set=LabelSet.from_names(ORGANS))
    for number in range(3):
        made = synthetic_case(number, size=(36, 30, 24))
        project.add_case(
            f"case_{number}",
            image_from_kji(made.image, made.grid),
            labels=made.labels[None],
            annotations={name: Annotation(State.COMPLETE) for name in ORGANS},
            modality="MR",
            split="holdout" if number == 2 else "train",
            who="test",
        )
    return project


@pytest.fixture
def distance() -> Callable[..., float]:
    """How far two trainings from scratch ended from each other, as a share of the way that the first one went.

    Rounding gives about 1e-5; a step that is lost, or a term that is weighed wrongly, a hundredth and more.
    """
    import torch

    from SemiSupSegLib.methods.base import method_named

    def measured(one: dict[str, Any], two: dict[str, Any], label_set: Any, config: Any) -> float:
        torch.manual_seed(config.train.seed)  # as the loop begins
        start = method_named(config.method)({}, label_set, config.network).networks()["segmentor"].state_dict()

        def apart(a: dict[str, Any], b: dict[str, Any]) -> float:
            return sum(float((a[name] - b[name]).square().sum()) for name in a) ** 0.5

        return apart(one, two) / apart(one, start)

    return measured
