"""The published Mini-HRNet, which notebook 05 builds: an HRNet with different blocks and stages.

The network is the third variant from an earlier project; `seglib.models.mini_hrnet` contains the other variants.  The
entry point `seglib.models` registers this network as `mini_hrnet_v3` for `seglib.models.create`.
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from seglib.models.hrnet import Bottleneck, concatenate, convolution, initialize


class ConvNormReLU(nn.Sequential):
    """Convolution with bias, instance normalization and ReLU: (N, C_in, H, W) -> (N, C_out, H/stride, W/stride)."""

    def __init__(self, in_channels: int, out_channels: int, size: int = 3, stride: int = 1):
        super().__init__(
            nn.Conv2d(in_channels, out_channels, size, stride, size // 2),
            nn.InstanceNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )


class DilatedBlock(nn.Module):
    """Add the mean of three pairs of dilated convolutions to the input: (N, C, H, W) -> (N, C, H, W).

    The dilations are 1, 2 and 4.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(
                convolution(channels, channels, dilation=dilation),
                nn.InstanceNorm2d(channels),
                nn.ReLU(inplace=True),
                convolution(channels, channels, dilation=dilation),
                nn.InstanceNorm2d(channels),
            )
            for dilation in (1, 2, 4)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the output of the block, (N, C, H, W)."""
        first, second, third = (branch(x) for branch in self.branches)
        return F.relu((first + second + third) / 3 + x)


class OctaveFusion(nn.Module):
    """Add every branch to all other branches, after resampling it in steps of a factor of 2.

    After each step, the features have the resolution and the number of channels of the next branch.

    Args:
        widths: The number of channels of each branch.
    """

    def __init__(self, widths: Sequence[int]):
        super().__init__()
        indices = range(len(widths))
        self.paths = nn.ModuleList(  # paths[j] contains the paths from branch j to all other branches, in order
            nn.ModuleList(self._path(widths, j, i) for i in indices if i != j) for j in indices
        )

    @staticmethod
    def _path(widths: Sequence[int], source: int, target: int) -> nn.Sequential:
        """Return the layers from branch `source` to branch `target`.

        Each step to a lower resolution is a 3x3 convolution with stride 2. Each step to a higher resolution is a 1x1
        convolution and bilinear upsampling with align_corners=True.
        """
        if source < target:
            return nn.Sequential(*(ConvNormReLU(widths[i], widths[i + 1], stride=2) for i in range(source, target)))
        upsample = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        return nn.Sequential(
            *(ConvNormReLU(widths[i], widths[i - 1], size=1).append(upsample) for i in range(source, target, -1))
        )

    def forward(self, branches: list[Tensor]) -> list[Tensor]:
        """Return the fused branches, which have the same shapes as the inputs, (N, widths[i], H/2^i, W/2^i).

        H and W must be divisible by 2^i for all branches.
        """
        sums = list(branches)
        paths: Any
        for j, paths in enumerate(self.paths):
            for i, path in zip((i for i in range(len(branches)) if i != j), paths, strict=True):
                sums[i] = sums[i] + path(branches[j])
        return sums


class MiniHRNetV3(nn.Module):
    """The published Mini-HRNet: images (N, in_channels, H, W) of any size -> logits (N, num_classes, H, W).

    There are four branches with 48, 60, 72 and 84 channels.  The input of each branch is the output of the previous
    branch.  The branches are fused, processed by more blocks, and fused again.  Instance normalization has no weights,
    and its statistics come from the whole image, even in eval mode.

    The published network requires height and width to be multiples of 32.  This class pads other sizes by repeating
    the last row and column, and crops the logits.  It also pads sizes below 64, because instance normalization needs
    more than one value in the last branch.

    Args:
        num_classes: The number of output channels.
        in_channels: The number of image channels.
    """

    head_prefixes = ("last_layer.3.",)  # parameters whose shape depends on the number of classes

    def __init__(self, num_classes: int, in_channels: int = 3):
        super().__init__()
        widths = (48, 60, 72, 84)
        self.stem = nn.Sequential(
            convolution(in_channels, 64, stride=2),
            nn.InstanceNorm2d(64),
            nn.ReLU(inplace=True),
            convolution(64, 64, stride=2),
            nn.InstanceNorm2d(64),
            nn.ReLU(inplace=True),
        )
        self.stage1 = nn.Sequential(*(Bottleneck(c, 64, nn.InstanceNorm2d, project=True) for c in (64, 256, 256, 256)))
        transitions = zip((256, *widths), widths, (1, 2, 2, 2), strict=False)
        self.transitions = nn.ModuleList(ConvNormReLU(c_in, c_out, stride=s) for c_in, c_out, s in transitions)
        self.branches1 = nn.ModuleList(self._blocks(width) for width in widths)
        self.fusion1 = OctaveFusion(widths)
        self.branches2 = nn.ModuleList(self._blocks(width) for width in widths)
        self.fusion2 = OctaveFusion(widths)
        self.last_layer = nn.Sequential(
            nn.Conv2d(sum(widths), sum(widths), 1),
            nn.InstanceNorm2d(sum(widths)),
            nn.ReLU(inplace=True),
            nn.Conv2d(sum(widths), num_classes, 1),
        )
        initialize(self)

    @staticmethod
    def _blocks(channels: int) -> nn.Sequential:
        return nn.Sequential(*(DilatedBlock(channels) for _ in range(4)))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits, (N, num_classes, H, W)."""
        bottom, right = (_padding(side) for side in x.shape[-2:])
        x = F.pad(x, [0, right, 0, bottom], mode="replicate")
        size = x.shape[-2:]
        x = self.stage1(self.stem(x))  # (N, 256, H/4, W/4)
        branches = []
        for transition, blocks in zip(self.transitions, self.branches1, strict=True):
            x = blocks(transition(x))
            branches.append(x)  # (N, widths[i], H/2^(i+2), W/2^(i+2))
        branches = self.fusion1(branches)
        branches = self.fusion2([blocks(x) for blocks, x in zip(self.branches2, branches, strict=True)])
        logits = self.last_layer(concatenate(branches))  # (N, num_classes, H/4, W/4)
        logits = F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
        return F.pad(logits, [0, -right, 0, -bottom])  # crops; slicing fails in torch.export with dynamic sizes


def _padding(size: int) -> int:
    """Return the padding to a multiple of 32 and at least 64, without a branch in the code so that it can be traced."""
    units = (size + 31) // 32
    return 32 * (units + 1 // units) - size  # 1 // units is 1 for one unit, otherwise 0
