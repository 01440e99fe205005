"""Windows and levels by name: which intensities lie between black and white."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer.util

__all__ = ["PRESETS", "Preset", "setWindowLevel"]

SHARE_CUT_OFF = 0.5
"""Percent of the voxels at either end that an automatic window may make black or white."""


@dataclass(frozen=True)
class Preset:
    """One window; None for one that follows the volume."""

    words: str
    modality: str | None
    """``CT`` or ``MR``; None for both."""
    window: float | None = None
    """HU."""
    level: float | None = None
    """HU."""
    share: float = SHARE_CUT_OFF


PRESETS = {
    "auto": Preset("Automatic", None),
    "abdomen": Preset("CT abdomen (400 / 40)", "CT", 400, 40),
    "mediastinum": Preset("CT mediastinum (350 / 50)", "CT", 350, 50),
    "lung": Preset("CT lung (1500 / −600)", "CT", 1500, -600),
    "bone": Preset("CT bone (1800 / 400)", "CT", 1800, 400),
    "brain": Preset("CT brain (80 / 40)", "CT", 80, 40),
    "mr": Preset("MR bright", "MR", share=4.0),
    "full": Preset("Whole range", None, share=0.0),
}


def setWindowLevel(volumeNode: Any, name: str) -> None:
    """Show a volume with one of :data:`PRESETS`.

    Raises:
        KeyError: there is no such preset.
    """
    preset, display = PRESETS[name], volumeNode.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    if preset.window is not None and preset.level is not None:
        display.SetWindowLevel(preset.window, preset.level)
        return
    voxels = slicer.util.arrayFromVolume(volumeNode)
    step = max(1, round((voxels.size / 2e6) ** (1 / 3)))  # a sample is enough, and quick
    low, high = np.percentile(voxels[::step, ::step, ::step], (preset.share, 100 - preset.share))
    display.SetWindowLevelMinMax(float(low), float(max(high, low + 1e-6)))
