"""Executed notebooks as they are kept: cleaned of what differs between machines and runs, stamped, written whole."""

import base64
import copy
import hashlib
import io
import json
import re
import site
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from PIL import Image

from seglib.files import write_atomically

from .places import REPOSITORY, CourseError, checkout, notebook_name

MAX_BYTES = 1_500_000
KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
WIDGETS = "application/vnd.jupyter.widget"
# Folders that only one machine has, whoever's it is: what is left of a path when the prefixes below are replaced.
MACHINE_PATH = re.compile(
    r"(?<![\w.:/~-])/(?:home|Users|root|tmp|private|var|mnt|opt|usr|srv|workspace)/[\w.-]+[^\s'\"<>)]*"
    r"|\b[A-Za-z]:\\{1,2}Users\\[^\s'\"<>)]*"
)
ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]{6,}")
CELL_FILE = re.compile(r"\S*ipykernel_\d+[/\\]+\d+\.py")


def cleaned(notebook: NotebookNode, data_root: Path | None = None) -> NotebookNode:
    """A copy without times, widget state, versions and machine paths; sources and cell ids stay as they are."""
    notebook = copy.deepcopy(notebook)
    stamp = notebook.metadata.get("seglib")
    notebook.metadata = NotebookNode(kernelspec=NotebookNode(KERNELSPEC), language_info=NotebookNode(name="python"))
    if stamp:
        notebook.metadata.seglib = stamp
    replacements = _machine_prefixes(data_root)
    for cell in notebook.cells:
        for key in ("execution", "collapsed", "scrolled"):
            cell.metadata.pop(key, None)
        if cell.cell_type == "code":
            cell.outputs = [_clean_output(output, replacements) for output in cell.outputs]
    return notebook


