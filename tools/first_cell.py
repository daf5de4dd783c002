"""Write the setup cell into every notebook: `python -m tools first-cell`.

The cell is the same in all notebooks.  Without a checkout, the cell installs the package from the address in
`[tool.seglib] address` of pyproject.toml, which `python -m tools address URL` sets.
"""

import re
from pathlib import Path

from nbformat.v4 import new_code_cell, new_markdown_cell

from course import places, saved

TEXT = """\
**Setup.** Install the requirements once, in the folder of the course: `python -m pip install -r requirements.txt`. The
next cell installs the course itself if that is necessary. If a data set is missing, the notebook
downloads it into `data/`. If that fails, synthetic images take its place, and the output says so."""
CODE = """\
import importlib.util
import site
import subprocess
import sys
import sysconfig
from pathlib import Path

address = "{address}"
if importlib.util.find_spec("seglib") is None:
    folders = [Path.cwd(), *Path.cwd().parents]
    checkout = next((folder for folder in folders if (folder / "seglib" / "__init__.py").is_file()), None)
    if not checkout and not address:
        raise ModuleNotFoundError("seglib is not installed; open this notebook in the folder of the course")
    source = ["--no-deps", "--editable", str(checkout)] if checkout else [address]
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *source], check=True)
    for folder in (sysconfig.get_path("purelib"), site.getusersitepackages()):
        site.addsitedir(folder)  # makes the new package importable in this process
    importlib.invalidate_caches()"""


def address(root: Path = places.REPOSITORY) -> str:
    """Return the address of the repository from pyproject.toml, or "" if it is not set."""
    text = (root / "pyproject.toml").read_text(encoding="utf-8")
    return re.search(r'^\[tool\.seglib\]\naddress = "(.*)"$', text, re.MULTILINE).group(1)


def code(root: Path = places.REPOSITORY) -> str:
    """Return the source of the setup cell, which installs the package with the dependencies of the notebooks."""
    url = address(root)
    return CODE.replace("{address}", f"seglib[course] @ git+{url}" if url else "")


def write(root: Path = places.REPOSITORY) -> list[Path]:
    """Write the setup cell into all notebooks, with an explanation except in solutions. Return the changed files."""
    changed, folder = [], root / "notebooks"
    for path in places.find_notebooks(folder=folder) + places.find_notebooks(["solutions"], folder):
        notebook, before = places.read_notebook(path), path.read_bytes()
        cells = [cell for cell in notebook.cells if cell.id not in ("setup", "setup-text")]
        first = next(index for index, cell in enumerate(cells) if cell.cell_type == "code")
        new = [new_code_cell(code(root), id="setup")]
        if path.parent.name != "solutions":
            new.insert(0, new_markdown_cell(TEXT, id="setup-text"))
        notebook.cells = [*cells[:first], *new, *cells[first:]]
        if saved.encoded(notebook) != before:
            saved.write(notebook, path)
            changed.append(path)
    return changed
