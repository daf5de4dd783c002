"""Corrupted texts: configurations, classes.yaml of a folder, search spaces."""

import math
from collections.abc import Callable
from pathlib import Path

import yaml
from numpy.random import Generator

from course.tuning import TuneError
from course.tuning.space import read_space
from seglib.config import Config, ConfigError, config_to_dict, load_config, parse_config
from seglib.data import DataError
from seglib.data.folder import read_classes

from .mutate import corrupted
from .verdict import one_line

REPOSITORY = Path(__file__).resolve().parents[2]
LAUGHS = "a0: &a0 [ha, ha]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 40))
# YAML values; each of them breaks a YAML reader.
VALUES = (
    "1",
    "0",
    "-1",
    "1e-3",
    "1e400",
    ".inf",
    "-.inf",
    ".nan",
    "9" * 30,
    "9" * 5000,
    "0x" + "f" * 400,
    "0x" + "f" * 3900,
    "0b2",
    "0o9",
    "1_0_",
    "true",
    "null",
    "~",
    "''",
    "'word'",
    "[]",
    "[1, 2]",
    "[[1], {}]",
    "{}",
    "{a: 1}",
    "{1: 2}",
    "2001-99-99",
    "2001-01-01",
    "1:99:99",
    "!!python/object/apply:os.mkdir [mark]",
    "!!binary 'x'",
    "!!int ''",
    "!!float x",
    "!!timestamp x",
    "&x [*x]",
    "*nowhere",
    "[" * 3000,
    "{a: " * 3000,
    "\u2028",
    "\x00",
    "\ud7ff",
    "- -\t",
    "<<: 3",
    "!!set {a}",
    "? [a]\n  : 1",
    "=",
    "|\n  text",
    "%TAG",
    "...",
    "---",
    "300",
    "[0.9, 0.1]",
    "[32, 64]",
    "adamw",
    "unet",
    "{low: 1, high: 2}",
    "{choices: [1, 2]}",
    "{low: 1, high: 2, log: [1, 2]}",
    "{choices: &c [*c, 1]}",
    "{low: .nan, high: 1e400, log: true}",
    "[*a39, *a39]",
)
CLASSES = "classes: [ground, tree, sky]\ncolors: [[0, 0, 0], [0, 255, 0], [0, 0, 255]]\nignore: [255, 255, 255]\n"
SPACE = "optimizer.lr: {low: 3e-4, high: 1e-2, log: true}\nbatch_size: {choices: [4, 8]}\n"


def attempt(folder: Path) -> Callable[[Generator], str]:
    """Return a function that corrupts one of the three kinds of texts and reads it: "read" or "refused"."""
    configs = [file.read_bytes() for file in sorted((REPOSITORY / "configs").glob("*.yaml"))]
    names = _paths(config_to_dict(Config()))
    readers = (
        (configs, names, _read_config),
        ([CLASSES.encode()], ["classes", "colors", "ignore"], _read_classes),
        ([SPACE.encode()], ["optimizer.lr", "batch_size", "model.name"], _read_space),
    )
    file = folder / "corrupted.yaml"

    def run_case(rng: Generator) -> str:
        seeds, options, read = readers[min(2, int(rng.integers(6)) // 2)]
        if rng.random() < 0.3:
            content = corrupted(seeds[int(rng.integers(len(seeds)))], rng, seeds)
        else:
            content = written(options, rng, flat=read is _read_space).encode("utf-8", "replace")
        file.write_bytes(content)
        verdict = read(file)
        assert not Path("mark").exists()
        return verdict

    return run_case


def written(options: list[str], rng: Generator, flat: bool) -> str:
    """Return options with random values, sometimes with an unknown name."""
    lines = [LAUGHS] if rng.random() < 0.15 else []
    for _ in range(int(rng.integers(1, 4))):
        name = options[int(rng.integers(len(options)))] if rng.random() < 0.95 else "unheard_of"
        value = VALUES[int(rng.integers(len(VALUES)))]
        parents, _, last = ("", "", name) if flat else name.rpartition(".")
        lines.append(f"{parents}:\n  {last}: {value}\n" if parents else f"{last}: {value}\n")
    return "".join(lines)


def _paths(values: dict, prefix: str = "") -> list[str]:
    paths = []
    for name, value in values.items():
        paths += [prefix + name] + (_paths(value, f"{prefix}{name}.") if isinstance(value, dict) else [])
    return paths


def _read_config(file: Path) -> str:
    try:
        config = load_config(file)
    except ConfigError as error:
        assert "\n" not in str(error) and len(str(error)) < 1000
        return "refused"
    values = config_to_dict(config)
    assert all(math.isfinite(number) for number in _numbers(values)), "an infinite number was accepted"
    assert parse_config(yaml.safe_dump(values)) == config
    return "read"


def _numbers(value: object) -> list[float]:
    if isinstance(value, dict | list):
        return [n for item in (value.values() if isinstance(value, dict) else value) for n in _numbers(item)]
    return [value] if isinstance(value, int | float) else []


def _read_classes(file: Path) -> str:
    try:
        classes = read_classes(file)
    except DataError as error:
        return one_line(error, file)
    assert 2 <= len(classes.names) <= 255 and all(isinstance(name, str) for name in classes.names)
    return "read"


def _read_space(file: Path) -> str:
    try:
        space = read_space(file)
    except TuneError as error:
        return one_line(error, file)
    assert space
    return "read"
