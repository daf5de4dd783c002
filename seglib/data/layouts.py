"""Find images and their masks in the folder layouts that common tools and data sets use.

A layout is recognized by its folder and file names. docs/data_formats.md shows all layouts.
"""

import glob
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..plugins import registered
from .dataset import Pair
from .images import SUFFIXES, DataError

MASK_FOLDERS = "masks mask labels label ann_dir annotations annotation annots gt segmentation".split()
# Lower-case name of an image folder -> possible names of its mask folder.
IMAGE_FOLDERS = dict.fromkeys(("images", "image", "imgs", "img", "img_dir"), MASK_FOLDERS)
IMAGE_FOLDERS |= {"imagestr": ["labelstr"], "imagests": ["labelsts"]}  # the names in nnU-Net
SPLIT_NAMES = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val"}
SPLIT_NAMES |= {"test": "test", "testing": "test", "imagests": "test"}
SPLIT_ENDINGS = ("annot", "_annot", "_labels", "_masks", "_mask", "_gt")  # CamVid: train/ and trainannot/
MASK_ENDINGS = ["", *"_mask -mask .mask _masks _gt _seg _segmentation _label _labels _L _matte".split()]
IMAGE_ENDINGS = ("", "_0000", "_sat", "_image", "_img", "_rgb")

Parts = tuple[str, ...]  # the folder names in a relative path


@dataclass
class Layout:
    """The image and mask files in a folder. `skipped` lists other files, and images in folders without masks."""

    places: list[str]  # descriptions of the recognized folders
    pairs: list[Pair]
    skipped: list[Path] = field(default_factory=list)


def detect(path: Path) -> Layout:
    """Find images and masks below `path`. Raises DataError if no layout matches, or if two match equally well."""
    folders = _walk(path)
    by_name = {tuple(map(str.lower, parts)): parts for parts in folders}
    masks_of = {parts: [by_name[o] for o in _list_mask_folders(parts) if o in by_name] for parts in folders}
    if not any(masks_of.values()):  # images and masks are in the same folders
        masks_of = {parts: [parts] for parts in folders}
    layout = Layout([], [])
    for parts, candidates in masks_of.items():
        if candidates:
            _add(layout, path, parts, candidates)
    if not layout.pairs:
        raise DataError(_explain_no_layout(path, folders))
    used = {file.parent for pair in layout.pairs for file in (pair.image, pair.mask)}
    layout.skipped += [file for folder in folders.values() if folder not in used for file in list_images(folder)]
    return layout


def _walk(path: Path) -> dict[Parts, Path]:
    """Return {parts: folder} for the folders below `path` that contain image files, in natural order."""
    folders, visited = {}, set()
    for root, inner, names in os.walk(path, followlinks=True):
        real = os.path.realpath(root)
        inner[:] = [] if real in visited else sorted((n for n in inner if n[0] not in "._"), key=natural_order)
        visited.add(real)
        if any(os.path.splitext(name)[1].lower() in SUFFIXES for name in names):
            folders[Path(root).relative_to(path).parts] = Path(root)
    return folders


def _list_mask_folders(parts: Parts) -> list[Parts]:
    """Return the possible mask folders for the image folder `parts`, in lower case."""
    lower = tuple(map(str.lower, parts))
    folders = []
    for i, part in enumerate(lower):
        beside_split = [part + ending for ending in SPLIT_ENDINGS] if part in SPLIT_NAMES else []
        folders += [(*lower[:i], name, *lower[i + 1 :]) for name in IMAGE_FOLDERS.get(part, beside_split)]
    return folders


def _add(layout: Layout, path: Path, parts: Parts, candidates: Sequence[Parts]) -> None:
    """Add the images in one folder, with masks from the candidate folder that has masks for the most images."""
    matches = [_match(path.joinpath(*parts), path.joinpath(*masks)) for masks in candidates]
    counts = [sum(mask is not None for _, mask in matched.values()) for _, matched in matches]
    best = counts.index(max(counts))
    if counts.count(counts[best]) > 1 and counts[best]:
        names = " and ".join("/".join(candidates[i]) for i, count in enumerate(counts) if count == counts[best])
        raise DataError(f"{path}: {names} hold masks of the same images; choose with --pattern, or `pattern:`.")
    mask_ending, matched = matches[best]
    if candidates[best] == parts and not counts[best]:
        return
    split = next((SPLIT_NAMES[part.lower()] for part in parts if part.lower() in SPLIT_NAMES), None)
    prefix = [part for part in parts if part.lower() not in IMAGE_FOLDERS or part.lower() == "imagests"]
    masks = path.joinpath(*candidates[best])
    for stem, (image, mask) in matched.items():
        expected = masks / f"{stem}{mask_ending}.png"
        layout.pairs.append(Pair("/".join([*prefix, stem]), image, mask or expected, split))
    used = {image for image, _ in matched.values()} | {mask for _, mask in matched.values()}
    others = (file for file in path.joinpath(*parts).iterdir() if file.is_file() and file.name[0] != ".")
    layout.skipped += [file for file in others if file not in used and file.suffix.lower() not in SUFFIXES]
    places = ["/".join(where) + "/" if where else "the folder itself" for where in (parts, candidates[best])]
    named = f" named NAME{mask_ending}" if mask_ending else ""
    layout.places.append(f"images in {places[0]}, masks in {places[1]}{named}")


