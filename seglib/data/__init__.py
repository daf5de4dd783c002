"""Load data sets: horses, camvid, humans, cityscapes, a folder of your own, and sets that other packages register.

Every data set is opened in the same way. Its items are images with their masks:

    from seglib import data
    train = data.load("horses", split="train", root="data")
    train[0]["image"], train[0]["mask"]
    both = data.load("horses+humans", split="train", root="data")       # label 1 is "horse or human"
"""

import re
from dataclasses import replace
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from . import folder, splits
from .annotations import import_annotations
from .dataset import IGNORE, FilePairs, Pair, SegmentationDataset, Source, background_index, concat_datasets
from .images import SUFFIXES, DataError, bands_to_rgb, read_image
from .known import SOURCES
from .masks import read_mask

__all__ = ["IGNORE", "SOURCES", "SUFFIXES", "DataError", "Pair", "SegmentationDataset", "Source", "background_index"]
__all__ += [
    "bands_to_rgb",
    "generated_sets",
    "import_annotations",
    "load",
    "names",
    "pairs",
    "read_image",
    "read_mask",
    "source",
]


def __dir__() -> list[str]:
    return __all__


CACHE_BYTES = 1 << 30
GENERATED_OPTIONS = ("length", "size", "seed")


@cache
def generated_sets() -> dict[str, Any]:
    """Return {name: data set} for the data sets that packages register under the entry point `seglib.datasets`.

    Such a data set generates its images and needs no files. The course registers `creatures` and `streets`. Each has a
    method `load(split, cache_bytes, **options)` that returns a `SegmentationDataset`, and the attributes `name`,
    `title`, `classes` and `palette`, like a `Source`.
    """
    return {point.name: point.load() for point in entry_points(group="seglib.datasets")}


def names() -> list[str]:
    """Return the names that `load` accepts in addition to the path of a folder of your own."""
    return [*SOURCES, *generated_sets()]


def source(name: str) -> Source:
    """Return the description of the data set with this name or folder path. Raises DataError if there is none."""
    if name in SOURCES:
        return SOURCES[name]
    if name in generated_sets():
        raise DataError(f"{name} is generated, each split by itself: it has no files and needs no split lists.")
    if Path(name).is_dir():
        return folder.source(Path(name))
    if set(name) & set("+*"):
        raise DataError(f"{name} is several data sets; name one of them here.")
    raise DataError(f"'{name}' is neither a data set nor a folder; choose {', '.join(names())}, or a folder's path.")


def parse_joined_name(name: str) -> dict[str, int]:
    """Return the number of repetitions of each data set in a joined name: {"a": 3, "b": 1} for "a*3+b".

    In each epoch, the images of a data set appear this many times. The path of an existing folder is a single name,
    even if it contains "+" or "*".

    Raises:
        DataError: A name or a number is missing, a number is not in 1..99, or a data set is listed twice.
    """
    if Path(name).exists():
        return {name: 1}
    repeats: dict[str, int] = {}
    for part in name.split("+"):
        set_name, count = part, "1"
        if "*" in part and not Path(part).exists():
            set_name, _, count = part.rpartition("*")
        if not set_name:
            raise DataError(f"'{name}' names no data set beside a '+' or '*'; write for example horses+humans.")
        nested = "*" in set_name and not Path(set_name).exists()
        if nested or not re.fullmatch("[1-9][0-9]?", count, re.ASCII):
            raise DataError(f"'{part}': '*' must be followed by a number from 1 to 99; write for example humans*3.")
        if set_name in repeats:
            raise DataError(f"'{name}' names {set_name} twice; name it once, and as {set_name}*2 to repeat it.")
        repeats[set_name] = int(count)
    return repeats


def pairs(source: Source, split: str, root: Path | str, list_name: str = "default") -> list[Pair]:
    """Return the image and mask pairs of `split`, in the order of the split list or of the files.

    `split` is "all", a split that the data set comes with, or a split in a committed list. Committed lists also divide
    train into `fit` and `select`; checkpoints and settings are chosen on `select`. Raises DataError if the data set has
    no such split, or if images are missing.
    """
    by_key = {pair.key: pair for pair in source.find(Path(root))}
    given = {pair.split for pair in by_key.values() if pair.split}
    split = "train" if source.training_only and split == "fit" else split
    if split == "all" or split in given:
        return [pair for pair in by_key.values() if split in ("all", pair.split)]
    keys = splits.read_list(source.name, list_name, split, given)
    missing = [key for key in keys if key not in by_key]
    if missing:
        counts = f"{len(missing)} of the {len(keys)} images of split '{split}' are not there, {missing[0]} for one"
        raise DataError(f"{source.name} in {root}: {counts}; complete the data set, or take the rest by --split all.")
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
        name: One of `names()`, the path of a folder of your own, or several of these joined by "+". Joined sets form
            one data set, label by label (`concat_datasets`). With `a*3+b`, the images of `a` appear three times in each
            training epoch. Sets that are only for training are left out of the other splits of a joined set.
        split: "train", "val", "test" or "all", or "fit" or "select", the two parts of train in a committed list.
        root: The folder that contains the data sets.
        list_name: The name of the committed split list.
        cache_bytes: Maximum size of the decoded data that is kept in memory.
        channels: Number of bands of images that are not RGB. 0 uses the number in classes.yaml, or RGB if there is
            none.
        options: Keyword arguments of generated data sets: `length`, `size` (height, width) and `seed`.

    Raises:
        DataError: The data set is missing or incomplete, or does not have the requested split or option.
    """
    repeats, generated = parse_joined_name(name), generated_sets()
    wrong = next((o for o in options if o not in GENERATED_OPTIONS or not repeats.keys() & generated.keys()), None)
    if wrong:
        known = f"only {', '.join(generated)} do: {', '.join(GENERATED_OPTIONS)}"
        raise DataError(f"{name} takes no option '{wrong}'; {known}.")
    if repeats != {name: 1}:
        if split not in ("train", "fit"):
            repeats = {n: 1 for n in repeats if split == "all" or n not in SOURCES or not SOURCES[n].training_only}
        if not repeats:
            raise DataError(f"{name} is for training only and has no split '{split}'; join it with a set that has one.")
        share = cache_bytes // len(repeats)
        shared = (split, root, list_name, share, channels)
        parts = [load(n, *shared, **(options if n in generated else {})) for n in repeats]
        return concat_datasets(parts, list(repeats.values()))
    if name in generated and channels:
        raise DataError(f"data.channels is {channels}, but {name} is generated in RGB; leave it at 0.")
    if name in generated:
        return generated[name].load(split, cache_bytes, **options)
    described = source(name)
    if channels:
        described = replace(described, reading=described.reading | {"channels": channels})
    chosen = pairs(described, split, root, list_name)
    for pair in chosen:
        pair.check_mask()
    keys, read = [pair.key for pair in chosen], FilePairs(described, chosen, cache_bytes)
    return SegmentationDataset(
        described.name, described.classes, described.palette, keys, read, described.background, described.reading
    )
