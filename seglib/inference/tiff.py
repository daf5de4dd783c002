"""Run inference on TIFF images larger than memory by reading and writing them in parts. Requires rasterio (GDAL)."""

import errno
import math
import os
import warnings
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ..data import images
from ..errors import import_optional
from ..files import open_atomically
from .errors import PredictionError
from .predictor import Predictor
from .result_files import MADE_BY, open_header, source_id

LARGE_PIXELS = 128_000_000  # images with more pixels are read in parts
LARGE_BYTES = 2**31  # images whose float32 bands take more bytes are read in parts
BLOCK_BYTES = 2**29  # limit on the decoded size of one strip or tile, at 16 bits per value
CACHE_MEGABYTES = 256  # cache for decoded strips and tiles
ROWS = 256  # number of rows read at once to find the bit depth
TILE = 256  # height and width of the tiles in written files
CHANNELS = (("gray",), ("gray", "alpha"), ("palette",), ("red", "green", "blue"), ("red", "green", "blue", "alpha"))
CONVERT = "as a tiled TIFF, for example by `vips copy IN OUT.tif[tile,compression=deflate,bigtiff]`"


def is_large(file: Path, channels: int = 0) -> bool:
    """Return whether an image is so large that it must be read in parts.

    This is the case if it has more than LARGE_PIXELS pixels, or if `channels` bands in float32 take more than
    LARGE_BYTES. Returns False if the file cannot be read; the error is reported when the image is read. Raises
    PredictionError if a large image is not a TIFF file.
    """
    try:
        with open_header(file) as image:
            pixels, kind = math.prod(image.size), image.format
    except (OSError, ValueError, SyntaxError):
        tags, kind = images.tiff_tags(file), "TIFF"
        pixels = tags.get(images.WIDTH, 0) * tags.get(images.LENGTH, 0)
    large = pixels > LARGE_PIXELS or pixels * channels * 4 > LARGE_BYTES
    if large and kind != "TIFF":
        raise PredictionError(f"{file}: more than {LARGE_PIXELS:,} pixels outside a TIFF file; save it {CONVERT}.")
    return large


def predict_tiff(
    predictor: Predictor,
    source: Path,
    target: Path,
    palette: Sequence[Sequence[int]] | None = None,
    progress: Callable[[int, int], object] = lambda done, height: None,
    mask_values: Callable[[np.ndarray], np.ndarray] = lambda labels: labels,
    **reading,
) -> np.ndarray:
    """Predict the mask of a TIFF file that is larger than memory, and write it to a TIFF file.

    Args:
        predictor: The predictor that computes the labels.
        source: The image file.
        target: The TIFF file for the mask.
        palette: Colors in which the mask is shown, (classes, 3); None for a grayscale mask.
        progress: Function to call with the number of finished rows and the total number of rows.
        mask_values: Function that maps labels, uint8 (n, width), to the values of the mask.
        reading: Keyword arguments of `data.read_image`.

    Returns:
        Number of pixels of each label, int64 (256,).

    Raises:
        PredictionError: If the source cannot be read, or cannot be read in parts.
    """
    counts = np.zeros(256, np.int64)
    tiles = {"tiled": True, "blockxsize": TILE, "blockysize": TILE, "compress": "deflate", "bigtiff": "if_safer"}
    with TiffReader(source, **reading) as reader, open_atomically(target) as stream:
        from rasterio.errors import RasterioError  # TiffReader has checked that rasterio is installed

        shape = {"count": 1, "height": reader.height, "width": reader.width, "dtype": "uint8"}
        checksum = top = 0
        try:
            with _open(stream.name, "w", **shape, **tiles, **reader.place) as mask:
                mask.update_tags(TIFFTAG_SOFTWARE=MADE_BY, TIFFTAG_IMAGEDESCRIPTION=source_id(source))
                if palette is not None:
                    mask.write_colormap(1, {index: tuple(map(int, color)) for index, color in enumerate(palette)})
                for labels in predictor.label_rows(reader):
                    counts += np.bincount(labels.ravel(), minlength=256)
                    values, bottom = mask_values(labels), top + len(labels)
                    mask.write(values, 1, window=((top, bottom), (0, reader.width)))
                    checksum = zlib.crc32(np.ascontiguousarray(values), checksum)
                    top = bottom
                    progress(top, reader.height)
            is_complete = checksum == _read_checksum(stream.name)  # GDAL does not report all write errors
        except RasterioError:
            is_complete = False
        if not is_complete:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return counts


