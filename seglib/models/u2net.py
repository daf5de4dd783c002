"""U2-Net: a U-Net in which every stage is itself a small U-Net.

Qin, Zhang, Huang, Dehghan, Zaiane and Jagersand, "U2-Net: Going Deeper with Nested U-Structure for Salient Object
Detection", Pattern Recognition 2020, https://arxiv.org/abs/2005.09007.  The network in the paper predicts salient
objects in one channel and ends in sigmoids.  Here, every output consists of logits with one channel per class.
"""

import torch
from torch import Tensor, nn

from .activation_checkpointing import checkpoint_activations
from .errors import check_training_size
from .hrnet import upsample


class ConvNormReLU(nn.Sequential):
    """3x3 convolution with bias, batch normalization and ReLU: (N, C_in, H, W) -> (N, C_out, H, W)."""

    def __init__(self, in_channels: int, out_channels: int, dilation: int = 1):
        super().__init__(
            nn.Conv2d(in_channels, out_channels, 3, padding=dilation, dilation=dilation),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )


class CeilMaxPool2d(nn.Sequential):
    """2x2 max-pooling that rounds odd sizes up: (N, C, H, W) -> (N, C, ceil(H/2), ceil(W/2)).

    `nn.MaxPool2d(2, ceil_mode=True)` gives the same result, but cannot be exported with dynamic height and width.
    The input must not be negative, because the zero padding could change a maximum.  In U2-Net it comes from a ReLU.
    """

    def __init__(self):
        super().__init__(nn.ZeroPad2d((0, 1, 0, 1)), nn.MaxPool2d(2))


