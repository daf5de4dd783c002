"""Checkers for notebook 05, Mini-HRNet."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from seglib import models

from .. import costs
from . import Hint, exercise
from .answers import array, attempt

IMAGE_SIZE = 360, 480  # height, width
MOST_PARAMETERS, LEAST_PARAMETERS, MOST_WORK = 1_000_000, 500_000, 1_000_000_000


@exercise("05_mini_hrnet/1")
def light_block(answer):
    """Check that `answer(channels, dilation)` returns a residual block.

    The block has a depthwise and a pointwise convolution, each followed by batch normalization, and a shortcut.
    """
    torch.manual_seed(0)
    for channels, dilation in ((6, 1), (4, 2)):
        block = answer(channels, dilation)
        if not isinstance(block, nn.Module):
            raise Hint("the answer must be a class derived from nn.Module")
        _check_layers(block, channels, dilation)
        x = torch.randn(2, channels, 9, 7)
        for norm in (block.bn1, block.bn2):  # so that a missing normalization changes the output
            nn.init.normal_(norm.weight, 1.5, 0.1)
        with torch.no_grad():
            result = attempt("the forward pass", lambda block=block, x=x: block.eval()(x.clone()))
            _compare_blocks(block, x, result)


def _check_layers(block: nn.Module, channels: int, dilation: int) -> None:
    """Raise a Hint unless the block has the four layers with the right shapes."""
    for name in ("depthwise", "bn1", "pointwise", "bn2"):
        if not isinstance(getattr(block, name, None), nn.Module):
            raise Hint(f"the block has no layer with the name {name}")
    if not (isinstance(block.depthwise, nn.Conv2d) and isinstance(block.pointwise, nn.Conv2d)):
        raise Hint("depthwise and pointwise must be nn.Conv2d layers")
    if not (isinstance(block.bn1, nn.BatchNorm2d) and isinstance(block.bn2, nn.BatchNorm2d)):
        raise Hint("bn1 and bn2 must be nn.BatchNorm2d layers")
    if block.depthwise.groups != channels:
        raise Hint("the 3 x 3 convolution is not depthwise: set groups=channels")
    if block.depthwise.kernel_size != (3, 3) or block.pointwise.kernel_size != (1, 1):
        raise Hint("the depthwise convolution must be 3 x 3, and the pointwise convolution 1 x 1")
    if block.depthwise.dilation != (dilation, dilation):
        raise Hint("the depthwise convolution must use the argument `dilation`")
    if block.depthwise.padding not in ((dilation, dilation), "same"):
        raise Hint("the depthwise convolution keeps the size only if its padding equals the dilation")
    if block.depthwise.bias is not None or block.pointwise.bias is not None:
        raise Hint("the convolutions have no bias: the normalization after them has one")


def _compare_blocks(block: nn.Module, x: torch.Tensor, result: torch.Tensor) -> None:
    """Raise a Hint unless `result` is the right output of the block's layers for x."""
    if not isinstance(result, torch.Tensor) or result.shape != x.shape:
        raise Hint(f"the block must keep the shape {tuple(x.shape)}")
    inner = block.bn1(block.depthwise(x))
    residual = block.bn2(block.pointwise(F.relu(inner)))
    mistakes = [
        (F.relu(residual), "the shortcut is missing: add x before the last ReLU"),
        (x + residual, "the ReLU after the sum is missing"),
        (x + F.relu(residual), "the last ReLU comes after the sum, not before it"),
        (F.relu(x + block.bn2(block.pointwise(inner))), "the ReLU between the two convolutions is missing"),
        (F.relu(x + block.pointwise(F.relu(inner))), "bn2 is not used"),
        (F.relu(x + block.bn2(block.pointwise(F.relu(block.depthwise(x))))), "bn1 is not used"),
    ]
    where = "the result should be relu(x + bn2(pointwise(relu(bn1(depthwise(x))))))"
    _compare(result.numpy(), F.relu(x + residual).numpy(), [(wrong.numpy(), hint) for wrong, hint in mistakes], where)


