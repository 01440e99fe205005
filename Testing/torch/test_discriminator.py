"""The discriminator: the published network at the published patch, and at any other."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from SemiSupSegLib.networks.discriminator import Discriminator


@pytest.mark.parametrize("size", [(16, 16, 16), (17, 30, 16), (40, 24, 8), (5, 3, 2), (9, 9, 1), (1, 1, 1)])
def test_it_scores_patches_of_any_size(size: tuple[int, int, int]) -> None:
    network = Discriminator(2, 3, filters=4)
    scores = network(torch.rand(2, 2, *size), torch.rand(2, 3, *size))
    assert scores.shape == (2, 2)
    scores.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_it_is_the_published_network() -> None:
    """Channels 64 to 512, kernels of 4, a linear layer of 512."""
    network = Discriminator(1)
    shapes = [tuple(m.weight.shape) for m in network.modules() if isinstance(m, torch.nn.Conv3d)]
    assert shapes == [(w, i, 4, 4, 4) for i, w in ((1, 64), (1, 64), (64, 128), (128, 256), (256, 512))]
    assert network.scores.weight.shape == (2, 512)
    assert network.dropout.p == 0.5


def test_the_average_of_what_is_left_is_the_published_pooling_window() -> None:
    """At 112 x 112 x 80 four halvings leave 7 x 7 x 5, which is the window of the authors' average pooling."""
    network = Discriminator(1, filters=2).eval()
    sdm, image = torch.rand(2, 1, 1, 112, 112, 80, generator=torch.Generator().manual_seed(0))

    def published() -> Tensor:
        x = network.from_sdm(sdm) + network.from_image(image)
        for convolution in network.deeper:
            x = convolution(F.leaky_relu(x, 0.2))
        assert x.shape[2:] == (7, 7, 5)
        return network.scores(F.avg_pool3d(F.leaky_relu(x, 0.2), (7, 7, 5)).flatten(1))

    with torch.no_grad():
        assert torch.allclose(network(sdm, image), published(), atol=1e-6)


def test_dropout_is_off_in_eval_mode_and_takes_whole_channels_in_training() -> None:
    torch.manual_seed(0)
    network, maps = Discriminator(1, filters=4), (torch.rand(1, 1, 16, 16, 16), torch.rand(1, 1, 16, 16, 16))
    assert not torch.equal(network(*maps), network(*maps))
    network.eval()
    assert torch.equal(network(*maps), network(*maps))


def test_it_sees_both_the_map_and_the_image() -> None:
    network, maps = Discriminator(1, filters=4).eval(), torch.rand(3, 1, 1, 16, 16, 16)
    scores = network(maps[0], maps[1])
    assert not torch.equal(scores, network(maps[2], maps[1]))
    assert not torch.equal(scores, network(maps[0], maps[2]))
