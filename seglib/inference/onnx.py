"""Load networks from released weights, your own weights, or an ONNX file written by `seglib export`."""

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from .. import weights, weights_metadata
from ..errors import import_optional
from .errors import PredictionError

METADATA_KEY = "notes"  # the key in the metadata of an ONNX file, unchanged since the first release


class OnnxNetwork(nn.Module):
    """Runs a network from an ONNX file on the CPU with onnxruntime.

    Images are uint8 RGB (N, 3, H, W), or, for a network that was trained on other channels, float32 (N, channels, H, W)
    with the stored values. Logits are float32 (N, classes, H, W). `metadata` is the metadata in the file.

    Args:
        content: The path of the ONNX file, or its bytes.

    Raises:
        PredictionError: If onnxruntime is missing, or the file is damaged or was not written by `seglib export`.
    """

    normalizes = True

    def __init__(self, content: Path | bytes):
        super().__init__()
        name = "the ONNX network" if isinstance(content, bytes) else content
        onnxruntime = import_optional("onnxruntime", PredictionError, f"{name}: an ONNX file", "onnxruntime")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3  # errors only
        try:
            source = content if isinstance(content, bytes) else Path(content).read_bytes()
            self.session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
            self.metadata = json.loads(self.session.get_modelmeta().custom_metadata_map[METADATA_KEY])
        except FileNotFoundError:
            raise PredictionError(f"{name}: no such file; check the name.") from None
        except (KeyError, json.JSONDecodeError):
            raise PredictionError(f"{name}: not written by `seglib export` (no metadata).") from None
        except Exception as error:  # onnxruntime's exceptions have no common base class except Exception
            if isinstance(error, OSError) or not type(error).__module__.startswith("onnxruntime"):
                raise
            raise PredictionError(f"{name}: damaged, or not an ONNX file; export it again.") from None
        if fault := weights_metadata.find_fault(self.metadata, needs_data=False):
            raise PredictionError(f"{name}: {fault} in its metadata; export it again.")
        self.name = name

    def forward(self, images: Tensor) -> Tensor:
        feeds = {self.session.get_inputs()[0].name: np.ascontiguousarray(images.cpu().numpy())}
        try:
            logits = torch.from_numpy(self.session.run(None, feeds)[0])
        except Exception as error:
            if not type(error).__module__.startswith("onnxruntime"):
                raise
            raise PredictionError(f"{self.name}: cannot be run on images; export it again.") from None
        expected = (len(images), len(self.metadata["classes"]), *images.shape[-2:])
        if logits.shape != expected:
            raise PredictionError(f"{self.name}: gives {tuple(logits.shape)}, not {expected}; export it again.")
        return logits.to(images.device)


def load(name: str) -> tuple[nn.Module, dict]:
    """Load an .onnx file, or anything that `weights.load` accepts.

    Returns:
        The network and its metadata, a dict with the keys `classes`, `palette` and `config`. `config["inference"]`
        contains the inference settings.

    Raises:
        PredictionError: If the ONNX file cannot be used.
        WeightsError: If the weights cannot be used.
    """
    if not name.endswith(".onnx"):
        return weights.load(name)
    model = OnnxNetwork(Path(name))
    return model.eval(), model.metadata
