"""Run inference on many images and write the results. While the network runs, other threads read and write files."""

import errno
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from .. import data, visualize
from ..data.georeference import write_world_file
from ..files import open_atomically
from . import outputs, polygons, tiff, video
from .errors import PredictionError
from .predictor import Predictor, most_probable
from .resize import ArrayReader
from .result_files import MADE_BY, result_file, source_id

THREADS = 4  # one thread at a time runs the network, while the others read and write files
REDUCED_SIDE = 2  # JPEGs are decoded at no less than this multiple of the network's input size


class PredictTask(NamedTuple):
    """An image, and the path prefix of its results, such as predictions/photo for predictions/photo_mask.png."""

    image: Path
    target: Path


@dataclass(frozen=True)
class PredictResult:
    """The result for one image.

    Attributes:
        file: The image file.
        counts: Number of pixels of each label, int64 (256,); None after an error.
        error: The error message; empty if there was no error.
        uncertainty: Mean of 1 - p, where p is the probability of a pixel's predicted class; None after an error and for
            large TIFF files.
        size: (height, width) of the image; (0, 0) after an error and for large TIFF files.
        polygons: The result of `polygons.find_polygons` if the kind "coco" or "labelme" was requested.
    """

    file: Path
    counts: np.ndarray | None = None
    error: str = ""
    uncertainty: float | None = None
    size: tuple[int, int] = (0, 0)
    polygons: list = field(default_factory=list)


