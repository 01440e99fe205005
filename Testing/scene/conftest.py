"""Real MRML through the wheel ``slicer-core``: a scene, volumes, cases. ``room_needs.py`` says what it needs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import permutations, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from SemiSupSegLib.project.annotation import Annotation, State
from SemiSupSegLib.project.geometry import Grid, image_from_kji
from SemiSupSegLib.project.labels import LabelSet
from SemiSupSegLib.project.project import Project

MODULES = str(Path(__file__).parents[2] / "SemiSupSeg")
if MODULES not in sys.path:
    sys.path.insert(0, MODULES)  # as Slicer does with the folder of a scripted module

AXIS_ORDERS = [(order, signs) for order in permutations(range(3)) for signs in product((1, -1), repeat=3)]
"""All 48: which world axis each image axis follows, and in which sense; half of them are left-handed."""


def directions(order: tuple[int, ...], signs: tuple[int, ...], *, degrees: float) -> tuple[float, ...]:
    """Direction cosines, row by row, of an axis order turned about a skew axis."""
    angle = np.deg2rad(degrees)
    x, y, z = np.array([1.0, 2.0, 3.0]) / np.sqrt(14)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turn = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    return tuple((turn @ (np.eye(3)[:, list(order)] * signs)).ravel().tolist())


def small_grid(cosines: tuple[float, ...]) -> Grid:
    """3 x 4 x 5 voxels that differ in size along every axis."""
    return Grid((3, 4, 5), (1.0, 1.5, 2.0), (10.0, -20.0, 30.0), cosines)  # type: ignore[arg-type]


@pytest.fixture(params=[0.0, 12.0], ids=["straight", "oblique"])
def every_grid(request) -> list[Grid]:
    """The 48 axis orders of the small volume, straight or turned."""
    return [small_grid(directions(*axes, degrees=request.param)) for axes in AXIS_ORDERS]


@pytest.fixture
def a_grid() -> Grid:
    """An oblique, left-handed one with its axes in another order."""
    return small_grid(directions((2, 0, 1), (1, -1, 1), degrees=12.0))


@pytest.fixture(scope="session")
def host() -> Any:
    """The parts of the application that are there without a window."""
    from slice_view import SliceView
    from slicer_host import Host

    host = Host()
    host.view = SliceView(host.scene, host.logic)  # before any data, as the application makes its views
    return host


@pytest.fixture
def a_scene(host) -> Iterator[Any]:
    """An empty scene."""
    host.scene.Clear(False)
    yield host.scene
    host.scene.Clear(False)


@pytest.fixture
def voxels() -> Callable[[Grid], NDArray[np.float32]]:
    """Makes an array in which every voxel has its own value."""
    return lambda grid: np.arange(1, np.prod(grid.size) + 1, dtype=np.float32).reshape(grid.shape)


@pytest.fixture
def a_volume_node(a_scene, a_grid, voxels) -> Any:
    """The small oblique volume in the scene."""
    from SemiSupSegScene.Volumes import addVolume

    return addVolume(a_scene, voxels(a_grid), a_grid, "small")


@pytest.fixture
def a_segmentation_node(a_scene, a_volume_node) -> Any:
    """An empty segmentation on the small volume."""
    node = a_scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "drawn")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(a_volume_node)
    return node


@pytest.fixture
def a_label_set() -> LabelSet:
    """Liver and spleen exclude each other; a tumour may lie in the liver."""
    return LabelSet.from_names(["liver", "spleen", "tumour"], overlaps=[("liver", "tumour")])


@pytest.fixture
def box(a_grid) -> Callable[..., NDArray[np.bool_]]:
    """Makes a mask of the small volume that is True in a box: ``box(k, j, i)`` with slices or indices."""

    def make(*where: slice | int) -> NDArray[np.bool_]:
        mask = np.zeros(a_grid.shape, bool)
        mask[where] = True
        return mask

    return make


@pytest.fixture
def a_project(tmp_path, a_grid, a_label_set, voxels, box) -> Project:
    """One case, ``c1``: the liver is complete and fills the slices 0 and 1; of spleen and tumour nothing is known."""
    project = Project.create(tmp_path / "project", label_set=a_label_set)
    layers = np.zeros((2, *a_grid.shape), np.uint8)
    layers[0][box(slice(0, 2))] = 1
    said = {"liver": Annotation(State.COMPLETE)}
    project.add_case(
        "c1", image_from_kji(voxels(a_grid), a_grid), labels=layers, annotations=said, modality="CT", who="ann"
    )
    return project
