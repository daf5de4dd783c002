"""What a network costs and how far it sees: parameters, multiply-adds, memory, time, receptive field.

Counting runs the network on PyTorch's meta device, which knows shapes but computes nothing; so the counted
numbers are the same on every machine.  Time and the measured receptive field come from real runs.
"""

import copy
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from seglib import files, models

BYTES_A_WEIGHT = 16  # float32 weight, gradient and Adam's two averages
PAGE = Path(__file__).resolve().parents[1] / "docs" / "networks.md"
BEGIN, END = "<!-- models: seglib models --counted --write -->", "<!-- end of models -->"
LARGEST_FIELD = 4096  # pixels; a field that pooling spreads over the whole image is larger
ROWS = 16  # of the strip on which the receptive field is found: as wide as any field, no higher than needed


@dataclass
class Costs:
    """Of one network, for one image of `size` (height, width).

    `receptive_field` and `measured_field` are sides in pixels, None for over LARGEST_FIELD;
    `step_bytes` is the memory of a training step with Adam on one image; `seconds` that of a forward pass.
    """

    name: str
    size: tuple[int, int]
    parameters: int
    multiply_adds: int
    receptive_field: int | None
    step_bytes: int
    measured_field: int | None = None
    seconds: float | None = None


def parameters(model: nn.Module) -> int:
    """The number of trained values."""
    return sum(p.numel() for p in model.parameters())


def _on_meta(model: nn.Module, size: tuple[int, int]) -> tuple[nn.Module, Tensor]:
    channels = next(m for m in model.modules() if isinstance(m, nn.Conv2d)).in_channels
    return copy.deepcopy(model).to("meta"), torch.empty(1, channels, *size, device="meta")


def multiply_adds(model: nn.Module, size: tuple[int, int]) -> int:
    """Multiply-adds of all convolutions and matrix products for one image of `size` (height, width)."""
    twin, image = _on_meta(model.eval(), size)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        twin(image)
    return counter.get_total_flops() // 2  # the counter takes a multiply-add for two operations


def step_bytes(model: nn.Module, size: tuple[int, int]) -> int:
    """Bytes that a training step on one image of `size` needs at least, in float32: weights, gradients, Adam's
    averages, and everything that the forward pass keeps for the backward pass.
    """
    twin, image = _on_meta(model, size)
    own = {value.untyped_storage()._cdata for value in twin.state_dict(keep_vars=True).values()}
    kept: dict[int, torch.UntypedStorage] = {}  # by storage: several operations may keep the same tensor

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            kept[storage._cdata] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        twin.train()(image)
    return BYTES_A_WEIGHT * parameters(model) + sum(storage.nbytes() for storage in kept.values())


class _Skeleton(nn.Module):
    """A convolution reduced to what it connects: all channels become one, all weights equal."""

    def __init__(self, layer: nn.Conv2d | nn.ConvTranspose2d):
        super().__init__()
        same = {key: getattr(layer, key) for key in ("stride", "padding", "dilation")}
        self.layer = type(layer)(1, 1, layer.kernel_size, bias=False, **same).double()
        nn.init.constant_(self.layer.weight, 1 / self.layer.weight.numel())  # sums stay of the order of 1

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.sum(dim=1, keepdim=True))


