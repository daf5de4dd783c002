"""Checkers for notebook 08: one input channel, a frozen block, several teachers, a logarithmic scale."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from . import Hint, exercise
from .answers import array, attempt, expect_close


@exercise("08_transfer_learning/1")
def to_one_channel(answer):
    """Check that `answer(weight)` converts weights (out, 3, k, k) for RGB images to (out, 1, k, k) for gray images."""
    weight = torch.randn(4, 3, 3, 3, generator=torch.Generator().manual_seed(1))
    result = answer(weight.clone())
    if not isinstance(result, Tensor):
        raise Hint(f"return a tensor, not a {type(result).__name__}")
    if result.shape == (4, 3, 3):
        raise Hint("the channel axis is gone: keep it with keepdim=True")
    if result.shape != (4, 1, 3, 3):
        raise Hint(f"the weight must have shape (4, 1, 3, 3), yours has {tuple(result.shape)}")
    mistakes = [
        (
            weight.mean(1, keepdim=True).numpy(),
            "the mean makes the result three times too small: the old convolution adds three equal channels",
        ),
        (weight[:, :1].numpy(), "this keeps only the red channel; use all three"),
        (weight[:, 1:2].numpy(), "this keeps only the green channel; use all three"),
    ]
    right = weight.sum(1, keepdim=True).numpy()
    hint = "the old convolution multiplies three equal channels by three kernels: which single kernel does the same?"
    _expect_near(result.detach().numpy(), right, mistakes, hint)


def _expect_near(result: np.ndarray, right: np.ndarray, mistakes: list[tuple], default_hint: str) -> None:
    """Compare like `expect_close`, with a larger tolerance because float32 sums may be computed in any order."""
    for wrong, hint in [(right, ""), *mistakes]:
        if np.shape(wrong) == np.shape(result) and np.allclose(result, wrong, rtol=1e-4, atol=1e-5):
            if hint:
                raise Hint(hint)
            return
    raise Hint(default_hint)


@exercise("08_transfer_learning/2")
def frozen_block(answer):
    """Check that `answer(module)` returns a frozen module, which does not learn even in training mode."""
    torch.manual_seed(2)
    inner = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Dropout(0.5))
    x = torch.randn(4, 2, 8, 8)
    expected = inner.eval()(x).detach()
    inner.train()
    block = attempt("Frozen(module)", lambda: answer(inner))
    if not isinstance(block, nn.Module):
        raise Hint("Frozen must be a class derived from nn.Module")
    if not list(block.parameters()):
        if attempt("your block on a batch of shape (4, 2, 8, 8)", lambda: block(x.clone())) is None:
            raise NotImplementedError
        raise Hint(
            "your block has no parameters: keep the module as an attribute, so that .to() and state_dict reach it"
        )
    _check_before_train(block, inner, x, expected)
    network = nn.Sequential(block, nn.Conv2d(3, 1, 1))
    attempt("network.train() with your block in the network", network.train)
    inputs = x.clone().requires_grad_()
    result = attempt("your block on a batch of shape (4, 2, 8, 8)", lambda: block(inputs))
    if not isinstance(result, Tensor):
        raise NotImplementedError
    if not torch.allclose(result, expected, atol=1e-6):
        raise Hint(
            "after network.train() the output differs from that in evaluation mode: override `train` so that the "
            "wrapped module stays in evaluation mode"
        )
    if not torch.equal(inner[1].running_mean, torch.zeros(3)):
        raise Hint("the running mean of the batch normalization has changed: the wrapped module must stay in eval mode")
    _check_gradients(block, network, result, inputs)


def _check_before_train(block: nn.Module, inner: nn.Module, x: Tensor, expected: Tensor) -> None:
    """Raise a Hint unless the block is frozen from the start, before anybody calls `train`."""
    with torch.no_grad():
        result = attempt("your block on a batch of shape (4, 2, 8, 8)", lambda: block(x.clone()))
    if not isinstance(result, Tensor):
        raise NotImplementedError
    if not (torch.allclose(result, expected, atol=1e-6) and torch.equal(inner[1].running_mean, torch.zeros(3))):
        raise Hint(
            "before anybody calls .train(), the module is still in the mode in which it was passed, here training "
            "mode: put it into evaluation mode in __init__"
        )


def _check_gradients(block: nn.Module, network: nn.Module, result: Tensor, inputs: Tensor) -> None:
    if any(parameter.requires_grad for parameter in block.parameters()):
        raise Hint("the parameters still require gradients: call requires_grad_(False) on the wrapped module")
    if not result.requires_grad:
        raise Hint("no gradient flows through the block to its input: do not use torch.no_grad() in forward")
    result.sum().backward()
    if inputs.grad is None or not inputs.grad.abs().sum() > 0:
        raise Hint("no gradient arrives at the input of the block")
    if network.train() is not network or not network[1].training:
        raise Hint("`train` must return self, and leave the rest of the network in training mode")
    if block.train() is not block:
        raise Hint("`train` must return self, as in every module")


@exercise("08_transfer_learning/3")
def ensemble_targets(answer):
    """Check that `answer(teacher_logits, temperature)` returns the mean of the softened probabilities (C, H, W)."""
    rng = np.random.default_rng(3)
    logits = [4 * rng.normal(size=(3, 2, 4)) for _ in range(3)]
    for temperature in (2.0, 5.0):
        result = answer([values.copy() for values in logits], temperature)
        result = array(result)
        if result.shape != (3, 2, 4):
            raise Hint(f"the targets must have shape (3, 2, 4), yours have {result.shape}")
        right = np.mean([_softmax(values / temperature) for values in logits], axis=0)
        mistakes = [
            (_softmax(np.mean(logits, axis=0) / temperature), "this averages the logits; average the probabilities"),
            (np.mean([_softmax(values) for values in logits], axis=0), "divide the logits by the temperature first"),
            (
                np.mean([_softmax(values * temperature) for values in logits], axis=0),
                "this multiplies by the temperature, which makes predictions harder; divide",
            ),
            (np.sum([_softmax(v / temperature) for v in logits], axis=0), "this is the sum; return the mean"),
            (
                np.mean([_softmax(values / temperature, axis=-1) for values in logits], axis=0),
                "this is the softmax over the columns; take it over the classes, axis 0",
            ),
        ]
        _expect_near(result, right, mistakes, "softmax of logits / temperature for each teacher, then their mean")


def _softmax(values: np.ndarray, axis: int = 0) -> np.ndarray:
    return F.softmax(torch.from_numpy(values), dim=axis).numpy()


@exercise("08_transfer_learning/4")
def log_uniform(answer):
    """Check that `answer(low, high, u)` maps u from [0, 1] to [low, high] on a logarithmic scale."""
    u = np.array([0.0, 0.2, 0.5, 0.9, 1.0])
    for low, high in ((1e-4, 1e-2), (0.5, 8.0)):
        result = answer(low, high, u.copy())
        result = array(result, float)
        if result.shape != u.shape:
            raise Hint(f"the result must have shape {u.shape}, yours has {result.shape}")
        right = low * (high / low) ** u
        mistakes = [
            (low + u * (high - low), "this is a linear scale: half of its values are above the middle of the range"),
            (np.log(right), "these are the logarithms: take the exponential at the end"),
            (np.log10(right), "these are the logarithms: take the power of 10 at the end"),
            (high * (low / high) ** u, "the ends are swapped: u = 0 gives low"),
            (10 ** (low + u * (high - low)), "take the logarithms of low and high first"),
        ]
        expect_close(result, right, mistakes, "interpolate between log(low) and log(high), then take the exponential")