@dataclass(eq=False, repr=False)
class BatchPredictor:
    """Runs inference on images and writes the results. Each file is written atomically.

    Args:
        predictor: The predictor, which runs the network.
        classes: Names of the classes.
        palette: Colors of the classes, (classes, 3).
        kinds: The kinds of results to write, from `result_files.KINDS`.
        mask_format: Pixel values of the masks. "ids" writes class ids, "binary" writes 0 for the background and 255 for
            all other classes, and "palette" writes class ids with a color palette.
        background: Index of the background class; None if there is none.
        reading: Keyword arguments of `data.read_image`.
    """

    predictor: Predictor
    classes: Sequence[str]
    palette: Sequence[Sequence[int]]
    kinds: Sequence[str]
    mask_format: str = "ids"
    background: int | None = None
    reading: dict = field(default_factory=dict)

    def __post_init__(self):
        binary = "--mask-format binary" if self.mask_format == "binary" else ""
        option = "--kind cutout" if "cutout" in self.kinds else binary
        if option and self.background is None:
            problem = f"none of the classes {', '.join(self.classes)} is called background"
            raise PredictionError(f"{option}: {problem}; name one with --background.")
        self.mask_palette = self.palette if self.mask_format == "palette" else None
        self._computing, self._stopped = Lock(), Event()

    def predict_all(self, tasks: Sequence[PredictTask]) -> Iterator[PredictResult]:
        """Run the tasks and yield their results in order. Raises OSError if a result cannot be written."""
        pool = ThreadPoolExecutor(THREADS)
        try:
            yield from pool.map(self.predict, tasks)
        finally:
            self._stopped.set()
            pool.shutdown(cancel_futures=True)
            self._stopped.clear()

    def predict(self, task: PredictTask) -> PredictResult:
        """Run one task. If the image is invalid, the result contains an error message.

        Raises OSError if a result cannot be written.
        """
        file = task.image
        try:
            if video.is_video(file):
                return self._predict_video(task)
            large = tiff.is_large(file, self.reading.get("channels", 0))
            return self._predict_large(task) if large else self._predict(task)
        except (data.DataError, PredictionError) as error:
            return PredictResult(file, error=str(error) if str(file) in str(error) else f"{file}: {error}")
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            return PredictResult(file, error=f"{file}: the names of its results would be too long; rename it.")

    @contextmanager
    def _take_turn(self, task: PredictTask) -> Iterator[None]:
        """Wait until no other thread is running the network. Raises PredictionError if Ctrl-C stopped the run."""
        with self._computing:
            if self._stopped.is_set():
                raise PredictionError(f"{task.image}: stopped.")
            yield

    def _predict(self, task: PredictTask) -> PredictResult:
        side = 0 if {"overlay", "cutout"} & set(self.kinds) else self.predictor.input_side()
        reader = read_reduced(task.image, REDUCED_SIDE * side, **self.reading)
        arrays, uncertainty = self._compute(task, reader)
        shapes = self._save(task, reader.image, **arrays)
        labels = arrays["labels"]
        counts = np.bincount(labels.ravel(), minlength=256)
        return PredictResult(task.image, counts, "", uncertainty, labels.shape, shapes)

    def _compute(self, task: PredictTask, reader: ArrayReader) -> tuple[dict[str, np.ndarray], float]:
        """Return the arrays needed for the requested kinds of results, and the uncertainty of the image."""
        parts = {"labels": [], "foreground": [], "probabilities": []}
        uncertainty = 0.0
        with self._take_turn(task):
            for rows in self.predictor.probability_rows(reader):
                largest, labels = most_probable(rows)
                parts["labels"].append(labels.cpu().numpy())
                uncertainty += (1 - largest).sum().item()
                if "cutout" in self.kinds:
                    parts["foreground"].append((1 - rows[self.background]).cpu().numpy())
                if "probabilities" in self.kinds:
                    parts["probabilities"].append(rows.half().cpu().numpy())
        arrays = {name: np.concatenate(part, -2) for name, part in parts.items() if part}
        return arrays, uncertainty / arrays["labels"].size

    def _predict_video(self, task: PredictTask) -> PredictResult:
        file = task.image
        if other := [kind for kind in self.kinds if kind not in video.FORMATS]:
            kinds = ", ".join(video.FORMATS)
            raise PredictionError(f"{file}: videos get {kinds}, not {other[0]}; save its frames as images for that.")
        if self.reading.get("bands") or self.reading.get("channels"):  # of --bands or of the network
            raise PredictionError(f"{file}: videos have red, green and blue, not chosen bands; use images instead.")
        if "mask" in self.kinds and self.mask_format == "palette":
            raise PredictionError(f"{file}: videos have no palette; use --mask-format ids or binary.")
        counts, uncertainties = np.zeros(256, np.int64), []
        with video.open_video(file) as container, ExitStack() as stack:
            stream, comment = container.streams.video[0], f"{MADE_BY}, {source_id(file)}"
            writers = {}
            for kind in self.kinds:
                output = stack.enter_context(open_atomically(result_file(task.target, f"video {kind}")))
                writers[kind] = video.VideoWriter(output, kind, stream, comment)
            if container.streams.audio:
                tqdm.write(f"{file}: the results have no sound", file=sys.stderr)
            frames = video.read_frames(container)
            for frame in tqdm(frames, total=stream.frames or None, unit="frame", leave=False, disable=None):
                arrays, uncertainty = self._compute(task, ArrayReader(frame.image))
                for kind, writer in writers.items():
                    writer.write(self._draw(kind, frame.image, **arrays), frame.time)
                counts += np.bincount(arrays["labels"].ravel(), minlength=256)
                uncertainties.append(uncertainty)
            for writer in writers.values():
                writer.close()
        return PredictResult(file, counts, "", float(np.mean(uncertainties)), frame.image.shape[:2])

    def _draw(self, kind: str, image: np.ndarray, labels: np.ndarray, foreground=None) -> np.ndarray:
        """Return a mask, overlay or cutout as an image."""
        if kind == "mask":
            return self._mask_values(labels)
        if kind == "overlay":
            return visualize.overlay(image, labels, self.palette, background_class=self.background)
        return outputs.with_alpha(image, outputs.refine_alpha(image, foreground))

    def _predict_large(self, task: PredictTask) -> PredictResult:
        if "mask" not in self.kinds:
            raise PredictionError(f"{task.image}: for images of this size, only masks are written; add mask to --kind.")
        if others := [kind for kind in self.kinds if kind != "mask"]:
            tqdm.write(f"{task.image}: too large for {', '.join(others)}; only the mask is written", file=sys.stderr)
        file = result_file(task.target, "large mask")
        with self._take_turn(task), tqdm(unit="row", leave=False, disable=None) as bar:

            def progress(done: int, height: int) -> None:
                if self._stopped.is_set():  # stopped by Ctrl-C, which only the main thread receives
                    raise PredictionError(f"{task.image}: stopped.")
                bar.total = height
                bar.update(done - bar.n)

            options = (self.mask_palette, progress, self._mask_values)
            counts = tiff.predict_tiff(self.predictor, task.image, file, *options, **self.reading)
        return PredictResult(task.image, counts)

    def _mask_values(self, labels: np.ndarray) -> np.ndarray:
        if self.mask_format != "binary":
            return labels
        return np.where(labels == self.background, 0, 255).astype(np.uint8)

    def _save(self, task: PredictTask, image: np.ndarray, labels: np.ndarray, probabilities=None, **others) -> list:
        """Write the results of an image and return its polygons."""
        file, target = task
        files = {kind: result_file(target, kind) for kind in self.kinds if kind != "coco"}
        source, image = source_id(file), data.bands_to_rgb(image)
        if "mask" in files:
            outputs.save_mask(files["mask"], self._mask_values(labels), self.mask_palette, source)
            write_world_file(file, files["mask"])
        for kind in {"overlay", "cutout"} & files.keys():
            outputs.save_image(files[kind], self._draw(kind, image, labels, **others), source)
        if "probabilities" in files:
            outputs.save_probabilities(files["probabilities"], probabilities, self.classes, source)
        shapes = polygons.find_polygons(labels, self.background) if {"coco", "labelme"} & set(self.kinds) else []
        if "labelme" in files:
            polygons.save_labelme(files["labelme"], file, labels.shape, shapes, self.classes, source)
        return shapes


def read_reduced(file: Path, min_side: int, **reading) -> ArrayReader:
    """Read an image. A JPEG may be decoded at 1/2, 1/4 or 1/8 of its size, which is faster.

    The longer side of a reduced image has at least `min_side` pixels; 0 disables the reduction. `reading` contains
    keyword arguments of `data.read_image`. Raises the same errors as `data.read_image`.
    """
    with suppress(Exception), Image.open(file) as image:  # problems are reported by the full-size read below
        plain = image.format == "JPEG" and image.mode in ("L", "RGB") and "icc_profile" not in image.info
        plain = plain and not reading.get("bands") and not reading.get("channels")
        if plain and min_side and max(image.size) >= 2 * min_side:
            size = image.size
            scale = min_side / max(size)
            image.draft(None, tuple(max(1, int(side * scale)) for side in size))
            reduced = ImageOps.exif_transpose(image)
            turned = data.images.orientation(image) > 4
            return ArrayReader(np.asarray(reduced.convert("RGB")), size if turned else size[::-1])
    return ArrayReader(data.read_image(file, **reading))
