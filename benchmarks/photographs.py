"""Measure `seglib predict` as its users meet it: a folder of photographs, one photograph, and the command's help."""

import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from seglib import data, inference
from seglib.cli import predict
from seglib.cli.options import Parser
from seglib.data.transforms import normalize, resized_size
from seglib.inference.batch import PredictTask
from seglib.metrics import Counts

from . import memory, peers, results
from .measure import Unequal, contest, single, threads

WEIGHTS = "efficientnet_unet-humans"
COUNT = 200
MEGAPIXELS = (2, 12)
TURNS = 5
# Photographs per entry. Slow peers get fewer, spread evenly over all sizes.
PHOTOGRAPHS = {"loop": 40, "selfie": 200, "isnet": 20}
JUDGED = {"selfie": 44, "isnet": 10}  # validation images of humans for the foreground IoU
DISAGREEMENT = 0.02  # largest allowed fraction of pixels in which the plain loop differs; it resizes with Pillow
STARTS = 7
IMPORT_TORCH = ("-c", "import torch")
NEW_PROCESS = "CPU time of a new process with one thread"
OWN_SIZE = (3000, 4000)


def photograph(images: Sequence[np.ndarray], index: int, megapixels: float) -> np.ndarray:
    """Return an RGB image of about `megapixels`, in portrait or landscape format.

    It shows two of `images`, enlarged, beside or below each other, with noise like a camera's, so that its JPEG file
    has a realistic size. The result depends only on the arguments.
    """
    random = np.random.default_rng(index)
    long, short = (round(side * (megapixels * 1e6) ** 0.5 / 2) * 2 for side in ((4 / 3) ** 0.5, (3 / 4) ** 0.5))
    landscape = index % 2 == 0
    half = (short, long // 2) if landscape else (long // 2, short)
    parts = [
        cv2.resize(images[i], half[::-1], interpolation=cv2.INTER_CUBIC) for i in random.integers(len(images), size=2)
    ]
    whole = np.concatenate(parts, 1 if landscape else 0)
    noise = np.empty(whole.shape, np.int8)
    cv2.setRNGSeed(index)
    cv2.randn(noise, 0, 8)
    return cv2.add(whole, noise, dtype=cv2.CV_8U)


def write_photographs(root: Path, folder: Path, count: int = COUNT) -> list[Path]:
    """Write `count` JPEG files with 2 to 12 megapixels to `folder`, and return their paths, in mixed order of size."""
    source = [pair for name in ("humans", "horses") for pair in data.pairs(data.source(name), "val", root)]
    images = [data.read_image(pair.image) for pair in source]
    sizes = np.random.default_rng(0).permutation(np.linspace(*MEGAPIXELS, count))
    files = [folder / f"{index:03}.jpg" for index in range(count)]
    for index, (file, megapixels) in enumerate(zip(files, sizes, strict=True)):
        Image.fromarray(photograph(images, index, float(megapixels))).save(file, quality=90)
    return files


@functools.cache  # the entries share the files, which are removed at exit
def _shared_photographs(root: Path) -> tuple[tempfile.TemporaryDirectory, list[Path]]:
    folder = tempfile.TemporaryDirectory(prefix="photographs-")
    return folder, write_photographs(root, Path(folder.name))


def batch_predictor(weights: str = WEIGHTS) -> inference.batch.BatchPredictor:
    """Return what `seglib predict --kind mask` uses."""
    parser: ArgumentParser = Parser()
    predict.add_arguments(parser)
    return predict.load(parser.parse_args(["images", "--weights", weights, "--kind", "mask"]))


class PlainLoop:
    """The loop that the documentation of most networks shows: decode with Pillow, run the network, save with Pillow."""

    def __init__(self, weights: str = WEIGHTS):
        self.model, metadata = inference.load(weights)
        self.model.eval()
        self.longest_side = metadata["config"]["inference"]["longest_side"]

    @torch.inference_mode()
    def __call__(self, image: Image.Image) -> np.ndarray:
        """Return the labels, uint8, at the size of the image."""
        height, width = resized_size(image.height, image.width, self.longest_side)
        pixels = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
        batch = normalize(torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].contiguous())
        logits = F.interpolate(self.model(batch), (image.height, image.width), mode="bilinear", align_corners=False)
        return logits.argmax(1)[0].to(torch.uint8).numpy()


