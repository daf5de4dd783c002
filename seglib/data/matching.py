"""List the image files of a folder, and match names of files."""

import glob
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from .images import DataError, image_suffixes

SUFFIXES = image_suffixes()


def natural_order(name: str) -> list:
    """Sort key by which "2" comes before "10"."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]


def stem_of(file: Path) -> str:
    """The name without its suffix, in one spelling: an accent is a letter of its own on some systems (NFC, NFD)."""
    return unicodedata.normalize("NFC", file.stem)


def list_images(folder: Path) -> list[Path]:
    """Return the files in `folder` with the suffix of an image, hidden ones left out, in natural order."""
    files = [file for file in Path(folder).iterdir() if file.suffix.lower() in SUFFIXES and file.name[0] != "."]
    return sorted(files, key=lambda file: natural_order(file.name))


def image_files(folder: Path) -> dict[str, Path]:
    """Return {stem: file} of the images in `folder`, in natural order. DataError if two share a stem."""
    files: dict[str, Path] = {}
    for file in list_images(folder):
        stem = stem_of(file)
        if stem in files:
            raise DataError(f"{file}: {files[stem].name} has the same stem; keep one of the two.")
        files[stem] = file
    return files


def index_by_stem(files: dict[str, Path], ending: str) -> dict[str, Path]:
    """Return the files whose stem ends with `ending`, by what comes before it."""
    return {stem[: len(stem) - len(ending)]: file for stem, file in files.items() if stem.endswith(ending)}


def match_pattern(folder: Path | str, pattern: str) -> list[tuple[dict[str, str], Path]]:
    """Return the files below `folder` that fit a pattern such as "{split}/*/{name}.jpg", in natural order.

    Each comes with the parts of its path that stand for the words in braces. `*` stands for any part of a name. Hidden
    files are left out.
    """
    expression, names = "", ""
    for part in re.split(r"(\{\w+\}|\*+)", pattern):
        word = part[1:-1] if part.startswith("{") else ""
        is_open = bool(word) or part.startswith("*")
        names += "*" if is_open else glob.escape(part)
        if word:
            expression += f"(?P={word})" if f"(?P<{word}>" in expression else f"(?P<{word}>[^/]+)"
        else:
            expression += "[^/]*" if is_open else re.escape(part)
    files = sorted(Path(folder).glob(names), key=lambda file: natural_order(file.as_posix()))
    matches = [(re.fullmatch(expression, file.relative_to(folder).as_posix()), file) for file in files]
    return [(match.groupdict(), file) for match, file in matches if match and file.name[0] != "."]


def masks_without_image(pairs: Sequence) -> list[str]:
    """Describe masks that belong to none of `pairs`; only files named as the used masks are."""
    used = {file for pair in pairs for file in (pair.image, pair.mask)}
    # What follows the key in a mask's name: nothing, or Cityscapes' ending, which no other of its files has.
    endings = {stem_of(pair.mask).removeprefix(pair.key.split("/")[-1]) for pair in pairs}
    folders = sorted({pair.mask.parent for pair in pairs if pair.mask.parent.is_dir()})
    spare = [file for folder in folders for file in list_images(folder) if file not in used]
    return [f"{file}: a mask without an image" for file in spare if any(stem_of(file).endswith(e) for e in endings)]
