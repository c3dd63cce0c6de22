import numpy as np
import pytest
import torch
from torch.nn import functional as F

from swath.legend import IGNORE
from swath.training.losses import RecipeLoss, class_weights, height_loss
from swath.training.recipes import Recipe


def example(classes=3):
    torch.manual_seed(0)
    scores, labels = torch.randn(2, classes, 4, 5), torch.randint(0, classes - 1, (2, 4, 5))
    labels[0, 0] = IGNORE
    return scores, labels


def loss(scores, labels, counts=(1, 1, 1), heights=None, **settings):
    return RecipeLoss(Recipe(**settings), counts)(scores, labels, heights)


def soft_dice(shares, reference, classes):
    of = [
        1
        - (2 * shares[reference == c, c].sum() + 1)
        / (shares[:, c].sum() + (reference == c).sum() + 1)
        for c in classes
    ]
    return sum(of) / len(of)


def test_the_default_is_cross_entropy_plus_dice_over_labeled_pixels():
    scores, labels = example()
    known = labels != IGNORE
    flat, reference = scores.movedim(1, -1)[known], labels[known]
    expected = F.cross_entropy(flat, reference) + 0.5 * soft_dice(
        flat.softmax(-1), reference, (0, 1)
    )
    torch.testing.assert_close(loss(scores, labels), expected)


def test_masks_apart_are_binary_cross_entropies_plus_dice():
    scores, labels = example()
    known = labels != IGNORE
    flat, reference = scores.movedim(1, -1)[known], labels[known]
    masks = F.one_hot(reference, 3).float()
    expected = F.binary_cross_entropy_with_logits(flat, masks) * 3 + 0.5 * soft_dice(
        flat.sigmoid(), reference, (0, 1)
    )
    torch.testing.assert_close(loss(scores, labels, heads="per-class"), expected)


@pytest.mark.parametrize("heads", ["softmax", "per-class"])
@pytest.mark.parametrize("name", ["ce", "focal", "ce+dice", "focal+dice"])
def test_every_loss_is_small_for_the_truth_and_falls_along_its_gradient(name, heads):
    _, labels = example()
    reference = F.one_hot(labels.where(labels != IGNORE, 0), 3).movedim(-1, 1).float() * 40 - 20
    wrong = (-reference).requires_grad_()
    at = loss(wrong, labels, loss=name, heads=heads)
    at.backward()
    assert loss(reference, labels, loss=name, heads=heads) < 0.2 < at
    assert loss(wrong.detach() - wrong.grad, labels, loss=name, heads=heads) < at
    assert (wrong.grad[0, :, 0] == 0).all()


@pytest.mark.parametrize("heads", ["softmax", "per-class"])
def test_focal_loss_forgives_pixels_that_are_nearly_right(heads):
    scores, labels = torch.tensor([[[[3.0]], [[-3.0]]]]), torch.zeros(1, 1, 1, dtype=torch.long)
    plain, focal = (
        loss(scores, labels, (1, 1), loss=name, heads=heads) for name in ("ce", "focal")
    )
    assert 0 < focal < 0.01 * plain


def test_the_loss_of_nothing_is_nothing():
    scores = torch.randn(1, 3, 4, 4, requires_grad=True)
    nothing = loss(scores, torch.full((1, 4, 4), IGNORE))
    nothing.backward()
    assert nothing == 0 and (scores.grad == 0).all()


def test_class_weights_follow_their_definitions():
    assert class_weights([5, 1, 0], "none") == [1, 1, 1]
    counts = np.array([900, 90, 10])
    root = np.sqrt(1 / (counts / 1000))
    assert class_weights(counts, "inverse-sqrt") == pytest.approx(root / root.mean())
    b = 999 / 1000
    effective = (1 - b) / (1 - b**counts)
    assert class_weights(counts, "effective") == pytest.approx(effective / effective.mean())


def test_a_class_without_pixels_has_weight_one_and_harms_no_other():
    assert class_weights([4, 0, 4], "effective") == pytest.approx([1, 1, 1])


def test_weights_make_a_class_count():
    scores, labels = example()
    rare = loss(scores, labels, (1000, 1, 1), loss="ce", class_weights="inverse-sqrt")
    known = labels != IGNORE
    expected = F.cross_entropy(
        scores.movedim(1, -1)[known],
        labels[known],
        weight=torch.tensor(class_weights((1000, 1, 1), "inverse-sqrt")),
    )
    torch.testing.assert_close(rare, expected.float())


def test_heights_count_where_they_are_known():
    predicted, reference = torch.tensor([[12.0, 0.0]]), torch.tensor([[10.0, float("nan")]])
    assert height_loss(predicted, reference) == pytest.approx(0.5 * 0.2**2)
    assert height_loss(predicted, torch.full((1, 2), float("nan"))) == 0


def test_heights_are_the_last_channel_and_weigh_what_the_recipe_says():
    scores, labels = example()
    heights = torch.full((2, 4, 5), 20.0)
    with_heights = torch.cat([scores, torch.zeros(2, 1, 4, 5)], 1)
    extra = loss(with_heights, labels, heights=heights, height_weight=0.5) - loss(scores, labels)
    assert float(extra) == pytest.approx(0.5 * 1.5)
