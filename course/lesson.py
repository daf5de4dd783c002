"""The functions that a notebook of the course calls.

PyTorch and the data sets take seconds to load, so they are imported where they are used: the command line loads this
module too.
"""

import inspect
import json
import os
import random
import re
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from seglib.files import write_text

from . import exercises
from .places import REPOSITORY, CourseError, checkout

PROFILES = ("quick", "full", "gpu")
SYNTHETIC_SETS = {"horses": "creatures", "humans": "creatures", "camvid": "streets", "cityscapes": "streets"}
SEED = 0
KAGGLE_INPUT = Path("/kaggle/input")  # one folder for each data set that was added to a Kaggle notebook


def start(name: str) -> "Lesson":
    """Start the notebook `name`: read profile and data folder from the environment, seed, and print the profile.

    SEGLIB_PROFILE is "quick" (the default), "full" or "gpu"; SEGLIB_DATA is the folder of the data sets, by default
    `data/` of the repository. Python's, NumPy's and PyTorch's generators are seeded with `Lesson.seed`.

    Raises:
        CourseError: For an unknown profile.
    """
    profile = os.environ.get("SEGLIB_PROFILE") or "quick"
    if profile not in PROFILES:
        raise CourseError(f"SEGLIB_PROFILE is '{profile}'; set it to one of: {', '.join(PROFILES)}.")
    root = Path(os.environ.get("SEGLIB_DATA") or checkout() / "data")
    report = os.environ.get("SEGLIB_REPORT")
    import numpy as np
    import torch

    lesson = Lesson(name, profile, root, Path(report) if report else None)
    random.seed(lesson.seed)
    np.random.seed(lesson.seed)
    torch.manual_seed(lesson.seed)
    lesson._follow_cells()
    print(f"{name}: {profile} profile, seed {lesson.seed}")
    return lesson


class Lesson:
    """One run of one notebook: its profile, its data, its headline metric.

    Args:
        name: Name of the notebook.
        profile: "quick", "full" or "gpu".
        root: Folder of the data sets.
        report_file: File in which the runner expects the names of data sets and modules that were used.
    """

    def __init__(self, name: str, profile: str, root: Path, report_file: Path | None = None):
        self.name = name
        self.profile = profile
        self.root = root
        self.seed = SEED
        self._report_file = report_file
        self._places: dict[str, tuple[Path, str]] = {}  # folder of each data set, or why there is none
        self._used: list[str] = []
        self._headline: dict | None = None

    @property
    def quick(self) -> bool:
        """Whether this is the quick profile."""
        return self.profile == "quick"

    def budget(self, quick, full, gpu=None):
        """Return the value of this run's profile: epochs, a number of images, a crop size, ...

        Args:
            quick: For a few minutes on a laptop.
            full: For the saved outputs: a few minutes more.
            gpu: For ten minutes of a small GPU; None takes `full`.
        """
        return {"quick": quick, "full": full, "gpu": full if gpu is None else gpu}[self.profile]

    def has(self, name: str) -> bool:
        """Return whether the data set `name` can be used: its files are in `root`, or it is synthetic."""
        return not self._locate(name)[1]

    def dataset(self, name: str, split: str = "train", synthetic: dict | None = None, **options):
        """Load the data set `name`, or a synthetic one in its place; prints which one.

        The files are looked for in `root` and in the data sets of a Kaggle notebook, then downloaded if that needs no
        login. Without them a synthetic set takes its place.

        Street scenes get a palette whose colours differ.

        Args:
            name: Name of the data set.
            split: "train", "val" or "test".
            synthetic: Options of the synthetic set: length, size, seed.
            options: Options of the real set, for `seglib.data.load`.

        Returns:
            A data.SegmentationDataset.

        Raises:
            data.DataError: If the data set is unknown, or its files are broken.
        """
        from seglib import data
        from seglib.visualize import figure_palette

        root, reason = self._locate(name)
        if not reason:
            loaded = data.load(
                name, split=split, root=root, **(synthetic or {} if name in data.generated_sets() else options)
            )
            kind, used = ("synthetic" if name in data.generated_sets() else "real images"), name
        else:
            replacement = SYNTHETIC_SETS[name]
            loaded = data.load(replacement, split=split, **(synthetic or {}))
            kind, used = f"synthetic, in place of the real {name}: {reason}", f"{replacement} for {name}"
        loaded.palette = figure_palette(loaded.classes, loaded.palette)
        if used not in self._used:
            self._used.append(used)
        self._write_report()
        print(f"{loaded.name}, {split}: {len(loaded)} images, {kind}")
        return loaded

    def data_config(self, name: str, synthetic: dict | None = None, **options):
        """Return the data of a training run: the data set `name`, or the synthetic one that takes its place.

        Args:
            name: Name of the data set.
            synthetic: Options of the synthetic set: length, size, seed.
            options: Fields of `seglib.config.DataConfig` for the real set, as in list_name="seed27".
        """
        from seglib.config import DataConfig

        root, reason = self._locate(name)
        if not reason:
            return DataConfig(name, root=str(root), **options)
        return DataConfig(SYNTHETIC_SETS[name], options=synthetic or {})

    def report(self, metric: str, value: float) -> None:
        """Record the notebook's headline metric; the last one is in the runner's table and in the saved notebook."""
        self._headline = {"metric": metric, "value": float(value)}
        self._write_report()
        print(f"{metric}: {float(value):.4g}")

    def _locate(self, name: str) -> tuple[Path, str]:
        """Return the folder that holds the data set and "", or why the set cannot be used; downloads it once."""
        from seglib import data

        if name not in self._places and name in data.generated_sets():
            self._places[name] = (self.root, "")
        if name not in self._places:
            source = data.source(name)  # an unknown name is an error, not a missing set
            try:
                self._places[name] = (_find(source, [self.root, *KAGGLE_INPUT.glob("*")]), "")
            except data.DataError as error:
                if name not in SYNTHETIC_SETS:
                    raise
                self._places[name] = self._download(name, str(error))
        return self._places[name]

    def _download(self, name: str, reason: str) -> tuple[Path, str]:
        """Fetch a data set that has a public address; SEGLIB_DOWNLOAD=0 turns this off."""
        from seglib import data
        from seglib.data import validation

        if os.environ.get("SEGLIB_DOWNLOAD") == "0" or not data.source(name).archive:
            return self.root, reason
        print(f"{name}: downloading into {self.root.name}/ ...", flush=True)
        try:
            validation.download(name, self.root)
        except (OSError, data.DataError) as error:
            return self.root, f"the download failed: {str(error).splitlines()[0]}"
        return self.root, ""

    def _follow_cells(self) -> None:
        """Under the runner, write the report after every cell, as cells import further modules."""
        if self._report_file and "IPython" in sys.modules and (shell := sys.modules["IPython"].get_ipython()):
            shell.events.register("post_run_cell", lambda result: self._write_report())

    def _write_report(self) -> None:
        if self._report_file is None:
            return
        report = {"data": self._used, "headline": self._headline, "modules": _loaded_modules()}
        write_text(self._report_file, json.dumps(report))


