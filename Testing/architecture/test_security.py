"""What the library never does: run text as code, unpickle, open a connection."""

from __future__ import annotations

import ast
import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from SemiSupSegLib.cli.main import main
from SemiSupSegLib.project.geometry import Grid, image_from_kji
from SemiSupSegLib.project.images import write_volume

pytestmark = pytest.mark.security

LIBRARY = Path(__file__).parents[2] / "SemiSupSegLib"
NETWORK = {"socket", "socketserver", "ssl", "asyncio", "http", "urllib", "xmlrpc", "ftplib", "smtplib", "requests"} | {
    "httpx", "aiohttp", "websockets",
}  # fmt: skip
UNPICKLING = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "yaml"}
CODE = {"eval", "exec", "compile", "__import__"}
CALLS = {
    "torch.load", "torch.save", "torch.jit.load", "os.system", "os.popen", "os.execv", "os.execvp", "yaml.load",
    "numpy.load", "np.load", "subprocess.getoutput", "subprocess.getstatusoutput", "torch.hub.load",
}  # fmt: skip


def trees() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(LIBRARY.rglob("*.py")):
        yield path, ast.parse(path.read_text(encoding="utf-8"), str(path))


def imported(tree: ast.AST) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def dotted(node: ast.expr) -> str:
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id if isinstance(node, ast.Name) else "", *reversed(parts)])


def what_is_wrong(tree: ast.AST) -> list[str]:
    """Offences against G26 in a module, in words; empty when there is none."""
    found = [f"imports {name}" for name in imported(tree) if name.partition(".")[0] in UNPICKLING or name in CALLS]
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = dotted(node.func)
        if name in CODE or (name in CALLS and not _is_plain_load(name, node)):
            found.append(f"line {node.lineno} calls {name}")
        for keyword in node.keywords:
            value = getattr(keyword.value, "value", None)
            if (keyword.arg in ("shell", "allow_pickle") and value is not False) or keyword.arg == "weights_only":
                found.append(f"line {node.lineno} passes {keyword.arg}={value}")
    return found


def _is_plain_load(name: str, node: ast.Call) -> bool:
    """numpy.load is safe when it says that it does not unpickle."""
    says = {k.arg: getattr(k.value, "value", None) for k in node.keywords}
    return name in ("np.load", "numpy.load") and says.get("allow_pickle") is False


def test_g26_no_module_runs_text_as_code_or_unpickles():
    offences = {str(path.relative_to(LIBRARY)): wrong for path, tree in trees() if (wrong := what_is_wrong(tree))}
    assert offences == {}


@pytest.mark.parametrize(
    "line",
    [
        "eval('1')",
        "exec('x = 1')",
        "import pickle",
        "from pickle import loads",
        "import torch\ntorch.load('w.pt')",
        "from torch import load",
        "import torch\ntorch.save({}, 'w.pt')",
        "import os\nos.system('ls')",
        "import subprocess\nsubprocess.run('ls', shell=True)",
        "import yaml",
        "import numpy as np\nnp.load('x.npy')",
        "import numpy as np\nnp.load('x.npy', allow_pickle=True)",
    ],
)
def test_g26_the_check_itself_sees_each_offence(line):
    assert what_is_wrong(ast.parse(line))


def test_g26_the_check_lets_plain_arrays_pass():
    assert not what_is_wrong(ast.parse("import numpy as np\nnp.load('x.npy', allow_pickle=False)"))


def test_g22_g23_no_module_can_open_a_connection():
    offences = {
        str(path.relative_to(LIBRARY)): found
        for path, tree in trees()
        if (found := {name for name in imported(tree) if name.partition(".")[0] in NETWORK})
    }
    assert offences == {}


class _NoConnection(socket.socket):
    def __init__(self, *args, **kwargs) -> None:  # noqa: ARG002
        raise AssertionError("a socket was opened")


def test_g22_g23_the_light_verbs_work_without_any_socket(tmp_path, monkeypatch, capsys):
    grid = Grid((4, 4, 4), (1.0, 1.0, 1.0))
    (tmp_path / "scans").mkdir()
    write_volume(image_from_kji(np.arange(64, dtype=np.int16).reshape(4, 4, 4), grid), tmp_path / "scans/a.nii.gz")
    monkeypatch.setattr(socket, "socket", _NoConnection)
    project = str(tmp_path / "project")
    for words in (
        ["init", project, "--labels", "liver"],
        ["import", project, str(tmp_path / "scans"), "--yes"],
        ["annotate", project, "a", "liver", "--state", "absent"],
        ["status", project, "--json"],
        ["review", project, "--json"],
        ["undo", project],
    ):
        assert main(words) == 0, (words, capsys.readouterr().err)
