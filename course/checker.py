"""Check saved notebooks for `python -m course check`."""

import ast
import re
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nbformat import NotebookNode

from . import saved
from .places import CourseError, find_notebooks, notebook_name, read_notebook

SECTIONS = ("Goals", "Exercises", "Takeaways", "Further reading")
LONG_CELL = 25  # lines


@dataclass(frozen=True)
class Finding:
    """A result of the checks: a problem that must be fixed if `fault` is true, otherwise only a notice."""

    notebook: str
    message: str
    fault: bool = True

    def __str__(self) -> str:
        return f"{'ERROR ' if self.fault else 'notice'}  {self.notebook}: {self.message}"


def check(names: Sequence[str] = (), folder: Path | None = None) -> list[Finding]:
    """Check saved notebooks, by default all notebooks and solutions, without running them."""
    paths = find_notebooks(names, folder)
    if not names:
        paths += sorted(paths[0].parent.glob("solutions/*.ipynb")) if paths else find_notebooks(["solutions"], folder)
    return [finding for path in paths for finding in check_notebook(path)]


def check_notebook(path: Path) -> list[Finding]:
    """Return the findings for one notebook."""
    name = notebook_name(path)
    try:
        notebook = read_notebook(path)
    except CourseError as error:
        return [Finding(name, str(error))]
    faults = [*_stale(notebook), *_order(notebook), *saved.output_faults(notebook), *_not_python(notebook)]
    if path.parent.name != "solutions":
        faults += _sections(notebook)
    notices = [*_changed_package(notebook), *_origin(notebook), *_style(notebook)]
    return [Finding(name, text) for text in faults] + [Finding(name, text, fault=False) for text in notices]


def _code(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def _stale(notebook: NotebookNode) -> Iterator[str]:
    record = notebook.metadata.get("seglib", {})
    if not record.get("code_sha256"):
        yield "it has no record of a saved run; run `python -m course run NAME --profile full --save`"
    elif record["code_sha256"] != saved.code_hash(notebook):
        yield "its code was edited since it ran; run it again with --save"


def _order(notebook: NotebookNode) -> Iterator[str]:
    counts = [cell.execution_count for cell in _code(notebook)]
    wrong = [number for number, count in enumerate(counts, 1) if count != number]
    if wrong:
        yield f"code cell {wrong[0]} of {len(counts)} has execution count {counts[wrong[0] - 1]}; run all cells again"


def _not_python(notebook: NotebookNode) -> Iterator[str]:
    """Report cells that are not plain Python, because shell commands and magics do not work everywhere."""
    for number, cell in enumerate(_code(notebook), 1):
        try:
            compile(cell.source, "cell", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        except SyntaxError as error:
            line = cell.source.splitlines()[max((error.lineno or 1) - 1, 0)].strip()
            problem = "a shell command or magic" if line.startswith(("!", "%")) else "invalid Python"
            yield f"code cell {number} has {problem}: `{line}`"


def _sections(notebook: NotebookNode) -> Iterator[str]:
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    headings = re.findall(r"^#{1,6}\s+(.*)$", prose, re.MULTILINE)
    for section in SECTIONS:
        if not any(re.search(rf"\b{section}\b", heading, re.IGNORECASE) for heading in headings):
            yield f"the section '{section}' is missing"


def _changed_package(notebook: NotebookNode) -> Iterator[str]:
    ran_with = notebook.metadata.get("seglib", {}).get("modules", {})
    now = saved.module_hashes(list(ran_with))
    changed = [name for name, digest in ran_with.items() if now[name] != digest]
    if changed:
        yield f"package files changed since it ran: {', '.join(changed)}"


def _origin(notebook: NotebookNode) -> Iterator[str]:
    record = notebook.metadata.get("seglib", {})
    if record.get("profile") == "quick":
        yield "its outputs come from the quick profile"
    synthetic = [used for used in record.get("data", []) if " for " in used]
    if synthetic:
        yield f"its outputs come from synthetic data: {', '.join(synthetic)}"


def _style(notebook: NotebookNode) -> Iterator[str]:
    lines = [len([line for line in cell.source.splitlines() if line.strip()]) for cell in _code(notebook)]
    if lines:
        yield f"{len(lines)} code cells with a median of {statistics.median(lines):g} and at most {max(lines)} lines"
    for number, count in enumerate(lines, 1):
        if count > LONG_CELL:
            yield f"code cell {number} has {count} lines; more than {LONG_CELL} are hard to follow"
    for number, cell in enumerate(_code(notebook), 1):
        errors = "".join(output.text for output in cell.outputs if output.get("name") == "stderr")
        if "Warning: " in errors:
            yield f"code cell {number} shows a warning"
