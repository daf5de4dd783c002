"""Pages that are generated from the repository: the course, released weights, networks, the reference."""

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
NETWORKS = (ROOT / "docs" / "networks.md").read_text(encoding="utf-8")

# The modules that have a page each, and what they contain.
MODULES = {
    "seglib.models": "the networks, and loading of their authors' checkpoints",
    "seglib.losses": "loss functions and class weights",
    "seglib.metrics": "IoU, Boundary IoU and other scores, counted exactly",
    "seglib.data": "data sets",
    "seglib.data.transforms": "augmentation and normalisation",
    "seglib.inference": "from an image to its mask",
    "seglib.inference.export": "ONNX export",
    "seglib.evaluation": "scores of a predictor on a data set",
    "seglib.training": "the training loop",
    "seglib.training.optimizer": "optimizers and learning-rate schedules",
    "seglib.tuning": "hyperparameter search",
    "seglib.weights": "released weights",
    "seglib.visualize": "figures of data, predictions and training",
    "seglib.config": "every option of a run",
    "seglib.runs": "reading run folders",
    "course.costs": "parameters, MACs, memory, receptive field",
}


FIGURE = """```{{figure}} networks/{name}.svg
:class: diagram
:alt: the blocks of {name} and their connections

`{name}` for 19 classes, {count:,} parameters, at 256 x 512 pixels.
```"""


def course(folder: Path, stage: Stage) -> None:
    """Write the saved notebooks, their solutions, and the page that lists them with the README's descriptions."""
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
    # Solutions have the titles of the notebooks, so the list names them.
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
    text = "# Solutions\n\nTry the exercises first: each has a checker that names the likely mistake.\n"
    stage.put("solutions.md", "\n".join([text, "```{toctree}", ":maxdepth: 1", *rows, "```", ""]))


def _title(file: Path, about: dict) -> str:
    """ "02 U-Net": number and name as the README has them."""
    number, name = about.get(file.stem, (file.stem.replace("_", " "),))[0].split(" ", 1)
    return f"{number} {name[0].upper()}{name[1:]}"


def _among(file: Path, others: Sequence[Path]) -> bool:
    return file.name in [other.name for other in others]


def released(kept: Sequence[str], left: Sequence[str], stage: Stage) -> None:
    """Write the results table, and a page for each of the released weights: its card and a link to the file."""
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
    """Write the reading list, with the title of each paper from the bibliography."""
    entries = parse_file(str(stage.folder / "references.bib")).entries
    named = (stage.folder / "reading.md").read_text(encoding="utf-8")
    for key, entry in entries.items():
        title = re.sub(r"[{}]", "", entry.fields["title"])
        named = named.replace(f"{{cite}}`{key}`", f"*{title}* {{cite}}`{key}`")
    stage.put("reading.md", named)


def networks(stage: Stage, cache: Path) -> None:
    """Write the table of costs from docs/networks.md, and diagrams of the networks that the page names."""
    table = NETWORKS.split("<!-- models: ")[1].split("-->\n", 1)[1].split("<!-- end")[0]
    page = (stage.folder / "networks.md").read_text(encoding="utf-8").replace("<!-- costs -->", table)
    for name in re.findall(r"<!-- (\w+) -->", page):
        stage.put(f"networks/{name}.svg", diagram(name, cache))
        with torch.device("meta"):
            count = sum(p.numel() for p in models.create(name, num_classes=19).parameters())
        page = page.replace(f"<!-- {name} -->", FIGURE.format(name=name, count=count))
    stage.put("networks.md", page)


def api(stage: Stage) -> None:
    """Write one page for each module, and a list of them."""
    for name in MODULES:
        text = f"{name}\n{'=' * len(name)}\n\n.. automodule:: {name}\n   :members:\n"
        if (ROOT / name.replace(".", "/")).is_dir():
            text += "   :imported-members:\n"
        stage.put(f"api/{_page(name)}.rst", text)
    rows = "\n".join(f"[{name}](api/{_page(name)}.rst)\n: {words}\n" for name, words in MODULES.items())
    tree = "\n".join(["```{toctree}", ":hidden:", *(f"api/{_page(name)}" for name in MODULES), "```"])
    page = (stage.folder / "reference.md").read_text(encoding="utf-8")
    stage.put("reference.md", page.replace("<!-- modules -->", f"{rows}\n{tree}"))


def _page(module: str) -> str:
    """Return the name of a module's page."""
    return module.removeprefix("seglib.")
