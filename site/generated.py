"""Generate pages from the repository: the course, released weights, guides, networks, the API reference."""

import re
from collections.abc import Sequence
from pathlib import Path

import notebook_pages
import numpy as np
import torch
from diagrams import diagram
from examples import jpeg
from PIL import Image
from pybtex.database import parse_file
from staging import Stage

from seglib import models, weights
from tools import first_cell, model_cards

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
NETWORKS = (ROOT / "docs" / "networks.md").read_text(encoding="utf-8")

# The modules of the API reference, and what they contain.
MODULES = {
    "seglib.models": "the networks, and loading of their authors' checkpoints",
    "seglib.losses": "loss functions and class weights",
    "seglib.metrics": "IoU, Boundary IoU and other scores, counted exactly",
    "seglib.data": "data sets",
    "seglib.data.transforms": "augmentation and normalization",
    "seglib.inference": "from an image to its mask",
    "seglib.inference.export": "ONNX export",
    "seglib.evaluation": "scores of a predictor on a data set",
    "seglib.training": "the training loop",
    "seglib.training.optimizer": "optimizers and learning-rate schedules",
    "course.datasets.validation": "listing, download and check of data sets",
    "course.importers": "annotations of other tools",
    "course.tuning": "hyperparameter search",
    "seglib.weights": "released weights",
    "seglib.visualize": "figures of data, predictions and training",
    "seglib.config": "every option of a run",
    "course.runs": "reading run folders",
    "course.costs": "parameters, MACs, memory, receptive field",
}


FIGURE = """```{{raw}} html
<figure class="network" id="diagram-{name}">
<div class="sheet" tabindex="0" role="region" aria-label="Diagram of {name}">{svg}</div>
<p class="tools"><button type="button" data-zoom="1" aria-label="Zoom in on {name}">+</button>
<button type="button" data-zoom="-1" aria-label="Zoom out of {name}">\u2212</button>
<button type="button" data-zoom="0" aria-label="Show all of {name}">All</button>
<span class="facts" role="status">Point to a block: its output, weights, MACs and source are shown here.</span></p>
<figcaption><code>{name}</code> for 19 classes, {count:,} parameters, at 256 x 512 pixels.</figcaption>
</figure>
```"""


def course(folder: Path, stage: Stage) -> None:
    """Write the notebooks, their solutions, and a list of notebooks with the descriptions from the README."""
    rows = re.findall(r"^\| \[(\d\d [^\]]+)\]\(notebooks/(\w+)\.ipynb\) \| (.+) \|$", README, re.MULTILINE)
    about = {stem: (title, words) for title, stem, words in rows}
    notebooks = sorted(folder.glob("*.ipynb"))
    solutions = sorted((folder / "solutions").glob("*.ipynb"))
    for file in [*notebooks, *solutions]:
        name = file.relative_to(folder).as_posix()
        stage.write(f"course/{name}", notebook_pages.notebook_page(file))
        stage.write(f"_static/notebooks/{name}", file.read_bytes())
    lines = (stage.folder / "course.md").read_text(encoding="utf-8")
    items = []
    for file in notebooks:
        title, words = about.get(file.stem, (file.stem.replace("_", " "), ""))
        solved = f'<a href="course/solutions/{file.stem}.html">solutions</a>' if _among(file, solutions) else ""
        minutes = _minutes(file)
        items.append(
            f'<li><a href="course/{file.stem}.html"><b>{title[:2]}</b><strong>{title[3:]}</strong>'
            f"<span>{words}{minutes}</span></a>{solved}</li>"
        )
    # Solutions have the same titles as the notebooks, so the list of contents sets the titles.
    tree = [
        "```{toctree}",
        ":hidden:",
        *(f"{_title(file, about)} <course/{file.stem}>" for file in notebooks),
        "solutions",
        "```",
    ]
    listed = "\n".join(["```{raw} html", '<ol class="chapters">', *items, "</ol>", "```", "", *tree])
    stage.write("course.md", lines.replace("<!-- notebooks -->", listed))
    rows = [f"{_title(f, about)} <course/solutions/{f.stem}>" for f in solutions]
    text = "# Solutions\n\nTry the exercises first: each has a checker that names the likely mistake.\n"
    stage.write("solutions.md", "\n".join([text, "```{toctree}", ":maxdepth: 1", *rows, "```", ""]))


def _minutes(file: Path) -> str:
    """Return the run time that the notebook states, such as "; about 2 minutes to run", or ""."""
    match = re.search(r"(\d+|one|two|three|four|five) minutes?", file.read_text(encoding="utf-8"))
    return f"; about {match[0]} to run" if match else ""


def _title(file: Path, about: dict) -> str:
    """Return number and name of a notebook from the README, such as "02 U-Net"."""
    number, name = about.get(file.stem, (file.stem.replace("_", " "),))[0].split(" ", 1)
    return f"{number} {name[0].upper()}{name[1:]}"


def _among(file: Path, others: Sequence[Path]) -> bool:
    return file.name in [other.name for other in others]


