"""Mini-HRNet: HRNet made small, in the three ways of the project that this course grew from and in a fourth, ours.

Based on Wang et al., "Deep High-Resolution Representation Learning for Visual Recognition", TPAMI 2020,
https://arxiv.org/abs/1908.07919.  Three of the four are options of `HRNet`; the table below counts parameters
with 19 classes and multiply-adds at 512x1024.

- mini_hrnet_v1 (17.2M, 101 G) is HRNet-W48 without its fourth stage: three streams, and a head over three.
- mini_hrnet_v2 (13.4M, 62 G) is HRNet-W48 with fewer repetitions: every stage exchanges once, after two blocks
  a stream instead of four.  The original names the idea without its counts; these are our choice.
- mini_hrnet_v3 (9.5M, 77 G) has new blocks and stages: `MiniHRNetV3` below, as it was published.
- mini_hrnet (6.0M, 17 G) is ours.  HRNet-W18 (9.6M, 37 G) spends a third of its work before the second stream
  begins and more than half on eight modules of four equal blocks a stream.  So
    - stem and stage 1 are half as wide and stage 1 half as deep (1.6 G instead of 10.7);
    - a stream has two blocks between exchanges instead of four, the second with dilation 2, which reaches as far
      as two plain ones: context in place of depth, as in v3 but one after the other, not side by side;
    - stages 3 and 4 exchange twice instead of four and three times;
    - the head mixes all streams in 128 channels (1.6 G instead of 2.6 although the streams are wider);
    - part of what is saved pays for wider streams: 24 channels at 1/4 instead of 18, and all widths are multiples
      of 8, which convolution libraries on CPUs and GPUs like.  Depthwise convolutions would count fewer
      multiply-adds but run slower on most processors.
"""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from .hrnet import Bottleneck, concatenate, convolution, initialize

# As options of HRNet.
MINI_HRNETS = {
    "mini_hrnet_v1": dict(widths=(48, 96, 192), modules=(1, 4)),
    "mini_hrnet_v2": dict(widths=(48, 96, 192, 384), modules=(1, 1, 1), dilations=(1, 1)),
    "mini_hrnet": dict(
        widths=(24, 48, 96, 192),
        modules=(1, 2, 2),
        dilations=(1, 2),
        stem_width=32,
        stage1_width=32,
        stage1_blocks=2,
        head_width=128,
    ),
}


class Step(nn.Sequential):
    """A convolution with bias, instance normalisation and a ReLU.  (N, Cin, H, W) -> (N, Cout, H/stride, W/stride)."""

    def __init__(self, in_channels: int, out_channels: int, size: int = 3, stride: int = 1):
        super().__init__(
            nn.Conv2d(in_channels, out_channels, size, stride, size // 2),
            nn.InstanceNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )


class DilatedBlock(nn.Module):
    """The mean of three pairs of convolutions with dilations 1, 2 and 4, and a shortcut.  Keeps (N, C, H, W)."""

    def __init__(self, channels: int):
        super().__init__()
        self.reaches = nn.ModuleList(
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
        near, middle, far = (reach(x) for reach in self.reaches)
        return F.relu((near + middle + far) / 3 + x)


class OctaveFusion(nn.Module):
    """Every stream receives from all others, one octave after the other, through the widths in between.

    Stream i is (N, widths[i], H/2^i, W/2^i) before and after; sides of the last must divide evenly.
    """

    def __init__(self, widths: Sequence[int]):
        super().__init__()
        streams = range(len(widths))
        self.paths = nn.ModuleList(  # paths[j] leads from stream j to each of the others, in their order
            nn.ModuleList(self._path(widths, j, i) for i in streams if i != j) for j in streams
        )

    @staticmethod
    def _path(widths: Sequence[int], source: int, target: int) -> nn.Sequential:
        """To a lower resolution 3x3 of stride 2; to a higher one 1x1, enlarged by two (align_corners=True)."""
        if source < target:
            return nn.Sequential(*(Step(widths[i], widths[i + 1], stride=2) for i in range(source, target)))
        enlarge = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        return nn.Sequential(
            *(Step(widths[i], widths[i - 1], size=1).append(enlarge) for i in range(source, target, -1))
        )

    def forward(self, streams: list[Tensor]) -> list[Tensor]:
        totals = list(streams)
        for j, paths in enumerate(self.paths):
            for i, path in zip((i for i in range(len(streams)) if i != j), paths, strict=True):
                totals[i] = totals[i] + path(streams[j])
        return totals


class MiniHRNetV3(nn.Module):
    """Mini-HRNet as published.  `model(x)` maps (N, in_channels, H, W) of any size to logits (N, num_classes, H, W).

    Streams of 48, 60, 72 and 84 channels are started one after the other, each from the last one's blocks, and
    fused; then all go on side by side and are fused once more.  Normalisation is by instance, without weights, so
    that eval mode too depends on the whole image.  The original takes sides that are multiples of 32; here other
    sides, and those under 64 (instance normalisation needs more than one value in the last stream), are padded
    by repeating the last row and column, and the logits are cropped.
    """

    LAST = ("last_layer.3.",)  # the layer whose shape depends on the number of classes

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
        starts = zip((256, *widths), widths, (1, 2, 2, 2), strict=False)
        self.starts = nn.ModuleList(Step(before, width, stride=stride) for before, width, stride in starts)
        self.started = nn.ModuleList(self._blocks(width) for width in widths)
        self.fusion1 = OctaveFusion(widths)
        self.parallel = nn.ModuleList(self._blocks(width) for width in widths)
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
        bottom, right = (_missing(side) for side in x.shape[-2:])
        x = F.pad(x, [0, right, 0, bottom], mode="replicate")
        size = x.shape[-2:]
        x = self.stage1(self.stem(x))  # (N, 256, H/4, W/4)
        streams = []
        for start, blocks in zip(self.starts, self.started, strict=True):
            x = blocks(start(x))
            streams.append(x)  # (N, widths[i], H/2^(i+2), W/2^(i+2))
        streams = self.fusion1(streams)
        streams = self.fusion2([blocks(x) for blocks, x in zip(self.parallel, streams, strict=True)])
        logits = self.last_layer(concatenate(streams))  # (N, num_classes, H/4, W/4)
        logits = F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
        return F.pad(logits, [0, -right, 0, -bottom])  # crops; a slice would stop torch.export with dynamic sizes


def _missing(size: int) -> int:
    """The pixels that a side lacks to the next multiple of 32, or to 64.  Arithmetic only, for tracers."""
    units = (size + 31) // 32
    return 32 * (units + 1 // units) - size  # 1 // units is 1 for a single unit, else 0
