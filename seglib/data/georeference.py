"""Where an image is on earth: the tags of a GeoTIFF or the world file beside an image, carried to its results."""

from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from ..files import write_text

SCALE, TIE_POINT, TRANSFORMATION, GEO_KEYS = 33550, 33922, 34264, 34735  # TIFF tags
TAGS = (SCALE, TIE_POINT, TRANSFORMATION, GEO_KEYS, 34736, 34737)
RASTER_TYPE, PIXEL_IS_POINT = 1025, 2  # the GeoTIFF key, and its value where coordinates are of pixel centers


@dataclass(frozen=True)
class Georeference:
    """`tags` for tifffile's `extratags`, and the six lines of a world file: a, d, b, e, and the upper left center."""

    tags: tuple[tuple, ...] = ()
    world: tuple[float, ...] | None = None


def read_georeference(image: Path) -> Georeference:
    """Return what the header of a TIFF, or else a world file beside the image, says; empty if there is nothing."""
    tags, world = (), None
    try:
        with Image.open(image) as opened:
            stored = opened.tag_v2 if opened.format == "TIFF" else {}
            tags = tuple((tag, stored.tagtype[tag], *_counted(stored[tag]), True) for tag in TAGS if tag in stored)
            world = _world_of_tags(stored) if tags else None
    except Exception:  # a damaged header: the pixels are read, or refused, by others
        tags = ()
    return Georeference(tags, world or _read_world_file(image))


def _counted(value: object) -> tuple[int, object]:
    return (len(value), value) if isinstance(value, tuple | str | bytes) else (1, (value,))


def _world_of_tags(tags) -> tuple[float, ...] | None:
    keys = tags.get(GEO_KEYS, ())
    shift = 0 if (RASTER_TYPE, PIXEL_IS_POINT) in zip(keys[4::4], keys[7::4], strict=False) else 0.5
    if TRANSFORMATION in tags:
        a, b, _, x, d, e, _, y = tags[TRANSFORMATION][:8]
    elif SCALE in tags and TIE_POINT in tags:
        (a, e), (column, row, _, x, y) = tags[SCALE][:2], tags[TIE_POINT][:5]
        x, y, b, d, e = x - column * a, y + row * e, 0.0, 0.0, -e
    else:
        return None
    return a, d, b, e, x + shift * (a + b), y + shift * (d + e)


def _read_world_file(image: Path) -> tuple[float, ...] | None:
    suffix = image.suffix[1:]
    for name in (f".{suffix[:1]}{suffix[-1:]}w", f".{suffix}w", ".wld"):
        file = image.with_suffix(name)
        try:
            numbers = tuple(float(line) for line in file.read_text(encoding="ascii").split())
        except (OSError, ValueError):
            continue
        if len(numbers) == 6:
            return numbers
    return None


def write_world_file(image: Path, result: Path) -> None:
    """Write the world file of the PNG `result`, of the same pixels as `image`, if the image has a place on earth."""
    world = read_georeference(image).world
    if world:
        write_text(result.with_suffix(".pgw"), "".join(f"{number:.12g}\n" for number in world))
