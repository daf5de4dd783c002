"""Metrics against worked examples, OpenCV, scikit-learn, a plain double loop and the properties they must have."""

import json
import math
import pickle

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seglib import metrics
from seglib.metrics import Counts, MetricError

HUNDREDS = settings(max_examples=300, deadline=None, derandomize=True)
DOZENS = settings(HUNDREDS, max_examples=80)
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


FEW_CLASSES = st.integers(1, 7)
WIDTHS = st.sampled_from([1, 2, 3, 5, 9, 30])
GOOD = np.zeros((2, 3), np.uint8)


@st.composite
def cases(draw, classes=FEW_CLASSES, largest=21):
    """(target, prediction, C): regions of every scale, from single pixels to the whole image, some ignored."""
    height, width, num_classes = draw(st.integers(1, largest)), draw(st.integers(1, largest)), draw(classes)
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))

    def regions(scale):
        coarse = rng.integers(0, num_classes, (-(-height // scale), -(-width // scale)), dtype=np.uint8)
        return coarse.repeat(scale, 0).repeat(scale, 1)[:height, :width].copy()

    target = regions(draw(st.sampled_from([1, 3, 8, 32])))
    if draw(st.booleans()):
        prediction = regions(draw(st.sampled_from([1, 3, 8, 32])))
    else:
        prediction = np.where(rng.random(target.shape) < 0.05, regions(1), target)
    ignored = draw(st.sampled_from(["none", "speckle", "rectangle", "all"]))
    if ignored == "speckle":
        target[rng.random(target.shape) < 0.2] = 255
    elif ignored == "rectangle":
        top, left = rng.integers(0, height), rng.integers(0, width)
        target[top : top + 1 + height // 2, left : left + 1 + width // 2] = 255
    elif ignored == "all":
        target[:] = 255
    return target, prediction, num_classes


def opencv_band(mask, width):
    """The mask less its 3x3 erosion, applied ``width`` times to the mask with a border of zeros."""
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    return mask & (cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=width)[1:-1, 1:-1] == 0)


def opencv_counts(target, prediction, num_classes, width):
    """Intersection and union of the bands of each class, one class after the other."""
    valid = target != 255
    bands = [[opencv_band(m == c, width) & valid for m in (target, prediction)] for c in range(num_classes)]
    return [int((g & p).sum()) for g, p in bands], [int((g | p).sum()) for g, p in bands]


def loop_band(labels, width):
    """The definition, pixel by pixel: set where another label or the outside is within ``width``."""
    height, columns = len(labels), len(labels[0])
    steps = range(-width, width + 1)

    def differs(y, x, label):
        return not (0 <= y < height and 0 <= x < columns) or labels[y][x] != label

    return [
        [any(differs(y + i, x + j, labels[y][x]) for i in steps for j in steps) for x in range(columns)]
        for y in range(height)
    ]


def loop_counts(target, prediction, num_classes, width):
    true_band, predicted_band = loop_band(target, width), loop_band(prediction, width)
    intersection, union = [0] * num_classes, [0] * num_classes
    for y in range(len(target)):
        for x in range(len(target[0])):
            if target[y][x] == 255:
                continue
            true = target[y][x] if true_band[y][x] else None
            predicted = prediction[y][x] if predicted_band[y][x] else None
            if true is not None and true == predicted:
                intersection[true] += 1
            for c in {true, predicted} - {None}:
                union[c] += 1
    return intersection, union


def boundary(target, prediction, num_classes, width):
    return [counts.tolist() for counts in metrics.boundary_counts(target, prediction, num_classes, width)]


def counted(pairs, num_classes, **options):
    counts = Counts(num_classes, **options)
    for target, prediction in pairs:
        counts.update(target, prediction)
    return counts


# Worked by hand


def test_confusion_matrix_by_hand():
    target = np.array([[0, 0, 1], [1, 2, 255]], np.uint8)
    prediction = np.array([[0, 1, 1], [1, 0, 2]], np.uint8)
    expected = [[1, 1, 0, 0], [0, 2, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    matrix = metrics.confusion_matrix(target, prediction, 4)
    assert matrix.tolist() == expected and matrix.dtype == np.int64


def test_scores_of_a_matrix_by_hand():
    matrix = np.array([[6, 2, 0, 0], [1, 3, 0, 0], [0, 0, 0, 0], [0, 4, 0, 0]])  # class 2 absent, 3 never predicted
    nan = math.nan
    np.testing.assert_array_equal(metrics.iou(matrix), [6 / 9, 3 / 10, nan, 0])
    np.testing.assert_array_equal(metrics.dice(matrix), [12 / 15, 6 / 13, nan, 0])
    np.testing.assert_array_equal(metrics.precision(matrix), [6 / 7, 3 / 9, nan, nan])
    np.testing.assert_array_equal(metrics.recall(matrix), [6 / 8, 3 / 4, nan, 0])
    assert metrics.mean_iou(matrix) == pytest.approx((6 / 9 + 3 / 10 + 0) / 3)
    assert metrics.pixel_accuracy(matrix) == 9 / 16
    assert metrics.mean_class_accuracy(matrix) == pytest.approx((6 / 8 + 3 / 4 + 0) / 3)
    assert metrics.frequency_weighted_iou(matrix) == pytest.approx((8 * 6 / 9 + 4 * 3 / 10 + 4 * 0) / 16)
    assert metrics.mean_iou(torch.from_numpy(matrix)) == metrics.mean_iou(matrix)


def test_scores_of_a_matrix_with_counts_near_the_limit_of_its_type():
    matrix = np.diag(np.int32([2_000_000_000, 1]))
    for score in (metrics.iou, metrics.dice, metrics.precision, metrics.recall):
        assert (score(matrix) == 1).all()


def test_a_class_that_is_only_predicted_counts_in_the_mean_iou():
    matrix = np.array([[3, 1], [0, 0]])
    assert metrics.mean_iou(matrix) == (3 / 4 + 0) / 2
    assert metrics.mean_class_accuracy(matrix) == 3 / 4  # recall has no meaning for it


def test_bands_by_hand():
    labels = np.zeros((7, 9), np.uint8)
    labels[:, 6:] = 4
    expected = [
        "#########",
        "#....####",
        "#....##.#",
        "#....##.#",
        "#....##.#",
        "#....##.#",
        "#########",
    ]
    expected[1] = expected[2]
    drawn = ["".join("#" if inside else "." for inside in row) for row in metrics.boundary_bands(labels, 1).tolist()]
    assert drawn == expected


def test_bands_are_square():
    labels = np.zeros((9, 9), np.uint8)
    labels[4, 4] = 1
    expected = np.ones((9, 9), bool)
    expected[2:-2, 2:-2] = False
    expected[2:7, 2:7] = True  # Chebyshev distance 2 of the pixel, corners included
    np.testing.assert_array_equal(metrics.boundary_bands(labels, 2), expected)


def test_boundary_counts_by_hand():
    target = np.zeros((5, 5), np.uint8)
    target[1:4, 1:4] = 1  # all of it within 1 of another label but the centre
    prediction = target.copy()
    prediction[2, 2] = 0  # a hole: the centre is a band of class 0, and the ring stays a band of class 1
    assert boundary(target, prediction, 2, 1) == [[16, 8], [17, 8]]
    target[0, :] = 255
    assert boundary(target, prediction, 2, 1) == [[11, 8], [12, 8]]


@pytest.mark.parametrize(
    ("height", "width", "ratio", "expected"),
    [(224, 224, 0.02, 6), (360, 480, 0.02, 12), (1024, 2048, 0.02, 46), (1024, 2048, 0.005, 11), (1, 1, 0.02, 1)],
)
def test_boundary_width(height, width, ratio, expected):
    assert metrics.boundary_width(height, width, ratio) == expected


def test_boundary_width_is_two_per_cent_of_the_diagonal_by_default():
    assert metrics.boundary_width(300, 400) == 10


def test_boundary_width_rounds_half_to_even():
    assert [metrics.boundary_width(3, 4, ratio) for ratio in (0.5, 0.7)] == [2, 4]  # of 2.5 and 3.5


# Against references


@HUNDREDS
@given(cases(largest=40), WIDTHS)
def test_boundary_counts_equal_opencv_per_class(case, width):
    target, prediction, num_classes = case
    assert boundary(*case, width) == list(opencv_counts(*case, width))
    bands = [opencv_band(target == label, width) for label in [*range(num_classes), 255]]
    np.testing.assert_array_equal(metrics.boundary_bands(target, width), np.any(bands, axis=0))


@settings(HUNDREDS, max_examples=250)
@given(cases(largest=11), st.sampled_from([1, 2, 3, 12]))
def test_boundary_counts_equal_a_double_loop(case, width):
    target, prediction, num_classes = case
    assert boundary(*case, width) == list(loop_counts(target.tolist(), prediction.tolist(), num_classes, width))
    assert metrics.boundary_bands(target, width).tolist() == loop_band(target.tolist(), width)


@HUNDREDS
@given(cases(classes=st.sampled_from([1, 2, 3, 4, 15, 16, 40, 255])))
def test_confusion_matrix_equals_a_loop_and_scikit_learn(case):
    target, prediction, num_classes = case
    matrix = metrics.confusion_matrix(*case)
    expected = np.zeros((num_classes, num_classes), int)
    for t, p in zip(target.ravel().tolist(), prediction.ravel().tolist(), strict=True):
        if t < num_classes:
            expected[t, p] += 1
    np.testing.assert_array_equal(matrix, expected)
    valid = target != 255
    if valid.any() and num_classes > 1:  # scikit-learn warns of a single class
        sklearn = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
        reference = sklearn.confusion_matrix(target[valid], prediction[valid], labels=range(num_classes))
        np.testing.assert_array_equal(matrix, reference)


def test_many_classes_on_a_large_image():
    rng = np.random.default_rng(0)
    target = rng.integers(0, 19, (16, 24), dtype=np.uint8).repeat(20, 0).repeat(20, 1)
    target[100:150, 30:90] = 255
    prediction = np.roll(np.where(target == 255, 0, target), (3, -5), (0, 1)).astype(np.uint8)
    assert boundary(target, prediction, 19, 11) == list(opencv_counts(target, prediction, 19, 11))


@pytest.mark.parametrize("num_classes", [1, 2, 3, 14, 15, 16, 17, 40, 255])
def test_there_is_a_band_between_any_two_classes(num_classes):
    """The implementation packs labels into bytes: every difference between two labels must be detected."""
    pairs = [(a, b) for b in range(num_classes) for a in range(b)]
    max_pairs = 200 if num_classes < 100 else 15
    for a, b in pairs[:: 1 + len(pairs) // max_pairs] or [(0, 0)]:
        halves = np.array([[a] * 4 + [b] * 3] * 8, np.uint8)
        whole, left = np.full_like(halves, a), np.full_like(halves, b)
        rim = 8 * 7 - 6 * 5  # of an image of one class: all but the pixels whose neighbours are all inside
        for target, prediction in ((halves, whole), (whole, halves), (halves, halves), (whole, left)):
            both, either = metrics.boundary_counts(target, prediction, num_classes, 1)
            tensors = metrics.boundary_counts(*map(torch.from_numpy, (target, prediction)), num_classes, 1)
            np.testing.assert_array_equal(np.stack(tensors), [both, either])
            if a == b:
                assert (both[a], either[a]) == (rim, rim)
                continue
            bands = [[opencv_band(m == c, 1) for m in (target, prediction)] for c in (a, b)]
            assert [both[a], both[b]] == [(g & p).sum() for g, p in bands], (a, b)
            assert [either[a], either[b]] == [(g | p).sum() for g, p in bands], (a, b)
            assert both.sum() == both[a] + both[b] and either.sum() == either[a] + either[b]


# Properties


@DOZENS
@given(cases(), st.randoms(use_true_random=False))
def test_permuting_the_classes_permutes_the_scores(case, random):
    target, prediction, num_classes = case
    order = list(range(num_classes))
    random.shuffle(order)
    renamed = np.array(order + [0] * (255 - num_classes) + [255], np.uint8)
    before = counted([(target, prediction)], num_classes)
    after = counted([(renamed[target], renamed[prediction])], num_classes)
    np.testing.assert_array_equal(before.confusion, after.confusion[np.ix_(order, order)])
    np.testing.assert_array_equal(before.boundary_intersection, after.boundary_intersection[order])
    np.testing.assert_array_equal(before.boundary_union, after.boundary_union[order])
    assert before.scores()["miou"] == after.scores()["miou"]
    assert before.scores()["boundary_iou"] == after.scores()["boundary_iou"]


@DOZENS
@given(cases())
def test_turning_and_flipping_the_image_changes_nothing(case):
    target, prediction, num_classes = case
    expected = counted([(target, prediction)], num_classes, ratio=0.1).scores()
    for turn in (np.transpose, np.flipud, np.fliplr, np.asfortranarray, lambda a: np.rot90(a, 3)):
        assert counted([(turn(target), turn(prediction))], num_classes, ratio=0.1).scores() == expected


@DOZENS
@given(st.lists(cases(classes=st.just(2), largest=12), min_size=1, max_size=6), st.integers(0, 6))
def test_parts_add_up_to_the_whole(items, cut):
    pairs = [item[:2] for item in items]
    whole = counted(pairs, 2)
    parts = [counted(pairs[cut:], 2), counted(pairs[:cut], 2)]
    parts = pickle.loads(pickle.dumps(parts))  # as other processes send them
    total = parts[0] + parts[1]
    assert total.scores() == whole.scores()
    np.testing.assert_array_equal(total.confusion, whole.confusion)


def test_adding_counts_leaves_the_parts_alone():
    image = np.array([[0, 1], [1, 9]], np.uint8)
    parts = [counted([(image, np.minimum(image, 1))], 2, ratio=0.5, ignore_index=9) for _ in range(2)]
    before = [part.scores() for part in parts]
    total = parts[0] + parts[1]
    total.update(image, np.zeros_like(image))
    assert [part.scores() for part in parts] == before
    assert total.images == 3 and (total.ratio, total.ignore_index) == (0.5, 9)


@DOZENS
@given(cases(), st.integers(0, 2**32))
def test_confusion_is_blind_to_predictions_on_ignored_pixels(case, seed):
    target, prediction, num_classes = case
    anything = np.random.default_rng(seed).integers(0, num_classes, target.shape, dtype=np.uint8)
    other = np.where(target == 255, anything, prediction)
    expected = metrics.confusion_matrix(*case)
    np.testing.assert_array_equal(metrics.confusion_matrix(target, other, num_classes), expected)


def test_the_band_is_drawn_before_ignored_pixels_are_removed():
    target = np.zeros((9, 9), np.uint8)
    target[4, 4] = 255
    prediction = np.zeros((9, 9), np.uint8)
    # the ring around the ignored pixel is in the band of the target's class 0, but not in that of the prediction
    assert boundary(target, prediction, 1, 1) == [[32], [40]]
    prediction = np.where(target == 255, 1, prediction)  # differs only where it is ignored, yet has the ring
    assert boundary(target, prediction, 2, 1) == [[40, 0], [40, 0]]


@DOZENS
@given(cases())
def test_a_perfect_prediction_scores_one(case):
    target, _, num_classes = case
    target[target == 255] = 0
    scores = counted([(target, target)], num_classes).scores()
    for key in ("miou", "boundary_iou", "pixel_accuracy", "mean_class_accuracy"):
        assert scores[key] == 1.0
    assert scores["frequency_weighted_iou"] == pytest.approx(1.0, abs=1e-12)
    present = set(np.unique(target).tolist())
    for c, row in enumerate(scores["per_class"].values()):
        shares = {key: value for key, value in row.items() if key != "pixels"}
        assert set(shares.values()) == ({1.0} if c in present else {None})
        assert row["pixels"] == (target == c).sum()


@DOZENS
@given(cases(), WIDTHS, st.sampled_from(["uint8", "int8", "int16", "int32", "int64"]), st.sampled_from(DEVICES))
def test_torch_and_numpy_agree(case, width, dtype, device):
    target, prediction, num_classes = case
    ignore_index = 100 if dtype == "int8" else 255
    tensors = [torch.from_numpy(np.where(a == 255, ignore_index, a).astype(dtype)).to(device) for a in case[:2]]
    matrix = metrics.confusion_matrix(*tensors, num_classes, ignore_index)
    assert matrix.device == tensors[0].device and matrix.dtype == torch.int64
    np.testing.assert_array_equal(matrix.cpu(), metrics.confusion_matrix(*case))
    counts = metrics.boundary_counts(*tensors, num_classes, width, ignore_index)
    assert [c.tolist() for c in counts] == boundary(*case, width)
    bands = metrics.boundary_bands(target, width)
    np.testing.assert_array_equal(metrics.boundary_bands(tensors[0], width).cpu(), bands)
    ours, theirs = Counts(num_classes), Counts(num_classes, ignore_index=ignore_index)
    ours.update(target, prediction)
    theirs.update(*tensors)
    assert ours.scores() == theirs.scores()


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"])
@pytest.mark.parametrize("ignore_index", [-100, -1, 2, 100, 255, 300])
def test_every_integer_type_and_ignore_index(dtype, ignore_index):
    limits = np.iinfo(dtype)
    target = [0, 0, 1, 1, 1]
    if limits.min <= ignore_index <= limits.max:
        target += [ignore_index]
    prediction = [0, 1, 1, 1, 0, 1][: len(target)]
    target, prediction = np.array([target], dtype), np.array([prediction], dtype)
    expected = [[1, 1], [1, 2]]
    assert metrics.confusion_matrix(target, prediction, 2, ignore_index).tolist() == expected
    tensors = torch.from_numpy(target), torch.from_numpy(prediction)
    assert metrics.confusion_matrix(*tensors, 2, ignore_index).tolist() == expected


def test_an_ignore_index_that_8_bits_cannot_hold_ignores_nothing_in_8_bits():
    target = torch.tensor([[0, 156]], dtype=torch.uint8)  # 156 is -100 modulo 256
    with pytest.raises(MetricError, match="namely 156"):
        metrics.confusion_matrix(target, torch.zeros_like(target), 2, ignore_index=-100)
    for ignored in (-256, 256):  # 0 modulo 256
        assert metrics.confusion_matrix(target // 156, target // 156, 2, ignored).tolist() == [[1, 0], [0, 1]]


def test_bool_read_only_and_batched_label_maps():
    rng = np.random.default_rng(0)
    target, prediction = rng.integers(0, 2, (2, 3, 40, 30), dtype=np.uint8)
    expected = metrics.confusion_matrix(target, prediction, 2)
    for labels in (target, prediction):
        labels.setflags(write=False)
    np.testing.assert_array_equal(metrics.confusion_matrix(target, prediction, 2), expected)
    np.testing.assert_array_equal(metrics.confusion_matrix(target == 1, prediction == 1, 2), expected)
    bools = torch.tensor(target.tolist()) == 1, torch.tensor(prediction.tolist()) == 1
    np.testing.assert_array_equal(metrics.confusion_matrix(*bools, 2), expected)
    one_by_one = np.sum([metrics.boundary_counts(t, p, 2, 1) for t, p in zip(target, prediction, strict=True)], 0)
    np.testing.assert_array_equal(metrics.boundary_counts(target, prediction, 2, 1), one_by_one)
    blocks = target.repeat(5, 1).repeat(5, 2)  # in which not every pixel is in a band
    bands = [metrics.boundary_bands(labels, 1) for labels in blocks]
    np.testing.assert_array_equal(metrics.boundary_bands(blocks, 1), bands)
    one_by_one = np.sum([metrics.boundary_counts(labels, labels, 2, 1) for labels in blocks], 0)
    np.testing.assert_array_equal(metrics.boundary_counts(blocks, blocks, 2, 1), one_by_one)


def test_label_maps_are_left_unchanged():
    target, prediction = np.array([[0, 255], [1, 1]], np.uint8), np.array([[0, 1], [1, 0]], np.uint8)
    copies = target.copy(), prediction.copy()
    counted([(target, prediction)], 2)
    np.testing.assert_array_equal([target, prediction], copies)


# Scores of a data set


def test_scores_over_the_data_set_and_per_image():
    empty, half, full = (np.array([row], np.uint8) for row in ([0, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1]))
    counts = counted([(half, full), (full, full), (empty, empty), (empty, half)], 2)
    scores = counts.scores(["ground", "horse"])
    # every pixel of images one pixel high is in a band, so the boundary scores equal the others
    assert scores["foreground_iou"] == scores["boundary_iou_foreground"] == 6 / 10
    expected = (0.5 + 1 + 0) / 3  # the image without foreground is left out
    assert scores["foreground_iou_per_image"] == scores["boundary_iou_foreground_per_image"] == expected
    assert scores["miou"] == scores["boundary_iou"] == (6 / 10 + 6 / 10) / 2
    assert scores["images"] == 4 and scores["boundary_ratio"] == 0.02
    assert list(scores["per_class"]) == ["ground", "horse"]
    horse = {"iou": 0.6, "boundary_iou": 0.6, "dice": 0.75, "precision": 0.6, "recall": 1.0, "pixels": 6}
    assert scores["per_class"]["horse"] == horse
    assert json.loads(json.dumps(scores, allow_nan=False)) == scores


def test_the_width_of_the_bands_follows_each_image():
    rng = np.random.default_rng(1)
    small = [rng.integers(0, 2, (2, *shape), dtype=np.uint8) for shape in [(2, 3), (15, 20), (40, 30)]]
    pairs = [labels.repeat(10, 1).repeat(10, 2) for labels in small]
    counts = counted(pairs, 2, ratio=0.03)
    expected = [opencv_counts(*pair, 2, metrics.boundary_width(*pair[0].shape, 0.03)) for pair in pairs]
    assert counts.boundary_intersection.tolist() == np.sum([e[0] for e in expected], 0).tolist()
    assert counts.boundary_union.tolist() == np.sum([e[1] for e in expected], 0).tolist()


def test_absent_classes_are_null_and_skipped():
    target = np.array([[0, 0, 2, 2]], np.uint8)
    prediction = np.array([[0, 0, 2, 0]], np.uint8)
    counts = counted([(target, prediction)], 4)
    assert counts.foreground_ious == counts.foreground_boundary_ious == []  # there is no foreground among four
    scores = counts.scores("abcd")
    assert scores["miou"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    null = dict.fromkeys(["iou", "boundary_iou", "dice", "precision", "recall"]) | {"pixels": 0}
    assert scores["per_class"]["b"] == scores["per_class"]["d"] == null
    assert "foreground_iou" not in scores


@pytest.mark.parametrize("images", [0, 2])
def test_nothing_to_score_gives_null_without_a_warning(images):
    target, prediction = np.full((4, 5), 255, np.uint8), np.zeros((4, 5), np.uint8)
    scores = counted([(target, prediction)] * images, 2).scores()
    numbers = {key: value for key, value in scores.items() if key not in ("images", "boundary_ratio", "per_class")}
    assert set(numbers.values()) == {None} and len(numbers) == 9 and scores["images"] == images
    json.dumps(scores, allow_nan=False)


# Batches, logits and label maps in place of a confusion matrix


@DOZENS
@given(st.lists(cases(classes=st.just(3), largest=9), min_size=1, max_size=4), st.sampled_from(["numpy", "torch"]))
def test_update_with_a_batch_equals_updates_with_its_images(items, kind):
    shape = [min(item[0].shape[axis] for item in items) for axis in (0, 1)]
    targets, predictions = (np.stack([item[i][: shape[0], : shape[1]] for item in items]) for i in (0, 1))
    one_by_one = counted(zip(targets, predictions, strict=True), 3)
    batch = Counts(3)
    batch.update(*((targets, predictions) if kind == "numpy" else map(torch.from_numpy, (targets, predictions))))
    assert batch.scores() == one_by_one.scores() and batch.images == len(items)


@pytest.mark.parametrize("convert", [np.asarray, torch.from_numpy])
@pytest.mark.parametrize("batch", [(), (2,)])
def test_logits_count_as_their_argmax(convert, batch):
    rng = np.random.default_rng(0)
    target = rng.integers(0, 3, (*batch, 8, 9), dtype=np.uint8)
    logits = rng.normal(size=(*batch, 3, 8, 9)).astype(np.float32)
    expected = metrics.confusion_matrix(target, logits.argmax(-3), 3)
    np.testing.assert_array_equal(metrics.confusion_matrix(convert(target), convert(logits), 3), expected)
    counts = Counts(3)
    counts.update(convert(target), convert(logits))
    np.testing.assert_array_equal(counts.confusion, expected)


def test_logits_of_one_channel_are_thresholded_at_0():
    target, logits = torch.tensor([[[0, 1, 1]]]), torch.tensor([[[[-0.1, 0.1, 0.0]]]])
    assert metrics.confusion_matrix(target, logits, 2).tolist() == [[1, 0], [1, 1]]


@pytest.mark.parametrize(
    "score",
    [
        metrics.iou,
        metrics.dice,
        metrics.precision,
        metrics.recall,
        metrics.mean_iou,
        metrics.pixel_accuracy,
        metrics.mean_class_accuracy,
        metrics.frequency_weighted_iou,
    ],
)
def test_scores_of_label_maps_equal_those_of_their_confusion_matrix(score):
    rng = np.random.default_rng(0)
    target, prediction = rng.integers(0, 4, (2, 2, 30, 40), dtype=np.uint8)
    matrix = metrics.confusion_matrix(target, prediction, 4, ignore_index=9)
    np.testing.assert_array_equal(score(target, prediction, 4, 9), score(matrix))
    target[0, 0, :7] = 9
    matrix = metrics.confusion_matrix(target, prediction, 4, ignore_index=9)
    np.testing.assert_array_equal(score(target, prediction, num_classes=4, ignore_index=9), score(matrix))


def test_boundary_iou_of_label_maps():
    target, prediction = np.zeros((2, 9, 9), np.uint8), np.zeros((2, 9, 9), np.uint8)
    target[:, 2:7, 2:7], prediction[1, 3:8, 2:7] = 1, 1
    both, either = (
        np.sum(c, 0)
        for c in zip(
            *(metrics.boundary_counts(t, p, 2, 1) for t, p in zip(target, prediction, strict=True)), strict=True
        )
    )
    np.testing.assert_array_equal(metrics.boundary_iou(target, prediction, 2), both / either)


def test_absent_classes_and_ignored_pixels_by_hand():
    """An absent class has no score, and predictions on ignored pixels do not matter."""
    target = np.array([[0, 1], [1, 0]])
    np.testing.assert_array_equal(metrics.iou(target, target, 3), [1, 1, math.nan])
    assert metrics.mean_iou(target, target, 3) == 1.0
    for prediction in ([[1, 2, 1, 1]], [[1, 2, 1, 0]]):
        pair = np.array([[2, 1, 1, -1]]), np.array(prediction)
        np.testing.assert_allclose(metrics.iou(*pair, 3, ignore_index=-1), [math.nan, 1 / 3, 0])
        assert metrics.mean_iou(*pair, 3, ignore_index=-1) == pytest.approx(1 / 6)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((GOOD, GOOD), "num_classes is missing"),
        ((GOOD,), r"uint8 \(2, 3\) is not a confusion matrix"),
        ((np.zeros((4, 4), np.uint8),), r"uint8 \(4, 4\) is not a confusion matrix"),
        ((torch.zeros(4, 4, dtype=torch.uint8),), "is not a confusion matrix"),
        ((np.zeros((400, 400), int),), "is not a confusion matrix"),
        ((np.zeros((2, 2)),), "float64 .* is not a confusion matrix"),
        ((np.full((2, 2), -1),), "is not a confusion matrix"),
        ((np.zeros((0, 0), int),), "is not a confusion matrix"),
        ((None,), "is not a confusion matrix"),
        ((GOOD, np.zeros((4, 2, 3), np.float32), 3), "resize the prediction|labels are integers"),
    ],
)
@pytest.mark.parametrize("score", [metrics.iou, metrics.mean_iou, metrics.frequency_weighted_iou])
def test_label_maps_are_not_read_as_a_confusion_matrix(score, arguments, message):
    with pytest.raises(MetricError, match=message):
        score(*arguments)


# Rejected input


@pytest.mark.parametrize("convert", [np.asarray, torch.from_numpy])
@pytest.mark.parametrize(
    ("target", "prediction", "message"),
    [
        (GOOD, np.zeros((3, 2), np.uint8), r"target is \(2, 3\) and the prediction \(3, 2\): resize the prediction"),
        (GOOD + [[0, 9, 7]], GOOD, "target has labels outside 0..4, namely 7, 9: map them to classes, or to 255"),
        (GOOD.astype(int) - 1, GOOD, "target has labels outside 0..4, namely -1:"),
        (GOOD, GOOD + 255, "prediction has labels outside 0..4, namely 255: it must have a class at every pixel"),
        (GOOD, GOOD + 5, "prediction has labels outside 0..4, namely 5:"),
        (GOOD, GOOD.astype(np.int32) - 3, "namely -3:"),
        (np.arange(100, 130).reshape(5, 6), np.zeros((5, 6), int), r"namely 100, 101, .*, 109, \.\.\.:"),
        (GOOD.astype(int) - [[0, 0, 1]], GOOD, "target has labels outside 0..4, namely -1:"),
        (np.arange(100, 111).reshape(11, 1), np.zeros((11, 1), int), r"namely 100, 101, .*, 109, \.\.\.:"),
        (np.arange(100, 110).reshape(5, 2), np.zeros((5, 2), int), r"namely 100, 101, .*, 108, 109: map"),
        (GOOD.astype(np.float32), GOOD, "target is (torch.)?float32, but labels are integers"),
        (GOOD, GOOD.astype(np.float64), "prediction is (torch.)?float64, but labels are integers"),
        (GOOD.astype(np.complex64), GOOD, "target is (torch.)?complex64"),
        (GOOD[:0], GOOD[:0], r"target has no pixels: its shape is \(0, 3\)"),
    ],
)
def test_bad_label_maps_are_refused(convert, target, prediction, message):
    target, prediction = convert(np.array(target)), convert(np.array(prediction))
    counts = Counts(5)
    for count in (
        lambda: metrics.confusion_matrix(target, prediction, 5),
        lambda: metrics.boundary_counts(target, prediction, 5, 1),
        lambda: counts.update(target, prediction),
    ):
        with pytest.raises(MetricError, match=message):
            count()
    assert counts.images == 0 and not counts.confusion.any()


@pytest.mark.parametrize("labels", [np.zeros(4, np.uint8), np.zeros((2, 3, 4, 5), np.uint8)])
def test_update_rejects_label_maps_of_other_shapes(labels):
    counts = Counts(2)
    with pytest.raises(MetricError, match=r"label maps \(H, W\) or \(N, H, W\)"):
        counts.update(labels, labels)
    assert counts.images == 0 and not counts.confusion.any()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: metrics.confusion_matrix(GOOD, torch.from_numpy(GOOD), 2), "one label map is a numpy array"),
        (lambda: metrics.confusion_matrix(np.array([["a"]]), GOOD, 2), "target is <U1"),
        (lambda: metrics.boundary_bands(GOOD[0], 1), r"labels \(..., H, W\), not \(3,\)"),
        (lambda: metrics.boundary_bands(GOOD, 0), "width >= 1, not 0"),
        (lambda: metrics.boundary_bands(GOOD / 2, 1), "label map is float64"),
        (lambda: metrics.boundary_counts(GOOD[0], GOOD[0], 2, 1), r"not \(3,\)"),
        (lambda: metrics.boundary_counts(GOOD, GOOD, 2, -1), "width >= 1, not -1"),
        (lambda: metrics.boundary_width(0, 3), "0x3 image"),
        (lambda: metrics.boundary_width(3, 0), "3x0 image"),
        (lambda: metrics.boundary_width(3, 3, -0.1), "ratio -0.1"),
        (lambda: metrics.boundary_width(3, 3, math.nan), "ratio nan"),
        (lambda: metrics.boundary_width(3, 3, math.inf), "ratio inf"),
        (lambda: Counts(2, ratio=0), "ratio 0"),
        (lambda: Counts(0), "num_classes is 0"),
        (lambda: Counts(256, ignore_index=-1), "num_classes is 256"),
        (lambda: metrics.confusion_matrix(GOOD, GOOD, 0), "num_classes is 0"),
        (lambda: Counts(3, ignore_index=2), "ignore_index 2 is one of the classes 0..2"),
        (lambda: Counts(3, ignore_index=0), "ignore_index 0 is one of the classes 0..2"),
        (lambda: metrics.confusion_matrix(GOOD, GOOD == 0, 1), "the prediction has labels outside 0..0, namely 1:"),
        (lambda: Counts(2) + Counts(3), r"\(2, 0.02, 255\) and \(3, 0.02, 255\) cannot be added"),
        (lambda: Counts(2) + Counts(2, ratio=0.01), "cannot be added"),
        (lambda: Counts(2) + Counts(2, ignore_index=9), "cannot be added"),
        (lambda: Counts(2).scores(["a"]), "2 distinct class names"),
        (lambda: Counts(2).scores(["a", "a"]), "2 distinct class names"),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(MetricError, match=message):
        call()


def test_metric_errors_are_value_errors():
    assert issubclass(MetricError, ValueError)
