"""Compute the number of parameters, the MACs, memory, inference time and receptive field of a network.

Parameters, MACs and memory are counted on PyTorch's meta device, where tensors have shapes but no values. The counts
are therefore the same on every machine. Time and the effective receptive field are measured.

MACs are multiply-accumulate operations; one MAC is two FLOPs.
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

from seglib import models

from .places import replace_between

BYTES_PER_PARAMETER = 16  # weight, gradient and Adam's two moments in float32
PAGE = Path(__file__).resolve().parents[1] / "docs" / "networks.md"
BEGIN, END = "<!-- models: seglib models --counted --write -->", "<!-- end of models -->"
LARGEST_FIELD = 4096  # pixels; the receptive field of networks with global pooling is larger
ROWS = 16  # height of the strip on which the receptive field is measured


@dataclass
class Costs:
    """The costs of one network for one image.

    Attributes:
        name: Name of the network.
        size: (height, width) of the image.
        parameters: Number of parameters.
        macs: MACs of a forward pass.
        receptive_field: Receptive field in pixels, or None if it is larger than LARGEST_FIELD.
        step_bytes: Memory of a training step with Adam, in bytes.
        effective_field: Effective receptive field in pixels, or None if it was not measured.
        seconds: Time of a forward pass, or None if it was not measured.
    """

    name: str
    size: tuple[int, int]
    parameters: int
    macs: int
    receptive_field: int | None
    step_bytes: int
    effective_field: int | None = None
    seconds: float | None = None


def parameters(model: nn.Module) -> int:
    """Return the number of parameters."""
    return sum(p.numel() for p in model.parameters())


def _on_meta(model: nn.Module, size: tuple[int, int]) -> tuple[nn.Module, Tensor]:
    channels = next(m for m in model.modules() if isinstance(m, nn.Conv2d)).in_channels
    return copy.deepcopy(model).to("meta"), torch.empty(1, channels, *size, device="meta")


def macs(model: nn.Module, size: tuple[int, int]) -> int:
    """Count the MACs of all convolutions and matrix products for one image of `size` (height, width)."""
    twin, image = _on_meta(model.eval(), size)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        twin(image)
    return counter.get_total_flops() // 2  # one MAC is two FLOPs


def step_bytes(model: nn.Module, size: tuple[int, int]) -> int:
    """Estimate the memory in bytes of a training step on one image of `size` (height, width) in float32.

    The estimate includes weights, gradients, Adam's moments, and the tensors that the forward pass saves for the
    backward pass.
    """
    twin, image = _on_meta(model, size)
    in_model = {value.untyped_storage()._cdata for value in twin.state_dict(keep_vars=True).values()}
    saved: dict[int, torch.UntypedStorage] = {}  # by storage, because several operations may save the same tensor

    def save(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in in_model:
            saved[storage._cdata] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(save, lambda tensor: tensor):
        twin.train()(image)
    return BYTES_PER_PARAMETER * parameters(model) + sum(storage.nbytes() for storage in saved.values())


class _Skeleton(nn.Module):
    """A convolution with one channel and equal weights that connects the same pixels as `layer`."""

    def __init__(self, layer: nn.Conv2d | nn.ConvTranspose2d):
        super().__init__()
        same = {key: getattr(layer, key) for key in ("stride", "padding", "dilation")}
        self.layer = type(layer)(1, 1, layer.kernel_size, bias=False, **same).double()
        nn.init.constant_(self.layer.weight, 1 / self.layer.weight.numel())  # keeps outputs close to 1

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.sum(dim=1, keepdim=True))


def receptive_field(model: nn.Module) -> int | None:
    """Compute the side length of the receptive field, the square of input pixels on which an output pixel can depend.

    The layers of a copy are simplified: convolutions get one channel and equal weights, average pooling replaces max
    pooling, and activations and normalizations are removed. The gradient of an output pixel of this copy is nonzero
    exactly at the input pixels to which the output pixel is connected.

    Returns:
        The side length in pixels, or None if it is larger than LARGEST_FIELD.
    """
    skeleton = nn.Sequential(copy.deepcopy(model)).eval()  # a container, so that a single layer can be replaced, too
    for name, layer in list(skeleton.named_modules()):
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            replacement = _Skeleton(layer)
        elif isinstance(layer, nn.MaxPool2d):
            replacement = nn.AvgPool2d(layer.kernel_size, layer.stride, layer.padding, layer.ceil_mode)
        elif isinstance(layer, (nn.modules.batchnorm._NormBase, nn.ReLU, nn.Dropout)):
            replacement = nn.Identity()  # ignores that instance normalization weakly depends on all pixels
        else:
            continue
        skeleton.set_submodule(name, replacement)
    image = torch.ones(1, 1, ROWS, 2 * LARGEST_FIELD, dtype=torch.float64, requires_grad=True)
    # With strides, the receptive field depends on the position of the output pixel, so 32 columns are tested.
    side = 0
    output = skeleton(image)
    for column in range(LARGEST_FIELD, LARGEST_FIELD + 32):
        (gradient,) = torch.autograd.grad(output[0, 0, ROWS // 2, column], image, retain_graph=True)
        columns = gradient[0, 0].abs().sum(dim=0).nonzero()[:, 0]
        side = max(side, int(columns[-1] - columns[0]) + 1)
    return side if side <= LARGEST_FIELD else None


def effective_receptive_field(
    model: nn.Module, side: int = 224, images: Tensor | None = None, share: float = 0.95
) -> int:
    """Measure the effective receptive field, which is much smaller than the theoretical receptive field.

    Luo, Li, Urtasun and Zemel, "Understanding the Effective Receptive Field in Deep Convolutional Neural Networks",
    NeurIPS 2016, https://arxiv.org/abs/1701.04128.

    Args:
        model: The network; it is set to evaluation mode.
        side: Height and width of the images in pixels.
        images: The images (N, C, side, side) to average over; by default four images of Gaussian noise.
        share: The fraction of the total absolute gradient that the square must contain.

    Returns:
        The side length in pixels of the smallest square around the center that contains the fraction `share` of the
        absolute gradient of the central output pixel.
    """
    mass = gradient_map(model, side, images)
    total, middle = mass.sum(), side // 2
    for radius in range(1, middle + 1):
        inside = mass[middle - radius : middle + radius + 1, middle - radius : middle + radius + 1].sum()
        if inside >= share * total:
            return min(2 * radius + 1, side)
    return side


def gradient_map(model: nn.Module, side: int = 224, images: Tensor | None = None) -> Tensor:
    """Return the mean absolute gradient of the central output pixel with respect to each input pixel, (side, side)."""
    if images is None:
        channels = next(m for m in model.modules() if isinstance(m, nn.Conv2d)).in_channels
        images = torch.randn(4, channels, side, side, generator=torch.Generator().manual_seed(0))
    images = images.detach().clone().requires_grad_()
    output = model.eval()(images)
    (gradient,) = torch.autograd.grad(output[:, :, side // 2, side // 2].sum(), images)
    return gradient.abs().mean(dim=(0, 1))


@torch.inference_mode()
def seconds(model: nn.Module, size: tuple[int, int], repeats: int = 5) -> float:
    """Measure the median time in seconds of a forward pass for one image of `size` on the device of the model."""
    model = model.eval().to(memory_format=torch.channels_last)
    weight = next(model.parameters())
    channels = next(m for m in model.modules() if isinstance(m, nn.Conv2d)).in_channels
    image = torch.randn(1, channels, *size, device=weight.device).to(memory_format=torch.channels_last)
    times = []
    for _ in range(repeats + 1):  # the first pass is a warm-up
        start = time.perf_counter()
        model(image).sum().item()  # waits for the device
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def costs(name: str, size: tuple[int, int], num_classes: int = 19, measure: bool = True, **options) -> Costs:
    """Return the costs of the network `name`. If `measure` is true, also measure time and effective receptive field."""
    torch.manual_seed(0)
    model = models.create(name, num_classes, **options)
    counted = Costs(name, size, parameters(model), macs(model, size), receptive_field(model), step_bytes(model, size))
    if measure:
        counted.effective_field, counted.seconds = effective_receptive_field(model), seconds(model, size)
    return counted


def table(rows: Sequence[Costs]) -> str:
    """Return the costs as a Markdown table."""
    measured = any(row.seconds is not None for row in rows)
    head = ["network", "parameters", "MACs", "receptive field", "training step"]
    lines = [head + (["effective receptive field", "forward pass"] if measured else []), []]
    lines[1] = ["---"] * len(lines[0])
    for row in rows:
        field = f"over {LARGEST_FIELD:,}" if row.receptive_field is None else f"{row.receptive_field:,}"
        cells = [
            row.name,
            f"{row.parameters:,}",
            f"{row.macs / 1e9:.1f} G",
            field,
            f"{row.step_bytes / 2**30:.2f} GiB",
        ]
        lines.append(cells + ([f"{row.effective_field}", f"{row.seconds:.2f} s"] if measured else []))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def write_table(text: str) -> None:
    """Replace the table in docs/networks.md, which is between the lines BEGIN and END."""
    replace_between(PAGE, BEGIN, END, text)
