"""Read and write the file of results: a list of entries, each with the machine and the package versions."""

import importlib.metadata
import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path

import torch

from seglib import files

FILE = Path(__file__).parent / "results.json"
DISTRIBUTIONS = (
    "torch",
    "torchvision",
    "numpy",
    "opencv-python-headless",
    "albumentations",
    "pillow",
    "torchmetrics",
    "segmentation-models-pytorch",
    "timm",
    "tifffile",
    "onnxruntime",
    "openvino",
    "nncf",
    "ai-edge-litert",
)


class ResultsError(ValueError):
    """Raised if the results file cannot be used. The message gives the reason and says how to fix it."""


def read(file: Path = FILE) -> list[dict]:
    """Return the entries, or an empty list if there is no file. Raise ResultsError if the file is invalid."""
    try:
        entries = json.loads(Path(file).read_text(encoding="utf-8"))
        if not isinstance(entries, list) or not all(isinstance(e, dict) and "name" in e for e in entries):
            raise ValueError("it holds no list of entries")
    except FileNotFoundError:
        return []
    except ValueError as error:
        raise ResultsError(f"{file}: cannot be read ({error}); delete it and measure again.") from None
    return entries


def write_entry(entry: dict, order: Sequence[str], file: Path = FILE) -> None:
    """Add `entry` to the file, or replace the entry with the same name, and sort the entries.

    `order` lists the names of the entries in their order in the file; entries with other names come last.
    """
    by_name = {old["name"]: old for old in read(file)} | {entry["name"]: entry}
    place = {name: number for number, name in enumerate(order)}
    ordered = sorted(by_name.values(), key=lambda e: place.get(e["name"], len(place)))
    files.write_text(file, json.dumps(ordered, indent=1) + "\n")


def last_round(entries: Sequence[dict]) -> int:
    """Return the number of the newest run. After an interruption, some entries have the number of an earlier run."""
    return max((entry.get("round", 0) for entry in entries), default=0)


def versions() -> dict[str, str]:
    """Return the versions of Python and of the installed packages that affect the results."""
    result = {"python": platform.python_version()}
    for name in DISTRIBUTIONS:
        try:
            result[name] = importlib.metadata.version(name).split("+")[0]
        except importlib.metadata.PackageNotFoundError:
            continue
    return result


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine() -> str:
    """Describe the machine (CPU, memory, GPU, system) without its host name."""
    able = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    units = [name for name in ("amx_bf16", "avx512_bf16") if able.get(name)]
    vectors = torch.backends.cpu.get_cpu_capability()
    name = f"{able['cpu_name']}, " if able.get("cpu_name") else ""
    words = [f"{cores()} cores, {name}{platform.machine()} with {', '.join([vectors, *units])}"]
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        words.append(f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB of memory")
    words.append(torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU")
    return ", ".join([*words, platform.system()])