def _match(images: Path, masks: Path) -> tuple[str, dict[str, tuple[Path, Path | None]]]:
    """Match the images in one folder to the masks in another folder by name.

    Returns the ending of the mask names that matches the most files, such as "_mask", and {stem: (image, mask or
    None)}. If both folders are the same, the mask of x.jpg is x_mask.png or x.png.
    """
    image_endings, mask_endings = IMAGE_ENDINGS, MASK_ENDINGS
    if images == masks:
        png, other = {}, {}
        for file in list_images(images):
            (png if file.suffix.lower() == ".png" else other)[stem_of(file)] = file
        if other and png.keys() == other.keys():
            return "", {stem: (other[stem], png[stem]) for stem in png}
        image_endings, mask_endings = IMAGE_ENDINGS[:1], MASK_ENDINGS[1:]
    image_of, mask_of = image_files(images), image_files(masks)
    image_ending, mask_ending = max(
        ((image_ending, mask_ending) for image_ending in image_endings for mask_ending in mask_endings),
        key=lambda ends: len(index_by_stem(image_of, ends[0]).keys() & index_by_stem(mask_of, ends[1]).keys()),
    )
    masks_of, matches = index_by_stem(mask_of, mask_ending), {}
    if images == masks:
        image_of = {name: file for name, file in image_of.items() if not name.endswith(mask_ending)}
    for name, file in image_of.items():
        stem = name.removesuffix(image_ending)
        stem = stem if stem in masks_of else name  # the key of an image without a mask is its whole name
        matches[stem] = (file, masks_of.get(stem))
    return mask_ending, matches


def by_pattern(path: Path, images: str, masks: str) -> Layout:
    """Find images and masks with two patterns, such as "{split}/rgb/{name}.jpg" and "{split}/seg/{name}_m.png".

    The patterns are relative to `path`. `{name}` and `{split}` match any part of a file or folder name, and `*` matches
    any part that should be ignored. An image and a mask form a pair if their `{name}` and `{split}` are the same.
    """
    pairs: dict[str, Pair] = {}
    for pattern in (images, masks):
        if "{name}" not in pattern or re.search(r"\{(?!name\}|split\})|^/", pattern):
            raise DataError(f"the pattern '{pattern}' must have {{name}}, and may have {{split}} and *.")
    if "{split}" in masks and "{split}" not in images:
        raise DataError(f"the pattern '{images}' must have {{split}}, as '{masks}' has it.")
    words, masks_of = re.findall(r"\{(\w+)\}", masks), defaultdict(list)
    for parts, mask in match_pattern(path, masks):
        masks_of[tuple(parts[word] for word in words)].append(mask)
    for parts, image in match_pattern(path, images):
        if image.suffix.lower() in SUFFIXES:
            mask, *others = masks_of.get(tuple(parts[word] for word in words)) or [path / masks.format(**parts)]
            if others:
                raise DataError(f"{mask}: fits the pattern '{masks}', as does {others[0]}; make it narrower.")
            split = parts.get("split")
            key = f"{split}/{parts['name']}" if split else parts["name"]
            if key in pairs:
                raise DataError(f"{image}: fits the pattern '{images}', as does {pairs[key].image}; make it narrower.")
            pairs[key] = Pair(key, image, mask, split and SPLIT_NAMES.get(split.lower(), split))
    used = {pair.mask for pair in pairs.values()}
    chosen = [pair for pair in pairs.values() if pair.image not in used]
    if not chosen:
        raise DataError(f"{path}: no file matches the pattern '{images}'; correct it.")
    return Layout([f"images {images}, masks {masks}"], chosen)


def _explain_no_layout(path: Path, folders: dict[Parts, Path]) -> str:
    """Return the error message for a folder without a known layout.

    If there are annotations, it names the command that imports them. Packages register functions that recognize
    annotations in the entry point group `seglib.annotation_formats`: folder -> names of formats.
    """
    formats = [name for point in registered("seglib.annotation_formats") for name in point.load()(path)]
    if formats:
        return f"{path}: has {' or '.join(formats)} annotations; convert them with `seglib data import {path} NEW`."
    places = ", ".join("/".join(parts) or "itself" for parts in list(folders)[:5]) or "no folder"
    return (
        f"{path}: no images with masks were recognized; images are in: {places}. Put images in images/ and masks of "
        "the same name in masks/, or describe your layout with --pattern; see docs/data_formats.md."
    )


def natural_order(name: str) -> list:
    """Return a sort key that puts "2" before "10"."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]


def stem_of(file: Path) -> str:
    """Return the file name without its extension, normalized to Unicode NFC, because some systems store NFD names."""
    return unicodedata.normalize("NFC", file.stem)


def list_images(folder: Path) -> list[Path]:
    """Return the image files in `folder`, recognized by their extension, in natural order.

    Hidden files are left out.
    """
    files = [file for file in Path(folder).iterdir() if file.suffix.lower() in SUFFIXES and file.name[0] != "."]
    return sorted(files, key=lambda file: natural_order(file.name))


def image_files(folder: Path) -> dict[str, Path]:
    """Return {stem: file} of the images in `folder`, in natural order. Raises DataError if a stem occurs twice."""
    files: dict[str, Path] = {}
    for file in list_images(folder):
        stem = stem_of(file)
        if stem in files:
            raise DataError(f"{file}: {files[stem].name} has the same stem; keep one of the two.")
        files[stem] = file
    return files


def index_by_stem(files: dict[str, Path], ending: str) -> dict[str, Path]:
    """Return {stem without `ending`: file} for the files whose stem ends with `ending`."""
    return {stem[: len(stem) - len(ending)]: file for stem, file in files.items() if stem.endswith(ending)}


def match_pattern(folder: Path | str, pattern: str) -> list[tuple[dict[str, str], Path]]:
    """Return the files below `folder` that match a pattern such as "{split}/*/{name}.jpg", in natural order.

    Each result is a dict with the parts of the path that match the fields in braces, and the file. `*` matches any part
    of a name. Hidden files are left out.
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
