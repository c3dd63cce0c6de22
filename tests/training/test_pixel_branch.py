import time

import numpy as np
import torch

from swath.legend import IGNORE
from swath.models.network import Network, NetworkSpec
from swath.training.batches.patches import Batch, BatchStream, stacked
from swath.training.losses import RecipeLoss
from swath.training.pixel_branch import _draw_pixels, train_pixel_branch
from swath.training.recipes import Recipe

MEANS = np.float32([[20, 20, 60], [40, 60, 20], [45, 62, 30], [240, 240, 250]])
"""Colors of four classes, two of which are close to each other and far from the others."""


HEIGHTS = [0.0, 10.0, 20.0, 30.0]
"""Meters above ground of the classes."""


class Noise(BatchStream):
    """Each patch shows one class in noise, and an unlabeled row of another class's color."""

    def batch(self, number):
        rng = np.random.default_rng(number)
        return stacked([self.patch(rng) for _ in range(self.recipe.batch)])

    def patch(self, rng):
        c = rng.integers(4)
        labels = np.full((32, 32), c)
        values = MEANS[c][:, None, None] + rng.normal(0, 1, (3, 32, 32))
        labels[0], values[:, 0] = IGNORE, MEANS[c - 1][:, None]
        heights = torch.full((32, 32), HEIGHTS[c]) if self.recipe.heights else None
        return Batch(torch.from_numpy(values).float(), torch.from_numpy(labels), heights)


def trained(steps, seconds=np.inf, pixel_width=32, classes=4, seed=0):
    torch.manual_seed(0)
    recipe = Recipe()
    network = Network(
        NetworkSpec(
            "test_efficientnet", "unet", classes, (127.5,) * 3, (127.5,) * 3, (8,) * 4, pixel_width
        )
    )
    took = train_pixel_branch(
        network, Noise(None, recipe, seed), RecipeLoss(recipe, [1] * classes), steps, seconds
    )
    return network, took


def predicted(network):
    with torch.no_grad():
        x = (torch.from_numpy(MEANS).T[None, :, None] - network.mean) / network.std
        return network.pixel(x)[0, :, 0].argmax(0).tolist()


def test_colors_are_learned_before_all_else():
    network, took = trained(200)
    assert predicted(network) == [0, 1, 2, 3] and took > 0


def test_heights_are_trained_with_the_classes():
    recipe = Recipe(heights=True)
    network = Network(
        NetworkSpec(
            "test_efficientnet", "unet", 4, (127.5,) * 3, (127.5,) * 3, (8,) * 4, 32, heights=True
        )
    )
    train_pixel_branch(network, Noise(None, recipe, 0), RecipeLoss(recipe, [1] * 4), 300)
    with torch.no_grad():
        x = (torch.from_numpy(MEANS).T[None, :, None] - network.mean) / network.std
        meters = (network.pixel(x) * network.gain)[0, -1, 0]
    np.testing.assert_allclose(meters, HEIGHTS, atol=3)


def test_the_norm_holds_the_statistics_of_the_data_whatever_the_batch():
    network, _ = trained(100)
    norm = network.train().pixel[0]
    spread = (MEANS.mean(axis=0) - 127.5) / 127.5
    np.testing.assert_allclose(norm.running_mean, spread, atol=0.1)
    before = norm.running_mean.clone()
    dark = network(torch.full((1, 3, 64, 64), 20.0))
    assert (norm.running_mean == before).all()
    both = network.pixel(
        (torch.cat([torch.full((1, 3, 8, 8), 20.0), torch.full((1, 3, 8, 8), 200.0)]) - 127.5)
        / 127.5
    )
    torch.testing.assert_close(
        both[0], network.pixel((torch.full((1, 3, 8, 8), 20.0) - 127.5) / 127.5)[0]
    )
    assert dark.isfinite().all()


def test_units_begin_where_colors_are():
    """Each first unit is at its edge for some pixel, and so it tells some pixels from others."""
    network, _ = trained(0)
    x = torch.from_numpy(MEANS).T[None, :, None]
    with torch.no_grad():
        edges = network.pixel[1](network.pixel[0]((x - network.mean) / network.std))[0, :, 0]
    assert ((edges > 0).any(1) & (edges < 0).any(1)).float().mean() > 0.6


def test_the_same_seed_learns_the_same_and_time_ends_it():
    a, b, c = (trained(20, seed=seed)[0].state_dict() for seed in (0, 0, 1))
    assert all((a[name] == b[name]).all() for name in a)
    assert any((a[name] != c[name]).any() for name in a)
    stopped, took = trained(10**7, seconds=0.5)
    assert took < 30 and stopped.pixel[1].weight.isfinite().all()


def test_where_no_pixel_is_labeled_nothing_changes():
    recipe = Recipe()
    network = Network(NetworkSpec("test_efficientnet", "unet", 2, (0.0,), (1.0,), (8,) * 4, 4))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    batches = Noise(None, recipe, 0)
    batches.patch = lambda rng: Batch(torch.zeros(1, 8, 8), torch.full((8, 8), IGNORE))
    train_pixel_branch(network, batches, RecipeLoss(recipe, [1, 1]), 10)
    assert all((before[name] == tensor).all() for name, tensor in network.state_dict().items())


def test_a_network_without_the_branch_is_left_as_it_is():
    assert trained(10, pixel_width=0)[1] == 0


def test_of_many_bands_fewer_pixels_are_held(monkeypatch):
    monkeypatch.setattr("swath.training.pixel_branch.MAX_VALUES", 256 * 3 * 5)
    values, labels, _ = _draw_pixels(
        Noise(None, Recipe(), 0), torch.Generator().manual_seed(0), 256
    )
    assert values.shape == (256 * 5, 3) and len(labels) == 256 * 5


def test_drawing_ends_in_time_with_what_there_is():
    recipe = Recipe()
    values, _, _ = _draw_pixels(
        Noise(None, recipe, 0), torch.Generator(), 256, time.monotonic() - 1
    )
    assert len(values) == recipe.batch * 31 * 32  # one batch; a row of each patch has no labels
