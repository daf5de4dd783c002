"""Checkers for notebook 07, human segmentation."""

import math

import numpy as np
import torch
from torch import nn

from . import Hint, exercise
from .answers import expect_close, number


@exercise("07_human_segmentation/1")
def resize_mask(answer):
    """Check that `answer(mask, height, width)` takes the nearest label for the center of each new pixel."""
    rng = np.random.default_rng(7)
    # With odd sizes no center is on the edge between two pixels, where libraries round differently.
    for shape, size in (((5, 7), (8, 9)), ((9, 5), (4, 7)), ((3, 5), (3, 5)), ((9, 7), (3, 5))):
        mask = rng.choice(np.array([0, 1, 5, 255], np.uint8), shape)
        result = _array(answer(mask.copy(), *size))
        if result.shape == size[::-1] and size != size[::-1]:
            raise Hint("height and width are swapped: the result has `height` rows and `width` columns")
        if result.shape != size:
            raise Hint(f"a mask of {shape} resized to {size} must have that shape; yours has {result.shape}")
        right = _resized(mask, size, 0.5)
        mistakes = [
            (
                _resized(mask, size, 0.0),
                "you took the label at the upper left corner of each new pixel, which shifts the "
                "mask; take the label at its center, (i + 0.5) * old / new",
            ),
            (
                _resized(mask, size, 0.5, np.round),
                "round((i + 0.5) * old / new) is often the next pixel; "
                "the center x is in the pixel with index floor(x)",
            ),
            (_resized(mask, size, 0.5, np.ceil), "the center x is in the pixel with index floor(x), not ceil(x)"),
            (
                _aligned(mask, size),
                "you aligned the centers of the corner pixels (align_corners=True); align the "
                "image borders instead: the center is at (i + 0.5) * old / new",
            ),
        ]
        if not (np.isin(result, [0, 1, 5, 255])).all():
            raise Hint(
                "the result has labels that are not in the mask: do not average labels, take the label of one old pixel"
            )
        where = "new pixel (i, j) has the label at row floor((i + 0.5) * old height / new height), same for columns"
        expect_close(result, right, mistakes, where)


@exercise("07_human_segmentation/2")
def stable_bce(answer):
    """Check that `answer(z, t)` returns the mean binary cross-entropy, even for large logits.

    z contains the logits, and t the labels 0, 1 or 255 (ignored).
    """
    z, t = torch.tensor([[1.5, -0.5, 3.0], [-2.0, 0.0, 1.0]]), torch.tensor([[1, 0, 0], [1, 255, 255]])
    pixel = torch.where(t == 1, _softplus(-z), _softplus(z))
    valid = t != 255
    right = float(pixel[valid].mean())
    mistakes = [
        (
            float(pixel[valid].sum()),
            "this is the sum over the pixels; divide by the number of pixels that are not ignored",
        ),
        (
            float(pixel[valid].sum() / t.numel()),
            "the sum excludes ignored pixels, but the number of pixels by which you divide includes them",
        ),
        (float(pixel.mean()), "ignored pixels were treated as background; leave them out"),
        (
            float((_softplus(z) - t * z).mean()),
            "the label 255 was used as a value; select the pixels with t != 255 first",
        ),
        (
            float(_softplus(z - 2 * z * (t == 0))[valid].mean()),
            "foreground and background are swapped: -ln sigmoid(z) is the loss where t = 1",
        ),
        (
            float(pixel[t == 1].mean()),
            "only foreground pixels are included; background pixels have -ln(1 - sigmoid(z))",
        ),
        (-right, "the sign is wrong: the loss is the negative logarithm"),
    ]
    where = f"for the checker's logits it is {right:.4f}: max(z, 0) - z t + log1p(exp(-|z|)), the mean where t != 255"
    expect_close(number(answer(z.clone(), t.clone())), right, mistakes, where)
    for logit, label, loss in ((1000.0, 0, 1000.0), (-1000.0, 1, 1000.0), (1000.0, 1, 0.0), (-1000.0, 0, 0.0)):
        _stable(number(answer(torch.full((2, 2), logit), torch.full((2, 2), label))), logit, label, loss)
    nothing = number(answer(z.clone(), torch.full_like(t, 255)))
    if nothing != 0:
        raise Hint(f"if all pixels are ignored, the loss must be 0, but yours is {nothing:g}: divide by at least 1")


