import shutil

import numpy as np
import pytest

import swath
from swath.data.dataset import Dataset
from swath.errors import DataError, ModelError, UsageError
from swath.evaluation import temperature
from swath.models.model import Model
from swath.models.model_file import pack_model_file
from tests.errors import fails
from tests.networks import Net, answer, local


@pytest.fixture(scope="module")
def names(stripes, tmp_path_factory):
    """Return bands and classes of `stripes`, as options of `swath import`."""
    classes = tmp_path_factory.mktemp("names") / "c.yaml"
    classes.write_text("".join(f"- {{name: '{c}', code: {c}}}\n" for c in (1, 2, 3)))
    bands = [b.name for b in Dataset(stripes).manifest.bands]
    return {"bands": bands, "classes": str(classes), "scale": 0.01}


def test_a_temperature_lowers_the_calibration_error(stripes, names, tmp_path):
    net = local()
    path = net.add("Mul", net.weight(50.0)).write(tmp_path / "n.onnx")  # far too sure
    model = swath.import_onnx(path, tmp_path / "m.swath", **names).model
    network = Model(model).network()
    result = swath.calibrate(model, stripes)
    assert result.split == "val" and result.temperature > 5 and result.pixels > 1000
    assert result.error_after < result.error_before
    card = Model(model).card
    assert card.temperature == result.temperature == card.calibration.temperature
    assert Model(model).network() == network and card.imported is not None
    again = swath.calibrate(model, stripes)
    assert again.temperature == pytest.approx(result.temperature, rel=1e-3)
    assert again.error_before == pytest.approx(result.error_after, abs=1e-3)


def test_masks_get_a_line_and_a_threshold_each(stripes, names, tmp_path):
    path = local().add("Sigmoid").write(tmp_path / "n.onnx")
    model = swath.import_onnx(path, tmp_path / "m.swath", **names).model
    raw = np.random.default_rng(0).integers(0, 255, (1, 3, 32, 32)).astype(np.float32)
    share = answer(path, raw * np.float32(0.01)).astype(np.float64)
    before = Model(model)
    result = swath.calibrate(model, stripes, split="train")
    assert len(result.thresholds) == 3 and all(0 <= t <= 1 for t in result.thresholds)
    after = Model(model)
    assert after.card.thresholds == result.thresholds
    old, new = (m.open(m.setup("onnxruntime")).runtime(raw)[0] for m in (before, after))
    np.testing.assert_allclose(old, np.log(share / (1 - share))[0], atol=1e-3)
    for was, now in zip(old, new, strict=True):  # a line with a rising slope
        slope, shift = np.polyfit(was.ravel(), now.ravel(), 1)
        assert slope > 0 and np.abs(was * slope + shift - now).max() < 1e-3
    assert np.abs(old - new).max() > 0.01


def test_a_quantized_model_stays_so(stripes, names, tmp_path):
    path = Net().conv(32).relu().conv(32).relu().conv(3).write(tmp_path / "n.onnx")
    model = swath.import_onnx(path, tmp_path / "m.swath", **names).model
    swath.quantize(model, stripes, samples=2)
    int8 = Model(model).network("int8")
    swath.calibrate(model, stripes)
    assert Model(model).network("int8") == int8


def test_a_model_is_not_calibrated_on_what_it_was_trained_on(tiny_model, stripes, tmp_path):
    copy = shutil.copy(tiny_model, tmp_path / "m.swath")
    with fails("own-labels", UsageError):
        swath.calibrate(copy, stripes, split="train")
    assert swath.calibrate(copy, stripes).temperature == pytest.approx(
        Model(tiny_model).card.temperature, rel=0.05
    )


def trained_on(dataset, model, path, **changes):
    """Write a model as if it had been trained on a dataset; return its path."""
    old = Model(model)
    training = old.card.training.model_copy(
        update={"data_digest": Dataset(dataset).manifest.digest}
    )
    card = old.card.model_copy(update={"training": training} | changes)
    pack_model_file(path, card, old.network(), old.weights)
    return path


def test_only_splits_that_have_labels_are_offered(stripes, tiny_model, tmp_path):
    source = stripes.parent / "source"
    swath.prepare(source, tmp_path / "d", val="none", test="d")
    model = trained_on(tmp_path / "d", tiny_model, tmp_path / "m.swath")
    with fails("own-labels", UsageError) as caught:
        swath.calibrate(model, tmp_path / "d")
    assert "--split test" in caught.value.fix and "val" not in caught.value.fix
    with fails("no-labels", DataError) as caught:
        swath.calibrate(model, tmp_path / "d", split="val")
    assert "--split test" in caught.value.fix and "train" not in caught.value.fix
    assert swath.calibrate(model, tmp_path / "d", split="test").pixels
    swath.prepare(source, tmp_path / "e", val="none", test="none")
    model = trained_on(tmp_path / "e", tiny_model, tmp_path / "m.swath")
    with fails("own-labels", UsageError) as caught:
        swath.calibrate(model, tmp_path / "e")
    assert "--split" not in caught.value.fix


def test_masks_that_were_calibrated_in_training_are_left(stripes, tiny_model, tmp_path):
    changes = {"heads": "per-class", "thresholds": [0.5] * 3}
    model = trained_on(stripes, tiny_model, tmp_path / "m.swath", **changes)
    with fails("masks-calibrated", ModelError, file=model):
        swath.calibrate(model, stripes)


def test_masks_are_fitted_to_some_samples_as_temperatures_are(
    stripes, names, tmp_path, monkeypatch
):
    path = local().add("Sigmoid").write(tmp_path / "n.onnx")
    model = swath.import_onnx(path, tmp_path / "m.swath", **names).model
    monkeypatch.setattr(temperature, "MAX_TEMPERATURE_PIXELS", 1)
    samples = Dataset(stripes).manifest.of("train")
    assert len(samples) > 1
    result = swath.calibrate(model, stripes, split="train")
    assert result.pixels in [sum(s.counts) for s in samples]


def test_other_classes_are_refused(stripes, names, tmp_path):
    path = local().write(tmp_path / "n.onnx")
    options = names | {"classes": "a,b,c"}
    model = swath.import_onnx(path, tmp_path / "m.swath", **options).model
    with fails("classes-differ", ModelError, file=model):
        swath.calibrate(model, stripes)
