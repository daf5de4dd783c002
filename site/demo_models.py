"""Released weights for the browser: the graph of each network without its weights, and the released file beside it.

The demo reads the released .safetensors file itself: it converts the fp16 numbers to fp32, and the ONNX graph has the
offset of each of its tensors.  So the site has every weight once, for the demo and for download.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import onnx
import torch
from onnx import TensorProto, numpy_helper
from safetensors.torch import load_file
from staging import Stage

from seglib import weights
from seglib.inference import export
from seglib.inference.export import ExportError
from seglib.inference.predictor import MIN_SIDE
from seglib.weights import WeightsError

__all__ = ["BUDGET", "ExportError", "WeightsError", "bare_graph", "chosen", "describe", "entries"]

FOLDER = "_static/demo/models"

BUDGET = 50_000_000  # bytes of weights in the site, of at most 90 MB in all
QUICK = 9_000_000  # bytes of a network that a visitor loads first, also on a phone
LARGE = 1024  # tensors of fewer bytes stay in the graph
STRETCH = 2  # an fp32 number has twice the bytes of an fp16 one


def chosen(budget: int = BUDGET) -> tuple[list[str], list[str]]:
    """Return the names of the weights that the site includes, and of those that do not fit.

    The smallest of each data set comes first, so that every data set has a network; then small ones.
    """
    order = weights.names()
    sizes = {name: weights.manifest()["weights"][name]["bytes"] for name in order}
    small = sorted(order, key=sizes.get)
    knows = {name: weights.card(name)["data"]["name"] for name in order}
    firsts = [next(name for name in small if knows[name] == data) for data in dict.fromkeys(knows.values())]
    included, room = [], budget
    for name in dict.fromkeys([*firsts, *small]):
        if sizes[name] <= room:
            included.append(name)
            room -= sizes[name]
    return included, [name for name in order if name not in included]


def entries(names: Sequence[str], stage: Stage, cache: Path) -> list[dict]:
    """Write graph and weights of all `names` to the stage; return what the page must know about each.

    Graphs depend on weights, exporter and this file only, and are kept in `cache`.
    """
    result = []
    for name in names:
        file, card = weights.find(name), weights.card(name)
        graph = cached_graph(name, card["sha256"], cache)
        stage.write(f"{FOLDER}/{name}.onnx", graph)
        stage.write(f"{FOLDER}/{file.name}", file.read_bytes())
        _, notes = weights.read_tensors(file)
        result.append(
            {
                "name": name,
                "data": card["data"]["name"],
                "parameters": card["model"]["parameters"],
                "miou": card["scores"]["miou"],
                "graph": f"{name}.onnx",
                "graph_bytes": len(graph),
                "weights": file.name,
                "weights_bytes": card["bytes"],
                "classes": list(notes["classes"]),
                "palette": notes["palette"],
                "longest_side": notes["config"]["inference"]["longest_side"],
                "smallest_side": MIN_SIDE,
            }
        )
    # The first network of each subject is the standard one: the best of those that load quickly.
    return sorted(result, key=lambda model: (model["weights_bytes"] > QUICK, -model["miou"]))


def describe(models: Sequence[dict], examples: Sequence[dict], runtimes: Path, stage: Stage) -> None:
    """Write `models.json`, which the page reads: networks, example images, and the runtimes' sizes in bytes."""
    sizes = {device: (runtimes / f"{device}.wasm.gz").stat().st_size for device in ("webgpu", "wasm")}
    content = {"models": models, "examples": examples, "sizes": sizes}
    stage.write(f"{FOLDER}/models.json", json.dumps(content, indent=1))


def cached_graph(name: str, sha256: str, cache: Path) -> bytes:
    """Return `bare_graph` of released weights, from `cache` if the same code made it."""
    parts = [sha256.encode(), torch.__version__.encode(), onnx.__version__.encode()]
    parts += [Path(file).read_bytes() for file in (__file__, export.__file__)]
    file = cache / f"{name}-{hashlib.sha256(b''.join(parts)).hexdigest()[:16]}.onnx"
    if not file.exists():
        print(f"exporting {name} for the browser", flush=True)
        cache.mkdir(parents=True, exist_ok=True)
        file.write_bytes(bare_graph(name))
    return file.read_bytes()


def bare_graph(name: str) -> bytes:
    """Return the ONNX graph of the weights `name`, whose large tensors are in the file "weights".

    That file has the released tensors as fp32, in the same order.  ExportError if onnxruntime does not agree
    with PyTorch, or if a large tensor of the graph is not in the released file.
    """
    model, notes = weights.load(name)
    network = export.BytesToLogits(model).eval()
    content = export.append_metadata(export.to_onnx(network, fold=False), export.public_metadata(notes))
    export.compare(network, content, [(96, 128)])
    graph = onnx.load_from_string(content)
    places = _places(weights.find(name))
    released = load_file(weights.find(name))  # under the names in the file, which may be older ones
    tensors = {value.float().numpy().tobytes(): key for key, value in released.items() if key in places}
    for tensor in graph.graph.initializer:
        raw = numpy_helper.to_array(tensor).tobytes()
        if tensor.data_type == TensorProto.FLOAT and len(raw) >= LARGE:
            if raw not in tensors:
                raise ExportError(f"{name}: the exported graph does not hold the released tensors as they are.")
            _point(tensor, STRETCH * places[tensors[raw]], len(raw))
    return graph.SerializeToString()


def _places(file: Path) -> dict[str, int]:
    """Return the offset of each fp16 tensor from the header of a safetensors file."""
    with open(file, "rb") as stream:
        header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
    return {key: entry["data_offsets"][0] for key, entry in header.items() if entry.get("dtype") == "F16"}


def _point(tensor: TensorProto, offset: int, length: int) -> None:
    tensor.ClearField("raw_data")
    tensor.ClearField("float_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "weights"), ("offset", offset), ("length", length)):
        tensor.external_data.append(onnx.StringStringEntryProto(key=key, value=str(value)))
