"""Every guarantee has a test that names it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTING = Path(__file__).parents[1]
PROMISED = {
    1: "weights and optimizer state are safetensors and JSON; everything else is refused",
    3: "files are replaced whole or not at all",
    4: "a change of a case survives kill -9 at each step as the old state or the new",
    5: "a killed training goes on from its last checkpoint, and the curve continues",
    9: "damaged files are refused case by case, the others go on",
    10: "NaN, infinite, constant and huge intensities are dealt with",
    11: "labels that do not lie on the image are refused",
    12: "oblique and left-handed directions and all 48 axis orders come back where they were",
    13: "zero-size, one-voxel, 2D, 4D, colour and all number types are read or refused",
    14: "overlapping segments are never flattened silently",
    15: "empty and absent labels, gaps and large values keep their meaning",
    16: "odd names and paths become safe ids",
    17: "stop ends the whole process tree",
    18: "a process that was killed or hangs is seen as such, and the last model is kept",
    19: "a loss that is not a number rolls back, and ends the run after three times",
    20: "the log of a process is shown whatever bytes it holds",
    22: "nothing listens on a socket",
    23: "nothing connects to anywhere",
    24: "nothing of a file's metadata reaches the project",
    25: "paths stay inside the project",
    26: "no text is run as code, nothing is unpickled",
    28: "an edit of the journal is found",
    29: "a voxel of a person is never overwritten by a model",
    30: "what came from a model never counts in the hold-out",
    31: "a label that is not annotated gives no gradient",
    32: "undo restores the bytes",
}


def guarantees_with_a_test() -> set[int]:
    found: set[int] = set()
    for path in TESTING.rglob("test_*.py"):
        for name in re.findall(r"^\s*def (test_g\d\d\w*)\(", path.read_text(encoding="utf-8"), re.MULTILINE):
            found |= {int(number) for number in re.findall(r"g(\d\d)(?=_)", name)}
    return found


@pytest.mark.parametrize("number", PROMISED)
def test_each_guarantee_has_a_test_of_its_name(number):
    assert number in guarantees_with_a_test(), f"no test is named test_g{number:02d}_...: {PROMISED[number]}"
