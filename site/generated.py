"""Pages that are made from what the repository holds: the course, released weights, networks, the reference."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from diagrams import diagram
from examples import jpeg
from PIL import Image
from pybtex.database import parse_file
from staging import Stage

from seglib import models, weights
from tools import model_cards

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")

# The rooms of the package that have a page each, and what one finds there.
ROOMS = {
    "models": "the networks, and reading their authors' checkpoints",
    "losses": "what training makes small",
    "metrics": "IoU, Boundary IoU and the rest, counted exactly",
    "data": "data sets, real and drawn",
    "augment": "from a photograph to what a network sees",
    "predict": "from a photograph to its label map",
    "evaluate": "a predictor measured on a data set",
    "train": "the loop",
    "tune": "the search for better options",
    "weights": "released weights, found and opened",
    "export": "trained weights as an ONNX file",
    "visualize": "figures of data, predictions and networks",
    "config": "every option of a run",
    "costs": "parameters, multiply-adds, memory, what a network sees",
    "optimize": "optimisers and schedules",
    "runs": "what lies in a run's folder",
}


FIGURE = """```{{figure}} networks/{name}.svg
:class: diagram
:alt: the blocks of {name}, and which of them takes whose result

`{name}` for 19 classes, {count:,} parameters, at 256 x 512 pixels.
```"""


def course(folder: Path, stage: Stage) -> None:
    """The notebooks as saved, their solutions, and the page that lists them, in the README's words."""
    rows = re.findall(r"^\| \[(\d\d [^\]]+)\]\(notebooks/(\w+)\.ipynb\) \| (.+) \|$", README, re.MULTILINE)
    about = {stem: (title, words) for title, stem, words in rows}
    notebooks = sorted(folder.glob("*.ipynb"))
    solutions = sorted((folder / "solutions").glob("*.ipynb"))
    for file in [*notebooks, *solutions]:
        stage.put(f"course/{file.relative_to(folder).as_posix()}", file.read_bytes())
    lines = (stage.folder / "course.md").read_text(encoding="utf-8")
    items = []
    for file in notebooks:
        title, words = about.get(file.stem, (file.stem.replace("_", " "), ""))
        solved = f'<a href="course/solutions/{file.stem}.html">solutions</a>' if _among(file, solutions) else ""
        items.append(
            f'<li><a href="course/{file.stem}.html"><b>{title[:2]}</b><strong>{title[3:]}</strong>'
            f"<span>{words}</span></a>{solved}</li>"
        )
    # The titles of solutions are those of the notebooks; the list tells them apart.
    tree = [
        "```{toctree}",
        ":hidden:",
        *(f"{_title(file, about)} <course/{file.stem}>" for file in notebooks),
        "solutions",
        "```",
    ]
    listed = "\n".join(["```{raw} html", '<ol class="chapters">', *items, "</ol>", "```", "", *tree])
    stage.put("course.md", lines.replace("<!-- notebooks -->", listed))
    rows = [f"{_title(f, about)} <course/solutions/{f.stem}>" for f in solutions]
    text = "# Solutions\n\nTry first: each exercise has a checker that says what is likely wrong.\n"
    stage.put("solutions.md", "\n".join([text, "```{toctree}", ":maxdepth: 1", *rows, "```", ""]))


def _title(file: Path, about: dict) -> str:
    """ "02 U-Net": number and name as the README has them."""
    number, name = about.get(file.stem, (file.stem.replace("_", " "),))[0].split(" ", 1)
    return f"{number} {name[0].upper()}{name[1:]}"


def _among(file: Path, others: Sequence[Path]) -> bool:
    return file.name in [other.name for other in others]


def released(kept: Sequence[str], left: Sequence[str], stage: Stage) -> None:
    """The results table, and a page for each of the released weights: its card and where to get the file."""
    for name in [*kept, *left]:
        card = weights.card(name)
        with Image.open(weights.FOLDER / f"{name}.png") as figure:
            stage.put(f"weights/{name}.jpg", jpeg(np.asarray(figure.convert("RGB")), 85))
        here = f"../_static/demo/models/{card['file']}"
        link = (
            f'<p class="actions"><a class="button" href="{here}" download>Download {card["file"]}</a> '
            f'<a class="button quiet" href="../demo.html?model={name}">Try it in the browser</a></p>'
            if name in kept
            else f"<p>The file is too large for this site; it is <code>weights/{card['file']}</code> in the "
            "repository.</p>"
        )
        title, body = model_cards.text(card).replace(f"]({name}.png)", f"]({name}.jpg)").split("\n", 1)
        stage.put(f"weights/{name}.md", f"{title}\n\n```{{raw}} html\n{link}\n```\n{body}")
    page = (stage.folder / "results.md").read_text(encoding="utf-8")
    tree = ["```{toctree}", ":hidden:", *(f"weights/{name}" for name in [*kept, *left]), "```"]
    table = model_cards.table().replace("(weights/", "(./weights/")
    stage.put("results.md", page.replace("<!-- results -->", "\n".join([table, "", *tree])))


def reading(stage: Stage) -> None:
    """The reading list, each paper with its title, which the bibliography has."""
    entries = parse_file(str(stage.folder / "references.bib")).entries
    named = (stage.folder / "reading.md").read_text(encoding="utf-8")
    for key, entry in entries.items():
        title = re.sub(r"[{}]", "", entry.fields["title"])
        named = named.replace(f"{{cite}}`{key}`", f"*{title}* {{cite}}`{key}`")
    stage.put("reading.md", named)


def networks(stage: Stage, cache: Path) -> None:
    """What every network costs, as the README counts it, and those that the page names drawn from the live module."""
    table = README.split("<!-- models: ")[1].split("-->\n", 1)[1].split("<!-- end")[0]
    page = (stage.folder / "networks.md").read_text(encoding="utf-8").replace("<!-- costs -->", table)
    for name in re.findall(r"<!-- (\w+) -->", page):
        stage.put(f"networks/{name}.svg", diagram(name, cache))
        with torch.device("meta"):
            count = sum(p.numel() for p in models.create(name, num_classes=19).parameters())
        page = page.replace(f"<!-- {name} -->", FIGURE.format(name=name, count=count))
    stage.put("networks.md", page)


def api(stage: Stage) -> None:
    """One page for each room of the package, and a list of them."""
    for room in ROOMS:
        title = f"seglib.{room}"
        text = f"{title}\n{'=' * len(title)}\n\n.. automodule:: {title}\n   :members:\n"
        if (ROOT / "seglib" / room).is_dir():
            text += "   :imported-members:\n"
        stage.put(f"api/{room}.rst", text)
    rows = "\n".join(f"[seglib.{room}](api/{room}.rst)\n: {words}\n" for room, words in ROOMS.items())
    tree = "\n".join(["```{toctree}", ":hidden:", *(f"api/{room}" for room in ROOMS), "```"])
    page = (stage.folder / "reference.md").read_text(encoding="utf-8")
    stage.put("reference.md", page.replace("<!-- rooms -->", f"{rows}\n{tree}"))
