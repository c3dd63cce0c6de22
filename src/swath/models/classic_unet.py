"""The network of the classic recipe: a plain U-Net of 31 million weights.

Source: Ronneberger et al. 2015, as in an entry to the 2019 IEEE Data Fusion Contest: 64 to 1024
channels, two 3x3 convolutions a level, batch norm, dropout at the two deepest levels, nearest
upsampling followed by a 2x2 convolution, and a third convolution of 16 channels before the output.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

INPUT_SIDE = 128
LEVEL_WIDTHS = (64, 128, 256, 512, 1024)
DROPOUT = 0.5
LAST_WIDTH = 16
INITIAL_STD = 0.05
"""Standard deviation of the initial weights: the default of the source's library."""


class ClassicNetwork(nn.Module):
    """Scores (batch, channels, rows, columns) of raw pixels (batch, bands, rows, columns).

    An input of any size is resized to 128 by 128 pixels (bilinear), and the scores back (nearest).
    """

    def __init__(self, bands: int, channels: int) -> None:
        super().__init__()
        widths = LEVEL_WIDTHS
        self.down = nn.ModuleList(
            _double_conv(a, b) for a, b in zip((bands, *widths), widths, strict=False)
        )
        self.up = nn.ModuleList(_up(2 * w, w) for w in reversed(widths[:-1]))
        self.join = nn.ModuleList(_double_conv(2 * w, w) for w in reversed(widths[:-1]))
        self.last = _conv(widths[0], LAST_WIDTH)
        self.head = nn.Conv2d(LAST_WIDTH, channels, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=INITIAL_STD)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    def forward(self, raw: Tensor) -> Tensor:
        """Return scores of raw pixels."""
        size = raw.shape[-2:]
        x = F.interpolate(raw, (INPUT_SIDE, INPUT_SIDE), mode="bilinear", align_corners=False)
        skips: list[Tensor] = []
        for level, block in enumerate(self.down):
            x = block(F.max_pool2d(x, 2) if level else x)
            if level >= len(LEVEL_WIDTHS) - 2:
                x = F.dropout(x, DROPOUT, self.training)
            skips.append(x)
        for up, join, skip in zip(self.up, self.join, reversed(skips[:-1]), strict=True):
            x = join(torch.cat([skip, up(x)], 1))
        return F.interpolate(self.head(self.last(x)), size, mode="nearest")


def _conv(bands: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(bands, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
    )


def _double_conv(bands: int, width: int) -> nn.Sequential:
    return nn.Sequential(*_conv(bands, width), *_conv(width, width))


def _up(bands: int, width: int) -> nn.Sequential:
    """Double the size and convolve 2x2, padded at the right and bottom."""
    return nn.Sequential(
        nn.Upsample(scale_factor=2, mode="nearest"),
        nn.ZeroPad2d((0, 1, 0, 1)),
        nn.Conv2d(bands, width, 2),
        nn.ReLU(inplace=True),
    )
