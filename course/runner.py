"""Run notebooks from top to bottom in a kernel of this Python interpreter, and report the results."""

import importlib.util
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TextIO

from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from . import saved
from .lesson import PROFILES
from .places import REPOSITORY, CourseError, checkout, find_notebooks, notebook_name, read_notebook
from .progress import Progress

ERROR_LINES = 12  # number of lines to show from the traceback of a failing cell


class CellFailed(CourseError):
    """Raised if a cell fails. The message contains the notebook, the cell, its source and the end of the traceback."""


@dataclass(frozen=True)
class Result:
    """The result of one notebook.

    Attributes:
        notebook: Name of the notebook.
        minutes: Run time in minutes.
        data: The data sets that the notebook used.
        headline: The headline metric, a dictionary with "metric" and "value", or None.
        copy: Path of the executed copy.
    """

    notebook: str
    minutes: float
    data: list[str]
    headline: dict | None
    copy: Path


class ThisPython(KernelSpecManager):
    """Start kernels with this interpreter, because a kernel named python3 may belong to another environment."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--log-level=ERROR"]
        return KernelSpec(argv=command, display_name="Python 3", language="python")


def run(
    names: Sequence[str] = (),
    profile: str = "quick",
    data: Path | None = None,
    out: Path | None = None,
    save: bool = False,
    folder: Path | None = None,
    stream: TextIO | None = None,
    jobs: int = 1,
) -> list[Result]:
    """Execute notebooks.

    Args:
        names: See `places.find_notebooks`.
        profile: "quick", "full" or "gpu".
        data: Folder of the data sets (default: SEGLIB_DATA, or `data/` in the repository).
        out: Folder for the executed copies (default: `build/course`).
        save: Whether to also overwrite the notebooks with the executed copies.
        folder: Folder of the notebooks (default: `notebooks/` in the repository).
        stream: Where to print progress (default: standard output).
        jobs: Number of notebooks to run at the same time, which share the cores. If it is above 1, progress is printed
            to standard output.

    Returns:
        The results, in the order of the notebooks.

    Raises:
        CellFailed: If a cell fails. The copy then has the outputs up to this cell, and no other notebook is started.
        CourseError: If a name or the profile is unknown, or a notebook cannot be read or saved.
    """
    if profile not in PROFILES:
        raise CourseError(f"There is no profile '{profile}'; choose one of: {', '.join(PROFILES)}.")
    if importlib.util.find_spec("ipykernel") is None:
        raise CourseError("Running notebooks needs ipykernel; install it with `python -m pip install jupyter`.")
    if jobs < 1:
        raise CourseError(f"--jobs is {jobs}, but must be at least 1.")
    paths = find_notebooks(names, folder)
    data = Path(data or os.environ.get("SEGLIB_DATA") or checkout() / "data").absolute()
    out = Path(out or checkout() / "build" / "course").absolute()
    execute = partial(run_notebook, profile=profile, data=data, out=out, save=save)
    if jobs == 1:
        return _collect(map(partial(execute, stream=stream), paths), profile, out)
    with ProcessPoolExecutor(jobs, get_context("spawn"), _share_cores, (jobs,)) as pool:
        return _collect(pool.map(execute, paths), profile, out)


def _share_cores(jobs: int) -> None:
    """Prepare one of `jobs` processes: each uses its share of the cores, and prints progress on separate lines."""
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // jobs)))
    Progress.updates_in_place = False


def _collect(finished: Iterable[Result], profile: str, out: Path) -> list[Result]:
    """Return the results, and update the summary after each."""
    results = []
    for result in finished:
        results.append(result)
        _write_summary(results, profile, out)
    return results


def run_notebook(
    path: Path, profile: str, data: Path, out: Path, save: bool = False, stream: TextIO | None = None
) -> Result:
    """Execute one notebook and write the copy to `out`. The arguments and errors are the same as for `run`."""
    name = notebook_name(path)
    original = path.read_bytes() if path.is_file() else b""
    notebook = read_notebook(path)
    folder = path.parent.parent if path.parent.name == "solutions" else path.parent
    copy = out / f"{name}.ipynb"
    cells = sum(cell.cell_type == "code" and bool(cell.source.strip()) for cell in notebook.cells)
    with tempfile.TemporaryDirectory(prefix="course-") as scratch:
        report_file = Path(scratch) / "report.json"
        environment = kernel_environment(profile, data, report_file, Path(scratch))
        try:
            with Progress(name, cells, stream or sys.stdout) as progress:
                _execute(notebook, folder, environment, progress)
        finally:
            report = {"data": [], "headline": None, "modules": []}
            if report_file.is_file():
                report = json.loads(report_file.read_text(encoding="utf-8"))
            notebook.metadata.seglib = NotebookNode(
                profile=profile,
                data=report["data"],
                headline=report["headline"],
                code_sha256=saved.code_hash(notebook),
                modules=saved.module_hashes(report["modules"]),
            )
            notebook = saved.cleaned(notebook, data)
            saved.write(notebook, copy)
    if save:
        saved.save(notebook, path, original)
    return Result(name, round(progress.seconds() / 60, 2), report["data"], report["headline"], copy)


def kernel_environment(profile: str, data: Path, report_file: Path, scratch: Path) -> dict[str, str]:
    """Return the kernel's environment variables.

    The variables of this process are extended by those that `lesson.start` reads, and by others that put this package
    first on the Python path and disable the start-up files and extensions of the user's IPython.
    """
    environment = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
    path = os.environ.get("PYTHONPATH")
    return environment | {
        "SEGLIB_PROFILE": profile,
        "SEGLIB_DATA": str(data),
        "SEGLIB_REPORT": str(report_file),
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *([path] if path else [])]),
        "PYTHONHASHSEED": "0",
        "IPYTHONDIR": str(scratch / "ipython"),  # without the start-up files and extensions of the user
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        "NO_ALBUMENTATIONS_UPDATE": "1",
        # Waiting threads sleep, because busy waiting tripled the run time when other processes shared the cores.
        "OMP_WAIT_POLICY": "passive",
    }


def _execute(notebook: NotebookNode, folder: Path, environment: dict[str, str], progress: Progress) -> None:
    """Run all cells, store the outputs in `notebook`, and shut down the kernel."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    manager = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=ThisPython())
    client = NotebookClient(
        notebook,
        km=manager,
        timeout=None,
        startup_timeout=300,
        iopub_timeout=60,  # seconds to wait for late outputs on a busy machine
        raise_on_iopub_timeout=True,
        coalesce_streams=True,
        store_widget_state=False,
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
    )
    try:
        with client.setup_kernel(cleanup_kc=False, env=environment):
            for index, cell in enumerate(notebook.cells):
                if cell.cell_type == "code" and cell.source.strip():
                    progress.cell += 1
                    _execute_cell(client, cell, index, progress)
    except BaseException:
        client.shutdown_kernel = "immediate"  # a busy kernel would not respond
        raise
    finally:
        client._cleanup_kernel()


