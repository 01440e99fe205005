"""What a few finished slices of each case teach, in place of complete cases.

    python Testing/benchmarks/bench_slices.py FOLDER [--data ../shared/data/left_atrium] [--cases 8] [--slices 3]
        [--beyond 0] [what else protocols.py takes, such as --minutes 4.4 or --option implied_weight=0]

FOLDER gets a copy of the first cases, the test cases among them, whose `scribbles/` say all of some slices and nothing
of the others: `--slices` that divide each case's labels into as many parts and one more, and with `--beyond K` one
slice each, K slices beyond the labels' first and last. Then `protocols.py C --data FOLDER/slices` trains and tests.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813
from numpy.typing import NDArray

REPOSITORY = Path(__file__).resolve().parents[2]
NOT_ANNOTATED = 255
TEST = 4
"""Cases that protocol C tests on, the last."""


def main() -> None:
    """Make the folder and run the protocol on it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("folder", type=Path, metavar="FOLDER")
    add("--data", type=Path, default=REPOSITORY.parent / "shared" / "data" / "left_atrium")
    add("--cases", type=int, default=8, help="to train on, the first; the next four test (default: %(default)s)")
    add("--slices", type=int, default=3, help="finished in each case (default: %(default)s)")
    add("--beyond", type=int, default=0, help="slices from the labels to one more on each side; 0: none")
    args, others = parser.parse_known_args()
    if not (args.data / "labels").is_dir():
        sys.exit(f"no labels/ in {args.data}: give --data FOLDER")
    make(args, args.folder / "slices")
    command = [sys.executable, str(Path(__file__).with_name("protocols.py")), "C", "--data", args.folder / "slices"]
    sys.exit(subprocess.run([*map(str, command), *others, "--output", args.folder / "rows"], check=False).returncode)


def make(args: argparse.Namespace, folder: Path) -> None:
    """The copy with finished slices."""
    shutil.rmtree(folder, ignore_errors=True)
    for part in ("images", "labels", "scribbles"):
        (folder / part).mkdir(parents=True)
    shutil.copy(args.data / "dataset.json", folder)
    names = sorted(path.name for path in (args.data / "labels").iterdir())[: args.cases + TEST]
    for number, name in enumerate(names):
        for part in ("images", "labels"):
            shutil.copy(args.data / part / name, folder / part)
        if number < args.cases:
            labels = sitk.ReadImage(str(args.data / "labels" / name))
            finished = sitk.GetImageFromArray(in_slices(sitk.GetArrayFromImage(labels), args.slices, args.beyond))
            finished.CopyInformation(labels)
            sitk.WriteImage(finished, str(folder / "scribbles" / name), True)


def in_slices(labels: NDArray[np.integer], number: int, beyond: int) -> NDArray[np.integer]:
    """Labels (k, j, i) in some slices, and "not annotated" in all others."""
    shown = np.flatnonzero(labels.any(axis=(1, 2)))
    if not len(shown):
        sys.exit("a case without any label has no slices to finish")
    chosen = shown[np.linspace(0, len(shown) - 1, number + 2).round().astype(int)[1:-1]].tolist()
    if beyond:
        chosen += [max(shown[0] - beyond, 0), min(shown[-1] + beyond, len(labels) - 1)]
    found = np.full_like(labels, NOT_ANNOTATED)
    found[chosen] = labels[chosen]
    return found


if __name__ == "__main__":
    main()
