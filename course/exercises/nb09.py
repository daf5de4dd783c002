"""Checkers for notebook 09: scores from a confusion matrix, boundary bands, confidence intervals, temperature."""

import numpy as np
import torch

from seglib import metrics

from . import Hint, exercise

FULL = np.array([[50, 10, 4], [5, 30, 1], [2, 8, 20]])
ABSENT = np.array([[80, 12, 0], [7, 21, 0], [0, 0, 0]])  # class 2 occurs nowhere
INVENTED = np.array([[80, 6, 6], [7, 21, 0], [0, 0, 0]])  # class 2 occurs only in the prediction
RESAMPLES = 6000


@exercise("09_evaluation/1")
def mean_iou_skipping_absent_classes(answer):
    answer = _quiet(answer)
    hits, true, predicted = FULL.diagonal(), FULL.sum(1), FULL.sum(0)
    value = _score(answer(FULL.copy()))
    _compare(
        value,
        metrics.mean_iou(FULL),
        {
            "this is the mean Dice coefficient: divide TP by the union TP + FP + FN": metrics.dice(FULL).mean(),
            "this is the mean recall: the union also includes the false positives in the column": (hits / true).mean(),
            "this is the mean precision: the union also includes the false negatives in the row": (
                hits / predicted
            ).mean(),
            "this is the pixel accuracy: compute the IoU of each class, then average": hits.sum() / FULL.sum(),
            "row sum plus column sum counts TP twice: subtract it once": (hits / (true + predicted)).mean(),
            "this is weighted by class frequency: every class has the same weight": metrics.frequency_weighted_iou(
                FULL
            ),
            "these are sums over all classes: compute the IoU of each class first": hits.sum()
            / (true.sum() + predicted.sum() - hits.sum()),
        },
        "the answer is the mean over classes of TP / (TP + FP + FN)",
    )
    values = metrics.iou(ABSENT)
    value = _score(answer(ABSENT.copy()))
    if np.isnan(value):
        raise Hint("the mean became NaN because of a class that does not occur: leave such a class out of the mean")
    _compare(
        value,
        np.nanmean(values),
        {
            "you averaged over a class that does not occur, counting it as 0": np.nan_to_num(values, nan=0).mean(),
            "you averaged over a class that does not occur, counting it as 1": np.nan_to_num(values, nan=1).mean(),
        },
        "a class without target and predicted pixels must be left out of the mean",
    )
    value = _score(answer(INVENTED.copy()))
    _compare(
        value,
        metrics.mean_iou(INVENTED),
        {
            "a class that is only in the prediction must be included: its union is not empty and its IoU is 0": np.mean(
                metrics.iou(INVENTED)[:2]
            ),
        },
        "a class that is only in the prediction has an IoU of 0, which is part of the mean",
    )


@exercise("09_evaluation/2")
def miou_of_a_data_set(answer):
    large, small = np.array([[900, 20, 0], [30, 650, 0], [0, 0, 0]]), np.array([[700, 3, 2], [9, 4, 0], [6, 0, 11]])
    blank = np.array([[500, 9, 0], [0, 0, 0], [0, 0, 0]])
    matrices = [large, small, blank]
    values = np.array([metrics.iou(matrix) for matrix in matrices])
    total = np.sum(matrices, 0)
    per_class = np.nanmean(values, 0)
    _compare(
        _score(_quiet(answer)([matrix.copy() for matrix in matrices])),
        metrics.mean_iou(total),
        {
            "you averaged over images: add the matrices first and take one mIoU of the sum": np.nanmean(
                values, 1
            ).mean(),
            "you averaged over images and counted absent classes as 0: add the matrices first": np.nan_to_num(
                values
            ).mean(),
            "you averaged each class over images: add the matrices first": per_class.mean(),
            "you averaged over images and classes together: add the matrices first": np.nanmean(values),
            "this is the pixel accuracy of the data set; take the mean IoU": metrics.pixel_accuracy(total),
            "this is the mean Dice coefficient; take the mean IoU": metrics.dice(total).mean(),
        },
        "add the confusion matrices of all images, then take the mean IoU of the sum",
    )


