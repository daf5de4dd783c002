"""Python and the packages: are they here, in the right versions, and whole?"""

import importlib
import os
import platform
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from .finding import FAULT, NOTE, OK, Finding

REQUIREMENTS = Path(__file__).resolve().parents[2] / "requirements.txt"
MODULES = {"pillow": "PIL", "scikit-learn": "sklearn", "opencv-python-headless": "cv2", "pyyaml": "yaml"}
OPENCV = ("opencv-python-headless", "opencv-python", "opencv-contrib-python", "opencv-contrib-python-headless")
OPTIONAL = {  # what may be missing: what it is for, and what to install
    "optuna": ("`tune`, the search for good options", "optuna>=4"),
    "onnx": ("`export`", "onnx onnxscript onnxruntime"),
    "onnxscript": ("`export`", "onnx onnxscript onnxruntime"),
    "onnxruntime": ("`export`, and `predict` with an ONNX file", "onnxruntime"),
    "tensorboard": ("the training option `tensorboard`", "tensorboard"),
    "ray": ("`predict --engine ray`, on many machines", "ray[data]"),
    "tifffile": ("`predict` on TIFF images larger than memory", "tifffile"),
}


def check_python() -> Iterator[Finding]:
    text = f"{platform.python_version()}, {platform.system()} {platform.machine()}, {sys.executable}"
    yield Finding(OK, "python", text)  # an older one than 3.10 cannot read the package at all
    if sys.prefix == sys.base_prefix and "CONDA_PREFIX" not in os.environ:
        yield Finding(NOTE, "python", "no virtual environment is active", "`make setup` makes one in .venv")


def requirements() -> dict[str, tuple[str, str]]:
    """{package: (range such as ">=2.0.8,<3", heading under which it stands)}; from requirements.txt or the wheel."""
    if REQUIREMENTS.exists():
        lines = REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    else:
        lines = metadata.requires("seglib") or []
    found, heading = {}, ""
    for line in lines:
        if line.startswith("#"):
            heading = line.lstrip("# ") if found else ""
        elif match := re.match(r"([A-Za-z0-9_.-]+)(?:\[[^\]]*\])?\s*([^;#]*)", line):
            found[match[1].lower()] = (match[2].strip(), heading)
    return found


def version_of(package: str) -> str | None:
    """The installed version, None if there is none; each build of OpenCV stands for the others."""
    for name in OPENCV if package in OPENCV else (package,):
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return None


def within(version: str, wanted: str) -> bool:
    """Is a version such as "2.11.0+cpu" in a range such as ">=2.11,<3"?  Only >=, <=, ==, !=, > and < are known."""
    tests = {
        ">=": lambda a, b: a >= b, "<=": lambda a, b: a <= b, "==": lambda a, b: a == b,
        "!=": lambda a, b: a != b, ">": lambda a, b: a > b, "<": lambda a, b: a < b,
    }  # fmt: skip
    parts = [re.match(r"\s*(>=|<=|==|!=|>|<)\s*(.+)", part) for part in wanted.split(",") if part.strip()]
    return all(tests[part[1]](_numbers(version), _numbers(part[2])) for part in parts if part)


def _numbers(version: str) -> tuple[int, ...]:
    numbers = [int(n) for n in re.match(r"\d+(?:\.\d+)*", version.strip())[0].split(".")]
    while numbers and numbers[-1] == 0:  # 3 is 3.0.0
        numbers.pop()
    return tuple(numbers)


def check_packages() -> Iterator[Finding]:
    """Versions against the ranges, then whether what is needed can be imported at all."""
    wanted, good = requirements(), 0
    for package, (range_, heading) in wanted.items():
        version = version_of(package)
        install = f"python -m pip install '{package}{range_}'"
        level = NOTE if heading else FAULT
        need = f"needed for {heading}" if heading else "needed"
        if version is None:
            yield Finding(level, package, f"not installed; {need}", install)
        elif not within(version, range_):
            yield Finding(level, package, f"is {version}, but {range_} is {need}", install)
        elif not heading and (reason := _broken(MODULES.get(package, package))):
            again = f"python -m pip install --force-reinstall '{package}{range_}'"
            yield Finding(FAULT, package, f"{version} is installed, but cannot be imported: {reason}", again)
        else:
            good += 1
    yield Finding(OK, "packages", f"{good} of {len(wanted)} as requirements.txt wants them")
    builds = [name for name in OPENCV if _installed(name)]
    if len(builds) > 1:
        remedy = f"python -m pip uninstall {' '.join(builds)}, then install {OPENCV[0]} again"
        yield Finding(NOTE, "opencv", f"{' and '.join(builds)} overwrite each other's files", remedy)


def _installed(package: str) -> bool:
    try:
        return bool(metadata.version(package))
    except metadata.PackageNotFoundError:
        return False


def _broken(module: str) -> str:
    """Why a module cannot be imported, "" if it can."""
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it would ask the network for news
    try:
        importlib.import_module(module)
    except Exception as error:  # broken packages raise whatever they like
        return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
    return ""


def check_optional() -> Iterator[Finding]:
    """The packages without which only something special is missing."""
    for package, (purpose, install) in OPTIONAL.items():
        if version := version_of(package):
            yield Finding(OK, package, f"{version}, for {purpose}")
        else:
            yield Finding(NOTE, package, f"not installed; only for {purpose}", f"python -m pip install '{install}'")
