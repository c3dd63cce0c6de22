import numpy as np
import torch
from torch.nn import functional as F

from swath.inference.runtimes import ENGINES, TorchRuntime
from swath.models.classic_unet import ClassicNetwork
from swath.models.network import CLASSIC, Network, NetworkSpec, to_onnx


def test_it_has_the_sources_layers():
    network = ClassicNetwork(3, 6)
    convolutions = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    kernels = [c.kernel_size[0] for c in convolutions]
    assert (kernels.count(3), kernels.count(2), kernels.count(1)) == (2 * 9 + 1, 4, 1)
    assert sorted({c.out_channels for c in convolutions}) == [6, 16, 64, 128, 256, 512, 1024]
    assert 0.045 < float(convolutions[4].weight.detach().std()) < 0.055


def test_what_it_sees_is_the_image_rescaled_to_128_pixels():
    torch.manual_seed(0)
    network = ClassicNetwork(3, 4).eval()
    image = torch.rand(1, 3, 256, 384) * 255
    small = F.interpolate(image, (128, 128), mode="bilinear", align_corners=False)
    with torch.inference_mode():
        expected = F.interpolate(network(small), (256, 384), mode="nearest")
        assert torch.equal(network(image), expected)


def test_dropout_is_for_training_only():
    torch.manual_seed(0)
    network, image = ClassicNetwork(3, 4), torch.rand(2, 3, 128, 128)
    assert not torch.equal(network.train()(image), network(image))
    assert torch.equal(network.eval()(image), network(image))


def test_every_engine_agrees_at_any_size():
    torch.manual_seed(0)
    network = Network(
        NetworkSpec(CLASSIC, CLASSIC, 4, (0.0,) * 3, (1.0,) * 3, (8, 8, 8, 8), 0)
    ).eval()
    onnx = to_onnx(network, 3)
    raw = (np.random.default_rng(0).random((1, 3, 133, 250)) * 255).astype(np.float32)
    expected = TorchRuntime(network)(raw)
    assert expected.shape == (1, 4, 133, 250)
    for engine in ENGINES.values():
        np.testing.assert_allclose(engine(onnx)(raw), expected, atol=1e-3 * np.abs(expected).max())