def _execute_cell(client: NotebookClient, cell: NotebookNode, index: int, progress: Progress) -> None:
    try:
        client.execute_cell(cell, index, execution_count=progress.cell)
        return
    except CellExecutionError:
        error = next((o for o in reversed(cell.outputs) if o.output_type == "error"), None)
        lines = "\n".join(error.traceback).splitlines() if error else []
        reason = "\n".join(lines[-ERROR_LINES:]) or "the cell failed without a message"
    except DeadKernelError:
        reason = "The notebook's Python process died, possibly out of memory; close other programs and try again."
    except CellTimeoutError as error:
        reason = str(error)
    raise CellFailed(
        f"{progress.name}: code cell {progress.cell} of {progress.cells} failed.\n\n"
        f"{_indented(cell.source)}\n\n{_indented(_without_colors(reason))}\n"
    )


def table(results: Sequence[Result]) -> str:
    """Return the results as a text table with notebook, minutes, data sets and headline metric, and the total time."""
    rows = [("notebook", "minutes", "data", "headline")]
    for result in results:
        headline = f"{result.headline['metric']} {result.headline['value']:.4g}" if result.headline else "-"
        rows.append((result.notebook, f"{result.minutes:.1f}", ", ".join(result.data) or "-", headline))
    rows.append(("total", f"{sum(result.minutes for result in results):.1f}", "", ""))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [f"{row[0]:<{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:<{widths[2]}}  {row[3]}".rstrip() for row in rows]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def _write_summary(results: Sequence[Result], profile: str, out: Path) -> None:
    """Write the results to `out/summary.json`."""
    rows = [asdict(result) | {"copy": f"{result.notebook}.ipynb"} for result in results]
    summary = {"profile": profile, "notebooks": rows}
    (out / "summary.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())


def _without_colors(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
