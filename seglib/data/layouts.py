"""Find the images of a folder and their masks, in the layouts that tools and data sets use.

A layout is recognised from the names of folders and files. docs/data_formats.md shows all of them.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .dataset import Pair
from .images import DataError, image_suffixes
from .matching import image_files, index_by_stem, list_images, match_pattern, natural_order, stem_of

# Folder names in lower case: a folder of images, and what its folder of masks may be called in its place.
IMAGE_FOLDERS = {name: "" for name in ("images", "image", "imgs", "img", "img_dir")}
IMAGE_FOLDERS |= {"imagestr": "labelstr", "imagests": "labelsts"}  # as nnU-Net names them
MASK_FOLDERS = "masks mask labels label ann_dir annotations annotation annots gt segmentation".split()
SPLIT_NAMES = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val"}
SPLIT_NAMES |= {"test": "test", "testing": "test", "imagests": "test"}
SPLIT_ENDINGS = ("annot", "_annot", "_labels", "_masks", "_mask", "_gt")  # CamVid: train/ and trainannot/
MASK_ENDINGS = ["", *"_mask -mask .mask _masks _gt _seg _segmentation _label _labels _L _matte".split()]
IMAGE_ENDINGS = ("", "_0000", "_sat", "_image", "_img", "_rgb")

Parts = tuple[str, ...]  # the folders on the way to a file


@dataclass
class Layout:
    """The image and mask files of a folder; `skipped` are other files, and images without masks in other folders."""

    description: str
    pairs: list[Pair]
    skipped: list[Path] = field(default_factory=list)


def detect(path: Path) -> Layout:
    """Find images and masks below `path`. DataError if no layout fits, or two fit equally."""
    folders = _walk(path)
    by_name = {tuple(map(str.lower, parts)): parts for parts in folders}
    layout, endings = Layout("", []), {}
    for parts in folders:
        masks = [by_name[other] for other in _mask_folders(parts) if other in by_name]
        if masks:
            _add(layout, endings, path, parts, masks)
    if not layout.pairs:
        for parts in folders:
            _add(layout, endings, path, parts, [parts])
    if not layout.pairs:
        raise DataError(_nothing_fits(path, folders))
    used = {file.parent for pair in layout.pairs for file in (pair.image, pair.mask)}
    layout.skipped += [file for folder in folders.values() if folder not in used for file in list_images(folder)]
    layout.description = "; ".join(
        f"images in {images}, masks in {masks}{f' named NAME{ending}' if ending else ''}"
        for (images, masks), ending in endings.items()
    )
    return layout


def _walk(path: Path) -> dict[Parts, Path]:
    """Return the folders below `path` with image files, by their parts, in natural order."""
    folders, visited = {}, set()
    for root, inner, names in os.walk(path, followlinks=True):
        real = os.path.realpath(root)
        inner[:] = [] if real in visited else sorted((n for n in inner if n[0] not in "._"), key=natural_order)
        visited.add(real)
        if any(os.path.splitext(name)[1].lower() in image_suffixes() for name in names):
            folders[Path(root).relative_to(path).parts] = Path(root)
    return folders


def _mask_folders(parts: Parts) -> list[Parts]:
    """Return where the masks of images in the folder `parts` may be, in lower case."""
    lower = tuple(map(str.lower, parts))
    folders = []
    for i, part in enumerate(lower):
        names = [IMAGE_FOLDERS[part]] if IMAGE_FOLDERS.get(part) else MASK_FOLDERS if part in IMAGE_FOLDERS else ()
        names = [part + ending for ending in SPLIT_ENDINGS] if part in SPLIT_NAMES and not names else names
        folders += [(*lower[:i], name, *lower[i + 1 :]) for name in names]
    return folders


def _add(layout: Layout, endings: dict, path: Path, parts: Parts, candidates: Sequence[Parts]) -> None:
    """Add the images of one folder, with the masks of the candidate that fits most of them."""
    matches = [_match(path.joinpath(*parts), path.joinpath(*masks)) for masks in candidates]
    counts = [sum(mask is not None for _, mask in matched.values()) for _, matched in matches]
    best = counts.index(max(counts))
    if counts.count(counts[best]) > 1 and counts[best]:
        names = " and ".join("/".join(candidates[i]) for i, count in enumerate(counts) if count == counts[best])
        raise DataError(f"{path}: {names} hold masks of the same images; choose by --pattern, or `pattern:`.")
    mask_ending, matched = matches[best]
    if candidates[best] == parts and not counts[best]:
        return
    split = next((SPLIT_NAMES[part.lower()] for part in parts if part.lower() in SPLIT_NAMES), None)
    prefix = [part for part in parts if part.lower() not in IMAGE_FOLDERS]
    masks = path.joinpath(*candidates[best])
    for stem, (image, mask) in matched.items():
        expected = masks / f"{stem}{mask_ending}.png"
        layout.pairs.append(Pair("/".join([*prefix, stem]), image, mask or expected, split))
    used = {image for image, _ in matched.values()} | {mask for _, mask in matched.values()}
    others = (file for file in path.joinpath(*parts).iterdir() if file.is_file() and file.name[0] != ".")
    layout.skipped += [file for file in others if file not in used and file.suffix.lower() not in image_suffixes()]
    place = tuple("/".join(where) + "/" if where else "the folder itself" for where in (parts, candidates[best]))
    endings[place] = mask_ending


def _match(images: Path, masks: Path) -> tuple[str, dict[str, tuple[Path, Path | None]]]:
    """Return the ending of names of masks, and {stem: (image, mask or None)}, that fit most files of two folders."""
    if images == masks:
        return _match_within(images)
    image_of, mask_of = image_files(images), image_files(masks)
    image_ending, mask_ending = max(
        ((image_ending, mask_ending) for image_ending in IMAGE_ENDINGS for mask_ending in MASK_ENDINGS),
        key=lambda ends: len(index_by_stem(image_of, ends[0]).keys() & index_by_stem(mask_of, ends[1]).keys()),
    )
    masks_of, matches = index_by_stem(mask_of, mask_ending), {}
    for name, file in image_of.items():
        stem = name.removesuffix(image_ending)
        stem = stem if stem in masks_of else name  # without a mask the whole name, so that it is reported
        matches[stem] = (file, masks_of.get(stem))
    return mask_ending, matches


def _match_within(folder: Path) -> tuple[str, dict[str, tuple[Path, Path | None]]]:
    """As `_match`, for images and masks side by side: x.jpg and x_mask.png, or x.jpg and x.png."""
    files = list_images(folder)
    png = {stem_of(file): file for file in files if file.suffix.lower() == ".png"}
    other = {stem_of(file): file for file in files if file.suffix.lower() != ".png"}
    if other and png.keys() == other.keys():
        return "", {stem: (other[stem], png[stem]) for stem in png}
    image_of = image_files(folder)
    ending = max(MASK_ENDINGS[1:], key=lambda end: len(index_by_stem(image_of, end).keys() & image_of.keys()))
    mask_of = index_by_stem(image_of, ending)
    stems = [stem for stem in image_of if not stem.endswith(ending)] if mask_of.keys() & image_of.keys() else []
    return ending, {stem: (image_of[stem], mask_of.get(stem)) for stem in stems}


def by_pattern(path: Path, images: str, masks: str) -> Layout:
    """Match files below `path` by two patterns, such as "{split}/rgb/{name}.jpg" and "{split}/seg/{name}_m.png".

    `{name}` and `{split}` stand for any part of a file or folder name, and `*` for any that does not matter. An image
    and a mask belong together if name and split agree.
    """
    image_of, mask_of = (_files_by_key(path, pattern) for pattern in (images, masks))
    mask_files = set(mask_of.values())
    missing = masks.format_map({"split": "{0}", "name": "{1}"}) if "*" not in masks else "{1}: a mask for it"
    pairs = [
        Pair(
            "/".join(filter(None, key)),
            file,
            mask_of.get(key) or path / missing.format(*key),
            SPLIT_NAMES.get(key[0].lower(), key[0] or None),
        )
        for key, file in image_of.items()
        if file not in mask_files
    ]
    return Layout(f"images {images}, masks {masks}", pairs)


def _files_by_key(path: Path, pattern: str) -> dict[tuple[str, str], Path]:
    """Return the files that fit a pattern by (split, name)."""
    if "{name}" not in pattern or re.search(r"\{(?!name\}|split\})|^/", pattern):
        raise DataError(f"the pattern '{pattern}' must have {{name}}, and may have {{split}} and *.")
    files: dict[tuple[str, str], Path] = {}
    for parts, file in match_pattern(path, pattern):
        key = (parts.get("split", ""), parts["name"])
        if key in files:
            raise DataError(f"{file}: matches the pattern '{pattern}', as does {files[key].name}; make it narrower.")
        if file.suffix.lower() in image_suffixes():
            files[key] = file
    if not files:
        raise DataError(f"{path}: no file matches the pattern '{pattern}'; correct it.")
    return files


def _nothing_fits(path: Path, folders: dict[Parts, Path]) -> str:
    from .annotations import detect_formats

    formats = detect_formats(path)
    if formats:
        return f"{path}: these are {' or '.join(formats)} annotations; convert them by `seglib data import {path} NEW`."
    places = ", ".join("/".join(parts) or "itself" for parts in list(folders)[:5]) or "no folder"
    return (
        f"{path}: no images with masks were recognised; images are in: {places}. Put images in images/ and masks of "
        "the same name in masks/, or describe your layout by --pattern; see docs/data_formats.md."
    )
