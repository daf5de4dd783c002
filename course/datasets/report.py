"""The report of a data set check, as an object and as text."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

SHOWN = 10  # maximum number of findings of each kind listed in the text


@dataclass
class Report:
    """The result of `validation.check`. `ok` is True if all files are valid and no image is in two splits."""

    name: str
    title: str
    place: str
    classes: tuple[str, ...]
    images: dict[str, int] = field(default_factory=dict)  # {split: number of images}
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)  # {"smallest": (width, height), ...}
    pixels: list[int] = field(default_factory=list)  # number of pixels of each class
    ignored: int = 0
    duplicates: list[tuple[str, str]] = field(default_factory=list)  # pairs of identical images in different splits
    suspects: list[tuple[str, str]] = field(default_factory=list)  # near and known duplicates in different splits
    released: dict[str, bool] = field(default_factory=dict)  # {split: whether it matches a released digest}
    layout: str = ""  # description of the detected layout; only for your own folders
    notices: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)  # likely mistakes
    faults: list[str] = field(default_factory=list)  # error messages, one per file
    suggestion: str = ""  # text that suggests a classes.yaml, which was tested on the masks

    @property
    def ok(self) -> bool:
        return not self.faults and not self.duplicates

    def text(self) -> str:
        """Return the report as text."""
        sizes = ", ".join(f"{which} {width}x{height}" for which, (width, height) in self.sizes.items())
        lines = [
            f"{self.name}: {self.title}, {self.place}",
            *([f"layout      {self.layout}"] if self.layout else []),
            f"images      {', '.join(f'{count} {split}' for split, count in self.images.items())}",
            f"sizes       {sizes or 'none'}",
            *self._histogram(),
            *_listed("duplicates", [f"{a} = {b}" for a, b in self.duplicates], "no image is in two splits"),
            *_listed("suspects", [f"{a} ~ {b}" for a, b in self.suspects], "none look alike in two splits"),
            *(f"content     {split}: {_RELEASED[same]}" for split, same in self.released.items()),
            *_listed("notices", self.notices),
            *_listed("warnings", self.warnings),
            *_listed("faults", _by_kind(self.faults)),
            *([f"suggestion  {self.suggestion}"] if self.suggestion else []),
        ]
        return "\n".join(lines)

    def _histogram(self) -> Iterator[str]:
        total, width = sum(self.pixels), max(map(len, self.classes))
        for i, (name, count) in enumerate(zip(self.classes, self.pixels, strict=True)):
            yield f"{'' if i else 'pixels':11} {name:{width}} {count / max(total, 1):8.3%} {count:>15,}"
        share = self.ignored / max(total + self.ignored, 1)
        yield f"{'':11} {'ignored':{width}} {share:8.3%} {self.ignored:>15,} (share of all pixels)"


_RELEASED = {True: "the copy that the course was made with", False: "differs from the one the course was made with"}


def _by_kind(faults: list[str]) -> list[str]:
    """Merge messages that differ only in file names and numbers: keep the first, and append the other file names."""
    kinds: dict[str, list[str]] = {}
    for fault in faults:
        kinds.setdefault(re.sub(r"\(.*?\)|\S*/\S*|\d[\d, ]*", "#", fault.partition(": ")[2]), []).append(fault)
    lines = []
    for first, *others in kinds.values():
        names = ", ".join(Path(fault.partition(": ")[0]).name for fault in others[:SHOWN])
        dots = ", ..." if len(others) > SHOWN else ""
        lines.append(f"{first} The same in {len(others)} more: {names}{dots}" if others else first)
    return lines


def _listed(head: str, findings: list[str], none: str = "none") -> list[str]:
    lines = [f"{head:11} {len(findings) or none}"]
    lines += [f"{'':11} {finding}" for finding in findings[:SHOWN]]
    return lines + ([f"{'':11} ... and {len(findings) - SHOWN} more"] if len(findings) > SHOWN else [])