@exercise("05_mini_hrnet/2")
def instance_normalization(answer):
    """Check that `answer(x)` returns the instance normalization of x (N, C, H, W) with eps 1e-5."""
    draw = np.random.default_rng(0)
    for shape in ((2, 3, 4, 5), (3, 2, 2, 3)):
        x = draw.normal(1, 2, shape)
        right = _normalized(x, (2, 3))
        unbiased = (x - x.mean((2, 3), keepdims=True)) / np.sqrt(x.var((2, 3), ddof=1, keepdims=True) + 1e-5)
        mistakes = [
            (_normalized(x, (0, 2, 3)), "this is batch normalization: do not average over the images (axis 0)"),
            (_normalized(x, (1, 2, 3)), "this is layer normalization: do not average over the channels (axis 1)"),
            (
                _normalized(x, (1,)),
                "you normalized each pixel over the channels; normalize each channel over the pixels",
            ),
            (_normalized(x, (0, 1)), "you normalized each position over images and channels; use axes 2 and 3"),
            (_normalized(x, (0, 1, 2, 3)), "you used one mean for everything; each channel of each image has its own"),
            (_normalized(x, (2,)), "you averaged over the height only; average over height and width, axes 2 and 3"),
            (_normalized(x, (3,)), "you averaged over the width only; average over height and width, axes 2 and 3"),
            (x - x.mean((2, 3), keepdims=True), "the mean was subtracted; divide by the standard deviation as well"),
            (
                (x - x.mean((2, 3), keepdims=True)) / (x.var((2, 3), keepdims=True) + 1e-5),
                "divide by the square root of the variance",
            ),
            (unbiased, "the variance divides by the number of pixels here, not by one less"),
        ]
        where = "mean and variance over axes (2, 3) with keepdims=True, then (x - mean) / sqrt(variance + eps)"
        _compare(_array(answer(x.copy()), "the result"), right, mistakes, where)
    with np.errstate(all="ignore"):
        result = _array(answer(np.full((1, 1, 2, 2), 3.0)), "the result")
    if not np.allclose(result, 0, atol=1e-3):
        raise Hint("a constant feature map must become 0; add eps under the square root to avoid dividing 0 by 0")
    x = draw.normal(0, 2e-3, (2, 3, 4, 5))  # the variance is smaller than eps
    result = _array(answer(x.copy()), "the result")
    if result.shape != x.shape or not np.allclose(result, _normalized(x, (2, 3)), rtol=1e-3, atol=1e-4):
        raise Hint("for a variance smaller than eps the result is wrong: eps is added to the variance, under the root")


