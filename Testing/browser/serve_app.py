"""Serves the app as ``semisupseg app`` does, with the engine's stand-in, whose trainings take seconds without torch.

Slicer's core takes seconds to import, so one process imports it, and is forked for each server: it reads lines with the
project's folder (empty for none) and the file for what the server says, as JSON, and answers with the server's process.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
ENGINE = REPOSITORY / "Testing" / "desktop" / "standins" / "engine.py"


def child(serve: Callable[[str], None], project: str, said: str) -> None:
    """Serve until somebody ends this process. Never returns."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number, opened in ((0, os.open(os.devnull, os.O_RDONLY)), (1, file := _written(said)), (2, file)):
        os.dup2(opened, number)
    try:
        serve(project)
    finally:
        os._exit(0)


def _written(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)


def main() -> None:
    sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "SemiSupSeg")]
    import SemiSupSegBrowser.Server
    import trame_slicer.module

    from SemiSupSegLib.session import Session

    assert trame_slicer.module  # imported before the fork

    def serve(project: str) -> None:
        session = Session(who="ann", program=(sys.executable, str(ENGINE)), background=True)
        SemiSupSegBrowser.Server.serve(
            Path(project) if project else None, openBrowser=False, session=session,
            tell=lambda words: os.write(1, f"{words}\n".encode()),
        )  # fmt: skip

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the servers
    answers = os.dup(1)
    os.dup2(2, 1)  # what libraries print is no answer
    for line in sys.stdin:
        process = os.fork()
        if process == 0:
            os.close(answers)
            child(serve, *json.loads(line))
        os.write(answers, f"{process}\n".encode())


if __name__ == "__main__":
    main()
