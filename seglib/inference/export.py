"""Trained weights as one ONNX file, which onnxruntime runs anywhere, a browser included.

The graph takes uint8 RGB pictures (N, 3, H, W) of any size from 32 pixels up, so no caller can get the normalisation
wrong and a browser can hand over its pixels as they are; it gives float32 logits (N, classes, H, W), whose largest
plane is the label.  The file's metadata has an entry `notes`: JSON with the classes, the palette and how images were
scaled (`config.inference`).  onnxruntime shows no metadata in browsers, therefore the notes are also the very end of
the file: everything from the last `{"format": "seglib` on.
"""

import copy
import json
import logging
import warnings
from collections.abc import Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from .. import files, weights
from ..data.transforms import MEAN, STD
from ..errors import SeglibError
from . import MIN_SIDE, OnnxNetwork, PredictionError

OPSET = 18
SIZES = ((64, 64), (97, 131), (32, 200), (256, 160))  # at which the file is compared with PyTorch
TOLERANCE = 1e-4  # as a share of the largest logit; rounding makes about 1e-6


class ExportError(SeglibError, ValueError):
    """An export that cannot be made; the message says what is missing or went wrong, and the remedy."""


def export(name: str, file: Path, sizes: Sequence[tuple[int, int]] = SIZES) -> dict:
    """Write the weights `name`, as `weights.load` takes it, to the ONNX file `file`.

    The file appears only if onnxruntime gives PyTorch's logits at all `sizes` (height, width), alone or in a batch.
    Returns {"bytes", "opset", "sizes", "error": the largest, as a share of the largest logit}.  Raises
    ExportError if a package is missing or the results differ, and WeightsError for weights that cannot be loaded.
    """
    _check_packages()
    if name.endswith(".onnx"):
        raise ExportError(f"{name}: is an ONNX file already; name released weights or a .safetensors file.")
    model, notes = weights.load(name)
    network = BytesToLogits(model).eval()
    content = with_notes(to_onnx(network), kept_notes(notes))
    error = compare(network, content, sizes)
    files.write_atomically(file, lambda stream: stream.write(content))
    return {"bytes": len(content), "opset": OPSET, "sizes": list(sizes), "error": error}


class BytesToLogits(nn.Module):
    """A network with its normalisation in front: uint8 RGB (N, 3, H, W) to logits (N, classes, H, W).

    Of a network with one output, a sigmoid's, the logits are 0 and that one, whose softmax is the sigmoid.
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model
        # As in `augment.normalize`, whose tensors are kept between calls: the exporter would leave its own there.
        self.register_buffer("mean", 255 * torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", 255 * torch.tensor(STD).view(1, 3, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        logits = self.model((image.to(self.mean.dtype) - self.mean) / self.std)
        return torch.cat([torch.zeros_like(logits), logits], 1) if logits.shape[1] == 1 else logits


def to_onnx(network: nn.Module, fold: bool = True) -> bytes:
    """The graph of a network on uint8 pictures, for any number of them, of any height and width.

    `fold` computes what is constant beforehand, such as a normalisation within the convolution before it; without it
    the graph holds the network's weights as they are.
    """
    example = torch.zeros(2, 3, 2 * MIN_SIDE, 3 * MIN_SIDE, dtype=torch.uint8)
    sizes = {
        0: torch.export.Dim("batch", min=1),
        2: torch.export.Dim("height", min=MIN_SIDE),
        3: torch.export.Dim("width", min=MIN_SIDE),
    }
    with _quiet():
        program = torch.onnx.export(
            network,
            (example,),
            dynamo=True,
            external_data=False,
            opset_version=OPSET,
            verbose=False,
            optimize=fold,
            dynamic_shapes=(sizes,),
            input_names=["image"],
            output_names=["logits"],
        )
    file = program.model_proto
    # The exporter notes down for each node which lines of which files it comes from: of no use to whoever runs the
    # graph, more bytes than all else in a deep network of few weights, and the paths are those of this machine.
    for part in (
        file,
        file.graph,
        *file.graph.node,
        *file.graph.value_info,
        *file.graph.initializer,
        *file.graph.input,
        *file.graph.output,
    ):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    return file.SerializeToString()


def kept_notes(notes: dict) -> dict:
    """What a file for others says about the network: nothing of where and how it was trained."""
    config = {part: notes["config"][part] for part in ("model", "inference")}
    image = {"type": "uint8", "shape": ["N", 3, "H", "W"], "values": "RGB, 0 to 255", "smallest_side": MIN_SIDE}
    return {
        "format": "seglib",
        "classes": list(notes["classes"]),
        "palette": notes["palette"],
        "num_outputs": len(notes["classes"]),
        **{name: notes[name] for name in ("background", "reading") if name in notes},
        "config": config,
        "input": image,
    }


def with_notes(content: bytes, notes: dict) -> bytes:
    """The ONNX file `content` with `notes` in its metadata, at its end."""
    import onnx

    entry = onnx.StringStringEntryProto(key="notes", value=json.dumps(notes))
    # One message appended to another is, in protocol buffers, the two merged.
    return content + onnx.ModelProto(metadata_props=[entry]).SerializeToString()


def compare(network: nn.Module, content: bytes, sizes: Sequence[tuple[int, int]]) -> float:
    """The largest error of onnxruntime's logits, as a share of the largest logit.

    Errors are those against PyTorch in float64.  They must stay below TOLERANCE, or below four times PyTorch's own in
    float32: normalising the few pixels that are left of a small image magnifies rounding.  Raises ExportError if they
    do not, or if onnxruntime cannot run the graph.
    """
    try:
        exported = OnnxNetwork(content)
    except PredictionError as error:
        raise ExportError(f"onnxruntime refuses the exported graph ({error}); try newer onnx packages.") from None
    exact = copy.deepcopy(network).double()
    generator = torch.Generator().manual_seed(0)
    worst = 0.0
    for number, (height, width) in enumerate(sizes):
        images = torch.randint(256, (1 + number % 2, 3, height, width), generator=generator, dtype=torch.uint8)
        with torch.inference_mode():
            truth = exact(images)
            ours, theirs = (_error(logits, truth) for logits in (network(images), exported(images)))
        if not theirs <= max(TOLERANCE, 4 * ours):  # not <= is true of NaN as well
            raise ExportError(
                f"onnxruntime's logits at {height}x{width} are wrong by {theirs:.1e} of the largest (PyTorch's by "
                f"{ours:.1e}); nothing was written. Try another version of torch or onnxruntime."
            )
        worst = max(worst, theirs)
    return worst


def _error(logits: Tensor, truth: Tensor) -> float:
    if logits.shape != truth.shape:
        return float("inf")
    return ((logits - truth).abs().max() / truth.abs().max().clamp_min(1e-6)).item()


def _check_packages() -> None:
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    if missing:
        raise ExportError(f"to export, more packages are needed: python -m pip install {' '.join(missing)}")


@contextmanager
def _quiet():
    """The exporter's warnings and log are about its own insides: what counts is whether the results agree."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir", "torch.export")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
