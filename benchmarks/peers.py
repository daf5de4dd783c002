"""Fetch networks of other projects from npm, only for measuring: they are kept in a cache and never in this repository.

ISNet in `@imgly/background-removal-data` is under the AGPL; MediaPipe's selfie segmentation is under Apache-2.0.
"""

import json
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pooch
from PIL import Image

from .measure import Skipped, need

ISNET = "@imgly/background-removal-data@1.4.5"
SELFIE = "@mediapipe/selfie_segmentation@0.1.1675465747"
ISNET_SIDE, SELFIE_SIDE = 1024, 256
Alpha = Callable[[Image.Image], np.ndarray]


def package(name: str) -> Path:
    """Return the folder of an unpacked npm package, which is fetched with `npm pack` at first."""
    folder = Path(pooch.os_cache("seglib-benchmarks")) / name.strip("@").replace("/", "-")
    if (folder / "package").exists():
        return folder / "package"
    npm = shutil.which("npm")
    if npm is None:
        raise Skipped(f"{name} is fetched with npm, which is not installed: install Node.js")
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run([npm, "pack", name], capture_output=True, text=True, cwd=folder)
    if done.returncode:
        raise Skipped(f"{name}: npm pack failed: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
    with tarfile.open(folder / done.stdout.split()[-1]) as archive:
        archive.extractall(folder, filter="data")
    return folder / "package"


def joined(resources: dict, key: str, folder: Path) -> bytes:
    """Return a file that is stored in chunks, which `resources` (the package's resources.json) lists."""
    return b"".join((folder / chunk["hash"]).read_bytes() for chunk in resources[key]["chunks"])


def isnet(threads: int) -> Alpha:
    """Return ISNet in onnxruntime as a function from an RGB image to opacities (H, W) from 0 to 1 at its own size."""
    runtime = need("onnxruntime")
    folder = package(ISNET) / "dist"
    resources = json.loads((folder / "resources.json").read_text(encoding="utf-8"))
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    content = joined(resources, "/models/medium", folder)
    session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    (entry,) = session.get_inputs()

    def alpha(image: Image.Image) -> np.ndarray:
        small = image.resize((ISNET_SIDE, ISNET_SIDE), Image.Resampling.BILINEAR)
        pixels = (np.asarray(small, np.float32).transpose(2, 0, 1)[None] - 128) / 256
        return session.run(None, {entry.name: pixels})[0][0, 0]

    return alpha


def selfie(threads: int) -> Alpha:
    """Return MediaPipe's selfie network in LiteRT as a function from an RGB image to opacities (H, W) from 0 to 1."""
    interpreter = need("ai_edge_litert.interpreter", "ai-edge-litert").Interpreter(
        str(package(SELFIE) / "selfie_segmentation.tflite"), num_threads=threads
    )
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]

    def alpha(image: Image.Image) -> np.ndarray:
        small = image.resize((SELFIE_SIDE, SELFIE_SIDE), Image.Resampling.BILINEAR)
        interpreter.set_tensor(source, np.asarray(small, np.float32)[None] / 255)
        interpreter.invoke()
        return interpreter.get_tensor(target)[0, :, :, 0].copy()

    return alpha
