"""Several data sets as one, to train on images of several sources."""

import re
from collections.abc import Sequence
from pathlib import Path

from .dataset import SegmentationDataset, SelectedReader
from .images import DataError


def is_joined(name: str) -> bool:
    """Return whether `name` joins or repeats data sets, as in a+b or a*3; the path of a folder does not."""
    return ("+" in name or "*" in name) and not Path(name).exists()


def parse_joined_name(name: str) -> dict[str, int]:
    """Return how often each data set of a joined name is shown in an epoch: {"a": 3, "b": 1} for a*3+b.

    Raises:
        DataError: a name or a number is missing, a number is not in 1..99, or a data set is named twice.
    """
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


def concat_datasets(parts: Sequence[SegmentationDataset], repeats: Sequence[int] | None = None) -> SegmentationDataset:
    """Return the items of all `parts`, one set after the other; the keys begin with their set's name.

    Label 1 of one set becomes the same as label 1 of the others, whatever it is called: a class whose names differ
    is called "horse or human".  Colours are the first set's.

    Args:
        parts: the data sets, with equal numbers of classes and different names.
        repeats: how often each set's items occur; once if None.

    Raises:
        DataError: the sets have different numbers of classes, or two have the same name.
    """
    first, names = parts[0], [part.name for part in parts]
    for part, name in zip(parts, names, strict=True):
        if part.num_classes != first.num_classes:
            raise DataError(
                f"{first.name} has {first.num_classes} classes and {name} {part.num_classes}: sets are joined label by "
                "label and must have the same number; join others, or make a folder of your own with equal labels."
            )
        if part.background_index != first.background_index:
            raise DataError(
                f"of {first.name} and {name}, one has a background class and the other none: name it in the other's "
                "classes.yaml, or join sets that agree."
            )
        if names.count(name) > 1:
            raise DataError(f"two of the joined sets are called {name}; name each once, and rename one of two folders.")
    classes = [" or ".join(dict.fromkeys(same)) for same in zip(*(part.classes for part in parts), strict=True)]
    repeated = [part for part, count in zip(parts, repeats or [1] * len(parts), strict=True) for _ in range(count)]
    keys = [f"{part.name}/{key}" for part in repeated for key in part.keys]
    read = SelectedReader([(part.read, i) for part in repeated for i in range(len(part))])
    return SegmentationDataset("+".join(names), classes, first.palette, keys, read)
