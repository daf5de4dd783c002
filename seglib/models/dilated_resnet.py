"""Dilated ResNet-50: a classifier that keeps its maps at an eighth of the image, and a head that sees several scales.

The backbone is that of He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", CVPR 2016,
https://arxiv.org/abs/1512.03385.  Its last two stages widen their view by dilation instead of halving the map,
after Yu, Koltun and Funkhouser, "Dilated Residual Networks", CVPR 2017, https://arxiv.org/abs/1705.09914.
The head is one of two:
- ASPP: Chen, Papandreou, Schroff and Adam, "Rethinking Atrous Convolution for Semantic Image Segmentation",
  2017, https://arxiv.org/abs/1706.05587 (DeepLabV3);
- PPM: Zhao, Shi, Qi, Wang and Jia, "Pyramid Scene Parsing Network", CVPR 2017, https://arxiv.org/abs/1612.01105
  (PSPNet), whose auxiliary loss on the third stage serves both.
With ASPP the network equals torchvision's `deeplabv3_resnet50`.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .errors import ModelError


def _conv_norm_relu(in_channels: int, out_channels: int, kernel: int, dilation: int = 1) -> nn.Sequential:
    """A convolution that keeps the size of the map, batch normalisation, ReLU."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2 * dilation, dilation=dilation, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


