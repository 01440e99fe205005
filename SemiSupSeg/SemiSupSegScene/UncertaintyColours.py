"""The colours of uncertainty: black-violet over red and orange to pale yellow, in steps that look equally large.

Lightness grows all the way, so the map reads in grey and for the colour-blind. Made in OKLab (Ottosson, "A perceptual
color space for image processing", 2020): hue and lightness run linearly, chroma is as large as the screen allows, and
the path is cut into steps of equal length.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["COLOURS", "colourNode", "uniformColours"]

COLOURS = 256
LIGHTNESS = (0.16, 0.96)
HUE_DEGREES = (285.0, 468.0)
"""From violet through magenta and red to yellow."""
SHARE_OF_GAMUT = 0.92
LARGEST_CHROMA = 0.22
NODE_NAME = "SemiSupSeg uncertainty"

_TO_LMS = np.array([
    [1.0, 0.3963377774, 0.2158037573],
    [1.0, -0.1055613458, -0.0638541728],
    [1.0, -0.0894841775, -1.2914855480],
])  # fmt: skip
_TO_LINEAR_RGB = np.array([
    [4.0767416621, -3.3077115913, 0.2309699292],
    [-1.2684380046, 2.6097574011, -0.3413193965],
    [-0.0041960863, -0.7034186147, 1.7076147010],
])  # fmt: skip


@cache
def uniformColours(number: int = COLOURS) -> NDArray[np.float64]:
    """(number, 3) sRGB colours in [0, 1], dark to bright."""
    share = np.linspace(0, 1, 1024)
    lightness = np.interp(share, (0, 1), LIGHTNESS)
    hue = np.deg2rad(np.interp(share, (0, 1), HUE_DEGREES))
    chroma = np.convolve(np.pad(_chroma(lightness, hue), 40, mode="edge"), np.ones(81) / 81, mode="valid")
    path = np.stack([lightness, chroma * np.cos(hue), chroma * np.sin(hue)], axis=1)
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    even = np.linspace(0, length[-1], number)
    steps = np.stack([np.interp(even, length, axis) for axis in path.T], axis=1)
    linear = np.clip(_linearRgb(steps), 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def colourNode(scene: Any) -> Any:
    """The colour table of the scene's uncertainty maps, 0 to 1; made when it is not there yet."""
    found = scene.GetFirstNode(NODE_NAME, "vtkMRMLColorTableNode")
    if found is not None:
        return found
    node = scene.CreateNodeByClass("vtkMRMLColorTableNode")
    node.UnRegister(None)  # Python holds a reference of its own
    node.SetName(NODE_NAME)
    node.SetTypeToUser()
    node.SetNumberOfColors(COLOURS)
    for number, (red, green, blue) in enumerate(uniformColours().tolist()):
        node.SetColor(number, f"{number / (COLOURS - 1):.2f}", red, green, blue, 1.0)
    node.GetLookupTable().SetTableRange(0.0, 1.0)
    node.SetSaveWithScene(False)
    return scene.AddNode(node)


def _chroma(lightness: NDArray[np.float64], hue: NDArray[np.float64]) -> NDArray[np.float64]:
    """The largest chroma that sRGB can show, found by bisection, less a margin."""
    low, high = np.zeros_like(lightness), np.full_like(lightness, LARGEST_CHROMA)
    for _step in range(24):
        middle = (low + high) / 2
        rgb = _linearRgb(np.stack([lightness, middle * np.cos(hue), middle * np.sin(hue)], axis=1))
        inside = ((rgb >= 0) & (rgb <= 1)).all(axis=1)
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    return SHARE_OF_GAMUT * low


def _linearRgb(lab: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((lab @ _TO_LMS.T) ** 3 @ _TO_LINEAR_RGB.T)
