"""Save executed notebooks: remove machine-dependent content, hash the code, and write the file atomically."""

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
# Absolute paths that are specific to one machine; `_clean_text` has already replaced those with known prefixes.
MACHINE_PATH = re.compile(
    r"(?<![\w.:/~-])/(?:home|Users|root|tmp|private|var|mnt|opt|usr|srv|workspace)/[\w.-]+[^\s'\"<>)]*"
    r"|\b[A-Za-z]:\\{1,2}Users\\[^\s'\"<>)]*"
)
ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]{6,}")
CELL_FILE = re.compile(r"\S*ipykernel_\d+[/\\]+\d+\.py")


def cleaned(notebook: NotebookNode, data_root: Path | None = None) -> NotebookNode:
    """Return a copy without times, widget state, versions or machine paths. Source code and cell ids are unchanged."""
    notebook = copy.deepcopy(notebook)
    record = notebook.metadata.get("seglib")
    notebook.metadata = NotebookNode(kernelspec=NotebookNode(KERNELSPEC), language_info=NotebookNode(name="python"))
    if record:
        notebook.metadata.seglib = record
    replacements = _machine_prefixes(data_root)
    for cell in notebook.cells:
        for key in ("execution", "collapsed", "scrolled"):
            cell.metadata.pop(key, None)
        if cell.cell_type == "code":
            cell.outputs = [_clean_output(output, replacements) for output in cell.outputs]
    return notebook


def code_hash(notebook: NotebookNode) -> str:
    """Return the SHA-256 of the source of all code cells, but not Markdown cells, which do not affect outputs."""
    sources = [cell.source for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    return hashlib.sha256(json.dumps(sources).encode()).hexdigest()


def module_hashes(names: list[str]) -> dict[str, str]:
    """Return the first 16 hexadecimal digits of the SHA-256 of each file, or "" for a missing file.

    Args:
        names: Paths relative to the repository, such as "seglib/losses/functions.py".
    """
    hashes = {}
    for name in names:
        file = REPOSITORY / name
        text = file.read_bytes().replace(b"\r\n", b"\n") if file.is_file() else None
        hashes[name] = hashlib.sha256(text).hexdigest()[:16] if text is not None else ""
    return hashes


def save(notebook: NotebookNode, path: Path, original: bytes) -> None:
    """Write the cleaned `notebook` to `path` atomically.

    Args:
        notebook: The executed notebook.
        path: The file to replace.
        original: The content of the file when the run started.

    Raises:
        CourseError: If the notebook has problems, or the file was changed during the run. The file is not written.
    """
    faults = output_faults(notebook)
    if faults:
        raise CourseError(f"{notebook_name(path)} was not saved: {'; '.join(faults)}.")
    if path.read_bytes() != original:
        raise CourseError(f"{notebook_name(path)} was not saved: it was edited while it ran; run it again.")
    write(notebook, path)


def write(notebook: NotebookNode, path: Path) -> None:
    """Write a notebook atomically: if an error occurs, the file keeps its old content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda file: file.write(encoded(notebook)))


def encoded(notebook: NotebookNode) -> bytes:
    """Return the notebook as the UTF-8 encoded content of an .ipynb file."""
    return (nbformat.writes(notebook, version=nbformat.NO_CONVERT).rstrip("\n") + "\n").encode("utf-8")


def output_faults(notebook: NotebookNode) -> list[str]:
    """Return a message for each problem in an executed notebook, such as errors, widgets, machine paths or its size."""
    faults = []
    if "widgets" in notebook.metadata:
        faults.append("it has widget state; use plain text progress bars and run it again")
    for number, cell in enumerate((c for c in notebook.cells if c.cell_type == "code"), 1):
        if any(output.output_type == "error" for output in cell.outputs):
            faults.append(f"code cell {number} shows an error")
        if any(name.startswith(WIDGETS) for output in cell.outputs for name in output.get("data", {})):
            faults.append(f"code cell {number} shows a widget; use a plain text progress bar")
    for cell_number, cell in enumerate(notebook.cells, 1):
        paths = sorted({path for text in _texts(cell) for path in machine_paths(text)})
        if paths:
            faults.append(f"cell {cell_number} contains a machine-specific path, {paths[0]}")
    size = len(encoded(notebook))
    if size > MAX_BYTES:
        sizes = [len(json.dumps(cell)) for cell in notebook.cells]
        largest = sizes.index(max(sizes))
        faults.append(
            f"it has {size / 1e6:.2f} MB, more than {MAX_BYTES / 1e6:.1f}; the largest is cell {largest + 1} "
            f"({notebook.cells[largest].id}) with {sizes[largest] / 1e6:.2f} MB: show fewer or smaller images there"
        )
    return faults


def machine_paths(text: str) -> list[str]:
    """Find machine-specific paths in `text`: home and temporary folders, and the folder of this repository."""
    here = [re.escape(prefix) for prefix, _ in _machine_prefixes(None)]
    return MACHINE_PATH.findall(text) + re.findall(rf"(?<![\w.:/~-])(?:{'|'.join(here)})(?![\w-])", text)


def _machine_prefixes(data_root: Path | None) -> list[tuple[str, str]]:
    """Return pairs (absolute folder, replacement), the longest folder first."""
    paths = sysconfig.get_paths()
    places = [(paths[key], "site-packages") for key in ("purelib", "platlib")]
    places += [(folder, "site-packages") for folder in site.getsitepackages()]
    places += [(paths["stdlib"], "python")]
    if sys.prefix != sys.base_prefix:  # in a virtual environment; elsewhere the prefix is often /usr
        places += [(sys.prefix, "python")]
    places += [(tempfile.gettempdir(), "tmp"), (checkout(), "."), (REPOSITORY, "."), (Path.home(), "~")]
    if data_root:
        places += [(data_root, "data")]
    spellings = {}
    for folder, replacement in places:
        for path in (Path(folder), Path(folder).resolve()):
            if len(path.parts) > 1 and path.is_absolute():  # skips "/", which is the home folder in some containers
                spellings[str(path)] = replacement
                spellings[str(path).replace("\\", "\\\\")] = replacement  # as in repr() on Windows
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
    """Reduce a base64 PNG to 256 colors, which is enough for charts. Return the original if that saves no bytes."""
    image = Image.open(io.BytesIO(base64.b64decode(png)))
    packed = io.BytesIO()
    image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(packed, "PNG", optimize=True)
    shorter = base64.b64encode(packed.getvalue()).decode() + "\n"
    return shorter if image.mode != "P" and len(shorter) < len(png) else png


def _clean_text(text: str, replacements: list[tuple[str, str]]) -> str:
    text = CELL_FILE.sub("notebook.py", text)
    for prefix, replacement in replacements:
        text = re.sub(
            rf"(?<![\w.~-]){re.escape(prefix)}(?![\w-])", lambda _, replacement=replacement: replacement, text
        )
    return ADDRESS.sub("at 0x...", text)


def _is_text(mimetype: str) -> bool:
    return not mimetype.startswith(("image/", "application/pdf")) or mimetype == "image/svg+xml"


def _texts(cell: NotebookNode) -> Iterator[str]:
    """Yield all text in a cell: the source, and the outputs except images."""
    yield cell.source
    for output in cell.get("outputs", []):
        yield output.get("text", "")
        yield from output.get("traceback", [])
        for name, value in output.get("data", {}).items():
            if _is_text(name):
                yield value if isinstance(value, str) else json.dumps(value)
