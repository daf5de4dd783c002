"""HRNet: parallel branches at different resolutions, which repeatedly exchange features.

Sun, Xiao, Liu and Wang, "Deep High-Resolution Representation Learning for Human Pose Estimation", CVPR 2019,
https://arxiv.org/abs/1902.09212.  For segmentation, see Wang et al., "Deep High-Resolution Representation Learning for
Visual Recognition", TPAMI 2020, https://arxiv.org/abs/1908.07919.  The layers have the same names as in their code.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .activation_checkpointing import checkpoint_activations
from .errors import ModelError, check_training_size

Norm = Callable[[int], nn.Module]  # returns a normalization layer for the given number of channels

# The keyword arguments of `HRNet` for each published network.
HRNET_CONFIGS: dict[str, dict[str, Any]] = {
    "hrnet_w18_small_v1": dict(
        widths=(16, 32, 64, 128), modules=(1, 1, 1), dilations=(1, 1), stage1_width=32, stage1_blocks=1
    ),
    "hrnet_w18_small_v2": dict(widths=(18, 36, 72, 144), modules=(1, 3, 2), dilations=(1, 1), stage1_blocks=2),
    "hrnet_w18": dict(widths=(18, 36, 72, 144)),
    "hrnet_w32": dict(widths=(32, 64, 128, 256)),
    "hrnet_w48": dict(widths=(48, 96, 192, 384)),
}


def convolution(in_channels: int, out_channels: int, size: int = 3, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    """Return a convolution without bias: (N, C_in, H, W) -> (N, C_out, H/stride, W/stride), sizes rounded up."""
    padding = dilation * (size // 2)
    return nn.Conv2d(in_channels, out_channels, size, stride, padding, dilation, bias=False)


def conv_norm(in_channels: int, out_channels: int, size: int = 3, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """Return a convolution followed by batch normalization.  The shapes are the same as for `convolution`."""
    return nn.Sequential(convolution(in_channels, out_channels, size, stride, dilation), nn.BatchNorm2d(out_channels))


def conv_norm_relu(
    in_channels: int, out_channels: int, size: int = 3, stride: int = 1, dilation: int = 1
) -> nn.Sequential:
    """Return a convolution followed by batch normalization and ReLU.  The shapes are the same as for `convolution`."""
    return conv_norm(in_channels, out_channels, size, stride, dilation).append(nn.ReLU(inplace=True))


def upsample(x: Tensor, like: Tensor) -> Tensor:
    """Resize x (N, C, h, w) bilinearly to the height and width of `like` (..., H, W), and return (N, C, H, W)."""
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)


def concatenate(branches: list[Tensor]) -> Tensor:
    """Upsample all branches bilinearly to the size of the first, and concatenate them: (N, sum of channels, H, W)."""
    first, *rest = branches
    return torch.cat([first, *(upsample(x, first) for x in rest)], dim=1)


def initialize(model: nn.Module) -> None:
    """Initialize the weights of all convolutions with He initialization, and their biases with 0."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut: (N, C, H, W) -> (N, C, H, W).  The published HRNets use dilation 1."""

    def __init__(self, channels: int, dilation: int = 1):
        super().__init__()
        self.conv1 = convolution(channels, channels, dilation=dilation)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = convolution(channels, channels, dilation=dilation)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        y = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(y)) + x)


class Bottleneck(nn.Module):
    """A 3x3 convolution between two 1x1 convolutions, and a shortcut: (N, C_in, H, W) -> (N, 4 width, H, W).

    Args:
        in_channels: C_in.
        width: number of inner channels.
        norm: function that returns a normalization layer for the given number of channels.
        project: whether to use a 1x1 convolution as the shortcut even if C_in equals 4 width.
    """

    def __init__(self, in_channels: int, width: int, norm: Norm = nn.BatchNorm2d, project: bool = False):
        super().__init__()
        self.downsample: nn.Module = nn.Identity()  # the authors' name, although it keeps the resolution
        if project or in_channels != 4 * width:
            self.downsample = nn.Sequential(convolution(in_channels, 4 * width, 1), norm(4 * width))
        self.conv1 = convolution(in_channels, width, 1)
        self.bn1 = norm(width)
        self.conv2 = convolution(width, width)
        self.bn2 = norm(width)
        self.conv3 = convolution(width, 4 * width, 1)
        self.bn3 = norm(4 * width)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        return self.relu(self.bn3(self.conv3(y)) + self.downsample(x))


