"""Suggest a classes.yaml for a folder that has none.

The suggestion is checked against the values in the masks before it is reported.
"""

from collections import Counter
from pathlib import Path

import numpy as np

from seglib.data.classes import CLASSES_FILE, parse_classes
from seglib.data.dataset import IGNORE
from seglib.data.images import JPEG, DataError

MAX_VALUES = 64  # with more distinct values, a list of classes would not help
COUNTED = 4096  # once there are this many distinct values, the colors of further masks are not counted
SHOWN = 8
STRAY = 1e-3  # a value that occurs in a smaller fraction of all pixels may be an annotation error
# Masks are considered smoothed if at least NEAR_SHARE of the pixels are within NEAR of the darkest or brightest value.
NEAR, NEAR_SHARE = 32, 0.9
LEAST_FOREGROUND = 1e-3
CLASS_IDS = range(1, 64)  # if all other ids are in this range, 255 means pixels to ignore


class MaskValues:
    """Counts the pixels with each value in the masks. Label ids are counted as integers, colors as (r, g, b)."""

    def __init__(self):
        self.counts: Counter = Counter()
        self.files, self.has_jpeg = 0, False

    def add(self, values: np.ndarray, file: Path) -> None:
        self.files += 1
        self.has_jpeg |= file.suffix.lower() in JPEG
        if values.ndim == 2:
            counts = np.bincount(values.ravel(), minlength=256)
            self.counts.update({int(value): int(counts[value]) for value in np.flatnonzero(counts)})
        elif len(self.counts) < COUNTED:
            codes, counts = np.unique(values.astype(np.int32) @ (65536, 256, 1), return_counts=True)
            colors = zip(codes >> 16, codes >> 8 & 255, codes & 255, strict=True)
            self.counts.update({tuple(map(int, c)): int(n) for c, n in zip(colors, counts, strict=True)})

    def suggestion(self, folder: Path) -> str:
        """Return a message that lists the values in the masks and suggests a classes.yaml or other changes."""
        total = sum(self.counts.values())
        listed = [f"{value} ({count / total:.1%})" for value, count in self.counts.most_common(SHOWN)]
        more = f" and {len(self.counts) - SHOWN} more values" if len(self.counts) > SHOWN else ""
        held = f"the {self.files} masks hold {', '.join(listed)}{more}."
        text = self._candidate()
        shares = text and self._try(text, folder / CLASSES_FILE)
        if shares:
            return f"{held} With this {CLASSES_FILE}, they contain {shares}:\n{text}"
        reason = "JPEG blurs labels" if self.has_jpeg else "smoothing or compression has mixed the labels"
        return f"{held} Probably {reason}: save the masks again as PNG, with one class per pixel."

    def _candidate(self) -> str:
        """Return the text of a classes.yaml that may be suitable, or an empty string if there is none."""
        gray = Counter()
        for value, count in self.counts.items():
            gray[value if isinstance(value, int) else max(value)] += count
        low, high, total = min(gray), max(gray), sum(gray.values())
        near = sum(count for value, count in gray.items() if min(value - low, high - value) <= NEAR)
        common = {value for value, count in gray.items() if count >= STRAY * total}
        smooth = high - low > 2 * NEAR and near >= NEAR_SHARE * total and len(gray) > 2
        threshold = f"binary: {{above: {(low + high) // 2}}}"
        if len(self.counts) > MAX_VALUES or (self.has_jpeg and len(gray) > 2):
            return threshold if smooth else ""
        if any(isinstance(value, tuple) for value in self.counts):
            return self._painted()
        if smooth and (len(gray) > 16 or common <= {low, high}):
            return threshold
        if common <= {0, 1} and len(gray) > 2:
            return "classes: {0: background, 1: object, others: ignore}"
        return self._ids(gray)

    def _ids(self, gray: Counter) -> str:
        """Return the text of a classes.yaml with a class for each id.

        The id 255 becomes "ignore" if all other ids are small and together at least as frequent. In a trimap, the
        middle value becomes "ignore".
        """
        others = set(gray) - {0, 255}
        names = {value: f"class{value}" for value in sorted(gray)}
        names |= {0: "background"} if 0 in gray else {}
        if 255 in gray and others <= set(CLASS_IDS) and sum(gray[value] for value in others) >= gray[255]:
            names[255] = "ignore"
        elif set(gray) == {0, 255} | others and len(others) == 1 and min(others) in (127, 128):
            names |= {255: "object", min(others): "ignore"}
        return "\n".join(["classes:", *(f"  {value}: {name}" for value, name in names.items())])

    def _painted(self) -> str:
        colors = [value if isinstance(value, tuple) else (value,) * 3 for value, _ in self.counts.most_common()]
        colors = list(dict.fromkeys(sorted(colors, key=any)))  # black first
        names = [f"class{i}" if any(color) else "background" for i, color in enumerate(colors)]
        lines = [f"  - {list(color)}" for color in colors]
        return "\n".join(["classes:", *(f"  - {name}" for name in names), "colors:", *lines])

    def _try(self, text: str, file: Path) -> str:
        """Decode the mask values with the classes.yaml `text`, and return the fraction of each class as text.

        The result is empty if the masks have values without a class, or almost no foreground.
        """
        values, counts = zip(*self.counts.items(), strict=True)
        if any(isinstance(value, tuple) for value in values):
            values = [value if isinstance(value, tuple) else (value,) * 3 for value in values]
        try:
            classes = parse_classes(text, file)
            labels = classes.decode(np.array([values], np.uint8), file)[0]
        except DataError:
            return ""
        shares = np.bincount(labels, counts, minlength=256) / sum(counts)
        listed = [f"{name} {share:.1%}" for name, share in zip(classes.names, shares, strict=False)]
        listed += [f"ignored {shares[IGNORE]:.1%}"] if shares[IGNORE] else []
        outside = shares[IGNORE] + (0 if classes.background is None else shares[classes.background])
        return ", ".join(listed) if 1 - outside >= LEAST_FOREGROUND else ""