@exercise("09_evaluation/3")
def band_of_a_mask(answer):
    rng = np.random.default_rng(8)
    inner = np.zeros((17, 21), bool)
    inner[4:13, 5:17] = True
    corner = np.zeros((15, 18), bool)
    corner[:9, :11] = True
    rough = _eroded(rng.random((24, 26)) > 0.05, 1, True)
    # A shape away from the image border comes first, so that mistakes at the border are reported last.
    for mask, width in ((inner, 1), (inner, 3), (corner, 2), (rough, 1), (rough, 2)):
        result = np.asarray(answer(mask.copy(), width))
        if result.shape != mask.shape:
            raise Hint(f"the band must have the shape of the mask, {mask.shape}, but yours has {result.shape}")
        result = result.astype(bool)
        right = mask & ~_eroded(mask, width, False)
        if (result == right).all():
            continue
        for hint, wrong in _wrong_bands(mask, width):
            if (result == wrong).all():
                raise Hint(hint)
        strayed = (result & ~mask).sum()
        if strayed:
            raise Hint(f"{strayed} pixels of your band are outside the mask: the band is a part of the mask")
        row, column = np.argwhere(result != right)[0]
        expected = "in the band" if right[row, column] else "not in the band"
        raise Hint(f"with width {width}, pixel ({row}, {column}) of a {mask.shape} mask should be {expected}")


def _wrong_bands(mask, width):
    """Yield the hint and the resulting band for each typical mistake."""
    core, grown = _eroded(mask, width, False), ~_eroded(~mask, width, True)
    city = _eroded(mask, width, False, lambda y, x: abs(y) + abs(x) <= width)
    disc = _eroded(mask, width, False, lambda y, x: y * y + x * x <= width * width)
    yield "this is the eroded mask; the band is the rest of the mask", core
    yield (
        "pixels outside the image are not in the mask: pad with False before you erode",
        mask & ~_eroded(mask, width, True),
    )
    yield "this band is around the mask; Boundary IoU takes the pixels of the mask itself", grown & ~mask
    yield "this band is on both sides of the contour; keep the mask's own pixels", grown & ~core
    yield "this is the whole mask: remove the eroded mask", mask
    if width > 1:
        yield "your band is 1 pixel wide for every width", mask & ~_eroded(mask, 1, False)
        narrow = "your band is 1 pixel too narrow: the window reaches `width` pixels to every side"
        yield narrow, mask & ~_eroded(mask, width - 1, False)
    wide = "your band is 1 pixel too wide: a window of 2 width + 1 pixels reaches `width` to every side"
    yield wide, mask & ~_eroded(mask, width + 1, False)
    square = "the Chebyshev window is a full square, corners included"
    yield f"you measured city-block distance; {square}", mask & ~city
    yield f"you measured Euclidean distance; {square}", mask & ~disc


def _eroded(mask, width, outside, inside=lambda y, x: True):
    """Erode a mask.

    Args:
        mask: (H, W), bool.
        width: The window has 2 * width + 1 rows and columns.
        outside: The value of pixels outside the image.
        inside: Function that returns whether the offset (y, x) belongs to the window; by default, all offsets do.
    """
    height, length = mask.shape
    padded = np.pad(mask, width, constant_values=outside)
    kept = np.ones_like(mask)
    for y in range(-width, width + 1):
        for x in range(-width, width + 1):
            if inside(y, x):
                kept &= padded[width + y : width + y + height, width + x : width + x + length]
    return kept


@exercise("09_evaluation/4")
def contour_error_in_pixels(answer):
    for score, width in ((0.5, 6), (0.78, 9), (0.6, 3)):
        _compare(
            _number(answer(score, width)),
            width * (1 - score) / (1 + score),
            {
                "(1 - B) d forgets that the union of the bands grows with the error: solve B = (d - e) / (d + e)": width
                * (1 - score),
                "the fraction is inverted: a better score must give a smaller error": width * (1 + score) / (1 - score),
                "this solves B = d / (d + e): the intersection shrinks as well": width * (1 - score) / score,
                "this is a fraction of the band's width: multiply by the width to get pixels": (1 - score)
                / (1 + score),
                "this is twice the distance: the union is d + e, not d + 2e": 2 * width * (1 - score) / (1 + score),
                "this is half the distance: the union is d + e, not d + 2e": width * (1 - score) / (1 + score) / 2,
            },
            "solve B = (d - e) / (d + e) for e",
        )
    _compare(_number(answer(1.0, 5)), 0, {}, "a perfect score means an error of 0 pixels")
    _compare(_number(answer(0.0, 5)), 5, {}, "a score of 0 means an error of at least the band's width")


