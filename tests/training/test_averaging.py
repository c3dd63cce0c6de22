"""The average of the weights: what it is, and that it is what is validated and packed; how it resumes is in test_train."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load

import swath
from swath.models.model import Model
from swath.training.averaging import Averaging
from swath.training.validation import Validation


def weights(path: Path) -> dict[str, np.ndarray]:
    return load(Model(path).weights)


def test_the_decay_warms_up_and_whole_numbers_are_copied() -> None:
    averaging = Averaging(0.25)
    average, count = torch.zeros(1), torch.zeros(1, dtype=torch.long)
    expected = 0.0
    for n, weight in enumerate([4.0, 8.0, 16.0], 1):
        averaging._move(
            [average, count], [torch.tensor([weight]), torch.tensor([n])], torch.tensor(n)
        )
        decay = min(0.25, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * weight
    assert average.item() == pytest.approx(expected)
    assert count.item() == 3


def test_what_is_validated_is_what_is_packed(
    stripes: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look at the end sees the average; the steps themselves are those of a training without one."""
    looked = []
    real = Validation.look

    def look(self: Validation) -> float | None:
        network = self._engine.runtime._module
        looked.append(
            {name: tensor.numpy().copy() for name, tensor in network.state_dict().items()}
        )
        return real(self)

    monkeypatch.setattr(Validation, "look", look)
    swath.train(stripes, tmp_path / "average.swath", steps=3, average=0.9)
    average, last = weights(tmp_path / "average.swath"), weights(tiny_model)
    assert all(np.array_equal(looked[-1][name], average[name]) for name in average)
    moved = [name for name in average if not np.array_equal(average[name], last[name])]
    assert any("running_var" in name for name in moved) and any(
        name.endswith("conv_stem.weight") for name in moved
    )
    cards = [Model(path).card.training for path in (tmp_path / "average.swath", tiny_model)]
    assert [card.settings["average"] for card in cards] == [0.9, 0.0]
    assert [row[2] for row in cards[0].curve] == [row[2] for row in cards[1].curve]