def receptive_field(model: nn.Module) -> int | None:
    """Side in pixels of the square that one output pixel can depend on; None if it is over LARGEST_FIELD.

    Every layer is replaced by its skeleton (convolutions with one channel and equal weights, averages for
    maxima, no activations or normalisations), so the gradient of one output pixel is nonzero exactly where
    the network is connected to the input.
    """
    skeleton = nn.Sequential(copy.deepcopy(model)).eval()  # so that every layer, even a lone one, has a name
    for name, layer in list(skeleton.named_modules()):
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            replacement = _Skeleton(layer)
        elif isinstance(layer, nn.MaxPool2d):
            replacement = nn.AvgPool2d(layer.kernel_size, layer.stride, layer.padding, layer.ceil_mode)
        elif isinstance(layer, (nn.modules.batchnorm._NormBase, nn.ReLU, nn.Dropout)):
            replacement = nn.Identity()  # an instance norm looks at the whole image, but hardly
        else:
            continue
        skeleton.set_submodule(name, replacement)
    image = torch.ones(1, 1, ROWS, 2 * LARGEST_FIELD, dtype=torch.float64, requires_grad=True)
    # Neighbours too, since pixels at other places of the pooling grids see differently far.
    reach = 0
    output = skeleton(image)
    for column in range(LARGEST_FIELD, LARGEST_FIELD + 32):
        (gradient,) = torch.autograd.grad(output[0, 0, ROWS // 2, column], image, retain_graph=True)
        seen = gradient[0, 0].abs().sum(dim=0).nonzero()[:, 0]
        reach = max(reach, int(seen[-1] - seen[0]) + 1)
    return reach if reach <= LARGEST_FIELD else None


def measured_field(model: nn.Module, side: int = 224, images: Tensor | None = None, share: float = 0.95) -> int:
    """Side of the centred square that holds `share` of the gradient of the central output pixel.

    Averaged over `images` (N, C, side, side), by default four of noise.  A network sees far less than it
    could: Luo, Li, Urtasun and Zemel, "Understanding the Effective Receptive Field in Deep Convolutional
    Neural Networks", NeurIPS 2016, https://arxiv.org/abs/1701.04128.
    """
    mass = gradient_map(model, side, images)
    total, middle = mass.sum(), side // 2
    for radius in range(1, middle + 1):
        inside = mass[middle - radius : middle + radius + 1, middle - radius : middle + radius + 1].sum()
        if inside >= share * total:
            return min(2 * radius + 1, side)
    return side


def gradient_map(model: nn.Module, side: int = 224, images: Tensor | None = None) -> Tensor:
    """(side, side): how strongly the central output pixel depends on each input pixel, on average over `images`."""
    if images is None:
        channels = next(m for m in model.modules() if isinstance(m, nn.Conv2d)).in_channels
        images = torch.randn(4, channels, side, side, generator=torch.Generator().manual_seed(0))
    images = images.detach().clone().requires_grad_()
    output = model.eval()(images)
    (gradient,) = torch.autograd.grad(output[:, :, side // 2, side // 2].sum(), images)
    return gradient.abs().mean(dim=(0, 1))


@torch.inference_mode()
def seconds(model: nn.Module, size: tuple[int, int], repeats: int = 5) -> float:
    """Median time of a forward pass for one image of `size` on the device of the model, after one to warm up."""
    model = model.eval().to(memory_format=torch.channels_last)
    weight = next(model.parameters())
    channels = next(m for m in model.modules() if isinstance(m, nn.Conv2d)).in_channels
    image = torch.randn(1, channels, *size, device=weight.device).to(memory_format=torch.channels_last)
    times = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        model(image).sum().item()  # waits for the device
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])


def costs(name: str, size: tuple[int, int], num_classes: int = 19, measure: bool = True, **options) -> Costs:
    """Everything about the network `name` with fresh weights.  `measure`: also what needs real runs."""
    torch.manual_seed(0)
    model = models.create(name, num_classes, **options)
    counted = Costs(
        name, size, parameters(model), multiply_adds(model, size), receptive_field(model), step_bytes(model, size)
    )
    if measure:
        counted.measured_field, counted.seconds = measured_field(model), seconds(model, size)
    return counted


def table(rows: Sequence[Costs]) -> str:
    """The costs as a Markdown table."""
    measured = any(row.seconds is not None for row in rows)
    head = ["network", "parameters", "multiply-adds", "sees (pixels)", "training step"]
    lines = [head + (["sees mostly", "forward pass"] if measured else []), []]
    lines[1] = ["---"] * len(lines[0])
    for row in rows:
        field = f"over {LARGEST_FIELD:,}" if row.receptive_field is None else f"{row.receptive_field:,}"
        cells = [
            row.name,
            f"{row.parameters:,}",
            f"{row.multiply_adds / 1e9:.1f} G",
            field,
            f"{row.step_bytes / 2**30:.2f} GiB",
        ]
        lines.append(cells + ([f"{row.measured_field}", f"{row.seconds:.2f} s"] if measured else []))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def write_table(text: str) -> None:
    """Put a `table` between its marks in docs/networks.md."""
    files.replace_between(PAGE, BEGIN, END, text)