class Bottleneck(nn.Module):
    """The block of ResNet-50: 1x1 to fewer channels, 3x3 among them, 1x1 to four times as many, plus the input.

    (N, Cin, H, W) -> (N, 4*mid, H/stride, W/stride), rounded up.  The 3x3 convolution has the stride and the dilation.
    """

    def __init__(self, in_channels: int, mid_channels: int, stride: int = 1, dilation: int = 1):
        super().__init__()
        out_channels = 4 * mid_channels
        self.conv1 = nn.Conv2d(in_channels, mid_channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(mid_channels)
        self.conv2 = nn.Conv2d(
            mid_channels, mid_channels, 3, stride=stride, padding=dilation, dilation=dilation, bias=False
        )
        self.bn2 = nn.BatchNorm2d(mid_channels)
        self.conv3 = nn.Conv2d(mid_channels, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = nn.Identity()
        if in_channels != out_channels:  # the first block of a stage
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False), nn.BatchNorm2d(out_channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return self.relu(y + self.downsample(x))


class Stage(nn.Sequential):
    """`blocks` bottlenecks; the first has the stride and the dilation `before` of the stage before, the others
    `dilation`: what a block gathers from its neighbours must be as far apart as its input's samples are."""

    def __init__(
        self, in_channels: int, mid_channels: int, blocks: int, stride: int = 1, before: int = 1, dilation: int = 1
    ):
        super().__init__(
            Bottleneck(in_channels, mid_channels, stride, before),
            *(Bottleneck(4 * mid_channels, mid_channels, dilation=dilation) for _ in range(blocks - 1)),
        )


class DilatedBackbone(nn.Module):
    """ResNet-50 without its classifier, at stride 8.  (N, Cin, H, W) -> (N, 1024, H/8, W/8), (N, 2048, H/8, W/8).

    The two maps are those of the third and the fourth stage; sizes are rounded up.
    """

    def __init__(self, in_channels: int):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = Stage(64, 64, blocks=3)
        self.layer2 = Stage(256, 128, blocks=4, stride=2)
        self.layer3 = Stage(512, 256, blocks=6, before=1, dilation=2)  # stride 2 in a classifier
        self.layer4 = Stage(1024, 512, blocks=3, before=2, dilation=4)  # and here

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.relu(self.bn1(self.conv1(x)))  # (N, 64, H/2, W/2)
        x = self.layer1(self.maxpool(x))  # (N, 256, H/4, W/4)
        x = self.layer2(x)  # (N, 512, H/8, W/8)
        middle = self.layer3(x)  # (N, 1024, H/8, W/8)
        return middle, self.layer4(middle)  # (N, 2048, H/8, W/8)


class PooledNorm(nn.BatchNorm2d):
    """Batch normalisation for maps pooled to few pixels.

    A batch of one image pooled to one pixel has a single value per channel, hence no variance: then, in training
    too, the running statistics normalise it, and stay as they are.  Otherwise this is `nn.BatchNorm2d`.
    """

    def forward(self, x: Tensor) -> Tensor:
        if self.training and x.numel() == x.shape[1]:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(x)


def adaptive_average(x: Tensor, bins: int) -> Tensor:
    """(N, C, H, W) -> (N, C, bins, bins), the numbers of `nn.AdaptiveAvgPool2d(bins)`.

    That layer cannot be exported for a height and width yet unknown; two products with matrices can.
    """
    if bins == 1:  # torch.export cannot see through the product with a single row
        return x.mean((2, 3), keepdim=True)
    return averaging(x.shape[-2], bins, x) @ x @ averaging(x.shape[-1], bins, x).T


def averaging(size: int, bins: int, like: Tensor) -> Tensor:
    """The matrix (bins, size) that averages `size` pixels into `bins`, with the dtype and device of `like`.

    Bin i takes the pixels from floor(i*size/bins) up to ceil((i+1)*size/bins), as `nn.AdaptiveAvgPool2d` does; with
    more bins than pixels a pixel is in several.
    """
    bin_ = torch.arange(bins, device=like.device)[:, None]
    pixel = torch.arange(size, device=like.device)
    start, stop = bin_ * size // bins, ((bin_ + 1) * size + bins - 1) // bins
    return ((pixel >= start) & (pixel < stop)).to(like.dtype) / (stop - start)


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling: the map at four dilations and its mean, side by side, merged.

    (N, Cin, H, W) -> (N, Cout, H, W).
    """

    def __init__(self, in_channels: int, out_channels: int, rates: tuple[int, ...] = (12, 24, 36)):
        super().__init__()
        self.convs = nn.ModuleList([_conv_norm_relu(in_channels, out_channels, 1)])
        self.convs.extend(_conv_norm_relu(in_channels, out_channels, 3, rate) for rate in rates)
        self.convs.append(
            nn.Sequential(
                nn.AdaptiveAvgPool2d(1),
                nn.Conv2d(in_channels, out_channels, 1, bias=False),
                PooledNorm(out_channels),
                nn.ReLU(inplace=True),
            )
        )
        self.project = _conv_norm_relu(len(self.convs) * out_channels, out_channels, 1).append(nn.Dropout(0.5))

    def forward(self, x: Tensor) -> Tensor:
        *maps, mean = [conv(x) for conv in self.convs]  # the mean is (N, Cout, 1, 1)
        return self.project(torch.cat([*maps, mean.expand_as(maps[0])], dim=1))


class PPM(nn.Module):
    """The pyramid pooling module: the map, and its averages over 1x1, 2x2, 3x3 and 6x6 bins brought back to its size.

    (N, C, H, W) -> (N, 2C, H, W): each of the four levels has C/4 channels.  Enlarged with align_corners=False,
    which puts the value of a bin at its centre.
    """

    def __init__(self, channels: int, bins: tuple[int, ...] = (1, 2, 3, 6)):
        super().__init__()
        self.bins = bins
        self.levels = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(channels, channels // len(bins), 1, bias=False),
                PooledNorm(channels // len(bins)),
                nn.ReLU(inplace=True),
            )
            for _ in bins
        )

    def forward(self, x: Tensor) -> Tensor:
        maps = [x]
        for bins, level in zip(self.bins, self.levels, strict=True):
            pooled = level(adaptive_average(x, bins))  # (N, C/4, bins, bins)
            maps.append(F.interpolate(pooled, size=x.shape[-2:], mode="bilinear", align_corners=False))
        return torch.cat(maps, dim=1)


class DilatedResNet(nn.Module):
    """Dilated ResNet-50 with a spatial pooling head.

    In eval mode `model(x)` maps (N, in_channels, H, W) to logits (N, num_classes, H, W) at any size.  In training
    it returns (logits, auxiliary logits), both of that shape; OUTPUT_WEIGHTS are PSPNet's weights of their losses.
    `head`: "aspp" or "ppm".  `head_channels`: the width of both heads; 256 is DeepLabV3's, less makes a smaller file.
    In training, a batch of one must be larger than 8x8 pixels, because batch normalisation needs two values or more.
    """

    LAST = ("classify.", "classify_auxiliary.")  # the layers whose shape depends on the number of classes
    encoder_prefixes = ("backbone.",)
    OUTPUT_WEIGHTS = (1.0, 0.4)

    def __init__(self, num_classes: int, in_channels: int = 3, head: str = "aspp", head_channels: int = 256):
        super().__init__()
        if head not in ("aspp", "ppm"):
            raise ModelError(f"head is {head!r}, but must be 'aspp' or 'ppm'.")
        if not isinstance(head_channels, int) or head_channels < 1:
            raise ModelError(f"head_channels is {head_channels!r}, but must be a whole number of at least 1.")
        self.backbone = DilatedBackbone(in_channels)
        if head == "aspp":
            self.head = nn.Sequential(ASPP(2048, head_channels), *_conv_norm_relu(head_channels, head_channels, 3))
        else:
            self.head = nn.Sequential(PPM(2048), *_conv_norm_relu(4096, head_channels, 3), nn.Dropout(0.1))
        self.classify = nn.Conv2d(head_channels, num_classes, 1)
        self.auxiliary = _conv_norm_relu(1024, head_channels, 3).append(nn.Dropout(0.1))
        self.classify_auxiliary = nn.Conv2d(head_channels, num_classes, 1)
        # He's initialisation (by fan-out, as for ResNet) before every ReLU; the two last layers keep torch's own.
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module.bias is None:
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        middle, deep = self.backbone(x)  # (N, 1024, H/8, W/8), (N, 2048, H/8, W/8)
        logits = self._enlarged(self.classify(self.head(deep)), x)
        if not self.training:
            return logits
        return logits, self._enlarged(self.classify_auxiliary(self.auxiliary(middle)), x)

    @staticmethod
    def _enlarged(logits: Tensor, x: Tensor) -> Tensor:
        """(N, C, H/8, W/8) -> (N, C, H, W)."""
        return F.interpolate(logits, size=x.shape[-2:], mode="bilinear", align_corners=False)
