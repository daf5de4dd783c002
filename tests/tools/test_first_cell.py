"""The setup cell of the notebooks."""

import subprocess
import sys

import nbformat
import pytest

from course import places
from tools import first_cell

NOTEBOOKS = places.find_notebooks() + places.find_notebooks(["solutions"])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[places.notebook_name(path) for path in NOTEBOOKS])
def test_every_notebook_begins_with_the_set_up_cell(path):
    notebook = nbformat.read(path, as_version=4)
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    assert (first.id, first.source) == ("setup", first_cell.code())
    texts = [cell.source for cell in notebook.cells if cell.id == "setup-text"]
    assert texts == ([] if path.parent.name == "solutions" else [first_cell.TEXT])


@pytest.mark.parametrize("folder", ["notebooks", "."])
def test_set_up_cell_installs_the_checkout_into_an_empty_environment(tmp_path, folder):
    """The cell runs without `seglib` in a Python whose pip only records its arguments."""
    checkout = tmp_path / "checkout"
    (checkout / "seglib").mkdir(parents=True)
    (checkout / "notebooks").mkdir()
    (checkout / "seglib" / "__init__.py").write_text("value = 5")
    site_packages = tmp_path / "site"
    site_packages.mkdir()
    program = f"""
import subprocess, sys, sysconfig, site
sys.path = [path for path in sys.path if path not in ("", {str(places.REPOSITORY)!r})]
sys.meta_path = [finder for finder in sys.meta_path if "editable" not in repr(finder).lower()]
sysconfig.get_path = lambda name: {str(site_packages)!r}

def run(command, check):
    print(command[1:])
    open({str(site_packages / "editable.pth")!r}, "w").write(command[-1])

subprocess.run = run
{first_cell.code()}
import seglib
print(seglib.value)
"""
    result = subprocess.run(
        [sys.executable, "-I", "-c", program], cwd=checkout / folder, capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
    expected = ["-m", "pip", "install", "--quiet", "--no-deps", "--editable", str(checkout)]
    assert result.stdout.splitlines() == [str(expected), "5"]


def test_set_up_cell_does_nothing_if_the_course_is_installed():
    program = f"import subprocess\nsubprocess.run = None\n{first_cell.code()}\nprint('unchanged')"
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=places.REPOSITORY, capture_output=True, text=True, timeout=120
    )
    assert result.stdout == "unchanged\n", result.stderr
