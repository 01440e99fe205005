"""How good the proposals are after 5, 15 and 60 minutes: what a user gets who changes nothing.

    python Testing/benchmarks/protocols.py A|B|C|D [--presets quick balanced thorough] [--minutes M] [--method auto]
        [--labelled N] [--option NAME=VALUE ...] [--seeds 1] [--dev] [--output FOLDER]

A: left atrium, 8 annotated cases, the rest of the training cases without, 8 test cases; `--labelled` for other numbers.
B: abdominal organs, each annotation kept with probability 0.3, 3 test cases. C: the heart from strokes alone, 4 test
cases. D: about 140 brain regions, 5 annotated cases, 5 without, 5 test cases.

The same commands for all: import, train with a preset and its budget, predict, evaluate on the images' own grid, with
the parts that the tool keeps. Test cases never enter the project, and there is no hold-out. `--dev` leaves them out of
everything and tests on training cases that the protocol does not annotate: for trying things out (`--option`), so that
nothing is chosen on the test cases. Each row that is done is a line of OUTPUT/scores.jsonl; an interrupted protocol
goes on where it was. OUTPUT/pictures.png shows the same slice of a test case after each budget, beside the reference.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from partial_labels import make_project, semisupseg, split
from seed.arguments import DATA, REPOSITORY
from seed.records import Records

from SemiSupSegLib.config import PRESETS
from SemiSupSegLib.project.paths import slug

ALL = "all labels"


@dataclass(frozen=True)
class Protocol:
    """What is annotated, and what is tested."""

    data: str
    test: int
    """The last cases."""
    labelled: int | None
    """Training cases with annotations, the first; None: all."""
    keep: float = 1.0
    """Probability with which each annotation is kept."""
    labels_folder: str = "labels"


PROTOCOLS = {
    "A": Protocol("left_atrium", 8, 8),
    "B": Protocol("abdomen_mr", 3, None, keep=0.3),
    "C": Protocol("cardiac_mr", 4, None, labels_folder="scribbles"),
    "D": Protocol("brain_mr", 5, 5),
}


def main() -> None:
    """Make the rows that are not done yet, and print the table."""
    args = read_arguments()
    protocol = PROTOCOLS[args.protocol]
    said = {"protocol": args.protocol, "dev": args.dev, "data": args.data.name, "device": args.device}
    records = Records(args.output, said)
    for seed in args.seeds:
        for preset in args.presets:
            name = row_name(preset, args)
            if not records.has(name, seed):
                records.append({"row": name, "seed": seed, **row(protocol, preset, seed, args)})
    report(records.all(), args)
    draw(records.all(), args)


def read_arguments() -> argparse.Namespace:
    """The command line, checked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("protocol", choices=list(PROTOCOLS))
    add("--presets", nargs="+", default=["quick", "balanced", "thorough"], choices=list(PRESETS))
    limit = parser.add_mutually_exclusive_group()
    limit.add_argument("--minutes", type=float, help="instead of the preset's")
    limit.add_argument("--iterations", type=int, help="budget in steps instead")
    add("--method", default="auto", help="default: %(default)s")
    add("--labelled", type=int, help="annotated cases instead of the protocol's")
    add("--option", action="append", default=[], metavar="NAME=VALUE", help="as of `semisupseg train`; repeatable")
    add("--seeds", type=int, nargs="+", default=[1])
    add("--device", default="auto", choices=("auto", "cpu", "cuda"))
    add("--dev", action="store_true", help="test on training cases")
    add("--data", type=Path, help="default: the protocol's of ../shared/data")
    add("--output", type=Path, help="default: build/protocols/...")
    args = parser.parse_args()
    args.data = args.data or DATA / PROTOCOLS[args.protocol].data
    if not (args.data / "images").is_dir():
        sys.exit(f"no data in {args.data}: expected images/, labels/ and dataset.json there, or give --data FOLDER")
    name = f"{args.protocol}{'_dev' if args.dev else ''}"
    args.output = args.output or REPOSITORY / "build" / "protocols" / name
    return args


def row_name(preset: str, args: argparse.Namespace) -> str:
    """What a row is called: all that differs between rows."""
    limit = f"{args.iterations} steps" if args.iterations else f"{args.minutes or PRESETS[preset].minutes:g} min"
    labelled = [f"{args.labelled} labelled"] if args.labelled else []
    return ", ".join([args.method, preset, limit, *labelled, *args.option])


