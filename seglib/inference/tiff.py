"""Images larger than memory: TIFF files read and written in parts.  Needs tifffile, an optional package."""

import math
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from operator import index
from pathlib import Path

import numpy as np
from PIL import Image

from ..data.georeference import read_georeference
from ..data.images import ALPHA, scale_to_bytes, used_bits
from ..files import write_atomically
from .errors import PredictionError
from .predictor import Predictor
from .result_files import MADE_BY, source_id

LARGE_PIXELS = 128_000_000  # a larger image is not read as a whole
MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # how TIFF and BigTIFF files begin
SEGMENT_BYTES = 2**29  # a strip or tile, which must be decoded as a whole, may have this much
ROWS = 256  # rows that are read at once to find the bits in use
TILE = 256  # side of the tiles that are written
GREY_INVERTED, GREY, RGB, PALETTE, YCBCR = 0, 1, 2, 3, 6  # values of the tag PhotometricInterpretation
CONVERT = "as a tiled TIFF, for example by `vips copy IN OUT.tif[tile,compression=deflate,bigtiff]`"


def is_large(file: Path) -> bool:
    """Return whether the image has more than LARGE_PIXELS pixels, so that it must be read in parts.

    Raises PredictionError if it has and is no TIFF file.  A file that cannot be read counts as small: reading it
    reports the error.
    """
    try:
        with open(file, "rb") as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of sizes
            start = stream.read(4)
            with Image.open(stream) as image:
                large = math.prod(image.size) > LARGE_PIXELS
    except Image.DecompressionBombError:  # Pillow's own limit is above ours
        large = True
    except (OSError, ValueError, SyntaxError):
        return False
    if large and start not in MAGIC:
        raise PredictionError(
            f"{file}: more than {LARGE_PIXELS:,} pixels are read in parts, which only TIFF files can be; save it "
            f"{CONVERT}."
        )
    return large


def predict_tiff(
    predictor: Predictor,
    source: Path,
    target: Path,
    palette: Sequence[Sequence[int]] | None = None,
    progress: Callable[[int, int], object] = lambda done, height: None,
    mask_values: Callable[[np.ndarray], np.ndarray] = lambda labels: labels,
    bits: int = 0,
) -> np.ndarray:
    """Predict a TIFF file that is larger than memory.

    Args:
        predictor: Computes the labels.
        source: The image.
        target: The TIFF file for the mask.
        palette: Colours that the mask is shown in; None for a grayscale mask.
        progress: Is called with the number of rows that are done, and of all rows.
        mask_values: Maps labels, uint8 (n, width), to the values of the mask.
        bits: As in `data.read_image`.

    Returns:
        Number of pixels of each label, int64 (256,).

    Raises:
        PredictionError: If the source cannot be read, or not in parts.
    """
    counts = np.zeros(256, np.int64)

    def rows(reader: TiffReader) -> Iterator[np.ndarray]:
        done = 0
        for labels in predictor.label_rows(reader):
            counts[:] += np.bincount(labels.ravel(), minlength=256)
            yield mask_values(labels)
            done += len(labels)
            progress(done, reader.height)

    with TiffReader(source, bits) as reader:
        tags = read_georeference(source).tags
        write_mask_tiff(target, rows(reader), reader.height, reader.width, palette, source_id(source), tags)
    return counts


