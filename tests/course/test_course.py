"""Runner, checker and lesson, with small notebooks in real kernels."""

import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import types
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

import course
from course import checker, exercises, places, runner, saved
from course import cli as course_command
from seglib import data

REPOSITORY = Path(course.__file__).resolve().parents[1]
SKELETON = "# A lesson\n\n## Goals\n\n## Exercises\n\n## Takeaways\n\n## Further reading\n"


def write_notebook(folder: Path, name: str, *cells: str) -> Path:
    """A notebook with the skeleton's sections and these code cells; ids are fixed."""
    notebook = new_notebook(cells=[new_markdown_cell(SKELETON), *(new_code_cell(cell) for cell in cells)])
    for number, cell in enumerate(notebook.cells):
        cell.id = f"c{number}"
    path = folder / f"{name}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    return path


def run(folder: Path, *names: str, **options) -> tuple[list[runner.Result], str]:
    """The runner's results on the notebooks in `folder`, and what it printed."""
    stream = io.StringIO()
    options = {"data": folder / "data", "out": folder / "out"} | options
    return runner.run(names, folder=folder, stream=stream, **options), stream.getvalue()


def command(*arguments: object) -> int:
    return course_command.main([str(argument) for argument in arguments])


def outputs(path: Path, cell: int) -> str:
    """The text that code cell `cell` (from 1) of a notebook file shows."""
    code = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
    return "".join(o.get("text", "") or o.get("data", {}).get("text/plain", "") for o in code[cell - 1].outputs)


def faults(path: Path) -> list[str]:
    return [finding.message for finding in checker.check_notebook(path) if finding.fault]


def saved_notebook(folder: Path, *cells: str) -> Path:
    """A notebook that passes the check without running a kernel: with its hash, numbered, without outputs."""
    path = write_notebook(folder, "01_one", *cells)
    notebook = places.read_notebook(path)
    for number, cell in enumerate((c for c in notebook.cells if c.cell_type == "code"), 1):
        cell.execution_count = number
    notebook.metadata.seglib = {"profile": "full", "data": [], "code_sha256": saved.code_hash(notebook), "modules": {}}
    saved.write(notebook, path)
    return path


def edit(path: Path, change) -> Path:
    """Apply `change(notebook)` to the file."""
    notebook = nbformat.read(path, as_version=4)
    change(notebook)
    nbformat.write(notebook, path)
    return path


# Running


def test_a_notebook_runs_in_this_python_and_its_folder(tmp_path):
    write_notebook(
        tmp_path,
        "01_one",
        "import os, sys\nprint(sys.executable)",
        "print(os.getcwd())",
        "import seglib\nprint(seglib.__file__)",
        "import matplotlib\nmatplotlib.get_backend()",
    )
    write_notebook(tmp_path, "02_two", "raise RuntimeError('not selected')")
    results, printed = run(tmp_path, "01")
    copy = tmp_path / "out" / "01_one.ipynb"
    assert results[0].copy == copy and results[0].notebook == "01_one" and results[0].minutes > 0
    assert "4/4" in printed and "done" in printed
    if sys.prefix != sys.base_prefix:
        assert outputs(copy, 1).startswith("python/"), "the folder of this environment is shown as python"
    assert outputs(copy, 2).strip() == f"tmp{str(tmp_path).removeprefix(tempfile.gettempdir())}"
    assert outputs(copy, 3).replace("\\", "/") == "./seglib/__init__.py\n"
    assert "inline" in outputs(copy, 4), "the tests' Agg must not reach the kernel, as figures would not be shown"
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["notebooks"][0]["notebook"] == "01_one"


