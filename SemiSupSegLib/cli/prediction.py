"""Verbs of prediction: predict, evaluate."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..jobs.state import ACTIVE, run_state
from ..project.project import Project
from .arguments import UsageError, Verb, add_json, open_project
from .output import Progress, print_json, table
from .run_choice import run_named

if TYPE_CHECKING:
    from ..engine.evaluate import Evaluation, Summary
    from ..engine.model import Model
    from ..engine.volume import Inference

__all__ = ["VERBS"]

MEANING = (
    "mean ± standard deviation over n cases (for `all labels` over cases and labels); a value that does not exist, as\n"
    "where nothing is and nothing was proposed, is left out and never counted as 0"
)


def _configure_predict(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("project", metavar="PROJECT", type=Path, help="project folder")
    parser.add_argument("--case", action="append", default=[], metavar="ID", help="a case; repeatable (default: all)")
    parser.add_argument(
        "--images", type=Path, metavar="FOLDER", help="predict these volumes instead of the project's cases"
    )
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="where the predictions of --images go")
    parser.add_argument(
        "--passes", type=_passes, default=8, metavar="N", help="dropout passes, 0 for none (default: %(default)s)"
    )
    parser.add_argument("--model", metavar="NAME", help="a model of the project, as 0002 (default: the one in use)")
    parser.add_argument(
        "--run",
        metavar="RUN",
        help="preview: the newest checkpoint of a run, which may go on meanwhile, takes the place of the model; what "
        "it proposes is for looking, until the case is predicted again",
    )
    parser.add_argument(
        "--maps", choices=("auto", "all", "none"), default="auto",
        help="maps of probability and uncertainty for each label (default: for up to 30 labels)",
    )  # fmt: skip
    parser.add_argument(
        "--all-parts",
        action="store_true",
        help="propose everything predicted, also what lies beyond as many connected parts of a label as it has in all "
        "annotated cases",
    )
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="where (default: %(default)s)"
    )
    add_json(parser)


def _predict(args: argparse.Namespace) -> int:
    if (args.images is None) != (args.output is None):
        msg = "--images and --output belong together"
        raise UsageError(msg)
    if args.images is not None and args.case:
        msg = "--case names cases of the project and --images other volumes: give one of them"
        raise UsageError(msg)
    if args.run is not None and (args.model is not None or args.images is not None or not args.case):
        msg = "--run previews cases of the project: name them with --case, without --model or --images"
        raise UsageError(msg)
    project = open_project(args)
    model, inference = _ready(project, args) if args.run is None else _preview(project, args)
    if args.all_parts:
        model = replace(model, parts={})
    if not args.json:
        what = model.name if model.preview else f"model {model.name} of run {model.run}"
        laid = f"; {', '.join(model.atlases)} are laid over each volume" if model.atlases else ""
        print(f"{what}, on {inference.device} ({inference.reason}){laid}")
    if args.images is not None:
        return _predict_folder(args, project, model, inference)
    return _predict_cases(args, project, model, inference)


def _ready(project: Project, args: argparse.Namespace) -> tuple[Model, Inference]:
    from ..engine.model import Model
    from ..engine.predict import predictor
    from ..engine.promote import model_folder

    model = Model.load(model_folder(project, args.model), project.label_set)
    return model, predictor(model, device=args.device)


def _preview(project: Project, args: argparse.Namespace) -> tuple[Model, Inference]:
    run = run_named(project, args.run)
    from ..engine.preview import preview_inference, preview_model

    model = preview_model(run, project.label_set)
    return model, preview_inference(model, device=args.device, beside_training=run_state(run)[0] in ACTIVE)


def _predict_cases(args: argparse.Namespace, project: Project, model: Model, inference: Inference) -> int:
    from ..engine.predict_many import cases_to_predict, predict_cases

    cases = cases_to_predict(project, args.case)
    result = predict_cases(
        project, cases, model, passes=args.passes, maps=args.maps, inference=inference, on_progress=_percent()
    )
    if args.json:
        print_json({"model": model.name, "cases": result.volumes, "refused": result.refused})
        return 0
    print(_numbers(result.volumes, "case"))
    _say_refused(result.refused)
    print(
        f"\n{_count(len(result.volumes), 'case')} predicted; `semisupseg review {args.project}` ranks what to look at"
    )
    return 0


def _predict_folder(args: argparse.Namespace, project: Project, model: Model, inference: Inference) -> int:
    from ..engine.atlases import atlases_of
    from ..engine.predict_many import predict_folder

    result = predict_folder(
        model,
        args.images,
        args.output,
        passes=args.passes,
        maps=args.maps,
        inference=inference,
        on_progress=_percent(),
        atlases=atlases_of(project, model),
    )
    if args.json:
        print_json(
            {"model": model.name, "output": str(args.output), "volumes": result.volumes, "refused": result.refused}
        )
        return 0
    print(_numbers(result.volumes, "volume"))
    _say_refused(result.refused)
    print(f"\n{_count(len(result.volumes), 'volume')} predicted; labels, uncertainty and maps are in {args.output}")
    return 0


def _percent() -> Callable[[float, str], None]:
    progress = Progress("predicting, percent:")
    return lambda share, name: progress(int(100 * share + 1e-6), 100, name)


def _numbers(predicted: dict[str, dict[str, dict[str, Any]]], what: str) -> str:
    """A table of them; with a column for the finished slices that proposals follow, where any does."""
    heads = (what, "label", "ml", "confidence", "uncertainty at the border", "parts", "worst slice")
    follows = any("finished_slices" in said for labels in predicted.values() for said in labels.values())
    rows = [
        (name, label, said["volume_ml"], None if said["empty"] else said["confidence"], said["uncertainty_boundary"],
         said["parts"], said["worst_slice"], *((said.get("finished_slices", 0),) if follows else ()))
        for name, labels in predicted.items()
        for label, said in labels.items()
    ]  # fmt: skip
    return table(rows, (*heads, "follows slices") if follows else heads)


def _say_refused(refused: dict[str, str]) -> None:
    for name, why in refused.items():
        print(f"not predicted: {name}: {why}")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _configure_evaluate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "project", metavar="PROJECT", type=Path, nargs="?", help="project whose predictions are compared"
    )
    parser.add_argument(
        "--predictions", type=Path, metavar="FOLDER", help="label files to compare instead of a project"
    )
    parser.add_argument(
        "--reference", type=Path, metavar="FOLDER", required=True, help="label files, perhaps with dataset.json"
    )
    parser.add_argument("--cases", action="store_true", help="list every case as well")
    add_json(parser)


def _evaluate(args: argparse.Namespace) -> int:
    if (args.project is None) == (args.predictions is None):
        msg = "give PROJECT or --predictions FOLDER, one of them"
        raise UsageError(msg)
    from ..engine.evaluate import evaluate_folders, evaluate_project

    progress = Progress("comparing")
    if args.predictions is not None:
        found = evaluate_folders(args.predictions, args.reference, on_progress=progress)
    else:
        found = evaluate_project(open_project(args), args.reference, on_progress=progress)
    if args.json:
        print_json(found.to_json())
    else:
        print(_report(found, every_case=args.cases))
    return 0


def _report(found: Evaluation, *, every_case: bool) -> str:
    from ..engine.metrics import DEFINITIONS

    metrics = tuple(DEFINITIONS)
    parts = []
    if every_case:
        rows = [(r.group, r.case, r.label, *(getattr(r.scores, m) for m in metrics)) for r in found.rows]
        parts.append(table(rows, ("group", "case", "label", *metrics)))
    by_place: dict[tuple[str, str], dict[str, Any]] = {}
    for s in found.summary():
        by_place.setdefault((s.group, s.label), {})[s.metric] = s
    summary = [
        (group, label, values["dice"].count, *(_with_deviation(values[m]) for m in metrics))
        for (group, label), values in by_place.items()
    ]
    parts.append(table(summary, ("group", "label", "n", *metrics)))
    parts.append("\n".join(f"{name}: {said}" for name, said in DEFINITIONS.items()))
    parts.append(MEANING)
    if found.matched_by_number:
        parts.append("the files do not name their labels: equal numbers were compared")
    parts += [f"not compared: {case}: {why}" for case, why in found.skipped.items()]
    return "\n\n".join(parts)


def _with_deviation(summary: Summary) -> str | float:
    if summary.count < 2:
        return summary.mean
    return f"{summary.mean:.3g} ± {summary.deviation:.2g}"


def _passes(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = -1
    if not 0 <= value <= 100:
        msg = f"{text!r} is not a whole number from 0 to 100"
        raise argparse.ArgumentTypeError(msg)
    return value


VERBS = (
    Verb(
        "predict",
        "Propose labels with their uncertainty, for the project's cases or other volumes",
        (
            "semisupseg predict liver_study",
            "semisupseg predict liver_study --case patient_07 --passes 16",
            "semisupseg predict liver_study --case patient_07 --run 2026-11-22_0915_smile",
            "semisupseg predict liver_study --images new_scans --output new_scans_predicted",
        ),
        _configure_predict,
        _predict,
    ),
    Verb(
        "evaluate",
        "Compare proposals with reference labels: Dice, Jaccard, HD95, ASSD",
        (
            "semisupseg evaluate liver_study --reference complete_labels",
            "semisupseg evaluate liver_study --reference complete_labels --cases",
            "semisupseg evaluate --predictions new_scans_predicted --reference their_labels --json",
        ),
        _configure_evaluate,
        _evaluate,
    ),
)
