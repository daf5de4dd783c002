"""Checkers for notebook 01: class counts, a trivial baseline, leakage, downscaled masks, horizontal flips, crops."""

import numpy as np

from . import Hint, exercise

IGNORE = 255


@exercise("01_data_preparation/1")
def count_classes(answer):
    """Check that `answer(labels, num_classes)` returns the pixel count of every class, without ignored pixels."""
    labels = np.array([[0, 0, 1, 1], [0, 1, 1, IGNORE], [0, 0, IGNORE, IGNORE]], np.uint8)
    inputs = labels.copy()
    counts = np.asarray(answer(inputs, 4))
    _unchanged(inputs, labels)
    if counts.shape == (256,):
        raise Hint("you have an entry for every value up to 255: remove the ignored pixels before you count")
    if counts.shape == (5,):
        raise Hint("there are more entries than classes: ignored pixels belong to no class")
    if counts.shape == (2,):
        raise Hint("a class without pixels needs a count of 0, so that entry c is always class c: see minlength")
    if counts.shape == (3,) and set(counts.tolist()) == {5, 4, 3}:
        raise Hint("np.unique lists only labels that occur, and the ignored label; return one entry for each class")
    if counts.shape != (4,):
        raise Hint(f"return num_classes numbers, here 4; yours have shape {counts.shape}")
    if np.allclose(counts.sum(), 1):
        raise Hint("these are fractions; the exercise asks for numbers of pixels")
    if counts.sum() == labels.size:
        raise Hint("the ignored pixels were counted as one of the classes")
    if not np.array_equal(counts, [5, 4, 0, 0]):
        raise Hint(f"for {labels.tolist()} the counts are [5, 4, 0, 0], not {counts.tolist()}")


@exercise("01_data_preparation/2")
def score_all_background(answer):
    """Check that `answer(masks)` returns pixel accuracy and mIoU of predicting background everywhere."""
    small = np.zeros((4, 5), np.uint8)
    small[0] = 1
    large = np.ones((10, 10), np.uint8)
    large[:3] = 0
    large[9] = IGNORE
    accuracy, miou = _two_numbers(answer([small, large]))
    right = 45 / 110
    _not_these(
        accuracy,
        right,
        {
            (15 / 20 + 30 / 90)
            / 2: "you averaged the accuracies of the images; count pixels over all images, then divide once",
            (15 / 20 + 30 / 100) / 2: "you averaged over images, and ignored pixels are in the denominator",
            45 / 120: "ignored pixels are in the denominator; they are neither correct nor wrong",
            55 / 120: "ignored pixels count as background; leave them out of both the numerator and the denominator",
            65 / 110: "this is the fraction of animal pixels: the prediction is correct where the label is 0",
            right / 2: "the accuracy comes first, then the mIoU",
        },
        "accuracy",
    )
    _not_these(
        miou,
        right / 2,
        {
            right: "the masks contain animals, so the animal's IoU of 0 counts: the mean is over two classes",
            0.0: "this is the IoU of the animal class; mIoU is the mean over both classes",
        },
        "mIoU",
    )
    empty = [np.zeros((3, 3), np.uint8)]
    accuracy, miou = _two_numbers(answer(empty))
    if abs(miou - 0.5) < 1e-6:
        raise Hint("if no mask contains an animal, leave that class out of the mean instead of counting it as 0")
    if abs(accuracy - 1) > 1e-6 or not abs(miou - 1) < 1e-6:
        raise Hint(f"where every pixel is background, accuracy and mIoU are both 1, not {accuracy:.3g} and {miou:.3g}")


@exercise("01_data_preparation/3")
def find_neighbors(answer):
    """Check that `answer(train, val, distance)` returns the validation frames with a neighbor in the training set.

    Two frames are neighbors if they are from the same sequence and their numbers differ by at most `distance`.
    """
    train = ["A_00100", "A_00098", "A_00300", "B_00110", "B_00500"]
    near = ["A_00104", "A_00096", "A_00310", "B_00104"]
    far = ["A_00200", "B_00300", "C_00100"]
    result = answer(list(train), near[:1] + far + near[1:], 10)
    if isinstance(result, (int, np.integer)):
        raise Hint("return the keys, not their number, so that you can look at the frames")
    listed = list(result)
    result = set(listed)
    if result & set(train):
        raise Hint("your list contains training frames; return validation frames with a neighbor in it")
    if not result:
        raise Hint("your list is empty: neighbors have different numbers, so compare int(number), not whole keys")
    if "C_00100" in result:
        raise Hint(
            "C_00100 has no neighbor: frames are numbered within a sequence, so the parts before the _ must be equal"
        )
    if result == {"A_00104", "A_00310"}:
        raise Hint("a neighbor may come before or after: compare the absolute difference")
    if result == {"A_00096", "B_00104"}:
        raise Hint("a neighbor may come before or after: compare the absolute difference")
    if result == {*near, "A_00200", "B_00300"}:
        raise Hint("A_00200 is 100 frames from A_00300: a negative difference is not small, compare its absolute value")
    if result == set(near) - {"A_00310"}:
        raise Hint("A_00310 is 10 frames from A_00300, and a difference equal to `distance` is allowed: use <=")
    if result != set(near):
        missing, extra = sorted(set(near) - result), sorted(result - set(near))
        raise Hint("; ".join([f"missing: {', '.join(missing)}"] * bool(missing) + [f"wrong: {extra}"] * bool(extra)))
    if len(listed) > len(result):
        raise Hint("A_00104 is in your list twice, because two training frames are near it: list each name once")


