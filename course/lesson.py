"""What a notebook of the course calls.

PyTorch and the data sets, seconds to load, are imported where they are used: the command line loads
this module for every command, its help included.
"""

import inspect
import json
import os
import random
import re
import sys
import textwrap
from pathlib import Path

from seglib.files import write_text

from . import exercises
from .places import REPOSITORY, CourseError, checkout

PROFILES = ("quick", "full")
STAND_INS = {"horses": "creatures", "humans": "creatures", "camvid": "streets", "cityscapes": "streets"}
SEED = 0


def start(name: str) -> "Lesson":
    """Begin the notebook `name`: read profile and data folder from the environment, seed, say what was chosen.

    SEGLIB_PROFILE is "quick" (the default) or "full"; SEGLIB_DATA is the folder of the data sets, by
    default `data/` of the repository.  Python's, NumPy's and PyTorch's generators are seeded with
    `Lesson.seed`.  Raises CourseError for an unknown profile.
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

    profile: "quick" or "full"; quick: whether it is the former; root: the folder of the data sets;
    seed: for whatever the notebook draws.  `report_file` is where the runner looks for what was used.
    """

    def __init__(self, name: str, profile: str, root: Path, report_file: Path | None = None):
        self.name = name
        self.profile = profile
        self.root = root
        self.seed = SEED
        self._report_file = report_file
        self._used: list[str] = []
        self._headline: dict | None = None

    @property
    def quick(self) -> bool:
        """Whether this is the quick profile."""
        return self.profile == "quick"

    def has(self, name: str) -> bool:
        """Whether the data set `name` can be used here: its files lie under `root`, or it is a drawn one."""
        return self._missing(name) is None

    def dataset(self, name: str, split: str = "train", drawn: dict | None = None, **options):
        """The data set `name` where its files are, else the drawn one that stands in for it; prints which one.

        Returns a data.SegmentationDataset.
        `options` go to `seglib.data.load` of the real set, `drawn` (length, size, seed) to that of the
        stand-in.  Raises data.DataError, also for a real set that is there but broken.
        """
        from seglib import data

        reason = self._missing(name)
        if reason is None:
            loaded = data.load(
                name, split=split, root=self.root, **(drawn or {} if name in data.generated_sets() else options)
            )
            kind, used = ("drawn" if name in data.generated_sets() else "real photographs"), name
        else:
            stand_in = STAND_INS[name]
            loaded = data.load(stand_in, split=split, **(drawn or {}))
            kind, used = f"drawn, in place of the real {name}: {reason}", f"{stand_in} for {name}"
        if used not in self._used:
            self._used.append(used)
        self._write_report()
        print(f"{loaded.name}, {split}: {len(loaded)} images, {kind}")
        return loaded

    def report(self, metric: str, value: float) -> None:
        """Name the notebook's headline metric; the last one is shown in the runner's table and stored on saving."""
        self._headline = {"metric": metric, "value": float(value)}
        self._write_report()
        print(f"{metric}: {float(value):.4g}")

    def _missing(self, name: str) -> str | None:
        """Why the real data set cannot be used, or None if it can."""
        from seglib import data

        if name in data.generated_sets():
            return None
        source = data.source(name)  # an unknown name is an error, not a missing set
        try:
            source.find(self.root)
        except data.DataError as error:
            if name not in STAND_INS:
                raise
            return str(error)
        return None

    def _follow_cells(self) -> None:
        """Under the runner, report after every cell: which modules the notebook runs against is known only then."""
        if self._report_file and "IPython" in sys.modules and (shell := sys.modules["IPython"].get_ipython()):
            shell.events.register("post_run_cell", lambda result: self._write_report())

    def _write_report(self) -> None:
        if self._report_file is None:
            return
        report = {"data": self._used, "headline": self._headline, "modules": _loaded_modules()}
        write_text(self._report_file, json.dumps(report))


def _loaded_modules() -> list[str]:
    """The files of `seglib` and `course` that this process has loaded, without those that only run notebooks."""
    ours = (module for name, module in list(sys.modules.items()) if name.split(".")[0] in ("seglib", "course"))
    files = (Path(module.__file__).resolve() for module in ours if getattr(module, "__file__", None))
    names = {file.relative_to(REPOSITORY).as_posix() for file in files if file.is_relative_to(REPOSITORY)}
    return sorted(name for name in names if not re.fullmatch(r"course/\w+\.py", name))


class Source:
    """Source code that a notebook shows highlighted and a console plain."""

    def __init__(self, code: str, place: str):
        self.code = code
        self.place = place

    def _repr_markdown_(self) -> str:
        # Markdown and not IPython's Code: that one carries its own style sheet into every cell, and sites strip it.
        return f"`{self.place}`\n\n~~~~python\n{self.code}\n~~~~\n"

    def __repr__(self) -> str:
        return f"# {self.place}\n{self.code}"


def show_source(thing) -> Source:
    """The source of a class, function, method or module of the package, as a cell's result.

    Raises CourseError for an object that was not written in Python.
    """
    try:
        thing = inspect.unwrap(thing) if callable(thing) else thing
        lines, first = inspect.getsourcelines(thing)
        file = Path(inspect.getsourcefile(thing)).resolve()
    except (TypeError, OSError) as error:
        raise CourseError(f"{thing!r} has no Python source to show; pass a class, a function or a module.") from error
    shown = file.relative_to(REPOSITORY).as_posix() if file.is_relative_to(REPOSITORY) else file.name
    return Source(textwrap.dedent("".join(lines)).rstrip(), f"{shown}, line {max(first, 1)}")


def check_exercise(name: str, answer) -> None:
    """Print what `seglib.exercises` says of the `answer` to exercise `name` ("02_unet/1"): right, or a hint."""
    print(f"{name}: {exercises.judge(name, answer).message}")
