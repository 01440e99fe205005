"""Verb app: the whole loop in a browser, for people without Slicer."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from ..errors import ProjectError
from .arguments import Verb

__all__ = ["VERBS"]

MODULES = Path(__file__).resolve().parents[2] / "SemiSupSeg"
"""Where the page and the scene are, beside the library."""
NEEDED = ("trame_slicer", "slicer")


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("project", metavar="PROJECT", type=Path, nargs="?", help="its folder; none opens a page to "
                        "choose or make one")  # fmt: skip
    parser.add_argument("--sample", action="store_true", help="a SYNTHETIC sample project in the folder PROJECT, made "
                        "the first time")  # fmt: skip
    parser.add_argument("--port", type=int, default=0, metavar="N", help="(default: one that is free)")
    parser.add_argument("--no-browser", action="store_true", help="print the address only")


def _run(args: argparse.Namespace) -> int:
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        msg = "the browser app needs trame-slicer: pip install -e '.[app]' in the checkout"
        raise ProjectError(msg)
    if not (MODULES / "SemiSupSegBrowser").is_dir():
        msg = "the browser app's files are not part of this installation: start it from a checkout of the repository"
        raise ProjectError(msg)
    if args.sample:
        args.project = _sample(args.project or Path("demo") / "sample")
    if str(MODULES) not in sys.path:
        sys.path.insert(0, str(MODULES))  # as Slicer does with the folder of a scripted module
    from SemiSupSegBrowser.Server import serve

    try:
        serve(args.project, port=args.port, openBrowser=not args.no_browser, tell=lambda said: print(said, flush=True))
    except OSError as error:
        msg = f"the app cannot be served: {error.strerror or error}"
        raise ProjectError(msg) from error
    return 0


def _sample(folder: Path) -> Path:
    """The sample project; made when it is not there."""
    from ..project.project import PROJECT_FILE
    from ..project.synthetic import write_cohort
    from ..session.sampling import SAMPLE_CASES, SAMPLE_UNLABELLED
    from .main import main

    if (folder / PROJECT_FILE).is_file():
        return folder
    cohort = folder.with_name(f"{folder.name}_cohort")
    print("making a SYNTHETIC sample project: no patient was ever near it", flush=True)
    write_cohort(cohort, cases=SAMPLE_CASES, unlabelled=SAMPLE_UNLABELLED)
    with redirect_stdout(StringIO()):
        code = main(["import", str(folder), str(cohort), "--yes", "--holdout", "0"])
    if code:
        msg = "the sample project could not be made"
        raise ProjectError(msg)
    return folder


VERBS = (
    Verb(
        "app",
        "Open the browser app: the whole loop on a local page",
        ("semisupseg app study", "semisupseg app --sample", "semisupseg app study --port 8090 --no-browser"),
        _configure,
        _run,
    ),
)