def released(included: Sequence[str], excluded: Sequence[str], downloads: Sequence[str], stage: Stage) -> None:
    """Write the results table, and for all released weights a page with the model card and a link to the file.

    The site has a copy of the files of `downloads`.  The others are linked where the manifest gives their address.
    """
    address = weights.manifest()["address"].rstrip("/")
    for name in [*included, *excluded]:
        card = weights.card(name)
        file, size = card["file"], f"{card['bytes'] / 1e6:.1f} MB"
        with Image.open(weights.FOLDER / f"{name}.png") as figure:
            stage.write(f"weights/{name}.jpg", jpeg(np.asarray(figure.convert("RGB")), 85))
        if name in downloads:
            stage.write(f"_static/weights/{file}", weights.find(name).read_bytes())
        place = f"../_static/weights/{file}" if name in downloads else f"{address}/{file}" if address else ""
        links = [f'<a class="button" href="{place}" download>Download {file}</a> {size}'] if place else []
        if name in included:
            links.append(f'<a class="button quiet" href="../demo.html?model={name}">Try it in the browser</a>')
        if not place:
            links.append(f"The file is <code>weights/{file}</code> in the repository, {size}.")
        text = model_cards.text(card).replace(f"]({name}.png)", f"]({name}.jpg)").replace("](../docs/", "](../guides/")
        title, body = text.split("\n", 1)
        link = f'<p class="actions">{" ".join(links)}</p>'
        stage.write(f"weights/{name}.md", f"{title}\n\n```{{raw}} html\n{link}\n```\n{body}")
    page = (stage.folder / "results.md").read_text(encoding="utf-8")
    tree = ["```{toctree}", ":hidden:", *(f"weights/{name}" for name in [*included, *excluded]), "```"]
    table = model_cards.table().replace("(weights/", "(./weights/")
    stage.write("results.md", page.replace("<!-- results -->", table) + "\n".join(["", *tree, ""]))


# The pages of docs/ in the order of the list, except networks.md, which has a separate page.
GUIDES = {
    "data_formats": "Train on your own data: layouts, annotation formats, images",
    "training": "Configurations, resuming, fine-tuning, several GPUs",
    "prediction": "Use it from Python and from the command line",
    "onnx": "Use the ONNX file without this package",
    "troubleshooting": "Black masks, out of memory, NaN, no GPU",
    "glossary": "The standard terms in one place",
    "teaching": "For teachers",
    "benchmarks": "Speed and memory beside other libraries",
    "reliability": "What happens when something breaks",
    "security": "What is opened, written, downloaded and trusted",
    "licences": "Licences of data and weights, and images of people",
}


def guides(stage: Stage) -> None:
    """Write the pages of docs/ and a list of these pages."""
    rows = []
    for name, about in GUIDES.items():
        text = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
        rows.append(f"[{text.split(chr(10), 1)[0].removeprefix('# ')}](guides/{name}.md)\n: {about}\n")
        stage.write(f"guides/{name}.md", _for_site(text))
    tree = ["```{toctree}", ":hidden:", *(f"guides/{name}" for name in GUIDES), "```"]
    page = (stage.folder / "guides.md").read_text(encoding="utf-8")
    stage.write("guides.md", page.replace("<!-- guides -->", "\n".join([*rows, *tree])))


def _for_site(text: str) -> str:
    """Change the links of a page of docs/ to pages of the site or to files of the repository.

    Links to the repository are removed if its address is not known.
    """

    def link(match: re.Match) -> str:
        words, target = match.groups()
        path = (ROOT / "docs" / target.partition("#")[0]).resolve()
        if target.startswith(("http", "#")) or (path.parent == ROOT / "docs" and path.stem in GUIDES):
            return match[0]
        if not path.is_relative_to(ROOT):
            return words
        place = path.relative_to(ROOT)
        if place.parts[0] == "notebooks":
            return f"[{words}](../course/{'/'.join(place.parts[1:])})"
        if place.parts[0] == "weights" and place.suffix == ".md":
            return f"[{words}](../{place.as_posix()})"
        url = first_cell.address()
        return f"[{words}]({url}/blob/HEAD/{place.as_posix()})" if url.startswith("https://") else words

    return re.sub(r"(?<!!)\[([^\]]+)\]\(([^)\s]+)\)", link, text)


def reading(stage: Stage) -> None:
    """Write the reading list with the titles of the papers from the bibliography."""
    entries = parse_file(str(stage.folder / "references.bib")).entries
    named = (stage.folder / "reading.md").read_text(encoding="utf-8")
    for key, entry in entries.items():
        title = re.sub(r"[{}]", "", entry.fields["title"])
        named = named.replace(f"{{cite}}`{key}`", f"*{title}* {{cite}}`{key}`")
    stage.write("reading.md", named)


def networks(stage: Stage, cache: Path) -> None:
    """Write the page of the networks, with the table of costs from docs/networks.md and diagrams of the networks."""
    table = NETWORKS.split("<!-- models: ")[1].split("-->\n", 1)[1].split("<!-- end")[0]
    page = (stage.folder / "networks.md").read_text(encoding="utf-8").replace("<!-- costs -->", table)
    for name in re.findall(r"<!-- (\w+) -->", page):
        svg = "\n".join(line for line in diagram(name, cache).decode().splitlines() if line.strip())
        with torch.device("meta"):
            count = sum(p.numel() for p in models.create(name, num_classes=19).parameters())
        page = page.replace(f"<!-- {name} -->", FIGURE.format(name=name, svg=svg, count=count))
    stage.write("networks.md", page)


def api(stage: Stage) -> None:
    """Write a page for each module in MODULES, and a list of these pages."""
    for name in MODULES:
        text = f"{name}\n{'=' * len(name)}\n\n.. automodule:: {name}\n   :members:\n"
        if (ROOT / name.replace(".", "/")).is_dir():
            text += "   :imported-members:\n"
        stage.write(f"api/{_page(name)}.rst", text)
    rows = "\n".join(f"[{name}](api/{_page(name)}.rst)\n: {words}\n" for name, words in MODULES.items())
    tree = "\n".join(["```{toctree}", ":hidden:", *(f"api/{_page(name)}" for name in MODULES), "```"])
    page = (stage.folder / "reference.md").read_text(encoding="utf-8")
    stage.write("reference.md", page.replace("<!-- modules -->", f"{rows}\n{tree}"))


def _page(module: str) -> str:
    """Return the page name of a module."""
    return module.removeprefix("seglib.")
