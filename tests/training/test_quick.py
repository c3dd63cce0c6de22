"""The quick recipe: features of pixels, groups and folds of labels, and the model that it packs."""

import numpy as np
import pytest
import rasterio
import torch

import swath
from swath.data.dataset import Dataset
from swath.errors import UsageError
from swath.legend import IGNORE
from swath.models.hypercolumn import Hypercolumn, gather_features
from swath.models.model import Model
from swath.models.network import Network, NetworkSpec
from swath.training.quick.folds import assign_folds, classes_in_one_group
from swath.training.quick.heads import HeadSchedule, LabeledPixels, balanced_weights, fit_heads
from swath.training.quick.pixels import GAP, GROUP_SIDE, POINT_BLOCK, PixelTable, group_labels
from swath.training.quick.recipe import coarse_features, estimated_prior, fit_quick
from tests.errors import fails
from tests.make import NORTH_UP, UTM, noise, write_raster

ENCODER, ENCODED = "tf_efficientnet_lite0", {"features": "encoder"}
SCALING = (0.0,) * 3, (1.0,) * 3


@pytest.mark.parametrize("features", ["bands", "local", "encoder", "encoder-local"])
def test_gathered_features_are_those_that_the_head_sees(features):
    torch.manual_seed(0)
    body = Hypercolumn("tf_efficientnet_lite0", 4, 3, features, (2, 1, 0)).eval()
    x = torch.randn(1, 4, 32, 48)
    rows, cols = (
        part.flatten() for part in torch.meshgrid(torch.arange(32), torch.arange(48), indexing="ij")
    )
    with torch.no_grad():
        dense = body(x)[0].flatten(1).T
        found = gather_features(body.maps(x), rows, cols)
        first = torch.cat([body.layer(s).weight[:, :, 0, 0] for s in body.channels], 1)
        hidden = torch.relu(found @ first.T + body.layer(1).bias)
        sparse = hidden @ body.last.weight[:, :, 0, 0].T + body.last.bias
    assert torch.allclose(dense, sparse, atol=1e-4)