class TiffReader:
    """Reads a TIFF file with a single image in parts, as uint8 RGB or float32 bands.

    The arguments and the conversions are the same as in `data.read_image`: 16-bit values are scaled, grayscale is
    repeated in three channels, and transparent areas become white. `place` is the georeference, a dict with the
    arguments `crs` and `transform` of `rasterio.open`. Raises PredictionError if rasterio is missing, or if this kind
    of file cannot be read in parts.
    """

    def __init__(self, file: Path, bits: int = 0, bands: Sequence[int] = (), channels: int = 0):
        rasterio = import_optional("rasterio", PredictionError, f"{file}: reading in parts", "rasterio")
        self.name, self.bits, self.num_channels, self.bands = file, bits, channels, None
        self.faults = (rasterio.errors.RasterioError, ValueError, MemoryError)
        self.environment = rasterio.Env(GDAL_CACHEMAX=CACHE_MEGABYTES)
        try:
            self.tiff = _open(file)
        except self.faults as error:
            raise PredictionError(f"{file}: not a TIFF file that can be read ({error}); save it again.") from None
        self.height, self.width, self.channels = *self.tiff.shape, tuple(c.name for c in self.tiff.colorinterp)
        self.place = {} if self.tiff.transform.is_identity else {"crs": self.tiff.crs, "transform": self.tiff.transform}
        self.turned = self.multiplied = False
        self.profile = None
        try:
            with open_header(file) as image:
                self.profile = image.info.get("icc_profile")
                self.channels = ("lab",) if image.mode == "LAB" else self.channels
                self.turned = image.tag_v2.get(images.ORIENTATION, 1) > 1
                self.multiplied = image.tag_v2.get(images.EXTRA, ())[:1] == (1,)  # colors are premultiplied by alpha
        except Exception:  # a damaged header, or a format that Pillow does not know
            self.turned = images.tiff_tags(file).get(images.ORIENTATION, 1) > 1
        if bands or channels:
            self.bands, self.channels = images.choose_bands(file, self.tiff.count, bands, channels), ("gray",)
            self.profile = None  # it is for the colors of the whole file, not for chosen bands
        self.colors = slice(-1 if "alpha" in self.channels else None)
        bits = int(self.tiff.tags(1, ns="IMAGE_STRUCTURE").get("NBITS", 8))
        self.factor = 255 // (2**bits - 1)  # extends the range of values with 1, 2 or 4 bits to 0..255
        if problem := self._unsupported():
            self.tiff.close()
            raise PredictionError(f"{file}: {problem}; save it upright, in 8-bit RGB, {CONVERT}.")

    def _unsupported(self) -> str:
        """Return the reason why the image cannot be read in parts, or an empty string if it can."""
        if len(self.tiff.subdatasets) > 1:
            return "several pages"
        if not self.num_channels and set(self.tiff.dtypes) - {"uint8", "uint16"}:
            return "pixels that are neither 8-bit nor 16-bit"
        if self.channels not in CHANNELS:
            return "channels that are neither gray, RGB, a palette nor transparency"
        if math.prod(self.tiff.block_shapes[0]) * self.tiff.count * 2 > BLOCK_BYTES:
            return "all pixels compressed in one piece"
        return "a rotation in its header" if self.turned else ""

    def __enter__(self):
        self.environment.__enter__()
        return self

    def __exit__(self, *error) -> None:
        self.tiff.close()
        self.environment.__exit__(*error)

    def rows(self, top: int, bottom: int) -> np.ndarray:
        """Return rows as uint8 RGB (bottom - top, width, 3), or as float32 bands (bottom - top, width, channels).

        Raises PredictionError if the file is damaged.
        """
        stored = self._read(top, bottom)
        if self.num_channels:
            return images.as_channels(stored, self.tiff.nodata)
        if self.channels == ("palette",):
            palette = np.array([color[:3] for color in self.tiff.colormap(1).values()], np.uint8)
            return images.to_srgb(Image.fromarray(palette[stored[:, :, 0]]), self.profile)
        colors = self._to_bytes(stored[:, :, self.colors])
        colors = images.to_srgb(Image.fromarray(colors if colors.shape[2] == 3 else colors[:, :, 0]), self.profile)
        if "alpha" in self.channels:
            alpha = self._to_bytes(stored[:, :, -1:], bits=16).astype(np.uint32)
            mixed = (colors.astype(np.uint32) * (255 if self.multiplied else alpha) + (255 - alpha) * 255 + 127) // 255
            colors = np.minimum(mixed, 255).astype(np.uint8)  # colors in damaged files may exceed alpha
        return colors

    def _to_bytes(self, stored: np.ndarray, bits: int = 0) -> np.ndarray:
        """Convert stored values to uint8. `bits` is the depth of 16-bit values; 0 means the depth of the colors."""
        if stored.dtype == np.uint8:
            return stored * self.factor
        return images.scale_to_bytes(stored, bits or self._used_bits(), self.name)

    def _read(self, top: int, bottom: int) -> np.ndarray:
        """Return the chosen bands of these rows as they are stored, (bottom - top, width, bands)."""
        try:
            return np.moveaxis(self.tiff.read(self.bands, window=((top, bottom), (0, self.width))), 0, 2)
        except self.faults as error:
            reason = error.__cause__ or error
            raise PredictionError(f"{self.name}: damaged or truncated ({reason}); get the file again.") from None

    def _used_bits(self) -> int:
        """Return the bit depth of 16-bit values, as in `data.read_image`. The first call reads the whole file."""
        if not self.bits:
            parts = (self._read(top, min(top + ROWS, self.height)) for top in range(0, self.height, ROWS))
            self.bits = max(images.used_bits(part[:, :, self.colors]) for part in parts)
        return self.bits


def _read_checksum(file: str) -> int:
    """Return the checksum of the values in a mask file. Raises RasterioError if the file cannot be read."""
    checksum = 0
    with _open(file) as mask:
        for top in range(0, mask.height, TILE):
            window = ((top, min(top + TILE, mask.height)), (0, mask.width))
            checksum = zlib.crc32(mask.read(1, window=window), checksum)
    return checksum


def _open(file: Path | str, mode: str = "r", **options):
    import rasterio

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # rasterio warns if there is no georeference
        return rasterio.open(file, mode, driver="GTiff", **options)
