"""One address, written everywhere it is needed."""

import json
import shutil

import nbformat
import pytest

from course import places
from tools import address, first_cell

URL = "https://github.com/someone/segmentation"


@pytest.fixture
def root(tmp_path):
    """Return a copy of the files that hold the address, with the address unset."""
    for name in ("pyproject.toml", "README.md", "weights/manifest.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(places.REPOSITORY / name, tmp_path / name)
    (tmp_path / "notebooks" / "solutions").mkdir(parents=True)
    for name in ("02_unet.ipynb", "solutions/02_unet.ipynb"):
        shutil.copy(places.REPOSITORY / "notebooks" / name, tmp_path / "notebooks" / name)
    return tmp_path


def setup_cell(path):
    return next(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.id == "setup")


def test_an_address_on_github_is_written_everywhere(root):
    lines = address.set_address(URL + ".git", root)
    assert first_cell.address(root) == URL and not any("unset" in line for line in lines)
    readme = (root / "README.md").read_text()
    assert f"git clone {URL} segmentation" in readme and address.PLACEHOLDER not in readme
    assert "colab.research.google.com/github/someone/segmentation/blob/HEAD/notebooks/01_data" in readme
    manifest = json.loads((root / "weights" / "manifest.json").read_text())
    assert manifest["address"] == f"{URL}/raw/HEAD/weights" and manifest["weights"]
    notebook = nbformat.read(root / "notebooks" / "02_unet.ipynb", as_version=4)
    assert notebook.cells[1].id == "badges" and "notebooks/02_unet.ipynb" in notebook.cells[1].source
    for name in ("02_unet.ipynb", "solutions/02_unet.ipynb"):
        assert f'address = "seglib[course] @ git+{URL}"' in setup_cell(root / "notebooks" / name)

    other = "https://github.com/other/course"
    before = {path: path.read_bytes() for path in root.rglob("*.*") if path.is_file()}
    address.set_address(other, root)
    assert all(URL not in path.read_text() for path in before)
    address.set_address(URL, root)
    assert before == {path: path.read_bytes() for path in before}


def test_elsewhere_than_on_github_the_rest_is_reported_as_unset(root):
    lines = address.set_address("file:///srv/course.git", root)
    assert sum("unset" in line for line in lines) == 2
    assert json.loads((root / "weights" / "manifest.json").read_text())["address"] == ""
    assert nbformat.read(root / "notebooks" / "02_unet.ipynb", as_version=4).cells[1].id != "badges"
    assert "git+file:///srv/course" in setup_cell(root / "notebooks" / "02_unet.ipynb")


def test_something_else_is_refused(root):
    with pytest.raises(address.AddressError, match="'course' is not the address of a repository"):
        address.set_address("course", root)
    assert first_cell.address(root) == first_cell.address()
