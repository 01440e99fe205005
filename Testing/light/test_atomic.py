"""Writing files: the old one or the new one, never a mixture (G3, G6)."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from SemiSupSegLib.errors import ProjectError
from SemiSupSegLib.project import atomic
from SemiSupSegLib.project.atomic import WriteError, replace_file, replacing, temp_beside, write_bytes, write_json


@pytest.fixture
def a_file(tmp_path: Path) -> Path:
    path = tmp_path / "case.json"
    path.write_bytes(b"old")
    return path


def test_written_bytes_replace_the_old_ones(a_file: Path):
    write_bytes(a_file, b"new")
    assert a_file.read_bytes() == b"new"
    assert list(a_file.parent.iterdir()) == [a_file]


def test_json_is_readable_utf8_and_ends_with_a_newline(tmp_path: Path):
    write_json(tmp_path / "x.json", {"name": "Größe", "values": [1, 2]})
    assert (tmp_path / "x.json").read_text("utf-8").startswith('{\n "name": "Größe"')
    assert (tmp_path / "x.json").read_bytes().endswith(b"}\n")


def test_json_that_cannot_be_written_leaves_the_old_file(a_file: Path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(a_file, {"loss": float("nan")})
    assert a_file.read_bytes() == b"old"


def test_a_temporary_name_stays_in_the_folder_and_keeps_the_endings(tmp_path: Path):
    temp = temp_beside(tmp_path / "0003.seg.nrrd")
    assert temp.parent == tmp_path
    assert temp.name.startswith(".")
    assert temp.name.endswith(".seg.nrrd")
    assert temp != temp_beside(tmp_path / "0003.seg.nrrd")


def test_g03_a_write_is_synced_then_renamed_then_its_folder_is_synced(a_file: Path, monkeypatch: pytest.MonkeyPatch):
    steps: list[str] = []
    sync, rename = os.fsync, os.replace

    def recorded_sync(handle: int) -> None:
        is_folder = os.path.isdir(f"/proc/self/fd/{handle}")  # noqa: PTH112  a handle, not a path
        steps.append("sync folder" if is_folder else f"sync {Path(f'/proc/self/fd/{handle}').read_bytes().decode()}")
        sync(handle)

    def recorded_rename(source: Path, target: Path) -> None:
        steps.append(f"rename to {Path(target).name} over {Path(target).read_text()}")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", recorded_sync)
    monkeypatch.setattr(os, "replace", recorded_rename)
    write_bytes(a_file, b"new")
    assert steps == ["sync new", "rename to case.json over old", "sync folder"]


@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
def test_g03_a_failure_at_any_step_leaves_the_old_file_and_no_temporary_one(
    a_file: Path, monkeypatch: pytest.MonkeyPatch, step: str
):
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    if step == "write":
        with pytest.raises(WriteError), replacing(a_file) as temp:  # noqa: PT012  the body is the test
            temp.write_bytes(b"half")
            fail()
    else:
        monkeypatch.setattr(os, step, fail)
        with pytest.raises(WriteError):
            write_bytes(a_file, b"new")
    assert a_file.read_bytes() == b"old"
    assert list(a_file.parent.iterdir()) == [a_file]


def test_g03_an_error_of_any_kind_in_the_middle_leaves_the_old_file(a_file: Path):
    with pytest.raises(KeyboardInterrupt), replacing(a_file) as temp:  # noqa: PT012  the body is the test
        temp.write_bytes(b"half")
        raise KeyboardInterrupt
    assert a_file.read_bytes() == b"old"
    assert list(a_file.parent.iterdir()) == [a_file]


def test_g06_a_full_disk_is_told_in_one_sentence_and_changes_nothing(a_file: Path, monkeypatch: pytest.MonkeyPatch):
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ProjectError) as raised:
        write_bytes(a_file, b"new")
    assert str(raised.value) == "case.json could not be written (No space left on device); nothing was changed"
    assert isinstance(raised.value, OSError)
    assert raised.value.errno == errno.ENOSPC
    assert a_file.read_bytes() == b"old"
    assert list(a_file.parent.iterdir()) == [a_file]


def test_replacing_by_a_missing_temporary_file_leaves_the_old_one(a_file: Path):
    with pytest.raises(WriteError, match=r"case\.json could not be written"):
        replace_file(a_file.with_name("gone"), a_file)
    assert a_file.read_bytes() == b"old"


def test_a_folder_is_not_synced_on_windows(a_file: Path, monkeypatch: pytest.MonkeyPatch):
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    monkeypatch.setattr(atomic.os, "name", "nt")
    try:
        atomic.fsync_folder(a_file.parent)
    finally:
        monkeypatch.undo()
    assert synced == []


@pytest.mark.parametrize("seen", [2, 10**9])
def test_on_windows_a_file_that_somebody_reads_for_a_moment_is_waited_for(
    a_file: Path, monkeypatch: pytest.MonkeyPatch, seen: int
):
    """Windows refuses to replace a file that is open; ``seen`` attempts meet a reader."""
    replace, attempts = os.replace, []

    def read_meanwhile(temp: Path, path: Path) -> None:
        attempts.append(path)
        if len(attempts) <= seen:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        replace(temp, path)

    monkeypatch.setattr(os, "replace", read_meanwhile)
    monkeypatch.setattr(atomic, "OTHERS_HOLD_FILES", True)
    monkeypatch.setattr(atomic, "PATIENCE", 0.05)
    if seen == 2:
        write_bytes(a_file, b"new")
        assert a_file.read_bytes() == b"new"
    else:
        with pytest.raises(WriteError, match="Permission denied"):
            write_bytes(a_file, b"new")
        assert a_file.read_bytes() == b"old"
    assert list(a_file.parent.iterdir()) == [a_file]
