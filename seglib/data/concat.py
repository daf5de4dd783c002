"""Several data sets as one, to learn from pictures of several sources."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

import numpy as np

from .dataset import SegmentationDataset
from .images import DataError


class _Joined:
    """Reads item i of several data sets put one after the other."""

    def __init__(self, parts: Sequence[SegmentationDataset]):
        self.reads = [part.read for part in parts]
        self.ends = list(accumulate(len(part) for part in parts))

    def __call__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        part = bisect_right(self.ends, index)
        return self.reads[part](index - (self.ends[part - 1] if part else 0))


def joined(parts: Sequence[SegmentationDataset]) -> SegmentationDataset:
    """The items of all `parts`, one set after the other; the keys begin with their set's name.

    Label 1 of one set becomes the same as label 1 of the others, whatever it is called: a class whose names differ
    is called "horse or human".  Colours are the first set's.  DataError if the sets have different numbers of classes,
    or two have the same name.
    """
    first, names = parts[0], [part.name for part in parts]
    for part, name in zip(parts, names, strict=True):
        if part.num_classes != first.num_classes:
            raise DataError(
                f"{first.name} has {first.num_classes} classes and {name} {part.num_classes}: sets are joined label by "
                "label and must have the same number; join others, or make a folder of your own with equal labels."
            )
        if names.count(name) > 1:
            raise DataError(f"two of the joined sets are called {name}; name each once, and rename one of two folders.")
    classes = [" or ".join(dict.fromkeys(same)) for same in zip(*(part.classes for part in parts), strict=True)]
    keys = [f"{part.name}/{key}" for part in parts for key in part.keys]
    return SegmentationDataset("+".join(names), classes, first.palette, keys, _Joined(parts))