@exercise("07_human_segmentation/3")
def adam_step(answer):
    """Check that `answer(weight, gradient, m, v, step, lr, beta1, beta2, eps)` returns the new (weight, m, v)."""
    cases = [(0.0, -6.0, 0.0, 0.0, 1, 0.1, 0.9, 0.999, 1e-8), (1.0, 2.0, 0.5, 0.3, 3, 0.01, 0.8, 0.99, 1e-2)]
    for case in cases:
        result = answer(*case)
        result = _array([number(x) for x in result] if isinstance(result, tuple | list) else result)
        if result.shape != (3,):
            raise Hint(f"return three numbers, (weight, m, v); yours has shape {result.shape}")
        right = _adam(*case)
        w, g, m, v, step, lr, b1, b2, eps = case
        move = right[0] - w
        plain = w - lr * right[1] / (math.sqrt(right[2]) + eps)
        hat_m, hat_v = right[1] / (1 - b1**step), right[2] / (1 - b2**step)
        mistakes = [
            (
                (plain, *right[1:]),
                "the bias corrections are missing: divide m by 1 - beta1**step and v by 1 - beta2**step",
            ),
            ((w - move, *right[1:]), "this increases the loss: subtract the step"),
            ((w - lr * hat_m / (hat_v + eps), *right[1:]), "the square root of v is missing"),
            ((w - lr * hat_m / math.sqrt(hat_v + eps), *right[1:]), "eps belongs outside the square root"),
            (
                (right[0], hat_m, hat_v),
                "the weight is correct, but return m and v without bias correction: the corrected values are "
                "used only in this step",
            ),
            (_adam(w, g, m, v, step + 1, *case[5:]), "step is already 1 in the first step; do not add 1"),
            (_adam(w, g, m, v, step, lr, b2, b1, eps), "beta1 and beta2 are swapped: beta1 belongs to m"),
            (
                _adam(w, g, m, v, step, lr, 1 - b1, 1 - b2, eps),
                "the old mean has the weight beta, and the new gradient 1 - beta",
            ),
            (_adam(w, g, m, v, step, lr, b1, b2, eps, square=False), "v is the running mean of the *squared* gradient"),
            (
                (w - lr * m / (1 - b1**step) / (math.sqrt(hat_v) + eps), *right[1:]),
                "the step uses the old m: update the means first",
            ),
            (
                (w - lr * g, *right[1:]),
                "this is plain gradient descent; divide the corrected m by the square root of the corrected v",
            ),
        ]
        where = (
            f"adam_step{case} should be ({right[0]:.6g}, {right[1]:.6g}, {right[2]:.6g}): update m and v, correct "
            "both, subtract lr * m / (sqrt(v) + eps)"
        )
        expect_close(result, np.array(right), [(np.array(wrong), hint) for wrong, hint in mistakes], where)


@exercise("07_human_segmentation/4")
def foreground_iou(answer):
    """Check that `answer(logits, labels)` returns the foreground IoU over all pixels.

    The logits have shape (N, 1, H, W); pixels with label 255 are ignored.
    """
    logits = torch.tensor(
        [[[2.6, 1.8, -1.0, -2.3], [-1.4, -4.7, 0.2, -0.4]], [[-0.1, 4.0, -0.7, 0.7], [1.1, 3.9, -0.4, -0.1]]]
    )[:, None]
    labels = torch.tensor([[[1, 0, 0, 1], [255, 0, 1, 0]], [[1, 1, 0, 255], [0, 0, 0, 1]]])
    valid, truth, result = labels != 255, labels == 1, logits[:, 0] > 0
    right = _iou(result & valid, truth)
    per_image = [_iou((result & valid)[i], truth[i]) for i in range(2)]
    mistakes = [
        (
            _iou((logits[:, 0] > 0.5) & valid, truth),
            "these are logits, not probabilities: 0.5 after the sigmoid is 0 before it",
        ),
        (_iou(result, truth), "predictions on ignored pixels were counted as false positives: leave them out"),
        (_iou(result, labels > 0), "the label 255 was treated as foreground; these pixels must be ignored"),
        (sum(per_image) / 2, "this is the mean IoU over images; add up the pixels of all images, then divide once"),
        (
            float((result == truth)[valid].float().mean()),
            "this is the accuracy; IoU leaves out pixels that are background in both",
        ),
        (2 * right / (1 + right), "this is Dice; IoU divides the intersection by the union"),
        (_iou(~result & valid, ~truth & valid), "this is the IoU of the background"),
        (
            _iou(torch.ones_like(result) & valid, truth),
            "every pixel was predicted as foreground: with one channel, do not use argmax; compare the logit with 0",
        ),
        (0.0, "no pixel was predicted as foreground: argmax of one channel is always 0; compare the logit with 0"),
    ]
    where = (
        f"for the checker's logits it is {right:.3f}: the intersection divided by the union, where logits above 0 "
        "are foreground and pixels labeled 255 are left out of both"
    )
    expect_close(number(answer(logits.clone(), labels.clone())), right, mistakes, where)
    flat = labels.clone().fill_(0)  # a second size, because an answer must not assume the shape of the first case
    flat[0, 0, 0] = 1
    right = _iou(result[:, :1], flat[:, :1] == 1)
    where = (
        "the first test is right, but for logits (2, 1, 1, 4) and labels (2, 1, 4), with logits above 0 as foreground, "
        f"it is {right:.3f}: use logits[:, 0]; with logits or logits.squeeze(), with other axes than labels, "
        "the two are broadcast"
    )
    expect_close(number(answer(logits.clone()[:, :, :1], flat[:, :1])), right, [], where)