@exercise("09_evaluation/5")
def interval_of_a_difference(answer):
    first, second = _two_networks()
    answer = _quiet(answer)
    low, high = _interval(answer(first.copy(), second.copy(), RESAMPLES, 0))
    if np.isnan([low, high]).any():
        raise Hint("the interval contains NaN: sum the matrices of a resample before you compute the mIoU")
    if low > high:
        raise Hint("the first number must be the lower end of the interval, the second the upper end")
    right = _bootstrap(first, second)
    width = right[1] - right[0]
    if high - low < 0.02 * width:
        raise Hint("every resample gave the same result: draw the images with replacement")
    if _near((low, high), right, 0.05 * width):
        _expect_the_arguments(answer, first, second)
        _expect_two_images(answer)
        return
    unpaired = _bootstrap(first, second, paired=False)
    means = [np.array([metrics.mean_iou(matrix) for matrix in part]) for part in (first, second)]
    mistakes = {
        "the sign is wrong: compute second minus first": (-right[1], -right[0]),
        "the interval is too wide: use the same resampled images for both networks": unpaired,
        "you averaged the images' mIoU: sum the matrices of the drawn images, then take one mIoU": _bootstrap(
            *means, score=lambda times, values: times @ values / len(values)
        ),
        "this is a 90% interval: cut off 2.5% at each end": _bootstrap(first, second, (5, 95)),
        "this is a 50% interval: cut off 2.5% at each end": _bootstrap(first, second, (25, 75)),
        "this is the interval of the first network's mIoU: take the difference": _bootstrap(0 * first, first),
        "this is the interval of the second network's mIoU: take the difference": _bootstrap(0 * first, second),
    }
    for hint, wrong in mistakes.items():
        if _near((low, high), wrong, 0.05 * (wrong[1] - wrong[0])):
            raise Hint(hint)
    wide = "wider" if high - low > width else "narrower"
    raise Hint(
        f"your interval is {low:.4f} to {high:.4f}, {wide} than expected: draw n images with replacement, sum both "
        "networks' matrices over them, compute the difference of the two mIoU, and take percentiles 2.5 and 97.5"
    )


def _interval(result) -> tuple[float, float]:
    try:
        values = np.asarray(result, np.float64).ravel()
    except (TypeError, ValueError):
        raise Hint(f"return two numbers (low, high), not a {type(result).__name__}") from None
    if values.size != 2:
        raise Hint(f"return two numbers (low, high), but your result has {values.size}")
    return float(values[0]), float(values[1])


def _expect_the_arguments(answer, first, second) -> None:
    """Raise a Hint unless `answer` uses `resamples` and `seed`."""
    low, high = _interval(answer(first.copy(), second.copy(), 1, 0))
    if abs(high - low) > 1e-12:
        raise Hint("with resamples=1 both ends are the same number, but yours differ: use the argument `resamples`")
    once, again, other = (_interval(answer(first.copy(), second.copy(), 20, seed)) for seed in (0, 0, 1))
    if once != again:
        raise Hint("two calls with the same seed give different intervals: create the generator from `seed`")
    if once == other:
        raise Hint("the interval does not depend on `seed`: create the generator from it")


def _expect_two_images(answer) -> None:
    """Raise a Hint unless the interval is right for two images, where it is known exactly.

    Each network has the same mIoU on each image, but not on both together. Half of the resamples contain both.
    """
    first = np.array([[[900, 60], [40, 100]], [[200, 30], [10, 700]]])
    second = np.array([[[100, 40], [60, 900]], [[200, 30], [10, 700]]])  # the classes of image 0 are swapped
    right = sorted((0.0, metrics.mean_iou(second.sum(0)) - metrics.mean_iou(first.sum(0))))
    low, high = _interval(answer(first.copy(), second.copy(), 400, 0))
    if _near((low, high), right, 1e-9):
        return
    case = f"for two images the interval is {right[0]:.4f} to {right[1]:.4f}, yours is {low:.4f} to {high:.4f}"
    if abs(high - low) < 1e-9:
        raise Hint(
            f"{case}: draw n of n images with replacement, the last one included (rng.integers excludes the end)"
        )
    raise Hint(f"{case}: take percentiles 2.5 and 97.5 of the differences, without assuming a normal distribution")


