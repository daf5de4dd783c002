"""Every loss against a formula written out in float64, and the handling of ignored pixels."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seglib.losses import (
    IGNORE_INDEX,
    LOSSES,
    LossError,
    SegmentationLoss,
    binary_cross_entropy,
    boundary,
    class_weights,
    cross_entropy,
    dice,
    focal,
    lovasz,
    ohem,
)


def draw(seed, channels, ignored=0.3, size=(2, 5, 6)):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(size[0], channels, *size[1:], generator=generator, dtype=torch.float64)
    labels = torch.randint(0, max(channels, 2), size, generator=generator)
    labels[torch.rand(size, generator=generator) < ignored] = IGNORE_INDEX
    return logits, labels


def pixels(logits, labels):
    """(list of logits, label) of every pixel that counts."""
    flat = logits.movedim(1, -1).reshape(-1, logits.shape[1]).tolist()
    return [(row, label) for row, label in zip(flat, labels.flatten().tolist(), strict=True) if label != IGNORE_INDEX]


def softmax(row):
    powers = [math.exp(v - max(row)) for v in row]
    return [p / sum(powers) for p in powers]


@settings(deadline=None, derandomize=True, max_examples=40)
@given(st.integers(0, 10_000), st.integers(2, 6), st.booleans())
def test_cross_entropy_by_hand(seed, channels, weighted):
    logits, labels = draw(seed, channels)
    weight = [0.5 + c for c in range(channels)] if weighted else [1.0] * channels
    counted = pixels(logits, labels)
    total = sum(-weight[label] * math.log(softmax(row)[label]) for row, label in counted)
    expected = total / sum(weight[label] for _, label in counted)
    loss = cross_entropy(logits, labels, torch.tensor(weight, dtype=torch.float64) if weighted else None)
    assert float(loss) == pytest.approx(expected, rel=1e-9)


@settings(deadline=None, derandomize=True, max_examples=40)
@given(st.integers(0, 10_000), st.booleans())
def test_binary_cross_entropy_by_hand(seed, weighted):
    logits, labels = draw(seed, 1)
    weight = [0.7, 2.0] if weighted else [1.0, 1.0]
    counted = pixels(logits, labels)
    probability = [1 / (1 + math.exp(-row[0])) for row, _ in counted]
    total = sum(-weight[y] * math.log(p if y else 1 - p) for p, (_, y) in zip(probability, counted, strict=True))
    loss = binary_cross_entropy(logits, labels, torch.tensor(weight, dtype=torch.float64) if weighted else None)
    assert float(loss) == pytest.approx(total / sum(weight[y] for _, y in counted), rel=1e-9)


@settings(deadline=None, derandomize=True, max_examples=40)
@given(st.integers(0, 10_000), st.integers(1, 5), st.booleans())
def test_dice_by_hand(seed, channels, weighted):
    logits, labels = draw(seed, channels)
    labels[labels == 1] = 0 if channels > 2 else 1  # a class that does not occur
    weight = [0.5 + c for c in range(max(2, channels))]
    counted = pixels(logits, labels)
    rows = [softmax(row) if channels > 1 else [1 / (1 + math.exp(-row[0]))] for row, _ in counted]
    losses = {}
    for c in range(channels):
        label = c if channels > 1 else 1
        target = [float(y == label) for _, y in counted]
        if sum(target):
            overlap = sum(row[c] * t for row, t in zip(rows, target, strict=True))
            losses[c] = 1 - 2 * overlap / (sum(row[c] for row in rows) + sum(target))
    share = {c: weight[c] if weighted and channels > 1 else 1.0 for c in losses}
    expected = sum(share[c] * value for c, value in losses.items()) / sum(share.values())
    loss = dice(logits, labels, torch.tensor(weight, dtype=torch.float64) if weighted else None)
    assert float(loss) == pytest.approx(expected, rel=1e-9)


TERMS = [({"ce": 1.0, "dice": 1.0}, 3), ({"bce": 1.0, "dice": 0.5}, 1), ({"ce": 2.0}, 2)]


@pytest.mark.parametrize("terms, channels", TERMS)
@pytest.mark.parametrize("weights", [False, True])
def test_nothing_but_ignored_pixels_gives_zero_and_zero_gradients(terms, channels, weights):
    logits = torch.randn(2, channels, 4, 4, requires_grad=True)
    loss = SegmentationLoss(terms, [1.0] * max(2, channels) if weights else None)
    value = loss(logits, torch.full((2, 4, 4), IGNORE_INDEX, dtype=torch.uint8))
    value.backward()
    assert value.item() == 0 and logits.grad.eq(0).all()


@pytest.mark.parametrize("terms, channels", TERMS)
def test_ignored_pixels_never_reach_the_loss(terms, channels):
    logits, labels = draw(3, channels)
    loss = SegmentationLoss(terms)
    torch.manual_seed(0)
    other = torch.where((labels == IGNORE_INDEX).unsqueeze(1), torch.full_like(logits, 50.0), logits)
    assert loss(logits, labels).item() == loss(other, labels).item()
    logits.requires_grad_()
    loss(logits, labels).backward()
    assert logits.grad.movedim(1, -1)[labels == IGNORE_INDEX].eq(0).all()


@pytest.mark.parametrize("terms, channels", TERMS)
def test_a_perfect_answer_costs_nothing_and_gradients_are_finite_at_extremes(terms, channels):
    labels = torch.randint(0, max(2, channels), (2, 6, 6))
    if channels == 1:
        logits = (labels * 2.0 - 1).unsqueeze(1) * 1e4
    else:
        logits = torch.nn.functional.one_hot(labels, channels).movedim(-1, 1) * 1e4
    for sign, expected in ((1, 0.0), (-1, None)):
        x = (sign * logits).clone().requires_grad_()
        value = SegmentationLoss(terms)(x, labels)
        value.backward()
        assert torch.isfinite(value) and torch.isfinite(x.grad).all()
        if expected is not None:
            assert value.item() == pytest.approx(expected, abs=1e-5)


def test_gradients_agree_with_finite_differences():
    for loss, channels in ((cross_entropy, 3), (binary_cross_entropy, 1), (dice, 1), (dice, 3)):
        logits, labels = draw(5, channels, size=(1, 2, 3))
        assert torch.autograd.gradcheck(loss, (logits.requires_grad_(), labels))


def test_several_outputs_are_summed():
    logits, labels = draw(1, 3)
    loss = SegmentationLoss({"ce": 1.0})
    assert loss([logits, logits], labels).item() == pytest.approx(2 * loss(logits, labels).item())


@pytest.mark.parametrize(
    "terms, weights, channels, message",
    [
        ({"crossentropy": 1.0, "ce": 1.0}, None, 2, "loss 'crossentropy' is not known; choose from: ce, bce, dice"),
        ({}, None, 2, "the loss has no terms; choose from"),
        ({"ce": 1.0}, None, 1, "use 'bce'"),
        ({"bce": 1.0}, None, 2, "use 'ce'"),
        ({"ce": 1.0}, [1.0, 2.0], 3, "2 class weights for 3 classes"),
        ({"bce": 1.0}, [1.0, 2.0, 3.0], 1, "3 class weights for 2 classes"),
    ],
)
def test_what_does_not_fit_is_refused(terms, weights, channels, message):
    with pytest.raises(LossError, match=message):
        SegmentationLoss(terms, weights)(torch.zeros(1, channels, 2, 2), torch.zeros(1, 2, 2, dtype=torch.long))


def probability_of_target(row, label):
    return softmax(row)[label] if len(row) > 1 else 1 / (1 + math.exp(row[0] if label == 0 else -row[0]))


@settings(deadline=None, derandomize=True, max_examples=40)
@given(st.integers(0, 10_000), st.integers(1, 5), st.sampled_from([0.0, 0.5, 1.0, 2.0, 3.5]), st.booleans())
def test_focal_by_hand(seed, channels, gamma, weighted):
    logits, labels = draw(seed, channels)
    weight = [0.5 + c for c in range(max(channels, 2))] if weighted else [1.0] * max(channels, 2)
    counted = [(probability_of_target(row, y), y) for row, y in pixels(logits, labels)]
    total = sum(-weight[y] * (1 - p) ** gamma * math.log(p) for p, y in counted)
    loss = focal(logits, labels, torch.tensor(weight, dtype=torch.float64) if weighted else None, gamma=gamma)
    assert float(loss) == pytest.approx(total / sum(weight[y] for _, y in counted), rel=1e-9)


@settings(deadline=None, derandomize=True, max_examples=40)
@given(st.integers(0, 10_000), st.integers(1, 5), st.sampled_from([0.3, 0.7, 0.9]), st.integers(1, 70))
def test_ohem_by_hand(seed, channels, threshold, min_kept):
    logits, labels = draw(seed, channels)
    losses = sorted((-math.log(probability_of_target(row, y)) for row, y in pixels(logits, labels)), reverse=True)
    hard = [v for place, v in enumerate(losses) if place < min_kept or v > -math.log(threshold)]
    loss = ohem(logits, labels, threshold=threshold, min_kept=min_kept)
    assert float(loss) == pytest.approx(sum(hard) / len(hard), rel=1e-9)


@settings(deadline=None, derandomize=True, max_examples=40)
@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(1, 3))
def test_boundary_by_hand(seed, channels, width):
    logits, labels = draw(seed, channels, size=(2, 9, 10))
    labels[0, :, :6][labels[0, :, :6] != IGNORE_INDEX] = 1  # a region without boundary
    total, count = 0.0, 0
    for n in range(2):
        for i in range(9):
            for j in range(10):
                around = labels[n, max(0, i - width) : i + width + 1, max(0, j - width) : j + width + 1]
                label = int(labels[n, i, j])
                if label != IGNORE_INDEX and any(v not in (label, IGNORE_INDEX) for v in around.flatten().tolist()):
                    total -= math.log(probability_of_target(logits[n, :, i, j].tolist(), label))
                    count += 1
    assert float(boundary(logits, labels, width=width)) == pytest.approx(total / max(count, 1), rel=1e-9)


def test_boundary_of_a_plain_image_is_zero():
    assert float(boundary(torch.randn(1, 2, 8, 8), torch.ones(1, 8, 8, dtype=torch.long))) == 0


@pytest.mark.parametrize("ignored", [-100, -1, 0, 255])
def test_ignored_pixels_are_no_boundary(ignored):
    labels = torch.ones(1, 8, 8, dtype=torch.long)
    labels[:, :, 4:] = ignored
    assert float(boundary(torch.randn(1, 2, 8, 8), labels, ignore_index=ignored, width=1)) == 0


@settings(deadline=None, derandomize=True, max_examples=40)
@given(st.integers(0, 10_000), st.integers(1, 4), st.booleans())
def test_lovasz_by_its_definition_as_an_extension_of_iou(seed, channels, weighted):
    """Sum over the sorted errors of error_i * (J(worst i) - J(worst i - 1)), J = 1 - IoU with those pixels wrong."""
    logits, labels = draw(seed, channels)
    labels[labels == 1] = 0 if channels > 2 else 1
    weight = [0.5 + c for c in range(max(channels, 2))]
    counted = pixels(logits, labels)
    losses = {}
    for c in [1] if channels == 1 else range(channels):
        target = [label == c for _, label in counted]
        if not any(target):
            continue
        p = [probability_of_target(row, c) for row, _ in counted]
        errors = [abs(t - q) for t, q in zip(target, p, strict=True)]
        order = sorted(range(len(errors)), key=lambda i: -errors[i])
        wrong, before, total = set(), 0.0, 0.0
        for i in order:
            wrong.add(i)
            predicted = {k for k in range(len(target)) if target[k] != (k in wrong)}
            true = {k for k in range(len(target)) if target[k]}
            now = 1 - len(predicted & true) / len(predicted | true)
            total += errors[i] * (now - before)
            before = now
        losses[c] = total
    factors = {c: weight[c] if weighted and channels > 1 else 1.0 for c in losses}
    expected = sum(factors[c] * v for c, v in losses.items()) / sum(factors.values()) if losses else 0.0
    loss = lovasz(logits, labels, torch.tensor(weight, dtype=torch.float64) if weighted else None)
    assert float(loss) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("channels", [1, 3])
def test_ignored_pixels_change_nothing_and_alone_give_zero(name, channels):
    """Neither value nor gradient depends on the logits of ignored pixels."""
    if (name, channels) in (("ce", 1), ("bce", 3)):
        return
    logits, labels = draw(3, channels, size=(2, 12, 13))
    torch.manual_seed(0)
    other = torch.where((labels == IGNORE_INDEX).unsqueeze(1), 40 * torch.randn_like(logits), logits).requires_grad_()
    value = LOSSES[name](logits, labels)
    again = LOSSES[name](other, labels)
    assert value.detach() > 0 and torch.allclose(value, again, rtol=1e-12)
    again.backward()
    assert other.grad.isfinite().all() and other.grad.movedim(1, -1)[labels == IGNORE_INDEX].eq(0).all()
    nothing = torch.full_like(labels, IGNORE_INDEX)
    alone = other.detach().requires_grad_()
    zero = LOSSES[name](alone, nothing)
    zero.backward()
    assert zero.detach() == 0 and alone.grad.eq(0).all()


@pytest.mark.parametrize("name", ["dice", "focal", "lovasz", "ohem", "boundary"])
def test_a_perfect_network_has_no_loss_and_extreme_logits_no_nan(name):
    labels = torch.tensor([[[0, 1, 1, 2], [0, 0, 2, 2]]])
    right = 200 * torch.nn.functional.one_hot(labels, 3).movedim(-1, 1).float()
    assert float(LOSSES[name](right, labels)) == pytest.approx(0, abs=1e-6)
    wrong = (-right).requires_grad_()
    LOSSES[name](wrong, labels).backward()
    assert wrong.grad.isfinite().all()


def test_several_outputs_are_weighted_and_a_single_one_is_not():
    torch.manual_seed(0)
    main, side, labels = torch.randn(1, 3, 4, 4), torch.randn(1, 3, 4, 4), torch.randint(0, 3, (1, 4, 4))
    one = SegmentationLoss({"ce": 1.0})
    two = SegmentationLoss({"ce": 1.0}, output_weights=(1.0, 0.4))
    torch.testing.assert_close(two((main, side), labels), one(main, labels) + 0.4 * one(side, labels))
    torch.testing.assert_close(two(main, labels), one(main, labels))
    with pytest.raises(LossError, match="2 output weights for 3 outputs"):
        two((main, side, side), labels)
    with pytest.raises(LossError, match="3 output weights for 2 outputs"):
        SegmentationLoss({"ce": 1.0}, output_weights=(1.0, 0.4, 0.4))((main, side), labels)


@pytest.mark.parametrize(
    "name, option, value",
    [
        ("ohem", "min_kept", 0),
        ("ohem", "min_kept", 2**63),
        ("ohem", "threshold", 0),
        ("ohem", "threshold", 9e-7),
        ("ohem", "threshold", 1.01),
        ("boundary", "width", 0),
        ("boundary", "width", -1),
        ("boundary", "width", 1_000_001),
        ("focal", "gamma", -1),
        ("focal", "gamma", 100.5),
    ],
)
def test_options_out_of_range_are_refused(name, option, value):
    with pytest.raises(LossError, match=f"loss '{name}': {option} is {value}, but must be"):
        SegmentationLoss({name: 1.0}, options={name: {option: value}})


@pytest.mark.parametrize(
    "name, option, values",
    [
        ("ohem", "min_kept", (1, 2**62)),
        ("ohem", "threshold", (1e-6, 1)),
        ("boundary", "width", (1, 10**6)),
        ("focal", "gamma", (0, 100)),
    ],
)
def test_options_at_the_ends_of_their_range_are_accepted(name, option, values):
    for value in values:
        SegmentationLoss({name: 1.0}, options={name: {option: value}})


def test_default_options_are_those_of_the_papers():
    logits, labels = draw(3, 3, size=(1, 12, 12))
    assert focal(logits, labels) == focal(logits, labels, gamma=2.0) != focal(logits, labels, gamma=3.0)
    regions = labels.clone()
    regions[:, :, :3], regions[:, :, 3:] = 0, 1
    assert boundary(logits, regions) == boundary(logits, regions, width=3) != boundary(logits, regions, width=4)
    # Of 131,172 pixels all but 100 have a probability of 0.5, the others of 0.95.
    share = torch.full((1, 131_172), 0.5, dtype=torch.float64)
    share[:, :100] = 0.95
    logits = torch.stack([share, 1 - share], 1).log().unsqueeze(2)
    labels = torch.zeros(1, 1, 131_172, dtype=torch.long)
    assert float(ohem(logits, labels)) == pytest.approx(math.log(2), rel=1e-12)
    labels[:, :, 200] = IGNORE_INDEX  # 131,071 hard ones are left: an easy one, and all of its kind, are kept too
    hard, easy = 131_071, 100
    expected = (hard * math.log(2) - easy * math.log(0.95)) / (hard + easy)
    assert float(ohem(logits, labels)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", ["ce", "focal", "ohem"])
def test_a_class_with_weight_0_counts_as_ignored(name):
    logits, labels = draw(5, 3, ignored=0)
    loss = SegmentationLoss({name: 1.0}, class_weights=[1.0, 0.0, 2.0])(logits, labels)
    without = torch.where(labels == 1, IGNORE_INDEX, labels)
    expected = SegmentationLoss({name: 1.0}, class_weights=[1.0, 5.0, 2.0])(logits, without)
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize("name", ["dice", "lovasz"])
def test_means_over_classes_leave_out_one_with_weight_0(name):
    logits, labels = draw(5, 3, ignored=0)
    first, last, both = (
        SegmentationLoss({name: 1.0}, class_weights=weights)(logits, labels)
        for weights in ([1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 2.0])
    )
    torch.testing.assert_close(both, (first + 2 * last) / 3)


def test_a_loss_with_weight_0_adds_nothing():
    logits, labels = draw(5, 3)
    torch.testing.assert_close(
        SegmentationLoss({"ce": 1.0, "dice": 0.0})(logits, labels), SegmentationLoss({"ce": 1.0})(logits, labels)
    )


@pytest.mark.parametrize("name", LOSSES)
def test_two_processes_with_the_same_batch_have_the_loss_of_one(name):
    """`all_reduce` sums over the processes; losses that sort the pixels use those of their own process."""
    logits, labels = draw(7, 1 if name == "bce" else 3)
    reduced = []

    def of_both(x):
        reduced.append(x)
        return 2 * x

    together = SegmentationLoss({name: 1.0}, all_reduce=of_both)(logits, labels)
    torch.testing.assert_close(together, SegmentationLoss({name: 1.0})(logits, labels))
    assert bool(reduced) == (name not in ("lovasz", "ohem"))


# Of one pixel whose true label has the probability p; the other pixel is ignored.
OF_ONE_PIXEL = {
    "ce": lambda p: -math.log(p),
    "bce": lambda p: -math.log(p),
    "ohem": lambda p: -math.log(p),
    "focal": lambda p: -((1 - p) ** 2) * math.log(p),
    "dice": lambda p: 1 - 2 * p / (p + 1),
    "lovasz": lambda p: 1 - p,
}


@pytest.mark.parametrize("name", OF_ONE_PIXEL)
@pytest.mark.parametrize("weights", [None, [7.0, 1e-3]])
def test_the_loss_of_one_pixel_does_not_depend_on_its_weight(name, weights):
    """Sums of few pixels, or of small weights, are divided by exactly their number or weight."""
    logits, _ = draw(9, 1 if name == "bce" else 2, size=(1, 1, 2))
    loss = SegmentationLoss({name: 1.0}, class_weights=weights)(logits, torch.tensor([[[1, IGNORE_INDEX]]]))
    p = probability_of_target(logits[0, :, 0, 0].tolist(), 1)
    assert float(loss) == pytest.approx(OF_ONE_PIXEL[name](p), rel=1e-5)


def test_class_weights_are_not_part_of_a_checkpoint():
    assert not SegmentationLoss({"ce": 1.0}, class_weights=[1.0, 2.0]).state_dict()


@pytest.mark.parametrize("wrong", [{"terms": {"ce": -1.0}}, {"class_weights": [1, -1]}, {"output_weights": [1, -1]}])
def test_mistakes_are_never_rewarded(wrong):
    with pytest.raises(LossError, match="must be 0 or more"):
        SegmentationLoss(**({"terms": {"ce": 1.0}} | wrong))


def test_options_reach_their_loss():
    torch.manual_seed(0)
    logits, labels = torch.randn(1, 3, 4, 4), torch.randint(0, 3, (1, 4, 4))
    plain = SegmentationLoss({"focal": 1.0}, options={"focal": {"gamma": 0.0}})(logits, labels)
    torch.testing.assert_close(plain, SegmentationLoss({"ce": 1.0})(logits, labels))
    with pytest.raises(LossError, match="'focal' has no option 'alpha' here; it takes: gamma"):
        SegmentationLoss({"focal": 1.0}, options={"focal": {"alpha": 0.0}})
    with pytest.raises(LossError, match="there are options for 'ohem', but the terms are ce; add it to loss.terms"):
        SegmentationLoss({"ce": 1.0}, options={"ohem": {"min_kept": 5}})
    with pytest.raises(LossError, match="there are options for 'ohm', but the terms are ce; the losses are ce, "):
        SegmentationLoss({"ce": 1.0}, options={"ohm": {"min_kept": 0.5}})
    SegmentationLoss({"ce": 1.0}, options={"focal": {}})  # gives no warning


def test_class_weights_of_a_histogram():
    assert class_weights("none", [1, 2]) is None
    assert class_weights("inv_freq", [10, 30, 0]) == pytest.approx([1.5, 0.5, 1.0])
    rare, common = class_weights("sqrt_freq", [10, 40])
    assert rare / common == pytest.approx(2) and rare + common == pytest.approx(2)
    published = {
        "road": 0.8373,
        "sidewalk": 0.918,
        "building": 0.866,
        "wall": 1.0345,
        "fence": 1.0166,
        "pole": 0.9969,
        "traffic light": 0.9754,
        "traffic sign": 1.0489,
        "vegetation": 0.8786,
        "terrain": 1.0023,
        "sky": 0.9539,
        "person": 0.9843,
        "rider": 1.1116,
        "car": 0.9037,
        "truck": 1.0865,
        "bus": 1.0955,
        "train": 1.0865,
        "motorcycle": 1.1529,
        "bicycle": 1.0507,
    }
    assert class_weights("hrnet", [1] * 19) == list(published.values())
    with pytest.raises(LossError, match="19 classes, not for 2"):
        class_weights("hrnet", [1, 1])
    with pytest.raises(LossError, match="choose from: none, sqrt_freq, inv_freq, hrnet"):
        class_weights("square", [1, 1])


@pytest.mark.parametrize("value", [math.nan, math.inf, "1", None, True])
@pytest.mark.parametrize("name", ["terms", "class_weights", "output_weights"])
def test_weights_that_are_not_finite_numbers_are_refused(name, value):
    wrong = {"ce": value} if name == "terms" else [1.0, value]
    with pytest.raises(LossError, match=f"{name}: .* is not a weight"):
        SegmentationLoss(**({"terms": {"ce": 1.0}} | {name: wrong}))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"terms": None}, "terms is None, but must be the weight of each loss"),
        ({"terms": "ce"}, "terms is 'ce', but must be"),
        ({"terms": ["ce"]}, "but must be the weight of each loss"),
        ({"class_weights": 3}, "class_weights is 3, but must be a list"),
        ({"class_weights": "none"}, "class_weights is 'none', but must be a list"),
        ({"output_weights": 1.0}, "output_weights is 1.0, but must be a list"),
        ({"ignore_index": "255"}, "ignore_index is '255'"),
        ({"options": [1]}, "options is .*, but must be arguments by loss"),
        ({"options": {"ce": 1}}, "options is .*, but must be arguments by loss"),
        ({"terms": {"focal": 1.0}, "options": {"focal": {"gamma": "2"}}}, "gamma is '2', but must be 0 to 100"),
        ({"terms": {"focal": 1.0}, "options": {"focal": {"gamma": math.nan}}}, "gamma is nan, but must be 0 to 100"),
    ],
)
def test_arguments_of_the_wrong_type_are_refused(arguments, message):
    with pytest.raises(LossError, match=message):
        SegmentationLoss(**({"terms": {"ce": 1.0}} | arguments))


LOGITS, TARGET = torch.zeros(1, 3, 4, 5), torch.zeros(1, 4, 5, dtype=torch.uint8)


@pytest.mark.parametrize(
    "outputs, target, message",
    [
        (None, TARGET, "the outputs are NoneType"),
        ([], TARGET, "the outputs are list"),
        ([LOGITS, None], TARGET, "the outputs are list"),
        (LOGITS, None, "the target is NoneType"),
        (LOGITS, TARGET.float(), "the target is torch.float32"),
        (LOGITS, TARGET.numpy(), "the target is ndarray"),
        (LOGITS, TARGET[0], r"logits \(1, 3, 4, 5\) do not fit a target \(4, 5\)"),
        (LOGITS[0], TARGET, r"logits \(3, 4, 5\) do not fit"),
        (LOGITS, TARGET[:, :2], r"do not fit a target \(1, 2, 5\)"),
    ],
)
def test_outputs_and_targets_that_do_not_fit_are_refused(outputs, target, message):
    with pytest.raises(LossError, match=message):
        SegmentationLoss({"ce": 1.0})(outputs, target)
