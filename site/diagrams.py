"""Draw diagrams of the networks as SVG with selectable text, cached until the code changes.

Each block has a label with its output shape and its cost, and a link to its source code.
"""

import hashlib
import html
import inspect
import io
import re
from pathlib import Path

import matplotlib
import torch
from matplotlib.figure import Figure
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from course import figures
from course.figures.trace import Block, record
from seglib import models, visualize
from seglib.visualize.style import figure_style

SIZE = (256, 512)  # height and width of the input image


def diagram(name: str, cache: Path) -> bytes:
    """Return the diagram of the network `name` for 19 classes as an SVG element."""
    sources = [*Path(models.__file__).parent.glob("*.py"), *Path(visualize.__file__).parent.glob("*.py")]
    sources += [*Path(figures.__file__).parents[1].rglob("*.py"), Path(__file__)]
    key = hashlib.sha256(b"".join(file.read_bytes() for file in sorted(sources))).hexdigest()[:16]
    file = cache / f"{name}-{key}.svg"
    if not file.exists():
        print(f"drawing {name}", flush=True)
        cache.mkdir(parents=True, exist_ok=True)
        file.write_bytes(draw(name))
    return file.read_bytes()


def draw(name: str) -> bytes:
    """Draw a network and return an SVG element in which all ids start with `name`."""
    with torch.device("meta"):  # shapes without values
        network = models.create(name, num_classes=19)
    figure = figures.architecture(network, SIZE, title=name)
    buffer = io.BytesIO()
    # Without a date and with a fixed salt, the same network always gives the same file.
    with figure_style(), matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        Figure.savefig(figure, buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue().decode()
    text = re.sub(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", text)
    inputs, blocks = record(network, SIZE)
    counts = _macs(network)
    for place, block in enumerate([*inputs, *blocks]):
        text = _with_facts(text, f"{name}-block-{place}", block, network, counts)
    opening = f'<svg class="diagram" role="group" aria-label="The blocks of {name} and their connections"'
    return text.replace("<svg", opening, 1).encode()


def _with_facts(text: str, identifier: str, block: Block, network: nn.Module, counts: dict[str, int]) -> str:
    """Label the SVG group of a block with its shape and cost, and make it a link to the source, or focusable."""
    facts = [f"{block.name}: output {' x '.join(map(str, block.shape))}"]
    if block.parameters:
        facts.append(f"{block.parameters:,} weights")
    if block.kind == "block" and counts.get(block.name):
        facts.append(f"{counts[block.name] / 1e6:,.1f} million MACs")
    source = _source(network, block) if block.kind in ("block", "join") else None
    label = f'class="block" aria-label="{html.escape(", ".join(facts))}"'
    start = text.index(f'<g id="{identifier}">')
    end = text.index("</g>", start) + len("</g>")
    tag = f'a href="{source}"' if source else 'g tabindex="0" role="img"'
    return f"{text[:start]}<{tag} {label}>{text[start:end]}</{tag[0]}>{text[end:]}"


def _source(network: nn.Module, block: Block) -> str | None:
    """Return the URL of the source line of a block's class, or of the enclosing class for a PyTorch class."""
    name = block.name
    while True:
        kind = type(network.get_submodule(name))
        if kind.__module__.startswith("seglib.models."):
            line = inspect.getsourcelines(kind)[1]
            return f"_modules/{kind.__module__.replace('.', '/')}.html#line-{line}"
        if not name:
            return None
        name = name.rpartition(".")[0]


def _macs(network: nn.Module) -> dict[str, int]:
    """Return {module name: MACs for one image}."""
    with FlopCounterMode(display=False, depth=None) as counter, torch.no_grad():
        network.train()(torch.empty(2, 3, *SIZE, device="meta"))  # two images, as in `record`
    root = type(network).__name__
    counts = {path: sum(flops.values()) for path, flops in counter.get_flop_counts().items()}
    return {path.removeprefix(f"{root}."): flops // 4 for path, flops in counts.items()}  # 2 images, 2 FLOPs per MAC
