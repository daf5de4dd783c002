"""The exercises of notebook 04, HRNet."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seglib.models.hrnet import HighResolutionModule

from . import Hint, exercise
from .answers import attempt, expect_close, number


@exercise("04_hrnet/1")
def stream_sizes(answer):
    """`answer(height, width, streams)`: (height, width) of every stream for an image of that size."""
    for height, width, streams in ((256, 384, 4), (97, 65, 4), (240, 320, 3), (37, 51, 2)):
        result = _pairs(answer(height, width, streams), height, width, streams)
        right = _sizes(height, width, streams)
        mistakes = [
            (
                [(height >> i + 2, width >> i + 2) for i in range(streams)],
                "an odd size is rounded up, not down: stride 2 begins at the first pixel and also takes the last one",
            ),
            ([(width, height) for height, width in right], "height comes first, width second"),
            (_sizes(height, width, streams, first=0), "the stem is missing: it downsamples twice"),
            (_sizes(height, width, streams, first=1), "the stem downsamples twice, by two convolutions with stride 2"),
            (_sizes(height, width, streams, first=3), "the first stream keeps the size that the stem gives, 1/4"),
            ([right[0]] * streams, "each stream has half the resolution of the one before"),
            (right[::-1], "begin with the finest stream"),
        ]
        if len(result) != streams:
            raise Hint(f"{streams} streams have {streams} sizes, but your list has {len(result)}")
        where = f"an image of {height} x {width} has streams of {', '.join(f'{h} x {w}' for h, w in right)}"
        expect_close(result, right, mistakes, f"{where}: two steps of stride 2 in the stem, one more each")


@exercise("04_hrnet/2")
def weights_of_the_paths(answer):
    """`answer(widths)`: the parameters of all paths between the streams of one module."""
    for widths in ((8, 16), (18, 36, 72), (16, 32, 64, 128), (4, 6, 9)):
        right = _paths(widths)
        conv, bias = _paths(widths, norm=False), _paths(widths, norm=False, bias=True)
        mistakes = [
            (conv, "the normalisations are missing: each convolution has one, two numbers for each of its channels"),
            (bias, "these convolutions have no bias, but a normalisation each: two numbers for each of its channels"),
            (_paths(widths, bias=True), "the convolutions have no bias: the normalisation would take it away again"),
            (_paths(widths, up_size=3), "the way up is a 1x1 convolution; the interpolation afterwards has no weights"),
            (_paths(widths, down_size=1), "the way down is a 3x3 convolution: 9 numbers for each pair of channels"),
            (_paths(widths, steps=1), "two downsampling steps are two convolutions with stride 2, in sequence"),
            (
                _paths(widths, early=True),
                "on the way down the channels change in the last step alone; those before keep the source's",
            ),
            (_paths(widths, same=True), "from a stream to itself leads no convolution: it is added as it is"),
            (_paths(widths, down=False), "the ways down are missing: every stream sends to every other"),
            (_paths(widths, up=False), "the ways up are missing: every stream sends to every other"),
        ]
        where = f"for widths {widths} it is {right:,}: a*b + 2b for a way up, for a way down 9*a*a + 2a for each step "
        expect_close(number(answer(widths)), right, mistakes, where + "but the last, and 9*a*b + 2b for that one")


@exercise("04_hrnet/3")
def receive(answer):
    """`answer(fine, coarse, weight)`: the fine stream (1, A, H, W) after it received from the coarse (1, B, h, w)."""
    generator = torch.Generator().manual_seed(0)
    for height, width in ((4, 6), (5, 7)):  # rounded up on the way down: 5 x 7 becomes 3 x 4
        fine = torch.randn(1, 2, height, width, generator=generator)
        coarse = torch.randn(1, 3, -(-height // 2), -(-width // 2), generator=generator)
        weight = torch.randn(2, 3, generator=generator)
        try:
            result = answer(fine.clone(), coarse.clone(), weight.clone())
        except RuntimeError as error:
            if height % 2 == 0 or isinstance(error, NotImplementedError):
                raise
            raise Hint(
                f"it stops where a stream of {height} x {width} receives from one of {coarse.shape[-2]} x "
                f"{coarse.shape[-1]}: upsample to the fine stream's own size, not by a factor of 2"
            ) from None
        _compare_received(_check_image(result, fine.shape, "the fine stream"), fine, coarse, weight)


def _compare_received(result: Tensor, fine: Tensor, coarse: Tensor, weight: Tensor) -> None:
    mixed = torch.einsum("oc,nchw->nohw", weight, coarse)
    size = fine.shape[-2:]
    up = F.interpolate(mixed, size=size, mode="bilinear", align_corners=False)
    cornered = F.interpolate(mixed, size=size, mode="bilinear", align_corners=True)
    twice = F.interpolate(mixed, scale_factor=2, mode="bilinear", align_corners=False)[..., : size[0], : size[1]]
    nearest = F.interpolate(mixed, size=size, mode="nearest")
    mistakes = [
        (fine + up, "the ReLU after the sum is missing"),
        (fine + up.relu(), "the ReLU comes after the sum, not before: a message must be able to take something away"),
        ((fine + up.relu()).relu(), "there is a ReLU before the sum too: then a message can never take anything away"),
        (fine.relu() + up.relu(), "sum first, then one ReLU: two negative numbers would count for nothing here"),
        (up.relu(), "this is the message alone; the fine stream keeps what it has and adds the message"),
        ((fine + nearest).relu(), "this upsamples by the nearest pixel; use mode='bilinear'"),
        ((fine + cornered).relu(), "align_corners must be False, as in the rest of the network"),
        ((fine + twice).relu(), "upsample to the fine stream's own size: for odd sizes that is not twice the coarse"),
    ]
    default_hint = "mix the coarse channels by the weight, upsample to the fine size, add the fine stream, then ReLU"
    _compare_maps(result, (fine + up).relu(), mistakes, default_hint)


@exercise("04_hrnet/4")
def way_down(answer):
    """`answer(x, kernels)`: the path from x (1, C, H, W) to a coarser stream, one step for each kernel."""
    generator = torch.Generator().manual_seed(0)
    for count, height, width in ((1, 6, 8), (2, 8, 12), (3, 33, 29)):
        x = torch.randn(1, 2, height, width, generator=generator)
        kernels = [torch.randn(2 + (i == count - 1), 2, 3, 3, generator=generator) for i in range(count)]
        result = answer(x.clone(), [kernel.clone() for kernel in kernels])
        right = _down(x, kernels)
        if isinstance(result, Tensor) and tuple(result.shape) == (1, 3, height, width):
            raise Hint("the map is as large as before: each convolution needs stride=2")
        unpadded = _down(x, kernels, padding=0).shape
        if isinstance(result, Tensor) and result.shape == unpadded != right.shape:
            raise Hint("a border is lost at each step: pad by 1, so that the size is downsampled and rounded up")
        mistakes = [
            (_down(x, kernels).relu(), "no ReLU after the last step: the message must be able to be negative"),
            (_down(x, kernels, between=False), "between two steps a ReLU is missing; without it they are one step"),
            (_down(x.relu(), kernels), "what is sent has been through a ReLU already; begin with the convolution"),
        ]
        default_hint = "F.conv2d(x, kernel, stride=2, padding=1) for each kernel, and a ReLU between two of them"
        _compare_maps(_check_image(result, right.shape, "the coarser stream"), right, mistakes, default_hint)


@exercise("04_hrnet/5")
def two_streams(answer):
    """`answer(num_classes, width)`: an HRNet of two streams with one exchange."""
    model = attempt("TwoStreams(num_classes=3, width=4)", lambda: answer(num_classes=3, width=4))
    if not isinstance(model, nn.Module):
        raise Hint("TwoStreams must be a class derived from nn.Module (and do not forget to call super().__init__())")
    recorded: dict[str, list] = {"streams": [], "ones": []}
    for module in model.modules():
        if isinstance(module, HighResolutionModule):
            module.register_forward_hook(lambda m, _, out: recorded["streams"].append([tuple(x.shape) for x in out]))
        elif isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1):
            module.register_forward_hook(lambda m, inputs, out: recorded["ones"].append(m))
    model.train()  # normalised by the batch, untrained features are large enough to separate logits from probabilities
    for height, width in ((32, 48), (37, 51)):
        _check_two_streams(model, recorded, height, width)


def _check_two_streams(model: nn.Module, recorded: dict[str, list], height: int, width: int) -> None:
    for result in recorded.values():
        result.clear()
    image = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        out = attempt(f"your model on images of shape {tuple(image.shape)}", lambda: model(image))
    if out is None:
        raise NotImplementedError
    if not isinstance(out, Tensor) or out.ndim != 4:
        raise Hint("forward must return the logits, one tensor (N, num_classes, H, W)")
    _check_logits(out, height, width)
    if len(recorded["streams"]) != 1:
        count = len(recorded["streams"])
        raise Hint(f"the streams should exchange once, but the package's HighResolutionModule ran {count} times")
    expected = [(2, 4 * 2**i, *size) for i, size in enumerate(_sizes(height, width, 2))]
    if recorded["streams"][0] != expected:
        raise Hint(f"for {height} x {width} the streams should be {expected}, but are {recorded['streams'][0]}")
    if recorded["ones"] and recorded["ones"][-1].in_channels == 4:
        raise Hint("the head gets the fine stream alone; concatenate both streams before the last convolution")


def _check_logits(out: Tensor, height: int, width: int) -> None:
    if tuple(out.shape[-2:]) == _sizes(height, width, 1)[0]:
        raise Hint(f"the logits have 1/4 of the image's size, {tuple(out.shape[-2:])}: upsample them at the end")
    if out.shape[1] != 3:
        raise Hint(f"there are {out.shape[1]} channels for 3 classes: end with nn.Conv2d(3 * width, num_classes, 1)")
    if tuple(out.shape) != (2, 3, height, width):
        raise Hint(f"2 images of {height} x {width} must give logits {(2, 3, height, width)}, not {tuple(out.shape)}")
    if (out >= 0).all() and (out == 0).any():
        raise Hint("no output is negative and some are exactly 0: drop the ReLU after the last convolution")
    if ((out >= 0) & (out <= 1)).all():
        raise Hint("all outputs are between 0 and 1: leave softmax or sigmoid to the loss and give logits")


def _sizes(height: int, width: int, streams: int, first: int = 2) -> list[tuple[int, int]]:
    """Of every stream; the first has `first` downsampling steps behind it."""
    return [(-(-height // 2**i), -(-width // 2**i)) for i in range(first, first + streams)]


def _pairs(result, height: int, width: int, streams: int) -> list[tuple[int, int]]:
    def read() -> list[tuple[int, int]]:
        return [(int(h), int(w)) for h, w in result]

    try:
        return read()
    except (TypeError, ValueError):
        raise Hint(f"for ({height}, {width}, {streams}) give a list of pairs (height, width), one a stream") from None


def _paths(
    widths, norm=True, bias=False, up_size=1, down_size=3, steps=None, early=False, same=False, up=True, down=True
) -> int:
    """The parameters of all paths; the options are what may go wrong in counting them."""
    total = 0
    for i, target in enumerate(widths):
        for j, source in enumerate(widths):
            if i == j:
                pairs = [(source, target, 1)] if same else []
            elif i < j:
                pairs = [(source, target, up_size)] if up else []
            else:
                between = target if early else source
                channels = [source] + [between] * ((steps or i - j) - 1) + [target]
                pairs = [(a, b, down_size) for a, b in zip(channels, channels[1:], strict=False)] if down else []
            total += sum(size * size * a * b + (2 * norm + bias) * b for a, b, size in pairs)
    return total


def _down(x: Tensor, kernels: list[Tensor], between: bool = True, padding: int = 1) -> Tensor:
    for place, kernel in enumerate(kernels):
        x = F.conv2d(x.relu() if place and between else x, kernel, stride=2, padding=padding)
    return x


def _check_image(result, shape: tuple, name: str) -> Tensor:
    """The answer, if it is an image of the right shape."""
    if not isinstance(result, Tensor):
        raise Hint(f"return {name} as a tensor, not a {type(result).__name__}")
    if result.shape != shape:
        raise Hint(f"{name} must have shape {tuple(shape)}, yours has {tuple(result.shape)}")
    return result


def _compare_maps(result: Tensor, right: Tensor, mistakes: list[tuple[Tensor, str]], default_hint: str) -> None:
    """As `compare`, for maps, whose sums may be taken in any order."""
    for wrong, hint in [(right, ""), *mistakes]:
        if wrong.shape == result.shape and torch.allclose(result.float(), wrong, rtol=0, atol=1e-4):
            if hint:
                raise Hint(hint)
            return
    raise Hint(default_hint)
