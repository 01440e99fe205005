"""Which of the labels that exclude each other a voxel gets."""

from __future__ import annotations

import numpy as np
import pytest

from SemiSupSegLib.engine.decision import decide, holds, needed, of_layers

pytestmark = pytest.mark.unit


def voxel(*probability: float) -> np.ndarray:
    return np.array(probability, np.float32)[:, np.newaxis]


@pytest.mark.parametrize(
    ("probability", "row"),
    [
        ((0.6,), 0), ((0.5,), -1), ((0.4,), -1),
        ((0.4, 0.3, 0.2), 0),  # 0.1 is left for the background
        ((0.2, 0.3, 0.35), 2),  # 0.15
        ((0.3, 0.3, 0.0), -1),  # 0.4
        ((0.24, 0.24, 0.24, 0.24), -1),  # hardly anything is known
        ((0.6, 0.7), 1),
    ],
)  # fmt: skip
def test_the_likeliest_is_proposed_where_it_is_likelier_than_nothing(probability: tuple[float, ...], row: int) -> None:
    assert decide(voxel(*probability)).tolist() == [row]


def test_a_model_that_follows_a_paper_proposes_above_half_alone() -> None:
    assert decide(voxel(0.4, 0.3, 0.2), likeliest=False).tolist() == [-1]
    assert decide(voxel(0.2, 0.6), likeliest=False).tolist() == [1]


def test_without_labels_nothing_is_proposed() -> None:
    assert decide(np.zeros((0, 2, 3))).tolist() == [[-1] * 3] * 2


def test_what_a_label_must_exceed_is_where_the_decision_turns() -> None:
    random = np.random.default_rng(0)
    for _ in range(200):
        probability = random.dirichlet(np.full(5, 0.7), size=1).T[:4].astype(np.float32) * random.uniform(0.5, 1.3)
        probability = probability.clip(0, 1)
        for row, limits in enumerate(needed(probability)):
            limit = float(limits[0])
            for step, wins in ((0.002, True), (-0.002, False)):
                other = probability.copy()
                other[row] = limit + step
                assert (decide(other)[0] == row) == wins


def test_labels_of_different_layers_do_not_share_a_probability() -> None:
    both = voxel(0.4, 0.4, 0.35)
    assert [m.tolist() for m in of_layers(both, [0, 0, 0])] == [[True], [False], [False]]
    assert [m.tolist() for m in of_layers(both, [0, 1, 2])] == [[False]] * 3
    assert [m.tolist() for m in of_layers(both, [0, 1, 0])] == [[True], [False], [False]]
    assert of_layers(np.zeros((0, 3)), []) == []


def test_half_is_enough_whatever_the_others_are() -> None:
    assert holds(np.array([0.51]), np.array([0.51])).all()
    assert holds(np.array([0.51]), np.array([3.0])).all()
