"""Run the projects of the notebooks with three seeds, and print their reference results.

`python -m tools project 02_unet --root data` runs tools/projects/02_unet.py. A line `# cells: ...` in the file executes
the cells of the notebook with these ids, so that the code after it can use the reader's functions and classes. The file
ends with a call of `table`. Its line `# profile: ...` names the profile of the lesson.
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from course.places import REPOSITORY
from seglib.errors import SeglibError

FOLDER = Path(__file__).parent
SEEDS = (0, 1, 2)


class ProjectError(SeglibError):
    """Raised if there is no such project."""


def names() -> list[str]:
    return sorted(file.stem for file in FOLDER.glob("[0-9]*.py"))


def run(name: str, root: Path, notebooks: Path = REPOSITORY / "notebooks") -> None:
    """Execute the project and the cells of the notebook that it names.

    Args:
        name: Name of the notebook, such as "02_unet".
        root: Folder of the data sets.
        notebooks: Folder of the notebooks.

    Raises:
        ProjectError: If the notebook has no project here, or lacks one of the cells.
    """
    if name not in names():
        raise ProjectError(f"{name}: no such project; choose from: {', '.join(names())}.")
    import matplotlib

    matplotlib.use("Agg")
    file = FOLDER / f"{name}.py"
    source = file.read_text(encoding="utf-8")
    profile = re.findall(r"^# profile: (\w+)$", source, re.MULTILINE)[0]
    first, *rest = re.split(r"^# cells: (.*)$", source, flags=re.MULTILINE)
    notebook = json.loads((notebooks / f"{name}.ipynb").read_text(encoding="utf-8"))
    cells = {cell["id"]: "".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"}
    if missing := [cell for line in rest[::2] for cell in line.split() if cell not in cells]:
        raise ProjectError(f"{name}: the notebook has no cell {', '.join(missing)}; correct {file}.")
    os.environ |= {"SEGLIB_PROFILE": profile, "SEGLIB_DATA": str(root)}
    variables = {"__name__": name, "table": table, "SEEDS": SEEDS}
    parts = [(file.name, first)]
    for line, code in zip(rest[::2], rest[1::2], strict=True):
        parts += [(f"cell {cell} of {name}", cells[cell]) for cell in line.split()] + [(file.name, code)]
    for place, code in parts:
        exec(compile(code, place, "exec"), variables)


def table(rows: Mapping[str, Sequence[Mapping[str, float]]]) -> None:
    """Print a Markdown table: for each row and column, the mean and standard deviation over the runs."""
    columns = list(next(iter(rows.values()))[0])
    print("\n| | " + " | ".join(columns) + " |\n|" + "---|" * (len(columns) + 1))
    for title, runs in rows.items():
        values = ([run[column] for run in runs] for column in columns)
        print(f"| {title} | " + " | ".join(f"{np.mean(v):.3f} ± {np.std(v, ddof=1):.3f}" for v in values) + " |")
