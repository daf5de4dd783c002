"""U2-Net: a U-Net whose every stage is a small U-Net itself, so that each scale sees far and fine.

Qin, Zhang, Huang, Dehghan, Zaiane and Jagersand, "U2-Net: Going Deeper with Nested U-Structure for Salient
Object Detection", Pattern Recognition 2020, https://arxiv.org/abs/2005.09007.  The paper's network marks one
salient object; here every output has a channel a class, and outputs are logits where the authors end in
sigmoids.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .activation_checkpointing import recompute
from .errors import ModelError


class ConvNormReLU(nn.Sequential):
    """A 3x3 convolution, batch normalisation and a ReLU.  (N, Cin, H, W) -> (N, Cout, H, W)."""

    def __init__(self, in_channels: int, out_channels: int, dilation: int = 1):
        super().__init__(
            nn.Conv2d(in_channels, out_channels, 3, padding=dilation, dilation=dilation),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )


class Halve(nn.Sequential):
    """Max-pooling that rounds odd sizes up, so that even a single pixel stays one.  -> (N, C, ceil(H/2), ceil(W/2)).

    `ceil_mode` says the same, but does not export with dynamic sizes.  A row and a column of zeros change no
    maximum, as what is pooled here came out of a ReLU; at even sizes no window reaches them.
    """

    def __init__(self):
        super().__init__(nn.ZeroPad2d((0, 1, 0, 1)), nn.MaxPool2d(2))


def enlarge(x: Tensor, like: Tensor) -> Tensor:
    """Bilinear interpolation to the height and width of `like`."""
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)


class RSU(nn.Module):
    """Residual U-block of `height` levels: a U-Net added to its own input.  (N, Cin, H, W) -> (N, Cout, H, W).

    Every level but the last two halves the map; the last looks twice as wide instead.  A `dilated` block never
    halves: each level doubles the dilation.
    """

    def __init__(self, in_channels: int, mid_channels: int, out_channels: int, height: int, dilated: bool = False):
        super().__init__()
        self.halvings = 0 if dilated else height - 2
        dilations = [2**level for level in range(height)] if dilated else [1] * (height - 1) + [2]
        ins = [out_channels] + [mid_channels] * (height - 1)
        outs = [out_channels] + [mid_channels] * (height - 2)
        self.halve = Halve()
        self.enter = ConvNormReLU(in_channels, out_channels)
        self.down = nn.ModuleList(ConvNormReLU(c, mid_channels, d) for c, d in zip(ins, dilations, strict=True))
        self.up = nn.ModuleList(
            ConvNormReLU(2 * mid_channels, c, d) for c, d in zip(outs, dilations[:-1], strict=True)
        )  # up[level] merges what down[level] saw with what comes from below

    def forward(self, x: Tensor) -> Tensor:
        entered = x = self.enter(x)  # (N, Cout, H, W)
        skips = []
        for level, conv in enumerate(self.down):
            x = conv(x)  # (N, mid, H/2^level, W/2^level), the last as large as the one before
            skips.append(x)
            if level < self.halvings:
                x = self.halve(x)
        for level in reversed(range(len(self.up))):
            if level < self.halvings:
                x = enlarge(x, skips[level])
            x = self.up[level](torch.cat([x, skips[level]], dim=1))  # (N, mid, H/2^level, W/2^level)
        return x + entered  # up[0] gave (N, Cout, H, W)


class RSU4F(RSU):
    """The dilated block of four levels, for maps too small to be halved again: dilations 1, 2, 4, 8, 4, 2, 1."""

    def __init__(self, in_channels: int, mid_channels: int, out_channels: int):
        super().__init__(in_channels, mid_channels, out_channels, height=4, dilated=True)


def _stage(level: int, in_channels: int, mid_channels: int, out_channels: int) -> RSU:
    """The block for maps of 1/2^level of the input's size: RSU7, 6, 5, 4, then RSU4F; all end at 1/32 inside."""
    if level < 4:
        return RSU(in_channels, mid_channels, out_channels, height=7 - level)
    return RSU4F(in_channels, mid_channels, out_channels)


class U2Net(nn.Module):
    """U2-Net.  `model(x)` takes (N, in_channels, H, W) of any size and gives logits (N, num_classes, H, W).

    In training mode it gives seven such logits: the fused ones, then those of the six side outputs from the finest
    to the coarsest.  `checkpointing` stores less while training, for a second forward pass.  A training batch of
    one image of at most 32x32 pixels raises ModelError, for it leaves one value per channel to normalise.
    """

    # (mid, out) channels of each stage, from full resolution down; what goes in follows from what came out before.
    ENCODER: tuple[tuple[int, int], ...] = ((32, 64), (32, 128), (64, 256), (128, 512), (256, 512), (256, 512))
    DECODER: tuple[tuple[int, int], ...] = ((16, 64), (32, 64), (64, 128), (128, 256), (256, 512))
    LAST = ("sides.", "fuse.")  # the layers whose shape depends on the number of classes
    encoder_prefixes = ("encoder.",)
    OUTPUT_WEIGHTS = (1.0,) * 7  # of the outputs in the loss: the authors sum them

    def __init__(self, num_classes: int, in_channels: int = 3, checkpointing: bool = False):
        super().__init__()
        self.checkpointing = checkpointing
        self.halve = Halve()
        # Weights start as PyTorch's defaults, as the authors' do; normalisation takes the scale out of nearly all.
        outs = [out for _, out in self.ENCODER]
        into = [in_channels, *outs[:-1]]
        below = [out for _, out in self.DECODER[1:]] + outs[-1:]  # what each stage of the decoder has enlarged
        self.encoder = nn.ModuleList(_stage(i, into[i], *self.ENCODER[i]) for i in range(6))
        self.decoder = nn.ModuleList(_stage(i, below[i] + outs[i], *self.DECODER[i]) for i in range(5))
        seen = [out for _, out in self.DECODER] + outs[-1:]
        self.sides = nn.ModuleList(nn.Conv2d(channels, num_classes, 3, padding=1) for channels in seen)
        self.fuse = nn.Conv2d(len(seen) * num_classes, num_classes, 1)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        if self.training and x.shape[0] == 1 and max(x.shape[-2:]) <= 32:
            raise ModelError(
                f"{type(self).__name__} halves its input five times, and one image of {x.shape[-2]}x{x.shape[-1]} "
                "pixels leaves batch normalisation a single value; train on more than 32 pixels or on larger batches."
            )
        image, skips = x, []
        for level, stage in enumerate(self.encoder):
            x = self._run(stage, self.halve(x) if level else x)  # (N, out, H/2^level, W/2^level)
            skips.append(x)
        maps = [x]
        for level in reversed(range(len(self.decoder))):
            x = torch.cat([enlarge(x, skips[level]), skips[level]], dim=1)
            x = self._run(self.decoder[level], x)  # (N, out, H/2^level, W/2^level)
            maps.insert(0, x)
        # Logits of every scale at full size, from fine to coarse: 6 x (N, num_classes, H, W)
        sides = [enlarge(side(features), image) for side, features in zip(self.sides, maps, strict=True)]
        fused = self.fuse(torch.cat(sides, dim=1))  # (N, num_classes, H, W)
        return (fused, *sides) if self.training else fused

    def _run(self, stage: RSU, x: Tensor) -> Tensor:
        return recompute(stage, x) if self.checkpointing and self.training else stage(x)


class U2NetP(U2Net):
    """The small U2-Net of the same paper: 16 channels within every stage and 64 out of it."""

    ENCODER = ((16, 64),) * 6
    DECODER = ((16, 64),) * 5
