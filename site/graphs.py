"""Export released networks for the browser as ONNX graphs without weights; `cached` keeps them between builds."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import eight_bit
import onnx
import torch
from onnx import TensorProto, numpy_helper
from torch import Tensor, nn

from seglib import weights
from seglib.inference import export
from seglib.inference.export import ExportError

LARGE = 1024  # tensors with fewer bytes stay in the graph


def cached(name: str, cache: Path, stages: Sequence[str] = ()) -> bytes:
    """Return `bare_graph` of released weights, from `cache` if weights, package versions and code have not changed.

    The code is this file, `eight_bit` and `seglib.inference.export`; other changes do not invalidate the cache.
    """
    parts = [text.encode() for text in (weights.card(name)["sha256"], torch.__version__, onnx.__version__, *stages)]
    parts += [Path(file).read_bytes() for file in (__file__, eight_bit.__file__, export.__file__)]
    file = cache / f"{name}-{hashlib.sha256(b''.join(parts)).hexdigest()[:16]}.onnx"
    if not file.exists():
        print(f"exporting {name} for the browser", flush=True)
        cache.mkdir(parents=True, exist_ok=True)
        file.write_bytes(bare_graph(name, stages))
    return file.read_bytes()


def bare_graph(name: str, stages: Sequence[str] = ()) -> bytes:
    """Return the ONNX graph of a released network without its large tensors.

    The graph refers to these tensors by offsets in an external file "weights", which is not written. The browser
    computes its content from the 8-bit weights (see `eight_bit.unpack`).

    Args:
        name: Name of the released weights.
        stages: Names of modules; the graph returns their outputs after the logits.

    Raises:
        ExportError: If the outputs of onnxruntime and PyTorch differ, or a large tensor of the graph is not among the
            weights.
    """
    model, notes = eight_bit.load_network(name)
    network = export.BytesToLogits(model).eval()
    if stages:  # `compare` only accepts graphs that return logits; this graph is checked by the tests in the browser
        content = export.to_onnx(_WithStages(network, stages).eval(), fold=False)
    else:
        content = export.append_metadata(export.to_onnx(network, fold=False), export.public_metadata(notes))
        export.compare(network, content, [(96, 128)])
    graph = onnx.load_from_string(content)
    values, offsets = eight_bit.unpack(eight_bit.released(name))
    names = {value.numpy().tobytes(): key for key, value in values.items()}
    for tensor in graph.graph.initializer:
        raw = numpy_helper.to_array(tensor).tobytes()
        if tensor.data_type == TensorProto.FLOAT and len(raw) >= LARGE:
            if raw not in names:
                raise ExportError(f"{name}: the exported graph does not contain the weights unchanged.")
            _point(tensor, offsets[names[raw]], len(raw))
    return graph.SerializeToString()


class _WithStages(nn.Module):
    """A network that also returns the outputs of the modules `stages` of its model."""

    def __init__(self, network: export.BytesToLogits, stages: Sequence[str]):
        super().__init__()
        self.network, self.stages, self.outputs = network, stages, {}
        for name in stages:
            module = network.model.get_submodule(name)
            module.register_forward_hook(lambda _m, _i, output, name=name: self.outputs.update({name: output}))

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return self.network(image), *(self.outputs[name] for name in self.stages)


def _point(tensor: TensorProto, offset: int, length: int) -> None:
    tensor.ClearField("raw_data")
    tensor.ClearField("float_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "weights"), ("offset", offset), ("length", length)):
        tensor.external_data.append(onnx.StringStringEntryProto(key=key, value=str(value)))
