"""Diagrams of the networks, cached until the code changes."""

import hashlib
import io
from pathlib import Path

import torch

from course import figures
from seglib import models, visualize

SIZE = (256, 512)  # height and width of the input image


def diagram(name: str, cache: Path) -> bytes:
    """Return the network `name` for 19 classes as an SVG file."""
    sources = [*Path(models.__file__).parent.glob("*.py"), *Path(visualize.__file__).parent.glob("*.py")]
    sources += Path(figures.__file__).parent.glob("*.py")
    key = hashlib.sha256(b"".join(file.read_bytes() for file in sorted(sources))).hexdigest()[:16]
    file = cache / f"{name}-{key}.svg"
    if not file.exists():
        print(f"drawing {name}", flush=True)
        cache.mkdir(parents=True, exist_ok=True)
        file.write_bytes(draw(name))
    return file.read_bytes()


def draw(name: str) -> bytes:
    """Draw the network and return it as an SVG file."""
    with torch.device("meta"):  # shapes without values
        network = models.create(name, num_classes=19)
    figure = figures.architecture(network, SIZE, title=name)
    buffer = io.BytesIO()
    # Without a date the same network gives the same file.
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return buffer.getvalue()
