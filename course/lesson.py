"""Functions for the notebooks of the course.

The command line imports this module too. PyTorch and `seglib.data` take seconds to import, so they are imported inside
the functions that need them.
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

from filelock import FileLock

from seglib.files import write_text

from . import exercises
from .places import REPOSITORY, CourseError, checkout

PROFILES = ("quick", "full", "gpu")
SYNTHETIC_SETS = {"horses": "creatures", "humans": "creatures", "camvid": "streets", "cityscapes": "streets"}
SEED = 0
KAGGLE_INPUT = Path("/kaggle/input")  # one folder for each data set that was added to a Kaggle notebook


def start(name: str) -> "Lesson":
    """Start the notebook `name`: read environment variables, seed the random generators, and print the profile.

    The environment variable SEGLIB_PROFILE is "quick" (the default), "full" or "gpu". SEGLIB_DATA is the folder of the
    data sets, by default `data/` in the repository. The random generators of Python, NumPy and PyTorch are seeded with
    `Lesson.seed`.

    Raises:
        CourseError: If the profile is unknown.
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
    """One run of a notebook, with its profile, its data sets and its headline metric.

    Args:
        name: Name of the notebook.
        profile: "quick", "full" or "gpu".
        root: Folder of the data sets.
        report_file: JSON file in which the notebook reports its data sets, modules and headline metric to the runner.
    """

    def __init__(self, name: str, profile: str, root: Path, report_file: Path | None = None):
        self.name = name
        self.profile = profile
        self.root = root
        self.seed = SEED
        self._report_file = report_file
        self._places: dict[str, tuple[Path, str]] = {}  # see `_locate`
        self._used: list[str] = []
        self._headline: dict | None = None

    @property
    def quick(self) -> bool:
        """Whether this is the quick profile."""
        return self.profile == "quick"

    def budget(self, quick, full, gpu=None):
        """Return the value for the profile of this run, such as a number of epochs or a crop size.

        Args:
            quick: The value for the quick profile, which takes a few minutes on a laptop.
            full: The value for the full profile, which takes a few minutes longer and generates the saved outputs.
            gpu: The value for the gpu profile, which takes ten minutes on a small GPU; by default the same as `full`.
        """
        return {"quick": quick, "full": full, "gpu": full if gpu is None else gpu}[self.profile]

    def has(self, name: str) -> bool:
        """Return whether the data set `name` is available, after downloading it if that requires no login."""
        return not self._locate(name)[1]

    def dataset(self, name: str, split: str = "train", synthetic: dict | None = None, **options):
        """Load the data set `name`, or a synthetic data set in its place, and print which of the two was loaded.

        The files are searched for in `root` and in the input folders of a Kaggle notebook. If they are missing, they
        are downloaded, unless that requires a login. If they cannot be downloaded, a synthetic data set is loaded.

        The palette comes from `seglib.visualize.figure_palette`, which has distinct colors for the street classes.

        Args:
            name: Name of the data set.
            split: "train", "val" or "test".
            synthetic: Keyword arguments for the synthetic data set: length, size, seed.
            options: Keyword arguments for the real data set, as in `seglib.data.load`.

        Returns:
            A `data.SegmentationDataset`.

        Raises:
            data.DataError: If the data set is unknown, or its files are damaged.
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
        """Return the data configuration for training on the data set `name`, or on its synthetic replacement.

        Args:
            name: Name of the data set.
            synthetic: Keyword arguments for the synthetic data set: length, size, seed.
            options: Fields of `seglib.config.DataConfig` for the real data set, such as list_name="seed27".
        """
        from seglib.config import DataConfig

        root, reason = self._locate(name)
        if not reason:
            return DataConfig(name, root=str(root), **options)
        return DataConfig(SYNTHETIC_SETS[name], options=synthetic or {})

    def report(self, metric: str, value: float) -> None:
        """Print the headline metric and record it for the runner. A later call replaces the recorded value."""
        self._headline = {"metric": metric, "value": float(value)}
        self._write_report()
        print(f"{metric}: {float(value):.4g}")

    def _locate(self, name: str) -> tuple[Path, str]:
        """Return the folder of the data set, and the reason why it is not available or "". Try to download it once."""
        from seglib import data

        if name not in self._places and name in data.generated_sets():
            self._places[name] = (self.root, "")
        if name not in self._places:
            source = data.source(name)  # raises DataError for an unknown name
            try:
                self._places[name] = (_find(source, [self.root, *KAGGLE_INPUT.glob("*")]), "")
            except data.DataError as error:
                if name not in SYNTHETIC_SETS:
                    raise
                self._places[name] = self._download(name, str(error))
        return self._places[name]

    def _download(self, name: str, reason: str) -> tuple[Path, str]:
        """Download a data set that has a public URL, unless SEGLIB_DOWNLOAD=0. Returns the same as `_locate`."""
        from seglib import data

        from .datasets import validation

        if os.environ.get("SEGLIB_DOWNLOAD") == "0" or not getattr(data.source(name), "archive", None):
            return self.root, reason
        print(f"{name}: downloading into {self.root.name}/ ...", flush=True)
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with FileLock(self.root / f".{name}.lock"):  # another notebook may be downloading the same data set
                try:
                    return _find(data.source(name), [self.root]), ""
                except data.DataError:
                    validation.download(name, self.root)
        except (OSError, data.DataError) as error:
            return self.root, f"the download failed: {str(error).splitlines()[0]}"
        return self.root, ""

    def _follow_cells(self) -> None:
        """If the runner started the notebook, write the report after every cell, because cells may import modules."""
        if self._report_file and "IPython" in sys.modules and (shell := sys.modules["IPython"].get_ipython()):
            shell.events.register("post_run_cell", lambda result: self._write_report())

    def _write_report(self) -> None:
        if self._report_file is None:
            return
        report = {"data": self._used, "headline": self._headline, "modules": _loaded_modules()}
        write_text(self._report_file, json.dumps(report))


def _find(source, roots: Sequence[Path]) -> Path:
    """Return the first of `roots` with a complete data set, or raise the DataError for the first root."""
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
    """Return the files of `seglib` and of subpackages of `course` that this process has imported.

    The modules of `course` itself only run notebooks, so they are left out.
    """
    modules = (module for name, module in list(sys.modules.items()) if name.split(".")[0] in ("seglib", "course"))
    files = (Path(module.__file__).resolve() for module in modules if getattr(module, "__file__", None))
    names = {file.relative_to(REPOSITORY).as_posix() for file in files if file.is_relative_to(REPOSITORY)}
    return sorted(name for name in names if not re.fullmatch(r"course/\w+\.py", name))


class Source:
    """Source code that is highlighted in a notebook, and shown as plain text in a console."""

    def __init__(self, code: str, place: str):
        self.code = code
        self.place = place

    def _repr_markdown_(self) -> str:
        # IPython's Code is not used, because it writes a style sheet into every cell, which websites remove.
        return f"`{self.place}`\n\n~~~~python\n{self.code}\n~~~~\n"

    def __repr__(self) -> str:
        return f"# {self.place}\n{self.code}"


def show_source(thing) -> Source:
    """Return the source of a class, function, method or module, to be shown as the output of a cell.

    Raises:
        CourseError: If the object has no Python source.
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
    """Grade the `answer` to exercise `name` ("02_unet/1"), and print "right" or a hint."""
    print(f"{name}: {exercises.grade(name, answer).message}")