def test_lesson_reports_the_data_and_modules_that_it_used(tmp_path, capsys):
    path = write_notebook(
        tmp_path,
        "02_unet",
        "import course\nlesson = course.start('02_unet')",
        "d = lesson.dataset('horses', 'train', synthetic={'length': 3})",
        "lesson.report('mIoU', 0.5)",
        "from seglib import metrics",
    )
    assert command("run", "--notebooks", tmp_path, "--out", tmp_path / "out", "--data", tmp_path, "--save") == 0
    printed = capsys.readouterr().out
    assert "02_unet" in printed and "creatures for horses" in printed and "mIoU 0.5" in printed
    assert f"Executed copies: {tmp_path / 'out'}" in printed
    record = nbformat.read(path, as_version=4).metadata.seglib
    assert record.profile == "quick" and record.data == ["creatures for horses"]
    assert record.headline == {"metric": "mIoU", "value": 0.5}
    assert {"seglib/metrics/__init__.py", "seglib/data/__init__.py"} <= set(record.modules)
    assert "course/runner.py" not in record.modules
    assert "in place of the real horses" in outputs(path, 2)
    assert faults(path) == []
    assert command("check", "--notebooks", tmp_path) == 0
    notices = capsys.readouterr().out
    assert "quick profile" in notices and "synthetic data" in notices and "0 errors" in notices


def test_a_failing_cell_stops_the_run_and_shows_itself(tmp_path, capsys):
    path = write_notebook(tmp_path, "01_one", "x = 1", "y = x\nraise RuntimeError('the reason')", "print('never')")
    after = write_notebook(tmp_path, "02_two", "print('not reached')")
    before = path.read_bytes(), after.read_bytes()
    assert command("run", "--notebooks", tmp_path, "--out", tmp_path / "out", "--save") == 1
    output = capsys.readouterr()
    assert "01_one: code cell 2 of 3 failed" in output.err
    assert "    y = x\n    raise RuntimeError('the reason')" in output.err and "RuntimeError: the reason" in output.err
    assert "\x1b" not in output.err and "stopped" in output.out
    assert (path.read_bytes(), after.read_bytes()) == before
    copy = nbformat.read(tmp_path / "out" / "01_one.ipynb", as_version=4)
    assert [cell.execution_count for cell in copy.cells if cell.cell_type == "code"] == [1, 2, None]
    assert not (tmp_path / "out" / "02_two.ipynb").exists()