class RSU(nn.Module):
    """Residual U-block: a small U-Net with a residual connection, (N, C_in, H, W) -> (N, C_out, H, W).

    Args:
        in_channels: C_in.
        mid_channels: channels inside the block.
        out_channels: C_out.
        height: the number of levels.  Every level except the last two is followed by downsampling, and the last level
            has dilation 2.
        dilated: whether to double the dilation at each level instead of downsampling (RSU4F in the paper).
    """

    def __init__(self, in_channels: int, mid_channels: int, out_channels: int, height: int, dilated: bool = False):
        super().__init__()
        self.num_downsamples = 0 if dilated else height - 2
        dilations = [2**level for level in range(height)] if dilated else [1] * (height - 1) + [2]
        down_in = [out_channels] + [mid_channels] * (height - 1)
        up_out = [out_channels] + [mid_channels] * (height - 2)
        self.pool = CeilMaxPool2d()
        self.conv_in = ConvNormReLU(in_channels, out_channels)
        self.down = nn.ModuleList(ConvNormReLU(c, mid_channels, d) for c, d in zip(down_in, dilations, strict=True))
        self.up = nn.ModuleList(  # up[level] takes the output of down[level] and of the level below
            ConvNormReLU(2 * mid_channels, c, d) for c, d in zip(up_out, dilations[:-1], strict=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output, (N, C_out, H, W)."""
        residual = x = self.conv_in(x)  # (N, C_out, H, W)
        skips = []
        for level, conv in enumerate(self.down):
            x = conv(x)  # (N, mid, H/2^level, W/2^level); the last level has the same size as the one before
            skips.append(x)
            if level < self.num_downsamples:
                x = self.pool(x)
        for level in reversed(range(len(self.up))):
            if level < self.num_downsamples:
                x = upsample(x, skips[level])
            x = self.up[level](torch.cat([x, skips[level]], dim=1))  # (N, mid, H/2^level, W/2^level)
        return x + residual  # the output of up[0] is (N, C_out, H, W)


class RSU4F(RSU):
    """The dilated block with four levels, for low resolutions.  Its dilations are 1, 2, 4, 8, 4, 2, 1."""

    def __init__(self, in_channels: int, mid_channels: int, out_channels: int):
        super().__init__(in_channels, mid_channels, out_channels, height=4, dilated=True)


def _stage(level: int, in_channels: int, mid_channels: int, out_channels: int) -> RSU:
    """Return the block at stride 2^level: RSU7, RSU6, RSU5, RSU4, RSU4F, RSU4F for the levels 0 to 5.

    The lowest resolution inside each block is 1/32 of the image.
    """
    if level < 4:
        return RSU(in_channels, mid_channels, out_channels, height=7 - level)
    return RSU4F(in_channels, mid_channels, out_channels)


class U2Net(nn.Module):
    """U2-Net: images (N, in_channels, H, W) of any size -> logits (N, num_classes, H, W).

    In training mode, the network returns a tuple of seven logit tensors of this shape for deep supervision: the fused
    output, followed by the six side outputs from the finest to the coarsest.

    Args:
        num_classes: number of channels of each output.
        in_channels: number of image channels.
        checkpointing: whether to use activation checkpointing, which saves memory in training at the cost of a second
            forward pass.
    """

    # (mid, out) channels of each stage, from the highest resolution to the lowest.
    encoder_channels: tuple[tuple[int, int], ...] = ((32, 64), (32, 128), (64, 256), (128, 512), (256, 512), (256, 512))
    decoder_channels: tuple[tuple[int, int], ...] = ((16, 64), (32, 64), (64, 128), (128, 256), (256, 512))
    head_prefixes = ("side_convs.", "out_conv.")  # the layers whose shape depends on the number of classes
    encoder_prefixes = ("encoder.",)
    aux_loss_weights = (1.0,) * 7  # weights of the outputs in the loss; the authors sum all losses

    def __init__(self, num_classes: int, in_channels: int = 3, checkpointing: bool = False):
        super().__init__()
        self.checkpointing = checkpointing
        self.pool = CeilMaxPool2d()
        # The layers keep PyTorch's default initialization, as in the authors' code.
        encoder_out = [out for _, out in self.encoder_channels]
        decoder_out = [out for _, out in self.decoder_channels] + encoder_out[-1:]  # includes the last encoder stage
        encoder_in = [in_channels, *encoder_out[:-1]]
        decoder_in = [decoder_out[i + 1] + encoder_out[i] for i in range(5)]  # upsampled features and skip connection
        self.encoder = nn.ModuleList(_stage(i, encoder_in[i], *self.encoder_channels[i]) for i in range(6))
        self.decoder = nn.ModuleList(_stage(i, decoder_in[i], *self.decoder_channels[i]) for i in range(5))
        self.side_convs = nn.ModuleList(nn.Conv2d(channels, num_classes, 3, padding=1) for channels in decoder_out)
        self.out_conv = nn.Conv2d(len(decoder_out) * num_classes, num_classes, 1)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Return the logits, or in training mode a tuple of seven logit tensors.

        Raises:
            ModelError: in training mode, for a single image of at most 32x32 pixels, because batch normalization needs
                more than one value per channel.
        """
        check_training_size(self, x, stride=32)
        image, skips = x, []
        for level, stage in enumerate(self.encoder):
            x = checkpoint_activations(self, stage, self.pool(x) if level else x)  # (N, out, H/2^level, W/2^level)
            skips.append(x)
        features = [x]
        for level in reversed(range(len(self.decoder))):
            x = torch.cat([upsample(x, skips[level]), skips[level]], dim=1)
            x = checkpoint_activations(self, self.decoder[level], x)  # (N, out, H/2^level, W/2^level)
            features.insert(0, x)
        # Logits from the features of every resolution, upsampled to full size: 6 x (N, num_classes, H, W)
        sides = [upsample(conv(x), image) for conv, x in zip(self.side_convs, features, strict=True)]
        fused = self.out_conv(torch.cat(sides, dim=1))  # (N, num_classes, H, W)
        return (fused, *sides) if self.training else fused


class U2NetP(U2Net):
    """The small U2-Net from the same paper, in which every stage has 16 inner channels and 64 output channels."""

    encoder_channels = ((16, 64),) * 6
    decoder_channels = ((16, 64),) * 5
