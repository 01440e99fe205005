"""A slice view of Slicer without a window: what it draws comes back as an array of pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray
from vtk.util import numpy_support

__all__ = ["SliceView"]

DRAWN_BY = (
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLColorLegendDisplayableManager",
)


class SliceView:
    """One axial view. Make it before the nodes that it shows, as the application does."""

    def __init__(self, scene: Any, application_logic: Any, *, size: tuple[int, int] = (360, 300)) -> None:
        self.renderer, self.window = vtk.vtkRenderer(), vtk.vtkRenderWindow()
        self.renderer.GetActiveCamera().ParallelProjectionOn()
        self.window.SetOffScreenRendering(1)
        self.window.SetSize(*size)
        self.window.AddRenderer(self.renderer)
        self.mapper = vtk.vtkImageMapper()
        self.mapper.SetColorWindow(255)
        self.mapper.SetColorLevel(127.5)
        image = vtk.vtkActor2D()  # the first prop, or it covers segments and legend
        image.SetMapper(self.mapper)
        image.GetProperty().SetDisplayLocationToBackground()
        self.renderer.AddViewProp(image)
        self.interactor = vtk.vtkRenderWindowInteractor()
        self.interactor.SetRenderWindow(self.window)
        self.interactor.Initialize()
        self.logic = slicer.vtkMRMLSliceLogic()
        self.logic.SetMRMLApplicationLogic(application_logic)
        self.logic.SetMRMLScene(scene)
        application_logic.GetSliceLogics().AddItem(self.logic)
        self.node = self.logic.AddSliceNode("Red")
        self.node.SetOrientation("Axial")
        self.group = self._drawn(application_logic)

    def _drawn(self, application_logic: Any) -> Any:
        factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
        factory.SetMRMLApplicationLogic(application_logic)
        for name in DRAWN_BY:
            if not factory.IsDisplayableManagerRegistered(name):
                factory.RegisterDisplayableManager(name)
        group = slicer.vtkMRMLDisplayableManagerGroup()
        group.SetRenderer(self.renderer)
        group.Initialize(factory, self.renderer)
        group.SetMRMLDisplayableNode(self.node)
        return group

    def fit(self) -> None:
        """Show the whole background volume."""
        self.logic.ResizeSliceNode(*self.window.GetSize())
        self.logic.FitSliceToBackground()

    def pixels(self, picture: Path | None = None) -> NDArray[np.uint8]:
        """What the view shows now, (rows from the top, columns, RGB); also written as PNG when a path is given."""
        self.logic.UpdatePipeline()
        self.mapper.SetInputConnection(self.logic.GetImageDataConnection())
        self.window.Render()
        grab = vtk.vtkWindowToImageFilter()
        grab.SetInput(self.window)
        grab.ReadFrontBufferOff()
        grab.SetInputBufferTypeToRGB()
        grab.Update()
        if picture is not None:
            writer = vtk.vtkPNGWriter()
            writer.SetFileName(str(picture))
            writer.SetInputConnection(grab.GetOutputPort())
            writer.Write()
        image = grab.GetOutput()
        columns, rows, _ = image.GetDimensions()
        return numpy_support.vtk_to_numpy(image.GetPointData().GetScalars()).reshape(rows, columns, 3)[::-1].copy()

    def place(self, position: Any) -> tuple[int, int]:
        """Row from the top and column of a point of the world, mm, RAS."""
        matrix = vtk.vtkMatrix4x4()
        vtk.vtkMatrix4x4.Invert(self.node.GetXYToRAS(), matrix)
        x, y, *_ = matrix.MultiplyPoint((*position, 1.0))
        return self.window.GetSize()[1] - 1 - round(y), round(x)