def test_two_notebooks_run_at_the_same_time(tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    for name, other in (("01_one", "02_two"), ("02_two", "01_one")):
        write_notebook(
            tmp_path,
            name,
            "import os, pathlib, time\nplace = pathlib.Path(os.environ['SEGLIB_DATA'])\nplace.mkdir(exist_ok=True)",
            f"(place / '{name}').touch()\nend = time.time() + 120\n"
            f"while not (place / '{other}').exists():\n    assert time.time() < end\n    time.sleep(0.05)",
            "print(os.environ['OMP_NUM_THREADS'])",
        )
    write_notebook(tmp_path, "03_three", "raise RuntimeError('the reason')")
    with pytest.raises(runner.CellFailed, match="03_three: code cell 1 of 1 failed"):
        run(tmp_path, jobs=2)
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert [result["notebook"] for result in summary["notebooks"]] == ["01_one", "02_two"]
    assert outputs(tmp_path / "out" / "02_two.ipynb", 3).strip() == str(max(1, os.cpu_count() // 2))
    with pytest.raises(course.CourseError, match="--jobs is 0, but must be at least 1"):
        run(tmp_path, jobs=0)


def test_dead_kernel_is_reported(tmp_path):
    write_notebook(tmp_path, "01_one", "import os\nos._exit(3)")
    with pytest.raises(runner.CellFailed, match="code cell 1 of 1 failed(.|\n)*died"):
        run(tmp_path)


def test_saving_twice_gives_the_same_bytes(tmp_path):
    path = write_notebook(
        tmp_path,
        "01_one",
        "import tempfile\nprint(tempfile.gettempdir(), object())",
        "import matplotlib.pyplot as plt\nplt.plot([1, 3, 2])",
        "import sys\nfor i in range(3):\n    print(i, file=sys.stderr)",
    )
    edit(path, lambda notebook: notebook.metadata.update(kernelspec={"name": "mine", "display_name": "my own"}))
    run(tmp_path, save=True)
    first = path.read_bytes()
    run(tmp_path, save=True)
    assert path.read_bytes() == first == (tmp_path / "out" / "01_one.ipynb").read_bytes()
    notebook = nbformat.read(path, as_version=4)
    assert [cell.id for cell in notebook.cells] == ["c0", "c1", "c2", "c3"]
    assert notebook.metadata.kernelspec.name == "python3" and "image/png" in notebook.cells[2].outputs[1].data
    assert outputs(path, 1) == "tmp <object object at 0x...>\n" and faults(path) == []


@pytest.mark.skipif(os.name == "nt", reason="no POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_sigint_and_sigterm_end_the_kernel_and_keep_the_notebook(tmp_path, number):
    write_pid = "import os, pathlib, time\npathlib.Path('pid').write_text(str(os.getpid()))"
    path = write_notebook(tmp_path, "01_one", write_pid, "time.sleep(600)")
    before = path.read_bytes()
    words = ["run", "--notebooks", tmp_path, "--out", tmp_path / "out", "--save"]
    process = subprocess.Popen(
        [sys.executable, "-m", "course", *words],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # ignored in background jobs
    )
    pid_file = tmp_path / "pid"
    try:
        while not (pid_file.exists() and pid_file.read_text()) and process.poll() is None:
            time.sleep(0.1)
        process.send_signal(number)
        _, errors = process.communicate(timeout=300)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130, errors
    assert "stopped" in errors and "Traceback" not in errors and "never retrieved" not in errors
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)
    assert path.read_bytes() == before and (tmp_path / "out" / "01_one.ipynb").exists()


# Saving


def test_notebook_with_faults_is_not_saved(tmp_path):
    path = write_notebook(tmp_path, "01_one", "print('/home/' + 'somebody/file.txt')")
    before = path.read_bytes()
    with pytest.raises(course.CourseError, match="cell 2 contains a machine-specific path, /home/somebody/file.txt"):
        run(tmp_path, save=True)
    assert path.read_bytes() == before


def test_a_notebook_edited_while_it_ran_is_not_overwritten(tmp_path):
    path = saved_notebook(tmp_path, "x = 1")
    before = path.read_bytes()
    notebook = places.read_notebook(path)
    path.write_bytes(before.replace(b"x = 1", b"x = 2"))
    with pytest.raises(course.CourseError, match="was edited while it ran"):
        saved.save(notebook, path, before)
    assert b"x = 2" in path.read_bytes()


def test_too_large_a_notebook_names_its_largest_cell(tmp_path):
    path = saved_notebook(tmp_path, "x = 1", "y = 2")
    image = new_output("display_data", {"image/png": "A" * saved.MAX_BYTES})
    edit(path, lambda notebook: notebook.cells[2].outputs.append(image))
    (fault,) = faults(path)
    assert "1.50 MB" in fault and "the largest is cell 3 (c2)" in fault


def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = saved_notebook(tmp_path, "x = 1")
    before = path.read_bytes()
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        saved.write(places.read_notebook(path), path)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "folder, expected",
    [
        (Path.home() / "x", "~/x"),
        (Path(tempfile.gettempdir()) / "x", "tmp/x"),
        (REPOSITORY / "data" / "x", "./data/x"),
        (Path(np.__file__), "site-packages/numpy/__init__.py"),
        (Path("/somewhere/data/x.png"), "data/x.png"),
    ],
)
def test_paths_of_this_machine_are_replaced(folder, expected):
    cell = new_code_cell("1", outputs=[new_output("stream", name="stdout", text=f"in '{folder}': 3")])
    notebook = saved.cleaned(new_notebook(cells=[cell]), data_root=Path("/somewhere/data"))
    assert notebook.cells[0].outputs[0].text.replace("\\", "/") == f"in '{expected}': 3"
    assert saved.output_faults(notebook) == []


@pytest.mark.parametrize(
    "text", ["/Users/ann/x.png", "see /home/ann/repo", r"C:\Users\ann", f"({REPOSITORY}/x)", "/tmp/a1"]
)
def test_paths_of_any_machine_are_found(text):
    assert saved.machine_paths(text)


@pytest.mark.parametrize(
    "text", ["https://example.org/home/page", "data/tmp/x", "a/b", "1/2 of /3", "~/home/x", "./usr/x"]
)
def test_other_slashes_are_no_paths(text):
    assert saved.machine_paths(text) == []


# Checking


def test_a_good_notebook_has_no_faults(tmp_path):
    path = saved_notebook(tmp_path, "x = 1", "await_this = [x\n    % 2]")
    assert faults(path) == []


def test_edited_code_is_stale_and_edited_prose_is_not(tmp_path):
    path = saved_notebook(tmp_path, "x = 1")
    edit(path, lambda notebook: notebook.cells[0].update(source=SKELETON + "More prose."))
    assert faults(path) == []
    edit(path, lambda notebook: notebook.cells[1].update(source="x = 2"))
    assert faults(path) == ["its code was edited since it ran; run it again with --save"]
    edit(path, lambda notebook: notebook.metadata.pop("seglib"))
    assert "no record of a saved run" in faults(path)[0]


def test_a_changed_package_is_a_notice(tmp_path):
    path = saved_notebook(tmp_path, "x = 1")
    modules = saved.module_hashes(["seglib/__init__.py"]) | {"seglib/gone.py": "00", "course/places.py": "1"}
    edit(path, lambda notebook: notebook.metadata.seglib.update(modules=modules))
    messages = [finding.message for finding in checker.check_notebook(path) if not finding.fault]
    assert messages[0] == "package files changed since it ran: course/places.py, seglib/gone.py"
    assert faults(path) == []


@pytest.mark.parametrize(
    "change, fault",
    [
        (lambda n: n.cells[1].update(execution_count=7), "has execution count 7"),
        (lambda n: n.cells[1].update(execution_count=None), "has execution count None"),
        (lambda n: n.cells[0].update(source="## Goals\n## Exercises\n## Takeaways"), "'Further reading' is missing"),
        (
            lambda n: n.cells[1].outputs.append(new_output("error", ename="E", evalue="", traceback=[])),
            "shows an error",
        ),
        (lambda n: n.cells[1].outputs.append(new_output("stream", text="in /home/ann/x")), "machine-specific path"),
        (lambda n: n.cells[0].update(source=SKELETON + "open /Users/ann/x"), "machine-specific path"),
        (lambda n: n.metadata.update(widgets={}), "widget state"),
        (
            lambda n: n.cells[1].outputs.append(new_output("display_data", {saved.WIDGETS + "-view+json": {}})),
            "a widget",
        ),
    ],
)
def test_each_fault_is_found(tmp_path, change, fault):
    messages = faults(edit(saved_notebook(tmp_path, "x = 1", "y = 1"), change))
    assert len(messages) == 1 and fault in messages[0]


@pytest.mark.parametrize(
    "source, what",
    [
        ("!pip install torch", "a shell command or magic: `!pip install torch`"),
        ("%matplotlib inline", "a shell command or magic"),
        ("x = 1\n%time x", "a shell command or magic: `%time x`"),
        ("%%bash\nls", "a shell command or magic"),
        ("files = !ls", "invalid Python: `files = !ls`"),
        ("for", "invalid Python: `for`"),
    ],
)
def test_magics_are_refused(tmp_path, source, what):
    (fault,) = faults(saved_notebook(tmp_path, source))
    assert f"code cell 1 has {what}" in fault


def test_long_cells_and_warnings_are_noticed(tmp_path):
    path = saved_notebook(tmp_path, "\n".join(f"x{i} = {i}" for i in range(26)), "y = 1")
    warning = new_output("stream", name="stderr", text="notebook.py:1: UserWarning: careful\n")
    edit(path, lambda notebook: notebook.cells[2].outputs.append(warning))
    notices = [str(finding) for finding in checker.check_notebook(path)]
    assert notices == [
        "notice  01_one: 2 code cells with a median of 13.5 and at most 26 lines",
        "notice  01_one: code cell 1 has 26 lines; more than 25 are hard to follow",
        "notice  01_one: code cell 2 shows a warning",
    ]


def test_the_check_prints_a_line_per_fault_and_fails(tmp_path, capsys):
    edit(saved_notebook(tmp_path, "x = 1"), lambda notebook: notebook.cells[1].update(source="x = 2"))
    write_notebook(tmp_path / "solutions", "01_one", "y = 2")
    (tmp_path / "03_three.ipynb").write_text("{")
    assert command("check", "--notebooks", tmp_path) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line[8:] for line in lines if line.startswith("ERROR")][0].startswith("01_one: its code was edited")
    assert any("03_three" in line and "not a notebook" in line for line in lines)
    assert any("solutions/01_one: it has no record of a saved run" in line for line in lines)
    assert lines[-1] == "4 errors."


# Names and files


def test_names_of_notebooks(tmp_path):
    one, two = write_notebook(tmp_path, "01_one", "1"), write_notebook(tmp_path, "02_two", "2")
    solution = write_notebook(tmp_path / "solutions", "01_one", "3")

    def resolve(*names: str) -> list[Path]:
        return places.find_notebooks(names, tmp_path)

    assert resolve() == [one, two] and resolve("02") == [two] and resolve("02_two", "01") == [two, one]
    assert resolve("solutions") == [solution] == resolve("solutions/01_one") and resolve(str(two)) == [two]
    with pytest.raises(course.CourseError, match="'03' is not a notebook.*01_one, 02_two, solutions/01_one"):
        resolve("03")
    with pytest.raises(course.CourseError, match="'0' matches several"):
        resolve("0")
    with pytest.raises(course.CourseError, match="there are no notebooks"):
        places.find_notebooks((), tmp_path / "solutions" / "none")


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "not a notebook"),
        ("[]", "not a notebook"),
        ('{"nbformat": 3, "cells": []}', "format 3"),
        (
            '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{"cell_type": "odd"}]}',
            "not a valid notebook",
        ),
    ],
)
def test_a_broken_notebook_is_named(tmp_path, text, message):
    path = tmp_path / "01_one.ipynb"
    path.write_text(text)
    with pytest.raises(course.CourseError, match=f"01_one.ipynb.*{message}"):
        places.read_notebook(path)


