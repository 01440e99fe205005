"""How alike each kind of body is to its mirror image, left and right labels exchanged.

    python Testing/benchmarks/bench_symmetry.py [--data FOLDER ...] [--labels NAME ...] [--cases 4]

Needs folders with images/, labels/ and dataset.json; by default all of ../shared/data, with all labels of each, and
with each label or pair alone where there are few. Training mirrors cases where `engine/symmetry.py` says so; see there
for what is compared. `--labels`: as if only these were annotated.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY))

import numpy as np  # noqa: E402
import SimpleITK as sitk  # noqa: E402, N813

from SemiSupSegLib.engine.symmetry import ALIKE, ENOUGH, symmetry_of  # noqa: E402  wherever this is started
from SemiSupSegLib.project.folders import read_dataset  # noqa: E402
from SemiSupSegLib.project.images import read_volume  # noqa: E402
from SemiSupSegLib.project.labels import LabelSet  # noqa: E402
from SemiSupSegLib.project.laterality import counterparts  # noqa: E402

FEW = 30
"""Labels; of more, none is looked at alone."""


def main() -> None:
    """Measure all folders and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = REPOSITORY.parent / "shared" / "data"
    parser.add_argument("--data", type=Path, nargs="+", default=sorted(data.glob("*")) if data.is_dir() else [])
    parser.add_argument("--labels", nargs="+", metavar="NAME")
    parser.add_argument("--cases", type=int, default=4, help="of each folder, the first (default: %(default)s)")
    args = parser.parse_args()
    folders = [folder for folder in args.data if (folder / "labels").is_dir()]
    if not folders:
        sys.exit("no folder with images/, labels/ and dataset.json: give some with --data")
    print("| data | labels | cases | labels agree | image correlates | from | to | mirrored |")
    print("|---|---|--:|--:|--:|--:|--:|---|")
    for folder in folders:
        for chosen in [args.labels] if args.labels else choices(list(names_of(folder))):
            row(folder, args.cases, chosen)


def choices(names: list[str]) -> list[list[str]]:
    """All labels, and each alone or with its other side."""
    others = counterparts(names)
    pairs = [(c, c if o is None else o) for c, o in enumerate(others)]
    alone = [[names[c]] if c == o else [names[c], names[o]] for c, o in pairs if o >= c]
    return [names, *(alone if 1 < len(names) <= FEW else [])]


def row(folder: Path, number: int, chosen: list[str]) -> None:
    """Measure one folder and print its row."""
    names, label_set = names_of(folder), LabelSet.from_names(chosen)
    found = []
    for file in sorted((folder / "labels").iterdir())[:number]:
        values = sitk.GetArrayFromImage(read_volume(file)).astype(int)
        table = np.zeros(max(int(values.max()), *names.values()) + 1, np.int16)
        for place, name in enumerate(chosen, start=1):
            table[names[name]] = place
        image = read_volume(folder / "images" / file.name)
        found.append(symmetry_of(image, table[values][np.newaxis], label_set, [True] * len(chosen)))
    kept = [each for each in found if each is not None]
    what = f"all {len(names)}" if len(chosen) == len(names) else ", ".join(chosen)
    if not kept:
        print(f"| {folder.name} | {what} | 0 | | | | | no |")
        return
    labels, images = ([one.labels for one in kept], [one.image for one in kept])
    said = "yes" if np.mean(labels) >= ENOUGH and np.mean(images) >= ALIKE else "no"
    print(f"| {folder.name} | {what} | {len(kept)} | {np.mean(labels):.2f} | {np.mean(images):.2f} | {min(images):.2f} "
          f"| {max(images):.2f} | {said} |")  # fmt: skip


def names_of(folder: Path) -> dict[str, int]:
    """Value of each label, by name."""
    dataset = read_dataset(folder)
    assert dataset is not None, folder
    return {name: value for value, name in dataset.names.items()}


if __name__ == "__main__":
    main()
