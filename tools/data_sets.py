"""Write the committed split lists of the built-in data sets, and the digests of their content."""

import json
from collections.abc import Collection, Sequence
from pathlib import Path

from course.datasets import digests as content
from course.datasets.known import SOURCES
from seglib.data import DataError, source, splits
from seglib.data.layouts import natural_order
from seglib.data.splits import divide
from seglib.files import write_text

# Images in humans/default/train for model selection; data/README.md describes how these images were selected.
SELECTED_HUMANS = (
    "10 16 19 21 27 36 43 54 68 73 74 77 82 88 90 97 105 107 109 113 133 141 148 149 164 169 193 195 226 233 239 248 "
    "251 255 260 261 274 278 279 286"
).split()
SELECTED_SEQUENCE = "0006R0"  # of CamVid's training set

Lists = dict[str, list[str]]


def take_first(keys: Sequence[str], count: int) -> Lists:
    """Return the first `count` keys in natural order as `train` and all others as `val`."""
    keys = sorted(keys, key=natural_order)
    return {"train": keys[:count], "val": keys[count:]}


def with_selection(parts: Lists, selected: Collection[str]) -> Lists:
    """Add two lists to `parts`: `select` with the training keys that are in `selected`, and `fit` with all others."""
    return parts | {
        "fit": [key for key in parts["train"] if key not in selected],
        "select": [key for key in parts["train"] if key in selected],
    }


def _default_horses(keys: Sequence[str]) -> Lists:
    parts = divide(keys, seed=32)
    return with_selection(parts, divide(parts["train"], seed=17)["val"])


# The rules that generated the committed lists; `python -m tools split NAME` applies them again.
RULES = {
    "horses": {
        # Both seeds are the first for which none of the twelve pairs of repeated images is divided between two lists.
        "default": _default_horses,
        # The default in earlier versions. Its seed is the first for which none of the nine pairs known at that time is
        # divided. Three more pairs were found after weights had been trained with this list, and two of them are
        # divided: 075 and 234, and 193 and 254.
        "seed27": lambda keys: divide(keys, seed=27),
        "first278": lambda keys: take_first(keys, 278),
    },
    # Images 102 and 270 show the same photograph; this is the first seed for which both are in the same split.
    "humans": {"default": lambda keys: with_selection(divide(keys, seed=1), SELECTED_HUMANS)},
    # CamVid has official splits, so the lists only divide its training set.
    "camvid": {
        "default": lambda keys: {
            "fit": sorted(key for key in keys if not key.startswith(SELECTED_SEQUENCE)),
            "select": sorted(key for key in keys if key.startswith(SELECTED_SEQUENCE)),
        }
    },
}


def keys_to_divide(name: str, root: Path | str) -> list[str]:
    """Return the keys to divide, which are all keys if there is no official split, else those of the training set.

    Raises:
        DataError: If the data set is unknown or its files are missing.
    """
    return [pair.key for pair in source(name).find(Path(root)) if pair.split in (None, "train")]


def write_lists(name: str, keys: Sequence[str]) -> list[Path]:
    """Write the committed lists of data set `name`, and return the files.

    Args:
        name: Name of the data set.
        keys: The keys that `keys_to_divide` returns.

    Raises:
        DataError: If the data set has no split lists, or images in the committed lists are not in `keys`.
    """
    if name not in RULES:
        raise DataError(
            f"{name}: has no committed split lists, because it has official splits or is split by ratio. Data sets "
            f"with lists: {', '.join(RULES)}."
        )
    committed = {key for file in (splits.LISTS / name).rglob("*.txt") for key in file.read_text("utf-8").splitlines()}
    lost = sorted(committed - set(keys))
    if lost:
        raise DataError(
            f"{name}: {len(lost)} images of the committed lists are missing, for example {lost[0]}. Download the "
            "complete data set."
        )
    written = []
    for list_name, rule in RULES[name].items():
        for split, members in rule(keys).items():
            file = splits.LISTS / name / list_name / f"{split}.txt"
            file.parent.mkdir(parents=True, exist_ok=True)
            write_text(file, "".join(key + "\n" for key in members))
            written.append(file)
    return written


def write_digests(names: Sequence[str], root: Path | str) -> Path:
    """Compute the digests of the data sets in `root`, write them to the committed file, and return its path.

    The entry of a data set that is not in `root` is unchanged. If the file already contains the computed digest of a
    split, all digests of this split are kept; otherwise, they are replaced by the new digest.
    """
    digests = content.released_digests()
    for name in names:
        try:
            parts, missing = content.by_split(SOURCES[name], Path(root))
        except DataError:
            continue
        if missing:
            raise DataError(
                f"{name}: {missing[0]} is missing. Digests are written for complete copies only: download it again."
            )
        known, digests[name] = digests.get(name, {}), {}
        for split in parts.keys() - {"unlisted"}:
            digest = content.content_digest(SOURCES[name], parts[split])
            digests[name][split] = known[split] if digest in known.get(split, ()) else [digest]
    write_text(content.DIGESTS, json.dumps(digests, indent=2) + "\n")
    return content.DIGESTS