class TiffReader:
    """Reads the first image of a TIFF file in parts, as uint8 RGB; `height` and `width` in pixels.

    As `data.read_image` does, 16-bit values are scaled, grayscale is repeated and transparent parts become white.
    Raises PredictionError, naming the file, if tifffile is missing or the file is of a kind that cannot be read so.
    """

    def __init__(self, file: Path, bits: int = 0):
        tifffile = _tifffile(file)
        # What tifffile raises for damaged files.
        self.faults = (
            tifffile.TiffFileError,
            zlib.error,
            struct.error,
            ValueError,
            LookupError,
            TypeError,
            RuntimeError,
            ArithmeticError,
            MemoryError,
        )
        self.name, self.stream, self.bits = file, open(file, "rb"), bits
        self.segments: dict[int, np.ndarray] = {}  # decoded rows of strips or tiles that may be needed again
        try:
            self.tiff = tifffile.TiffFile(self.stream)
            self.page = page = self.tiff.pages[0]
            # `index` refuses what a damaged header may hold in place of numbers.
            self.height, self.width = index(page.imagelength), index(page.imagewidth)
            self.samples = index(page.samplesperpixel)
            problem = self._unsupported()
        except self.faults as error:
            self.stream.close()
            raise PredictionError(f"{file}: not a TIFF file that can be read ({error}); save it again.") from None
        if problem:
            self.stream.close()
            raise PredictionError(f"{file}: {problem}; save it upright, in 8-bit RGB, {CONVERT}.")

    def _unsupported(self) -> str:
        """Return why the image cannot be read in parts; nothing if it can."""
        page = self.page
        if not self.height or not self.width:
            return "a size of 0 in its header"
        if sum(not page.subfiletype & 5 for page in self.tiff.pages) > 1:
            return "several pages"
        colours = {GREY_INVERTED: 1, GREY: 1, PALETTE: 1, RGB: 3, YCBCR: 3}.get(page.photometric)
        if page.dtype not in (np.uint8, np.uint16):
            return "pixels that are neither 8-bit nor 16-bit"
        if self.samples - len(page.extrasamples) != colours or any(kind not in ALPHA for kind in page.extrasamples):
            return "channels that are neither grey, RGB, a palette nor transparency"
        if "Orientation" in page.tags and page.tags["Orientation"].value not in (0, 1):
            return "a rotation in its header"
        if not page.is_contiguous and math.prod(page.chunks) * page.dtype.itemsize > SEGMENT_BYTES:
            return "all pixels compressed in one piece"
        return ""

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self.tiff.close()
        self.stream.close()

    def rows(self, top: int, bottom: int) -> np.ndarray:
        """Return uint8 rows (bottom - top, width, 3).  Raises PredictionError if the file is damaged."""
        try:
            stored = self._plain(top, bottom) if self.page.is_contiguous else self._decoded(top, bottom)
        except (*self.faults, OSError) as error:
            if "imagecodecs" in str(error):
                raise PredictionError(
                    f"{self.name}: its compression needs one more package: python -m pip install imagecodecs; "
                    f"or save it {CONVERT}."
                ) from None
            raise PredictionError(f"{self.name}: damaged or cut short ({error}); get the file again.") from None
        return self._as_rgb(stored)

    def _plain(self, top: int, bottom: int) -> np.ndarray:
        """Read rows of a file that is not compressed, where one row follows the other."""
        page = self.page
        separate = page.planarconfig == 2
        inner = 1 if separate else self.samples
        kind = np.dtype(page.dtype).newbyteorder(self.tiff.byteorder)
        row_bytes = self.width * inner * kind.itemsize
        planes = []
        for plane in range(self.samples if separate else 1):
            self.stream.seek(page.dataoffsets[0] + (plane * self.height + top) * row_bytes)
            content = self.stream.read((bottom - top) * row_bytes)
            planes.append(np.frombuffer(content, kind).reshape(bottom - top, self.width, inner))
        return np.concatenate(planes, 2)

    def _decoded(self, top: int, bottom: int) -> np.ndarray:
        """Read rows of a file in strips or tiles by decoding those that contain them."""
        high = self.page.chunks[0]
        needed = range(top // high, (bottom - 1) // high + 1)
        self.segments = {row: self.segments[row] if row in self.segments else self._segments(row) for row in needed}
        first = needed[0] * high
        return np.concatenate([self.segments[row] for row in needed])[top - first : bottom - first]

    def _segments(self, row: int) -> np.ndarray:
        """Decode one row of strips or tiles, (their height, width, samples)."""
        page, high = self.page, self.page.chunks[0]
        down, across = math.ceil(self.height / high), math.ceil(self.width / page.chunks[1])
        result = np.zeros((min(high, self.height - row * high), self.width, self.samples), page.dtype)
        tables = {"jpegtables": page.jpegtables} if page.jpegtables is not None else {}
        for plane, column in product(range(self.samples if page.planarconfig == 2 else 1), range(across)):
            index = (plane * down + row) * across + column
            self.stream.seek(page.dataoffsets[index])
            content = self.stream.read(page.databytecounts[index])
            decoded, (sample, _, _, left, _), _ = page.decode(content or None, index, **tables)
            if decoded is not None:  # else a part that was never written, and is black
                part = decoded[0, : len(result), : self.width - left]
                result[: len(part), left : left + part.shape[1], sample : sample + part.shape[2]] = part
        return result

    def _used_bits(self) -> int:
        """Return how many bits of 16 are in use, as `data.read_image` does; the first call reads the whole file."""
        if not self.bits:
            read = self._plain if self.page.is_contiguous else self._decoded
            tops = range(0, self.height, ROWS)
            self.bits = max(used_bits(read(top, min(top + ROWS, self.height))) for top in tops)
        return self.bits

    def _as_rgb(self, stored: np.ndarray) -> np.ndarray:
        page = self.page
        if page.photometric == PALETTE:
            return (np.asarray(page.colormap) // 256).astype(np.uint8).T[stored[:, :, 0]]
        values = stored if stored.dtype.itemsize == 1 else scale_to_bytes(stored, self._used_bits(), self.name)
        colours = values[:, :, : self.samples - len(page.extrasamples)]
        if page.photometric == GREY_INVERTED:
            colours = 255 - colours
        if page.extrasamples:  # transparency
            alpha = values[:, :, -1:].astype(np.uint32)
            opacity = 255 if page.extrasamples[0] == 1 else alpha  # 1: the colours are already multiplied by alpha
            mixed = (colours.astype(np.uint32) * opacity + (255 - alpha) * 255 + 127) // 255
            colours = np.minimum(mixed, 255).astype(np.uint8)  # damaged ones may be brighter than alpha allows
        return colours if colours.shape[2] == 3 else np.repeat(colours, 3, axis=2)


def write_mask_tiff(
    file: Path,
    rows: Iterator[np.ndarray],
    height: int,
    width: int,
    palette: Sequence[Sequence[int]] | None = None,
    source: str = "",
    tags: Sequence[tuple] = (),
) -> None:
    """Write a mask that comes in `rows`, uint8 (n, width), as a tiled, compressed TIFF file.

    `palette` and `source` are as in `outputs.save_mask`; `tags` are tifffile's `extratags`.
    """
    colors = {"photometric": "minisblack"}
    if palette is not None:
        table = np.zeros((256, 3), np.uint16)
        table[: len(palette)] = np.asarray(palette) * 257
        colors = {"photometric": "palette", "colormap": table.T}

    def write(stream) -> None:
        # Classic TIFF, which every program reads, ends at 4 GiB.
        with _tifffile(file).TiffWriter(stream, bigtiff=height * width > 2**31) as writer:
            writer.write(
                _tiles(rows, width),
                shape=(height, width),
                dtype=np.uint8,
                tile=(TILE, TILE),
                compression="zlib",
                software=MADE_BY,
                description=source or None,
                metadata=None,
                extratags=list(tags),
                maxworkers=1,
                **colors,
            )

    write_atomically(file, write)


def _tiles(rows: Iterator[np.ndarray], width: int) -> Iterator[np.ndarray]:
    """Cut rows into tiles of TILE x TILE, smaller at the right and lower edge, line by line."""
    rest = np.empty((0, width), np.uint8)
    for part in rows:
        rest = np.concatenate([rest, part])
        while len(rest) >= TILE:
            yield from (rest[:TILE, left : left + TILE] for left in range(0, width, TILE))
            rest = rest[TILE:]
    if len(rest):
        yield from (rest[:, left : left + TILE] for left in range(0, width, TILE))


def _tifffile(file: Path):
    try:
        import tifffile
    except ImportError:
        raise PredictionError(
            f"{file}: more than {LARGE_PIXELS:,} pixels are read in parts, which needs one more package: "
            "python -m pip install tifffile"
        ) from None
    return tifffile
