"""Networks from files: released weights, own weights, or an ONNX file as `seglib.export` writes it."""

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from .. import weights, weights_metadata
from .errors import PredictionError

NOTES = "notes"  # the entry of the file's metadata that says what the network knows


class OnnxNetwork(nn.Module):
    """A network that onnxruntime runs on the CPU: uint8 RGB (N, 3, H, W) to float32 logits (N, classes, H, W).

    `content` is the file or its bytes; `notes` is what `seglib.export` wrote into it.  Raises PredictionError if
    onnxruntime is missing, or the file damaged or not ours.
    """

    takes_bytes = True  # the normalisation is in the file

    def __init__(self, content: Path | bytes):
        super().__init__()
        name = "the ONNX network" if isinstance(content, bytes) else content
        try:
            import onnxruntime
        except ImportError:
            raise PredictionError(
                f"{name}: to run ONNX files one more package is needed: python -m pip install onnxruntime"
            ) from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3  # errors only
        try:
            source = content if isinstance(content, bytes) else Path(content).read_bytes()
            self.session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
            self.notes = json.loads(self.session.get_modelmeta().custom_metadata_map[NOTES])
        except FileNotFoundError:
            raise PredictionError(f"{name}: no such file; check the name.") from None
        except (KeyError, json.JSONDecodeError):
            raise PredictionError(f"{name}: not written by `seglib export` (no notes in its metadata).") from None
        except Exception as error:  # onnxruntime's own classes have only Exception in common
            if isinstance(error, OSError) or not type(error).__module__.startswith("onnxruntime"):
                raise
            raise PredictionError(f"{name}: damaged, or no ONNX file; export it again.") from None
        if fault := weights_metadata.find_fault(self.notes, needs_data=False):
            raise PredictionError(f"{name}: {fault} in its metadata; export it again.")
        self.name = name

    def forward(self, images: Tensor) -> Tensor:
        feeds = {self.session.get_inputs()[0].name: np.ascontiguousarray(images.cpu().numpy())}
        try:
            logits = torch.from_numpy(self.session.run(None, feeds)[0])
        except Exception as error:
            if not type(error).__module__.startswith("onnxruntime"):
                raise
            raise PredictionError(f"{self.name}: cannot be run on pictures; export it again.") from None
        expected = (len(images), len(self.notes["classes"]), *images.shape[-2:])
        if logits.shape != expected:
            raise PredictionError(f"{self.name}: gives {tuple(logits.shape)}, not {expected}; export it again.")
        return logits.to(images.device)


def load(name: str) -> tuple[nn.Module, dict]:
    """A network for `Predictor` and its notes: an .onnx file, or whatever `weights.load` takes.

    The notes have `classes`, `palette` and `config` with `inference`.  Raises PredictionError or WeightsError.
    """
    if not name.endswith(".onnx"):
        return weights.load(name)
    model = OnnxNetwork(Path(name))
    return model.eval(), model.notes
