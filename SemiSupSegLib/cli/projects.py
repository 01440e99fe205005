"""Verbs of the project: init, import, add, annotate, holdout."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..errors import ProjectError
from ..project.annotating import Statement, annotate, has_voxels, names_beside
from ..project.annotation import State
from ..project.folders import Dataset, Pair, find_pairs, read_dataset, stem_of
from ..project.holdout import choose_holdout, set_holdout
from ..project.import_plan import ImportPlan, new_label, plan_import
from ..project.importing import write_import
from ..project.labels import LabelSet
from ..project.project import PROJECT_FILE, Project
from .arguments import UsageError, Verb, add_project, add_who, index_range, names, open_project, share
from .output import Progress, confirm
from .preview import preview

__all__ = ["VERBS"]


def _configure_init(parser: argparse.ArgumentParser) -> None:
    add_project(parser)
    parser.add_argument("--labels", metavar="A,B,...", type=names, default=(), help="names of the labels, in order")
    words = "two labels that may share voxels (repeatable); all others exclude each other"
    parser.add_argument("--overlap", metavar="A,B", type=names, action="append", default=[], help=words)
    parser.add_argument("--name", help="name of the project (default: that of its folder)")


def _init(args: argparse.Namespace) -> int:
    label_set = LabelSet(tuple(new_label(name, number) for number, name in enumerate(args.labels)))
    overlaps = frozenset(frozenset(label_set.names[label_set.index(name)] for name in pair) for pair in args.overlap)
    project = Project.create(args.project, name=args.name, label_set=LabelSet(label_set.labels, overlaps))
    named = ", ".join(project.label_set.names) or "those of the files that will be imported"
    print(f"made project {project.name} in {args.project}; labels: {named}")
    print(f"next: semisupseg import {args.project} FOLDER")
    return 0


def _configure_import(parser: argparse.ArgumentParser) -> None:
    add_project(parser)
    words = "folder with images/, labels/ and dataset.json, or with image files"
    parser.add_argument("folder", metavar="FOLDER", type=Path, help=words)
    parser.add_argument("--labels-folder", metavar="NAME", default="labels", help="default: labels; e.g. scribbles")
    words = "images to keep out of training and score on: how many, or ID,ID,... (default: chosen from 10 annotated on)"
    parser.add_argument("--holdout", metavar="N|IDS", type=_holdout, help=words)
    _add_meaning(parser)
    words = "for experiments: keep each label of each training case with this probability"
    parser.add_argument("--keep-annotated", metavar="P", type=share, help=words)
    parser.add_argument("--seed", metavar="N", type=int, default=1, help="of the draws of both (default: %(default)s)")
    parser.add_argument("--yes", action="store_true", help="write without asking")
    add_who(parser)


def _add_meaning(parser: argparse.ArgumentParser) -> None:
    words = "state of a listed label without voxels (default: absent when dataset.json lists it, else unknown)"
    parser.add_argument("--missing", choices=("unknown", "absent"), help=words)
    words = "value of voxels nobody annotated; all others are strokes (default: 255 in scribbles/)"
    parser.add_argument("--not-annotated", metavar="VALUE", type=int, help=words)


def _import(args: argparse.Namespace) -> int:
    project = Project.open(args.project) if (args.project / PROJECT_FILE).exists() else None
    pairs = find_pairs(args.folder, labels_folder=args.labels_folder)
    plan = plan_import(
        pairs,
        read_dataset(args.folder),
        label_set=project.label_set if project else None,
        cases=list(project.cases.values()) if project else (),
        missing=args.missing,
        not_annotated=args.not_annotated,
        holdout=args.holdout,
        keep_annotated=args.keep_annotated,
        seed=args.seed,
        on_progress=Progress("reading"),
    )
    print(preview(plan))
    if not plan.importable:
        msg = f"none of the {len(pairs)} cases of {args.folder} can be imported"
        raise ProjectError(msg)
    if not args.yes and not confirm(f"Write {len(plan.importable)} cases into {args.project}?"):
        print("nothing was written")
        return 1
    return _carry_out(project or Project.create(args.project, label_set=plan.label_set), plan, args)


def _carry_out(project: Project, plan: ImportPlan, args: argparse.Namespace) -> int:
    refused = write_import(project, plan, who=args.who, on_progress=Progress("writing"))
    done = len(plan.importable) - len(refused)
    if not done:  # one sentence with the first reason, for whoever reads nothing but that
        case_id, reason = (*refused, *((case.id, case.problem) for case in plan.cases if case.problem))[0]
        msg = f"nothing was imported: {case_id}: {reason}"
        raise ProjectError(msg)
    for case_id, reason in refused:
        print(f"left out {case_id}: {reason}", file=sys.stderr)
    left = len(plan.cases) - done
    print(f"imported {done} of {len(plan.cases)} cases" + (f"; {left} left out, see above" if left else ""))
    if not args.project.samefile(Path()):
        print(f"next: semisupseg status {args.project}")
    return 0


def _configure_add(parser: argparse.ArgumentParser) -> None:
    add_project(parser)
    words = "image file, or folder with one DICOM series"
    parser.add_argument("images", metavar="IMAGE", type=Path, nargs="+", help=words)
    parser.add_argument("--labels", metavar="FILE", type=Path, help="label file of the image, on the same grid")
    parser.add_argument("--id", metavar="ID", help="what to call the case (default: the file's name)")
    _add_meaning(parser)
    add_who(parser)


def _add(args: argparse.Namespace) -> int:
    if len(args.images) > 1 and (args.labels or args.id):
        msg = f"--labels and --id are for one image; {len(args.images)} were given"
        raise UsageError(msg)
    project = open_project(args)
    dataset = None
    if args.labels:
        found = names_beside(args.labels)
        dataset = Dataset(found) if found else None
    pairs = [Pair(args.id or stem_of(Path(image.resolve().name)), image, args.labels) for image in args.images]
    plan = plan_import(
        pairs,
        dataset,
        label_set=project.label_set,
        cases=list(project.cases.values()),
        missing=args.missing,
        not_annotated=args.not_annotated,
        holdout=0,
    )
    print(preview(plan))
    return _carry_out(project, plan, args)


def _configure_annotate(parser: argparse.ArgumentParser) -> None:
    add_project(parser)
    parser.add_argument("case", metavar="CASE", help="id of the case")
    parser.add_argument("label", metavar="LABEL", nargs="?", help="name of the label (not needed with --ignore alone)")
    parser.add_argument("--state", choices=[str(state) for state in State], help="what is said about the label")
    words = "partial: finished slices along the third axis, from 0, both included (repeatable)"
    parser.add_argument("--slices", metavar="FIRST:LAST", type=index_range, action="append", default=[], help=words)
    parser.add_argument("--box", metavar="K:K,J:J,I:I", type=_box, help="partial: finished box, slices first, from 0")
    parser.add_argument("--strokes", metavar="FILE", type=Path, help="partial: volume, above 0 where finished")
    words = "label file to take the label's voxels from; they replace those of the case"
    parser.add_argument("--from", metavar="FILE", type=Path, dest="voxels", help=words)
    words = "volume whose voxels above 0 are left out of training and scores, whatever the label"
    parser.add_argument("--ignore", metavar="FILE", type=Path, help=words)
    add_who(parser)


def _annotate(args: argparse.Namespace) -> int:
    if (args.label is None) != (args.state is None) or (args.label is None and args.ignore is None):
        msg = "give LABEL with --state, or --ignore FILE, or all three"
        raise UsageError(msg)
    project = open_project(args)
    statement = None
    if args.label is not None:
        state = State(args.state)
        statement = Statement(args.label, state, tuple(args.slices), args.box, args.strokes, args.voxels)
    case = annotate(project, args.case, statement, ignore=args.ignore, who=args.who)
    if statement is not None:
        name = project.label_set.names[project.label_set.index(args.label)]
        print(f"{name} is {statement.state} in case {case.id}")
        if statement.state is State.COMPLETE and not has_voxels(project, case, name):
            words = f"note: no voxel of {case.id} is {name}: if it was looked for and is not there, say --state absent"
            print(words, file=sys.stderr)
    if args.ignore is not None:
        print(f"case {case.id}: " + ("voxels to ignore are set" if case.ignore_file else "nothing is ignored any more"))
    return 0


def _configure_holdout(parser: argparse.ArgumentParser) -> None:
    add_project(parser)
    parser.add_argument("cases", metavar="N|IDS", type=_holdout, help="how many, or ID,ID,...; 0 for none")
    parser.add_argument("--seed", metavar="N", type=int, default=1, help="of the choice (default: 1)")
    add_who(parser)


def _set_holdout(args: argparse.Namespace) -> int:
    project = open_project(args)
    chosen = args.cases
    if isinstance(chosen, int):
        chosen = choose_holdout(project.cases.values(), chosen, seed=args.seed)
    moved = set_holdout(project, chosen, who=args.who)
    print(f"hold-out: {', '.join(case.id for case in project.holdout_cases()) or 'none'} ({len(moved)} cases moved)")
    if moved and project.models_folder.exists():
        print("note: scores of models that were trained before are not comparable with later ones", file=sys.stderr)
    return 0


def _holdout(text: str) -> int | tuple[str, ...]:
    return int(text) if text.isdecimal() else names(text)


def _box(text: str) -> tuple[tuple[int, int], ...]:
    ranges = tuple(index_range(part) for part in text.split(","))
    if len(ranges) != 3:
        msg = f"{text!r} has {len(ranges)} ranges: expected three, FIRST:LAST along k, j and i"
        raise argparse.ArgumentTypeError(msg)
    return ranges


VERBS = (
    Verb(
        "init",
        "Make a new, empty project",
        ("semisupseg init liver_study --labels liver,spleen,'left kidney','right kidney'",
         "semisupseg init tumours --labels liver,tumour --overlap liver,tumour"),
        _configure_init,
        _init,
    ),
    Verb(
        "import",
        "Copy a folder of images and labels into a project, which is made when it is not there",
        ("semisupseg import liver_study ~/scans",
         "semisupseg import liver_study ~/scans --holdout 3 --keep-annotated 0.3 --seed 1 --yes",
         "semisupseg import heart_study ~/heart --labels-folder scribbles --holdout case_07,case_12"),
        _configure_import,
        _import,
    ),
    Verb(
        "add",
        "Add images to a project, one with its labels or several without",
        ("semisupseg add liver_study new/scan_41.nii.gz new/scan_42.nii.gz",
         "semisupseg add liver_study dicom/series_3 --id scan_43 --labels scan_43.seg.nrrd"),
        _configure_add,
        _add,
    ),
    Verb(
        "annotate",
        "Say what is known about one label of one case",
        ("semisupseg annotate liver_study scan_41 spleen --state absent",
         "semisupseg annotate liver_study scan_41 liver --state complete --from liver_41.nii.gz",
         "semisupseg annotate liver_study scan_42 liver --state partial --slices 40:60 --slices 72",
         "semisupseg annotate liver_study scan_42 liver --state partial --box 40:60,0:255,10:200",
         "semisupseg annotate liver_study scan_42 --ignore stent_artefact.nii.gz"),
        _configure_annotate,
        _annotate,
    ),
    Verb(
        "holdout",
        "Choose the cases that are never trained on, so that rounds can be compared",
        ("semisupseg holdout liver_study 3", "semisupseg holdout liver_study scan_07,scan_12"),
        _configure_holdout,
        _set_holdout,
    ),
)  # fmt: skip