def _find(source, roots: Sequence[Path]) -> Path:
    """Return the first of `roots` in which the data set is complete; raises the DataError of the first otherwise."""
    from seglib import data

    errors = []
    for root in roots:
        try:
            source.find(root)
            return root
        except data.DataError as error:
            errors.append(error)
    raise errors[0]


def _loaded_modules() -> list[str]:
    """Return the files of `seglib` and `course` that this process has loaded, without those that only run notebooks."""
    modules = (module for name, module in list(sys.modules.items()) if name.split(".")[0] in ("seglib", "course"))
    files = (Path(module.__file__).resolve() for module in modules if getattr(module, "__file__", None))
    names = {file.relative_to(REPOSITORY).as_posix() for file in files if file.is_relative_to(REPOSITORY)}
    return sorted(name for name in names if not re.fullmatch(r"course/\w+\.py", name))


class Source:
    """Source code that a notebook shows with highlighting and a console as plain text."""

    def __init__(self, code: str, place: str):
        self.code = code
        self.place = place

    def _repr_markdown_(self) -> str:
        # Markdown, as IPython's Code writes a style sheet into every cell, which websites strip.
        return f"`{self.place}`\n\n~~~~python\n{self.code}\n~~~~\n"

    def __repr__(self) -> str:
        return f"# {self.place}\n{self.code}"


def show_source(thing) -> Source:
    """Return the source of a class, function, method or module of the package, as a cell's result.

    Raises:
        CourseError: For an object that was not written in Python.
    """
    try:
        thing = inspect.unwrap(thing) if callable(thing) else thing
        lines, first = inspect.getsourcelines(thing)
        file = Path(inspect.getsourcefile(thing)).resolve()
    except (TypeError, OSError) as error:
        raise CourseError(f"{thing!r} has no Python source to show; pass a class, a function or a module.") from error
    path = file.relative_to(REPOSITORY).as_posix() if file.is_relative_to(REPOSITORY) else file.name
    return Source(textwrap.dedent("".join(lines)).rstrip(), f"{path}, line {max(first, 1)}")


def check_exercise(name: str, answer) -> None:
    """Grade the `answer` to exercise `name` ("02_unet/1") and print the result: right, or a hint."""
    print(f"{name}: {exercises.grade(name, answer).message}")
