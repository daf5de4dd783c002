"""Dilated ResNet-50: a ResNet-50 backbone with an output stride of 8 and a multi-scale pooling head.

The backbone is from He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", CVPR 2016,
https://arxiv.org/abs/1512.03385.  Its last two stages use dilation instead of stride, as in Yu, Koltun and
Funkhouser, "Dilated Residual Networks", CVPR 2017, https://arxiv.org/abs/1705.09914.  There are two heads:

- ASPP: Chen, Papandreou, Schroff and Adam, "Rethinking Atrous Convolution for Semantic Image Segmentation",
  2017, https://arxiv.org/abs/1706.05587 (DeepLabV3);
- PPM: Zhao, Shi, Qi, Wang and Jia, "Pyramid Scene Parsing Network", CVPR 2017, https://arxiv.org/abs/1612.01105
  (PSPNet).  This paper also introduced the auxiliary loss on the third stage, which we use with both heads.

With the ASPP head, the architecture is the same as torchvision's `deeplabv3_resnet50`.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .errors import ModelError
from .hrnet import conv_norm, conv_norm_relu, convolution, upsample


class Bottleneck(nn.Module):
    """The bottleneck block of ResNet-50: (N, C_in, H, W) -> (N, 4 mid_channels, H/stride, W/stride), sizes rounded up.

    It consists of a 1x1 convolution to `mid_channels` channels, a 3x3 convolution with stride and dilation, a 1x1
    convolution to four times as many channels, and a shortcut.
    """

    def __init__(self, in_channels: int, mid_channels: int, stride: int = 1, dilation: int = 1):
        super().__init__()
        out_channels = 4 * mid_channels
        self.conv1 = convolution(in_channels, mid_channels, 1)
        self.bn1 = nn.BatchNorm2d(mid_channels)
        self.conv2 = convolution(mid_channels, mid_channels, 3, stride, dilation)
        self.bn2 = nn.BatchNorm2d(mid_channels)
        self.conv3 = convolution(mid_channels, out_channels, 1)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module = nn.Identity()
        if in_channels != out_channels:  # the first block of a stage
            self.downsample = conv_norm(in_channels, out_channels, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return self.relu(y + self.downsample(x))


def make_stage(
    in_channels: int, mid_channels: int, blocks: int, stride: int = 1, dilations: tuple[int, int] = (1, 1)
) -> nn.Sequential:
    """Return a stage of bottlenecks: (N, C_in, H, W) -> (N, 4 mid_channels, H/stride, W/stride).

    Args:
        in_channels: C_in.
        mid_channels: inner channels of the bottlenecks.
        blocks: the number of bottlenecks.
        stride: stride of the first bottleneck.
        dilations: dilation of the first bottleneck, the same as in the previous stage, and of the other bottlenecks.
    """
    first = Bottleneck(in_channels, mid_channels, stride, dilations[0])
    others = (Bottleneck(4 * mid_channels, mid_channels, dilation=dilations[1]) for _ in range(blocks - 1))
    return nn.Sequential(first, *others)


class DilatedBackbone(nn.Module):
    """ResNet-50 without its classifier, with an output stride of 8.

    Args:
        in_channels: number of image channels.
    """

    def __init__(self, in_channels: int):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = make_stage(64, 64, blocks=3)
        self.layer2 = make_stage(256, 128, blocks=4, stride=2)
        self.layer3 = make_stage(512, 256, blocks=6, dilations=(1, 2))  # stride 2 in ResNet
        self.layer4 = make_stage(1024, 512, blocks=3, dilations=(2, 4))  # stride 2 in ResNet

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the features of stages 3 and 4: (N, 1024, H/8, W/8) and (N, 2048, H/8, W/8), sizes rounded up."""
        x = self.relu(self.bn1(self.conv1(x)))  # (N, 64, H/2, W/2)
        x = self.layer1(self.maxpool(x))  # (N, 256, H/4, W/4)
        x = self.layer2(x)  # (N, 512, H/8, W/8)
        layer3 = self.layer3(x)  # (N, 1024, H/8, W/8)
        return layer3, self.layer4(layer3)  # (N, 2048, H/8, W/8)


class PooledNorm(nn.BatchNorm2d):
    """Batch normalization for features pooled to very small sizes.

    If a batch of one image is pooled to one pixel, it has a single value per channel and therefore no variance.  In
    this case, the layer uses the running statistics even in training, and does not update them.  Otherwise, it works
    like `nn.BatchNorm2d`.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalize (N, C, H, W)."""
        if self.training and x.numel() == x.shape[1]:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(x)


def adaptive_avg_pool(x: Tensor, bins: int) -> Tensor:
    """Pool (N, C, H, W) to (N, C, bins, bins) as `nn.AdaptiveAvgPool2d(bins)` does.

    `nn.AdaptiveAvgPool2d` cannot be exported to ONNX with dynamic height and width, but the two matrix products used
    here can.
    """
    if bins == 1:  # torch.export does not support matrix products with a single row
        return x.mean((2, 3), keepdim=True)
    return pooling_matrix(x.shape[-2], bins, x) @ x @ pooling_matrix(x.shape[-1], bins, x).T


