"""Mirror: the patient's mirror image, with left and right labels exchanged; what has no other side is unknown."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from SemiSupSegLib.config import DataConfig
from SemiSupSegLib.data.augment import Deformation
from SemiSupSegLib.data.distance import with_distance
from SemiSupSegLib.data.mirror import Mirror
from SemiSupSegLib.data.patch import Patch, collate, cut
from SemiSupSegLib.data.prepared import PreparedCase
from SemiSupSegLib.data.source import PatchSource
from SemiSupSegLib.errors import ConfigError
from SemiSupSegLib.project.annotation import Annotation, Region, RegionKind, State
from SemiSupSegLib.project.labels import LabelSet

LABELS = LabelSet.from_names(["left lung", "heart", "right lung", "right nipple"])
SHAPE = (8, 4, 2)
COMPLETE, UNKNOWN, ABSENT = (Annotation(state) for state in (State.COMPLETE, State.UNKNOWN, State.ABSENT))
PARTIAL = Annotation(State.PARTIAL, (Region(RegionKind.SLICES, ((0, 0),)),))
PLAIN = Deformation(None, None, (False, False, False))
OFF: dict[str, Any] = {"rotation": 0, "scaling": 0, "elastic": 0, "intensity_strength": 0, "foreground": 0}


def a_case(*said: Annotation, **more: Any) -> PreparedCase:
    """A left lung of 1 voxel along X, a right one of 2, a heart off the middle and a nipple."""
    labels = np.zeros((1, *SHAPE), np.uint8)
    labels[0, 0], labels[0, 3], labels[0, 6:], labels[0, 5, 0] = 1, 2, 3, 4
    image = np.arange(np.prod(SHAPE), dtype=np.float16).reshape(1, *SHAPE)
    return PreparedCase.of_arrays("a", image, labels, LABELS, said or [COMPLETE] * 4, **more)


def mirrored(case: PreparedCase) -> Patch:
    return Mirror(LABELS).apply(cut(case, (0, 0, 0), SHAPE, PLAIN))


def test_left_and_right_change_places_together_with_their_names() -> None:
    case = a_case()
    patch, batch = mirrored(case), collate([mirrored(case)])
    assert np.array_equal(patch.image.numpy(), case.image[:, ::-1])
    left, heart, right, nipple = (batch.target[0, c].any(dim=2).any(dim=1).nonzero()[:, 0].tolist() for c in range(4))
    assert (left, heart, right, nipple) == ([0, 1], [4], [7], [])
    assert patch.labels.dtype == torch.uint8


def test_of_a_label_without_another_side_nothing_is_known_and_where_it_was_nothing_is_valid() -> None:
    batch = collate([mirrored(a_case())])
    was = torch.zeros(SHAPE, dtype=torch.bool)
    was[2, 0] = True
    assert torch.equal(batch.valid[0, 0], ~was)
    for c in range(3):
        assert torch.equal(batch.known[0, c], ~was)
    others = batch.target[0].any(dim=0)
    assert torch.equal(batch.known[0, 3], others & ~was)  # another organ is there, and they exclude each other


def test_what_is_known_of_a_side_is_known_of_the_other() -> None:
    region = np.zeros(SHAPE, bool)
    region[:3] = True
    batch = collate([mirrored(a_case(PARTIAL, UNKNOWN, ABSENT, PARTIAL, regions={0: region, 3: region}))])
    assert batch.annotated[0].tolist() == [True, False, True, False]
    assert batch.everywhere[0].tolist() == [True, False, False, False]
    assert batch.region is not None
    assert batch.region[0].flatten(1).sum(dim=1).tolist() == [0, 0, region.sum(), 0]
    assert torch.equal(batch.region[0, 2], torch.from_numpy(region[::-1].copy()))


def test_added_and_implied_voxels_and_distances_change_sides_too() -> None:
    added = np.zeros((4, *SHAPE), bool)
    added[0, 1], added[3, 2] = True, True
    case = with_distance(a_case(pseudo=added), 20.0, None)
    patch, plain = mirrored(case), cut(case, (0, 0, 0), SHAPE, PLAIN)
    assert patch.pseudo is not None
    assert torch.equal(patch.pseudo[2], torch.from_numpy(added[0, ::-1].copy()))
    assert not patch.pseudo[[0, 1, 3]].any()
    assert patch.sdm is not None
    assert plain.sdm is not None
    assert torch.equal(patch.sdm[:3], plain.sdm[[2, 1, 0]].flip(-3))


def test_mirrored_twice_is_what_it_was_where_every_label_has_its_other_side() -> None:
    labels = LabelSet.from_names(["left lung", "heart", "right lung"])
    case = PreparedCase.of_arrays("a", a_case().image, a_case().labels % 4, labels, [COMPLETE] * 3)
    once = cut(case, (0, 0, 0), SHAPE, PLAIN)
    twice = Mirror(labels).apply(Mirror(labels).apply(once))
    for name in ("image", "labels", "valid"):
        assert torch.equal(getattr(twice, name), getattr(once, name))
    assert np.array_equal(twice.case.everywhere, case.everywhere)


def test_sides_that_lie_in_different_layers_are_not_exchanged() -> None:
    labels = LabelSet(LABELS.labels, frozenset({frozenset({"left lung", "right lung"})}))
    assert Mirror(labels).others == (None, 1, None, None)


def test_about_half_of_the_patches_are_mirrored_the_same_ones_again_and_none_unless_wanted() -> None:
    case, whole = a_case(), {"patch_size": SHAPE, "spacing": (1.0, 1.0, 1.0), **OFF}

    def turned(**how: bool) -> list[bool]:
        source = PatchSource([case], LABELS, DataConfig(**{**whole, **how}), seed=1, batch_size=2)
        return [float(source[n].image[0, 0, 0, 0]) != 0 for n in range(60)]

    assert 15 < sum(turned(mirrored=True)) < 45
    assert turned(mirrored=True) == turned(mirrored=True)
    assert not any(turned())


def test_mirroring_with_and_without_the_names_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"data\.mirrored exchanges left and right"):
        DataConfig(mirrored=True, flips=(True, False, False))
