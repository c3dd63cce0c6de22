"""Going on from a model: what has the same name is kept, and the rest begins as it must."""

import numpy as np
import pytest
import torch

import swath
from swath.data.dataset import Dataset
from swath.models.model import Model
from swath.models.model_file import pack_model_file
from swath.models.network import Network
from swath.training.finetune import spec_like, transfer_weights
from swath.training.recipes import Recipe
from tests.errors import fails
from tests.make import noise, train_small, write_png, write_raster


def other_data(folder, codes=(1, 2, 3), bands=3, **image):
    """Prepare one image with the given codes in stripes; a class is named by its code."""
    write_raster(folder / "s" / "images" / "i.tif", noise(bands, 96, 96), **image)
    write_png(
        folder / "s" / "masks" / "i.png",
        np.asarray(codes, np.uint8)[np.indices((96, 96))[1] * len(codes) // 96],
    )
    swath.prepare(folder / "s", folder / "d", test="none", val="none", block=96)
    return Dataset(folder / "d")


def taken_over(model, dataset, **recipe):
    torch.manual_seed(1)
    network = Network(spec_like(model, dataset.manifest, Recipe(**recipe)))
    return network.eval(), transfer_weights(network, model, dataset.manifest)


def scores(network, raw):
    with torch.inference_mode():
        return network(torch.from_numpy(raw)).numpy()


@pytest.fixture
def raw():
    return noise(1, 3, 64, 64).astype(np.float32)


def test_with_the_same_classes_and_bands_nothing_changes(tiny_model, stripes, raw):
    model = Model(tiny_model)
    network, kept = taken_over(model, Dataset(stripes))
    np.testing.assert_allclose(scores(network, raw), scores(model.in_torch(), raw), atol=1e-5)
    assert kept == "tiny, with 3 of 3 classes (1, 2, 3) and 3 of 3 bands (red, green, blue)"


def test_classes_go_by_name_and_new_ones_begin_at_random(tiny_model, tmp_path, raw):
    model = Model(tiny_model)
    network, kept = taken_over(model, other_data(tmp_path, codes=(2, 3, 7, 8)))
    old, new = scores(model.in_torch(), raw), scores(network, raw)
    np.testing.assert_allclose(new[:, :2], old[:, 1:], atol=1e-5)
    assert "2 of 4 classes (2, 3)" in kept
    assert all(np.abs(new[:, 2] - old[:, i]).max() > 1e-3 for i in range(3))


def test_a_new_band_begins_as_the_mean_of_those_that_are_known(tiny_model, tmp_path):
    model = Model(tiny_model)
    dataset = other_data(
        tmp_path,
        bands=4,
        descriptions=("green", "nir", "red", "blue"),
        colorinterp=None,
        photometric="minisblack",
    )
    network, kept = taken_over(model, dataset)
    names = [b.name for b in dataset.manifest.bands]
    old, new = (n.encoder.model.conv1[0].weight.detach() for n in (model.in_torch(), network))
    for i, name in enumerate(names):
        expected = old[:, ["red", "green", "blue"].index(name)] if name != "nir" else old.mean(1)
        torch.testing.assert_close(new[:, i], expected)
    assert "3 of 4 bands" in kept and sorted(names) == ["blue", "green", "nir", "red"]


def test_known_bands_are_scaled_as_the_model_learnt(tiny_model, tmp_path):
    spec = spec_like(Model(tiny_model), other_data(tmp_path).manifest, Recipe())
    assert spec.mean == pytest.approx([b.mean for b in Model(tiny_model).card.bands])


def test_heights_can_be_added(tiny_model, stripes, raw):
    model = Model(tiny_model)
    network, kept = taken_over(model, Dataset(stripes), heights=True)
    old, new = scores(model.in_torch(), raw), scores(network, raw)
    np.testing.assert_allclose(new[:, :3], old, atol=1e-5)
    assert new.shape[1] == 4 and "3 of 4 classes" in kept


def test_the_command_goes_on_where_the_model_was(tiny_model, stripes, tmp_path):
    result = train_small(stripes, tmp_path / "m.swath", from_=tiny_model, steps=1)
    assert result.first_weights.startswith("tiny, with 3 of 3")
    assert Model(tmp_path / "m.swath").card.training.first_weights == result.first_weights
    with fails("no-such-file", swath.ModelError, file=tmp_path / "none.swath"):
        swath.train(stripes, tmp_path / "m.swath", from_=tmp_path / "none.swath", steps=1)


def test_models_with_settings_that_are_removed_open_and_can_be_started_from(
    tiny_model, stripes, tmp_path
):
    model = Model(tiny_model)
    card = model.card.model_copy(deep=True)
    card.training.settings.update(
        views="patches",
        small_loss=0.95,
        ignore_borders=1,
        average=0.9,
        jitter="patch",
        loss="ce+lovasz",
    )
    old = tmp_path / "old.swath"
    pack_model_file(old, card, model.network(), model.weights)
    assert Model(old).card.training.settings["loss"] == "ce+lovasz"
    assert taken_over(Model(old), Dataset(stripes))[1].startswith("tiny, with 3 of 3 classes")


@pytest.mark.parametrize("least", [1, 10**9])
def test_few_labels_point_to_the_quick_recipe(
    tiny_model, stripes, tmp_path, caplog, monkeypatch, least
):
    monkeypatch.setattr("swath.training.full.FEW_PIXELS", least)
    train_small(stripes, tmp_path / "m.swath", from_=tiny_model, steps=1)
    assert any("--recipe quick" in r.message for r in caplog.records) == (least > 1)
