"""Volumes between the scene and the project: every voxel keeps its place in the patient (G12)."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import slicer
import slicer.util
import vtk
from SemiSupSegScene.Grids import gridFromMatrix, gridOfVolume, matrixOfGrid, pointInScene, pointOnGrid
from SemiSupSegScene.Volumes import addVolume, imageOfVolume, setVolume

from SemiSupSegLib.errors import ImageError
from SemiSupSegLib.project.geometry import Grid, check_same_grid

LINEAR = np.array([[0.0, -1.0, 0.0, 5.0], [1.0, 0.0, 0.0, -7.0], [0.0, 0.0, -1.0, 11.0], [0.0, 0.0, 0.0, 1.0]])
"""A quarter turn, a mirror and a shift."""


def under(node, matrix: np.ndarray):
    """Puts a node under a linear transform."""
    transform = node.GetScene().AddNewNodeByClass("vtkMRMLLinearTransformNode", "moved")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    node.SetAndObserveTransformNodeID(transform.GetID())
    return transform


def world(node, index: tuple[int, int, int]) -> list[float]:
    """Where Slicer itself shows a voxel, mm, RAS, without parent transforms."""
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return list(matrix.MultiplyPoint((*index, 1.0))[:3])


def test_g12_a_volume_of_any_axis_order_is_shown_where_simpleitk_says_and_comes_back(a_scene, every_grid, voxels):
    for grid in every_grid:
        node = addVolume(a_scene, voxels(grid), grid, "small")
        image = imageOfVolume(node)
        check_same_grid(grid, Grid.of(image), what="volume", where="scene")
        np.testing.assert_array_equal(sitk.GetArrayViewFromImage(image), voxels(grid))
        x, y, z = image.TransformIndexToPhysicalPoint((2, 1, 3))
        np.testing.assert_allclose(world(node, (2, 1, 3)), [-x, -y, z], atol=1e-6)
        a_scene.RemoveNode(node)


def test_a_place_in_the_scene_is_a_place_on_the_grid(a_grid):
    position = pointInScene(a_grid, (2, 1, 3))
    np.testing.assert_allclose(pointOnGrid(a_grid, position), [2, 1, 3], atol=1e-9)


def test_a_linear_parent_transform_counts_as_if_it_were_hardened_and_the_node_stays(a_volume_node):
    transform = under(a_volume_node, LINEAR)
    image = imageOfVolume(a_volume_node)
    assert a_volume_node.GetParentTransformNode() is transform
    copy = slicer.modules.volumes.logic().CloneVolume(a_volume_node.GetScene(), a_volume_node, "hardened")
    copy.SetAndObserveTransformNodeID(transform.GetID())
    assert slicer.vtkSlicerTransformLogic.hardenTransform(copy)
    check_same_grid(gridOfVolume(copy), Grid.of(image), what="volume", where="scene")
    np.testing.assert_array_equal(sitk.GetArrayViewFromImage(image), slicer.util.arrayFromVolume(copy))


def test_transforms_above_transforms_count_too(a_volume_node, a_grid):
    inner = under(a_volume_node, LINEAR)
    under(inner, LINEAR)
    expected = LINEAR @ LINEAR @ [*pointInScene(a_grid, (0, 0, 0)), 1.0]
    np.testing.assert_allclose(pointInScene(gridOfVolume(a_volume_node), (0, 0, 0)), expected[:3], atol=1e-6)


def test_a_transform_that_bends_is_refused_in_one_sentence(a_volume_node):
    bend = vtk.vtkThinPlateSplineTransform()
    points = [(0, 0, 0), (10, 0, 0), (0, 10, 0), (0, 0, 10), (5, 5, 5)]
    source, target = vtk.vtkPoints(), vtk.vtkPoints()
    for n, point in enumerate(points):
        source.InsertNextPoint(point)
        target.InsertNextPoint(point[0] + (n == 4), point[1], point[2])
    bend.SetSourceLandmarks(source)
    bend.SetTargetLandmarks(target)
    bend.SetBasisToR()
    transform = a_volume_node.GetScene().AddNewNodeByClass("vtkMRMLTransformNode", "bent")
    transform.SetAndObserveTransformToParent(bend)
    a_volume_node.SetAndObserveTransformNodeID(transform.GetID())
    with pytest.raises(ImageError, match=r"small cannot be used: its transform bent is not linear"):
        imageOfVolume(a_volume_node)


def test_axes_that_are_not_at_right_angles_are_refused(a_volume_node):
    under(a_volume_node, np.array([[1, 0.3, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]))
    with pytest.raises(ImageError, match="right angles"):
        imageOfVolume(a_volume_node)


def test_a_volume_that_is_flat_by_its_matrix_is_refused(a_grid):
    matrix = matrixOfGrid(a_grid)
    for row in range(3):
        matrix.SetElement(row, 1, 0.0)
    with pytest.raises(ImageError, match="spacing"):
        gridFromMatrix(matrix, a_grid.size, "flat")


def test_g13_colours_no_voxels_and_values_that_are_no_numbers_are_refused(a_scene, a_grid, voxels):
    empty = a_scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "nothing")
    with pytest.raises(ImageError, match="nothing cannot be used: it has no voxels"):
        imageOfVolume(empty)
    colours = a_scene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "photo")
    slicer.util.updateVolumeFromArray(colours, np.zeros((*a_grid.shape, 3), np.uint8))
    with pytest.raises(ImageError, match="photo cannot be used: it has 3 values a voxel"):
        imageOfVolume(colours)
    holes = voxels(a_grid)
    holes[0, 0, :2] = np.nan
    with pytest.raises(ImageError, match="2 of its voxels hold no number"):
        imageOfVolume(addVolume(a_scene, holes, a_grid, "holes"))


def test_voxels_of_another_shape_never_get_into_a_volume(a_volume_node, a_grid):
    with pytest.raises(ValueError, match="shape"):
        setVolume(a_volume_node, np.zeros((1, 2, 3)), a_grid)