@exercise("05_mini_hrnet/3")
def size_with_padding(answer):
    """Check that `answer(height, width)` returns the size to which mini_hrnet_v3 pads an image.

    Height and width of the result are multiples of 32 and at least 64.
    """
    for size in ((370, 448), (64, 96), (65, 33), (20, 1), (32, 31)):
        result = _array(answer(*size), "the answer")
        if result.shape != (2,):
            raise Hint(f"the answer must be a pair (height, width), but it has shape {result.shape}")
        right = np.array([max(64, -(-side // 32) * 32) for side in size])
        mistakes = [
            (right[::-1], "height and width are swapped"),
            (np.array([max(64, round(side / 32) * 32) for side in size]), "padding only adds: always round up"),
            (np.array([max(64, side // 32 * 32) for side in size]), "images are padded, not cropped: round up"),
            (np.array([max(64, (side // 32 + 1) * 32) for side in size]), "do not pad multiples of 32"),
            (
                np.array([-(-side // 32) * 32 for side in size]),
                "at 32 the last branch has only one pixel, so the variance is 0: pad to at least 64",
            ),
            (np.array([-(-side // 64) * 64 for side in size]), "multiples of 32 are enough; only the minimum is 64"),
            (right - np.array(size), "this is the padding; return the size after padding"),
        ]
        where = f"{size} should become {tuple(right.tolist())}: multiples of 32, at least 64"
        _compare(result, right, mistakes, where)


@exercise("05_mini_hrnet/4")
def network_to_order(answer):
    """Check that `answer` contains keyword arguments for an HRNet with four branches that stays within the budget."""
    if not isinstance(answer, Mapping):
        raise Hint('the answer must be a dict of keyword arguments, such as {"widths": (12, 24, 48, 96)}')
    if answer.get("in_channels", 3) != 3:
        raise Hint("in_channels must stay 3: the images are RGB")
    try:
        with torch.device("meta"):
            model = models.create("mini_hrnet", 11, **answer)
    except (models.ModelError, TypeError) as error:
        raise Hint(str(error)) from None
    except (ValueError, RuntimeError) as error:  # for example, a width that is not a whole number
        raise Hint(f"the network cannot be built with these options: {error}".splitlines()[0]) from None
    if getattr(model, "num_branches", 0) != 4:
        raise Hint(f"the network must have four branches, and this one has {model.num_branches}")
    size, effort = costs.parameters(model), costs.macs(model, IMAGE_SIZE)
    if size > MOST_PARAMETERS:
        parts = {name: costs.parameters(part) for name, part in model.named_children()}
        most = max(parts, key=parts.get)
        raise Hint(
            f"{size:,} parameters are more than {MOST_PARAMETERS:,}; most of them, {parts[most]:,}, are in {most}"
        )
    if effort > MOST_WORK:
        raise Hint(
            f"{effort / 1e9:.2f} GMACs are more than {MOST_WORK / 1e9:g}, but the number of parameters is fine: "
            "reduce layers at resolution 1/4, which have many positions: stem, stage 1, head and first branch"
        )
    if size < LEAST_PARAMETERS:
        raise Hint(f"{size:,} parameters are less than half of the budget; use more channels in the coarse branches")


@exercise("05_mini_hrnet/5")
def weights_by_frequency(answer):
    """Check that `answer(pixels)` returns the class weights `sqrt_freq`.

    Their mean is 1 over the classes that occur; all other classes have weight 1.
    """
    for pixels in ([900, 90, 10], [5, 0, 20, 80]):
        share = np.array(pixels) / sum(pixels)
        there = share > 0
        raw = np.where(there, np.sqrt(1 / np.where(there, share, 1)), 0)
        inverse = np.where(there, 1 / np.where(there, share, 1), 0)
        right = _scaled(raw, there)
        mistakes = [
            (_scaled(inverse, there), "this is inv_freq; take the square root of the inverse frequency"),
            (_scaled(np.sqrt(share), there), "frequent classes get large weights: use the inverse of the frequency"),
            (_scaled(share, there), "these are the frequencies; take the square root of their inverse"),
            (np.where(there, raw, 1), "scale the weights so that their mean is 1"),
            (
                np.where(there, raw, 1) / np.where(there, raw, 1).mean(),
                "a class without pixels must not count in the mean; set its weight to 1 after the division",
            ),
            (np.where(there, raw / raw.sum(), 1), "these sum to 1; their mean over the classes should be 1"),
            (np.where(there, raw * len(raw) / raw.sum(), 1), "a class without pixels must not count in the mean"),
            (np.where(there, right, 0), "a class without pixels gets the weight 1, not 0"),
        ]
        try:
            with np.errstate(all="ignore"):
                result = _array(answer(list(pixels)), "the weights")
        except ZeroDivisionError:
            result = np.array([np.nan])
        if not np.isfinite(result).all() and not there.all():
            raise Hint("for a class without pixels, your function divides by 0; its weight should be 1")
        _compare(result, right, mistakes, "take sqrt(total / pixels) for each class, then divide by the mean of these")


@exercise("05_mini_hrnet/6")
def combined_views(answer):
    """Check that `answer(views)` flips back the flipped probabilities (C, H, W), and takes the argmax of the mean."""
    draw = np.random.default_rng(3)
    logits = draw.normal(0, 1, (3, 4, 24, 32)) * np.array([12, 1, 1])[:, None, None, None]  # view 0 is confident
    sure = np.exp(logits - logits.max(1, keepdims=True))
    straight = sure / sure.sum(1, keepdims=True)
    mirrored = False, True, False
    inputs = [p[..., ::-1].copy() if turned else p.copy() for p, turned in zip(straight, mirrored, strict=True)]
    result = _array(answer([(p.copy(), turned) for p, turned in zip(inputs, mirrored, strict=True)]), "the label map")
    right = straight.mean(0).argmax(0)
    if result.shape == straight.shape[1:]:
        raise Hint("this is the mean of the probabilities; the label is its argmax over the classes (axis 0)")
    if result.shape != right.shape:
        raise Hint(f"the label map must have shape {right.shape}, but yours has {result.shape}")
    votes = (straight.argmax(1)[:, None] == np.arange(4)[:, None, None]).sum(0).argmax(0)
    upside = np.stack([inputs[0], inputs[1][:, ::-1], inputs[2]])
    everything = np.stack([p[..., ::-1] for p in inputs])
    mistakes = [
        (np.stack(inputs).mean(0).argmax(0), "the flipped view was not flipped back: reverse its last axis"),
        (
            upside.mean(0).argmax(0),
            "a horizontal flip swaps left and right, so reverse the last axis, not the rows",
        ),
        (everything.mean(0).argmax(0), "you flipped all views; flip back only the views of the flipped image"),
        (np.log(straight).mean(0).argmax(0), "this averages logarithms: one very confident view overrules the others"),
        (straight.prod(0).argmax(0), "a product of probabilities lets one very confident view overrule the others"),
        (votes, "this is a majority vote of labels: average the probabilities first, then take the argmax"),
        (straight.max(0).argmax(0), "this uses only the most confident view; average all views"),
        (right[:, ::-1], "the result is flipped: flip back the views, not the mean"),
        (straight[0].argmax(0), "only the first view was used"),
    ]
    _compare(result, right, mistakes, "flip views back, average over the views, then argmax over the classes")
    views = [(straight[0][..., ::-1].copy(), True), (straight[1].copy(), False)]  # another order and another number
    result = _array(answer(views), "the label map")
    where = "the result is wrong for two views of which the first is flipped: read `flipped` of each pair"
    _compare(result, straight[:2].mean(0).argmax(0), [], where)


def _scaled(raw: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Scale `raw` to a mean of 1 over the classes in the mask `there`, and set the others to 1."""
    return np.where(there, raw / raw[there].mean(), 1)


def _normalized(x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 1e-5)


def _array(result, what: str) -> np.ndarray:
    """Convert a list, an array or a tensor to an array of floats. Raise a Hint for anything else."""
    result = array(result)
    if result.size == 0 or result.dtype.kind not in "biuf":
        raise Hint(f"{what} must be numbers, but the answer has shape {result.shape} and type {result.dtype}")
    return result.astype(float)


def _compare(result: np.ndarray, right: np.ndarray, mistakes: list[tuple], default_hint: str) -> None:
    """If `result` is not close to `right`, raise the hint of the matching mistake, or `default_hint`."""
    if np.shape(result) != np.shape(right):
        raise Hint(f"the result must have shape {np.shape(right)}, but yours has {np.shape(result)}")
    if np.allclose(result, right, rtol=1e-5, atol=1e-7):
        return
    for wrong, hint in mistakes:
        if np.shape(wrong) == np.shape(result) and np.allclose(result, wrong, rtol=1e-5, atol=1e-7):
            raise Hint(hint)
    raise Hint(default_hint)
