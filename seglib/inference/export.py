"""Export trained weights to a single ONNX file, which onnxruntime runs on many platforms, including browsers.

The graph takes uint8 RGB images (N, 3, H, W), or float32 images with the channels on which the network was trained.
Images must be at least 32 pixels high and wide. The graph normalizes them and returns float32 logits (N, classes, H,
W). The caller must first resize the images as described by `input` in the metadata of the file (docs/onnx.md).

The metadata is stored as JSON under the key `notes`. In browsers, onnxruntime does not expose it, but it can be read
from the end of the file, where it starts at the last `{"format": "seglib"`.
"""

import copy
import json
import logging
import warnings
from collections.abc import Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor, nn

from .. import files, weights
from ..data.transforms import mean_and_std
from ..errors import SeglibError
from .errors import PredictionError
from .onnx import METADATA_KEY, OnnxNetwork
from .predictor import MIN_SIDE

OPSET = 18
SIZES = ((64, 64), (97, 131), (32, 200), (256, 160))  # image sizes at which the file is compared with PyTorch
TOLERANCE = 1e-4  # relative to the largest logit; rounding errors are about 1e-6


MIN_TORCH = (2, 13)  # the exporter of PyTorch 2.6 cannot write this opset


class ExportError(SeglibError, ValueError):
    """Raised if an export fails. The message gives the reason and says how to fix it."""


def export(name: str, file: Path, sizes: Sequence[tuple[int, int]] = SIZES) -> dict:
    """Export weights to an ONNX file after checking that onnxruntime computes the same logits as PyTorch.

    Args:
        name: Name or path of the weights, as in `weights.load`.
        file: The ONNX file to write.
        sizes: Image sizes (height, width) at which the logits are compared, alternately for one image and for a batch
            of two images.

    Returns:
        A dict with the keys "bytes", "opset", "sizes" and "error". The error is the return value of `compare`.

    Raises:
        ExportError: If a package is missing, or the logits differ.
        WeightsError: If the weights cannot be loaded.
    """
    _check_packages()
    if name.endswith(".onnx"):
        raise ExportError(f"{name}: is already an ONNX file; name released weights or a .safetensors file.")
    model, metadata = weights.load(name)
    inference = metadata["config"]["inference"]
    network = BytesToLogits(model, inference.get("mean", ()), inference.get("std", ())).eval()
    content = append_metadata(to_onnx(network), public_metadata(metadata))
    error = compare(network, content, sizes)
    files.write_atomically(file, lambda stream: stream.write(content))
    return {"bytes": len(content), "opset": OPSET, "sizes": list(sizes), "error": error}


class BytesToLogits(nn.Module):
    """A network that includes normalization and maps uint8 RGB (N, 3, H, W) to logits (N, classes, H, W).

    If `mean` and `std` are given, for C channels, the input is float32 (N, C, H, W) instead of uint8 RGB.  If `model`
    has a single output channel, the logits are 0 and the output, so that the softmax of class 1 is the sigmoid of the
    output.
    """

    def __init__(self, model: nn.Module, mean: Sequence[float] = (), std: Sequence[float] = ()):
        super().__init__()
        self.model, self.channels = model, len(mean)
        # `transforms.normalize` is not used, because the exporter would leave its own tensors in the function's cache.
        for name, values in zip(("mean", "std"), mean_and_std(mean, std), strict=True):
            self.register_buffer(name, values)

    def forward(self, image: Tensor) -> Tensor:
        normalized = (image.to(self.mean.dtype) - self.mean) / self.std
        logits = self.model(normalized.nan_to_num(0, 0, 0) if self.channels else normalized)
        return torch.cat([torch.zeros_like(logits), logits], 1) if logits.shape[1] == 1 else logits


def to_onnx(network: nn.Module, fold: bool = True) -> bytes:
    """Convert a network such as `BytesToLogits` to an ONNX file for any batch size, height and width.

    If `fold` is True, constants are precomputed; for example, batch normalization is merged into the preceding
    convolution. Otherwise, the graph contains the unchanged weights of the network.
    """
    example = make_images(network, 2, 2 * MIN_SIDE, 3 * MIN_SIDE)
    smallest = {"batch": 1, "height": MIN_SIDE, "width": MIN_SIDE}
    batch, height, width = (torch.export.Dim(name, min=size) for name, size in smallest.items())
    with _quiet():
        program = torch.onnx.export(
            network,
            (example,),
            dynamo=True,
            external_data=False,
            opset_version=OPSET,
            verbose=False,
            optimize=fold,
            dynamic_shapes=({0: batch, 2: height, 3: width},),
            input_names=["image"],
            output_names=["logits"],
        )
    file = program.model_proto  # each access returns a new copy
    graph = file.graph
    # The exporter records the source lines of each node. In a deep network with few weights, these records take more
    # space than everything else, and they contain local file paths.
    for part in chain((file, graph), graph.node, graph.value_info, graph.initializer, graph.input, graph.output):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    return file.SerializeToString()


