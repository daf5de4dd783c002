"""Read image files as arrays. If a file cannot be read, the error message explains why in one sentence.

By default, images are converted to upright 8-bit sRGB. Optionally, the stored values of bands are returned as float32.
docs/data_formats.md lists every conversion.
"""

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms, ImageSequence, UnidentifiedImageError

from ..errors import SeglibError, import_optional

JPEG = (".jpg", ".jpeg")
HEIF = (".heic", ".heif")
# Pillow formats that are not accepted: videos, containers for scientific data, and formats that run other programs.
_NOT_IMAGES = {"BUFR", "EPS", "FLI", "GRIB", "HDF5", "MPEG", "WMF"}
Image.init()
_FORMATS = {suffix: name for suffix, name in Image.registered_extensions().items() if name in Image.OPEN}
SUFFIXES = frozenset({suffix for suffix, name in _FORMATS.items() if name not in _NOT_IMAGES} | set(HEIF))
ORIENTATION = 0x0112  # the EXIF tag; its values are 1 to 8
MAX_PIXELS = 178_956_970  # larger images are rejected before decoding; Pillow has the same limit
DEPTHS = (8, 10, 12, 14, 16)  # possible bit depths of the values in 16-bit images from cameras and scanners
WIDTH, LENGTH = 256, 257  # TIFF tags
SUBFILE, SAMPLES, PHOTOMETRIC, EXTRA, PLANAR, BITS = 254, 277, 262, 338, 284, 258  # TIFF tags
COLOR_SAMPLES = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3}  # PhotometricInterpretation -> number of color bands
ALPHA = (1, 2)  # values of ExtraSamples that mean transparency
BANDS_REASON = (
    "{0} bands, of which those after the colors are not transparency; choose one or three with --bands, or `bands:` in "
    "classes.yaml, or train a network on all of them with `channels: {0}`"
)
STILL_FORMATS = {"MPO", "PSD", "ICO", "ICNS", "CUR", "HEIF"}  # their other frames are previews, layers or other sizes


class DataError(SeglibError, ValueError):
    """Raised if a data set, image or mask cannot be used. The message names the file and the problem."""


def read_text(file: Path) -> str:
    """Return the content of a UTF-8 text file, without a byte order mark."""
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{file}: not UTF-8 text; save it in that encoding.") from None


