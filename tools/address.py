"""Write the public address of the repository into all files that need it: `python -m tools address URL`.

The address is stored in `[tool.seglib] address` of pyproject.toml, and copied from there to all other files.
"""

import json
import re
from pathlib import Path

from nbformat.v4 import new_markdown_cell

from course import places, saved
from seglib.errors import SeglibError
from seglib.files import write_text

from . import first_cell

PLACEHOLDER = "ADDRESS_OF_THIS_REPOSITORY"
BADGES = re.compile(r"<!-- badges -->.*?<!-- end of badges -->", re.DOTALL)
GITHUB = re.compile(r"https://github\.com/[\w.-]+/[\w.-]+")
COLAB = "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({})"
KAGGLE = "[![Open in Kaggle](https://kaggle.com/static/images/open-in-kaggle.svg)]({})"


class AddressError(SeglibError, ValueError):
    """Raised if an address cannot be used. The message gives the reason."""


def set_address(url: str, root: Path = places.REPOSITORY) -> list[str]:
    """Write the address into pyproject.toml, README.md, the manifest of the weights, and the notebooks.

    Args:
        url: Address of the git repository, such as https://github.com/OWNER/NAME.
        root: Folder of the checkout.

    Returns:
        One line for each changed file, and for each file that was not changed, with the reason.

    Raises:
        AddressError: If `url` is not an address of a git repository.
    """
    url = url.rstrip("/").removesuffix(".git")
    if not re.match(r"(https?|ssh|file)://\S+$", url):
        raise AddressError(f"'{url}' is not the address of a repository; give one like https://github.com/OWNER/NAME.")
    pyproject, readme, manifest = root / "pyproject.toml", root / "README.md", root / "weights" / "manifest.json"
    text = pyproject.read_text(encoding="utf-8")
    old = first_cell.address(root)
    write_text(pyproject, text.replace(f'[tool.seglib]\naddress = "{old}"', f'[tool.seglib]\naddress = "{url}"'))
    on_github = GITHUB.fullmatch(url)

    content = readme.read_text(encoding="utf-8")
    content = content.replace(f"git clone {old or PLACEHOLDER} ", f"git clone {url} ")
    write_text(
        readme, BADGES.sub(f"<!-- badges -->\n{badges('01_data_preparation', root)}\n<!-- end of badges -->", content)
    )

    listed = json.loads(manifest.read_text(encoding="utf-8"))
    listed["address"] = f"{url}/raw/HEAD/weights" if on_github else ""
    write_text(manifest, json.dumps(listed, indent=2) + "\n")

    changed = {*first_cell.write(root), *write_badges(root)}
    lines = [f"pyproject.toml, README.md: {url}", f"notebooks: {len(changed)} changed"]
    if on_github:
        return [*lines, f"weights/manifest.json: {listed['address']}"]
    return [
        *lines,
        "weights/manifest.json: unset, as only the download address of a GitHub repository is known; "
        "users set SEGLIB_WEIGHTS_URL",
        "badges: unset, as Colab and Kaggle open notebooks from GitHub only",
    ]


def badges(notebook: str, root: Path = places.REPOSITORY) -> str:
    """Return the Markdown for a notebook's Colab and Kaggle badges, or "" if the repository is not on GitHub."""
    url = first_cell.address(root)
    if not GITHUB.fullmatch(url):
        return ""
    file = f"{url.removeprefix('https://')}/blob/HEAD/notebooks/{notebook}.ipynb"
    colab = f"https://colab.research.google.com/{file.replace('github.com', 'github', 1)}"
    return " ".join((COLAB.format(colab), KAGGLE.format(f"https://kaggle.com/kernels/welcome?src=https://{file}")))


def write_badges(root: Path = places.REPOSITORY) -> list[Path]:
    """Write the cell with the badges below the title of every notebook, and return the changed files."""
    changed = []
    for path in places.find_notebooks(folder=root / "notebooks"):
        notebook, before = places.read_notebook(path), path.read_bytes()
        cells = [cell for cell in notebook.cells if cell.id != "badges"]
        markdown = badges(path.stem, root)
        notebook.cells = [cells[0], *([new_markdown_cell(markdown, id="badges")] if markdown else []), *cells[1:]]
        if saved.encoded(notebook) != before:
            saved.write(notebook, path)
            changed.append(path)
    return changed