def test_cells_without_ids_get_the_same_ones_every_time(tmp_path):
    old = {
        "nbformat": 4,
        "nbformat_minor": 2,
        "metadata": {},
        "cells": [
            {"cell_type": "markdown", "metadata": {}, "source": ["a\n", "b"]},
            {"cell_type": "markdown", "metadata": {}, "source": "c"},
        ],
    }
    path = tmp_path / "01_one.ipynb"
    path.write_text(json.dumps(old))
    assert [cell.id for cell in places.read_notebook(path).cells] == ["cell-0", "cell-1"]
    assert places.read_notebook(path).cells[0].source == "a\nb"


# What a notebook calls


@pytest.fixture
def lesson(tmp_path, monkeypatch) -> course.Lesson:
    monkeypatch.setenv("SEGLIB_DATA", str(tmp_path))
    monkeypatch.delenv("SEGLIB_PROFILE", raising=False)
    return course.start("02_unet")


def test_a_notebook_opened_by_hand_is_quick(lesson, tmp_path, monkeypatch):
    assert lesson.quick and lesson.profile == "quick" and lesson.root == tmp_path
    monkeypatch.setenv("SEGLIB_PROFILE", "full")
    monkeypatch.setenv("SEGLIB_DATA", "")
    again = course.start("02_unet")
    assert not again.quick and again.root == REPOSITORY / "data"
    monkeypatch.setenv("SEGLIB_PROFILE", "fast")
    with pytest.raises(course.CourseError, match="'fast'; set it to one of: quick, full"):
        course.start("02_unet")


