"""Released weights for the browser: the graph of each network without its weights, and the released file beside it.

The demo reads the released .safetensors file itself: it converts the fp16 numbers to fp32, and the ONNX graph has the
offset of each of its tensors.  So the site has every weight once, for the demo and for download.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import graphs
from staging import Stage

from seglib import weights
from seglib.inference.predictor import MIN_SIDE

FOLDER = "_static/demo/models"

BUDGET = 50_000_000  # bytes of weights in the site, of at most 90 MB in all
QUICK = 9_000_000  # bytes of a network that a visitor loads first, also on a phone


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
    """Write graph and weights of all `names` to the stage; return what the page must know about each."""
    result = []
    for name in names:
        file, card = weights.find(name), weights.card(name)
        graph = graphs.cached(name, cache)
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
