"""U-Net: an encoder that halves the image four times and a decoder that climbs back up.

Ronneberger, Fischer and Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation",
MICCAI 2015, https://arxiv.org/abs/1505.04597.  Two changes that everybody makes today are made here
too: convolutions are padded, so that the output is as large as the input, and batch normalisation
follows each of them.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .errors import ModelError


class DoubleConv(nn.Sequential):
    """Two 3x3 convolutions, each followed by batch normalisation and a ReLU.  (N, Cin, H, W) -> (N, Cout, H, W)."""

    def __init__(self, in_channels: int, out_channels: int, mid_channels: int | None = None):
        mid_channels = mid_channels or out_channels
        super().__init__(
            nn.Conv2d(in_channels, mid_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(mid_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(mid_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )


class Down(nn.Sequential):
    """Halve the resolution, then look again.  (N, Cin, H, W) -> (N, Cout, H//2, W//2)."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(nn.MaxPool2d(2), DoubleConv(in_channels, out_channels))


class Up(nn.Module):
    """Double the resolution, put the encoder's features of that size beside, and merge the two.

    `skip_channels` come from the encoder.  With `bilinear` the enlargement has no weights and the
    first merging convolution narrows the channels instead of the enlargement.
    """

    def __init__(self, in_channels: int, skip_channels: int, out_channels: int, bilinear: bool = False):
        super().__init__()
        if bilinear:
            self.enlarge = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
            self.merge = DoubleConv(in_channels + skip_channels, out_channels, (in_channels + skip_channels) // 2)
        else:
            self.enlarge = nn.ConvTranspose2d(in_channels, in_channels // 2, 2, stride=2)
            self.merge = DoubleConv(in_channels // 2 + skip_channels, out_channels)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = self.enlarge(x)
        # Pooling rounds odd sizes down, so x may be one row or column short of the skip.
        rows, columns = skip.shape[-2] - x.shape[-2], skip.shape[-1] - x.shape[-1]
        x = F.pad(x, [columns // 2, columns - columns // 2, rows // 2, rows - rows // 2])
        return self.merge(torch.cat([skip, x], dim=1))


class UNet(nn.Module):
    """U-Net.  `model(x)` takes (N, in_channels, H, W) and gives logits (N, num_classes, H, W).

    `width` is the number of channels at full resolution (64 in the paper); it doubles at each of the
    four levels below.  `bilinear` enlarges by interpolation instead of transposed convolutions, and
    then the bottom is half as wide.  Height and width must be at least 16, because the image is halved
    four times; a smaller input raises ModelError.
    """

    MIN_SIZE = 16
    LAST = ("classify.",)  # the layers whose shape depends on the number of classes
    encoder_prefixes = ("enter.", "down")

    def __init__(self, num_classes: int, in_channels: int = 3, width: int = 64, bilinear: bool = False):
        super().__init__()
        if not isinstance(width, int) or width < 2:
            raise ModelError(f"width is {width!r}, but must be a whole number of at least 2.")
        w1, w2, w3, w4, w5 = (width * 2**level for level in range(5))
        half = 2 if bilinear else 1
        self.enter = DoubleConv(in_channels, w1)
        self.down1 = Down(w1, w2)
        self.down2 = Down(w2, w3)
        self.down3 = Down(w3, w4)
        self.down4 = Down(w4, w5 // half)
        self.up1 = Up(w5 // half, w4, w4 // half, bilinear)
        self.up2 = Up(w4 // half, w3, w3 // half, bilinear)
        self.up3 = Up(w3 // half, w2, w2 // half, bilinear)
        self.up4 = Up(w2 // half, w1, w1, bilinear)
        self.classify = nn.Conv2d(w1, num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        if min(x.shape[-2:]) < self.MIN_SIZE:
            raise ModelError(
                f"U-Net halves its input four times, so it needs at least {self.MIN_SIZE}x{self.MIN_SIZE} pixels; "
                f"got {x.shape[-2]}x{x.shape[-1]}. Enlarge or pad the image."
            )
        x1 = self.enter(x)  # (N, w, H, W)
        x2 = self.down1(x1)  # (N, 2w, H/2, W/2)
        x3 = self.down2(x2)  # (N, 4w, H/4, W/4)
        x4 = self.down3(x3)  # (N, 8w, H/8, W/8)
        x = self.down4(x4)  # (N, 16w, H/16, W/16), 8w if bilinear
        x = self.up1(x, x4)
        x = self.up2(x, x3)
        x = self.up3(x, x2)
        x = self.up4(x, x1)  # (N, w, H, W)
        return self.classify(x)