@exercise("09_evaluation/6")
def temperature_scaling(answer):
    """Check that `answer()` returns a module that divides logits by a learned temperature, which is 1 at first."""
    module = answer()
    if not isinstance(module, torch.nn.Module):
        raise Hint(f"TemperatureScaling() must be an nn.Module, but it is {type(module).__name__}")
    parameters = list(module.parameters())
    if sum(parameter.numel() for parameter in parameters) != 1:
        raise Hint(
            f"the module has {sum(p.numel() for p in parameters)} learnable parameters, but needs one: "
            "self.temperature = nn.Parameter(torch.ones(1))"
        )
    logits = torch.tensor([[[[2.0, -1.0]], [[0.5, 3.0]], [[-1.5, 0.0]]]])  # (1, 3, 1, 2)
    _expect_logits(module(logits.clone()), logits, 1.0)
    start = float(parameters[0].detach().reshape(()))
    for value in (2.0, 0.5):
        with torch.no_grad():
            parameters[0].fill_(value)
        result = module(logits.clone())
        _expect_logits(result, logits, value if start != 0 else float(np.exp(value)))  # 0: log T is learned
    if not result.requires_grad:
        raise Hint("the result has no gradient: compute it with the parameter itself, outside of torch.no_grad()")


def _expect_logits(result, logits, temperature: float) -> None:
    """Raise a Hint unless `result` is `logits / temperature`."""
    if not isinstance(result, torch.Tensor) or result.shape != logits.shape:
        shape = tuple(result.shape) if isinstance(result, torch.Tensor) else type(result).__name__
        raise Hint(f"forward must return logits of shape {tuple(logits.shape)}, but returned {shape}")
    right, result = logits / temperature, result.detach()
    mistakes = {
        "these are probabilities: return the scaled logits, without softmax": right.softmax(1),
        "these are log-probabilities: return the scaled logits, without softmax": right.log_softmax(1),
        "you multiplied by the temperature: divide, so that T > 1 lowers the confidence": logits * temperature,
        "the temperature was subtracted or added: divide the logits by it": logits - temperature,
        "the temperature has no effect: divide the logits by it": logits,
    }
    if torch.allclose(result, right, atol=1e-6):
        return
    for hint, wrong in mistakes.items():
        if torch.allclose(result, wrong, atol=1e-6):
            raise Hint(hint)
    raise Hint(f"with temperature {temperature:g} the result should be the logits divided by it; start it at 1")


def _two_networks():
    """Return confusion matrices per image for two networks.

    The images differ a lot in foreground size and difficulty, but the two networks differ only a little.
    """
    rng = np.random.default_rng(5)
    sizes, errors = rng.lognormal(7.5, 0.9, 40), rng.beta(1.5, 9, 40)
    parts = []
    for skill in (1.0, 0.85):
        wrong = sizes * errors * skill * rng.uniform(0.85, 1.15, 40)
        alarms = wrong * rng.uniform(0.2, 0.8, 40)
        matrices = np.array([[np.full(40, 2e4), alarms], [wrong, np.maximum(sizes - wrong, 0)]])
        parts.append(matrices.transpose(2, 0, 1).astype(int))
    return parts


def _mious(times, matrices):
    """Return the mIoU of each resampled data set, in which image i occurs times[:, i] times."""
    sums = np.tensordot(times, matrices, 1)
    hits = np.diagonal(sums, axis1=1, axis2=2)
    return (hits / np.maximum(sums.sum(1) + sums.sum(2) - hits, 1)).mean(1)


def _bootstrap(first, second, ends=(2.5, 97.5), paired=True, score=_mious):
    """Return the bootstrap confidence interval of score(second) - score(first)."""
    rng, count = np.random.default_rng(1), len(first)
    drawn, other = rng.multinomial(count, np.full(count, 1 / count), (2, RESAMPLES))
    return np.percentile(score(drawn if paired else other, second) - score(drawn, first), ends)


def _near(interval, other, tolerance: float) -> bool:
    return bool(np.abs(np.subtract(interval, other)).max() <= tolerance)


def _quiet(answer):
    """Return a wrapper of `answer` that hides NumPy's warnings, because an empty union causes a division by 0."""

    def call(*args):
        with np.errstate(all="ignore"):
            return answer(*args)

    return call


def _compare(value: float, right: float, mistakes: dict[str, float], default_hint: str) -> None:
    """If `value` is not close to `right`, raise the hint of the matching mistake, or `default_hint`."""
    if np.isclose(value, right, rtol=1e-5, atol=1e-7):
        return
    for hint, wrong in mistakes.items():
        if np.isclose(value, wrong, rtol=1e-5, atol=1e-7):
            raise Hint(hint)
    raise Hint(f"your result is {value:.5g}; {default_hint}")


def _number(value) -> float:
    array = np.asarray(value, np.float64)
    if array.size != 1:
        raise Hint(f"return one number, but the result has shape {array.shape}")
    return float(array.reshape(()))


def _score(value) -> float:
    value = _number(value)
    if value > 1:
        raise Hint(f"a mean IoU is between 0 and 1, but yours is {value:.5g}: did you divide by the number of classes?")
    return value
