"""The networks that readers build in the cells of the notebooks equal the library's.

Cells with the tag "build" hold the reader's classes, cells with the tag "proof" compare them with the library. They run
here alone and in order, so a class cannot depend on anything that its notebook does not build.
"""

import ast

import nbformat
import pytest

from course import places

FOLDER = places.REPOSITORY / "notebooks"
NETWORKS = ("02_unet", "03_u2net", "04_hrnet", "05_mini_hrnet", "06_dilated_resnet")
MAX_LINES = 30  # of one class in one cell


def tagged_cells(name: str, tag: str) -> list[str]:
    """Return the sources of the code cells of a notebook that have `tag`."""
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    return [cell.source for cell in notebook.cells if tag in cell.metadata.get("tags", [])]


def imported_modules(source: str) -> set[str]:
    """Return the names of the modules that `source` imports."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


@pytest.mark.parametrize("name", NETWORKS)
def test_the_built_network_equals_the_librarys(name, monkeypatch):
    build, proof = tagged_cells(name, "build"), tagged_cells(name, "proof")
    assert build and proof
    for source in build:
        assert not {module for module in imported_modules(source) if module.split(".")[0] in ("seglib", "course")}
        for node in ast.parse(source).body:
            if isinstance(node, ast.ClassDef):
                length = node.end_lineno - node.lineno + 1
                assert length <= MAX_LINES, f"{name}: {node.name} has {length} lines"
    assert any("strict=True" in source for source in proof) and all("assert " in source for source in proof)
    monkeypatch.chdir(FOLDER)
    namespace: dict = {"__name__": "__main__"}
    for source in build + proof:
        exec(compile(source, f"{name}.ipynb", "exec"), namespace)
