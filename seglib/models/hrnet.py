"""HRNet: streams of several resolutions side by side, which never give up the high one and exchange what they see.

Sun, Xiao, Liu and Wang, "Deep High-Resolution Representation Learning for Human Pose Estimation", CVPR 2019,
https://arxiv.org/abs/1902.09212; for segmentation Wang et al., "Deep High-Resolution Representation Learning
for Visual Recognition", TPAMI 2020, https://arxiv.org/abs/1908.07919.  The layers keep their authors' names.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .activation_checkpointing import recompute
from .errors import ModelError

Norm = Callable[[int], nn.Module]  # from a number of channels to their normalisation

# What tells one HRNet from another, as options of the class below; the first two serve small machines.
HRNETS = {
    "hrnet_w18_small_v1": dict(
        widths=(16, 32, 64, 128), modules=(1, 1, 1), dilations=(1, 1), stage1_width=32, stage1_blocks=1
    ),
    "hrnet_w18_small_v2": dict(widths=(18, 36, 72, 144), modules=(1, 3, 2), dilations=(1, 1), stage1_blocks=2),
    "hrnet_w18": dict(widths=(18, 36, 72, 144)),
    "hrnet_w32": dict(widths=(32, 64, 128, 256)),
    "hrnet_w48": dict(widths=(48, 96, 192, 384)),
}


def convolution(in_channels: int, out_channels: int, size: int = 3, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    """A convolution without bias that keeps the map's size, or divides it by `stride`, rounded up."""
    padding = dilation * (size // 2)
    return nn.Conv2d(in_channels, out_channels, size, stride, padding, dilation, bias=False)


def concatenate(streams: list[Tensor]) -> Tensor:
    """All streams beside each other at the size of the first, enlarged bilinearly (align_corners=False)."""
    first, *rest = streams
    rest = [F.interpolate(x, size=first.shape[-2:], mode="bilinear", align_corners=False) for x in rest]
    return torch.cat([first, *rest], dim=1)


def initialize(model: nn.Module) -> None:
    """He's variance for every convolution, since nearly all lead to a ReLU; biases start at 0."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


class Residual(nn.Module):
    """Adds its input, or a projection of it where the widths differ, to what a subclass's `change` makes of it."""

    def __init__(self, in_channels: int, out_channels: int, norm: Norm, project: bool = False):
        super().__init__()
        self.relu = nn.ReLU(inplace=True)
        self.downsample = nn.Identity()  # the authors' name; here it only ever changes the number of channels
        if project or in_channels != out_channels:
            self.downsample = nn.Sequential(convolution(in_channels, out_channels, 1), norm(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.change(x) + self.downsample(x))


class BasicBlock(Residual):
    """Two 3x3 convolutions and a shortcut.  (N, C, H, W) -> (N, C, H, W).  HRNet's dilation is 1 everywhere."""

    def __init__(self, channels: int, dilation: int = 1):
        super().__init__(channels, channels, nn.BatchNorm2d)
        self.conv1 = convolution(channels, channels, dilation=dilation)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = convolution(channels, channels, dilation=dilation)
        self.bn2 = nn.BatchNorm2d(channels)

    def change(self, x: Tensor) -> Tensor:
        return self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))


