"""Read pictures and masks from files, whatever their format, or say in one sentence what is wrong."""

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from ..errors import SeglibError

JPEG = (".jpg", ".jpeg")
ORIENTATION = 0x0112  # EXIF's entry for it, 1 to 8
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
MAX_PIXELS = 178_956_970  # a picture that claims more is refused before it is decoded; Pillow's own limit too


class DataError(SeglibError, ValueError):
    """A data set, image or mask that cannot be used; the message names the file, the fault and the remedy."""


def _open(path: Path) -> Image.Image:
    """Decode the file completely; DataError if it is missing, no image, truncated or absurdly large."""
    path = Path(path)
    try:
        with open(path, "rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns at sizes that MAX_PIXELS allows
            image = Image.open(file)
            if image.width * image.height > MAX_PIXELS:
                raise DataError(f"{path}: {image.width}x{image.height} pixels; at most {MAX_PIXELS:,} are allowed.")
            image.load()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; check the name.") from None
    except IsADirectoryError:
        raise DataError(f"{path}: is a folder, not an image file.") from None
    except PermissionError:
        raise DataError(f"{path}: not allowed to read it; check the file's permissions.") from None
    except UnidentifiedImageError:
        raise DataError(f"{path}: not an image that can be read, or one cut short; get it again as PNG.") from None
    except Image.DecompressionBombError:
        raise DataError(f"{path}: claims more than {MAX_PIXELS:,} pixels; refused as unsafe.") from None
    except MemoryError:
        raise DataError(f"{path}: decoding it takes more memory than there is; make it smaller.") from None
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, AttributeError) as error:
        if isinstance(error, DataError):
            raise
        # Pillow's decoders report damage with these types; the text is theirs.
        raise DataError(f"{path}: the image is damaged or cut short ({error}); get the file again.") from None
    return image


def _upright(image: Image.Image) -> Image.Image:
    """The picture as the camera was held, if it says so; Pillow's own function also writes the other entries anew."""
    try:
        turn = TURNS.get(image.getexif().get(ORIENTATION))
    except Exception:  # damaged entries raise whatever they like, and the pixels are good all the same
        turn = None
    return image if turn is None else image.transpose(turn)