@contextmanager
def open_image(path: Path) -> Iterator[Image.Image]:
    """Open an image file for decoding.

    Raises DataError if the file is missing, is not an image, is too large or has several pages. Decoding errors in the
    `with` block are also converted to DataError.
    """
    if path.suffix.lower() in HEIF:
        import_optional("pillow_heif", DataError, f"{path}: HEIC", "pillow-heif").register_heif_opener()
    try:
        with open(path, "rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns about sizes that MAX_PIXELS allows
            image = Image.open(file)
            if image.width * image.height > MAX_PIXELS:
                raise DataError(f"{path}: {image.width}x{image.height} pixels; at most {MAX_PIXELS:,} are allowed.")
            _check_single(image, path)
            yield image
    except DataError:
        raise
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        reason = str(error.strerror).lower()
        raise DataError(f"{path}: {reason}; check the name and the file's permissions.") from None
    except UnidentifiedImageError:
        reason = _explain_tiff(path) or "not an image that can be read, or truncated; get it again as PNG"
        raise DataError(f"{path}: {reason}.") from None
    except (Image.DecompressionBombError, MemoryError):
        raise DataError(f"{path}: more than {MAX_PIXELS:,} pixels, or not enough memory; make it smaller.") from None
    except (OSError, SyntaxError, ValueError, LookupError, EOFError, TypeError, AttributeError) as error:
        # Pillow's decoders raise these exceptions for damaged files. The message includes their text.
        raise DataError(f"{path}: the image is damaged or truncated ({error}); get the file again.") from None


def _check_single(image: Image.Image, path: Path) -> None:
    """Raise DataError if the file contains several images.

    Thumbnails, pyramid levels and transparency masks in a TIFF file are not counted.
    """
    frames = 1 if image.format in STILL_FORMATS else getattr(image, "n_frames", 1)
    if frames > 1 and image.format == "TIFF":
        frames = sum(not frame.tag_v2.get(SUBFILE, 0) & 5 for frame in ImageSequence.Iterator(image))
        image.seek(0)
    if frames > 1:
        raise DataError(f"{path}: holds {frames} pages or frames, but only one can be read; save each as a file.")


def orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8, or 1 if the EXIF data is missing or damaged."""
    try:
        turn = 1 if image.format == "TIFF" else image.getexif().get(ORIENTATION, 1)
    except Exception:  # damaged EXIF data can cause many types of exceptions, but the pixels may be intact
        turn = 1
    return turn if turn in range(1, 9) else 1


def read_orientation(path: Path) -> int:
    """Return the EXIF orientation of a file.

    The result is 1 if the file cannot be read, or if the EXIF data of a PNG file is stored after the pixels.
    """
    try:
        with open_image(path) as image:
            return 1 if image.format == "PNG" and "exif" not in image.info else orientation(image)
    except DataError:
        return 1


def turn_hint(image: Path, mask: Path) -> str:
    """Return a hint for an error message if the EXIF orientations of image and mask differ, else an empty string."""
    turn, other = read_orientation(image), read_orientation(mask)
    return "" if turn == other else f" (EXIF orientation of the image: {turn}, of the mask: {other})"


def turn_upright(values: np.ndarray, turn: int) -> np.ndarray:
    """Rotate and flip an array (H, W, ...) as required by the EXIF orientation `turn`."""
    if turn >= 5:
        values = values.swapaxes(0, 1)
    if turn in (2, 3, 6, 7):
        values = values[:, ::-1]
    if turn in (3, 4, 7, 8):
        values = values[::-1]
    return values


def read_size(path: Path | str, **reading) -> tuple[int, int]:
    """Return (height, width) of the array that `read_image` returns, without decoding the image if possible."""
    try:
        with Image.open(path) as image:
            return (image.height, image.width) if orientation(image) < 5 else image.size
    except Exception:  # the header is damaged; `read_image` may succeed anyway, or raise an error with the reason
        return read_image(path, **reading).shape[:2]


def read_image(path: Path | str, bits: int = 0, bands: Sequence[int] = (), channels: int = 0) -> np.ndarray:
    """Read an image as upright uint8 sRGB (H, W, 3), or as float32 bands. Transparent areas become white.

    Args:
        path: The image file, in any format that Pillow can read. Multi-page and animated files are rejected.
        bits: Bit depth of the values in a 16-bit file, which are scaled to 8 bits. If 0, the smallest of 8, 10, 12, 14
            and 16 bits that can represent the largest value in the file is used.
        bands: Numbers of the bands to read, starting at 1; by default, all bands. One band is returned as gray, three
            bands as red, green and blue. If `channels` is not 0, the number of bands must equal `channels`.
        channels: If not 0, the stored values of the bands are returned as float32 (H, W, channels). No-data pixels of a
            GeoTIFF become NaN.

    Raises:
        DataError: If the image cannot be read. The message names the file and the problem.
    """
    return decode_image(Path(path), bits, bands, channels)[0]


def decode_image(
    path: Path, bits: int = 0, bands: Sequence[int] = (), channels: int = 0
) -> tuple[np.ndarray, int, int]:
    """Return the result of `read_image`, the original bit depth, and the EXIF orientation."""
    if bits not in (0, *DEPTHS):
        raise DataError(f"bits: {bits!r:.40} must be one of {', '.join(map(str, DEPTHS))}, or 0.")
    if bands or channels:
        return _read_bands(path, bits, bands, channels)
    with open_image(path) as image:
        _check_extra_bands(image, path)
        is_deep = has_deep_colors(image)  # checked first, because reading EXIF data decodes a PNG
        turn, profile = orientation(image), image.info.get("icc_profile")
        if is_deep:
            image, alpha, depth = _read_deep_colors(path, image, bits)
        else:
            image.load()
            image, alpha, depth = _convert_to_eight_bits(image, path, bits)
        pixels = to_srgb(image, profile)
    if alpha is not None:
        pixels = np.asarray(Image.composite(Image.fromarray(pixels), Image.new("RGB", image.size, "white"), alpha))
    return np.ascontiguousarray(turn_upright(pixels, turn)), depth, turn


def _convert_to_eight_bits(image: Image.Image, path: Path, bits: int) -> tuple[Image.Image, Image.Image | None, int]:
    """Return the image in mode L, RGB, CMYK or LAB, its alpha channel or None, and its original bit depth."""
    if image.mode == "F":
        remedy = "save it in 8 or 16 bits, or train a network on the values with `channels:` in classes.yaml"
        raise DataError(f"{path}: floating-point pixels have no agreed range; {remedy}.")
    if image.mode.startswith("I"):
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise DataError(f"{path}: pixel values outside 0..65535; save it as an 8-bit or 16-bit image.")
        bits = bits or used_bits(values)
        gray = scale_to_bytes(values, bits, path)
        is_inverted = getattr(image, "tag_v2", {}).get(PHOTOMETRIC) == 0  # Pillow inverts only up to 8 bits
        return Image.fromarray(255 - gray if is_inverted else gray), None, bits
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        colors = "L" if image.mode in ("L", "LA", "La") else "RGB"  # a color profile is for one of these modes
        image = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")  # Pillow has no La to RGBA
        return image.convert(colors), image.getchannel("A"), 8
    return image if image.mode in ("L", "RGB", "CMYK", "LAB") else image.convert("RGB"), None, 8


def used_bits(values: np.ndarray) -> int:
    """Return the smallest bit depth in DEPTHS that can represent the largest value."""
    largest = int(values.max(initial=0))
    return next(depth for depth in DEPTHS if largest < 1 << depth)


def scale_to_bytes(values: np.ndarray, bits: int, path: Path) -> np.ndarray:
    """Scale integers of `bits` bits to uint8. Raises DataError if a value does not fit into `bits` bits."""
    largest, top = int(values.max(initial=0)), (1 << bits) - 1
    if largest > top:
        raise DataError(f"{path}: values up to {largest} do not fit into {bits} bits; give the camera's bits.")
    return ((values.astype(np.uint32) * 255 + top // 2) // top).astype(np.uint8)


def has_deep_colors(image: Image.Image) -> bool:
    """Return whether the image has 16-bit color, or 16-bit gray with alpha, which Pillow would reduce to 8 bits."""
    if image.format not in ("PNG", "TIFF") or image.mode.startswith(("I", "F")):
        return False
    return any("16" in str(tile[3] if isinstance(tile[3], str) else tile[3][0]) for tile in image.tile)


def decode_deep_colors(path: Path, image: Image.Image) -> np.ndarray:
    """Return the stored values, uint16 (H, W, C) in the order BGRA, of an image for which `has_deep_colors` is true."""
    import cv2

    values = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None or values.shape[:2] != (image.height, image.width) or values.dtype != np.uint16:
        raise DataError(f"{path}: 16-bit colors that cannot be decoded; save it as a 16-bit PNG, or in 8 bits.")
    return values.reshape(*values.shape[:2], -1)


def _read_deep_colors(path: Path, image: Image.Image, bits: int) -> tuple[Image.Image, Image.Image | None, int]:
    values = decode_deep_colors(path, image)
    colors = values[:, :, 2::-1] if values.shape[2] >= 3 else values[:, :, 0]
    if getattr(image, "tag_v2", {}).get(EXTRA, ())[:1] == (1,):  # colors are premultiplied by alpha
        factor = np.float32(65535) / np.maximum(values[:, :, 3:], 1)
        colors = np.minimum(colors * factor, 65535).round().astype(np.uint16)
    bits = bits or used_bits(colors)
    alpha = Image.fromarray(scale_to_bytes(values[:, :, 3], 16, path)) if values.shape[2] == 4 else None
    return Image.fromarray(scale_to_bytes(colors, bits, path)), alpha, bits


def to_srgb(image: Image.Image, profile: bytes | None) -> np.ndarray:
    """Convert an image in mode L, RGB, CMYK or LAB, with a color profile or None, to uint8 sRGB (H, W, 3)."""
    transform = _build_profile_transform(profile, image.mode) if profile or image.mode == "LAB" else None
    return np.asarray(ImageCms.applyTransform(image, transform) if transform else image.convert("RGB"))


@lru_cache(maxsize=16)
def _build_profile_transform(profile: bytes | None, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return the conversion from a color profile to sRGB.

    The result is None if the profile is already sRGB, is damaged, or does not apply to images of this mode.
    """
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile)) if profile else ImageCms.createProfile("LAB")
        if profile and "sRGB" in ImageCms.getProfileDescription(source):
            return None
        return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


