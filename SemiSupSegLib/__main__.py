"""``python -m SemiSupSegLib VERB``: the ``semisupseg`` command; how a front end starts the process of a run."""

from __future__ import annotations

import sys

from .cli.main import main

if __name__ == "__main__":  # loaders and process groups may import this file again
    sys.exit(main())
