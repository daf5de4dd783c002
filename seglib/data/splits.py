"""Which image belongs to which split: committed lists, and the division of other folders by ratio."""

import random
from collections.abc import Collection, Sequence

from ..files import RESOURCES
from .images import DataError
from .layouts import natural_order

SPLITS = ("train", "val", "test")
LISTS = RESOURCES / "data" / "splits"


def divide(keys: Sequence[str], train_share: float = 0.85, seed: int = 0) -> dict[str, list[str]]:
    """Shuffle the sorted keys with `seed` and cut: the first share, rounded, is train, the rest val.

    Each gets at least one key where there are two. The same keys give the same split on every machine, in any order.
    """
    keys = sorted(sorted(keys), key=natural_order)  # twice: natural order takes 1 and 01 for equal
    shuffled = random.Random(seed).sample(keys, len(keys))
    count = max(min(round(len(keys) * train_share), len(keys) - 1), min(len(keys), 1))
    parts = {"train": shuffled[:count], "val": shuffled[count:]}
    return {split: sorted(part, key=natural_order) for split, part in parts.items()}


def read_list(name: str, list_name: str, split: str, given: Collection[str] = ()) -> list[str]:
    """Return the keys of one committed split. DataError if there is no such list; `given` are the set's own splits."""
    file = LISTS / name / list_name / f"{split}.txt"
    if file.is_file():
        return file.read_text(encoding="utf-8").splitlines()
    listed = [listed.relative_to(LISTS / name).with_suffix("").as_posix() for listed in (LISTS / name).rglob("*.txt")]
    known = ", ".join(sorted([*given, *listed])) or "none is committed"
    raise DataError(f"{name} has no split '{split}' in the list '{list_name}'; choose 'all' or one of: {known}.")
