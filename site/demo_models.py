"""Write released networks for the browser: an ONNX graph without weights, and the weights in 8 bits.

The ONNX graph contains the offset of each tensor in the weights, which the demo first converts to fp32.  The files that
people download are the released ones, without this loss of precision.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import eight_bit
import graphs
from staging import Stage

from seglib import weights
from seglib.inference.predictor import MIN_SIDE

FOLDER = "_static/demo/models"

# Maximum bytes of the released files of the networks that the site includes; the site has at most 90 MB in total.
BUDGET = 80_000_000  # networks in the demo, where the weights take half of these bytes
DOWNLOADS = 14_000_000  # files to download; the others are in the repository
QUICK = 5_500_000  # maximum bytes of the 8-bit weights that the demo loads first, even on a phone


def chosen(budget: int = BUDGET) -> tuple[list[str], list[str]]:
    """Return the names of the weights whose released files fit into `budget` bytes together, and of the others.

    The smallest network of each data set is added first, so that every data set has a network. Other networks are then
    added from small to large. If the same network was released several times for a data set, only the weights with the
    highest mIoU are included.
    """
    order = weights.names()
    best = {_kind(name): name for name in sorted(order, key=lambda name: weights.card(name)["scores"]["miou"])}
    sizes = {name: weights.manifest()["weights"][name]["bytes"] for name in order}
    small = sorted(best.values(), key=sizes.get)
    knows = {name: weights.card(name)["data"]["name"] for name in order}
    firsts = [next(name for name in small if knows[name] == data) for data in dict.fromkeys(knows.values())]
    included, room = [], budget
    for name in dict.fromkeys([*firsts, *small]):
        if sizes[name] <= room:
            included.append(name)
            room -= sizes[name]
    return included, [name for name in order if name not in included]


def _kind(name: str) -> tuple[str, str, str]:
    card = weights.card(name)
    return card["model"]["name"], str(card["model"]["options"]), card["data"]["name"]


def entries(names: Sequence[str], stage: Stage, cache: Path) -> list[dict]:
    """Write the graph and the weights of each network to the stage, and return their descriptions for the page."""
    result = []
    for name in names:
        card, graph = weights.card(name), graphs.cached(name, cache)
        packed, notes = eight_bit.released(name), weights.read_tensors(weights.find(name))[1]
        stage.write(f"{FOLDER}/{name}.onnx", graph)
        stage.write(f"{FOLDER}/{name}.8bit.safetensors", packed)
        result.append(
            {
                "name": name,
                "data": card["data"]["name"],
                "parameters": card["model"]["parameters"],
                "miou": card["scores"]["miou"],
                "graph": f"{name}.onnx",
                "graph_bytes": len(graph),
                "weights": f"{name}.8bit.safetensors",
                "weights_bytes": len(packed),
                "classes": list(notes["classes"]),
                "palette": notes["palette"],
                "longest_side": notes["config"]["inference"]["longest_side"],
                "smallest_side": MIN_SIDE,
            }
        )
    # The demo starts with the first network for each data set, so small networks come first, sorted by mIoU.
    return sorted(result, key=lambda model: (model["weights_bytes"] > QUICK, -model["miou"]))


def describe(models: Sequence[dict], examples: Sequence[dict], runtimes: Path, stage: Stage) -> None:
    """Write `models.json` for the page, with networks, example images, and the sizes of the runtimes in bytes."""
    sizes = {device: (runtimes / f"{device}.wasm.gz").stat().st_size for device in ("webgpu", "wasm")}
    content = {"models": models, "examples": examples, "sizes": sizes}
    stage.write(f"{FOLDER}/models.json", json.dumps(content, indent=1))