def test_starting_seeds(lesson):
    first = np.random.rand()
    course.start("02_unet")
    assert np.random.rand() == first


def test_real_images_come_from_kaggle_or_from_a_download(lesson, tmp_path, monkeypatch, realdata, capsys):
    """A data set that was added to a Kaggle notebook is used from there; otherwise it is downloaded once."""
    kaggle = tmp_path / "input"
    (kaggle / "horses").mkdir(parents=True)
    (kaggle / "horses" / "weizmann_horse_db").symlink_to(realdata / "weizmann_horse_db")
    monkeypatch.setattr("course.lesson.KAGGLE_INPUT", kaggle)
    assert len(lesson.dataset("horses")) == 278 and "real images" in capsys.readouterr().out

    monkeypatch.setenv("SEGLIB_DOWNLOAD", "1")
    calls = []

    def download(name, root):
        calls.append(name)
        if name == "humans":
            raise OSError("no connection\nmore")
        (root / "CamVid").symlink_to(realdata / "CamVid")

    monkeypatch.setattr("course.datasets.validation.download", download)
    assert len(lesson.dataset("camvid")) == 367 and lesson.has("camvid")
    assert lesson.dataset("humans", synthetic={"length": 2}).name == "creatures" and not lesson.has("humans")
    assert "in place of the real humans: the download failed: no connection\n" in capsys.readouterr().out
    assert calls == ["camvid", "humans"]


