"""Which pair belongs to which split: committed lists, and the rule that made them."""

import random
from collections.abc import Sequence
from pathlib import Path

from ..files import write_text
from .images import DataError
from .matching import natural_order

LISTS = Path(__file__).resolve().parents[2] / "data" / "splits"


def divide(keys: Sequence[str], train_share: float = 0.85, seed: int = 0) -> dict[str, list[str]]:
    """Shuffle the sorted keys with `seed` and cut: the first share, rounded, is train, the rest val.

    Each gets at least one key where there are two.  The same keys give the same split on every machine,
    in whatever order they come.
    """
    keys = sorted(sorted(keys), key=natural_order)  # twice: natural order takes 1 and 01 for equal
    shuffled = random.Random(seed).sample(keys, len(keys))
    count = max(min(round(len(keys) * train_share), len(keys) - 1), min(len(keys), 1))
    return {
        "train": sorted(shuffled[:count], key=natural_order),
        "val": sorted(shuffled[count:], key=natural_order),
    }


def first(keys: Sequence[str], count: int) -> dict[str, list[str]]:
    """The first `count` keys in natural order are train, the rest val."""
    keys = sorted(keys, key=natural_order)
    return {"train": keys[:count], "val": keys[count:]}


# Pairs of keys that are one photograph.  The last three differ in crop or tint, so that no sieve of `check` finds
# them; they were found by matching SIFT descriptors of all pictures and looking at those that agreed.
REPEATED = {
    "horses": [
        (f"horse{a}", f"horse{b}")
        for a, b in (
            ("004", "146"),
            ("006", "018"),
            ("071", "219"),
            ("118", "171"),
            ("175", "205"),
            ("180", "203"),
            ("240", "274"),
            ("246", "294"),
            ("263", "264"),
            ("075", "234"),
            ("193", "254"),
            ("245", "313"),
        )
    ],
    "humans": [("102", "270")],
}

# How each committed list was made; `seglib data split NAME` makes it again.
RULES = {
    # The first seed that divides none of the first nine pairs.  The other three were found when weights had been
    # trained with it; it divides 075 from 234 and 193 from 254, and the cards give the scores without the two in val.
    "horses": {"default": lambda keys: divide(keys, seed=27), "first278": lambda keys: first(keys, 278)},
    # 102 and 270 are one photograph: the first seed that puts both on the same side.
    "humans": {"default": lambda keys: divide(keys, seed=1)},
}


def read_list(name: str, list_name: str, split: str) -> list[str]:
    """The keys of one committed split.  DataError if there is no such list."""
    file = LISTS / name / list_name / f"{split}.txt"
    if not file.is_file():
        known = sorted(str(f.relative_to(LISTS / name).with_suffix("")) for f in (LISTS / name).rglob("*.txt"))
        raise DataError(
            f"{name} has no split '{split}' in the list '{list_name}'; "
            f"choose 'all' or one of: {', '.join(known) or 'none is committed'}."
        )
    return file.read_text(encoding="utf-8").splitlines()


def write_lists(name: str, keys: Sequence[str]) -> list[Path]:
    """Make the committed lists of data set `name` from all its keys; returns the files written.

    Raises DataError for a set that needs none.
    """
    if name not in RULES:
        raise DataError(f"{name} comes with its splits, or is split by ratio; lists are made for: {', '.join(RULES)}.")
    if (LISTS / name).is_dir():
        committed = {key for file in (LISTS / name).rglob("*.txt") for key in file.read_text("utf-8").splitlines()}
        lost = sorted(committed - set(keys))
        if lost:
            raise DataError(
                f"{name}: {len(lost)} images of the committed lists are not here, {lost[0]} for one; complete it."
            )
    written = []
    for list_name, rule in RULES[name].items():
        for split, members in rule(keys).items():
            file = LISTS / name / list_name / f"{split}.txt"
            file.parent.mkdir(parents=True, exist_ok=True)
            write_text(file, "".join(key + "\n" for key in members))
            written.append(file)
    return written
