"""Load data sets: your own folders, and those that packages register, such as horses and camvid.

All data sets have the same interface. Each item contains an image and its mask:

    from seglib import data
    train = data.load("horses", split="train", root="data")
    train[0]["image"], train[0]["mask"]
    both = data.load("horses+humans", split="train", root="data")       # label 1 is "horse or human"
"""

import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from ..plugins import registered
from . import folder, splits
from .dataset import IGNORE, FilePairs, Pair, SegmentationDataset, Source, background_index, concat_datasets
from .images import SUFFIXES, DataError, bands_to_rgb, read_image
from .masks import read_mask

__all__ = ["IGNORE", "SUFFIXES", "DataError", "Pair", "SegmentationDataset", "Source", "background_index"]
__all__ += ["bands_to_rgb", "generated_sets", "load", "names", "pairs", "read_image"]
__all__ += ["read_mask", "source", "sources"]


def __dir__() -> list[str]:
    return __all__


CACHE_BYTES = 1 << 30
GENERATED_OPTIONS = ("length", "size", "seed")


@cache
def _registered() -> dict[str, Any]:
    """Return {name: data set} for the entry point group `seglib.datasets`.

    An entry point is a data set with the name of the entry point, or a dict {name: data set} of several.
    """
    sets = {}
    for point in registered("seglib.datasets"):
        entry = point.load()
        sets |= entry if isinstance(entry, dict) else {point.name: entry}
    return sets


def sources() -> dict[str, Source]:
    """Return {name: data set} for the data sets with files that packages register, such as `horses`.

    Packages register each data set, which is a `Source`, in the entry point group `seglib.datasets`.
    """
    return {name: entry for name, entry in _registered().items() if isinstance(entry, Source)}


def generated_sets() -> dict[str, Any]:
    """Return {name: data set} for the registered data sets that generate their images and need no files.

    Packages register them in the entry point group `seglib.datasets` too, for example `creatures` and `streets`. Each
    data set has a method `load(split, cache_bytes, **options)` that returns a `SegmentationDataset`, and the attributes
    `name`, `title`, `classes` and `palette`, which have the same meaning as in `Source`.
    """
    return {name: entry for name, entry in _registered().items() if not isinstance(entry, Source)}


def names() -> list[str]:
    """Return the names of all registered data sets: those with files first, then those that are generated."""
    return [*sources(), *generated_sets()]


def source(name: str) -> Source:
    """Return the description of the data set with this name or folder path.

    Raises DataError if there is no such data set, or if it is generated.
    """
    if name in sources():
        return sources()[name]
    if name in generated_sets():
        raise DataError(f"{name} is generated: it has no files and needs no split lists.")
    if Path(name).is_dir():
        return folder.source(Path(name))
    if set(name) & set("+*"):
        raise DataError(f"{name} is several data sets; name one of them here.")
    raise DataError(f"'{name}' is neither a data set nor a folder; choose {', '.join(names())}, or a folder's path.")


def parse_joined_name(name: str) -> dict[str, int]:
    """Return the number of repetitions of each data set in a joined name: {"a": 3, "b": 1} for "a*3+b".

    In each epoch, every image of a data set appears this many times. The path of an existing folder is treated as a
    single name, even if it contains "+" or "*".

    Raises:
        DataError: If a name or a number is missing, a number is not in 1..99, or a data set is listed twice.
    """
    if Path(name).exists():
        return {name: 1}
    repeats: dict[str, int] = {}
    for part in name.split("+"):
        set_name, count = part, "1"
        if "*" in part and not Path(part).exists():
            set_name, _, count = part.rpartition("*")
        if not set_name:
            raise DataError(f"'{name}' has no data set next to a '+' or '*'; write, for example, horses+humans.")
        nested = "*" in set_name and not Path(set_name).exists()
        if nested or not re.fullmatch("[1-9][0-9]?", count, re.ASCII):
            raise DataError(f"'{part}': '*' must be followed by a number from 1 to 99; write, for example, humans*3.")
        if set_name in repeats:
            raise DataError(f"'{name}' names {set_name} twice; name it once, and as {set_name}*2 to repeat it.")
        repeats[set_name] = int(count)
    return repeats


