"""What a front end waits for before it can show anything: importing the LIGHT floor, beside importing torch.

    python Testing/benchmarks/bench_import.py

Each import runs in a fresh process, seven times; the table shows the fastest less the interpreter's own start.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
LIBRARY = REPOSITORY / "SemiSupSegLib"
LIGHT = ("project", "jobs", "session", "config", "errors")
REPEATS = 7
WANTED = 0.3


def light_modules() -> list[str]:
    paths = [p.relative_to(REPOSITORY).with_suffix("") for p in LIBRARY.rglob("*.py") if p.stem != "__init__"]
    return sorted(".".join(path.parts) for path in paths if path.parts[1] in LIGHT)


def seconds(code: str, bytecode: Path) -> float:
    """Least wall time of a fresh process that runs the code; the first, which compiles and reads, is left out."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(bytecode), "PYTHONDONTWRITEBYTECODE": ""}
    times = []
    for _ in range(REPEATS + 1):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, env=environment, check=True)
        times.append(time.perf_counter() - began)
    return min(times[1:])


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:  # for compiled files: an installation has them, the repository not
        measure(Path(folder))


def measure(bytecode: Path) -> None:
    """Print the table."""
    start = seconds("pass", bytecode)
    light = light_modules()
    rows = {
        "numpy": "import numpy",
        "SemiSupSegLib.project.project (what `status` needs first)": "import SemiSupSegLib.project.project",
        "SemiSupSegLib.session (what a front end imports)": "import SemiSupSegLib.session",
        f"the LIGHT floor, all {len(light)} modules": f"import {', '.join(light)}",
        "SimpleITK": "import SimpleITK",
        "torch": "import torch",
        "torch and monai": "import torch, monai",
    }
    print(f"{'import':60s} {'seconds':>8s} {'of torch and monai':>20s}")
    cost = {name: max(seconds(code, bytecode) - start, 1e-3) for name, code in rows.items()}
    for name, value in cost.items():
        print(f"{name:60s} {value:8.2f} {value / cost['torch and monai']:19.2f}x")
    print(f"\nwanted for the LIGHT floor: under {WANTED} s")


if __name__ == "__main__":
    main()