def pooling_matrix(size: int, bins: int, like: Tensor) -> Tensor:
    """Return the matrix (bins, size) that averages `size` pixels into `bins` bins, with the dtype and device of `like`.

    Bin i covers the pixels from floor(i*size/bins) to ceil((i+1)*size/bins) - 1, as in `nn.AdaptiveAvgPool2d`.  Bins
    may overlap.
    """
    bin_index = torch.arange(bins, device=like.device)[:, None]
    pixel = torch.arange(size, device=like.device)
    start, stop = bin_index * size // bins, ((bin_index + 1) * size + bins - 1) // bins
    return ((pixel >= start) & (pixel < stop)).to(like.dtype) / (stop - start)


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling: (N, C_in, H, W) -> (N, C_out, H, W).

    A 1x1 convolution, a 3x3 convolution for each dilation rate and global average pooling run in parallel.  Their
    outputs are concatenated and projected by a 1x1 convolution.

    Args:
        in_channels: C_in.
        out_channels: C_out, which is also the number of channels of each parallel branch.
        rates: the dilation rates.
    """

    def __init__(self, in_channels: int, out_channels: int, rates: tuple[int, ...] = (12, 24, 36)):
        super().__init__()
        self.convs = nn.ModuleList([conv_norm_relu(in_channels, out_channels, 1)])
        self.convs.extend(conv_norm_relu(in_channels, out_channels, dilation=rate) for rate in rates)
        self.convs.append(nn.Sequential(nn.AdaptiveAvgPool2d(1), *_pooled_conv(in_channels, out_channels)))
        self.project = conv_norm_relu(len(self.convs) * out_channels, out_channels, 1).append(nn.Dropout(0.5))

    def forward(self, x: Tensor) -> Tensor:
        """Return the pooled features."""
        *features, pooled = [conv(x) for conv in self.convs]  # pooled is (N, C_out, 1, 1)
        return self.project(torch.cat([*features, pooled.expand_as(features[0])], dim=1))


class PPM(nn.Module):
    """Pyramid pooling module: (N, C, H, W) -> (N, 2C, H, W).

    The input is averaged over grids of several sizes.  Each grid is reduced to C / len(bins) channels, upsampled
    bilinearly and concatenated with the input.  Upsampling with align_corners=False places the value of a bin at the
    bin's center.

    Args:
        channels: C.
        bins: the number of rows (and columns) of each grid.
    """

    def __init__(self, channels: int, bins: tuple[int, ...] = (1, 2, 3, 6)):
        super().__init__()
        self.bins = bins
        self.levels = nn.ModuleList(_pooled_conv(channels, channels // len(bins)) for _ in bins)

    def forward(self, x: Tensor) -> Tensor:
        """Return the concatenated input and pooled features."""
        features = [x]
        for bins, level in zip(self.bins, self.levels, strict=True):
            pooled = level(adaptive_avg_pool(x, bins))  # (N, C/4, bins, bins)
            features.append(upsample(pooled, x))
        return torch.cat(features, dim=1)


def _pooled_conv(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(convolution(in_channels, out_channels, 1), PooledNorm(out_channels), nn.ReLU(inplace=True))


class DilatedResNet(nn.Module):
    """Dilated ResNet-50 with an ASPP or PPM head: images (N, in_channels, H, W) of any size -> logits.

    In eval mode, the network returns logits (N, num_classes, H, W).  In training mode, it returns the tuple (logits,
    auxiliary logits), both of this shape.  In training, a single image must be larger than 8x8 pixels, because batch
    normalization needs at least two values per channel.

    Args:
        num_classes: number of output channels.
        in_channels: number of image channels.
        head: "aspp" or "ppm".
        head_channels: number of channels in the head and the auxiliary head, 256 in DeepLabV3.  Fewer channels make the
            network smaller.

    Raises:
        ModelError: if `head` is neither "aspp" nor "ppm", or `head_channels` is not an integer of at least 1.
    """

    head_prefixes = ("classifier.", "aux_classifier.")  # the layers whose shape depends on the number of classes
    encoder_prefixes = ("backbone.",)  # the layers that ImageNet weights are loaded into
    aux_loss_weights = (1.0, 0.4)  # weights of the two outputs in the loss, as in PSPNet

    def __init__(self, num_classes: int, in_channels: int = 3, head: str = "aspp", head_channels: int = 256):
        super().__init__()
        if head not in ("aspp", "ppm"):
            raise ModelError(f"head is {head!r}, but must be 'aspp' or 'ppm'.")
        if not isinstance(head_channels, int) or head_channels < 1:
            raise ModelError(f"head_channels is {head_channels!r}, but must be a whole number of at least 1.")
        self.backbone = DilatedBackbone(in_channels)
        if head == "aspp":
            self.head = nn.Sequential(ASPP(2048, head_channels), *conv_norm_relu(head_channels, head_channels))
        else:
            self.head = nn.Sequential(PPM(2048), *conv_norm_relu(4096, head_channels), nn.Dropout(0.1))
        self.classifier = nn.Conv2d(head_channels, num_classes, 1)
        self.aux_head = conv_norm_relu(1024, head_channels).append(nn.Dropout(0.1))
        self.aux_classifier = nn.Conv2d(head_channels, num_classes, 1)
        # He initialization with fan-out, as in ResNet.  The two classifiers, which have a bias, keep PyTorch's default.
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module.bias is None:
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Return the logits, and in training mode also the auxiliary logits."""
        layer3, layer4 = self.backbone(x)  # (N, 1024, H/8, W/8), (N, 2048, H/8, W/8)
        logits = upsample(self.classifier(self.head(layer4)), x)
        if not self.training:
            return logits
        return logits, upsample(self.aux_classifier(self.aux_head(layer3)), x)