def read_image(path: Path | str) -> np.ndarray:
    """The picture as uint8 RGB (H, W, 3), upright.

    Grey, palette, 16-bit, CMYK and transparent images are converted (transparent parts become white)
    and the camera's EXIF orientation is applied.  Raises DataError naming the file.
    """
    image = _upright(_open(Path(path)))
    if image.mode in ("I;16", "I;16B", "I;16L", "I;16N", "I"):
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise DataError(f"{path}: pixel values outside 0..65535; save it as an 8-bit or 16-bit image.")
        grey = (values // 257).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.mode == "F":
        raise DataError(f"{path}: floating-point pixels have no agreed range; save it as an 8-bit or 16-bit image.")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        paper = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(paper, image)
    return np.asarray(image.convert("RGB"))


def read_size(path: Path | str) -> tuple[int, int]:
    """Return (height, width) of an image as `read_image` gives it, without decoding it. Raises DataError."""
    try:
        with Image.open(path) as image:
            width, height = image.size
            turned = image.getexif().get(ORIENTATION, 1) >= 5
    except Exception:  # a damaged file: decoding it completely names the fault, or shows that it can be read
        return read_image(path).shape[:2]
    return (width, height) if turned else (height, width)


def read_mask(path: Path | str) -> np.ndarray:
    """The values stored in a mask file: (H, W) label ids or palette indices, or (H, W, 3) colours; upright.

    A MATLAB file must hold one such array. Raises DataError naming the file.
    """
    if Path(path).suffix.lower() == ".mat":
        return _read_mat(Path(path))
    image = _upright(_open(Path(path)))
    if image.mode in ("LA", "PA"):
        image = image.getchannel(0)
    if image.mode in ("1", "L", "P"):
        return np.asarray(image).astype(np.uint8)
    if image.mode.startswith("I"):
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 255:
            raise DataError(f"{path}: mask values up to {values.max()} found; label ids must lie in 0..255.")
        return values.astype(np.uint8)
    if image.mode not in ("RGB", "RGBA"):
        raise DataError(f"{path}: a mask in mode {image.mode} cannot be read; save it as an 8-bit PNG.")
    colours = np.asarray(image)[:, :, :3]
    grey = (colours == colours[:, :, :1]).all()
    return colours[:, :, 0].copy() if grey else colours


def _read_mat(path: Path) -> np.ndarray:
    """Return the one (H, W) array of label ids in a MATLAB file."""
    from scipy.io import loadmat  # takes half a second to import, and few masks are MATLAB files

    try:
        with open(path, "rb") as file:
            content = loadmat(file)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; check the name.") from None
    except Exception as error:  # scipy raises whatever its parser meets in a damaged file
        raise DataError(f"{path}: not a MATLAB file that can be read ({error}); get the file again.") from None
    arrays = [value for name, value in content.items() if not name.startswith("__")]
    if len(arrays) != 1 or arrays[0].ndim != 2 or arrays[0].dtype.kind not in "buif" or not arrays[0].size:
        raise DataError(f"{path}: the file must hold one array of label ids (height, width) and nothing else.")
    values = arrays[0].astype(np.uint8)
    if not np.array_equal(values, arrays[0]):
        raise DataError(f"{path}: label ids must be whole numbers in 0..255; correct the mask.")
    return values


def check_hidden(path: Path | str) -> None:
    """DataError if some parts of a mask are transparent and hold another value than 0, so that it may mean either.

    Programs that remove a background write such files.
    """
    with Image.open(path) as image:
        if "A" not in image.getbands():
            return
        image.load()
        alpha = np.asarray(image.getchannel("A"))
        hidden = np.asarray(image)[alpha == 0][..., :-1]
    if alpha.any() and hidden.any():
        raise DataError(
            f"{path}: the mask has transparent parts that hold other values than 0, so whether they are background "
            "is not known; save it without transparency, as an 8-bit PNG."
        )


def mask_colours(path: Path | str) -> np.ndarray:
    """The colours that a mask file shows, (H, W, 3) uint8, those of its palette if it has one.  Raises DataError."""
    image = _upright(_open(Path(path)))
    image.info.pop("transparency", None)  # a mask has none; Pillow would warn
    return np.asarray(image.convert("RGB"))


def labels_by_id(values: np.ndarray, path: Path, *tables: dict[int, int]) -> np.ndarray:
    """Translate stored ids to labels by the first of `tables` ({id: label}) that knows every id in the mask.

    `values` is (H, W) uint8; the result too.  Raises DataError naming the file and the unknown ids.
    """
    if values.ndim != 2:
        raise DataError(f"{path}: the mask is coloured, but this data set stores label ids; save them in a grey PNG.")
    present = np.flatnonzero(np.bincount(values.ravel(), minlength=256))
    for table in tables:
        if set(present.tolist()) <= table.keys():
            lookup = np.zeros(256, np.uint8)
            lookup[list(table)] = list(table.values())
            return lookup[values]
    expected = " or ".join("{" + ", ".join(map(str, sorted(table))) + "}" for table in tables)
    unknown = sorted(set(present.tolist()) - set().union(*tables)) or present.tolist()
    raise DataError(
        f"{path}: unknown label {_listed(unknown)} in the mask{jpeg_hint(path)}; the values must come from {expected}."
    )


def labels_by_colour(values: np.ndarray, path: Path, table: dict[tuple[int, int, int], int]) -> np.ndarray:
    """Translate a mask painted in the colours of `table` ({(r, g, b): label}) to labels (H, W) uint8.

    Raises DataError naming the file and a colour that the table lacks.
    """
    if values.ndim == 2:
        values = np.repeat(values[:, :, None], 3, axis=2)
    code = (values.astype(np.int32) * (65536, 256, 1)).sum(axis=2)
    known = np.array([r * 65536 + g * 256 + b for r, g, b in table])
    order = np.argsort(known)
    place = np.clip(np.searchsorted(known, code, sorter=order), 0, len(known) - 1)
    wrong = known[order][place] != code
    if wrong.any():
        colour = tuple(int(v) for v in values[wrong][0])
        remedy = jpeg_hint(path) or "; add it to the classes file"
        raise DataError(f"{path}: colour {colour} in the mask belongs to no class{remedy}.")
    return np.array(list(table.values()), np.uint8)[order][place]


def jpeg_hint(path: Path) -> str:
    """Why the mask in a JPEG file holds values that nobody painted; nothing for other files."""
    return " (JPEG blurs labels: save masks as PNG)" if Path(path).suffix.lower() in JPEG else ""


def _listed(values: list[int]) -> str:
    return ", ".join(map(str, values[:8])) + (", ..." if len(values) > 8 else "")