def _check_extra_bands(image: Image.Image, path: Path) -> None:
    """Raise DataError if a TIFF has bands other than color and alpha, because they cannot be converted to RGB."""
    if image.format == "TIFF":
        tags = image.tag_v2
        samples, colors = tags.get(SAMPLES, 1), COLOR_SAMPLES.get(tags.get(PHOTOMETRIC), 0)
        extra = np.ravel(tags.get(EXTRA, ())).tolist()
        if colors > 1 and tags.get(PLANAR) == 2 and max(tags.get(BITS, (8,))) > 8:
            raise DataError(f"{path}: 16-bit colors in separate planes; choose them with --bands 1 2 3, or `bands:`.")
        if colors and samples > colors and not (samples == colors + 1 and extra and extra[0] in ALPHA):
            raise DataError(f"{path}: {BANDS_REASON.format(samples)}.")


def tiff_tags(path: Path) -> dict[int, Any]:
    """Return the tags of a TIFF that Pillow cannot open, or an empty dict if tifffile cannot open the file either."""
    try:
        import tifffile

        with tifffile.TiffFile(path) as tiff:
            return {tag.code: tag.value for tag in tiff.pages[0].tags}
    except Exception:  # not a TIFF, a damaged TIFF, or tifffile is not installed
        return {}


