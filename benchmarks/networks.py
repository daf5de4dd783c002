"""Compare training and inference speed of our networks with those of other libraries."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import ModuleType

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course import costs
from seglib import models
from seglib.training.build import pick_memory_format
from seglib.training.optimizer import amp_dtype

from .measure import (
    ONE_THREAD,
    Clock,
    Skipped,
    alone,
    check_equal,
    contest,
    interleaved,
    need,
    processor,
    single,
    threads,
    wall,
)

SIDE = 224
CLASSES = 21
AUXILIARY = 0.4
REPEATS = {"cpu": 5, "cuda": 30}
TOLERANCE = 1e-4  # relative to the largest output in float32; sums are computed in a different order


class Body(nn.Module):
    """A network without its head, which returns feature maps."""

    def __init__(self, network: nn.Module, run: Callable[[nn.Module, Tensor], list[Tensor]]):
        super().__init__()
        self.network, self.run = network, run

    def forward(self, x: Tensor) -> list[Tensor]:
        return self.run(self.network, x)


@dataclass(frozen=True)
class Pair:
    """Two networks for the same task. `load(ours, peer)` copies the weights, or is None if this is impossible."""

    title: str
    peer_is: str
    ours: Callable[[], nn.Module]
    peer: Callable[[], nn.Module]
    load: Callable[[nn.Module, nn.Module], object] | None
    batch: int  # on a CPU; four times as many on a GPU
    library: bool = True  # False if the peer is a variant of our network
    layout: torch.memory_format | None = None  # by default that of our training loop
    peer_layout: torch.memory_format = torch.contiguous_format
    peer_fused: bool = False  # whether the peer also uses the fused optimizer
    peer_amp: str = ""  # by default that of `amp`
    amp: str = "auto"  # "off" for float32
    profiled: bool = False  # whether the note of the training step names its slowest operations


def _timm_streams(network: nn.Module, x: Tensor) -> list[Tensor]:
    x = network.act1(network.bn1(network.conv1(x)))
    return network.stages(network.act2(network.bn2(network.conv2(x))))


def _torchvision() -> nn.Module:
    build = need("torchvision").models.segmentation.deeplabv3_resnet50
    return build(weights=None, weights_backbone=None, num_classes=CLASSES, aux_loss=True)


def _smp_module() -> ModuleType:
    return need("segmentation_models_pytorch", "segmentation-models-pytorch")


PAIRS = {
    "dilated_resnet50": Pair(
        "dilated ResNet-50 with DeepLabV3 head",
        "torchvision's deeplabv3_resnet50 with the same weights",
        lambda: models.create("dilated_resnet50", CLASSES),
        _torchvision,
        lambda ours, peer: models.load_official(ours, peer.state_dict()),
        4,
    ),
    "unet": Pair(
        "U-Net",
        "segmentation-models-pytorch's Unet with a four-level VGG-13 encoder, a different network of similar size",
        lambda: models.create("unet", CLASSES),
        lambda: _smp_module().Unet(
            "vgg13_bn", encoder_depth=4, decoder_channels=(512, 256, 128, 64), encoder_weights=None, classes=CLASSES
        ),
        None,
        2,
    ),
    "hrnet_w18": Pair(
        "HRNet-W18 backbone",
        "timm's hrnet_w18 without its head, with the same weights",
        lambda: Body(models.create("hrnet_w18", CLASSES, upsampling="nearest"), lambda net, x: net.features(x)),
        lambda: Body(need("timm").create_model("hrnet_w18", pretrained=False), _timm_streams),
        lambda ours, peer: models.load_official(ours.network, peer.network.state_dict()),
        4,
    ),
    "unet-layout": Pair(
        "U-Net, channels last",
        "our U-Net in PyTorch's default memory layout",
        lambda: models.create("unet", CLASSES),
        lambda: models.create("unet", CLASSES),
        lambda ours, peer: ours.load_state_dict(peer.state_dict()),
        2,
        library=False,
        layout=torch.channels_last,
    ),
}
PAIRS |= {
    f"{name}-alike": replace(
        pair,
        title=f"{pair.title}, same layout and optimizer for both",
        layout=torch.channels_last,
        peer_layout=torch.channels_last,
        peer_fused=True,
    )
    for name, pair in PAIRS.items()
    if pair.library
}
STEPS = {  # only training steps are measured
    "u2netp": Pair(
        "U2-NetP",
        "the same network in PyTorch's default memory layout, without the fused optimizer",
        lambda: models.create("u2netp", CLASSES),
        lambda: models.create("u2netp", CLASSES),
        lambda ours, peer: ours.load_state_dict(peer.state_dict()),
        4,
        library=False,
        profiled=True,
    ),
    "hrnet_small": Pair(
        "HRNet-small-v2 backbone",
        "timm's hrnet_w18_small_v2 without its head, with the same weights",
        lambda: Body(
            models.create("hrnet_w18_small_v2", CLASSES, upsampling="nearest"), lambda net, x: net.features(x)
        ),
        lambda: Body(need("timm").create_model("hrnet_w18_small_v2", pretrained=False), _timm_streams),
        lambda ours, peer: models.load_official(ours.network, peer.network.state_dict()),
        8,
    ),
    "efficientnet_unet": Pair(
        "U-Net on EfficientNet-Lite0",
        "segmentation-models-pytorch's Unet on tu-tf_efficientnet_lite0, with decoder channels like ours",
        lambda: models.create("efficientnet_unet", CLASSES),
        lambda: _smp_module().Unet(
            "tu-tf_efficientnet_lite0", encoder_weights=None, decoder_channels=(128, 64, 48, 32, 16), classes=CLASSES
        ),
        None,
        8,
    ),
}
STEPS |= {
    f"{name}-float32": replace(pair, title=f"{pair.title}, float32", amp="off", profiled=False)
    for name, pair in (STEPS | {"unet": PAIRS["unet"]}).items()
    if name != "u2netp"  # in float32 anyway
}


def _with_itself(pair: Pair, title: str, peer_is: str, **changes) -> Pair:
    """Return a pair of our network and the same network, trained in another way."""
    copied = {"peer": pair.ours, "load": lambda ours, peer: ours.load_state_dict(peer.state_dict()), "library": False}
    return replace(pair, title=f"{pair.title}, {title}", peer_is=peer_is, **copied, **changes)


STEPS |= {
    f"{name}-format": _with_itself(
        pair,
        "memory format of the training loop on CPUs without AVX-512",
        "the same network in channels last, float32",
        peer_layout=torch.channels_last,
        peer_fused=True,
        amp="off",
        profiled=False,
    )
    for name, pair in {"u2netp": STEPS["u2netp"], "unet": PAIRS["unet"]}.items()
}
STEPS |= {
    f"{name}-plain": _with_itself(
        pair,
        "compared with plain PyTorch",
        "the same network in PyTorch's default precision, memory layout and optimizer",
        peer_amp="off",
    )
    for name, pair in {"efficientnet_unet": STEPS["efficientnet_unet"], "unet": PAIRS["unet"]}.items()
}
PAIRS |= STEPS


def tensors(output: Tensor | dict | list | tuple) -> list[Tensor]:
    """Return the outputs of a network, which are a tensor, a tuple, or torchvision's dictionary, as a list."""
    if isinstance(output, Tensor):
        return [output]
    return list(output.values() if isinstance(output, dict) else output)