def pairs(source: Source, split: str, root: Path | str, list_name: str = "default") -> list[Pair]:
    """Return the image-mask pairs of a split, in the order of the split list or, without a list, of the files.

    `split` is "all", a split that the data set itself defines, or a split for which the package contains a list. The
    default lists also divide "train" into "fit" and "select", and "select" is used to choose checkpoints and
    hyperparameters. Raises DataError if the data set has no such split, or if images are missing.
    """
    by_key = {pair.key: pair for pair in source.find(Path(root))}
    given = {pair.split for pair in by_key.values() if pair.split}
    split = "train" if source.training_only and split == "fit" else split
    if split == "all" or split in given:
        return [pair for pair in by_key.values() if split in ("all", pair.split)]
    keys = splits.read_list(source.name, list_name, split, given)
    missing = [key for key in keys if key not in by_key]
    if missing:
        counts = f"{len(missing)} of the {len(keys)} images of split '{split}' are missing, for example {missing[0]}"
        raise DataError(f"{source.name} in {root}: {counts}; complete the data set, or use the rest with --split all.")
    return [by_key[key] for key in keys]


def load(
    name: str,
    split: str = "train",
    root: Path | str = "data",
    list_name: str = "default",
    cache_bytes: int = CACHE_BYTES,
    channels: int = 0,
    **options,
) -> SegmentationDataset:
    """Open a data set.

    Args:
        name: One of `names()`, the path of your own folder, or several of these joined by "+". Joined data sets are
            combined by `concat_datasets`. With `a*3+b`, each image of `a` appears three times per training epoch. Data
            sets that are only suitable for training are left out of the validation and test splits of a joined set.
        split: "train", "val", "test" or "all". "fit" and "select" are the two parts of "train", if a split list defines
            them.
        root: The folder that contains the data sets.
        list_name: The name of the split list.
        cache_bytes: Maximum size, in bytes, of the cache for decoded images and masks.
        channels: Number of bands of non-RGB images. If 0, the number in classes.yaml is used; if there is none, images
            are RGB.
        options: Keyword arguments of generated data sets: `length`, `size` (height, width) and `seed`.

    Raises:
        DataError: If the data set is missing or incomplete, or does not support the requested split or option.
    """
    repeats, generated = parse_joined_name(name), generated_sets()
    wrong = next((o for o in options if o not in GENERATED_OPTIONS or not repeats.keys() & generated.keys()), None)
    if wrong:
        known = f"only {', '.join(generated)} do: {', '.join(GENERATED_OPTIONS)}"
        raise DataError(f"{name} takes no option '{wrong}'; {known}.")
    if repeats != {name: 1}:
        if split not in ("train", "fit"):
            known = sources()
            repeats = {n: 1 for n in repeats if split == "all" or n not in known or not known[n].training_only}
        if not repeats:
            raise DataError(f"{name} is for training only and has no split '{split}'; join it with a set that has one.")
        shared = (split, root, list_name, cache_bytes // len(repeats), channels)
        parts = [load(n, *shared, **(options if n in generated else {})) for n in repeats]
        return concat_datasets(parts, list(repeats.values()))
    if name in generated and channels:
        raise DataError(f"data.channels is {channels}, but {name} is generated in RGB; leave it at 0.")
    if name in generated:
        return generated[name].load(split, cache_bytes, **options)
    entry = source(name)
    if channels:
        entry = replace(entry, reading=entry.reading | {"channels": channels})
    chosen = pairs(entry, split, root, list_name)
    for pair in chosen:
        pair.check_mask()
    keys, read = [pair.key for pair in chosen], FilePairs(entry, chosen, cache_bytes)
    return SegmentationDataset(entry.name, entry.classes, entry.palette, keys, read, entry.background, entry.reading)
