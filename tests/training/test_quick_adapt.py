"""The quick recipe from a model: its scores are corrected by few labels, and not erased."""

from dataclasses import replace

import numpy as np
import pytest
import rasterio
import torch
from safetensors.torch import save_file

import swath
from swath.cli import summaries
from swath.data.dataset import Dataset
from swath.errors import JobError, ModelError
from swath.models.hypercolumn import PARTS
from swath.models.model import Model
from swath.models.network import Network, NetworkSpec
from swath.options import ENCODER
from swath.training.quick.adapt import adapted_network, base_weights
from swath.training.quick.heads import (
    BaseScores,
    HeadSchedule,
    LabeledPixels,
    fit_heads,
    zero_heads,
)
from swath.training.quick.pixels import PixelTable
from swath.training.quick.recipe import fit_quick
from tests.errors import fails
from tests.make import NORTH_UP, UTM, noise, train_small, write_raster

SCALING = (0.0,) * 3, (1.0,) * 3

ALONE = {"recipe": "quick", "weights": "none"}
"""Without first weights of an encoder, which the small one has none of."""


def place(folder, labels, bands=3, dtype="uint8", image=None, **given):
    """Prepare one scene with labels: codes from 1, 255 unlabeled."""
    image = noise(bands, *labels.shape, seed=3).astype(dtype) if image is None else image
    write_raster(folder / "scene.tif", image, UTM, NORTH_UP)
    write_raster(folder / "labels.tif", labels, UTM, NORTH_UP, nodata=255)
    files = {"images": [folder / "scene.tif"], "labels": [folder / "labels.tif"]}
    swath.prepare(folder, folder / "dataset", **files, test="none", val="none", **given)
    return folder / "dataset"


def encoder_weights(model, path):
    """Write a model's own encoder as its first weights."""
    save_file(Model(model).in_torch().encoder.model.state_dict(), path)
    return str(path)


def squares(codes=(1, 2, 3), side=160, count=4):
    labels = np.full((side, side), 255, np.uint8)
    for i in range(count):
        for j, code in enumerate(codes):
            labels[i * 40 + 8 : i * 40 + 18, j * 40 + 8 : j * 40 + 18] = code
    return labels


def maps_of(model, folder):
    """Map the scene by the ONNX of a model, and by its network in torch."""
    swath.predict(model.path, folder / "scene.tif", folder / "map.tif", confidence=True)
    with rasterio.open(folder / "scene.tif") as scene, rasterio.open(folder / "map.tif") as source:
        raw, found = scene.read().astype(np.float32)[None], source.read(1)
    with torch.inference_mode():
        scores = model.in_torch()(torch.from_numpy(raw)).numpy()
    return found, scores.argmax(1)[0] + 1


def test_without_a_correction_the_classes_are_those_of_the_model(tiny_model, tmp_path):
    model = Model(tiny_model)
    names = model.card.legend.names
    base = base_weights(model, names)
    scores = torch.randn(50, len(names))
    heads = zero_heads(base)
    found = heads.scores(scores)
    assert (found.argmax(1) == scores.argmax(1)).all()
    expected = torch.softmax(scores / model.card.temperature, 1)
    assert torch.allclose(torch.softmax(found, 1), expected, atol=1e-5)


def test_a_class_that_the_model_does_not_know_has_an_average_score(tiny_model):
    model = Model(tiny_model)
    base = base_weights(model, ["new", *model.card.legend.names[:2]])
    scores = torch.tensor([[3.0, 0.0, -3.0]]) * model.card.temperature
    assert (scores @ base)[0].tolist() == pytest.approx([0.0, 3.0, 0.0], abs=1e-5)