@exercise("01_data_preparation/4")
def shrink_labels(answer):
    """Check that `answer(mask, height, width)` resizes the mask without creating new labels."""
    mask = np.zeros((40, 60), np.uint8)
    mask[10:34, 20:50] = 8
    mask[16:30, 30:44] = 3
    mask[:, 54:] = IGNORE
    inputs = mask.copy()
    small = np.asarray(answer(inputs, 16, 26))
    _unchanged(inputs, mask)
    if small.shape == (26, 16):
        raise Hint("height and width are swapped: cv2.resize and Pillow take (width, height), arrays (height, width)")
    if small.shape != (16, 26):
        raise Hint(f"the result should have the shape (16, 26), but it has {small.shape}")
    invented = sorted(set(np.unique(small).tolist()) - {0, 3, 8, IGNORE})
    if invented:
        listed = ", ".join(f"{label:g}" for label in invented[:5])
        raise Hint(f"the result has labels that are not in the mask ({listed}): do not average, use nearest neighbor")
    if small.dtype.kind not in "iu":
        raise Hint(f"labels are integers, but the result has dtype {small.dtype}")
    rows = ((np.arange(16) + 0.5) * 40 / 16).astype(int)
    columns = ((np.arange(26) + 0.5) * 60 / 26).astype(int)
    if np.mean(small == mask[np.ix_(rows, columns)]) < 0.88:  # other ways to round differ along borders only
        raise Hint("the labels are at the wrong positions: resize the whole mask, do not crop it")


@exercise("01_data_preparation/5")
def mirror_together(answer):
    """Check that `answer(image, mask)` flips both arrays horizontally."""
    generator = np.random.default_rng(0)
    image = generator.integers(0, 256, (5, 7, 3), np.uint8)
    mask = generator.integers(0, 3, (5, 7), np.uint8)
    inputs = image.copy(), mask.copy()
    result = answer(*inputs)
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        raise Hint("return two arrays, the image and the mask")
    _unchanged(inputs[0], image)
    _unchanged(inputs[1], mask)
    flipped, labels = map(np.asarray, result)
    if flipped.ndim == 2 and labels.ndim == 3:
        raise Hint("the image comes first, then the mask")
    if np.array_equal(flipped, image) and np.array_equal(labels, mask):
        raise Hint("nothing was flipped")
    if np.array_equal(flipped, image[:, ::-1]) and np.array_equal(labels, mask):
        raise Hint("you flipped the image but not the mask")
    if np.array_equal(flipped, image) and np.array_equal(labels, mask[:, ::-1]):
        raise Hint("you flipped the mask but not the image")
    for name, result, before in (("image", flipped, image), ("mask", labels, mask)):
        _mirrored(name, result, before)


def _mirrored(name: str, result: np.ndarray, before: np.ndarray) -> None:
    """Raise a Hint unless `result` is `before`, flipped horizontally."""
    if np.array_equal(result, before[:, ::-1]):
        return
    wrong = {
        "is upside down: rows are axis 0, columns axis 1": before[::-1],
        "was flipped in both directions: flip axis 1 only": before[::-1, ::-1],
        "was not flipped": before,
        "has red and blue swapped: axis 2 is the color channel, axis 1 the column": before[..., ::-1],
        "was flipped along every axis, even the color channels: flip axis 1 only": np.flip(before),
    }
    for what, array in wrong.items():
        if np.array_equal(result, array):
            raise Hint(f"the {name} {what}")
    raise Hint(f"the {name} should be {name}[:, ::-1], shape {before.shape}; yours has shape {result.shape}")