class ThresholdedAlpha:
    """A network that returns opacities, as a function from an image to labels at the image's size."""

    def __init__(self, alpha: peers.Alpha):
        self.alpha = alpha

    def __call__(self, image: Image.Image) -> np.ndarray:
        opacity = Image.fromarray(self.alpha(image).astype(np.float32))
        return (np.asarray(opacity.resize(image.size, Image.Resampling.BILINEAR)) > 0.5).astype(np.uint8)


def _peer(name: str) -> Callable[[Image.Image], np.ndarray]:
    if name == "loop":
        return PlainLoop()
    make = {"isnet": peers.isnet, "selfie": peers.selfie}[name]
    return ThresholdedAlpha(make(results.cores()))


PEERS = {
    "loop": "a plain loop with the same network: Pillow, eager PyTorch in float32, Pillow",
    "isnet": "ISNet (medium, fp16 weights) of @imgly/background-removal-data in onnxruntime, a larger network",
    "selfie": "MediaPipe's selfie segmentation in LiteRT, 256x256, a much smaller network",
}


def folder(root: Path, name: str) -> dict:
    """Measure the photographs per second of our prediction and of a peer, on all cores, from JPEG to PNG files."""
    peer = _peer(name)  # raises Skipped before the files are written
    predictor = batch_predictor()
    everything = _shared_photographs(root)[1]
    files = everything[:: len(everything) // PHOTOGRAPHS[name]]
    chunks = [files[turn::TURNS] for turn in range(TURNS)]
    with threads(results.cores()), tempfile.TemporaryDirectory() as out:
        run_ours = functools.partial(_ours, predictor, Path(out))
        run_peer = functools.partial(_peers_loop, peer, Path(out))
        for run in (run_ours, run_peer):
            run(files[:2])
        if name == "loop":
            _check_masks(files[:2], Path(out))
        scores = _foreground_iou(root, predictor.predictor, peer, JUDGED[name]) if name in JUDGED else None
        rates: tuple[list[float], list[float]] = ([], [])
        cpu_seconds = [0.0, 0.0]
        for chunk in chunks:
            for side, run in enumerate((run_ours, run_peer)):
                began, cpu_began = time.perf_counter(), time.process_time()
                run(chunk)
                rates[side].append(len(chunk) / (time.perf_counter() - began))
                cpu_seconds[side] += (time.process_time() - cpu_began) / len(files)
    note = (
        f"{len(files)} JPEG files of 2 to 12 megapixels, each made of two enlarged validation images with added "
        f"noise, in {TURNS} alternating rounds, with decoding and writing of masks, without the start; "
        f"{results.cores()} cores; ours with the weights {WEIGHTS}"
    )
    note += f"; CPU seconds per photograph: ours {cpu_seconds[0]:.2f}, baseline {cpu_seconds[1]:.2f}"
    if scores:
        judged = f"{min(JUDGED[name], len(data.load('humans', 'val', root)))} validation images of humans"
        note += f"; foreground IoU on {judged}: ours {scores[0]:.3f}, baseline {scores[1]:.3f}"
    numbers = contest(*rates, "images/s", lambda rate: rate, True)
    return numbers | {"peer_is": PEERS[name], "library": name != "loop", "note": note}


def _ours(predictor: inference.batch.BatchPredictor, out: Path, files: Sequence[Path]) -> None:
    for result in predictor.predict_all([PredictTask(file, out / file.stem) for file in files]):
        if result.error:
            raise data.DataError(result.error)


def _peers_loop(labels: Callable[[Image.Image], np.ndarray], out: Path, files: Sequence[Path]) -> None:
    for file in files:
        with Image.open(file) as image:
            Image.fromarray(labels(image.convert("RGB"))).save(out / f"{file.stem}-peer.png")


def _check_masks(files: Sequence[Path], out: Path) -> None:
    """Raise Unequal if our masks and those of the plain loop differ in more than DISAGREEMENT of the pixels."""
    for file in files:
        ours, peer = (np.asarray(Image.open(out / f"{file.stem}{end}")) for end in ("_mask.png", "-peer.png"))
        if ours.shape != peer.shape or (ours != peer).mean() > DISAGREEMENT:
            raise Unequal(f"{file.name}: the masks differ in more than {DISAGREEMENT:.0%} of the pixels")


def _foreground_iou(root: Path, predictor: inference.Predictor, peer: Callable, number: int) -> list[float]:
    """Return the foreground IoU of both on up to `number` validation images of humans, at their original size."""
    dataset = data.load("humans", "val", root)
    counts = Counts(2), Counts(2)
    for index in np.linspace(0, len(dataset) - 1, min(number, len(dataset))).astype(int):
        item = dataset[int(index)]
        for count, predict_labels in zip(counts, (lambda i: predictor.labels(np.asarray(i)), peer), strict=True):
            count.update(item["mask"], predict_labels(Image.fromarray(item["image"])))
    return [count.scores()["foreground_iou"] for count in counts]


def _elapsed_seconds(*command: str) -> float:
    """Return the elapsed time of `python COMMAND` in a new process on all cores."""
    began = time.perf_counter()
    subprocess.run([sys.executable, *command], check=True, capture_output=True, cwd=memory.REPOSITORY)
    return time.perf_counter() - began


def _cpu_seconds(*command: str) -> float:
    """Return the CPU time of `python COMMAND` in a new process with one thread."""
    before = _children()
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, *command], check=True, capture_output=True, cwd=memory.REPOSITORY, env=environment)
    return _children() - before