@exercise("07_human_segmentation/5")
def paste_foreground(answer):
    """Check that `answer(foreground, alpha, background)` returns alpha * foreground + (1 - alpha) * background.

    The result is rounded and has dtype uint8.
    """
    rng = np.random.default_rng(3)
    foreground, background = rng.integers(0, 256, (2, 5, 7, 3), dtype=np.uint8)
    alpha = rng.random((5, 7))
    alpha[0], alpha[1] = 0, 1
    result = np.asarray(answer(foreground.copy(), alpha.copy(), background.copy()))
    if result.shape != foreground.shape:
        raise Hint(f"the result must have the images' shape {foreground.shape}; yours has {result.shape}")
    if result.dtype != np.uint8:
        raise Hint(f"the result must be uint8, but it is {result.dtype}: round, then convert")
    a = alpha[..., None]
    exact = a * foreground + (1 - a) * background
    right = np.round(exact).astype(np.uint8)
    hard = np.where(a > 0.5, foreground, background)
    added = (a * foreground).astype(np.uint8) + background
    mistakes = [
        (np.floor(exact).astype(np.uint8), "values were truncated, not rounded: astype drops the fraction"),
        (np.round((1 - a) * foreground + a * background).astype(np.uint8), "alpha is inverted: 1 shows the foreground"),
        (hard, "alpha was thresholded; half-transparent pixels must mix both images"),
        (added, "the background must be weighted by 1 - alpha, or the sum exceeds 255"),
        (
            np.round(background + a * (foreground - background)).astype(np.uint8),
            "foreground - background was computed in uint8, where a negative difference wraps around: weight each "
            "image by a float first",
        ),
        (np.round(a * foreground).astype(np.uint8), "the background is missing where alpha is below 1"),
        (
            (a * foreground).astype(np.uint8) + ((1 - a) * background).astype(np.uint8),
            "both parts were converted to uint8 "
            "before they were added, so each lost its fraction; add first, then round",
        ),
    ]
    expect_close(result, right, mistakes, "each channel is alpha * foreground + (1 - alpha) * background, then rounded")


