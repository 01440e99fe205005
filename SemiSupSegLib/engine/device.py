"""Which device trains and predicts, and why: never a silent fall-back."""

from __future__ import annotations

import torch

from ..errors import RunError

__all__ = ["choose_device"]


def choose_device(wish: str = "auto") -> tuple[str, str]:
    """``cpu`` or ``cuda``, and the reason in words.

    Raises:
        RunError: ``cuda`` was asked for and cannot be used.
    """
    if torch.cuda.is_available() and wish != "cpu":
        properties = torch.cuda.get_device_properties(0)
        return "cuda", f"{properties.name}, {properties.total_memory / 1e9:.0f} GB"
    if wish == "cpu":
        return "cpu", "the CPU was asked for"
    why = "torch was built without CUDA" if torch.version.cuda is None else "torch sees no usable GPU"
    if wish == "cuda":
        msg = f"a GPU was asked for, but {why}"
        raise RunError(msg)
    return "cpu", why
