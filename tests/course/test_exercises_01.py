"""Notebook 01's checkers: right answers pass, each typical mistake gets its own hint, nonsense never raises."""

import cv2
import numpy as np
import pytest

from course import exercises

NOTEBOOK = "01_data_preparation"


def message(number: int, answer) -> str:
    return exercises.grade(f"{NOTEBOOK}/{number}", answer).message


def counts(labels, num_classes):
    return np.bincount(labels[labels != 255], minlength=num_classes)


def baseline(masks):
    background = sum((mask == 0).sum() for mask in masks)
    animal = sum((mask == 1).sum() for mask in masks)
    accuracy = background / (background + animal)
    return accuracy, accuracy / 2 if animal else accuracy


def mirror(image, mask):
    return image[:, ::-1], mask[:, ::-1]


def shrink(mask, height, width):
    return cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST)


def neighbors(train, val, distance, near=lambda a, b, distance: abs(a - b) <= distance, same=True):
    def parts(key):
        sequence, number = key.split("_")
        return sequence if same else "", int(number)

    return [
        key
        for key in val
        if any(parts(key)[0] == parts(t)[0] and near(parts(key)[1], parts(t)[1], distance) for t in train)
    ]


def random_crop(image, mask, size, rng):
    rows, columns = max(0, size - len(mask)), max(0, size - mask.shape[1])
    image = np.pad(image, ((0, rows), (0, columns), (0, 0)))
    mask = np.pad(mask, ((0, rows), (0, columns)), constant_values=255)
    top, left = (rng.integers(side - size + 1) for side in mask.shape)
    return image[top : top + size, left : left + size], mask[top : top + size, left : left + size]


RIGHT = {1: counts, 2: baseline, 3: neighbors, 4: shrink, 5: mirror, 6: random_crop}


def test_every_exercise_has_a_checker():
    assert exercises.names(NOTEBOOK) == [f"{NOTEBOOK}/{number}" for number in RIGHT]


@pytest.mark.parametrize("number", RIGHT)
def test_right_answers_pass(number):
    assert message(number, RIGHT[number]) == "right"


@pytest.mark.parametrize("number", RIGHT)
def test_stubs_are_not_attempted(number):
    assert message(number, ...) == message(number, None) == "not attempted yet"
    assert message(number, lambda *args: None).startswith("not attempted yet")


GARBAGE = [
    7,
    "x",
    [],
    {},
    object(),
    np.zeros(3),
    int,
    lambda: 1,
    lambda *a: "x",
    lambda *a: 1j,
    lambda *a: [[1], [2, 3]],
    lambda *a: object(),
    lambda *a: (None, None),
    lambda *a: np.full((2, 2), np.nan),
    lambda *a: 1 / 0,
    lambda *a: [],
    lambda *a: a,
    lambda *a: np.zeros(0),
    lambda *a: ("a", "b"),
]


@pytest.mark.parametrize("number", RIGHT)
@pytest.mark.parametrize("answer", GARBAGE)
def test_garbage_is_wrong_and_never_raises(number, answer):
    assert message(number, answer).startswith("not yet: ")


@pytest.mark.parametrize(
    "hint, answer",
    [
        ("remove the ignored pixels", lambda labels, n: np.bincount(labels.ravel(), minlength=n)),
        ("more entries than classes", lambda labels, n: np.bincount(np.minimum(labels, n).ravel(), minlength=n + 1)),
        ("see minlength", lambda labels, n: np.bincount(labels[labels != 255])),
        ("np.unique lists", lambda labels, n: np.unique(labels, return_counts=True)[1]),
        ("these are fractions", lambda labels, n: counts(labels, n) / 9),
        ("counted as one of the classes", lambda labels, n: [8, 4, 0, 0]),
        ("work on a copy", lambda labels, n: (labels.fill(0), np.zeros(n))[1]),
        ("num_classes numbers", lambda labels, n: counts(labels, n).sum()),
        ("[5, 4, 0, 0]", lambda labels, n: counts(labels, n)[::-1]),
    ],
)
def test_hints_on_counting(hint, answer):
    assert hint in message(1, answer)


def per_image(masks):
    accuracy = float(np.mean([baseline([mask])[0] for mask in masks]))
    return accuracy, accuracy / 2


