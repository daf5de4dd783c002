"""Export a small network for the browser as an ONNX graph that also returns the feature maps of its stages."""

import json
from collections.abc import Sequence
from pathlib import Path

import graphs
import onnx
from demo_models import FOLDER
from staging import Stage

NAME = "u2netp-horses"
IMAGE = "creatures-7.jpg"  # one of the examples of the demo
STAGES = {f"encoder.{i}": f"Encoder stage {i + 1}" for i in range(6)}
STAGES |= {f"decoder.{i}": f"Decoder stage {i + 1}" for i in reversed(range(5))}


def write(models: Sequence[dict], runtimes: Path, stage: Stage, cache: Path) -> None:
    """Write the graph, and `features.json` with the network, its stages in output order, and the file sizes."""
    graph = graphs.cached(NAME, cache, list(STAGES))
    stage.write(f"{FOLDER}/features.onnx", graph)
    outputs = [output.name for output in onnx.load_from_string(graph).graph.output][1:]  # the first has the logits
    (model,) = (model for model in models if model["name"] == NAME)
    content = {
        "model": model | {"graph": "features.onnx", "graph_bytes": len(graph)},
        "stages": [
            {"module": module, "title": title, "output": output}
            for (module, title), output in zip(STAGES.items(), outputs, strict=True)
        ],
        "sizes": {"wasm": (runtimes / "wasm.wasm.gz").stat().st_size},
        "image": IMAGE,
    }
    stage.write(f"{FOLDER}/features.json", json.dumps(content, indent=1))
