"""Serves the app as ``semisupseg app`` does, with the engine's stand-in, whose trainings take seconds without torch.

``serve_app.py [PROJECT]`` prints the address.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
ENGINE = REPOSITORY / "Testing" / "desktop" / "standins" / "engine.py"

if __name__ == "__main__":
    sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "SemiSupSeg")]
    from SemiSupSegBrowser.Server import serve

    from SemiSupSegLib.session import Session

    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    session = Session(who="ann", program=(sys.executable, str(ENGINE)))
    serve(folder, openBrowser=False, session=session, tell=lambda words: os.write(1, f"{words}\n".encode()))
