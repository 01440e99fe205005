"""Fixtures that every room uses."""

from __future__ import annotations

from pathlib import Path

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
