"""What annotated cases that are laid over a volume add to a network, and what the training would choose.

    python Testing/benchmarks/bench_atlas.py PROJECT --test FOLDER [--device cpu]

PROJECT has a model in use; FOLDER has images/, labels/ and dataset.json. Each volume is predicted once by the network,
and the project's atlases (`SemiSupSegLib/engine/atlases.py`) are laid over it once. Printed: mean Dice over labels on
the image's own grid for several shares of their votes (0: the network alone, 1: the atlases alone), the processor
seconds that laying over took, and the share that the training finds on annotated cases, with the seconds of that.
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
from bench_threshold import read_arguments

from SemiSupSegLib.data.prepare import prepare
from SemiSupSegLib.engine.atlas import Atlas, mix, vote
from SemiSupSegLib.engine.atlases import SHARES, atlases_of, choose, with_atlases
from SemiSupSegLib.engine.model import Model
from SemiSupSegLib.engine.predict import predict_volume, predictor
from SemiSupSegLib.engine.prediction import Prediction
from SemiSupSegLib.engine.reference import LabelFile, LabelFolder
from SemiSupSegLib.project.folders import find_pairs
from SemiSupSegLib.project.grid import Grid
from SemiSupSegLib.project.images import read_volume
from SemiSupSegLib.project.models import promoted_model
from SemiSupSegLib.project.project import Project

TRIED = (*SHARES, 0.7, 0.8, 1.0)


def main() -> None:
    """Score all shares, and print a Markdown table."""
    args = read_arguments(__doc__)
    project = Project.open(args.project)
    folder = promoted_model(project.models_folder)
    if folder is None:
        sys.exit("this project has no model yet")
    model = replace(Model.load(folder), atlases=(), atlas_share=0.0)
    begin = time.process_time()
    annotated = [case for case in prepare(project, model.config.data) if case.annotated.any()]
    chosen = with_atlases(model, project, annotated).atlas_share
    print(f"the training would choose {chosen:g} ({time.process_time() - begin:.0f} s)\n")
    cases = tuple(case.id for case in choose(project.train_cases(), model.label_set.names))
    atlases = atlases_of(project, replace(model, atlases=cases, atlas_share=1.0))
    print("| volume | seconds |", " | ".join(f"{share:g}" for share in TRIED), "|\n|---|--:|", "--:|" * len(TRIED))
    rows = []
    for name, seconds, found in scores(args, model, atlases):
        rows.append(found)
        print(f"| {name} | {seconds:.0f} |", " | ".join(f"{one:.3f}" for one in found), "|", flush=True)
    print("| mean | |", " | ".join(f"{one:.3f}" for one in np.mean(rows, axis=0)), "|")


def scores(args: argparse.Namespace, model: Model, atlases: list[Atlas]) -> Iterator[tuple[str, float, list[float]]]:
    """Of each volume its name, the seconds of laying over, and the mean Dice with each share."""
    inference = predictor(model, device=args.device)
    for pair in find_pairs(args.test):
        image = read_volume(pair.image)
        reference = LabelFolder(args.test).read(pair.stem, Grid.of(image))
        alone = predict_volume(model, image, passes=0, inference=inference)
        begin = time.process_time()
        votes = vote(image, alone.training_grid, atlases)
        seconds = time.process_time() - begin
        found = []
        for share in TRIED:
            statistics = copy.deepcopy(alone.statistics)
            mix(statistics, votes, model.label_set.names, share)
            found.append(dice(replace(alone, statistics=statistics), reference))
        yield pair.stem, seconds, found


def dice(prediction: Prediction, reference: LabelFile) -> float:
    """Mean over the labels that the reference shows."""
    layers, names, found = prediction.labels, prediction.label_set.names, []
    for name, place in zip(names, prediction.label_set.places, strict=True):
        drawn = reference.mask(name)
        if drawn.any():
            proposed = layers[place.layer] == place.value
            found.append(float(2 * (proposed & drawn).sum() / (proposed.sum() + drawn.sum())))
    return float(np.mean(found))


if __name__ == "__main__":
    main()
