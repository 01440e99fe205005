"""What the decision between labels and moved thresholds gain on cases that the model has never seen.

    python Testing/benchmarks/bench_threshold.py PROJECT --test FOLDER [--device cpu]

PROJECT has a model in use and still the run that made it; FOLDER has images/, labels/ and dataset.json. The run's
checkpoint is used as it was trained, proposing above 0.5 alone, and the likeliest of all labels, background included
(`SemiSupSegLib/engine/decision.py`); and with the thresholds that its project's annotated cases ask for. All predict
and are scored by the commands that a user types, on copies of the project. Printed: how far each logit is moved, and
the mean Dice of each label.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from partial_labels import ALL, semisupseg

from SemiSupSegLib.data.prepare import prepare
from SemiSupSegLib.engine.checkpoint import load_checkpoint
from SemiSupSegLib.engine.keep import model_of
from SemiSupSegLib.engine.model import Model
from SemiSupSegLib.engine.seen import look
from SemiSupSegLib.engine.threshold import shifts, with_shifts
from SemiSupSegLib.jobs.run import Run
from SemiSupSegLib.project.models import promoted_model
from SemiSupSegLib.project.project import Project


def main() -> None:
    """Score both, and print a Markdown table."""
    args = read_arguments(__doc__)
    project = Project.open(args.project)
    trained = as_trained(project)
    annotated = [case for case in prepare(project, trained.config.data) if case.annotated.any()]
    moved = shifts(look(trained, annotated), trained.label_set)
    published = replace(trained, config=replace(trained.config, options={**trained.config.options, "paper": True}))
    found = [dice(args, model) for model in (published, trained, with_shifts(trained, moved))]
    print("| label | logit moved by | Dice, above 0.5 | the likeliest | the likeliest, moved |\n|---|--:|--:|--:|--:|")
    for label in found[0]:
        shift = "" if label == ALL else f"{moved.get(label, 0.0):+.1f}"
        print(f"| {label} | {shift} |", " | ".join(f"{one[label]:.3f}" for one in found), "|")


def read_arguments(description: str | None) -> argparse.Namespace:
    """The command line of a script that tests a project's model, checked."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project", type=Path)
    parser.add_argument("--test", type=Path, required=True, help="images/, labels/ and dataset.json")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    args = parser.parse_args()
    if not (args.project / "project.json").is_file() or not (args.test / "images").is_dir():
        sys.exit(f"expected a project in {args.project}, and images/ and labels/ in {args.test}")
    return args


def as_trained(project: Project) -> Model:
    """The model in use, without moved thresholds: from the checkpoint of its run."""
    folder = promoted_model(project.models_folder)
    if folder is None:
        sys.exit("this project has no model yet")
    model = Model.load(folder)
    if not (project.runs_folder / model.run).is_dir():
        sys.exit(f"run {model.run}, which made the model in use, is not there any more")
    run = Run.open(project.runs_folder / model.run, writes=False)
    checkpoint = load_checkpoint(run.checkpoints, model.checkpoint, optimizers=False)
    if checkpoint is None:
        sys.exit(f"run {model.run} has no checkpoint {model.checkpoint}")
    return model_of(checkpoint, run, model.checkpoint, project.label_set)


def dice(args: argparse.Namespace, model: Model) -> dict[str, float]:
    """Mean Dice per label, with the model in use in a copy of the project."""
    with tempfile.TemporaryDirectory() as temporary:
        copy, output = Path(temporary) / "project", Path(temporary) / "predictions"
        shutil.copytree(args.project, copy, ignore=shutil.ignore_patterns("cache", "predictions", "checkpoints"))
        folder = promoted_model(copy / "models")
        assert folder is not None
        shutil.rmtree(folder)
        model.save(folder)
        words = ["--images", args.test / "images", "--output", output, "--passes", 0, "--maps", "none"]
        semisupseg("predict", copy, *words, "--device", args.device, "--json")
        found = json.loads(semisupseg("evaluate", "--predictions", output, "--reference", args.test, "--json"))
    return {r["label"]: r["mean"] for r in found["summary"] if r["metric"] == "dice" and r["mean"] is not None}


if __name__ == "__main__":
    main()
