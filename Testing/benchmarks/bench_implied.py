"""How much of a volume strokes imply a label not to be in, and how much of the label lies there by mistake.

    python Testing/benchmarks/bench_implied.py [--data ../shared/data/cardiac_mr] [--strokes scribbles]

Needs a data set with strokes beside complete labels. Prints, per label, the mean over the cases of the share of the
volume that is implied (`SemiSupSegLib/data/implied.py`), and the mean and largest share of the label's voxels in it.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY))

from SemiSupSegLib.data.implied import what_strokes_say  # noqa: E402  the repository's own, wherever this is started
from SemiSupSegLib.project.geometry import Grid, array_xyz, to_ras  # noqa: E402
from SemiSupSegLib.project.images import read_volume  # noqa: E402


def main() -> None:
    """Measure all cases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=REPOSITORY.parent / "shared" / "data" / "cardiac_mr")
    parser.add_argument("--strokes", default="scribbles", help="folder of the strokes (default: %(default)s)")
    parser.add_argument("--not-annotated", type=int, default=255, help="their value elsewhere (default: %(default)s)")
    args = parser.parse_args()
    if not (args.data / args.strokes).is_dir() or not (args.data / "labels").is_dir():
        sys.exit(f"no {args.strokes}/ and labels/ in {args.data}")
    names = json.loads((args.data / "dataset.json").read_text(encoding="utf-8"))["labels"]
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in names.values()}
    for file in sorted((args.data / args.strokes).iterdir()):
        image = to_ras(read_volume(file))
        strokes, labels = array_xyz(image), array_xyz(to_ras(read_volume(args.data / "labels" / file.name)))
        known, spacing = strokes != args.not_annotated, Grid.of(image).spacing
        for value, name in names.items():
            positive, label = strokes == int(value), labels == int(value)
            implied, _ = what_strokes_say(positive, known & ~positive, spacing)
            if label.any():
                found[name].append((implied.mean(), (implied & label).sum() / label.sum()))
    print(f"{args.data.name}, {args.strokes}\n")
    print("| label | cases | implied, share of the volume | of the label in it | at most |")
    print("|---|---|---|---|---|")
    for name, measured in found.items():
        cover, wrong = np.array(measured).T
        mean, most = 100 * wrong.mean(), 100 * wrong.max()
        print(f"| {name} | {len(cover)} | {cover.mean():.2f} | {mean:.2f} % | {most:.2f} % |")


if __name__ == "__main__":
    main()
