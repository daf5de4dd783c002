"""Measure time and peak memory of sliding-window inference on large images, each size in a new process."""

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from seglib import data, inference, models

from .measure import need, single
from .memory import in_fresh_process, peak_bytes

SIDES = (1000, 2000, 5000, 10000, 20000)
MODEL = "hrnet_w18_small_v1"
PART = 400  # height and width of the tiles in pixels


def measured(side: int) -> dict:
    """Measure the prediction of an image of `side` x `side` pixels in a new process.

    Returns:
        The results of the entry. `ours` is the time in seconds per megapixel, `seconds` the time for the whole image,
        and `peak_mib` the peak memory of the process.
    """
    need("rasterio")
    need("tifffile")
    result = in_fresh_process(__name__, str(side))
    note = f"{result['seconds']:.0f} s, peak memory {result['mib']:.0f} MiB; {MODEL}, windows of 512x512"
    return single([result["seconds"] / side**2 * 1e6], "s/megapixel") | {
        "note": note,
        "side": side,
        "seconds": result["seconds"],
        "peak_mib": result["mib"],
    }


def write_image(file: Path, side: int) -> None:
    """Write a tiled TIFF file of `side` x `side` pixels that repeats an image of a synthetic street."""
    import tifffile

    part = data.load("streets", "val", length=1, size=[PART, PART])[0]["image"]
    starts = range(0, side, PART)
    parts = (part[: side - y, : side - x] for y in starts for x in starts)
    with tifffile.TiffWriter(file) as writer:
        writer.write(
            parts,
            shape=(side, side, 3),
            dtype=np.uint8,
            tile=(PART, PART),
            photometric="rgb",
            compression="zlib",
            metadata=None,
            maxworkers=1,
        )


def _child(side: int) -> dict:
    torch.manual_seed(0)
    predictor = inference.Predictor(models.create(MODEL, 2), device="cuda" if torch.cuda.is_available() else "cpu")
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.tif", Path(folder) / "out.tif"
        write_image(source, side)
        began = time.perf_counter()
        counts = inference.predict_tiff(predictor, source, target, [(0, 0, 0), (255, 255, 255)])
        seconds = time.perf_counter() - began
    if counts.sum() != side**2:
        raise SystemExit(f"{counts.sum():,} pixels were labeled instead of {side**2:,}")
    return {"seconds": seconds, "mib": peak_bytes() / 2**20}


if __name__ == "__main__":
    print(json.dumps(_child(int(sys.argv[1]))))
