"""The committed notebooks: fit to be read as they are, and run top to bottom in the quick profile without any data."""

import io

import nbformat
import pytest

from course import checker, places, runner
from seglib import data

FOLDER = places.REPOSITORY / "notebooks"
NOTEBOOKS = sorted([*FOLDER.glob("*.ipynb"), *FOLDER.glob("solutions/*.ipynb")])
NAMES = [places.notebook_name(path) for path in NOTEBOOKS]


def test_there_are_notebooks():
    numbers = {name[:2] for name in NAMES if "/" not in name}
    assert {"01", "02", "03", "04", "05", "06", "07", "08", "09", "10"} <= numbers


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_saved_outputs_are_sound_and_fresh(path):
    faults = [str(finding) for finding in checker.check_notebook(path) if finding.fault]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_it_runs_without_data(path, tmp_path):
    progress = io.StringIO()
    no_data = tmp_path / "data"
    result = runner.run_notebook(path, "quick", no_data, tmp_path / "out", save=False, stream=progress)
    assert {used.split(" for ")[0] for used in result.data} <= set(data.generated_sets())
    checked = list(_exercise_outputs(result.copy))
    if path.parent.name == "solutions":
        assert checked and all(text.rstrip().endswith(": right") for text in checked), checked
    else:
        assert all("not attempted yet" in text for text in checked), checked


def _exercise_outputs(copy):
    """What the cells that check an exercise printed, line by line."""
    for cell in nbformat.read(copy, as_version=4).cells:
        if cell.cell_type == "code" and "check_exercise(" in cell.source:
            text = "".join(output.get("text", "") for output in cell.outputs if output.get("name") == "stdout")
            yield from (line for line in text.splitlines() if line[:2].isdigit() and "/" in line.split(":")[0])
