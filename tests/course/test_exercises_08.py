"""Notebook 08's checkers: right answers pass, each typical mistake gets its own hint, nonsense never raises."""

import numpy as np
import pytest
import torch
from torch import nn

from course.exercises import grade, names

NOTEBOOK = "08_transfer_learning"


def verdict(number: int, answer):
    return grade(f"{NOTEBOOK}/{number}", answer)


def one_channel(weight):
    return weight[:, :1] + weight[:, 1:2] + weight[:, 2:]


class Frozen(nn.Module):
    """The right answer to exercise 2; each subclass makes one mistake."""

    def __init__(self, module):
        super().__init__()
        self.module = module.eval()
        self.module.requires_grad_(False)

    def train(self, mode=True):
        super().train(mode)
        self.module.eval()
        return self

    def forward(self, x):
        return self.module(x)


class Trains(Frozen):
    def train(self, mode=True):
        return nn.Module.train(self, mode)


class Learns(Frozen):
    def __init__(self, module):
        super().__init__(module)
        module.requires_grad_(True)


class NoGraph(Frozen):
    @torch.no_grad()
    def forward(self, x):
        return self.module(x)


class ReturnsNothing(Frozen):
    def train(self, mode=True):
        super().train(mode)


class Untouched(nn.Module):
    def __init__(self, module):
        super().__init__()


def softmax(values, axis=0):
    exponentials = np.exp(values - values.max(axis, keepdims=True))
    return exponentials / exponentials.sum(axis, keepdims=True)


def targets(teacher_logits, temperature):
    return np.mean([softmax(logits / temperature) for logits in teacher_logits], axis=0)


def log_uniform(low, high, u):
    return np.exp(np.log(low) + u * (np.log(high) - np.log(low)))


RIGHT = {1: one_channel, 2: Frozen, 3: targets, 4: log_uniform}


def test_the_notebook_has_these_exercises():
    assert names(NOTEBOOK) == [f"{NOTEBOOK}/{number}" for number in RIGHT]


@pytest.mark.parametrize("number", RIGHT)
def test_right_answers_are_accepted(number):
    assert verdict(number, RIGHT[number]).right is True


@pytest.mark.parametrize("number", RIGHT)
@pytest.mark.parametrize("stub", [None, ..., lambda *inputs: None])
def test_stubs_count_as_not_attempted(number, stub):
    assert verdict(number, Untouched if number == 2 and callable(stub) else stub).right is None


@pytest.mark.parametrize("number", RIGHT)
@pytest.mark.parametrize(
    "nonsense",
    [3.7, "text", [1, 2], object(), int, nn.Identity(), lambda: 1, lambda *_: "text", lambda *_: 1 / 0, lambda *_: [1]],
)
def test_nonsense_gets_a_short_hint_and_never_raises(number, nonsense):
    result = verdict(number, nonsense)
    assert result.right is not True and len(result.message) < 400


@pytest.mark.parametrize(
    ("number", "answer", "word"),
    [
        (1, lambda weight: weight.mean(1, keepdim=True), "three times too small"),
        (1, lambda weight: weight[:, :1], "red channel"),
        (1, lambda weight: weight.sum(1), "keepdim"),
        (1, lambda weight: weight, "must have shape"),
        (2, Trains, "override `train`"),
        (2, Learns, "requires_grad_"),
        (2, NoGraph, "no_grad"),
        (2, lambda module: 5, "nn.Module"),
        (3, lambda logits, temperature: softmax(np.mean(logits, axis=0) / temperature), "averages the logits"),
        (3, lambda logits, temperature: targets(logits, 1), "divide the logits"),
        (3, lambda logits, temperature: targets(logits, 1 / temperature), "harder"),
        (3, lambda logits, temperature: targets(logits, temperature) * len(logits), "mean"),
        (3, lambda logits, temperature: np.mean([softmax(v / temperature, -1) for v in logits], 0), "over the columns"),
        (3, lambda logits, temperature: targets(logits, temperature)[0], "must have shape"),
        (4, lambda low, high, u: low + u * (high - low), "linear scale"),
        (4, lambda low, high, u: np.log(log_uniform(low, high, u)), "exponential"),
        (4, lambda low, high, u: log_uniform(high, low, u), "swapped"),
        (4, lambda low, high, u: 0.3, "must have shape"),
    ],
)
def test_typical_mistakes_get_their_own_hint(number, answer, word):
    result = verdict(number, answer)
    assert result.right is False and word in result.message, result


def test_a_block_whose_train_returns_nothing_is_rejected():
    assert verdict(2, ReturnsNothing).right is False


class TrainingAtFirst(Frozen):
    def __init__(self, module):
        super().__init__(module)
        module.train()


class InAList(nn.Module):
    def __init__(self, module):
        super().__init__()
        self.modules_ = [module.eval()]

    def forward(self, x):
        return self.modules_[0](x)


class NoMode(Frozen):
    def train(self):
        return self


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (TrainingAtFirst, "evaluation mode in __init__"),
        (InAList, "as an attribute"),
        (NoMode, "network.train() with your block in the network stopped with TypeError"),
    ],
)
def test_blocks_that_are_not_frozen_in_every_way(answer, word):
    result = verdict(2, answer)
    assert result.right is False and word in result.message, result
