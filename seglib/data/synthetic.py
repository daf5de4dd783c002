"""The drawn data sets: as many pictures as wanted, at any size, with exact masks and nothing to download."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from . import creatures, streets
from .dataset import SegmentationDataset
from .images import DataError

# Each split draws from a range of indices of its own, so that none shares a picture with another.
FIRST_INDEX = {"train": 0, "val": 10_000_000, "test": 20_000_000}
DEFAULT_LENGTH = {"train": 256, "val": 64, "test": 64}


@dataclass(frozen=True)
class Drawn:
    """A kind of drawn picture: `draw(seed, index, height, width) -> (image, mask)`."""

    name: str
    title: str
    classes: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    draw: Callable[[int, int, int, int], tuple[np.ndarray, np.ndarray]]
    size: tuple[int, int]  # height, width unless asked otherwise


DRAWN = {
    "creatures": Drawn(
        "creatures", "drawn animals", creatures.CLASSES, creatures.PALETTE, creatures.draw_creature, (192, 240)
    ),
    "streets": Drawn("streets", "drawn streets", streets.CLASSES, streets.PALETTE, streets.draw_street, (240, 320)),
}


class Draw:
    """Draws picture number i of a split, afresh each time it is asked."""

    def __init__(self, kind: str, first: int, seed: int, size: tuple[int, int]):
        self.kind, self.first, self.seed, self.size = kind, first, seed, size

    def __call__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return DRAWN[self.kind].draw(self.seed, self.first + index, *self.size)


def load(
    name: str, split: str = "train", length: int | None = None, size: tuple[int, int] | None = None, seed: int = 0
) -> SegmentationDataset:
    """The drawn set `name`: `length` pictures of `size` (height, width).  Pictures depend on (seed, index) alone.

    Raises DataError for an unknown split.
    """
    kind = DRAWN[name]
    if split not in FIRST_INDEX:
        raise DataError(f"{name} has no split '{split}'; choose one of: {', '.join(FIRST_INDEX)}.")
    length = DEFAULT_LENGTH[split] if length is None else length
    keys = [f"{name}-{split}-{i:05d}" for i in range(length)]
    read = Draw(name, FIRST_INDEX[split], seed, tuple(size or kind.size))
    return SegmentationDataset(name, kind.classes, kind.palette, keys, read)
