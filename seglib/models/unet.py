"""U-Net: an encoder that downsamples the image four times, and a decoder that upsamples back to the original size.

Ronneberger, Fischer and Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation", MICCAI 2015,
https://arxiv.org/abs/1505.04597.  This implementation includes two later changes that have become standard:
convolutions are padded, so that the output has the same size as the input, and each 3x3 convolution is followed by
batch normalization.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .errors import ModelError


class DoubleConv(nn.Sequential):
    """Two 3x3 convolutions, each with batch normalization and ReLU: (N, C_in, H, W) -> (N, C_out, H, W).

    Args:
        in_channels: C_in.
        out_channels: C_out.
        mid_channels: channels between the two convolutions.  None means C_out.
    """

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
    """Max-pooling with stride 2, followed by a `DoubleConv`: (N, C_in, H, W) -> (N, C_out, H//2, W//2)."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(nn.MaxPool2d(2), DoubleConv(in_channels, out_channels))


class Up(nn.Module):
    """Upsample by 2, concatenate with the skip connection at the same resolution, and apply a `DoubleConv`.

    Args:
        in_channels: number of input channels.
        skip_channels: channels of the skip connection from the encoder.
        out_channels: number of output channels.
        bilinear: whether to upsample by bilinear interpolation instead of a transposed convolution.  A transposed
            convolution also reduces the number of channels; with interpolation, the `DoubleConv` does this.
    """

    def __init__(self, in_channels: int, skip_channels: int, out_channels: int, bilinear: bool = False):
        super().__init__()
        self.upsample: nn.Module
        if bilinear:
            self.upsample = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
            self.conv = DoubleConv(in_channels + skip_channels, out_channels, (in_channels + skip_channels) // 2)
        else:
            self.upsample = nn.ConvTranspose2d(in_channels, in_channels // 2, 2, stride=2)
            self.conv = DoubleConv(in_channels // 2 + skip_channels, out_channels)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Map x (N, in_channels, H//2, W//2) and skip (N, skip_channels, H, W) to (N, out_channels, H, W)."""
        x = self.upsample(x)
        # Pooling rounds odd sizes down, so x may be one row or column smaller than the skip connection.
        rows, columns = skip.shape[-2] - x.shape[-2], skip.shape[-1] - x.shape[-1]
        x = F.pad(x, [columns // 2, columns - columns // 2, rows // 2, rows - rows // 2])
        return self.conv(torch.cat([skip, x], dim=1))


class UNet(nn.Module):
    """U-Net: images (N, in_channels, H, W) -> logits (N, num_classes, H, W), with H and W at least 16.

    Args:
        num_classes: number of output channels.
        in_channels: number of image channels.
        width: channels at full resolution, 64 in the paper.  The number of channels doubles at each of the four lower
            levels.
        bilinear: whether to upsample by bilinear interpolation instead of transposed convolutions.  In this case, the
            lowest level has half as many channels.

    Raises:
        ModelError: if `width` is not an integer of at least 2.
    """

    min_size = 16  # smallest height and width of the input, since it is downsampled four times
    head_prefixes = ("classifier.",)  # the layers whose shape depends on the number of classes
    encoder_prefixes = ("stem.", "down")

    def __init__(self, num_classes: int, in_channels: int = 3, width: int = 64, bilinear: bool = False):
        super().__init__()
        if not isinstance(width, int) or width < 2:
            raise ModelError(f"width is {width!r}, but must be a whole number of at least 2.")
        w1, w2, w3, w4, w5 = (width * 2**level for level in range(5))
        factor = 2 if bilinear else 1
        self.stem = DoubleConv(in_channels, w1)
        self.down1 = Down(w1, w2)
        self.down2 = Down(w2, w3)
        self.down3 = Down(w3, w4)
        self.down4 = Down(w4, w5 // factor)
        self.up1 = Up(w5 // factor, w4, w4 // factor, bilinear)
        self.up2 = Up(w4 // factor, w3, w3 // factor, bilinear)
        self.up3 = Up(w3 // factor, w2, w2 // factor, bilinear)
        self.up4 = Up(w2 // factor, w1, w1, bilinear)
        self.classifier = nn.Conv2d(w1, num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits.

        Raises:
            ModelError: if the height or width of the images is less than 16 pixels.
        """
        if min(x.shape[-2:]) < self.min_size:
            raise ModelError(
                f"U-Net downsamples its input four times, so it needs at least {self.min_size}x{self.min_size} pixels; "
                f"got {x.shape[-2]}x{x.shape[-1]}. Resize or pad the image."
            )
        x1 = self.stem(x)  # (N, w, H, W)
        x2 = self.down1(x1)  # (N, 2w, H/2, W/2)
        x3 = self.down2(x2)  # (N, 4w, H/4, W/4)
        x4 = self.down3(x3)  # (N, 8w, H/8, W/8)
        x = self.down4(x4)  # (N, 16w, H/16, W/16), 8w if bilinear
        x = self.up1(x, x4)
        x = self.up2(x, x3)
        x = self.up3(x, x2)
        x = self.up4(x, x1)  # (N, w, H, W)
        return self.classifier(x)
