"""What it gains to ask a model about the mirror image of a volume, too: for models that learnt from mirrored cases.

    python Testing/benchmarks/bench_mirror.py PROJECT --test FOLDER [--device cpu]

PROJECT has a model in use whose training mirrored cases (`data.mirrored` in its config.json); FOLDER has images/,
labels/ and dataset.json. The same weights predict by the commands that a user types, in copies of the project, with the
volume alone and both ways, without atlases. Printed: mean Dice of each label, and the seconds that all of it took.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench_threshold import dice, read_arguments
from partial_labels import ALL

from SemiSupSegLib.engine.model import Model
from SemiSupSegLib.project.models import promoted_model
from SemiSupSegLib.project.project import Project


def main() -> None:
    """Score both, and print a Markdown table."""
    args = read_arguments(__doc__)
    folder = promoted_model(Project.open(args.project).models_folder)
    model = None if folder is None else Model.load(folder)
    if model is None or not model.config.data.mirrored:
        sys.exit("this project has no model that learnt from mirrored cases")
    model = replace(model, atlases=(), atlas_share=0.0)
    config = replace(model.config, data=replace(model.config.data, mirrored=False))
    found, seconds = [], []
    for one in (replace(model, config=config), model):
        begin = time.monotonic()
        found.append(dice(args, one))
        seconds.append(time.monotonic() - begin)
    print("| label | Dice, the volume alone | and its mirror image |\n|---|--:|--:|")
    for label in sorted(found[0], key=lambda name: name == ALL):
        print(f"| {label} |", " | ".join(f"{one[label]:.3f}" for one in found), "|")
    print("| seconds, evaluation included |", " | ".join(f"{each:.0f}" for each in seconds), "|")


if __name__ == "__main__":
    main()
