"""Corrupted images: reading one gives an array, or a DataError of one line that names the file."""

import io
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.random import Generator
from PIL import Image, PngImagePlugin

from seglib.data import DataError, read_image, read_mask
from seglib.data.images import MAX_PIXELS

from .mutate import corrupted
from .verdict import one_line

READERS = (read_image, read_mask, partial(read_mask, form="colors"), partial(read_mask, form="guess"))


def attempt(form: str, folder: Path) -> Callable[[Generator], str]:
    """Return a function that corrupts an image of this format and reads it: "read" or "refused"."""
    seeds = [saved(form, image, options) for image, options in SEEDS[form]()]
    file = folder / f"corrupted.{form.lower()}"

    def run_case(rng: Generator) -> str:
        file.write_bytes(corrupted(seeds[int(rng.integers(len(seeds)))], rng, seeds))
        reader = READERS[int(rng.integers(len(READERS)))]
        try:
            array = reader(file)
        except DataError as error:
            return one_line(error, file)
        assert array.dtype == np.uint8 and array.shape[2:] in ((), (3,)) and 0 < array.size <= 3 * MAX_PIXELS
        return "read"

    return run_case


def by_window(folder: Path) -> Callable[[Generator], str]:
    """Do the same for TIFF files that are read in parts."""
    import tifffile

    from seglib.inference import PredictionError
    from seglib.inference.tiff import TiffReader

    def tiff(values, **options) -> bytes:
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, values, metadata=None, **options)
        return buffer.getvalue()

    rgb = np.asarray(sample_image())
    grey, file = rgb[:, :, 0].copy(), folder / "window.tif"
    seeds = [
        tiff(rgb, photometric="rgb"),
        tiff(rgb, photometric="rgb", tile=(16, 16), compression="zlib"),
        tiff(grey.astype(np.uint16) * 257, rowsperstrip=7),
        tiff(rgb, photometric="rgb", bigtiff=True, rowsperstrip=5),
        tiff(rgb.transpose(2, 0, 1).copy(), photometric="rgb", planarconfig="separate", compression="zlib"),
        tiff(grey, byteorder=">", compression="zlib", predictor=True),
    ]

    def run_case(rng: Generator) -> str:
        file.write_bytes(corrupted(seeds[int(rng.integers(len(seeds)))], rng, seeds))
        try:
            with TiffReader(file) as opened:
                top = int(rng.integers(opened.height))
                bottom = min(opened.height, top + 20)
                rows = opened.rows(top, bottom)
        except PredictionError as error:
            return one_line(error, file)
        assert rows.dtype == np.uint8 and rows.shape == (bottom - top, opened.width, 3)
        return "read"

    return run_case


def sample_image() -> Image.Image:
    y, x = np.mgrid[0:37, 0:53]
    return Image.fromarray(np.stack([x * 4, y * 6, (x * y) % 251], 2).astype(np.uint8))


def saved(form: str, image: Image.Image, options: dict) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def _exif() -> Image.Exif:
    """Return EXIF data of a camera: the orientation, and an entry of each common type."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x011A] = 6, "a maker", 72.0
    exif.get_ifd(0x8769)[0x9003] = "2020:01:01 00:00:00"
    return exif


def _png():
    rgb, text = sample_image(), PngImagePlugin.PngInfo()
    text.add_text("Comment", "plain")
    text.add_text("Title", "packed" * 50, zip=True)
    text.add_itxt("Author", "international", zip=True)
    sixteen = Image.fromarray(np.asarray(rgb)[:, :, 0].astype(np.uint16) * 257)
    yield rgb, {"exif": _exif(), "pnginfo": text, "icc_profile": bytes(200)}
    yield rgb.convert("P"), {"transparency": bytes(range(200))}
    yield rgb, {"transparency": (0, 0, 0)}
    yield from ((other, {}) for other in (sixteen, rgb.convert("L"), rgb.convert("1"), rgb.convert("LA")))
    yield rgb.convert("RGBA"), {"dpi": (72, 72)}
    yield rgb, {"save_all": True, "append_images": [rgb.rotate(90), rgb], "duration": 50}


def _jpeg():
    rgb = sample_image()
    yield rgb, {"exif": _exif(), "icc_profile": bytes(300), "comment": b"a comment"}
    yield rgb, {"progressive": True, "subsampling": 0}
    yield rgb.convert("L"), {"optimize": True}
    yield rgb.convert("CMYK"), {"restart_marker_blocks": 2}


def _webp():
    rgb = sample_image()
    yield rgb, {"quality": 70, "exif": _exif()}
    yield rgb, {"lossless": True}
    yield rgb.convert("RGBA").rotate(20), {"quality": 50, "icc_profile": bytes(100)}
    yield rgb, {"save_all": True, "append_images": [rgb.rotate(90)], "duration": 50}


def _tiff():
    rgb = sample_image()
    for compression in (None, "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        yield rgb, {"compression": compression, "exif": _exif()}
    sixteen = Image.fromarray(np.asarray(rgb)[:, :, 0].astype(np.uint16) * 257)
    yield from ((other, {}) for other in (sixteen, rgb.convert("P"), rgb.convert("RGBA"), rgb.convert("CMYK")))
    yield rgb.convert("1"), {"compression": "group4"}
    yield rgb, {"save_all": True, "append_images": [rgb.convert("L")], "big_tiff": True}


def _gif():
    rgb = sample_image()
    yield rgb, {"save_all": True, "append_images": [rgb.rotate(90)], "comment": b"a comment"}
    yield rgb.convert("P"), {"transparency": 3, "interlace": True}


def _bmp():
    rgb = sample_image()
    yield from ((other, {}) for other in (rgb, rgb.convert("P"), rgb.convert("1"), rgb.convert("RGBA")))


SEEDS = {"PNG": _png, "JPEG": _jpeg, "WebP": _webp, "TIFF": _tiff, "GIF": _gif, "BMP": _bmp}