def test_labels_near_to_each_other_are_one_group():
    known = np.zeros((3 * GROUP_SIDE, 4 * GROUP_SIDE), bool)
    known[10:20, 10:20] = known[10:20, 20 + GAP // 2 : 40] = True
    known[10:20, 60:70] = True
    known[100:300, 100:400] = True
    groups = group_labels(known)
    assert (groups[~known] == -1).all() and (groups[known] >= 0).all()
    assert groups[10, 10] == groups[15, 35] != groups[15, 65]
    large = np.unique(groups[100:300, 100:400])
    assert len(large) >= 4 and not set(large) & {groups[10, 10], groups[15, 65]}


def test_points_in_one_square_are_one_group():
    known = np.zeros((2 * POINT_BLOCK, 2 * POINT_BLOCK), bool)
    for row, col in ((5, 5), (5, 40), (50, 20), (POINT_BLOCK + 9, 30)):
        known[row : row + 2, col : col + 2] = True
    known[30:40, 30:40] = True  # no point
    groups = group_labels(known)
    assert groups[5, 5] == groups[6, 41] == groups[51, 20]
    assert len({groups[5, 5], groups[POINT_BLOCK + 9, 30], groups[35, 35]}) == 3


def test_every_fold_has_every_class_and_no_group_is_divided():
    rng = np.random.default_rng(0)
    groups = torch.from_numpy(np.repeat(np.arange(24), 10))
    labels = torch.from_numpy(np.repeat(rng.permutation(np.arange(24) % 3), 10))
    folds = assign_folds(labels, groups)
    for k in range(5):
        assert set(labels[folds == k].tolist()) == {0, 1, 2}
    assert all(len(torch.unique(folds[groups == g])) == 1 for g in range(24))


def test_a_class_in_one_place_only_gives_no_folds():
    labels, groups = torch.tensor([0, 0, 0, 1, 1]), torch.tensor([0, 1, 2, 3, 3])
    assert assign_folds(labels, groups) is None


def test_classes_are_drawn_alike_and_groups_by_the_root_of_their_pixels():
    labels = torch.tensor([0] * 100 + [0] * 25 + [1] * 5)
    groups = torch.tensor([0] * 100 + [1] * 25 + [2] * 5)
    weights = balanced_weights(labels, groups)
    assert float(weights[:125].sum()) == pytest.approx(float(weights[125:].sum()))
    assert float(weights[:100].sum()) == pytest.approx(2 * float(weights[100:125].sum()))


def test_the_shares_of_classes_move_the_scores():
    rng = np.random.default_rng(0)
    true = rng.random(20000) < 0.9
    scores = torch.zeros(20000, 3)
    scores[:, 0] = torch.from_numpy(np.where(true, 2.0, -2.0) + rng.normal(0, 2, 20000)).float()
    prior = estimated_prior(scores, torch.tensor([False, False, True]), [])
    assert prior[0] > prior[1] > prior[2] and prior[2] <= -30


def scene(folder, bands, dtype):
    """Write a scene whose three classes are three colors in noise, with six polygons a class."""
    rng = np.random.default_rng(1)
    true = np.kron(rng.integers(0, 3, (8, 8)), np.ones((32, 32), int)).astype(np.uint8)
    scale = 255 if dtype == "uint8" else 4000
    colors = rng.uniform(0.2, 0.8, (3, bands))
    image = colors[true].transpose(2, 0, 1) + rng.normal(0, 0.08, (bands, *true.shape))
    write_raster(folder / "scene.tif", (image.clip(0, 1) * scale).astype(dtype), UTM, NORTH_UP)
    labels = np.full(true.shape, 255, np.uint8)
    for c in range(3):
        cells = np.argwhere(true[::32, ::32] == c)[:6] * 32
        for row, col in cells:
            labels[row + 8 : row + 20, col + 8 : col + 20] = c + 1
    write_raster(folder / "labels.tif", labels, UTM, NORTH_UP, nodata=255)
    given = {"images": [folder / "scene.tif"], "labels": [folder / "labels.tif"]}
    swath.prepare(folder, folder / "dataset", **given, test="none", val="none")
    return true + 1


@pytest.mark.parametrize(("bands", "dtype"), [(3, "uint8"), (5, "int16"), (40, "int16")])
def test_a_few_labels_map_the_scene(tmp_path, bands, dtype):
    true = scene(tmp_path, bands, dtype)
    result = swath.train(tmp_path / "dataset", tmp_path / "m.swath", recipe="quick")
    assert result.folds.folds == 5 and result.folds.miou > 0.9
    assert (result.features == "encoder") == (bands == 3)
    card = Model(tmp_path / "m.swath").card
    assert card.folds == result.folds and card.calibration.temperature >= 1
    assert card.decoder == "hypercolumn" and card.context == "local" and card.seam == 0
    swath.predict(tmp_path / "m.swath", tmp_path / "scene.tif", tmp_path / "map.tif")
    with rasterio.open(tmp_path / "map.tif") as source:
        assert (source.read(1) == true).mean() > 0.9


def test_the_same_seed_gives_the_same_weights(tmp_path):
    scene(tmp_path, 3, "uint8")
    for name in ("a", "b"):
        swath.train(tmp_path / "dataset", tmp_path / f"{name}.swath", recipe="quick")
    a, b = (Model(tmp_path / f"{name}.swath").card.files for name in ("a", "b"))
    assert a["weights.safetensors"] == b["weights.safetensors"]


def test_cores_of_tiles_are_those_of_the_whole_image(tmp_path):
    """The halo holds all that a score depends on."""
    scene(tmp_path, 3, "uint8")
    swath.train(tmp_path / "dataset", tmp_path / "m.swath", recipe="quick")
    model = Model(tmp_path / "m.swath")
    network, halo = model.in_torch(), model.card.halo
    image = torch.from_numpy(noise(3, 512, 512, seed=2).astype(np.float32))[None]
    with torch.no_grad():
        whole = network(image)[0, :, 256, 256]
        part = network(image[..., 256 - halo : 264 + halo, 256 - halo : 264 + halo])
    assert torch.allclose(whole, part[0, :, halo, halo], atol=1e-4)


@pytest.mark.parametrize(
    "given", [{"minutes": 3.0}, {"decoder": "fpn"}, {"heights": True}, {"loss": "ce"}]
)
def test_options_that_quick_does_not_use_are_refused(given):
    with fails("option-conflict", UsageError):
        swath.train("dataset", "m.swath", recipe="quick", **given)


def test_half_of_the_pixels_go_without_optional_features():
    """A head leans on the others, too, where both tell the classes."""
    labels = torch.arange(200) % 2
    features = torch.stack([labels + 0.0, labels + 0.0], 1) * 4 - 2
    pixels = LabeledPixels(features, labels, torch.arange(200) // 20)
    alone = torch.tensor([[-2.0, 0.0], [2.0, 0.0]])
    margins = [
        fit_heads(
            pixels, pixels.weights[None], 2, HeadSchedule(60, 128, optional), 0, lambda _: None
        )
        .scores(alone)
        .diff(dim=1)
        .abs()
        .mean()
        for optional in (None, torch.tensor([False, True]))
    ]
    assert margins[1] > 1.1 * margins[0]


def test_only_the_coarsest_maps_are_optional():
    network = Network(NetworkSpec(ENCODER, "hypercolumn", 3, *SCALING, (64,) * 4, 0, **ENCODED))
    found = coarse_features(network, "encoder")
    assert found.sum() == network.body.channels[8] and not found[: -int(found.sum())].any()
    assert coarse_features(network, "bands") is None


@pytest.mark.parametrize(("counts", "shifted"), [((1, 1), ()), ((2, 2), (0, 1)), ((2, 1), (0,))])
def test_shares_of_classes_are_not_estimated_from_one_label_each(counts, shifted):
    labels = torch.tensor([0] * 40 + [1] * 40)
    groups = torch.cat([k + 9 * torch.arange(n).repeat(40 // n) for k, n in enumerate(counts)])
    network = Network(NetworkSpec(ENCODER, "hypercolumn", 3, *SCALING, (64,) * 4, 0, **ENCODED))
    features = torch.randn(80, sum(network.body.channels.values()))
    features[:, 0] += 6.0 * labels
    others = features[:20].repeat(10, 1)
    table = PixelTable(features, labels, groups, others)
    head = fit_quick(table, network, ["encoder"], 3, 0)
    assert (head.folds is None) == (1 in counts)
    assert tuple(np.flatnonzero(head.prior[:2])) == shifted and head.prior[2] <= -30


def test_classes_of_one_group_are_those_that_leave_no_score():
    labels, groups = torch.tensor([0, 0, 1, 1, 3, 3]), torch.tensor([0, 5, 5, 5, 0, 7])
    assert classes_in_one_group(labels, groups) == [1]
    assert assign_folds(labels, groups) is None
    groups[2] = 7
    assert classes_in_one_group(labels, groups) == [] and assign_folds(labels, groups) is not None


def test_unlabeled_pixels_have_no_group(stripes):
    image = Dataset(stripes).images[0]
    labels = image.read_labels(image.grid.window)
    assert ((group_labels(labels != IGNORE) >= 0) == (labels != IGNORE)).all()


def test_images_of_any_size_train(tmp_path):
    """Sides are no multiples of the stride, and the first image has no label."""
    for number, (height, width) in enumerate([(50, 61), (45, 77), (30, 41)]):
        labels = np.full((height, width), 255, np.uint8)
        if number:
            labels[4:16, 4:16], labels[20:28, 20:30] = 1, 2
        folder = tmp_path / "source" / f"place{number}"
        write_raster(folder / "images/x.tif", noise(3, height, width, seed=number), UTM, NORTH_UP)
        write_raster(folder / "masks/x.tif", labels, UTM, NORTH_UP, nodata=255)
    swath.prepare(tmp_path / "source", tmp_path / "dataset", test="none", val="none")
    result = swath.train(tmp_path / "dataset", tmp_path / "m.swath", recipe="quick")
    assert result.folds.groups == 2 and result.folds.folds == 2  # the two labels are near