def code_hash(notebook: NotebookNode) -> str:
    """SHA-256 of the code cells' sources in order: the outputs depend on them, and not on the prose."""
    sources = [cell.source for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    return hashlib.sha256(json.dumps(sources).encode()).hexdigest()


def module_hashes(names: list[str]) -> dict[str, str]:
    """Of each file of the package ("seglib/losses.py") the first 16 digits of its SHA-256; "" where it is gone."""
    hashes = {}
    for name in names:
        file = REPOSITORY / name
        text = file.read_bytes().replace(b"\r\n", b"\n") if file.is_file() else None
        hashes[name] = hashlib.sha256(text).hexdigest()[:16] if text is not None else ""
    return hashes


def save(notebook: NotebookNode, path: Path, original: bytes) -> None:
    """Write the cleaned, stamped `notebook` to `path` in one step.

    Raises CourseError, leaving the file as it was, if the notebook is not fit to be kept or if the
    file is no longer `original`, what it was when the run began.
    """
    faults = output_faults(notebook)
    if faults:
        raise CourseError(f"{notebook_name(path)} was not saved: {'; '.join(faults)}.")
    if path.read_bytes() != original:
        raise CourseError(f"{notebook_name(path)} was not saved: it was edited while it ran; run it again.")
    write(notebook, path)


def write(notebook: NotebookNode, path: Path) -> None:
    """Write a notebook so that the file is either the old one or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda file: file.write(encoded(notebook)))


def encoded(notebook: NotebookNode) -> bytes:
    """The bytes of the notebook's file."""
    return (nbformat.writes(notebook, version=nbformat.NO_CONVERT).rstrip("\n") + "\n").encode("utf-8")


def output_faults(notebook: NotebookNode) -> list[str]:
    """What keeps an executed notebook from being committed, a sentence each: errors, paths, widgets, size."""
    faults = []
    if "widgets" in notebook.metadata:
        faults.append("it holds widget state; use plain text progress bars and run it again")
    for number, cell in enumerate((c for c in notebook.cells if c.cell_type == "code"), 1):
        if any(output.output_type == "error" for output in cell.outputs):
            faults.append(f"code cell {number} holds an error")
        if any(name.startswith(WIDGETS) for output in cell.outputs for name in output.get("data", {})):
            faults.append(f"code cell {number} shows a widget; use a plain text progress bar")
    for cell_number, cell in enumerate(notebook.cells, 1):
        found = sorted({path for text in _texts(cell) for path in machine_paths(text)})
        if found:
            faults.append(f"cell {cell_number} names a path of one machine, {found[0]}")
    size = len(encoded(notebook))
    if size > MAX_BYTES:
        sizes = [len(json.dumps(cell)) for cell in notebook.cells]
        largest = sizes.index(max(sizes))
        faults.append(
            f"it has {size / 1e6:.2f} MB, more than {MAX_BYTES / 1e6:.1f}; the largest is cell {largest + 1} "
            f"({notebook.cells[largest].id}) with {sizes[largest] / 1e6:.2f} MB: show fewer or smaller pictures there"
        )
    return faults


def machine_paths(text: str) -> list[str]:
    """The paths of one machine in `text`: somebody's home or temporary folder, or this repository's place."""
    here = [re.escape(prefix) for prefix, _ in _machine_prefixes(None)]
    return MACHINE_PATH.findall(text) + re.findall(rf"(?<![\w.:/~-])(?:{'|'.join(here)})(?![\w-])", text)


def _machine_prefixes(data_root: Path | None) -> list[tuple[str, str]]:
    """(absolute folder, what is written in its place), the deepest first."""
    paths = sysconfig.get_paths()
    places = [(paths[key], "site-packages") for key in ("purelib", "platlib")]
    places += [(folder, "site-packages") for folder in site.getsitepackages()]
    places += [(paths["stdlib"], "python")]
    if sys.prefix != sys.base_prefix:  # a virtual environment; the other case may be /usr, which is on every machine
        places += [(sys.prefix, "python")]
    places += [(tempfile.gettempdir(), "tmp"), (checkout(), "."), (REPOSITORY, "."), (Path.home(), "~")]
    if data_root:
        places += [(data_root, "data")]
    spellings = {}
    for folder, shown in places:
        for path in (Path(folder), Path(folder).resolve()):
            if len(path.parts) > 1 and path.is_absolute():  # "/" as somebody's home says nothing
                spellings[str(path)] = shown
                spellings[str(path).replace("\\", "\\\\")] = shown  # as repr() shows it on Windows
    return sorted(spellings.items(), key=lambda item: -len(item[0]))


def _clean_output(output: NotebookNode, replacements: list[tuple[str, str]]) -> NotebookNode:
    output = copy.deepcopy(output)
    if "text" in output:
        output.text = _clean_text(output.text, replacements)
    for name, value in output.get("data", {}).items():
        if isinstance(value, str) and _is_text(name):
            output.data[name] = _clean_text(value, replacements)
        elif name == "image/png":
            output.data[name] = _in_palette(value)
    return output


def _in_palette(png: str) -> str:
    """A picture in base64, in at most 256 colours where that is shorter: charts need no more, and half the bytes."""
    image = Image.open(io.BytesIO(base64.b64decode(png)))
    packed = io.BytesIO()
    image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(packed, "PNG", optimize=True)
    shorter = base64.b64encode(packed.getvalue()).decode() + "\n"
    return shorter if image.mode != "P" and len(shorter) < len(png) else png


def _clean_text(text: str, replacements: list[tuple[str, str]]) -> str:
    text = CELL_FILE.sub("notebook.py", text)
    for prefix, shown in replacements:
        text = re.sub(rf"(?<![\w.~-]){re.escape(prefix)}(?![\w-])", lambda _, shown=shown: shown, text)
    return ADDRESS.sub("at 0x...", text)


def _is_text(mimetype: str) -> bool:
    return not mimetype.startswith(("image/", "application/pdf")) or mimetype == "image/svg+xml"


def _texts(cell: NotebookNode) -> Iterator[str]:
    """Every text of a cell that a reader might see: its source and its outputs, pictures excepted."""
    yield cell.source
    for output in cell.get("outputs", []):
        yield output.get("text", "")
        yield from output.get("traceback", [])
        for name, value in output.get("data", {}).items():
            if _is_text(name):
                yield value if isinstance(value, str) else json.dumps(value)