class Transition(nn.ModuleList):
    """Change the number of channels of each branch, and add one branch at half the lowest resolution.

    Args:
        in_widths: channels of each branch of the input.
        out_widths: channels of each branch of the output, which has one more branch.
    """

    def __init__(self, in_widths: Sequence[int], out_widths: Sequence[int]):
        super().__init__()
        for in_width, out_width in zip(in_widths, out_widths, strict=False):
            self.append(nn.Identity() if in_width == out_width else conv_norm_relu(in_width, out_width))
        # The new branch is in an nn.Sequential, as in the authors' code.
        self.append(nn.Sequential(conv_norm_relu(in_widths[-1], out_widths[-1], stride=2)))

    def forward(self, branches: list[Tensor]) -> list[Tensor]:
        """Map a list of (N, in_widths[i], H/2^i, W/2^i) to a list of (N, out_widths[i], H/2^i, W/2^i)."""
        return [layer(x) for layer, x in zip(self, [*branches, branches[-1]], strict=True)]


class HighResolutionModule(nn.Module):
    """One module of a stage: residual blocks in each branch, followed by a fusion of every branch with all others.

    Args:
        widths: channels of each branch.
        dilations: the dilation of each residual block of a branch.
        upsampling: interpolation mode for upsampling lower resolutions in the fusion: "bilinear" or "nearest".
    """

    def __init__(self, widths: Sequence[int], dilations: Sequence[int], upsampling: str):
        super().__init__()
        self.upsampling = upsampling
        self.branches = nn.ModuleList(nn.Sequential(*(BasicBlock(width, d) for d in dilations)) for width in widths)
        indices = range(len(widths))
        self.fuse_layers = nn.ModuleList(  # fuse_layers[i][j] transforms branch j for the sum in branch i
            nn.ModuleList(self._fuse_layer(widths[j], widths[i], i - j) for j in indices) for i in indices
        )

    @staticmethod
    def _fuse_layer(in_channels: int, out_channels: int, num_downsamples: int) -> nn.Module:
        """Return the layer that transforms one branch for the sum in another branch.

        To a higher-resolution branch, this is a 1x1 convolution, whose output `_fuse` upsamples.  To a lower-resolution
        branch, it is a sequence of 3x3 convolutions with stride 2, one for each factor of 2.
        """
        if num_downsamples == 0:
            return nn.Identity()
        if num_downsamples < 0:
            return conv_norm(in_channels, out_channels, 1)
        steps = [conv_norm_relu(in_channels, in_channels, stride=2) for _ in range(num_downsamples - 1)]
        return nn.Sequential(*steps, conv_norm(in_channels, out_channels, stride=2))

    def forward(self, branches: list[Tensor]) -> list[Tensor]:
        """Map a list of (N, widths[i], H/2^i, W/2^i), sizes rounded up, to a list with the same shapes."""
        branches = [blocks(x) for blocks, x in zip(self.branches, branches, strict=True)]
        return [self._fuse(layers, branches, i) for i, layers in enumerate(self.fuse_layers)]

    def _fuse(self, layers: Any, branches: list[Tensor], i: int) -> Tensor:
        """Return the ReLU of the sum of all branches at the resolution of branch i."""
        # The size of branch i is not always twice that of branch i + 1, because downsampling rounds odd sizes up.
        size = branches[i].shape[-2:]
        terms = [layer(x) for layer, x in zip(layers, branches, strict=True)]
        terms[i + 1 :] = [F.interpolate(x, size=size, mode=self.upsampling) for x in terms[i + 1 :]]
        return F.relu(sum(terms[1:], start=terms[0]))


