"""Which pair belongs to which split: committed lists, and the rule that made them."""

import random
from collections.abc import Collection, Sequence
from pathlib import Path

from ..files import RESOURCES, write_text
from .images import DataError
from .matching import natural_order

LISTS = RESOURCES / "data" / "splits"


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


# Pairs of keys that are one photo.  The last three of the horses differ in crop or tint, so that `check` finds them
# by no comparison of its own; they were found by matching SIFT descriptors of all images and looking at the matches.
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

# Images of humans/default/train on which checkpoints and settings are chosen; data/README.md says how they were chosen.
SELECTED_HUMANS = (
    "10 16 19 21 27 36 43 54 68 73 74 77 82 88 90 97 105 107 109 113 133 141 148 149 164 169 193 195 226 233 239 248 "
    "251 255 260 261 274 278 279 286"
).split()
SELECTED_SEQUENCE = "0006R0"  # of CamVid's train

Lists = dict[str, list[str]]


def with_selection(parts: Lists, selected: Collection[str]) -> Lists:
    """Add `fit` and `select` to `parts`: the keys of train that are not `selected`, and those that are."""
    return parts | {
        "fit": [key for key in parts["train"] if key not in selected],
        "select": [key for key in parts["train"] if key in selected],
    }


def _default_horses(keys: Sequence[str]) -> Lists:
    parts = divide(keys, seed=32)
    return with_selection(parts, divide(parts["train"], seed=17)["val"])


# How each committed list was made; `seglib data split NAME` makes it again.
RULES = {
    "horses": {
        # In both steps the first seed that divides none of the twelve pairs.
        "default": _default_horses,
        # The first seed that divides none of the first nine pairs: `default` of earlier versions.  The other three were
        # found when weights had been trained with it; it divides 075 from 234 and 193 from 254.
        "seed27": lambda keys: divide(keys, seed=27),
        "first278": lambda keys: first(keys, 278),
    },
    # 102 and 270 are one photo: the first seed that puts both on the same side.
    "humans": {"default": lambda keys: with_selection(divide(keys, seed=1), SELECTED_HUMANS)},
    # CamVid comes split: the lists only divide its train.
    "camvid": {
        "default": lambda keys: {
            "fit": sorted(key for key in keys if not key.startswith(SELECTED_SEQUENCE)),
            "select": sorted(key for key in keys if key.startswith(SELECTED_SEQUENCE)),
        }
    },
}


def names(name: str, list_name: str) -> list[str]:
    """Return the splits that a committed list of data set `name` defines; none if there is no such list."""
    return sorted(file.stem for file in (LISTS / name / list_name).glob("*.txt"))


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
    """Make the committed lists of data set `name` and return the files written.

    `keys`: all that no split is given for, or those of train if the set comes split.
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
