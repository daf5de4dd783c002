"""Check the metadata of a weights file before a network is built from it."""

import sys
from collections.abc import Mapping

from .files import is_color, is_integer, is_printable_name

READING = {"bits", "bands", "channels"}  # keyword arguments of `data.read_image`
LARGEST = sys.float_info.max  # JSON can hold larger integers, which cannot be converted to float
MAX_OPTION = 4096  # limit on integer options of a network, because larger values could exhaust the memory


def find_fault(metadata: object, needs_data: bool = True) -> str:
    """Return the first problem, such as "no classes" or "invalid palette", or "" if all entries are valid.

    Args:
        metadata: A mapping with `config` (which contains `model`, `inference` and `data`), `classes`, `palette` and
            `num_outputs`.
        needs_data: Whether `config.data` is required.  ONNX files do not contain this entry.
    """
    if not isinstance(metadata, Mapping):
        return "no metadata"
    entries = {name: metadata.get(name) for name in ("config", "classes", "palette", "num_outputs")}
    if isinstance(config := entries["config"], Mapping):
        parts = ("model", "inference", "data") if needs_data else ("model", "inference")
        entries |= {f"config.{name}": config.get(name) for name in parts}
    if missing := [name for name, value in entries.items() if value is None]:
        return f"no {', '.join(sorted(missing))}"
    if not isinstance(config, Mapping):
        return "invalid config"
    checks = {
        "classes": _are_classes(entries["classes"]),
        "palette": _is_palette(entries["palette"], entries["classes"]),
        "num_outputs": is_integer(entries["num_outputs"], 1, 255),
        "background": metadata.get("background") in (None, 0),
        "config.model": _is_model(entries["config.model"]),
        "config.data": not needs_data or _has_name_and_options(entries["config.data"]),
        "config.inference": _is_inference(inference := entries["config.inference"]),
        "reading": _is_inference(inference) and _is_reading(metadata.get("reading", {}), inference.get("mean", [])),
    }
    return next((f"invalid {name}" for name, is_sound in checks.items() if not is_sound), "")


def _are_classes(names: object) -> bool:
    return isinstance(names, list) and 1 <= len(names) <= 255 and all(map(is_printable_name, names))


def _is_palette(colors: object, names: object) -> bool:
    are_lists = isinstance(colors, list) and isinstance(names, list)
    return are_lists and len(colors) == len(names) and all(map(is_color, colors))


def _has_name_and_options(part: object) -> bool:
    return isinstance(part, Mapping) and isinstance(part.get("name"), str) and isinstance(part.get("options"), Mapping)


def _is_model(model: object) -> bool:
    return _has_name_and_options(model) and all(map(_is_option, model["options"].values()))


def _is_option(value: object) -> bool:
    if isinstance(value, list):
        return len(value) <= 64 and all(map(_is_option, value))
    return value is None or isinstance(value, bool | str) or is_integer(value, 0, MAX_OPTION)


def _is_reading(reading: object, mean: list) -> bool:
    return isinstance(reading, Mapping) and {*reading} <= READING and reading.get("channels", 0) == len(mean)


def _is_inference(inference: object) -> bool:
    if not isinstance(inference, Mapping) or not isinstance(inference.get("flip"), bool):
        return False
    scales = inference.get("scales")
    good = isinstance(scales, list) and scales and all(isinstance(s, int | float) and 0 < s < 100 for s in scales)
    mean, std = inference.get("mean", []), inference.get("std", [])
    good = good and isinstance(mean, list) and isinstance(std, list) and len(mean) == len(std) <= 255
    good = good and all(isinstance(n, int | float) and abs(n) < LARGEST for n in mean + std) and all(n > 0 for n in std)
    return bool(good) and is_integer(inference.get("longest_side"), 0, 10**6)