def _explain_tiff(path: Path) -> str:
    """Return the reason why Pillow cannot open a TIFF, or an empty string if tifffile cannot open the file either."""
    try:
        import tifffile

        with tifffile.TiffFile(path) as tiff:
            page = tiff.pages[0]
            if page.samplesperpixel not in (1, 3):
                return BANDS_REASON.format(page.samplesperpixel)
            return f"a TIFF of {page.bitspersample} bits ({page.dtype}); save it with 8 or 16 bits"
    except Exception:  # not a TIFF, a damaged TIFF, or tifffile is not installed
        return ""


def choose_bands(path: Path, count: int, bands: Sequence[int] = (), channels: int = 0) -> list[int]:
    """Return the numbers of the bands to read, starting at 1, from a file with `count` bands.

    `bands` and `channels` are the same as in `read_image`. Raises DataError if they are not valid for this file.
    """
    if bands and (len(bands) not in ([channels] if channels else [1, 3]) or not all(isinstance(b, int) for b in bands)):
        number = f"{channels} bands, one for each channel (data.channels)" if channels else "one band or three"
        raise DataError(f"bands: {list(bands)} must be {number}, as numbers from 1.")
    if not all(1 <= band <= count for band in bands):
        raise DataError(f"{path}: has {count} bands, not the chosen {list(bands)}.")
    if not bands and count != channels:
        remedy = "choose as many with --bands, or `bands:` in classes.yaml, or correct data.channels"
        raise DataError(f"{path}: has {count} bands, but the network takes {channels} channels; {remedy}.")
    return list(bands) or list(range(1, count + 1))


