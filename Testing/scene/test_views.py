"""What the slice views show: uncertainty over the image, its legend, outlines, jumps. Pixels are drawn off screen."""

from __future__ import annotations

import numpy as np
import pytest
from SemiSupSegScene.CaseSegments import fillSegmentation
from SemiSupSegScene.Grids import pointInScene, pointOnGrid
from SemiSupSegScene.Outline import PREVIOUS, PROPOSAL, Outline
from SemiSupSegScene.SliceLayers import showInBackground
from SemiSupSegScene.SliceNavigation import jumpToSlice, sliceInView
from SemiSupSegScene.SliceProfile import SliceProfile, sliceMeans
from SemiSupSegScene.UncertaintyColours import uniformColours
from SemiSupSegScene.UncertaintyOverlay import MUTUAL_INFORMATION, UncertaintyOverlay
from SemiSupSegScene.Volumes import addVolume

from SemiSupSegLib.project.geometry import Grid
from SemiSupSegLib.project.labels import LabelSet

GRID = Grid((40, 30, 8), (2.0, 2.0, 3.0), (-30.0, 20.0, 5.0))
GREY = 100
UNSURE, SURE, BETWEEN = (10, 8, 4), (30, 20, 4), (20, 20, 4)
"""Voxels (i, j, k): of uncertainty 0.9, 0.05 and 0.3."""


@pytest.fixture
def a_map() -> np.ndarray:
    """Uncertainty of 0.05 with a block of 0.9 and one of 0.3."""
    values = np.full(GRID.shape, 0.05, np.float32)
    values[:, 4:12, 5:15] = 0.9
    values[:, 16:24, 16:24] = 0.3
    return values


@pytest.fixture
def a_view(a_scene, host):
    """An axial view of an even grey volume, in the middle of its slice 4."""
    view = host.view
    volume = addVolume(a_scene, np.full(GRID.shape, GREY, np.int16), GRID, "grey")
    display = volume.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(0, 255)
    showInBackground(a_scene, volume)
    view.fit()
    jumpToSlice(a_scene, GRID, 4)
    return view


@pytest.fixture
def picture(tmp_path, request):
    """Where a test's picture goes: somebody looks at them."""
    return lambda: tmp_path / f"{request.node.name}.png"


def at(view, pixels: np.ndarray, voxel: tuple[int, int, int]) -> np.ndarray:
    row, column = view.place(pointInScene(GRID, voxel))
    return pixels[row, column].astype(int)


def assert_near(found: np.ndarray, expected, tolerance: float = 4) -> None:
    assert np.abs(np.asarray(found) - np.asarray(expected)).max() <= tolerance, (found, expected)


def mixed(value: float, opacity: float = 0.5) -> np.ndarray:
    return (1 - opacity) * GREY + opacity * 255 * uniformColours()[round(255 * value)]


# ---------------------------------------------------------------------------------------------------------- uncertainty


def test_uncertainty_glows_over_the_image_and_sure_voxels_show_the_image_alone(a_scene, a_view, a_map, picture):
    UncertaintyOverlay(a_scene).show(a_map, GRID)
    pixels = a_view.pixels(picture())
    for voxel, value in ((UNSURE, 0.9), (BETWEEN, 0.3)):
        assert_near(at(a_view, pixels, voxel), mixed(value))
    assert_near(at(a_view, pixels, SURE), [GREY] * 3, 1)


def test_the_threshold_hides_what_lies_below_it_at_once(a_scene, a_view, a_map, picture):
    overlay = UncertaintyOverlay(a_scene)
    overlay.show(a_map, GRID)
    overlay.setThreshold(0.5)
    pixels = a_view.pixels(picture())
    assert_near(at(a_view, pixels, BETWEEN), [GREY] * 3, 1)
    assert_near(at(a_view, pixels, UNSURE), mixed(0.9))
    overlay.setThreshold(0.01)
    assert_near(at(a_view, a_view.pixels(), SURE), mixed(0.05))


def test_the_window_is_fixed_so_that_rounds_compare(a_scene, a_view, a_map):
    overlay = UncertaintyOverlay(a_scene)
    overlay.show(a_map, GRID)
    overlay.show(a_map / 2, GRID)  # the next round is surer
    assert_near(at(a_view, a_view.pixels(), UNSURE), mixed(0.45))


