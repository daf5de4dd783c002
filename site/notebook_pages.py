"""Convert notebooks to pages of the site: add buttons and alternative texts of figures, and adapt links."""

import re
from pathlib import Path

import nbformat
from nbformat.v4 import new_markdown_cell

from course import places
from tools import address, first_cell

LEFT_OUT = ("badges", "setup-text", "setup")  # ids of the cells for running a notebook, which the site leaves out
HELPER_LINES = 30  # cells with more lines are collapsed


def notebook_page(file: Path) -> bytes:
    """Return the adapted notebook as a file for Sphinx."""
    notebook = nbformat.read(file, as_version=4)
    notebook.cells = [cell for cell in notebook.cells if cell.id not in LEFT_OUT]
    solution = file.parent.name == "solutions"
    notebook.cells.insert(1, new_markdown_cell(_buttons(file, solution), id="buttons"))
    heading = ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            heading = (re.findall(r"^#+\s+(.*)$", cell.source, re.MULTILINE) or [heading])[-1]
            cell.source = _with_links(cell.source)
        else:
            _describe(cell, heading)
            if len(cell.source.splitlines()) > HELPER_LINES:
                cell.metadata.setdefault("tags", []).append("hide-input")
    return (nbformat.writes(notebook) + "\n").encode()


def _buttons(file: Path, solution: bool) -> str:
    up = "../../" if solution else "../"
    name = f"solutions/{file.name}" if solution else file.name
    links = [f'<a class="button quiet" href="{up}_static/notebooks/{name}" download>Download .ipynb</a>']
    if not solution and first_cell.address().startswith("https://github.com/"):
        urls = re.findall(r"\]\((https://(?:colab|kaggle)[^)]*)\)", address.badges(file.stem))
        titles = ("Open in Colab", "Open in Kaggle")
        links += [f'<a class="button quiet" href="{url}">{title}</a>' for url, title in zip(urls, titles, strict=True)]
    return f'<p class="actions">{" ".join(links)}</p>'


def _with_links(source: str) -> str:
    """Adapt links to the pages of docs/, and remove links to files of the repository that are not on the site."""

    def link(match: re.Match) -> str:
        target = match[2].partition("#")[0]
        if re.match(r"https?:|#|mailto:", match[2]) or target.endswith(".ipynb"):
            return match[0]
        path = (places.REPOSITORY / "notebooks" / target).resolve()
        if path.parent == places.REPOSITORY / "docs" and path.suffix == ".md" and path.stem != "networks":
            return f"[{match[1]}](../guides/{path.name})"
        return match[1]

    return re.sub(r"(?<!!)\[([^\]]+)\]\(([^)\s]+)\)", link, source)


def _describe(cell, heading: str) -> None:
    """Set the alternative text of the figures of a cell; the default names the heading of the section."""
    for output in cell.get("outputs", []):
        for kind in ("image/png", "image/jpeg"):
            if kind in output.get("data", {}):
                text = (
                    output.metadata.get(kind, {}).get("alt") or f"Figure of the section \u201c{_plain(heading)}\u201d"
                )
                cell.metadata.setdefault("mystnb", {})["image"] = {"alt": text}


def _plain(heading: str) -> str:
    return re.sub(r"[`*$\\]", "", heading)
