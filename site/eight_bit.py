"""Weights in 8 bits for the browser, half the size of the released files.

    python site/eight_bit.py --root data      # scores with the released and with the 8-bit weights, on validation sets

A convolution's weights are stored as integers from -127 to 127 with one scale per output channel.  Depthwise
convolutions, which lose accuracy in 8 bits, small convolutions and all other tensors keep the precision of the release.
"""

import argparse
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from seglib import data, evaluation, weights
from seglib.inference import Predictor

SMALLEST = 4096  # number of weights; smaller tensors are not stored in 8 bits
SCALE = ":scale"  # suffix of the name of the scales, float32, which stand beside each 8-bit tensor


@cache
def released(name: str) -> bytes:
    """Return the file with the 8-bit weights of a released network."""
    return pack(weights.load(name)[0].state_dict())


def load_network(name: str) -> tuple[nn.Module, dict]:
    """Return a released network in which the weights have the values that the browser computes, and the metadata."""
    model, metadata = weights.load(name)
    values, _ = unpack(released(name))
    model.load_state_dict(model.state_dict() | values)
    return model, metadata


def pack(tensors: dict[str, Tensor]) -> bytes:
    """Return the floating-point `tensors` as a safetensors file, the weights of large convolutions in 8 bits."""
    packed = {}
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            continue
        if tensor.ndim == 4 and tensor.shape[1] > 1 and tensor.numel() >= SMALLEST:
            scale = (tensor.abs().amax((1, 2, 3), keepdim=True) / 127).clamp(min=torch.finfo(torch.float32).tiny)
            packed[name] = (tensor / scale).round().to(torch.int8)
            packed[name + SCALE] = scale.flatten()
        else:
            half = tensor.half()
            packed[name] = half if torch.equal(half.float(), tensor) else tensor
    return save({name: tensor.contiguous() for name, tensor in packed.items()})


def unpack(content: bytes) -> tuple[dict[str, Tensor], dict[str, int]]:
    """Return the tensors of `pack` as float32, and the offset in bytes of each in the data that the browser computes.

    The browser writes the float32 values of all tensors one after the other, in the order of the file.
    """
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    tensors = load(content)
    values, offsets, end = {}, {}, 0
    for name in sorted(tensors, key=lambda name: header[name]["data_offsets"]):
        if not name.endswith(SCALE):
            tensor = tensors[name].float()
            scale = tensors.get(name + SCALE)
            values[name] = tensor if scale is None else tensor * scale.reshape(-1, 1, 1, 1)
            offsets[name] = end
            end += 4 * tensor.numel()
    return values, offsets


def compare(name: str, root: Path) -> dict[str, tuple[float, float]]:
    """Return mIoU and Boundary IoU of released weights, as they are and in 8 bits, on the data set's validation images.

    Images are predicted once, without test-time augmentation, as in the browser.
    """
    card = weights.card(name)
    items = data.load(card["data"]["name"], "val", root, card["data"]["list"])
    scores = []
    for model, metadata in (weights.load(name), load_network(name)):
        predictor = Predictor(model, **metadata["config"]["inference"] | {"flip": False})
        scores.append(evaluation.evaluate(predictor, items))
    return {score: (scores[0][score], scores[1][score]) for score in ("miou", "boundary_iou")}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=weights.names(), help="released weights (all)")
    parser.add_argument("--root", type=Path, default=Path("data"), help="folder of the data sets (%(default)s)")
    args = parser.parse_args(arguments)
    print(f"{'':26} mIoU             Boundary IoU     MB")
    for name in args.names:
        size = len(released(name)) / 1e6
        pairs = "  ".join(f"{before:.4f} {after:.4f} " for before, after in compare(name, args.root).values())
        print(f"{name:26} {pairs}  {size:.1f} (released: {weights.card(name)['bytes'] / 1e6:.1f})", flush=True)


if __name__ == "__main__":
    main()