def test_opacity_is_the_users(a_scene, a_view, a_map):
    overlay = UncertaintyOverlay(a_scene)
    overlay.show(a_map, GRID)
    overlay.setOpacity(1.0)
    assert_near(at(a_view, a_view.pixels(), UNSURE), mixed(0.9, 1.0))


def test_the_legend_comes_and_goes_with_the_map_and_names_it(a_scene, a_view, a_map, picture):
    plain = a_view.pixels()
    overlay = UncertaintyOverlay(a_scene)
    overlay.show(a_map, GRID)
    beside = (slice(None), slice(int(0.8 * plain.shape[1]), None))  # the legend is at the right
    assert np.abs(a_view.pixels(picture()).astype(int) - plain)[beside].max() > 100
    legend = a_scene.GetFirstNodeByClass("vtkMRMLColorLegendDisplayNode")
    assert legend.GetTitleText() == "Uncertainty"
    overlay.show(a_map, GRID, kind=MUTUAL_INFORMATION)
    assert legend.GetTitleText() == "Mutual information"
    overlay.setVisible(False)
    np.testing.assert_array_equal(a_view.pixels(), plain)


def test_the_foreground_that_the_user_had_comes_back(a_scene, a_view, a_map):
    theirs = addVolume(a_scene, np.zeros(GRID.shape, np.int16), GRID, "PET")
    composite = a_view.logic.GetSliceCompositeNode()
    composite.SetForegroundVolumeID(theirs.GetID())
    composite.SetForegroundOpacity(0.3)
    overlay = UncertaintyOverlay(a_scene)
    overlay.show(a_map, GRID)
    assert composite.GetForegroundVolumeID() == overlay.volumeNode.GetID()
    overlay.remove()
    assert composite.GetForegroundVolumeID() == theirs.GetID()
    assert composite.GetForegroundOpacity() == pytest.approx(0.3)
    assert a_scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 2
    assert a_scene.GetNumberOfNodesByClass("vtkMRMLColorLegendDisplayNode") == 0


def test_the_map_is_made_again_after_the_user_deleted_it(a_scene, a_view, a_map):
    overlay = UncertaintyOverlay(a_scene)
    overlay.show(a_map, GRID)
    a_scene.RemoveNode(overlay.volumeNode)
    overlay.setVisible(False)
    assert not overlay.visible
    overlay.show(a_map, GRID)
    assert_near(at(a_view, a_view.pixels(), UNSURE), mixed(0.9))


@pytest.mark.usefixtures("a_view")
def test_derived_nodes_stay_out_of_a_saved_scene(host, a_scene, a_map, tmp_path):
    UncertaintyOverlay(a_scene).show(a_map, GRID)
    SliceProfile(a_scene).show([0.1, 0.2])
    layers = np.ones((1, *GRID.shape), np.uint8)
    Outline(a_scene, PROPOSAL).show(layers, LabelSet.from_names(["liver"]), GRID)
    host.save_scene(tmp_path / "scene.mrb")
    host.load_scene(tmp_path / "scene.mrb")
    names = [a_scene.GetNthNode(n).GetName() for n in range(a_scene.GetNumberOfNodes())]
    assert "grey" in names
    assert not {"Uncertainty", "SemiSupSeg uncertainty", "Uncertainty by slice", "Proposal"} & set(names)


