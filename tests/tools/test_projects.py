"""The projects of the notebooks: they find the reader's cells, and print means and deviations."""

import json
import re
import subprocess
import sys

import pytest

from course.places import REPOSITORY
from tools import projects


@pytest.mark.parametrize("name", projects.names())
def test_every_project_names_cells_of_its_notebook(name):
    notebook = json.loads((REPOSITORY / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8"))
    ids = {cell["id"] for cell in notebook["cells"] if cell["cell_type"] == "code"}
    source = (projects.FOLDER / f"{name}.py").read_text(encoding="utf-8")
    wanted = [cell for line in re.findall(r"^# cells: (.*)$", source, re.MULTILINE) for cell in line.split()]
    assert wanted[0] == "start" and set(wanted) <= ids
    assert source.rstrip().endswith(")") and "table(" in source and "SEEDS" in source
    assert re.findall(r"^# profile: (\w+)$", source, re.MULTILINE)[0] in ("quick", "full")
    code = {cell["id"]: "".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"}
    first, *rest = re.split(r"^# cells: (.*)$", source.split("\n", 1)[1], flags=re.MULTILINE)
    parts = ["SEEDS, table = (), print", first]
    for line, own in zip(rest[::2], rest[1::2], strict=True):
        parts += [*(code[cell] for cell in line.split()), own]
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F821", "-"]
    done = subprocess.run(command, input="\n".join(parts), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout  # every name is defined


def test_a_project_runs_after_the_cells_that_it_names(tmp_path, monkeypatch, capsys):
    cells = [
        {"cell_type": "code", "id": "start", "source": ["import os\n", "def score(seed): return factor * seed"]},
        {"cell_type": "code", "id": "unused", "source": ["raise RuntimeError"]},
        {"cell_type": "markdown", "id": "text", "source": ["text"]},
        {"cell_type": "code", "id": "late", "source": ["print(os.environ['SEGLIB_PROFILE'], score(2))"]},
    ]
    (tmp_path / "01_test.ipynb").write_text(json.dumps({"cells": cells}))
    project = "# profile: full\nfactor = 2\n# cells: start\nfactor += 1\n# cells: late\n"
    project += 'table({"one": [{"a": score(s), "b": 0.5} for s in SEEDS], "two": [{"a": s, "b": s} for s in SEEDS]})\n'
    (tmp_path / "01_test.py").write_text(project)
    monkeypatch.setattr(projects, "FOLDER", tmp_path)
    monkeypatch.setenv("SEGLIB_PROFILE", "quick")
    monkeypatch.setenv("SEGLIB_DATA", "")
    projects.run("01_test", tmp_path, tmp_path)
    lines = capsys.readouterr().out.split("\n")
    assert lines[0] == "full 6"
    assert lines[2:6] == [
        "| | a | b |",
        "|---|---|---|",
        "| one | 3.000 ± 3.000 | 0.500 ± 0.000 |",
        "| two | 1.000 ± 1.000 | 1.000 ± 1.000 |",
    ]
    (tmp_path / "01_test.py").write_text(project.replace("late", "text"))
    with pytest.raises(projects.ProjectError, match="has no cell text"):
        projects.run("01_test", tmp_path, tmp_path)
    with pytest.raises(projects.ProjectError, match="99_none: no such project; choose from: 01_test"):
        projects.run("99_none", tmp_path, tmp_path)
