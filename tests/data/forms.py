"""Small files in every common format of images and masks: see test_forms.py."""

import json
import struct
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from course.datasets import validation
from seglib import data

tifffile = pytest.importorskip("tifffile")

HEIGHT, WIDTH = 40, 60
CLASSES = ("background", "cat", "dog")
COLORS = np.array([(0, 0, 0), (220, 20, 60), (0, 0, 142)], np.uint8)
BOXES = {"cat": (10, 5, 30, 25), "dog": (20, 15, 36, 30)}  # left, top, right, bottom; the dog is in front
SPLIT_COUNTS = {"train": 4, "val": 2}
BINARY = ("background", "object")


def image(number: int) -> np.ndarray:
    """A noisy image in which the two objects are bright."""
    rng = np.random.default_rng(number)
    pixels = rng.integers(0, 60, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    pixels[labels(number) > 0] += 150
    return pixels


def labels(number: int) -> np.ndarray:
    """The two objects, moved right by `number` pixels."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    for label, name in enumerate(CLASSES[1:], 1):
        left, top, right, bottom = box(name, number)
        mask[top:bottom, left:right] = label
    return mask


def box(name: str, number: int) -> tuple[int, int, int, int]:
    left, top, right, bottom = BOXES[name]
    return left + number, top, right + number, bottom


def corners(name: str, number: int) -> list[list[float]]:
    left, top, right, bottom = box(name, number)
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


def save(file: Path, array, **options) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    (array if isinstance(array, Image.Image) else Image.fromarray(array)).save(file, **options)
    return file


def write(file: Path, content: object) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")


def numbers(count: int = 6):
    """(number, split) of all images."""
    return [(i, "val" if i % 3 == 2 else "train") for i in range(count)]


def binary(number: int) -> np.ndarray:
    return np.where(labels(number) > 0, 255, 0).astype(np.uint8)


def check_labels(root, names, expected=labels):
    """Check a folder and compare every mask with the expected labels, by the names of the classes."""
    report = validation.check(str(root), progress=False)
    assert report.ok, report.text()
    loaded = data.load(str(root), "all")
    assert len(loaded) == 6 and set(names) <= set(loaded.classes), loaded.classes
    assert loaded.background_index == 0 and loaded.classes[0] == "background"
    for item in loaded:
        number = int(item["key"].split("/")[-1].removesuffix("_mask")[1])
        expected_mask = np.array([loaded.classes.index(name) for name in names])[expected(number)]
        scored = item["mask"] != data.IGNORE
        assert np.array_equal(item["mask"][scored], expected_mask[scored]) and scored.mean() > 0.9
    return report, loaded


def folder(root: Path, mask: Callable = labels, classes: str = "classes: [background, cat, dog]", **options) -> None:
    """The plain form: images/ and masks/, with `mask(number)` in the masks."""
    for i, _ in numbers():
        save(root / f"images/p{i}.png", image(i))
        save(root / f"masks/p{i}{options.get('suffix', '.png')}", mask(i))
    if classes:
        write(root / "classes.yaml", classes)


# --- Layouts ----------------------------------------------------------------------------------------------------------


def layout(images: str, masks: str) -> Callable[[Path], None]:
    """Write binary masks under names with {split} and {name}."""

    def make(root: Path) -> None:
        for i, split in numbers():
            save(root / images.format(split=split, name=f"p{i}"), image(i))
            save(root / masks.format(split=split, name=f"p{i}"), binary(i))

    return make


LAYOUTS = {
    "images and masks": ("images/{name}.png", "masks/{name}.png"),
    "images/train, masks/train": ("images/{split}/{name}.png", "masks/{split}/{name}.png"),
    "images/train, labels/train": ("images/{split}/{name}.png", "labels/{split}/{name}.png"),
    "train/images, train/masks": ("{split}/images/{name}.png", "{split}/masks/{name}.png"),
    "train/images, train/labels": ("{split}/images/{name}.png", "{split}/labels/{name}.png"),
    "img_dir and ann_dir": ("img_dir/{split}/{name}.png", "ann_dir/{split}/{name}.png"),
    "imagesTr and labelsTr": ("imagesTr/{name}_0000.png", "labelsTr/{name}.png"),
    "imgs and labels": ("imgs/{name}.png", "labels/{name}.png"),
    "imgs and masks named x_mask": ("imgs/{name}.png", "masks/{name}_mask.png"),
    "train and trainannot, as CamVid": ("{split}/{name}.png", "{split}annot/{name}.png"),
    "train and train_labels": ("{split}/{name}.png", "{split}_labels/{name}_L.png"),
    "one folder, x.png and x_mask.png": ("{name}.png", "{name}_mask.png"),
    "one folder, x.png and x_gt.png": ("{name}.png", "{name}_gt.png"),
    "one folder, x.png and x_seg.png": ("{name}.png", "{name}_seg.png"),
    "one folder, x.png and x_label.png": ("{name}.png", "{name}_label.png"),
    "one folder, x.bmp and x.png": ("{name}.bmp", "{name}.png"),
    "folders of splits, x.png and x_mask.png": ("{split}/{name}.png", "{split}/{name}_mask.png"),
    "an archive's folder around it": ("set-main/images/{name}.png", "set-main/masks/{name}.png"),
    "image folder in capitals": ("Images/{name}.png", "Masks/{name}.png"),
}


def pattern_in_classes(root: Path) -> None:
    layout("photo_{name}.png", "seg/{name}-m.png")(root)
    write(root / "classes.yaml", 'pattern: ["photo_{name}.png", "seg/{name}-m.png"]\nbinary: {above: 127}\n')


# --- Values of masks --------------------------------------------------------------------------------------------------


def antialiased(number: int) -> np.ndarray:
    large = cv2.resize(binary(number), (WIDTH * 4, HEIGHT * 4), interpolation=cv2.INTER_NEAREST)
    return cv2.resize(cv2.GaussianBlur(large, (0, 0), 3), (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)


def cutout(number: int) -> np.ndarray:
    return np.dstack([image(number), binary(number)])


def palette(number: int) -> Image.Image:
    mask = Image.fromarray(labels(number))
    mask.putpalette(COLORS.ravel().tolist())
    return mask


def trimap(number: int) -> np.ndarray:
    mask = binary(number)
    mask[4:6] = 128
    return mask


VALUES = {  # form: (mask, classes.yaml, names; None for the labels of `labels`)
    "ids": (labels, "classes: [background, cat, dog]"),
    "ids with gaps": (lambda i: labels(i) * 15, "classes: {0: background, 15: cat, 30: dog}"),
    "other ids together": (lambda i: labels(i) * 15 + 7, "classes: {22: cat, 37: dog, others: background}"),
    "0 as unlabelled": (lambda i: labels(i) + 1, "classes: {0: ignore, 1: background, 2: cat, 3: dog}"),
    "several ignored ids": (labels, "classes: [background, cat, dog]\nignore: [255, 254]"),
    "colors": (lambda i: COLORS[labels(i)], f"classes: {list(CLASSES)}\ncolors: {COLORS.tolist()}"),
    "colors in a palette": (palette, f"classes: {list(CLASSES)}\ncolors: {COLORS.tolist()}"),
    "background last": (lambda i: (labels(i) + 2) % 3, "classes: [cat, dog, background]"),
    "16 bits": (lambda i: labels(i).astype(np.uint16), "classes: [background, cat, dog]"),
    "floating point": (lambda i: labels(i).astype(np.float32), "classes: [background, cat, dog]"),
}
BINARY_VALUES = {
    "0 and 1": (lambda i: binary(i) // 255, ""),
    "0 and 255": (binary, ""),
    "0 and 65535": (lambda i: binary(i).astype(np.uint16) * 257, ""),
    "one bit": (lambda i: Image.fromarray(binary(i)).convert("1"), ""),
    "antialiased, above": (antialiased, "binary: {above: 127}"),
    "dark objects, below": (lambda i: 255 - antialiased(i), "binary: {below: 128}"),
    "transparency as mask": (cutout, "binary: {alpha: 127}"),
    "background named last": (lambda i: 1 - binary(i) // 255, "classes: [object, background]"),
}


# --- Images -----------------------------------------------------------------------------------------------------------


def stored_images(write_image: Callable[[Path, np.ndarray], object], suffix: str, classes: str = "binary: {above: 9}"):
    """Write the images in another form, with binary masks; `write_image(file, pixels)`."""

    def make(root: Path) -> None:
        for i, _ in numbers():
            save(root / f"masks/p{i}.png", binary(i))
            (root / "images").mkdir(exist_ok=True)
            write_image(root / f"images/p{i}{suffix}", image(i))
        write(root / "classes.yaml", classes)

    return make


def deep(bits: int, channels: int) -> Callable[[Path, np.ndarray], object]:
    def write_image(file: Path, pixels: np.ndarray) -> None:
        values = (pixels[:, :, ::-1].astype(np.uint32) * ((1 << bits) - 1) // 255).astype(np.uint16)
        values[0, 0] = (1 << bits) - 1
        cv2.imwrite(str(file), values if channels == 3 else values[:, :, 0])

    return write_image


def bands(count: int) -> Callable[[Path, np.ndarray], object]:
    def write_image(file: Path, pixels: np.ndarray) -> None:
        values = np.concatenate([pixels, 255 - pixels], 2)[:, :, :count]
        tifffile.imwrite(file, values, photometric="minisblack", planarconfig="contig")

    return write_image


def pages(file: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels).save(file, save_all=True, append_images=[Image.fromarray(255 - pixels)])


IMAGES = {
    **{
        f"{s[1:]}": stored_images(lambda f, p: save(f, p), s) for s in (".jpg", ".bmp", ".webp", ".tif", ".jp2", ".tga")
    },
    **{
        f"{'RGB' if channels == 3 else 'grey'} of {bits} bits in {suffix}": stored_images(deep(bits, channels), suffix)
        for bits in (10, 12, 14, 16)
        for channels in (1, 3)
        for suffix in (".png", ".tif")
    },
    "chosen bands of a TIFF": stored_images(bands(6), ".tif", "binary: {above: 9}\nbands: [3, 2, 1]"),
}
REFUSED_IMAGES = {
    "6 bands": (stored_images(bands(6), ".tif"), "6 bands, of which those after the colors are not transparency"),
    "4 bands": (stored_images(bands(4), ".tif"), "4 bands, of which those after the colors are not transparency"),
    "two pages": (stored_images(pages, ".tif"), "holds 2 pages or frames"),
    "an animation": (stored_images(pages, ".gif"), "holds 2 pages or frames"),
    "floating point": (
        stored_images(lambda f, p: save(f, p[:, :, 0].astype(np.float32)), ".tif"),
        "floating-point pixels have no agreed range",
    ),
}


def wide_gamut_profile() -> bytes:
    """A profile with the primaries of Adobe RGB and gamma 2.2: header, and a table of tags with their content."""

    def fixed(*values: float) -> bytes:
        return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))

    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, 563) + bytes(2)
    primaries = {b"wtpt": (0.9642, 1, 0.8249), b"rXYZ": (0.60974, 0.31111, 0.01947)}
    primaries |= {b"gXYZ": (0.20528, 0.62567, 0.06087), b"bXYZ": (0.14919, 0.06322, 0.74457)}
    tags = {name: b"XYZ " + bytes(4) + fixed(*values) for name, values in primaries.items()}
    tags |= {name: curve for name in (b"rTRC", b"gTRC", b"bTRC")}
    tags[b"desc"] = (b"desc" + bytes(4) + struct.pack(">I", 5) + b"wide\0").ljust(96, b"\0")
    tags[b"cprt"] = b"text" + bytes(4) + b"none"
    start = 132 + 12 * len(tags)
    table, content = struct.pack(">I", len(tags)), b""
    for name, value in tags.items():
        table += name + struct.pack(">II", start + len(content), len(value))
        content += value
    header = struct.pack(">I", start + len(content)) + bytes(4) + b"\x02\x40\0\0mntrRGB XYZ "
    header += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + fixed(0.9642, 1, 0.8249)
    return header.ljust(128, b"\0") + table + content