def test_a_class_without_a_label_keeps_the_scores_of_the_base():
    """Nothing is learned against it where the model is sure of it."""
    torch.manual_seed(0)
    features = torch.randn(400, 6)
    weights = torch.zeros(6, 3)
    weights[3:] = torch.eye(3)
    base = BaseScores(weights, torch.randn(400, 6))
    labels = (features[:, 0] > 0).long()
    pixels = LabeledPixels(features, labels, torch.arange(400) // 10)
    heads = fit_heads(
        pixels, pixels.weights[None], 3, HeadSchedule(60, 64), 0, lambda _: None, base
    )
    sure = features[:20].clone()
    sure[:, 3:] = torch.tensor([0.0, 0.0, 20.0])
    assert (heads.scores(sure).argmax(1) == 2).all()
    right = (heads.scores(features)[:, :2].argmax(1) == labels).float().mean()
    assert right > 0.8 > (features[:, 3:5].argmax(1) == labels).float().mean()


def test_a_model_is_corrected_by_labels_of_another_place(tiny_model, tmp_path):
    """All that is done with a model file works with the new one, and it is one ONNX."""
    labels = squares()
    image = np.full((3, 160, 160), 60, np.uint8)
    image[:, :, 40:80], image[:, :, 80:] = 110, 150  # class 3 is darker than the model knows
    image += noise(3, 160, 160, seed=1) // 16
    dataset = place(tmp_path, labels, image=image)
    path = tmp_path / "new.swath"
    weights = encoder_weights(tiny_model, tmp_path / "encoder.safetensors")
    result = swath.train(dataset, path, from_=tiny_model, recipe="quick", weights=weights)
    assert result.adapted == "corrected" and result.folds.miou > 0.7
    assert result.compared.corrected == pytest.approx(result.folds.miou)
    before = swath.evaluate(tiny_model, dataset, split="train")
    assert result.compared.unchanged == pytest.approx(before.miou, abs=0.02)
    assert "labels alone" in summaries.train(result)
    assert result.first_weights.startswith("tiny")
    model = Model(path)
    assert model.card.network.features == result.features
    found, expected = maps_of(model, tmp_path)
    assert (found == expected).mean() > 0.99
    assert (found[labels != 255] == labels[labels != 255]).mean() > 0.9
    again = train_small(dataset, tmp_path / "again.swath", from_=path, steps=1)
    assert "3 of 3 classes" in again.first_weights


def test_one_label_a_class_corrects_the_model_without_a_comparison(tiny_model, tmp_path):
    dataset = place(tmp_path, squares(count=1))
    result = swath.train(
        dataset, tmp_path / "new.swath", from_=tiny_model, recipe="quick", weights="none"
    )
    assert result.adapted == "corrected" and result.folds is None
    assert result.in_one_place == ["1", "2", "3"] and "of 1, 2, 3 are" in summaries.train(result)
    assert set(PARTS[result.features]) >= {"bands", "scores"}


def test_an_adapted_model_can_be_adapted(tiny_model, tmp_path):
    dataset = place(tmp_path, squares(count=1))
    for old, new in ((tiny_model, "a"), (tmp_path / "a.swath", "b")):
        swath.train(dataset, tmp_path / f"{new}.swath", from_=old, **ALONE)
    model = Model(tmp_path / "b.swath")
    assert model.card.network.base.base is not None
    found, expected = maps_of(model, tmp_path)
    assert (found == expected).mean() > 0.99


def test_other_bands_are_refused(tiny_model, tmp_path):
    dataset = place(tmp_path, squares(), bands=4)
    with fails("not-adaptable", ModelError, file=tiny_model):
        swath.train(
            dataset, tmp_path / "new.swath", from_=tiny_model, recipe="quick", weights="none"
        )


def test_another_type_of_pixels_is_refused(tiny_model, tmp_path):
    dataset = place(tmp_path, squares(), dtype="int16")
    with fails("not-adaptable", ModelError, file=tiny_model):
        swath.train(
            dataset, tmp_path / "new.swath", from_=tiny_model, recipe="quick", weights="none"
        )


def test_values_of_another_scale_are_refused_with_the_option_that_sets_it(tiny_model, tmp_path):
    dataset = place(tmp_path, squares(), raw=True)
    with fails("not-adaptable", ModelError, file=tiny_model) as caught:
        swath.train(dataset, tmp_path / "new.swath", from_=tiny_model, **ALONE)
    assert "as they are stored" in caught.value.message and "without --raw" in caught.value.fix


def test_data_without_a_class_of_the_model_are_refused(tiny_model, tmp_path):
    dataset = place(tmp_path, squares(codes=(7, 8)))
    with fails("not-adaptable", ModelError, file=tiny_model):
        swath.train(
            dataset, tmp_path / "new.swath", from_=tiny_model, recipe="quick", weights="none"
        )


def test_classes_that_the_data_lack_are_reported(tiny_model, tmp_path, caplog):
    dataset = place(tmp_path, squares(codes=(1, 2, 7)))
    swath.train(dataset, tmp_path / "new.swath", from_=tiny_model, **ALONE)
    assert any("3" in r.message and "prepare" in r.message for r in caplog.records)
    assert Model(tmp_path / "new.swath").card.legend.names == ["1", "2", "7"]


def test_without_first_weights_the_model_describes_pixels_alone(
    tiny_model, tmp_path, monkeypatch, caplog
):
    def lacking(*_):
        raise JobError("No pretrained weights", code="no-weights", fix="Give a file")

    monkeypatch.setattr("swath.training.quick.adapt.load_encoder_weights", lacking)
    manifest = Dataset(place(tmp_path, squares())).manifest
    network, origin, kinds = adapted_network(Model(tiny_model), manifest, ["encoder"], "auto")
    assert kinds == ["bands", "model"] and network.encoder is None and origin == "tiny"
    assert any("No pretrained weights" in r.message for r in caplog.records)


def test_a_model_that_is_right_stays_as_it_is():
    """Labels that agree with it, but of which features tell nothing, do not change it."""
    torch.manual_seed(0)
    base = NetworkSpec(ENCODER, "hypercolumn", 2, *SCALING, (64,) * 4, 0, features="bands")
    spec = replace(base, features="model", base=base)
    network = Network(spec)
    labels = torch.arange(400) // 10 % 2
    features = torch.randn(400, sum(network.body.channels.values()))
    features[:, -2:] = 2.0 * torch.eye(2)[labels]
    table = PixelTable(features, labels, torch.arange(400) // 10, features)
    base = torch.eye(2) - 0.5
    head = fit_quick(table, network, ["bands", "model"], 2, 0, base)
    assert head.compared.unchanged == 1.0
    assert (head.heads.scores(features).argmax(1) == labels).all()
