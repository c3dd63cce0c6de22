import importlib.util
import itertools
import json
import logging
import os
import subprocess
import sys

import numpy as np
import pytest

import swath
from swath.errors import DataError, JobError, UsageError
from swath.models.model import Model
from swath.options import ENCODER
from swath.training import full as module
from swath.training.batches.prefetch import Prefetcher
from swath.training.callbacks import Budget, TrainingClock
from swath.training.recipes import Recipe, recipe_of
from tests.errors import fails
from tests.make import SMALL_NETWORK, train_small

DEFAULT_NETWORK = {"encoder": ENCODER, "weights": "auto"}


def test_a_budget_is_spent_by_time_or_steps():
    assert Budget(60, None).spent(30, 1000) == 0.5
    assert Budget(None, 10).spent(1e9, 5) == 0.5


def test_the_result_says_what_happened(stripes, tmp_path):
    result = train_small(stripes, tmp_path / "m.swath", steps=2, seed=1, **DEFAULT_NETWORK)
    assert result.first_weights == Model(result.model).card.training.first_weights
    assert "efficientnet_lite0" in result.first_weights
    assert result.steps == 2 and result.model == str(tmp_path / "m.swath")
    assert (
        result.pixels_per_second > 0 and 0 <= result.validation_miou <= 1 and 0 <= result.waited < 1
    )
    assert not (tmp_path / "m.swath.training").exists()


def test_minutes_are_kept(stripes, tmp_path):
    result = train_small(stripes, tmp_path / "m.swath", minutes=0.05)
    assert 1.5 < result.seconds < 40 and result.steps >= 1


