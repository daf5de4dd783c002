"""Read the georeference of an image from its GeoTIFF tags or world file, and write it to a world file for a result."""

from contextlib import suppress
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from ..files import write_text
from .images import tiff_tags

SCALE, TIE_POINT, TRANSFORMATION, GEO_KEYS = 33550, 33922, 34264, 34735  # TIFF tags
RASTER_TYPE, PIXEL_IS_POINT = 1025, 2  # a GeoTIFF key, and its value if coordinates refer to pixel centers


def write_world_file(image: Path, result: Path) -> None:
    """Write a world file for the PNG file `result`, which has the same size as `image`, if `image` is georeferenced."""
    numbers = _read_header(image) or _read_world_file(image)
    if numbers:
        write_text(result.with_suffix(".pgw"), "".join(f"{number:.12g}\n" for number in numbers))


def _read_header(image: Path) -> tuple[float, ...] | None:
    """Return the world file values from a TIFF header: a, d, b, e, and the center (x, y) of the first pixel."""
    try:
        try:
            with Image.open(image) as opened:
                tags = dict(opened.tag_v2) if opened.format == "TIFF" else {}
        except UnidentifiedImageError:
            tags = tiff_tags(image)
        keys = tags.get(GEO_KEYS, ())
        shift = 0 if (RASTER_TYPE, PIXEL_IS_POINT) in zip(keys[4::4], keys[7::4], strict=False) else 0.5
        if TRANSFORMATION in tags:
            a, b, _, x, d, e, _, y = tags[TRANSFORMATION][:8]
        else:
            (a, e), (column, row, _, x, y) = tags[SCALE][:2], tags[TIE_POINT][:5]
            x, y, b, d, e = x - column * a, y + row * e, 0.0, 0.0, -e
        return a, d, b, e, x + shift * (a + b), y + shift * (d + e)
    except Exception:  # there are no tags, or the header is damaged, which is reported when the pixels are read
        return None


def _read_world_file(image: Path) -> tuple[float, ...] | None:
    suffix = image.suffix[1:]
    names = f".{suffix[:1]}{suffix[-1:]}w", f".{suffix}w", ".wld"
    for name in (case(name) for name in names for case in (str, str.lower, str.upper)):
        with suppress(OSError, ValueError):
            numbers = tuple(map(float, image.with_suffix(name).read_text(encoding="ascii").split()))
            if len(numbers) == 6:
                return numbers
    return None