def _children() -> float:
    times = os.times()
    return times.children_user + times.children_system


def start(root: Path) -> dict:
    """Measure the seconds of `seglib predict one.jpg` beyond those of `import torch`, in new processes in turns.

    The result is the elapsed time on all cores. The note gives the CPU time with one thread as well.
    """
    with tempfile.TemporaryDirectory() as folder:
        file, out = Path(folder) / "one.jpg", Path(folder) / "out"
        shutil.copy(_shared_photographs(root)[1][0], file)
        command = ("-m", "seglib", "predict", str(file), "--out", str(out))
        turns = [
            [measure(*words) for measure in (_elapsed_seconds, _cpu_seconds) for words in (command, IMPORT_TORCH)]
            for _ in range(STARTS + 1)
        ][1:]
    whole, alone, whole_cpu, alone_cpu = np.median(turns, axis=0)
    note = (
        f"elapsed time of a new process on all cores; `seglib predict one.jpg` takes {whole:.2f} s, of which "
        f"`import torch` is {alone:.2f} s; in CPU time with one thread {whole_cpu:.2f} s and {alone_cpu:.2f} s"
    )
    return single([turn[0] - turn[1] for turn in turns], "s") | {"note": note}


def help_text() -> dict:
    """Measure the CPU seconds of `seglib --help` in new processes."""
    times = [_cpu_seconds("-m", "seglib", "--help") for _ in range(STARTS + 1)][1:]
    return single(times, "s") | {"note": NEW_PROCESS}


def own_size(root: Path) -> dict:
    """Measure the peak memory of a prediction of a 12-megapixel photograph at its own size, in a new process."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "one.jpg"
        pair = data.pairs(data.source("humans"), "val", root)[0]
        Image.fromarray(cv2.resize(data.read_image(pair.image), OWN_SIZE[::-1])).save(file, quality=90)
        done = memory.in_fresh_process(__name__, str(file), str(Path(folder) / "out"))
    note = (
        f"`seglib predict --longest-side 0` with a photograph of {OWN_SIZE[1]}x{OWN_SIZE[0]}, {WEIGHTS}, "
        f"imported libraries included; {done['seconds']:.0f} s"
    )
    return single([done["bytes"] / 2**20], "MiB") | {"note": note}


def _child(file: str, out: str) -> dict:
    from seglib.cli.main import main

    began = time.perf_counter()
    if main(["predict", file, "--out", out, "--weights", WEIGHTS, "--longest-side", "0"]):
        sys.exit(1)
    return {"bytes": memory.peak_bytes(), "seconds": time.perf_counter() - began}


if __name__ == "__main__":
    print(json.dumps(_child(*sys.argv[1:])))
