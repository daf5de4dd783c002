"""Match image files with mask files."""

import re
import unicodedata
from pathlib import Path

from .dataset import Pair
from .images import DataError, image_suffixes

SUFFIXES = image_suffixes()


def natural_order(name: str) -> list:
    """Sort key by which "2" comes before "10"."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]


def stem_of(file: Path) -> str:
    """The name without its suffix, in one spelling: an accent is a letter of its own on some systems (NFC, NFD)."""
    return unicodedata.normalize("NFC", file.stem)


def list_images(folder: Path) -> list[Path]:
    """Return the files in `folder` with the suffix of an image, hidden ones left out, in any order."""
    return [file for file in Path(folder).iterdir() if file.suffix.lower() in SUFFIXES and file.name[0] != "."]


def image_files(folder: Path) -> dict[str, Path]:
    """Return {stem: file} of the images in `folder`, in natural order. DataError if two share a stem."""
    files: dict[str, Path] = {}
    for file in sorted(list_images(folder), key=lambda file: natural_order(file.name)):
        stem = stem_of(file)
        if stem in files:
            raise DataError(f"{file}: {files[stem].name} has the same stem; keep one of the two.")
        files[stem] = file
    return files


def index_by_stem(files: dict[str, Path], ending: str) -> dict[str, Path]:
    """Return the files whose stem ends with `ending`, by what comes before it."""
    return {stem[: len(stem) - len(ending)]: file for stem, file in files.items() if stem.endswith(ending)}


def by_stem(images: Path, masks: Path, split: str | None = None) -> list[Pair]:
    """Pair every image in `images` with the file of the same stem in `masks`.

    A mask without an image is harmless and left out. An image without a mask gets the path where its mask should be,
    and `seglib.data.load` refuses it. Raises DataError for a missing or empty folder.
    """
    for folder in (images, masks):
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder; it must hold the {'images' if folder == images else 'masks'}.")
    image_of, mask_of = image_files(images), image_files(masks)
    if not image_of:
        raise DataError(f"{images}: no images in this folder; put PNG or JPEG files there.")
    return [Pair(stem, file, mask_of.get(stem, masks / f"{stem}.png"), split) for stem, file in image_of.items()]


def masks_without_image(pairs: list[Pair]) -> list[str]:
    """Describe masks that belong to no image; only files named as the used masks are."""
    used = {file for pair in pairs for file in (pair.image, pair.mask)}
    # What follows the key in a mask's name: nothing, or Cityscapes' ending, which no other of its files has.
    endings = {stem_of(pair.mask).removeprefix(pair.key.split("/")[-1]) for pair in pairs}
    notices = []
    for folder in sorted({pair.mask.parent for pair in pairs if pair.mask.parent.is_dir()}):
        files = sorted(list_images(folder), key=lambda file: natural_order(file.name))
        spare = [file for file in files if file not in used and any(stem_of(file).endswith(end) for end in endings)]
        notices += [f"{file}: a mask without an image" for file in spare]
    return notices