@exercise("01_data_preparation/6")
def random_crop(answer):
    """Check that `answer(image, mask, size, rng)` crops image and mask to the same random square of `size` x `size`.

    Where the image is smaller than the crop, the image is padded with 0 and the mask with 255.
    """
    rows, columns = np.mgrid[:9, :12].astype(np.uint8)
    image, mask = np.stack([rows, columns, rows + columns], axis=2), 16 * rows + columns
    places = set()
    for seed in range(80):
        inputs = image.copy(), mask.copy()
        crop, labels = _two_arrays(answer(*inputs, 6, np.random.default_rng(seed)))
        _unchanged(inputs[0], image)
        _unchanged(inputs[1], mask)
        _expect_shapes(crop, labels, 6)
        top, left = int(crop[0, 0, 0]), int(crop[0, 0, 1])
        if not np.array_equal(crop, image[top : top + 6, left : left + 6]):
            raise Hint("the image is not a window of the original: cut it out with slices, and do not resize it")
        if not np.array_equal(labels, mask[top : top + 6, left : left + 6]):
            raise Hint("image and mask come from different windows: draw the position once and use it for both")
        places.add((top, left))
    _expect_all_places(places)
    _expect_same_with_seed(answer, image, mask)
    _expect_padding(answer)


def _two_arrays(result) -> tuple[np.ndarray, np.ndarray]:
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        raise Hint("return two arrays, the image and the mask")
    return np.asarray(result[0]), np.asarray(result[1])


def _expect_shapes(crop: np.ndarray, labels: np.ndarray, size: int) -> None:
    if crop.shape != (size, size, 3) or labels.shape != (size, size):
        raise Hint(
            f"for size {size} the shapes should be {(size, size, 3)} and {(size, size)}, "
            f"but they are {crop.shape} and {labels.shape}"
        )


def _expect_all_places(places: set[tuple[int, int]]) -> None:
    """Raise a Hint unless 6 x 6 crops of a 9 x 12 image start in every row from 0 to 3 and every column from 0 to 6."""
    if len(places) == 1:
        raise Hint("the window is always at the same position: draw its position with rng.integers")
    if {top for top, _ in places} != set(range(4)) or {left for _, left in places} != set(range(7)):
        raise Hint(
            "some positions never occur: in 12 pixels a window of 6 can start at 0 to 6; rng.integers excludes the end"
        )
    if all(left == top for top, left in places):
        raise Hint("row and column of the window are always equal: draw two numbers")


def _expect_same_with_seed(answer, image: np.ndarray, mask: np.ndarray) -> None:
    """Raise a Hint unless two generators with the same seed give the same windows."""
    first, second = (
        [np.asarray(answer(image.copy(), mask.copy(), 6, rng)[1])[0, 0] for _ in range(12)]
        for rng in (np.random.default_rng(0), np.random.default_rng(0))
    )
    if not np.array_equal(first, second):
        raise Hint(
            "two generators with the same seed give different windows: draw with the argument `rng`, not with "
            "np.random or a generator of your own"
        )


def _expect_padding(answer) -> None:
    """Raise a Hint unless 5 x 5 crops of images of 3 x 8 and 8 x 3 pixels are padded at the bottom and at the right."""
    for lines, side, transposed in (("rows", "bottom", False), ("columns", "right", True)):
        image, mask = np.full((3, 8, 3), 7, np.uint8), np.ones((3, 8), np.uint8)
        if transposed:
            image, mask = image.swapaxes(0, 1), mask.T
        crop, labels = _two_arrays(answer(image.copy(), mask.copy(), 5, np.random.default_rng(0)))
        _expect_shapes(crop, labels, 5)
        if transposed:
            crop, labels = crop.swapaxes(0, 1), labels.T
        if (labels[3:] == 0).all():
            raise Hint("the mask is padded with 0, which is a class; the padding has no label, so use 255")
        if not ((labels[:3] == 1).all() and (labels[3:] == 255).all()):
            raise Hint(f"a mask of 3 {lines} needs two {lines} of 255 at the {side} to fill 5")
        if not ((crop[:3] == 7).all() and (crop[3:] == 0).all()):
            raise Hint(f"an image of 3 {lines} needs two {lines} of 0 at the {side} to fill 5")


def _two_numbers(result) -> tuple[float, float]:
    if not isinstance(result, (tuple, list, np.ndarray)) or len(result) != 2:
        raise Hint("return two numbers, the accuracy and the mIoU")
    return float(result[0]), float(result[1])


def _not_these(result: float, right: float, mistakes: dict[float, str], name: str) -> None:
    """Raise a Hint unless `result` is close to `right`. `mistakes` maps common wrong results to hints."""
    if abs(result - right) < 1e-6:
        return
    for value, hint in mistakes.items():
        if abs(result - value) < 1e-6:
            raise Hint(hint)
    raise Hint(f"the {name} of the test masks is {right:.4f}, yours is {result:.4f}")


def _unchanged(now: np.ndarray, before: np.ndarray) -> None:
    if now.shape != before.shape or not np.array_equal(now, before):
        raise Hint("your function modifies its input array, which other code may use: work on a copy")