def with_ignored(masks):
    accuracy = sum((m == 0).sum() for m in masks) / sum(m.size for m in masks)
    return accuracy, accuracy / 2


def test_two_numbers_may_be_an_array():
    assert message(2, lambda masks: np.array(baseline(masks))) == message(2, baseline)


@pytest.mark.parametrize(
    "hint, answer",
    [
        ("averaged the accuracies of the images", per_image),
        ("in the denominator; they", with_ignored),
        ("averaged over images, and ignored", lambda masks: (np.mean([(m == 0).mean() for m in masks]), 0)),
        ("count as background", lambda masks: (sum((m != 1).sum() for m in masks) / sum(m.size for m in masks), 0)),
        ("fraction of animal pixels", lambda masks: (1 - baseline(masks)[0], 0)),
        ("accuracy comes first", lambda masks: baseline(masks)[::-1]),
        ("over two classes", lambda masks: (baseline(masks)[0],) * 2),
        ("IoU of the animal class", lambda masks: (baseline(masks)[0], 0)),
        ("leave that class out", lambda masks: (baseline(masks)[0], baseline(masks)[0] / 2)),
        ("two numbers", lambda masks: baseline(masks)[0]),
        ("0.4091, yours is 0.1000", lambda masks: (0.1, 0.05)),
        ("are both 1", lambda masks: baseline(masks) if len(masks) > 1 else (1, float("nan"))),
    ],
)
def test_hints_on_the_baseline(hint, answer):
    assert hint in message(2, answer)


@pytest.mark.parametrize(
    "hint, answer",
    [
        ("nothing was flipped", lambda image, mask: (image, mask)),
        ("flipped the image but not the mask", lambda image, mask: (image[:, ::-1], mask)),
        ("flipped the mask but not the image", lambda image, mask: (image, mask[:, ::-1])),
        ("the image is upside down", lambda image, mask: (image[::-1], mask[::-1])),
        ("the mask is upside down", lambda image, mask: (image[:, ::-1], mask[::-1])),
        ("image was flipped in both", lambda image, mask: (image[::-1, ::-1], mask[::-1, ::-1])),
        ("red and blue swapped", lambda image, mask: (image[..., ::-1], mask[..., ::-1])),
        ("even the color channels", lambda image, mask: (np.flip(image), np.flip(mask))),
        ("was not flipped", lambda image, mask: (image, mask[::-1])),
        ("image comes first", lambda image, mask: mirror(image, mask)[::-1]),
        ("two arrays", lambda image, mask: image[:, ::-1]),
        ("shape (5, 7, 3)", lambda image, mask: (image[:, :3], mask)),
    ],
)
def test_hints_on_mirroring(hint, answer):
    assert hint in message(5, answer)


def in_place(image, mask):
    image[:] = image[:, ::-1].copy()
    mask[:] = mask[:, ::-1].copy()
    return image, mask


def test_changing_the_readers_arrays_is_noticed():
    assert "work on a copy" in message(5, in_place)


@pytest.mark.parametrize(
    "hint, answer",
    [
        ("do not average", lambda m, h, w: cv2.resize(m, (w, h), interpolation=cv2.INTER_LINEAR)),
        ("do not average", lambda m, h, w: cv2.resize(m, (w, h), interpolation=cv2.INTER_AREA)),
        ("swapped", lambda m, h, w: cv2.resize(m, (h, w), interpolation=cv2.INTER_NEAREST)),
        ("shape (16, 26)", lambda m, h, w: m),
        ("labels are integers", lambda m, h, w: shrink(m, h, w).astype(float)),
        ("do not crop it", lambda m, h, w: m[:h, :w]),
        ("at the wrong positions", lambda m, h, w: np.zeros((h, w), np.uint8)),
    ],
)
def test_hints_on_shrinking(hint, answer):
    assert hint in message(4, answer)


@pytest.mark.parametrize("way", ["nearest", "exact", "slices", "majority"])
def test_every_sound_way_to_shrink_passes(way):
    def answer(mask, height, width):
        if way == "majority":
            labels = np.unique(mask)
            shares = [cv2.resize((mask == i).astype(np.float32), (width, height), interpolation=3) for i in labels]
            return labels[np.argmax(shares, axis=0)]
        if way == "slices":
            rows, columns = np.arange(height) * len(mask) // height, np.arange(width) * mask.shape[1] // width
            return mask[rows][:, columns]
        kind = cv2.INTER_NEAREST if way == "nearest" else cv2.INTER_NEAREST_EXACT
        return cv2.resize(mask, (width, height), interpolation=kind)

    assert message(4, answer) == "right"


