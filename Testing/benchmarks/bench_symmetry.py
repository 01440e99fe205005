"""How much of its labels each kind of body shares with its mirror image, left and right exchanged.

    python Testing/benchmarks/bench_symmetry.py [--data FOLDER ...] [--cases 4]

Needs folders with labels/ and dataset.json; by default all of ../shared/data. From `engine/symmetry.py`'s bound on,
training mirrors cases; see there for what is compared.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY))

import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from SemiSupSegLib.engine.symmetry import ENOUGH, agreement  # noqa: E402  wherever this is started
from SemiSupSegLib.project.folders import read_dataset  # noqa: E402
from SemiSupSegLib.project.geometry import array_xyz, to_ras  # noqa: E402
from SemiSupSegLib.project.images import read_volume  # noqa: E402
from SemiSupSegLib.project.labels import LabelSet  # noqa: E402
from SemiSupSegLib.project.laterality import counterparts  # noqa: E402


def main() -> None:
    """Measure all folders and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = REPOSITORY.parent / "shared" / "data"
    parser.add_argument("--data", type=Path, nargs="+", default=sorted(data.glob("*")) if data.is_dir() else [])
    parser.add_argument("--cases", type=int, default=4, help="of each folder, the first (default: %(default)s)")
    args = parser.parse_args()
    folders = [folder for folder in args.data if (folder / "labels").is_dir()]
    if not folders:
        sys.exit("no folder with labels/ and dataset.json: give some with --data")
    print("| data | labels with two sides, one side, none | cases | agreement, mean | from | to | mirrored |")
    print("|---|--:|--:|--:|--:|--:|---|")
    for folder in folders:
        row(folder, args.cases)


def row(folder: Path, number: int) -> None:
    """Measure one folder and print its row."""
    dataset = read_dataset(folder)
    assert dataset is not None, folder
    label_set = LabelSet.from_names(list(dataset.names.values()))
    others = counterparts(label_set.names)
    paired = sum(o not in (None, c) for c, o in enumerate(others))
    kinds = f"{paired}, {others.count(None)}, {len(others) - paired - others.count(None)}"
    files = sorted((folder / "labels").iterdir())[:number]
    found = [f for file in files if (f := agreement(layers(file, dataset.names), label_set, [True] * len(label_set)))]
    if not found:
        print(f"| {folder.name} | {kinds} | 0 | | | | no |")
        return
    mean = float(np.mean(found))
    said = "yes" if mean >= ENOUGH else "no"
    print(f"| {folder.name} | {kinds} | {len(found)} | {mean:.2f} | {min(found):.2f} | {max(found):.2f} | {said} |")


def layers(file: Path, names: dict[int, str]) -> NDArray[np.integer]:
    """(1, X, Y, Z) of a plain label map, with values in the order of the names."""
    values = array_xyz(to_ras(read_volume(file)))
    table = np.zeros(int(values.max()) + 1, np.int16)
    for number, value in enumerate(names, start=1):
        table[value : value + 1] = number
    return table[values.astype(int)][np.newaxis]


if __name__ == "__main__":
    main()
