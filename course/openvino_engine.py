"""Run inference with OpenVINO, which is faster than PyTorch on CPUs. Requires the optional package OpenVINO.

`seglib predict --engine openvino` finds `predict_with_openvino` by the entry point group `seglib.engines`.
"""

import sys
import warnings
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from seglib.errors import import_optional
from seglib.inference import PredictionError
from seglib.inference.batch import BatchPredictor, PredictResult, PredictTask
from seglib.inference.onnx import OnnxNetwork

EXAMPLE_SIZE = (64, 96)  # the converted network accepts images of any size
PRECISIONS = {None: "f32", torch.bfloat16: "bf16", torch.float16: "f16"}


def turn_off_statistics() -> None:
    """Make OpenVINO send no usage statistics. It would do so when it is imported."""
    sys.modules.setdefault("openvino_telemetry", None)


class OpenVinoNetwork(nn.Module):
    """A network that is converted to OpenVINO and runs on the CPU.

    It maps normalized images (N, C, H, W) of any size to logits (N, classes, H, W), both float32, like `model`.

    Args:
        model: The network, in eval mode and on the CPU.
        channels: Number of image channels, C.
        amp_dtype: Type in which the network is computed if the CPU supports it; None for float32.

    Raises:
        PredictionError: If OpenVINO is missing, or cannot convert the network.
    """

    def __init__(self, model: nn.Module, channels: int = 3, amp_dtype: torch.dtype | None = None):
        super().__init__()
        turn_off_statistics()
        openvino = import_optional("openvino", PredictionError, "--engine openvino", "openvino")
        try:
            with warnings.catch_warnings(), torch.no_grad():
                warnings.simplefilter("ignore")  # of PyTorch's tracer, which the conversion uses
                example = torch.zeros(2, channels, *EXAMPLE_SIZE)
                sizes = openvino.PartialShape([-1, channels, -1, -1])
                converted = openvino.convert_model(model, example_input=example, input=sizes)
            settings = {
                "INFERENCE_NUM_THREADS": torch.get_num_threads(),
                "INFERENCE_PRECISION_HINT": PRECISIONS[amp_dtype],
            }
            self.compiled = openvino.Core().compile_model(converted, "CPU", settings)
        except RuntimeError as error:  # also OpenVINO's own exceptions
            reason = " ".join(str(error).split())[:200]
            raise PredictionError(
                f"--engine openvino: this network cannot be converted ({reason}); use --engine local."
            ) from None

    def forward(self, images: Tensor) -> Tensor:
        return torch.from_numpy(self.compiled(np.ascontiguousarray(images.numpy()))[0])


def predict_with_openvino(
    tasks: Sequence[PredictTask], make: Callable[[], BatchPredictor], address: str = "", gpu: bool = False
) -> Iterator[PredictResult]:
    """Run the tasks on the CPU with OpenVINO. Converting the network takes a few seconds, once for all images.

    Args:
        tasks: The images and the paths of their results.
        make: Function that creates the predictor.
        address: Not used; see `course.ray_engine`.
        gpu: Not used.

    Yields:
        One result for each task, in order.

    Raises:
        PredictionError: If OpenVINO is missing, or cannot run the network.
        OSError: If a result cannot be written.
    """
    if not tasks:
        return
    batch = make()
    predictor = batch.predictor
    if isinstance(predictor.model, OnnxNetwork):
        raise PredictionError("--engine openvino: needs a released name or a .safetensors file, not an .onnx file.")
    if predictor.device.type != "cpu":
        raise PredictionError(f"--engine openvino: runs on the CPU, not on {predictor.device}; add --device cpu.")
    predictor.model = OpenVinoNetwork(predictor.model, len(predictor.mean) or 3, predictor.amp_dtype)
    yield from batch.predict_all(tasks)