def test_the_colours_grow_lighter_in_steps_that_look_alike():
    colours = uniformColours()
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    to_xyz = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]]
    xyz = linear @ np.transpose(to_xyz) / [0.95047, 1.0, 1.08883]
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    lightness = 116 * f[:, 1] - 16
    lab = np.stack([lightness, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)
    steps = np.linalg.norm(np.diff(lab[::8], axis=0), axis=1)  # CIELAB, which the colours were not made in
    assert (np.diff(lightness) > 0).all()
    assert lightness[0] < 10
    assert lightness[-1] > 90
    assert steps.std() / steps.mean() < 0.35


# ------------------------------------------------------------------------------------------------------------- outlines


@pytest.fixture
def a_proposal() -> tuple[np.ndarray, LabelSet]:
    """A block of liver."""
    layers = np.zeros((1, *GRID.shape), np.uint8)
    layers[0, 2:7, 8:22, 10:30] = 1
    return layers, LabelSet.from_names(["liver"])


def test_a_proposal_is_an_outline_and_its_inside_shows_the_image(a_scene, a_view, a_proposal, picture):
    layers, labels = a_proposal
    plain = a_view.pixels()
    outline = Outline(a_scene, PROPOSAL)
    outline.show(layers, labels, GRID)
    pixels = a_view.pixels(picture())
    assert_near(at(a_view, pixels, (20, 15, 4)), [GREY] * 3, 1)
    row, column = a_view.place(pointInScene(GRID, (9.5, 15, 4)))
    edge = pixels[row, column - 3 : column + 4].astype(int)
    colour = np.asarray(labels.labels[0].colour)
    assert np.abs(edge - colour).max(axis=1).min() < 30
    outline.setVisible(False)
    np.testing.assert_array_equal(a_view.pixels(), plain)


def test_outlines_leave_the_users_segmentation_alone(a_scene, a_view, a_proposal, picture):
    layers, labels = a_proposal
    node = a_scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    node.CreateDefaultDisplayNodes()
    fillSegmentation(node, np.roll(layers, 4, axis=3), labels, GRID)
    alone = a_view.pixels()
    proposal, previous = Outline(a_scene, PROPOSAL), Outline(a_scene, PREVIOUS)
    proposal.show(layers, labels, GRID)
    previous.show(np.roll(layers, 3, axis=2), labels, GRID, only=["liver"])
    both = a_view.pixels(picture())
    row, column = a_view.place(pointInScene(GRID, (20, 24.5, 4)))
    assert both[row - 3 : row + 4, column].min(axis=1).max() > 200  # white: the previous outline's lower edge
    proposal.remove()
    previous.remove()
    np.testing.assert_array_equal(a_view.pixels(), alone)
    assert node.GetSegmentation().GetNumberOfSegments() == 1


# --------------------------------------------------------------------------------------------------------------- slices


def test_jumping_shows_the_slice_and_the_view_says_which_it_is(a_scene, a_view):
    for k in (0, 5, 7):
        jumpToSlice(a_scene, GRID, k)
        assert sliceInView(a_view.node, GRID) == k
    jumpToSlice(a_scene, GRID, 99)
    assert sliceInView(a_view.node, GRID) == 7


def test_jumping_to_an_organ_goes_to_a_voxel_of_it(a_scene):
    mask = np.zeros(GRID.shape, bool)
    mask[3, 5, 20:35] = mask[3, 20, 20:35] = mask[3, 5:20, 34] = True  # a horseshoe: its centre is outside
    position = jumpToSlice(a_scene, GRID, 3, mask=mask)
    i, j, k = np.rint(pointOnGrid(GRID, position)).astype(int)
    assert mask[k, j, i]


def test_the_profile_has_one_bar_a_slice(a_scene):
    profile = SliceProfile(a_scene)
    profile.show([0.1, None, 0.4])
    profile.show([0.25, float("nan"), 0.5, 0.75])
    table = a_scene.GetFirstNodeByClass("vtkMRMLTableNode")
    column = table.GetTable().GetColumn(1)
    assert [column.GetValue(n) for n in range(column.GetNumberOfTuples())] == [0.25, 0.0, 0.5, 0.75]
    assert profile.chartNode.GetNumberOfPlotSeriesNodes() == 1
    profile.remove()
    assert a_scene.GetNumberOfNodesByClass("vtkMRMLTableNode") == 0


def test_slice_means_are_those_of_the_organ(a_map):
    mask = np.zeros(GRID.shape, bool)
    mask[2, 4:12, 5:15] = True
    mask[3, 4:12, 10:20] = True
    np.testing.assert_allclose(sliceMeans(a_map, mask)[[1, 2, 3]], [0.0, 0.9, 0.475], rtol=1e-5)
    assert sliceMeans(a_map).shape == (8,)
