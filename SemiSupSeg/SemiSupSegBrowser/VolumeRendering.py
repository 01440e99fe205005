"""VolumeRendering: the volume itself in the 3D view, once a person asks for it. A processor draws it, not a card."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer.util
from numpy.typing import NDArray
from vtkmodules.vtkCommonDataModel import vtkPiecewiseFunction
from vtkmodules.vtkRenderingCore import vtkColorTransferFunction

__all__ = ["VolumeRendering", "opacityOf"]

METHOD = "vtkMRMLCPURayCastVolumeRenderingDisplayNode"
"""On a processor some thirty times as fast as the method for graphics cards, which it would imitate."""
CT_PRESET = "CT-Chest-Contrast-Enhanced"
AIR = -500.0
"""HU; a CT with nothing below it was rescaled, and its numbers mean nothing to a preset."""
SHARES = (75.0, 99.5)
"""Percent of the voxels below which nothing is seen, and above which all is."""
SAMPLE = 2e6
"""Voxels that are looked at for the shares."""
DARK, BRIGHT, OPAQUE = (0.45, 0.30, 0.25), (1.0, 0.95, 0.88), 0.5


class VolumeRendering:
    """Shows or hides the volume of the open case.

    Args:
        host: trame-slicer's application core.
    """

    def __init__(self, host: Any) -> None:
        self._scene, self._rendering = host.scene, host.volume_rendering
        self._display: Any = None
        self.wanted = False
        """Whether the volume of whatever case is open is to be seen."""

    def show(self, volumeNode: Any | None, modality: str) -> None:
        """Show a volume when that is :attr:`wanted`; that of the case before is never seen beside it.

        Args:
            volumeNode: of the open case; None for no case.
            modality: ``CT``, ``MR`` or another.
        """
        if self._display is not None:
            for node in (self._display.GetVolumePropertyNode(), self._display):
                self._scene.RemoveNode(node)
            self._display = None
        if volumeNode is None or not self.wanted:
            return
        display = self._scene.AddNewNodeByClass(METHOD)
        display.SetSaveWithScene(False)
        self._rendering.UpdateDisplayNodeFromVolumeNode(display, volumeNode)
        voxels = _sample(slicer.util.arrayFromVolume(volumeNode))
        if modality == "CT" and float(voxels.min()) < AIR:
            self._rendering.apply_preset(display, CT_PRESET)
        else:
            _setCurves(display.GetVolumePropertyNode(), *opacityOf(voxels))
        volumeNode.AddAndObserveDisplayNodeID(display.GetID())
        display.SetVisibility(True)
        self._display = display


def opacityOf(voxels: NDArray[Any]) -> tuple[float, float]:
    """Intensity from which on something is seen, and that from which on it is as opaque as it gets.

    Args:
        voxels: any shape; units of the volume.
    """
    low, high = np.percentile(voxels, SHARES)
    return float(low), float(max(high, low + 1e-6))


def _sample(voxels: NDArray[Any]) -> NDArray[Any]:
    step = max(1, round((voxels.size / SAMPLE) ** (1 / 3)))
    return voxels[::step, ::step, ::step]


def _setCurves(propertyNode: Any, low: float, high: float) -> None:
    opacity, colour = vtkPiecewiseFunction(), vtkColorTransferFunction()
    opacity.AddPoint(low, 0.0)
    opacity.AddPoint(high, OPAQUE)
    colour.AddRGBPoint(low, *DARK)
    colour.AddRGBPoint(high, *BRIGHT)
    propertyNode.SetScalarOpacity(opacity)
    propertyNode.SetColor(colour)
    propertyNode.GetVolumeProperty().ShadeOn()