class Bottleneck(Residual):
    """A 3x3 convolution in `width` channels between two 1x1, and a shortcut.  (N, Cin, H, W) -> (N, 4 width, H, W)."""

    def __init__(self, in_channels: int, width: int, norm: Norm = nn.BatchNorm2d, project: bool = False):
        super().__init__(in_channels, 4 * width, norm, project)
        self.conv1 = convolution(in_channels, width, 1)
        self.bn1 = norm(width)
        self.conv2 = convolution(width, width)
        self.bn2 = norm(width)
        self.conv3 = convolution(width, 4 * width, 1)
        self.bn3 = norm(4 * width)

    def change(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        return self.bn3(self.conv3(x))


class Transition(nn.ModuleList):
    """Fits the streams to new widths and starts one stream more, of half the lowest resolution."""

    def __init__(self, in_widths: Sequence[int], out_widths: Sequence[int]):
        super().__init__()
        for i, width in enumerate(out_widths):
            if i == len(in_widths):  # one level deeper, as the authors nest it
                self.append(nn.Sequential(self._layer(in_widths[-1], width, stride=2)))
            else:
                self.append(nn.Identity() if in_widths[i] == width else self._layer(in_widths[i], width))

    @staticmethod
    def _layer(in_channels: int, out_channels: int, stride: int = 1) -> nn.Sequential:
        return nn.Sequential(
            convolution(in_channels, out_channels, stride=stride), nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True)
        )

    def forward(self, streams: list[Tensor]) -> list[Tensor]:
        return [layer(x) for layer, x in zip(self, [*streams, streams[-1]], strict=True)]


class Exchange(nn.Module):
    """One module: each stream goes through its own blocks, then each receives from all others.

    Stream i is (N, widths[i], H/2^i, W/2^i) before and after, sizes rounded up.  `dilations` has one entry a block.
    """

    def __init__(self, widths: Sequence[int], dilations: Sequence[int], upsampling: str):
        super().__init__()
        self.upsampling = upsampling
        self.branches = nn.ModuleList(nn.Sequential(*(BasicBlock(width, d) for d in dilations)) for width in widths)
        streams = range(len(widths))
        self.fuse_layers = nn.ModuleList(  # fuse_layers[i][j] leads from stream j to stream i
            nn.ModuleList(self._path(widths[j], widths[i], i - j) for j in streams) for i in streams
        )

    @staticmethod
    def _path(source: int, target: int, halvings: int) -> nn.Module:
        """To a higher resolution 1x1, enlarged later; to a lower one a 3x3 of stride 2 for each halving."""
        if halvings == 0:
            return nn.Identity()
        if halvings < 0:
            return nn.Sequential(convolution(source, target, 1), nn.BatchNorm2d(target))
        steps = [
            nn.Sequential(convolution(source, source, stride=2), nn.BatchNorm2d(source), nn.ReLU(inplace=True))
            for _ in range(halvings - 1)
        ]
        return nn.Sequential(*steps, nn.Sequential(convolution(source, target, stride=2), nn.BatchNorm2d(target)))

    def forward(self, streams: list[Tensor]) -> list[Tensor]:
        streams = [branch(x) for branch, x in zip(self.branches, streams, strict=True)]
        return [self._fuse(paths, streams, i) for i, paths in enumerate(self.fuse_layers)]

    def _fuse(self, paths: nn.ModuleList, streams: list[Tensor], i: int) -> Tensor:
        # The target's own size, not twice the source's: odd sizes were rounded up on the way down.
        size = streams[i].shape[-2:]
        arrived = [path(x) for path, x in zip(paths, streams, strict=True)]
        arrived[i + 1 :] = [F.interpolate(x, size=size, mode=self.upsampling) for x in arrived[i + 1 :]]
        return F.relu(sum(arrived[1:], start=arrived[0]))


