"""Sample data: a synthetic cohort that is made on this computer, and the public samples of Slicer that fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import slicer

CATEGORY = "SemiSupSeg"
RESOURCES = Path(__file__).resolve().parents[1] / "Resources"


def samples() -> dict[str, Any]:
    """What ``Resources/SampleData/samples.json`` describes: ``synthetic``, and ``slicer``, a list."""
    return json.loads((RESOURCES / "SampleData" / "samples.json").read_text(encoding="utf-8"))


def registerSampleData() -> None:
    """Show the synthetic cohort in Slicer's Sample Data module. Slicer's own samples stand there already."""
    import SampleData

    synthetic = samples()["synthetic"]
    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category=CATEGORY,
        sampleName=synthetic["name"],
        thumbnailFileName=str(RESOURCES / "Icons" / synthetic["thumbnail"]),
        uris="",  # nothing is downloaded: customDownloader makes it
        fileNames=synthetic["folder"],
        nodeNames=synthetic["title"],
        customDownloader=loadSyntheticCase,
    )


def makeSyntheticCohort(folder: Path | None = None) -> Path:
    """Write the cohort once, and find it again the next time.

    Args:
        folder: where to; in Slicer's cache of sample data when None.

    Returns:
        A folder with images/, labels/ and dataset.json, ready for "Add folder…".
    """
    from SemiSupSegLib.project.synthetic import write_cohort

    synthetic = samples()["synthetic"]
    if folder is None:
        folder = Path(slicer.mrmlScene.GetCacheManager().GetRemoteCacheDirectory()) / synthetic["folder"]
    if not (folder / "dataset.json").is_file():  # written last, so a broken attempt is repeated
        write_cohort(folder, **{name: synthetic[name] for name in ("cases", "unlabelled", "seed")})
    return folder


def loadSyntheticCase(source=None):  # noqa: ARG001 - Slicer's Sample Data module hands it over
    """Make the cohort and show its first volume.

    Returns:
        The volume node. Its name says that it is synthetic; the scene keeps what it holds.
    """
    first = sorted((makeSyntheticCohort() / "images").iterdir())[0]
    return slicer.util.loadVolume(str(first), {"name": first.name.partition(".")[0]})
