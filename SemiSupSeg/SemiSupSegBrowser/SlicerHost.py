"""SlicerHost: trame-slicer's application core, with the names that code written for Slicer looks for."""

from __future__ import annotations

import types
from typing import Any

import slicer
from trame_slicer.core import SlicerApp

__all__ = ["makeHost"]


class _Module:
    """What ``slicer.modules.<name>`` is good for without a window."""

    def __init__(self, logic: Any) -> None:
        self._logic = logic

    def logic(self) -> Any:
        """The module's logic."""
        return self._logic


def makeHost() -> SlicerApp:
    """A scene with the logics that slices, segments and colours need; one a process."""
    host = SlicerApp()
    slicer.mrmlScene = host.scene
    slicer.modules = types.SimpleNamespace(
        segmentations=_Module(host.segmentations_logic), volumes=_Module(host.volumes_logic)
    )
    host.scene.RegisterNodeClass(slicer.vtkMRMLColorLegendDisplayNode())  # no logic that is there does it
    return host
