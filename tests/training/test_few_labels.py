"""A full training on few labels is averaged with the quick recipe."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import swath
from swath.data.dataset import Dataset
from swath.models.hypercolumn import box_mean
from swath.models.model import Model
from swath.models.network import Network, NetworkSpec
from swath.options import TrainOptions
from swath.training.few_labels import (
    QUICK_WEIGHT,
    SMOOTHING,
    QuickPart,
    confidence_of,
    has_few_labels,
    temperature_for,
)
from swath.training.recipes import recipe_of
from tests.training.test_quick import scene


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    folder = tmp_path_factory.mktemp("few")
    scene(folder, 3, "uint8")
    return TrainOptions(folder / "dataset", folder / "m.swath", steps=2)


@pytest.fixture(scope="module")
def part(options):
    return QuickPart(options, Dataset(options.dataset))


def test_scores_are_the_mean_of_both_and_as_confident_as_the_quick_recipe(part):
    quick = part.network
    given = quick.spec.mean, quick.spec.std, (16, 8, 8, 8), 4
    network = Network(NetworkSpec(quick.spec.encoder, "unet", 3, *given)).eval()
    with torch.no_grad():
        network.offset[0, 0] = 50.0
        joined = part.joined(network)
        raw = torch.rand(1, 3, 64, 96) * 255
        smooth = box_mean(box_mean(network(raw), SMOOTHING), SMOOTHING)
        mean = QUICK_WEIGHT * quick(raw) + (1 - QUICK_WEIGHT) * smooth
        assert joined.gain.max() < 0.9
        assert torch.allclose(joined(raw), mean * joined.gain, atol=1e-3)


def test_a_temperature_gives_the_mean_confidence():
    scores = np.random.default_rng(0).normal(0, 3, (4, 500)).astype(np.float32)
    assert confidence_of(scores, temperature_for(scores, 0.6)) == pytest.approx(0.6, abs=1e-3)


def test_only_few_labels_are_averaged(options):
    dataset, recipe = Dataset(options.dataset), recipe_of(options)
    assert has_few_labels(options, dataset, recipe)
    assert not has_few_labels(options, dataset, replace(recipe, heads="per-class"))
    samples = [
        s.model_copy(update={"counts": [n * 50 for n in s.counts]})
        for s in dataset.manifest.samples
    ]
    dataset.manifest = dataset.manifest.model_copy(update={"samples": samples})
    assert not has_few_labels(options, dataset, recipe)


def test_a_model_of_few_labels_holds_both_networks(options):
    assert swath.train(options.dataset, options.model, steps=2).with_quick
    card = Model(options.model).card
    assert card.decoder == "hypercolumn" and card.network.base.decoder == "unet"
    swath.predict(options.model, options.model.parent / "scene.tif", options.model.parent / "a.tif")
