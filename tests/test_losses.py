"""Every loss against a formula written out in float64, and what ignored pixels must not do."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seglib.losses import IGNORE, LossError, SegmentationLoss, binary_cross_entropy, cross_entropy, dice


def draw(seed, channels, ignored=0.3, size=(2, 5, 6)):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(size[0], channels, *size[1:], generator=generator, dtype=torch.float64)
    labels = torch.randint(0, max(channels, 2), size, generator=generator)
    labels[torch.rand(size, generator=generator) < ignored] = IGNORE
    return logits, labels


def pixels(logits, labels):
    """(list of logits, label) of every pixel that counts."""
    flat = logits.movedim(1, -1).reshape(-1, logits.shape[1]).tolist()
    return [(row, label) for row, label in zip(flat, labels.flatten().tolist(), strict=True) if label != IGNORE]


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
    found = cross_entropy(logits, labels, torch.tensor(weight, dtype=torch.float64) if weighted else None)
    assert float(found) == pytest.approx(expected, rel=1e-9)


@settings(deadline=None, derandomize=True, max_examples=40)
@given(st.integers(0, 10_000), st.booleans())
def test_binary_cross_entropy_by_hand(seed, weighted):
    logits, labels = draw(seed, 1)
    weight = [0.7, 2.0] if weighted else [1.0, 1.0]
    counted = pixels(logits, labels)
    probability = [1 / (1 + math.exp(-row[0])) for row, _ in counted]
    total = sum(-weight[y] * math.log(p if y else 1 - p) for p, (_, y) in zip(probability, counted, strict=True))
    found = binary_cross_entropy(logits, labels, torch.tensor(weight, dtype=torch.float64) if weighted else None)
    assert float(found) == pytest.approx(total / sum(weight[y] for _, y in counted), rel=1e-9)


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
        truth = [float(y == label) for _, y in counted]
        if sum(truth):
            overlap = sum(row[c] * t for row, t in zip(rows, truth, strict=True))
            losses[c] = 1 - 2 * overlap / (sum(row[c] for row in rows) + sum(truth))
    share = {c: weight[c] if weighted and channels > 1 else 1.0 for c in losses}
    expected = sum(share[c] * loss for c, loss in losses.items()) / sum(share.values())
    found = dice(logits, labels, torch.tensor(weight, dtype=torch.float64) if weighted else None)
    assert float(found) == pytest.approx(expected, rel=1e-9)


TERMS = [({"ce": 1.0, "dice": 1.0}, 3), ({"bce": 1.0, "dice": 0.5}, 1), ({"ce": 2.0}, 2)]


@pytest.mark.parametrize("terms, channels", TERMS)
@pytest.mark.parametrize("weights", [False, True])
def test_nothing_but_ignored_pixels_gives_zero_and_zero_gradients(terms, channels, weights):
    logits = torch.randn(2, channels, 4, 4, requires_grad=True)
    loss = SegmentationLoss(terms, [1.0] * max(2, channels) if weights else None)
    value = loss(logits, torch.full((2, 4, 4), IGNORE, dtype=torch.uint8))
    value.backward()
    assert value.item() == 0 and logits.grad.eq(0).all()


@pytest.mark.parametrize("terms, channels", TERMS)
def test_ignored_pixels_never_reach_the_loss(terms, channels):
    logits, labels = draw(3, channels)
    loss = SegmentationLoss(terms)
    other = torch.where((labels == IGNORE).unsqueeze(1), torch.full_like(logits, 50.0), logits)
    assert loss(logits, labels).item() == loss(other, labels).item()
    logits.requires_grad_()
    loss(logits, labels).backward()
    assert logits.grad.movedim(1, -1)[labels == IGNORE].eq(0).all()


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
        ({"crossentropy": 1.0}, None, 2, "choose from: ce, bce, dice"),
        ({}, None, 2, "choose from"),
        ({"ce": 1.0}, None, 1, "use 'bce'"),
        ({"bce": 1.0}, None, 2, "use 'ce'"),
        ({"ce": 1.0}, [1.0, 2.0], 3, "2 class weights for 3 classes"),
    ],
)
def test_what_does_not_fit_is_refused(terms, weights, channels, message):
    with pytest.raises(LossError, match=message):
        SegmentationLoss(terms, weights)(torch.zeros(1, channels, 2, 2), torch.zeros(1, 2, 2, dtype=torch.long))
