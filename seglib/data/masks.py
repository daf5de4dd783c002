"""Read the values stored in mask files, and convert them to labels."""

from pathlib import Path

import numpy as np
from PIL import Image

from .images import JPEG, DataError, decode_deep_colors, has_deep_colors, open_image, orientation, turn_upright


def read_mask(path: Path | str, form: str = "stored") -> np.ndarray:
    """Read the values of a mask file as an upright uint8 array.

    Args:
        path: The mask file. A MATLAB file must contain a single array of label ids.
        form: "stored" returns label ids or palette indices (H, W), or colors (H, W, 3) if the mask is not gray.
            "colors" returns the displayed colors (H, W, 3), and "alpha" returns the opacity (H, W). "guess" is used if
            there is no classes.yaml; it is like "stored", but rejects masks whose transparency or palette contradicts
            their values.

    Raises:
        DataError: If the mask cannot be read. The message names the file.
    """
    path = Path(path)
    if path.suffix.lower() == ".mat":
        return _read_mat(path)
    with open_image(path) as image:
        is_deep = has_deep_colors(image)  # checked first, because loading clears the information
        image.load()
        if form == "colors":
            image.info.pop("transparency", None)  # not needed for masks, and Pillow would warn about it
            values = np.asarray(image.convert("RGB"))
        elif form == "alpha":
            if "transparency" not in image.info and "A" not in image.getbands():
                raise DataError(f"{path}: has no transparency to take the mask from; save it with an alpha channel.")
            values = np.asarray(image.convert("RGBA").getchannel("A"))
        else:
            values = _read_stored_values(image, path, is_deep)
            if form == "guess":
                _check_consistency(image, values, path)
        return np.ascontiguousarray(turn_upright(values, orientation(image)))


def _read_mat(path: Path) -> np.ndarray:
    """Return the single (H, W) array of label ids in a MATLAB file."""
    from scipy.io import loadmat  # the import takes half a second, and few masks are MATLAB files

    try:
        content = loadmat(str(path), appendmat=False)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; check the name.") from None
    except Exception as error:  # scipy raises many types of exceptions for damaged files
        raise DataError(f"{path}: not a MATLAB file that can be read ({error}); get the file again.") from None
    arrays = [value for name, value in content.items() if not name.startswith("__")]
    if len(arrays) != 1 or arrays[0].ndim != 2 or arrays[0].dtype.kind not in "buif" or not arrays[0].size:
        raise DataError(f"{path}: the file must contain one array of label ids (height, width) and nothing else.")
    values = arrays[0].astype(np.uint8)
    if not np.array_equal(values, arrays[0]):
        raise DataError(f"{path}: label ids must be whole numbers in 0..255; correct the mask.")
    return values


def _read_stored_values(image: Image.Image, path: Path, is_deep: bool) -> np.ndarray:
    if is_deep:  # Pillow drops the lower bytes
        values = decode_deep_colors(path, image)
        return _drop_equal_channels(_to_label_ids(values[:, :, 2::-1] if values.shape[2] > 2 else values, path))
    if image.mode in ("LA", "PA"):
        image = image.getchannel(0)
    if image.mode in ("1", "L", "P"):
        return np.asarray(image).astype(np.uint8)
    if image.mode.startswith("I") or image.mode == "F":
        return _to_label_ids(np.asarray(image), path)
    if image.mode not in ("RGB", "RGBA"):
        raise DataError(f"{path}: a mask in mode {image.mode} cannot be read; save it as an 8-bit PNG.")
    return _drop_equal_channels(np.asarray(image)[:, :, :3])


def _to_label_ids(values: np.ndarray, path: Path) -> np.ndarray:
    if (values % 1).any():
        raise DataError(f"{path}: the mask has fractional values; save label ids as an 8-bit PNG.")
    if values.max() > 255 and not (values % 257).any():
        values = values // 257  # 8-bit values scaled to 16 bits
    if values.min() < 0 or values.max() > 255:
        raise DataError(f"{path}: the mask has values up to {values.max():g}; label ids must be in 0..255.")
    return values.astype(np.uint8)