def test_epochs_count_labeled_pixels(stripes):
    dataset = module.Dataset(stripes)
    options = module.TrainOptions(stripes, "m.swath", epochs=100)
    recipe = recipe_of(options)
    labeled = sum(sum(s.counts) for s in dataset.manifest.of("train"))
    batches = module._batches(dataset, recipe, 0)
    assert batches.epoch == -(-labeled // (recipe.batch * recipe.patch**2))
    assert module._budget(options, batches).steps == 100 * batches.epoch


def test_the_classic_recipe_takes_ten_epochs_unless_told_otherwise(stripes):
    dataset = module.Dataset(stripes)
    for given, steps in (({}, 10 * 2), ({"epochs": 3}, 3 * 2), ({"minutes": 1.0}, None)):
        options = module.TrainOptions(stripes, "m.swath", recipe="classic", **given)
        batches = module._batches(dataset, recipe_of(options), 0)
        assert batches.epoch == 2  # two images of 1 + 16 views, 32 a batch
        assert module._budget(options, batches).steps == steps


def test_options_change_the_recipe_and_the_card_says_so(stripes, tmp_path):
    given = {"balance": 0.0, "loss": "focal+dice", "class_weights": "inverse-sqrt"}
    result = train_small(stripes, tmp_path / "m.swath", steps=1, accumulate=2, **given)
    assert result.steps == 1
    settings = Model(tmp_path / "m.swath").card.training.settings
    assert {key: settings[key] for key in given} == given and settings["rate"] == Recipe().rate
    assert [c.name for c in result.sampling] == ["1", "2", "3"]
    assert (
        sum(c.share for c in result.sampling)
        == pytest.approx(1)
        == sum(c.drawn for c in result.sampling)
    )


def test_the_classic_recipe_has_crops_and_a_network_of_its_own(stripes, tmp_path):
    with fails("option-conflict", UsageError):
        swath.train(stripes, tmp_path / "m.swath", steps=1, classic_crops="corner:9")
    with fails("option-value", UsageError):
        swath.train(
            stripes, tmp_path / "m.swath", steps=1, recipe="classic", classic_crops="middle:9"
        )
    for option in ({"encoder": "resnet18"}, {"decoder": "fpn"}, {"weights": "none"}):
        with fails("option-conflict", UsageError) as caught:
            swath.train(stripes, tmp_path / "m.swath", steps=1, recipe="classic", **option)
        assert f"--{next(iter(option))}" in caught.value.fix


def test_heights_need_heights(stripes, tmp_path):
    with fails("no-heights", DataError, file=stripes):
        swath.train(stripes, tmp_path / "m.swath", steps=1, heights=True)


def test_two_budgets_are_refused(stripes, tmp_path):
    with fails("option-conflict", UsageError):
        swath.train(stripes, tmp_path / "m.swath", minutes=1, steps=1)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_model_and_another_seed_another(stripes, tmp_path, tiny_model):
    train_small(stripes, tmp_path / "same.swath", steps=3)
    train_small(stripes, tmp_path / "other.swath", steps=3, seed=5)
    digests = [
        Model(p).card.files["weights.safetensors"]
        for p in (tiny_model, tmp_path / "same.swath", tmp_path / "other.swath")
    ]
    assert digests[0] == digests[1] != digests[2]


def test_waiting_for_data_is_a_share_of_steps_and_waiting(stripes):
    dataset = module.Dataset(stripes)
    with Prefetcher(
        module._batches(dataset, recipe_of(module.TrainOptions(stripes, "m.swath")), 0)
    ) as ahead:
        course = TrainingClock(ahead, Budget(None, 1), lambda: None)
        assert course.waited == 0
        ahead.waited, course.step_seconds = 1.0, 3.0
        assert course.waited == 0.25
        resumed = TrainingClock(Prefetcher(ahead.batches), Budget(None, 1), lambda: None)
        resumed.load_state_dict(course.state_dict())
        assert resumed.waited == 0.25


class Stopped(RuntimeError):
    pass


def interrupted(stripes, path, monkeypatch, at, **options):
    """Train 2 x 2 steps and die after `at` steps."""
    real = TrainingClock.on_train_batch_end

    def die(self, *args):
        real(self, *args)
        if self.steps == at:
            raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(TrainingClock, "on_train_batch_end", die)
        with pytest.raises(Stopped):
            train_small(stripes, path, steps=4, **options)


def test_a_resumed_training_ends_with_the_weights_of_an_uninterrupted_one(
    stripes, tmp_path, monkeypatch
):
    monkeypatch.setattr(module, "EPOCH_STEPS", 2)
    train_small(stripes, tmp_path / "whole.swath", steps=4)
    interrupted(stripes, tmp_path / "resumed.swath", monkeypatch, at=3)
    result = train_small(stripes, tmp_path / "resumed.swath", steps=4, resume=True)
    whole, resumed = (Model(tmp_path / f"{name}.swath").card for name in ("whole", "resumed"))
    assert result.steps == 4
    assert whole.files == resumed.files
    np.testing.assert_allclose(
        [p[2] for p in whole.training.curve], [p[2] for p in resumed.training.curve]
    )


def test_resuming_with_other_settings_is_refused(stripes, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "EPOCH_STEPS", 2)
    interrupted(stripes, tmp_path / "m.swath", monkeypatch, at=3)
    with fails("other-work", JobError, file=tmp_path / "m.swath.training"):
        train_small(stripes, tmp_path / "m.swath", steps=4, resume=True, seed=9)


def test_checkpoints_are_seconds_apart_and_the_last_is_made(stripes, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "EPOCH_STEPS", 1)
    saved = []
    monkeypatch.setattr(
        module.WholeCheckpoints,
        "save_checkpoint",
        lambda self, checkpoint, path, storage_options=None: saved.append(
            checkpoint["global_step"]
        ),
    )
    train_small(stripes, tmp_path / "m.swath", steps=4)
    assert saved == [1, 4]
    monkeypatch.setattr("swath.training.callbacks.CHECKPOINT_SECONDS", 0)
    saved.clear()
    train_small(stripes, tmp_path / "n.swath", steps=3)
    assert saved == [1, 2, 3]


def test_nothing_to_resume_is_said(stripes, tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "swath"):
        train_small(stripes, tmp_path / "m.swath", steps=1, resume=True)
    assert "nothing to resume" in caplog.text


@pytest.mark.slow
def test_bfloat16_steps_give_a_model_like_any_other(stripes, tmp_path, monkeypatch):
    """torch computes bfloat16 in software where the processor lacks it, slowly."""
    train_small(stripes, tmp_path / "full.swath", steps=3)
    monkeypatch.setattr(module, "has_bf16", lambda: True)
    train_small(stripes, tmp_path / "half.swath", steps=3)
    full, half = (Model(tmp_path / f"{name}.swath").card.training for name in ("full", "half"))
    assert (full.precision, half.precision) == ("32-true", "bf16-mixed")
    assert 0 < abs(half.curve[-1][2] - full.curve[-1][2]) < 0.05 * full.curve[-1][2]


@pytest.mark.parametrize(
    "network",
    [SMALL_NETWORK, pytest.param(DEFAULT_NETWORK, marks=pytest.mark.slow)],
    ids=["small", "default"],
)
def test_it_learns(stripes, tmp_path, network):
    """Stripes of three grays are learned in a few steps, so a broken loss or schedule shows."""
    train_small(stripes, tmp_path / "m.swath", steps=25, **network)
    assert swath.evaluate(tmp_path / "m.swath", stripes).miou > 0.7


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one_that_accumulates_two(stripes, tmp_path):
    """The same batches, averaged; batch norm sees one batch at a time in both."""
    for name, flags in (("two", ["--devices", "2"]), ("one", ["--accumulate", "2"])):
        words = [
            sys.executable,
            "-m",
            "swath",
            "train",
            str(stripes),
            str(tmp_path / f"{name}.swath"),
            "--steps",
            "3",
        ]
        words += flags
        environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        done = subprocess.run(
            [*words, "--json"],
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
            env=environment,
        )
        assert done.returncode == 0, done.stderr
        assert len(done.stdout.splitlines()) == 1 and json.loads(done.stdout)["steps"] == 3
    two, one = (Model(tmp_path / f"{name}.swath").card.training for name in ("two", "one"))
    assert [p[2] for p in two.curve] == pytest.approx([p[2] for p in one.curve], abs=1e-5)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one.swath", "two.swath"]


def test_the_row_of_batches_is_shared(stripes):
    dataset = module.Dataset(stripes)
    batches = module._batches(dataset, recipe_of(module.TrainOptions(stripes, "m.swath")), 0)
    batches.start, batches.every = 1, 2
    shared = list(itertools.islice(batches, 2))
    assert all(
        (a.pixels == batches.batch(n).pixels).all() for a, n in zip(shared, (1, 3), strict=True)
    )


def test_tensorboard_is_an_option(stripes, tmp_path):
    given = {"steps": 1, "tensorboard": tmp_path / "curves"}
    if importlib.util.find_spec("tensorboard") or importlib.util.find_spec("tensorboardX"):
        train_small(stripes, tmp_path / "m.swath", **given)
        assert list((tmp_path / "curves").rglob("events.out.*"))
    else:
        with fails("missing-package", JobError) as caught:
            train_small(stripes, tmp_path / "m.swath", **given)
        assert "`pip install tensorboard`" in caught.value.fix