class HRNet(nn.Module):
    """HRNet: images (N, in_channels, H, W) of any size -> logits (N, num_classes, H, W).

    Args:
        num_classes: number of output channels.
        in_channels: number of image channels.
        widths: channels of the branches at strides 4, 8, ...; at least two branches.
        modules: the number of modules in stage 2 (two branches), stage 3 (three branches), and so on.
        dilations: the dilation of each residual block of a branch.
        stem_width: channels of the two stride-2 convolutions in the stem.
        stage1_width: inner channels of the bottlenecks in stage 1.
        stage1_blocks: the number of bottlenecks in stage 1.
        head_width: channels of the head, which is applied to the branches concatenated at stride 4.  None means the sum
            of `widths`.
        upsampling: interpolation mode of the fusions: "bilinear" (align_corners=False) as in the authors' segmentation
            networks, or "nearest" as in their ImageNet networks.
        checkpointing: whether to use activation checkpointing, which saves memory in training at the cost of a second
            forward pass.

    Raises:
        ModelError: if an argument is out of range, or `widths` and `modules` do not match.
    """

    head_prefixes = ("last_layer.3.",)  # the layer whose shape depends on the number of classes

    def __init__(
        self,
        num_classes: int,
        in_channels: int = 3,
        widths: Sequence[int] = (18, 36, 72, 144),
        modules: Sequence[int] = (1, 4, 3),
        dilations: Sequence[int] = (1, 1, 1, 1),
        stem_width: int = 64,
        stage1_width: int = 64,
        stage1_blocks: int = 4,
        head_width: int | None = None,
        upsampling: str = "bilinear",
        checkpointing: bool = False,
    ):
        super().__init__()
        _check_options(widths, modules, dilations, (stem_width, stage1_width, stage1_blocks), upsampling)
        self.checkpointing = checkpointing
        self.conv1 = convolution(in_channels, stem_width, stride=2)
        self.bn1 = nn.BatchNorm2d(stem_width)
        self.conv2 = convolution(stem_width, stem_width, stride=2)
        self.bn2 = nn.BatchNorm2d(stem_width)
        stage1_in = [stem_width] + [4 * stage1_width] * (stage1_blocks - 1)
        self.layer1 = nn.Sequential(*(Bottleneck(channels, stage1_width) for channels in stage1_in))
        in_widths: Sequence[int] = [4 * stage1_width]
        for num_branches, count in enumerate(modules, start=2):  # transition1, stage2, transition2, stage3, ...
            out_widths = widths[:num_branches]
            stage = (HighResolutionModule(out_widths, dilations, upsampling) for _ in range(count))
            self.add_module(f"transition{num_branches - 1}", Transition(in_widths, out_widths))
            self.add_module(f"stage{num_branches}", nn.Sequential(*stage))
            in_widths = out_widths
        self.num_branches = len(widths)
        head_width = head_width or sum(widths)
        self.last_layer = nn.Sequential(
            nn.Conv2d(sum(widths), head_width, 1),
            nn.BatchNorm2d(head_width),
            nn.ReLU(inplace=True),
            nn.Conv2d(head_width, num_classes, 1),
        )
        initialize(self)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits.

        Raises:
            ModelError: in training mode, for a single image that leaves only one pixel in the last branch (at most
                32x32 pixels with four branches), because batch normalization needs more than one value per channel.
        """
        check_training_size(self, x, stride=2 ** (self.num_branches + 1))
        logits = self.last_layer(concatenate(self.features(x)))  # (N, num_classes, H/4, W/4)
        return upsample(logits, x)

    def features(self, x: Tensor) -> list[Tensor]:
        """Return the branches after the last stage: (N, widths[i], H/2^(i+2), W/2^(i+2)), sizes rounded up."""
        x = F.relu(self.bn1(self.conv1(x)))  # (N, stem, H/2, W/2)
        x = F.relu(self.bn2(self.conv2(x)))  # (N, stem, H/4, W/4)
        branches = [checkpoint_activations(self, self.layer1, x)]  # (N, 4 stage1_width, H/4, W/4)
        for number in range(2, self.num_branches + 1):
            branches = getattr(self, f"transition{number - 1}")(branches)
            for module in getattr(self, f"stage{number}"):
                branches = checkpoint_activations(self, module, branches)
        return branches


def _check_options(widths: Sequence, modules: Sequence, dilations: Sequence, others: Sequence, upsampling: str) -> None:
    if len(widths) < 2 or len(modules) != len(widths) - 1:
        raise ModelError(
            f"HRNet needs two or more widths and one number of modules for each but the first; got widths {widths} "
            f"and modules {modules}."
        )
    if not dilations or min(*widths, *modules, *dilations, *others) < 1:
        raise ModelError("HRNet's widths, modules, dilations and blocks must be whole numbers of at least 1.")
    if upsampling not in ("bilinear", "nearest"):
        raise ModelError(f"HRNet's upsampling is 'bilinear' or 'nearest', not {upsampling!r}.")