def _drop_equal_channels(colors: np.ndarray) -> np.ndarray:
    """Return gray colors as (H, W), and other colors (H, W, 3) as they are."""
    return colors[:, :, 0].copy() if (colors == colors[:, :, :1]).all() else colors


def _check_consistency(image: Image.Image, values: np.ndarray, path: Path) -> None:
    """Raise DataError if the background is ambiguous because transparency or palette contradicts the values."""
    if "A" in image.getbands():
        alpha = np.asarray(image.getchannel("A"))
        if alpha.any() and np.asarray(image)[alpha == 0][..., :-1].any():  # common in the output of background removal
            fault = "the mask has transparent parts with values other than 0. If the opaque parts are the object"
            remedy = "write `binary: {alpha: 127}` in classes.yaml; else save it without transparency"
            raise DataError(f"{path}: {fault}, {remedy}.")
    if image.mode == "P" and values.max(initial=0) == 1:  # some programs number the colors in order of appearance
        colors = np.asarray(image.convert("RGB"))
        if not colors[values == 1].any() and colors[values == 0].any():
            color = tuple(colors[values == 0][0].tolist())
            fault = f"the value 0 is shown as {color} and 1 as black, so the background is ambiguous"
            raise DataError(f"{path}: {fault}; save it in gray, or name the colors in classes.yaml.")


def labels_by_id(values: np.ndarray, path: Path, *tables: dict[int, int]) -> np.ndarray:
    """Convert stored ids to labels with the first of `tables` ({id: label}) that contains every id in the mask.

    `values` and the result are uint8 (H, W). Raises DataError with the path and the unknown ids if there is no such
    table.
    """
    if values.ndim != 2:
        remedy = "save them in a gray PNG, or name the colors in classes.yaml"
        raise DataError(f"{path}: the mask is colored, but this data set stores label ids; {remedy}.")
    present = np.flatnonzero(np.bincount(values.ravel(), minlength=256))
    for table in tables:
        if set(present.tolist()) <= table.keys():
            lookup = np.zeros(256, np.uint8)
            lookup[list(table)] = list(table.values())
            return lookup[values]
    expected = " or ".join("{" + ", ".join(map(str, sorted(table))) + "}" for table in tables)
    unknown = sorted(set(present.tolist()) - set().union(*tables)) or present.tolist()
    listed = ", ".join(map(str, unknown[:8])) + (", ..." if len(unknown) > 8 else "")
    raise DataError(f"{path}: unknown label {listed} in the mask{jpeg_hint(path)}; values must come from {expected}.")


def labels_by_color(values: np.ndarray, path: Path, table: dict[tuple[int, int, int], int]) -> np.ndarray:
    """Convert the colors of a mask to uint8 labels (H, W) with `table`, {(r, g, b): label}.

    Raises DataError with the path and the color if a color is missing from the table.
    """
    values = np.atleast_3d(values)  # a gray mask has one channel, which is compared with all three
    codes, known = (np.sum(v * np.int32((65536, 256, 1)), axis=-1) for v in (values, np.array(list(table))))
    order = np.argsort(known)
    index = order[np.searchsorted(known, codes, sorter=order).clip(max=len(known) - 1)]
    wrong = known[index] != codes
    if wrong.any():
        color = tuple(np.broadcast_to(values, (*wrong.shape, 3))[wrong][0].tolist())
        remedy = jpeg_hint(path) or "; add it to the classes file"
        raise DataError(f"{path}: color {color} in the mask belongs to no class{remedy}.")
    return np.array(list(table.values()), np.uint8)[index]


def jpeg_hint(path: Path) -> str:
    """Return the likely cause of unknown values in a JPEG mask, or an empty string for other files."""
    return " (JPEG blurs labels: save masks as PNG)" if Path(path).suffix.lower() in JPEG else ""