@exercise("07_human_segmentation/6")
def flip_averaged(answer):
    """Check that `answer(network)(images)` returns the mean probabilities of the images and their horizontal flips.

    Predictions for flipped images are flipped back before the mean.
    """
    torch.manual_seed(7)
    network = nn.Conv2d(3, 2, 3, padding=1).requires_grad_(False)
    images = torch.randn(2, 3, 4, 5)
    module = answer(network)
    if not isinstance(module, nn.Module):
        raise Hint(f"FlipAveraged(network) must be an nn.Module, but it is {type(module).__name__}")
    result = module(images.clone())
    if not isinstance(result, torch.Tensor) or result.shape != (2, 2, 4, 5):
        shape = tuple(result.shape) if isinstance(result, torch.Tensor) else type(result).__name__
        raise Hint(f"forward must return probabilities (2, 2, 4, 5) for images (2, 3, 4, 5), but returned {shape}")
    if not any(child is network for child in module.modules()):
        raise Hint("keep the network as an attribute in __init__, so that .eval() and .to() reach it")
    straight, mirrored = network(images), network(images.flip(-1))
    upside_down = network(images.flip(-2)).flip(-2)
    channels = network(images.flip(1)).softmax(1).flip(1)
    right = (straight.softmax(1) + mirrored.flip(-1).softmax(1)) / 2
    mistakes = [
        ((straight.softmax(1) + mirrored.softmax(1)) / 2, "flip the second prediction back, or the two do not align"),
        (straight.softmax(1), "this is the prediction without the flipped image; average both"),
        (mirrored.flip(-1).softmax(1), "this is only the prediction for the flipped image; average both"),
        ((straight + mirrored.flip(-1)) / 2, "these are logits: return probabilities"),
        (
            ((straight + mirrored.flip(-1)) / 2).softmax(1),
            "you averaged logits and took the softmax afterwards; take the softmax of each, then average",
        ),
        ((straight.softmax(1) + upside_down.softmax(1)) / 2, "this flips top and bottom; the width is the last axis"),
        (
            (straight.softmax(1) + channels) / 2,
            "this flips axis 1, the channels, as torch.fliplr does for (N, C, H, W); the width is the last axis",
        ),
        (2 * right, "this is the sum of both; take the mean, so that the classes sum to 1"),
        ((straight.softmax(0) + mirrored.flip(-1).softmax(0)) / 2, "take the softmax over the classes, dimension 1"),
    ]
    where = "each pixel is the mean of softmax(network(x)) and of softmax(network(flipped x)) flipped back"
    expect_close(result.detach(), right, mistakes, where)


def _array(result) -> np.ndarray:
    """Convert an answer to an array of floats. Raise a Hint if it is not numeric."""
    try:
        result = result.detach().numpy() if isinstance(result, torch.Tensor) else np.asarray(result)
    except ValueError:  # lists of different lengths
        raise Hint("the rows of your answer differ in length") from None
    if result.dtype.kind not in "biuf":
        raise Hint(f"the answer must contain numbers, but it has type {result.dtype}")
    return result.astype(float)


def _iou(result: torch.Tensor, truth: torch.Tensor) -> float:
    return float((result & truth).sum() / (result | truth).sum())


def _resized(mask: np.ndarray, size: tuple[int, int], center: float, rule=np.floor) -> np.ndarray:
    """Return the labels at index rule((i + center) * old / new) on both axes, clipped to the mask."""
    positions = [rule((np.arange(new) + center) * old / new) for old, new in zip(mask.shape, size, strict=True)]
    rows, columns = (np.clip(p.astype(int), 0, old - 1) for p, old in zip(positions, mask.shape, strict=True))
    return mask[np.ix_(rows, columns)]


def _aligned(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    rows, columns = (
        np.linspace(0, old - 1, new).round().astype(int) for old, new in zip(mask.shape, size, strict=True)
    )
    return mask[np.ix_(rows, columns)]


def _softplus(z: torch.Tensor) -> torch.Tensor:
    """Return ln(1 + e^z) without overflow."""
    return z.clamp(min=0) + torch.log1p(torch.exp(-z.abs()))


def _stable(result: float, logit: float, label: int, loss: float) -> None:
    """Raise a Hint unless `result`, the loss for a logit of 1000 or -1000, is close to `loss`."""
    if math.isclose(result, loss, abs_tol=1e-5):
        return
    case = f"for a logit of {logit:g} and label {label} the loss is {loss:g}, yours is {result:g}"
    if not math.isfinite(result):
        raise Hint(f"{case}: e^1000 and ln 0 are infinite; use only exp(-|z|)")
    if loss and 5 < result < 200:
        raise Hint(f"{case}: clipping the probability before the logarithm limits the loss")
    raise Hint(f"{case}; use max(z, 0) - z t + log1p(exp(-|z|))")


def _adam(w, g, m, v, step, lr, beta1, beta2, eps, square: bool = True) -> tuple[float, float, float]:
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * (g * g if square else abs(g))
    return w - lr * (m / (1 - beta1**step)) / (math.sqrt(v / (1 - beta2**step)) + eps), m, v
