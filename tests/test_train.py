import logging

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import swath
from swath.classes import IGNORE
from swath.course import Budget
from swath.errors import JobError, UsageError
from swath.model import Model
from swath.teacher import segmentation_loss
from swath.verbs import train as module


def test_the_loss_is_cross_entropy_plus_dice_over_labelled_pixels():
    torch.manual_seed(0)
    scores, target = torch.randn(2, 3, 4, 5), torch.randint(0, 2, (2, 4, 5))
    target[0, 0] = IGNORE
    known = target != IGNORE
    flat, truth = scores.movedim(1, -1)[known], target[known]
    share = flat.softmax(-1)
    dice = [1 - (2 * share[truth == c, c].sum() + 1) / (share[:, c].sum() + (truth == c).sum() + 1) for c in (0, 1)]
    expected = F.cross_entropy(flat, truth) + 0.5 * sum(dice) / 2
    torch.testing.assert_close(segmentation_loss(scores, target, 0.5), expected)


def test_the_loss_of_nothing_is_nothing():
    scores = torch.randn(1, 3, 4, 4, requires_grad=True)
    loss = segmentation_loss(scores, torch.full((1, 4, 4), IGNORE), 0.5)
    loss.backward()
    assert loss == 0 and (scores.grad == 0).all()


def test_a_budget_is_spent_by_time_or_steps():
    assert Budget(60, None).spent(30, 1000) == 0.5
    assert Budget(None, 10).spent(1e9, 5) == 0.5


def test_the_result_says_what_happened(stripes, tmp_path):
    result = swath.train(stripes, tmp_path / "m.swath", steps=2, seed=1)
    assert result.steps == 2 and result.model == str(tmp_path / "m.swath")
    assert result.pixels_per_second > 0 and 0 <= result.validation_miou <= 1
    assert not (tmp_path / "m.swath.training").exists()


def test_minutes_are_kept(stripes, tmp_path):
    result = swath.train(stripes, tmp_path / "m.swath", minutes=0.1)
    assert 3 < result.seconds < 12 and result.steps >= 1


def test_epochs_count_labelled_pixels(stripes):
    dataset = module.Dataset(stripes)
    recipe = module.RECIPES["default"]
    options = module.TrainOptions(stripes, "m.swath", epochs=100)
    labelled = sum(sum(s.counts) for s in dataset.manifest.of("train"))
    assert module._budget(options, dataset, recipe).steps == -(-100 * labelled // (recipe.batch * recipe.patch**2))


def test_two_budgets_are_refused(stripes, tmp_path):
    with pytest.raises(UsageError, match="Give one"):
        swath.train(stripes, tmp_path / "m.swath", minutes=1, steps=1)


def test_the_same_seed_gives_the_same_model_and_another_seed_another(stripes, tmp_path, tiny_model):
    swath.train(stripes, tmp_path / "same.swath", steps=3)
    swath.train(stripes, tmp_path / "other.swath", steps=3, seed=5)
    digests = [
        Model(p).card.files["weights.safetensors"] for p in (tiny_model, tmp_path / "same.swath", tmp_path / "other.swath")
    ]
    assert digests[0] == digests[1] != digests[2]


class Stopped(RuntimeError):
    pass


def interrupted(stripes, path, monkeypatch, at):
    """Train 2 x 2 steps and die after `at` steps."""
    real = module.Course.on_train_batch_end

    def die(self, *args):
        real(self, *args)
        if self.steps == at:
            raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(module.Course, "on_train_batch_end", die)
        with pytest.raises(Stopped):
            swath.train(stripes, path, steps=4)


def test_a_resumed_training_ends_with_the_weights_of_an_uninterrupted_one(stripes, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "STRETCH", 2)
    swath.train(stripes, tmp_path / "whole.swath", steps=4)
    interrupted(stripes, tmp_path / "resumed.swath", monkeypatch, at=3)
    result = swath.train(stripes, tmp_path / "resumed.swath", steps=4, resume=True)
    whole, resumed = (Model(tmp_path / f"{name}.swath").card for name in ("whole", "resumed"))
    assert result.steps == 4
    assert whole.files == resumed.files
    np.testing.assert_allclose([p[2] for p in whole.training.curve], [p[2] for p in resumed.training.curve])


def test_resuming_with_other_settings_is_refused(stripes, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "STRETCH", 2)
    interrupted(stripes, tmp_path / "m.swath", monkeypatch, at=3)
    with pytest.raises(JobError, match="other data, network, recipe or seed"):
        swath.train(stripes, tmp_path / "m.swath", steps=4, resume=True, seed=9)


def test_nothing_to_resume_is_said(stripes, tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "swath"):
        swath.train(stripes, tmp_path / "m.swath", steps=1, resume=True)
    assert "nothing to resume" in caplog.text


def test_it_learns(stripes, tmp_path):
    """Stripes of three greys are learnt in a few steps, so a broken loss, label or schedule shows."""
    swath.train(stripes, tmp_path / "m.swath", steps=25)
    assert swath.evaluate(tmp_path / "m.swath", stripes).miou > 0.7
