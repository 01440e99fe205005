"""Fixtures that every room uses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real volumes, beside the repository; tests that need it are skipped, with this reason, where it is
    not."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not (folder / "abdomen_mr" / "dataset.json").is_file():
        pytest.skip("real volumes are not on this machine (../shared/data)")
    return folder


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
