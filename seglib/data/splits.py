"""Assign images to splits, using the package's split lists for built-in data sets and random splits for folders."""

import random
from collections.abc import Collection, Sequence

from ..files import RESOURCES
from .images import DataError
from .layouts import natural_order

SPLITS = ("train", "val", "test")
LISTS = RESOURCES / "data" / "splits"


def divide(keys: Sequence[str], train_share: float = 0.85, seed: int = 0) -> dict[str, list[str]]:
    """Divide the keys at random into "train" and "val". `train_share` is the fraction of the keys in "train".

    If there are two or more keys, each split gets at least one. The result depends only on the set of keys and on
    `seed`, not on the order of the keys or on the machine.
    """
    keys = sorted(sorted(keys), key=natural_order)  # sorted twice: natural order treats 1 and 01 as equal
    shuffled = random.Random(seed).sample(keys, len(keys))
    count = max(min(round(len(keys) * train_share), len(keys) - 1), min(len(keys), 1))
    parts = {"train": shuffled[:count], "val": shuffled[count:]}
    return {split: sorted(part, key=natural_order) for split, part in parts.items()}


def read_list(name: str, list_name: str, split: str, given: Collection[str] = ()) -> list[str]:
    """Return the keys in the list `list_name` of one split. Raises DataError if there is no such list.

    `given` contains the splits that the data set itself defines. They are listed in the error message.
    """
    file = LISTS / name / list_name / f"{split}.txt"
    if file.is_file():
        return file.read_text(encoding="utf-8").splitlines()
    listed = [listed.relative_to(LISTS / name).with_suffix("").as_posix() for listed in (LISTS / name).rglob("*.txt")]
    known = ", ".join(sorted([*given, *listed])) or "none is committed"
    raise DataError(f"{name} has no split '{split}' in the list '{list_name}'; choose 'all' or one of: {known}.")
