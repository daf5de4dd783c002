"""The file of results: a list of entries, written after each, and what machine and versions they come from."""

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
)


class ResultsError(ValueError):
    """A file of results that cannot be used; the message names it, the fault and the remedy."""


def read(file: Path = FILE) -> list[dict]:
    """The entries; none if there is no file yet.  ResultsError if it does not hold any."""
    try:
        entries = json.loads(Path(file).read_text(encoding="utf-8"))
        if not isinstance(entries, list) or not all(isinstance(e, dict) and "name" in e for e in entries):
            raise ValueError("it holds no list of entries")
    except FileNotFoundError:
        return []
    except ValueError as error:
        raise ResultsError(f"{file}: cannot be read ({error}); delete it and measure again.") from None
    return entries


def put(entry: dict, order: Sequence[str], file: Path = FILE) -> None:
    """Write `entry` in the place of the one of its name; entries come in `order`, unknown ones last."""
    kept = {old["name"]: old for old in read(file)} | {entry["name"]: entry}
    place = {name: number for number, name in enumerate(order)}
    ordered = sorted(kept.values(), key=lambda e: place.get(e["name"], len(place)))
    files.write_text(file, json.dumps(ordered, indent=1) + "\n")


def last_round(entries: Sequence[dict]) -> int:
    """The number of the newest run; one that was interrupted left entries of the run before."""
    return max((entry.get("round", 0) for entry in entries), default=0)


def versions() -> dict[str, str]:
    """Of what is measured and what it is measured against, as far as installed."""
    found = {"python": platform.python_version()}
    for name in DISTRIBUTIONS:
        try:
            found[name] = importlib.metadata.version(name).split("+")[0]
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine() -> str:
    """The machine in words that name nobody's."""
    able = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    units = [name for name in ("amx_bf16", "avx512_bf16") if able.get(name)]
    vectors = torch.backends.cpu.get_cpu_capability()
    words = [f"{cores()} cores, {platform.machine()} with {', '.join([vectors, *units])}"]
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        words.append(f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB of memory")
    words.append(torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU")
    return ", ".join([*words, platform.system()])