def row(protocol: Protocol, preset: str, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """Train, predict, evaluate; steps, minutes and scores."""
    args.output.mkdir(parents=True, exist_ok=True)
    cohort, project = (args.output / name for name in ("cohort", "project"))
    output = predictions(args.output, row_name(preset, args), seed)
    for folder in (cohort, project, output):
        shutil.rmtree(folder, ignore_errors=True)
    cases(protocol, cohort, args)
    make_project(project, cohort, keep=protocol.keep, seed=seed, labels_folder=protocol.labels_folder)
    limit: list[object] = ["--iterations", args.iterations] if args.iterations else []
    limit += ["--minutes", args.minutes] if args.minutes else []
    more = [word for option in args.option for word in ("--option", option)]
    begin = time.monotonic()
    said = json.loads(semisupseg("train", project, "--method", args.method, "--preset", preset, "--seed", seed, *limit,
                                 *more, "--device", args.device, "--json"))  # fmt: skip
    minutes = (time.monotonic() - begin) / 60
    words = ["--images", cohort / "test" / "images", "--output", output, "--passes", 0, "--maps", "none"]
    semisupseg("predict", project, *words, "--device", args.device, "--json")
    found = json.loads(semisupseg("evaluate", "--predictions", output, "--reference", cohort / "test", "--json"))
    summary = {metric: {r["label"]: r["mean"] for r in found["summary"] if r["metric"] == metric}
               for metric in ("dice", "hd95_mm", "assd_mm")}  # fmt: skip
    deviation = next(r["deviation"] for r in found["summary"] if (r["label"], r["metric"]) == (ALL, "dice"))
    return {"minutes": minutes, "steps": said["step"], "device": said["device"], "summary": summary,
            "deviation": deviation}  # fmt: skip


def cases(protocol: Protocol, cohort: Path, args: argparse.Namespace) -> None:
    """``cohort/train`` and ``cohort/test``; with ``--dev`` the test cases are training cases without annotations."""
    labelled = args.labelled or protocol.labelled
    if not args.dev:
        split(args.data, cohort, protocol.test, labelled=labelled, labels_folder=protocol.labels_folder)
        return
    inner = cohort.with_name("dev_data")
    shutil.rmtree(inner, ignore_errors=True)
    without_test(args.data, inner, protocol)
    count = len(list((inner / "images").iterdir()))
    test = min(protocol.test, count - (labelled or 0)) if labelled else protocol.test
    split(inner, cohort, test, labelled=labelled, labels_folder=protocol.labels_folder)


def without_test(data: Path, inner: Path, protocol: Protocol) -> None:
    """A copy of a data set without the test cases."""
    images = sorted((data / "images").iterdir())[: -protocol.test]
    for kind in {"images", "labels", protocol.labels_folder}:
        (inner / kind).mkdir(parents=True, exist_ok=True)
        for image in images:
            if (data / kind / image.name).exists():
                shutil.copy(data / kind / image.name, inner / kind)
    shutil.copy(data / "dataset.json", inner)


def predictions(output: Path, row: str, seed: int) -> Path:
    """Where a row's proposals for the test cases are."""
    return output / "predictions" / f"{slug(row)}_{seed}"


def report(records: Iterable[dict[str, Any]], args: argparse.Namespace) -> None:
    """A Markdown table, also in OUTPUT/table.md."""
    labels = list(dict.fromkeys(label for r in records for label in r["summary"]["dice"] if label != ALL))
    shown = labels if 1 < len(labels) <= 8 else []
    lines = [
        f"| what | seed | steps | minutes | Dice | HD95 mm | ASSD mm |{''.join(f' {name} |' for name in shown)}",
        "|---|--:|--:|--:|---|--:|--:|" + "--:|" * len(shown),
    ]
    for r in records:
        dice, hd95, assd = (r["summary"][metric][ALL] for metric in ("dice", "hd95_mm", "assd_mm"))
        own = "".join(f" {_number(r['summary']['dice'].get(name), 3)} |" for name in shown)
        lines.append(f"| {r['row']} | {r['seed']} | {r['steps']} | {r['minutes']:.1f} | **{_number(dice, 3)}** ± "
                     f"{_number(r['deviation'], 3)} | {_number(hd95, 1)} | {_number(assd, 2)} |{own}")  # fmt: skip
    text = "\n".join(lines)
    (args.output / "table.md").write_text(text + "\n", encoding="utf-8")
    print(text)


def draw(records: Iterable[dict[str, Any]], args: argparse.Namespace) -> None:
    """The slice of the first test case that shows most of the labels: the reference, and the proposal of each row."""
    from seed.slices import Panel, panels, slice_of

    test = args.output / "cohort" / "test"
    image = min((test / "images").iterdir())
    case, k = image.name.split(".")[0], None
    shown = []
    for title, folder in [("reference", test), *((f"{r['row']}\nDice of all cases {r['summary']['dice'][ALL]:.3f}",
                                                 predictions(args.output, r["row"], r["seed"]))
                                                for r in records if r["seed"] == args.seeds[0])]:  # fmt: skip
        if folder.is_dir():
            k, grey, labels = slice_of(image, folder, case, k)
            shown.append(Panel(title, grey, labels))
    panels(shown, args.output / "pictures.png", f"{args.data.name}, {case}, slice {k}")


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


if __name__ == "__main__":
    main()
