import html.parser
import logging

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, jaccard_score

import swath
from swath.data.dataset import Dataset
from swath.errors import DataError, JobError, ModelError
from swath.evaluation.reference import DatasetReference
from swath.evaluation.scoring import ModelPredictor
from swath.models.model import Model
from tests.errors import fails
from tests.make import write_pairs


def test_scores_are_those_of_scikit_learn_on_the_maps(tiny_model, stripes):
    result = swath.evaluate(tiny_model, stripes)
    dataset, model = Dataset(stripes), Model(tiny_model)
    reference, mapped = [], []
    for sample in dataset.manifest.of("test"):
        image = dataset.images[sample.image]
        reference.append(image.read_labels(sample.window).ravel() + 1)
        mapped.append(model.predict(np.asarray(image.read(image.grid.window).values)).ravel())
    reference, mapped = np.concatenate(reference), np.concatenate(mapped)
    labels = [1, 2, 3]
    assert result.confusion == confusion_matrix(reference, mapped, labels=labels).tolist()
    assert result.accuracy == pytest.approx(accuracy_score(reference, mapped))
    iou = jaccard_score(reference, mapped, labels=labels, average=None, zero_division=0)
    assert [c.iou for c in result.classes] == pytest.approx(iou)
    assert result.miou == pytest.approx(iou.mean())
    assert [c.f1 for c in result.classes] == pytest.approx(
        f1_score(reference, mapped, labels=labels, average=None)
    )
    assert [c.pixels for c in result.classes] == [int((reference == c).sum()) for c in labels]
    assert (result.split, result.images) == ("test", 1)


def test_counts_are_whole_numbers_in_json(tiny_model, stripes):
    content = swath.evaluate(tiny_model, stripes, split="val").model_dump(mode="json")
    assert all(type(count) is int for row in content["confusion"] for count in row)
    assert set(content["classes"][0]) >= {
        "name",
        "code",
        "iou",
        "f1",
        "precision",
        "recall",
        "pixels",
    }


def test_an_empty_split_is_an_error(tiny_model, tmp_path):
    for name in "ab":
        write_pairs(tmp_path / "s" / name, [name])
    swath.prepare(tmp_path / "s", tmp_path / "d", test="none", val="none")
    with fails("empty-split", DataError, tmp_path / "d") as caught:
        swath.evaluate(tiny_model, tmp_path / "d")
    assert "test" in caught.value.message


def test_other_classes_are_refused(tiny_model, tmp_path):
    for name in "ab":
        write_pairs(tmp_path / "s" / name, [name], classes=2)
    swath.prepare(tmp_path / "s", tmp_path / "d", test="a", val="none")
    with fails("classes-differ", ModelError, tiny_model) as caught:
        swath.evaluate(tiny_model, tmp_path / "d")
    assert caught.value.message.count("1 (1), 2 (2)") == 2
    assert caught.value.message.count("3 (3)") == 1


def test_another_split_than_the_models_is_warned_of(tiny_model, stripes, tmp_path, caplog):
    swath.prepare(stripes.parent / "source", tmp_path / "d", test="a", val="none")
    with caplog.at_level(logging.WARNING, "swath"):
        swath.evaluate(tiny_model, tmp_path / "d")
    assert "score is too good" in caplog.text


class Page(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.sources = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.sources += [value for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data):
        self.text.append(data)


def test_the_report_is_one_page_that_needs_no_network(tiny_model, stripes, tmp_path):
    result = swath.evaluate(tiny_model, stripes, report=tmp_path / "report")
    page = Page((tmp_path / "report" / "index.html").read_text(encoding="utf-8"))
    text = " ".join(" ".join(page.text).split())
    assert result.report == str(tmp_path / "report" / "index.html")
    assert f"mIoU {result.miou:.3f}" in text and "test_resnet" in text and "3 steps" in text
    assert page.tags.count("img") == 4 + 4 and all(
        source.startswith("data:image/png;base64,") for source in page.sources
    )
    assert "svg" in page.tags and "script" not in page.tags
    for words in (
        "95% interval",
        "boundary IoU",
        "calibration error",
        "Split",
        "data checks",
        "Made by swath evaluate",
    ):
        assert words in text


def test_scores_are_what_they_are_made_of(tiny_model, stripes):
    result = swath.evaluate(tiny_model, stripes)
    card = Model(tiny_model).card
    assert card.calibration is not None and card.calibration.groups == ["c"]
    assert result.reliability.temperature == card.temperature != 1
    assert sum(share for _, _, share in result.reliability.bins) == pytest.approx(1)
    right = sum(r * share for _, r, share in result.reliability.bins)
    assert right == pytest.approx(result.accuracy)
    gaps = [abs(c - r) * share for c, r, share in result.reliability.bins]
    assert result.reliability.error == pytest.approx(sum(gaps))
    assert result.groups == ["d"] and result.miou_interval is None
    assert -1 <= result.kappa <= 1 and 0 <= result.boundary_miou <= 1


def test_names_from_data_cannot_become_markup(stripes, tmp_path, tiny_model):
    from swath.reports.evaluation import Origin, write_report

    scores = swath.evaluate(tiny_model, stripes).model_dump(mode="json")
    scores["classes"][0]["name"] = "<script>alert(1)</script>"
    reference, model = DatasetReference(Dataset(stripes), "test"), Model(tiny_model)
    predictor = ModelPredictor(model.predictor, model.card.temperature)
    origin = Origin("swath <script>", model.card)
    path = write_report(tmp_path, reference, predictor, scores, origin)
    assert "<script>" not in path.read_text(encoding="utf-8")


def test_a_report_cannot_replace_a_file(tiny_model, stripes, tmp_path):
    (tmp_path / "file").write_text("mine")
    with fails("not-a-folder", JobError, tmp_path / "file"):
        swath.evaluate(tiny_model, stripes, report=tmp_path / "file")