def _read_bands(path: Path, bits: int, bands: Sequence[int], channels: int) -> tuple[np.ndarray, int, int]:
    """Read selected bands for `decode_image`, using tifffile for TIFF files and Pillow for other files."""
    nodata = None
    if path.suffix.lower() in (".tif", ".tiff"):
        values, turn, nodata = _read_tiff_samples(path, pages_are_bands=channels > 0)
    else:
        with open_image(path) as image:
            if channels and has_deep_colors(image):
                raise DataError(f"{path}: bands of 16 bits are read from TIFF files only; save it as one.")
            image.load()
            values, turn = np.asarray(image), orientation(image)
    values = values.reshape(*values.shape[:2], -1)
    chosen = values[:, :, [band - 1 for band in choose_bands(path, values.shape[2], bands, channels)]]
    if values.dtype.kind not in ("buif" if channels else "bu") or (values.dtype.itemsize > 2 and not channels):
        allowed = "numbers that are not complex" if channels else "8-bit and 16-bit whole numbers"
        raise DataError(f"{path}: pixels are {values.dtype}; only {allowed} are read.")
    if channels:
        return np.ascontiguousarray(turn_upright(as_channels(chosen, nodata), turn)), 8, turn
    bits = 8 if chosen.dtype == np.uint8 else bits or used_bits(chosen)
    chosen = scale_to_bytes(chosen, bits, path)
    return np.ascontiguousarray(turn_upright(chosen.repeat(3 // len(bands), axis=2), turn)), bits, turn


def as_channels(values: np.ndarray, nodata: float | None) -> np.ndarray:
    """Return stored values (H, W, B) as float32, with NaN in place of the value `nodata`."""
    with np.errstate(over="ignore"):  # a float64 no-data value may overflow to infinity
        channels, missing = values.astype(np.float32), np.float32(np.nan if nodata is None else nodata)
    channels[channels == missing] = np.nan
    return channels


def bands_to_rgb(image: np.ndarray) -> np.ndarray:
    """Return the first three bands of an image (H, W, C) as uint8 RGB for display.

    If there are fewer than three bands, the last one is repeated. In each band, the range from 2.5 standard deviations
    below the mean to 2.5 above it is scaled to 0..255. A uint8 RGB image is returned unchanged.
    """
    if image.dtype == np.uint8 and image.shape[2] == 3:
        return image
    bands = image[:, :, [min(band, image.shape[2] - 1) for band in range(3)]].astype(np.float64)
    bands[~np.isfinite(bands)] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy warns about bands without valid values
        mean, std = np.nanmean(bands, (0, 1)), np.nanstd(bands, (0, 1))
    return np.nan_to_num((bands - mean) / np.maximum(std, 1e-12) * 51 + 127.5).clip(0, 255).astype(np.uint8)


def _read_tiff_samples(path: Path, pages_are_bands: bool) -> tuple[np.ndarray, int, float | None]:
    """Return all bands (H, W, B) of a TIFF, its orientation, and its no-data value or None."""
    tifffile = import_optional("tifffile", DataError, f"{path}: reading bands", "tifffile")
    try:
        with tifffile.TiffFile(path) as tiff:
            pages = [page for page in tiff.pages if not page.subfiletype & 5]
            page, nodata = pages[0], None
            are_bands = pages_are_bands and len({(page.shape, page.dtype) for page in pages}) == 1
            if len(pages) > 1 and not are_bands:
                raise DataError(f"{path}: holds {len(pages)} pages, but only one can be read; save each as a file.")
            if page.imagewidth * page.imagelength > MAX_PIXELS:
                raise DataError(f"{path}: more than {MAX_PIXELS:,} pixels; make it smaller.")
            values = page.asarray() if len(pages) == 1 else np.dstack([page.asarray() for page in pages])
            turn = page.tags["Orientation"].value if "Orientation" in page.tags else 1
            with suppress(KeyError, ValueError):  # page.nodata is 0 if the tag is missing
                nodata = float(page.tags["GDAL_NODATA"].value)
            return (np.moveaxis(values, 0, -1) if page.axes == "SYX" else values), int(turn), nodata
    except (DataError, FileNotFoundError, MemoryError):
        raise
    except Exception as error:  # tifffile raises many types of exceptions for damaged files
        remedy = "save it again without compression, or pip install imagecodecs"
        raise DataError(f"{path}: cannot be read as TIFF ({error}); {remedy}.") from None
