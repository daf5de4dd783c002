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


# Here only whether a notebook runs matters, so it trains for fewer steps on fewer synthetic images.
SMALLER = {
    "02_unet": {"epochs = lesson.budget(quick=8": "epochs = lesson.budget(quick=2"},
    "03_u2net": {"quick=160": "quick=16", "steps = lesson.budget(quick=12": "steps = lesson.budget(quick=4"},
    "04_hrnet": {"quick=160": "quick=16"},
    "05_mini_hrnet": {"quick=46": "quick=6", "quick=12": "quick=4"},
    "06_dilated_resnet": {"quick=40": "quick=5", "quick=25": "quick=5"},
    "07_human_segmentation": {
        "epochs=lesson.budget(quick=6": "epochs=lesson.budget(quick=2",
        "eval_interval=lesson.budget(quick=3": "eval_interval=lesson.budget(quick=1",
        "quick=60": "quick=20",
    },
    "08_transfer_learning": {
        "epochs = lesson.budget(quick=6": "epochs = lesson.budget(quick=1",
        '"epochs": lesson.budget(quick=6': '"epochs": lesson.budget(quick=1',
        '"eval_interval": lesson.budget(quick=3': '"eval_interval": lesson.budget(quick=1',
        "without_masks = lesson.budget(quick=8": "without_masks = lesson.budget(quick=4",
        "steps = lesson.budget(quick=16": "steps = lesson.budget(quick=2",
        "trials = lesson.budget(quick=3": "trials = lesson.budget(quick=2",
    },
    "09_evaluation": {"quick=80": "quick=20"},
    "10_your_own_data": {
        "range(41)": "range(21)",
        "images_to_test = lesson.budget(quick=8": "images_to_test = lesson.budget(quick=3",
        "epochs = lesson.budget(quick=8": "epochs = lesson.budget(quick=4",
    },
}


def smaller(path, folder):
    """Write the notebook with the budgets of SMALLER into `folder` and return its path."""
    notebook = nbformat.read(path, as_version=4)
    for text, replacement in SMALLER.get(places.notebook_name(path), {}).items():
        cells = [cell for cell in notebook.cells if cell.cell_type == "code" and text in cell.source]
        assert len(cells) == 1, f"{text} stands in {len(cells)} cells"
        cells[0].source = cells[0].source.replace(text, replacement)
    copy = folder.joinpath(*path.relative_to(FOLDER).parts)
    copy.parent.mkdir(parents=True)
    nbformat.write(notebook, copy)
    return copy


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_it_runs_without_data(path, tmp_path):
    progress = io.StringIO()
    no_data = tmp_path / "data"
    copy = smaller(path, tmp_path / "notebooks")
    result = runner.run_notebook(copy, "quick", no_data, tmp_path / "out", save=False, stream=progress)
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
