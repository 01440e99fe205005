"""What the Slicer application brings and the wheel ``slicer-core`` lacks: a scene with the logics of its modules.

Real MRML nodes, real segmentations, real displayable managers; no Qt. :class:`Host` is started once a process.
"""

from __future__ import annotations

import sys
import tempfile
import types
from pathlib import Path
from typing import Any

import slicer
import slicer.util
import vtk

__all__ = ["Host"]

LOGICS = {
    "units": ("vtkSlicerUnitsLogic", "Units"),
    "terminologies": ("vtkSlicerTerminologiesModuleLogic", "Terminologies"),
    "subjecthierarchy": ("vtkSlicerSubjectHierarchyModuleLogic", "SubjectHierarchy"),
    "colors": ("vtkSlicerColorLogic", "Colors"),
    "volumes": ("vtkSlicerVolumesLogic", "Volumes"),
    "segmentations": ("vtkSlicerSegmentationsModuleLogic", "Segmentations"),
    "markups": ("vtkSlicerMarkupsLogic", "Markups"),
    "models": ("vtkSlicerModelsLogic", "Models"),
    "tables": ("vtkSlicerTablesLogic", "Tables"),
    "plots": ("vtkSlicerPlotsLogic", "Plots"),
    "transforms": ("vtkSlicerTransformLogic", "Transforms"),
}
"""``slicer.modules.<key>``: class of its logic, and its name in the application logic."""
NODES_WITHOUT_A_LOGIC = ("vtkMRMLColorLegendDisplayNode",)


class Module:
    """What ``slicer.modules.<name>`` is good for without a window. It keeps the logic alive, which nobody else does."""

    def __init__(self, name: str, logic: Any) -> None:
        self.name = name
        self._logic = logic

    def logic(self) -> Any:
        return self._logic


class App:
    """The part of ``slicer.app`` that code without a window may touch."""

    def __init__(self, logic: Any) -> None:
        self._logic = logic
        self.temporaryPath = tempfile.gettempdir()

    def applicationLogic(self) -> Any:  # noqa: N802
        return self._logic

    def mrmlScene(self) -> Any:  # noqa: N802
        return slicer.mrmlScene

    def layoutManager(self) -> None:  # noqa: N802
        return None

    def processEvents(self) -> None:  # noqa: N802
        pass


class Host:
    """A scene as the application sets it up, with ``slicer.mrmlScene``, ``slicer.app``, ``slicer.modules``."""

    def __init__(self) -> None:
        vtk.vtkLogger.SetStderrVerbosity(vtk.vtkLogger.VERBOSITY_ERROR)
        self.scene = slicer.mrmlScene = slicer.vtkMRMLScene()
        crosshair = slicer.vtkMRMLCrosshairNode()
        crosshair.SetCrosshairName("default")
        self.scene.AddNode(crosshair)
        self.logic = self._application()
        slicer.app = App(self.logic)
        slicer.modules = types.SimpleNamespace(**{key: self._module(key) for key in LOGICS})
        for name in NODES_WITHOUT_A_LOGIC:
            self.scene.RegisterNodeClass(getattr(slicer, name)())
        self._keep = self._bundles()
        self.view: Any = None
        """A slice view, where a test made one."""
        _translate_nothing()

    def _application(self) -> Any:
        logic = slicer.vtkSlicerApplicationLogic()
        logic.SetMRMLScene(self.scene)
        colours = logic.GetColorLogic()
        colours.SetMRMLScene(self.scene)
        colours.AddDefaultColorNodes()
        logic.SetSliceLogics(vtk.vtkCollection())
        logic.SetViewLogics(vtk.vtkCollection())
        for view in ("ThreeD", "Slice"):
            factory = getattr(slicer, f"vtkMRML{view}ViewDisplayableManagerFactory")
            factory.GetInstance().SetMRMLApplicationLogic(logic)
        slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(self.scene, True)
        return logic

    def _module(self, key: str) -> Module:
        class_name, name = LOGICS[key]
        logic = getattr(slicer, class_name)()
        if hasattr(logic, "SetMRMLApplicationLogic"):
            logic.SetMRMLApplicationLogic(self.logic)
        logic.SetMRMLScene(self.scene)
        self.logic.SetModuleLogic(name, logic)
        return Module(key, logic)

    def _bundles(self) -> tuple[Any, ...]:
        """Reading an ``.mrb`` needs a cache folder and somebody who moves files."""
        remote = slicer.vtkMRMLRemoteIOLogic()
        remote.SetMRMLScene(self.scene)
        remote.SetMRMLApplicationLogic(self.logic)
        remote.GetCacheManager().SetRemoteCacheDirectory(tempfile.mkdtemp(prefix="semisupseg_mrml_"))
        data = slicer.vtkDataIOManagerLogic()
        data.SetMRMLScene(self.scene)
        data.SetMRMLApplicationLogic(self.logic)
        data.SetAndObserveDataIOManager(remote.GetDataIOManager())
        remote.AddDataIOToScene()
        return remote, data

    def save_scene(self, path: Path) -> None:
        """As ``.mrb``."""
        self.scene.SetURL(str(path))
        self.scene.SetRootDirectory(str(path.parent))
        assert self.scene.WriteToMRB(str(path))

    def load_scene(self, path: Path) -> None:
        """Close the scene and read another, as File / Close and File / Open do."""
        self.scene.Clear(False)
        assert self.scene.ReadFromMRB(str(path), False)

    def save_segmentation(self, node: Any, path: Path) -> None:
        """As ``.seg.nrrd``."""
        if node.GetStorageNode() is None:
            node.AddDefaultStorageNode()
        node.GetStorageNode().SetFileName(str(path))
        assert node.GetStorageNode().WriteData(node)

    def load_segmentation(self, path: Path) -> Any:
        return slicer.modules.segmentations.logic().LoadSegmentationFromFile(str(path), True, path.name.split(".")[0])


def _translate_nothing() -> None:
    module = types.ModuleType("slicer.i18n")
    module.tr = lambda text: text  # type: ignore[attr-defined]
    sys.modules["slicer.i18n"] = slicer.i18n = module
