"""Checkers for notebook 04, HRNet."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from . import Hint, exercise
from .answers import attempt, expect_close, number


@exercise("04_hrnet/1")
def light_block(answer):
    """Check that `answer(channels)` returns a residual block with a depthwise 3x3 and a pointwise 1x1 convolution."""
    block = attempt("LightBlock(channels=6)", lambda: answer(6))
    if not isinstance(block, nn.Module):
        raise Hint("LightBlock must be a class derived from nn.Module (and do not forget to call super().__init__())")
    calls: list[tuple[nn.Module, Tensor, Tensor]] = []
    for module in block.modules():
        if isinstance(module, (nn.Conv2d, nn.BatchNorm2d)):
            module.register_forward_hook(lambda m, inputs, out: calls.append((m, inputs[0].clone(), out.clone())))
    x = torch.randn(2, 6, 9, 7, generator=torch.Generator().manual_seed(0)).relu()
    with torch.no_grad():
        out = attempt(f"your block on features of shape {tuple(x.shape)}", lambda: block.train()(x.clone()))
    if out is None:
        raise NotImplementedError
    _check_light_layers(block, calls)
    _check_image(out, x.shape, "the output")
    _check_light_sum(out, x, calls)


def _check_light_layers(block: nn.Module, calls: list[tuple[nn.Module, Tensor, Tensor]]) -> None:
    convs = [module for module, _, _ in calls if isinstance(module, nn.Conv2d)]
    if [conv.kernel_size for conv in convs] != [(3, 3), (1, 1)]:
        sizes = ", ".join("x".join(map(str, conv.kernel_size)) for conv in convs)
        raise Hint(
            f"there should be a 3x3 and then a 1x1 convolution, but {len(convs)} convolutions ran"
            + f" ({sizes})" * bool(convs)
        )
    depthwise, pointwise = convs
    if depthwise.groups != 6:
        raise Hint(f"the 3x3 convolution has groups={depthwise.groups}; depthwise means groups=channels")
    if pointwise.groups != 1:
        raise Hint("the 1x1 convolution should combine all channels: leave its groups at 1")
    if depthwise.bias is not None or pointwise.bias is not None:
        raise Hint("the convolutions need no bias (bias=False): batch normalization would cancel it")
    kinds = [type(module).__name__ for module, _, _ in calls]
    if kinds != ["Conv2d", "BatchNorm2d"] * 2:
        raise Hint(f"each convolution should be followed by one batch normalization, but these ran: {', '.join(kinds)}")
    right = 9 * 6 + 6 * 6 + 4 * 6
    count = sum(parameter.numel() for parameter in block.parameters())
    if count != right:
        why = "is a layer unused?" if count > right else "is a layer used twice?"
        raise Hint(f"for 6 channels the block should have {right} parameters, but it has {count}: {why}")


def _check_light_sum(out: Tensor, x: Tensor, calls: list[tuple[nn.Module, Tensor, Tensor]]) -> None:
    (_, entered, deep), (_, normed, first), (_, middle, mixed), (_, remixed, change) = calls
    if not torch.allclose(entered, x, atol=1e-5):
        raise Hint("the 3x3 convolution should get the block's input as it is")
    for name, out_of_conv, into_norm in (("3x3", deep, normed), ("1x1", mixed, remixed)):
        if not torch.allclose(into_norm, out_of_conv, atol=1e-5):
            raise Hint(f"batch normalization should get the output of the {name} convolution as it is, without a ReLU")
    if not torch.allclose(middle, first.relu(), atol=1e-5):
        raise Hint("there should be one ReLU between the first batch normalization and the 1x1 convolution")
    mistakes = [
        (x + change, "the ReLU after the sum is missing"),
        (change.relu(), "the shortcut is missing: add the block's input"),
        (change, "the shortcut is missing: add the block's input, then apply the ReLU"),
        (x + change.relu(), "the ReLU comes after the sum: the residual may be negative"),
        ((x + change.relu()).relu(), "no ReLU before the sum: the residual may be negative"),
    ]
    _compare_maps(out, (x + change).relu(), mistakes, "return ReLU(input + result of the second batch normalization)")


@exercise("04_hrnet/2")
def branch_sizes(answer):
    """Check that `answer(height, width, branches)` returns the size of every branch for an image of this size."""
    for height, width, branches in ((256, 384, 4), (97, 65, 4), (240, 320, 3), (37, 51, 2)):
        result = _pairs(answer(height, width, branches), height, width, branches)
        right = _sizes(height, width, branches)
        mistakes = [
            (
                [(height >> i + 2, width >> i + 2) for i in range(branches)],
                "odd sizes are rounded up, not down: stride 2 starts at the first pixel and also includes the last",
            ),
            ([(width, height) for height, width in right], "height comes first, width second"),
            (_sizes(height, width, branches, first=0), "the stem is missing: it downsamples twice"),
            (_sizes(height, width, branches, first=1), "the stem downsamples twice, by two convolutions with stride 2"),
            (_sizes(height, width, branches, first=3), "the first branch has the resolution of the stem's output, 1/4"),
            ([right[0]] * branches, "each branch has half the resolution of the one before"),
            (right[::-1], "start with the branch of the highest resolution"),
        ]
        if len(result) != branches:
            raise Hint(f"{branches} branches have {branches} sizes, but your list has {len(result)}")
        where = f"for an image of {height} x {width} the sizes are {', '.join(f'{h} x {w}' for h, w in right)}"
        expect_close(result, right, mistakes, f"{where}: the stem has stride 2 twice, and each branch once more")


@exercise("04_hrnet/3")
def weights_of_the_paths(answer):
    """Check that `answer(widths)` returns the parameter count of all paths between the branches of one module."""
    for widths in ((8, 16), (18, 36, 72), (16, 32, 64, 128), (4, 6, 9)):
        right = _paths(widths)
        conv, bias = _paths(widths, norm=False), _paths(widths, norm=False, bias=True)
        mistakes = [
            (
                conv,
                "the normalizations are missing: each convolution is followed by one, with two parameters per channel",
            ),
            (bias, "the convolutions have no bias, but a normalization each, with two parameters per channel"),
            (_paths(widths, bias=True), "the convolutions have no bias: the normalization would cancel it"),
            (_paths(widths, up_size=3), "the path up is a 1x1 convolution; the interpolation after it has no weights"),
            (_paths(widths, down_size=1), "the path down is a 3x3 convolution: 9 weights for each pair of channels"),
            (_paths(widths, steps=1), "two downsampling steps are two convolutions with stride 2, in sequence"),
            (
                _paths(widths, early=True),
                "on a path down, only the last step changes the number of channels",
            ),
            (
                _paths(widths, same=True),
                "there is no convolution from a branch to itself: its features are added unchanged",
            ),
            (_paths(widths, down=False), "the paths down are missing: every branch is connected to all others"),
            (_paths(widths, up=False), "the paths up are missing: every branch is connected to all others"),
        ]
        where = (
            f"for widths {widths} it is {right:,}: a*b + 2b for a path up; for a path down 9*a*a + 2a for each step "
        )
        expect_close(number(answer(widths)), right, mistakes, where + "except the last, which has 9*a*b + 2b")


@exercise("04_hrnet/4")
def receive(answer):
    """Check that `answer(fine, coarse, weight)` returns the fine branch after the exchange with the coarse branch.

    The fine branch has shape (1, A, H, W), the coarse branch (1, B, h, w), the weight of the 1x1 convolution (A, B).
    """
    generator = torch.Generator().manual_seed(0)
    for height, width in ((4, 6), (5, 7)):  # stride 2 rounds up: 5 x 7 becomes 3 x 4
        fine = torch.randn(1, 2, height, width, generator=generator)
        coarse = torch.randn(1, 3, -(-height // 2), -(-width // 2), generator=generator)
        weight = torch.randn(2, 3, generator=generator)
        try:
            result = answer(fine.clone(), coarse.clone(), weight.clone())
        except RuntimeError as error:
            if height % 2 == 0 or isinstance(error, NotImplementedError):
                raise
            raise Hint(
                f"it failed for a fine branch of {height} x {width} and a coarse branch of {coarse.shape[-2]} x "
                f"{coarse.shape[-1]}: upsample to the size of the fine branch, not by a factor of 2"
            ) from None
        _compare_received(_check_image(result, fine.shape, "the fine branch"), fine, coarse, weight)


def _compare_received(result: Tensor, fine: Tensor, coarse: Tensor, weight: Tensor) -> None:
    mixed = torch.einsum("oc,nchw->nohw", weight, coarse)
    size = fine.shape[-2:]
    up = F.interpolate(mixed, size=size, mode="bilinear", align_corners=False)
    cornered = F.interpolate(mixed, size=size, mode="bilinear", align_corners=True)
    twice = F.interpolate(mixed, scale_factor=2, mode="bilinear", align_corners=False)[..., : size[0], : size[1]]
    nearest = F.interpolate(mixed, size=size, mode="nearest")
    mistakes = [
        (fine + up, "the ReLU after the sum is missing"),
        (fine + up.relu(), "the ReLU comes after the sum, not before: the terms may be negative"),
        ((fine + up.relu()).relu(), "remove the ReLU before the sum: the terms may be negative"),
        (fine.relu() + up.relu(), "add first, then apply one ReLU: here negative terms are lost"),
        (up.relu(), "this is only the term of the coarse branch; add it to the fine branch"),
        ((fine + nearest).relu(), "this is nearest-neighbor upsampling; use mode='bilinear'"),
        ((fine + cornered).relu(), "align_corners must be False, as in the rest of the network"),
        (
            (fine + twice).relu(),
            "upsample to the size of the fine branch: for odd sizes it is not twice the coarse size",
        ),
    ]
    default_hint = "apply the 1x1 convolution to the coarse branch, upsample, add the fine branch, and apply ReLU"
    _compare_maps(result, (fine + up).relu(), mistakes, default_hint)


@exercise("04_hrnet/5")
def path_down(answer):
    """Check that `answer(x, kernels)` downsamples x (1, C, H, W) to a coarser branch, one step for each kernel."""
    generator = torch.Generator().manual_seed(0)
    for count, height, width in ((1, 6, 8), (2, 8, 12), (3, 33, 29)):
        x = torch.randn(1, 2, height, width, generator=generator)
        kernels = [torch.randn(2 + (i == count - 1), 2, 3, 3, generator=generator) for i in range(count)]
        result = answer(x.clone(), [kernel.clone() for kernel in kernels])
        right = _down(x, kernels)
        if isinstance(result, Tensor) and tuple(result.shape) == (1, 3, height, width):
            raise Hint("the feature map is as large as before: each convolution needs stride=2")
        unpadded = _down(x, kernels, padding=0).shape
        if isinstance(result, Tensor) and result.shape == unpadded != right.shape:
            raise Hint("each step crops the border: use padding=1, so that the size is halved and rounded up")
        mistakes = [
            (_down(x, kernels).relu(), "no ReLU after the last step: the result may be negative"),
            (_down(x, kernels, between=False), "the ReLU between two steps is missing; without it, both are linear"),
            (_down(x.relu(), kernels), "do not apply ReLU to the input; start with the convolution"),
        ]
        default_hint = "F.conv2d(x, kernel, stride=2, padding=1) for each kernel, with a ReLU between convolutions"
        _compare_maps(_check_image(result, right.shape, "the coarser branch"), right, mistakes, default_hint)


def _sizes(height: int, width: int, branches: int, first: int = 2) -> list[tuple[int, int]]:
    """Return (height, width) of every branch. The image is downsampled `first` times before the first branch."""
    return [(-(-height // 2**i), -(-width // 2**i)) for i in range(first, first + branches)]


def _pairs(result, height: int, width: int, branches: int) -> list[tuple[int, int]]:
    def read() -> list[tuple[int, int]]:
        return [(int(h), int(w)) for h, w in result]

    try:
        return read()
    except (TypeError, ValueError):
        raise Hint(
            f"for ({height}, {width}, {branches}) return a list of pairs (height, width), one per branch"
        ) from None


def _paths(
    widths, norm=True, bias=False, up_size=1, down_size=3, steps=None, early=False, same=False, up=True, down=True
) -> int:
    """Return the parameter count of all paths. The keyword arguments reproduce common mistakes."""
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
    """Return `result`. Raise a Hint unless it is a tensor of this shape."""
    if not isinstance(result, Tensor):
        raise Hint(f"return {name} as a tensor, not a {type(result).__name__}")
    if result.shape != shape:
        raise Hint(f"{name} must have shape {tuple(shape)}, yours has {tuple(result.shape)}")
    return result


def _compare_maps(result: Tensor, right: Tensor, mistakes: list[tuple[Tensor, str]], default_hint: str) -> None:
    """Compare like `expect_close`, with a larger tolerance because sums may be computed in any order."""
    for wrong, hint in [(right, ""), *mistakes]:
        if wrong.shape == result.shape and torch.allclose(result.float(), wrong, rtol=0, atol=1e-4):
            if hint:
                raise Hint(hint)
            return
    raise Hint(default_hint)