class HRNet(nn.Module):
    """HRNet and its relatives.  `model(x)` maps (N, in_channels, H, W) of any size to logits (N, num_classes, H, W).

    `widths` are the channels of the streams at 1/4, 1/8, ... of the input's size, two or more of them.  After a
    stem of `stem_width` channels and `stage1_blocks` bottlenecks of `stage1_width`, stage 2 runs two streams,
    stage 3 three, and so on; `modules` says for stage 2 and the following how often the streams exchange, and
    `dilations` the dilation of each block between two exchanges.  The head brings all streams to 1/4 and mixes
    them in `head_width` channels (None: as many as the streams have together).

    Maps are enlarged bilinearly with align_corners=False, as the segmentation networks do; `upsampling="nearest"`
    exchanges as those for ImageNet do.  `checkpointing` stores less while training, for a second forward pass.
    A training batch of one image that leaves the last stream a single pixel (32x32 with four) raises ModelError.
    """

    LAST = ("last_layer.3.",)  # the layer whose shape depends on the number of classes

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
        _check(widths, modules, dilations, (stem_width, stage1_width, stage1_blocks), upsampling)
        self.checkpointing = checkpointing
        self.conv1 = convolution(in_channels, stem_width, stride=2)
        self.bn1 = nn.BatchNorm2d(stem_width)
        self.conv2 = convolution(stem_width, stem_width, stride=2)
        self.bn2 = nn.BatchNorm2d(stem_width)
        ins = [stem_width] + [4 * stage1_width] * (stage1_blocks - 1)
        self.layer1 = nn.Sequential(*(Bottleneck(channels, stage1_width) for channels in ins))
        before = [4 * stage1_width]
        for streams, count in enumerate(modules, start=2):  # transition1, stage2, transition2, stage3, ...
            now = widths[:streams]
            exchanges = (Exchange(now, dilations, upsampling) for _ in range(count))
            self.add_module(f"transition{streams - 1}", Transition(before, now))
            self.add_module(f"stage{streams}", nn.Sequential(*exchanges))
            before = now
        self.streams = len(widths)
        mixed = head_width or sum(widths)
        self.last_layer = nn.Sequential(
            nn.Conv2d(sum(widths), mixed, 1),
            nn.BatchNorm2d(mixed),
            nn.ReLU(inplace=True),
            nn.Conv2d(mixed, num_classes, 1),
        )
        initialize(self)

    def forward(self, x: Tensor) -> Tensor:
        if self.training and x.shape[0] == 1 and max(x.shape[-2:]) <= 2 ** (self.streams + 1):
            raise ModelError(
                f"HRNet's last stream has 1/{2 ** (self.streams + 1)} of the resolution, and one image of "
                f"{x.shape[-2]}x{x.shape[-1]} pixels leaves its batch normalisation a single value; "
                "train on larger images or on larger batches."
            )
        logits = self.last_layer(concatenate(self.features(x)))  # (N, num_classes, H/4, W/4)
        return F.interpolate(logits, size=x.shape[-2:], mode="bilinear", align_corners=False)

    def features(self, x: Tensor) -> list[Tensor]:
        """The streams after the last stage: (N, widths[i], H/2^(i+2), W/2^(i+2)), sizes rounded up."""
        x = F.relu(self.bn1(self.conv1(x)))  # (N, stem, H/2, W/2)
        x = F.relu(self.bn2(self.conv2(x)))  # (N, stem, H/4, W/4)
        streams = [self._run(self.layer1, x)]  # (N, 4 stage1_width, H/4, W/4)
        for number in range(2, self.streams + 1):
            streams = getattr(self, f"transition{number - 1}")(streams)
            for exchange in getattr(self, f"stage{number}"):
                streams = self._run(exchange, streams)
        return streams

    def _run(self, block: nn.Module, x: Tensor | list[Tensor]) -> Tensor | list[Tensor]:
        return recompute(block, x) if self.checkpointing and self.training else block(x)


def _check(widths: Sequence, modules: Sequence, dilations: Sequence, start: Sequence, upsampling: str) -> None:
    if len(widths) < 2 or len(modules) != len(widths) - 1:
        raise ModelError(
            f"HRNet needs two or more widths and one number of modules for each but the first; got widths {widths} "
            f"and modules {modules}."
        )
    if not dilations or min(*widths, *modules, *dilations, *start) < 1:
        raise ModelError("HRNet's widths, modules, dilations and blocks must be whole numbers of at least 1.")
    if upsampling not in ("bilinear", "nearest"):
        raise ModelError(f"HRNet's upsampling is 'bilinear' or 'nearest', not {upsampling!r}.")