def test_two_notebooks_download_a_data_set_once(lesson, monkeypatch, realdata):
    calls = []

    def download(name, root):
        calls.append(name)
        time.sleep(1)
        (root / "CamVid").symlink_to(realdata / "CamVid")

    monkeypatch.setenv("SEGLIB_DOWNLOAD", "1")
    monkeypatch.setattr("course.datasets.validation.download", download)
    other = course.Lesson(lesson.name, lesson.profile, lesson.root)
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda each: each.has("camvid"), (lesson, other))) == [True, True]
    assert calls == ["camvid"]


@pytest.mark.parametrize("name, replacement", [("horses", "creatures"), ("humans", "creatures"), ("camvid", "streets")])
def test_synthetic_sets_replace_missing_ones_and_say_so(lesson, capsys, name, replacement):
    assert not lesson.has(name) and lesson.has(replacement)
    loaded = lesson.dataset(name, "val", synthetic={"length": 3, "size": (48, 64)})
    assert loaded.name == replacement and len(loaded) == 3 and loaded[0]["image"].shape == (48, 64, 3)
    assert f"synthetic, in place of the real {name}" in capsys.readouterr().out


def test_an_unknown_set_is_an_error(lesson):
    with pytest.raises(data.DataError, match="zebras"):
        lesson.dataset("zebras")


def test_the_data_of_a_training_run_are_real_or_synthetic(lesson, realdata):
    drawn = {"length": 4, "size": [48, 64]}
    synthetic = lesson.data_config("horses", synthetic=drawn, list_name="seed27")
    assert (synthetic.name, synthetic.options) == ("creatures", drawn)
    again = course.start("02_unet")
    again.root = realdata
    real = again.data_config("horses", synthetic=drawn, list_name="seed27")
    assert (real.name, real.root, real.list_name, real.options) == ("horses", str(realdata), "seed27", {})


def test_real_sets_are_used_where_they_are(lesson, realdata, capsys):
    lesson.root = realdata
    assert lesson.has("horses")
    horses = lesson.dataset("horses", "val", synthetic={"length": 3})
    assert horses.name == "horses" and len(horses) == 49
    assert "horses, val: 49 images, real images" in capsys.readouterr().out


