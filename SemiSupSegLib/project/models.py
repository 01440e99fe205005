"""The promoted models of a project: a folder each, and one small file that says which is in use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import ProjectError
from . import atomic

__all__ = ["add_promoted", "new_model_folder", "promoted_model", "promoted_models", "roll_back"]

POINTER = "promoted.json"


def _read(folder: Path) -> list[str]:
    pointer = folder / POINTER
    if not pointer.is_file():
        return []
    try:
        data: dict[str, Any] = json.loads(pointer.read_text(encoding="utf-8"))
        return [Path(str(name)).name for name in data["history"]]
    except (ValueError, KeyError, TypeError) as error:
        msg = f"{folder.name}/{POINTER} cannot be read: expected {{'history': [names]}}"
        raise ProjectError(msg) from error


def _write(folder: Path, history: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    atomic.write_json(folder / POINTER, {"model": history[-1] if history else None, "history": history})


def promoted_models(folder: Path) -> list[str]:
    """Names of the promoted models, oldest first, the one in use last; empty before the first.

    Args:
        folder: the project's ``models`` folder.
    """
    return _read(folder)


def promoted_model(folder: Path) -> Path | None:
    """Folder of the model in use; None before the first."""
    history = _read(folder)
    return folder / history[-1] if history else None


def new_model_folder(folder: Path) -> Path:
    """A name that no model has had, also none that was rolled back: ``0001``, ``0002``, ..."""
    taken = [int(p.name) for p in folder.glob("[0-9]*") if p.name.isdigit()] if folder.is_dir() else []
    return folder / f"{max(taken, default=0) + 1:04d}"


def add_promoted(folder: Path, name: str) -> None:
    """Put a model, whose files are complete, into use."""
    _write(folder, [*_read(folder), name])


def roll_back(folder: Path) -> tuple[str, str]:
    """Go back to the model before the one in use; its files stay.

    Returns:
        The names of the model that was in use and of the one that is now.

    Raises:
        ProjectError: there is none before it.
    """
    history = _read(folder)
    if len(history) < 2:
        msg = "there is no earlier model to go back to: " + (
            "only one was promoted" if history else "none was promoted yet"
        )
        raise ProjectError(msg)
    _write(folder, history[:-1])
    return history[-1], history[-2]