class Side:
    """One network of a pair with random images.

    Args:
        model: The network.
        batch: Number of images.
        device: "cpu" or "cuda".
        layout: Memory format in training; None for that of our training loop, with inference in channels last.
        fused: Whether to use the fused optimizer.
        amp: Precision, as in a configuration.
    """

    def __init__(
        self, model: nn.Module, batch: int, device: str, layout: torch.memory_format | None, fused: bool, amp: str
    ):
        self.amp = amp_dtype(amp, torch.device(device), model)
        self.layout = layout or pick_memory_format(model, torch.device(device), self.amp)
        self.model = model.to(device, memory_format=self.layout)
        self.device, self.batch = device, batch
        random = torch.Generator().manual_seed(0)
        images = torch.randn(batch, 3, SIDE, SIDE, generator=random)
        self.images = images.to(device, memory_format=self.layout)
        self.eval_images = self.images.contiguous(memory_format=layout or torch.channels_last)
        self.truth = torch.randint(CLASSES, (batch, SIDE, SIDE), generator=random).to(device)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), **({"fused": True} if fused else {}))

    def _loss(self, outputs: list[Tensor]) -> Tensor:
        if outputs[0].shape[-1] != SIDE:  # feature maps, for which there are no targets
            return sum(maps.float().square().mean() for maps in outputs)
        weights = [1.0] + [AUXILIARY] * (len(outputs) - 1)
        return sum(
            weight * F.cross_entropy(logits.float(), self.truth)
            for weight, logits in zip(weights, outputs, strict=True)
        )

    def step(self) -> None:
        self.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.device, self.amp, enabled=self.amp is not None):
            outputs = tensors(self.model(self.images))
        self._loss(outputs).backward()
        self.optimizer.step()
        self._wait()

    @torch.inference_mode()
    def infer(self) -> None:
        self.model.eval()
        with torch.autocast(self.device, self.amp, enabled=self.amp is not None):
            self.model(self.eval_images)
        self._wait()

    @torch.inference_mode()
    def exact(self) -> Tensor:
        """Return the first output for one image, in float32 and eval mode."""
        return tensors(self.model.eval()(self.images[:1]))[0].cpu()

    def _wait(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()


def make_side(pair: Pair, which: str, model: nn.Module, device: str) -> Side:
    """Return the side of `model`, which is the pair's network `which`, "ours" or "peer"."""
    batch = pair.batch * (4 if device == "cuda" else 1)
    if which == "ours":
        return Side(model, batch, device, pair.layout, True, pair.amp)
    return Side(model, batch, device, pair.peer_layout, pair.peer_fused, pair.peer_amp or pair.amp)


def sides(name: str, device: str) -> tuple[Side, Side]:
    """Return both networks of a pair, after checking their outputs.

    The outputs must be equal if the networks have the same weights; otherwise only their shapes must be equal.
    """
    pair = PAIRS[name]
    torch.manual_seed(0)
    peer, ours = pair.peer(), pair.ours()
    if pair.load:
        pair.load(ours, peer)
    both = make_side(pair, "ours", ours, device), make_side(pair, "peer", peer, device)
    if name.endswith("-format") and both[0].layout is pair.peer_layout:
        raise Skipped("this machine trains the network in channels last")
    our_output, peer_output = (side.exact() for side in both)
    if pair.load:
        tf32 = device == "cuda"  # convolutions in TF32 round inputs to 10 bits
        check_equal(our_output, peer_output, f"{name}'s outputs", 2e-2 if tf32 else TOLERANCE)
    else:
        check_equal(our_output.shape, peer_output.shape, f"the shapes of {name}'s outputs")
    return both


def speed(name: str, what: str, device: str) -> dict:
    """Measure the images per second of both networks of a pair, in training ("train") or inference ("infer")."""
    pair = PAIRS[name]
    ours, peer = sides(name, device)
    calls = (ours.step, peer.step) if what == "train" else (ours.infer, peer.infer)
    dtype = ours.amp or torch.float32
    on_one_core = name in STEPS and device == "cpu"  # can be measured while other programs run
    with threads(1 if on_one_core else torch.get_num_threads()):
        clock = processor if on_one_core else wall
        numbers = contest(*interleaved(*calls, REPEATS[device], clock), "images/s", lambda s: ours.batch / s, True)
        top = matmul_flops(device, dtype, clock=clock)
        slowest = f"; {slowest_operations(ours.step)}" if pair.profiled and what == "train" else ""
    works = [_operations(side.model) * (3 if what == "train" else 1) for side in (ours, peer)]
    shares = [work * rate / top for work, rate in zip(works, (numbers["ours"], numbers["peer"]), strict=True)]
    note = (
        f"batch of {ours.batch} images of {SIDE}x{SIDE}, {str(dtype).removeprefix('torch.')}; {shares[0]:.0%} of the "
        f"FLOP/s of a large matrix multiplication (baseline: {shares[1]:.0%})"
    )
    if not pair.load:
        note += f"; {describe_weights(ours.model, peer.model)}; the baseline has {works[1] / works[0]:.2f} x the FLOPs"
    note += (f"; {ONE_THREAD}" if on_one_core else "") + slowest
    return numbers | {"peer_is": pair.peer_is, "library": pair.library, "share_of_peak": shares, "note": note}


def slowest_operations(step: Callable[[], object], count: int = 6) -> str:
    """Return a phrase with the shares of the operations that take most of the CPU time of `step`."""
    step()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        step()
    events = sorted(profile.key_averages(), key=lambda event: event.self_cpu_time_total, reverse=True)
    total = sum(event.self_cpu_time_total for event in events)
    names = [
        f"{event.key.removeprefix('aten::').replace('_', ' ').strip()} {event.self_cpu_time_total / total:.0%}"
        for event in events[:count]
    ]
    return f"time by operation: {', '.join(names)}"


def describe_weights(ours: nn.Module, peer: nn.Module) -> str:
    """Return a phrase with the parameter counts of two networks."""
    sizes = [costs.parameters(model) / 1e6 for model in (ours, peer)]
    return f"{sizes[0]:.1f}M parameters (baseline: {sizes[1]:.1f}M)"


def _operations(model: nn.Module) -> float:
    """Return the FLOPs of a forward pass for one image."""
    return 2.0 * costs.macs(model, (SIDE, SIDE))


def matmul_flops(device: str, dtype: torch.dtype, side: int | None = None, clock: Clock = wall) -> float:
    """Return the FLOP/s of a product of two square matrices, as the median of seven measurements."""
    side = side or (8192 if device == "cuda" else 2048)
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))

    def product() -> None:
        a @ b
        if device == "cuda":
            torch.cuda.synchronize()

    return 2.0 * side**3 / sorted(alone(product, 7, clock))[3]


def peak(device: str) -> dict:
    """Measure the FLOP/s of a large matrix product at training precision, as a reference for utilization."""
    dtype = amp_dtype("auto", torch.device(device)) or torch.float32
    note = f"square matrices with {8192 if device == 'cuda' else 2048} rows in {str(dtype).removeprefix('torch.')}"
    return single([matmul_flops(device, dtype) / 1e9 for _ in range(3)], "GFLOP/s") | {"note": note}