def public_metadata(metadata: dict) -> dict:
    """Return the metadata for the ONNX file, without information about where and how the network was trained."""
    inference = metadata["config"]["inference"]
    channels, copied = len(inference.get("mean", ())), ("classes", "palette", "background", "reading")
    return {
        "format": "seglib",
        **{name: metadata[name] for name in copied if name in metadata},
        "num_outputs": len(metadata["classes"]),
        "config": {part: metadata["config"][part] for part in ("model", "inference")},
        "input": {
            "type": "float32" if channels else "uint8",
            "shape": ["N", channels or 3, "H", "W"],
            "values": "bands as they are stored; the graph normalizes them" if channels else "RGB, 0 to 255",
            "smallest_side": MIN_SIDE,
            "longest_side": inference["longest_side"],
            "resize": "longer side to longest_side (0: as it is); average areas to shrink, bilinear to enlarge",
        },
        "output": "logits; resize them to the image (bilinear, half-pixel centers), then argmax over the classes",
    }


def make_images(network: nn.Module, number: int, height: int, width: int, generator=None) -> Tensor:
    """Return random input images for a network.

    The images are uint8 (N, 3, H, W), or float32 (N, C, H, W) for a `BytesToLogits` with `mean` for C channels.
    """
    if channels := getattr(network, "channels", 0):
        return torch.randn(number, channels, height, width, generator=generator) * network.std + network.mean
    return torch.randint(256, (number, 3, height, width), generator=generator, dtype=torch.uint8)


def append_metadata(content: bytes, metadata: dict) -> bytes:
    """Return the ONNX file `content` with the metadata appended."""
    import onnx

    entry = onnx.StringStringEntryProto(key=METADATA_KEY, value=json.dumps(metadata))
    # In protocol buffers, two concatenated messages are read as one merged message.
    return content + onnx.ModelProto(metadata_props=[entry]).SerializeToString()


def compare(network: nn.Module, content: bytes, sizes: Sequence[tuple[int, int]]) -> float:
    """Return the largest error of onnxruntime's logits, relative to the largest logit.

    The reference is PyTorch in float64. The error may be up to TOLERANCE, or up to four times the error of PyTorch in
    float32, because normalization layers amplify rounding errors if feature maps have only a few pixels. Raises
    ExportError if the error is larger, or if onnxruntime cannot run the graph.
    """
    try:
        exported = OnnxNetwork(content)
    except PredictionError as error:
        raise ExportError(f"onnxruntime refuses the exported graph ({error}); try newer onnx packages.") from None
    exact = copy.deepcopy(network).double()
    generator = torch.Generator().manual_seed(0)
    largest = 0.0
    for number, (height, width) in enumerate(sizes):
        images = make_images(network, 1 + number % 2, height, width, generator)
        with torch.inference_mode():
            reference = exact(images)
            ours, theirs = (_relative_error(logits, reference) for logits in (network(images), exported(images)))
        if not theirs <= max(TOLERANCE, 4 * ours):  # also true if `theirs` is NaN
            error = f"are wrong by {theirs:.1e} of the largest (PyTorch's by {ours:.1e}); nothing was written"
            raise ExportError(f"onnxruntime's logits at {height}x{width} {error}. Try another version of the packages.")
        largest = max(largest, theirs)
    return largest


def _relative_error(logits: Tensor, reference: Tensor) -> float:
    if logits.shape != reference.shape:
        return float("inf")
    return ((logits - reference).abs().max() / reference.abs().max().clamp_min(1e-6)).item()


def _check_packages() -> None:
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    if missing:
        raise ExportError(f"export needs more packages: python -m pip install {' '.join(missing)}")
    if torch.__version__ < MIN_TORCH:
        raise ExportError(f"export needs PyTorch 2.13, but this is {torch.__version__}: python -m pip install -U torch")


@contextmanager
def _quiet():
    """Hide the exporter's warnings and log messages about its internals. Errors are found by comparing the logits."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