def test_source_is_shown_with_its_place():
    source = course.show_source(exercises.Verdict)
    lines = (REPOSITORY / "course/exercises/__init__.py").read_text().splitlines()
    line = int(source.place.rpartition(" ")[2])
    assert source.place.startswith("course/exercises/__init__.py, line ") and "class Verdict" in lines[line]
    assert source.code.startswith("@dataclass(frozen=True)\nclass Verdict:")
    assert source._repr_markdown_().count("~~~~") == 2 and source.code in repr(source)
    assert course.show_source(places).code.startswith(Path(places.__file__).read_text(encoding="utf-8").strip()[:400])
    method = course.show_source(course.Lesson.has).code
    assert method.startswith("def has(") and "\n    return " in method
    with pytest.raises(course.CourseError, match="no Python source"):
        course.show_source(len)


# Exercises


@pytest.fixture
def checkers(monkeypatch):
    """A module of checkers as `course/exercises/nb99.py` would be."""
    module = types.ModuleType("course.exercises.nb99")

    @exercises.exercise("99_test/1")
    def number(answer):
        if answer == 41:
            raise exercises.Hint("one too few")
        if not answer == 42:
            raise exercises.Hint("count again")

    @exercises.exercise("99_test/2")
    def function(answer):
        if answer(2, 3) == 6:
            raise exercises.Hint("add, do not multiply")
        if answer(2, 3) + 0 != 5:
            raise exercises.Hint("wrong sum")

    @exercises.exercise("99_test/3")
    def twice(answer):
        answer(1), answer(0)

    vars(module).update(number=number, function=function, twice=twice, exercises=exercises)
    monkeypatch.setitem(sys.modules, module.__name__, module)


def broken(a, b):
    return a + [b]


@pytest.mark.parametrize(
    "name, answer, right, message",
    [
        ("99_test/1", 42, True, "right"),
        ("99_test/1", 41, False, "not yet: one too few"),
        ("99_test/1", None, None, "not attempted yet"),
        ("99_test/1", ..., None, "not attempted yet"),
        ("99_test/1", "text", False, "not yet: count again"),
        ("99_test/1", np.arange(3), False, "of type ndarray, which cannot be used here (ValueError"),
        ("99_test/2", lambda a, b: a + b, True, "right"),
        ("99_test/2", lambda a, b: a * b, False, "add, do not multiply"),
        ("99_test/2", lambda a, b: None, None, "not attempted yet: your function returns nothing"),
        ("99_test/2", lambda a: a, False, "TypeError"),
        ("99_test/2", dict, False, "your class dict stopped with TypeError"),
        ("99_test/3", lambda a: 1 if a else None, False, "returns nothing for some inputs"),
        ("99_test/2", broken, False, "your function stopped with TypeError"),
        ("99_test/2", 5, False, "of type int, which cannot be used here (TypeError"),
    ],
)
def test_answers_get_a_verdict(checkers, capsys, name, answer, right, message):
    verdict = exercises.grade(name, answer)
    assert verdict.right is right and message in verdict.message
    course.check_exercise(name, answer)
    assert capsys.readouterr().out == f"{name}: {verdict.message}\n"


def test_the_readers_line_is_shown(checkers):
    assert "`return a + [b]`" in exercises.grade("99_test/2", broken).message


def test_unknown_exercises_are_errors(checkers):
    assert exercises.names("99_test") == ["99_test/1", "99_test/2", "99_test/3"] and exercises.names("98_none") == []
    with pytest.raises(exercises.ExerciseError, match="choose from: 99_test/1, 99_test/2, 99_test/3"):
        exercises.grade("99_test/4", 1)
    with pytest.raises(exercises.ExerciseError, match="this notebook has none"):
        exercises.grade("none/3", 1)


def test_a_result_that_the_checker_cannot_use_is_told_apart_from_a_wrong_type():
    message = exercises.grade("01_data_preparation/1", lambda labels, classes: [[1], [2, 3]]).message
    assert "its result cannot be used (ValueError" in message and "of type function" not in message