@pytest.mark.parametrize(
    "hint, answer",
    [
        ("return the keys", lambda train, val, distance: len(neighbors(train, val, distance))),
        ("contains training frames", lambda train, val, distance: neighbors(val, train, distance)),
        ("your list is empty", lambda train, val, distance: [key for key in val if key in train]),
        ("C_00100 has no neighbor", lambda train, val, d: neighbors(train, val, d, same=False)),
        ("absolute difference", lambda train, val, d: neighbors(train, val, d, lambda a, b, d: 0 <= a - b <= d)),
        ("absolute difference", lambda train, val, d: neighbors(train, val, d, lambda a, b, d: 0 <= b - a <= d)),
        ("use <=", lambda train, val, d: neighbors(train, val, d, lambda a, b, d: abs(a - b) < d)),
        ("missing: A_00096", lambda train, val, distance: ["A_00104", "A_00310", "B_00104"]),
        ("wrong: ['A_00200']", lambda train, val, distance: [*neighbors(train, val, distance), "A_00200"]),
    ],
)
def test_hints_on_neighbors(hint, answer):
    assert hint in message(3, answer)


def test_neighbors_may_come_in_any_order_and_kind():
    assert (
        message(3, lambda *args: set(neighbors(*args))) == message(3, lambda *args: neighbors(*args)[::-1]) == "right"
    )


def twice(image, mask, size, rng):
    return random_crop(image, mask, size, rng)[0], random_crop(image, mask, size, rng)[1]


def fixed(image, mask, size, rng):
    return random_crop(image, mask, size, np.random.default_rng(0))


def never_last(image, mask, size, rng):
    if min(mask.shape) <= size:
        return random_crop(image, mask, size, rng)
    top, left = (rng.integers(side - size) for side in mask.shape)
    return image[top : top + size, left : left + size], mask[top : top + size, left : left + size]


def class_padding(image, mask, size, rng):
    image, mask = random_crop(image, mask, size, rng)
    return image, np.where(mask == 255, 0, mask)


def gray_padding(image, mask, size, rng):
    image, mask = random_crop(image, mask, size, rng)
    return np.where(mask[..., None] == 255, 128, image), mask


def rows_only(image, mask, size, rng):
    if mask.shape[1] < size:
        return image, mask
    return random_crop(image, mask, size, rng)


def columns_of_zeros(image, mask, size, rng):
    crop, labels = random_crop(image, mask, size, rng)
    return crop, np.where((labels == 255) & (mask.shape[1] < size), 0, labels)


@pytest.mark.parametrize(
    "hint, answer",
    [
        ("two arrays", lambda image, mask, size, rng: image),
        ("the shapes should be", lambda image, mask, size, rng: (image, mask)),
        ("different windows", twice),
        ("always at the same position", fixed),
        ("some positions never occur", never_last),
        ("not a window", lambda i, m, s, rng: (cv2.resize(i, (s, s)), cv2.resize(m, (s, s)))),
        ("use 255", class_padding),
        ("two rows of 0", gray_padding),
        ("the shapes should be", rows_only),
        ("use 255", columns_of_zeros),
    ],
)
def test_hints_on_random_crops(hint, answer):
    assert hint in message(6, answer)


def test_neighbors_with_a_signed_difference_or_named_twice_are_refused():
    assert "compare its absolute value" in message(3, lambda a, b, d: neighbors(a, b, d, lambda x, y, d: x - y <= d))
    assert "twice" in message(3, lambda a, b, d: [key for other in a for key in neighbors([other], b, d)])


def test_random_crops_that_ignore_the_generator_are_refused():
    for seed in (None, np.random):
        make = np.random.default_rng if seed is None else lambda: np.random.default_rng(np.random.randint(1000))
        assert "same seed" in message(6, lambda i, m, s, rng, make=make: random_crop(i, m, s, make()))


def test_the_hint_on_np_unique_is_for_its_counts_only():
    assert "np.unique" in message(1, lambda labels, n: np.unique(labels, return_counts=True)[1])
    assert "np.unique" not in message(1, lambda labels, n: [(labels == c).sum() for c in range(1, n)])
