"""Images to result files: many images in a row, while others are read and written."""

import errno
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from .. import data
from ..data.georeference import write_world_file
from . import outputs, polygons
from .errors import PredictionError
from .predictor import Predictor, most_probable
from .resize import ArrayReader, ImageReader
from .result_files import result_file, source_id
from .tiff import LARGE_PIXELS, is_large, predict_tiff

IN_FLIGHT = 2  # images that are read, and that are written, while another one is predicted
REDUCED_SIDE = 2  # JPEG files are decoded at reduced size, but at this multiple of the network's input at least


class PredictTask(NamedTuple):
    """An image, and the folder and the beginning of the names of its results."""

    image: Path
    target: Path


@dataclass(frozen=True)
class PredictResult:
    """What became of an image.

    Attributes:
        file: The image.
        counts: Number of pixels of each label, int64 (256,); None if there is no result.
        error: Why there is no result.
        uncertainty: Mean over the pixels of 1 - the probability of their class; None for large TIFF files.
        size: Height and width.
        polygons: What `polygons.find_polygons` returns, if kind "coco" was asked for.
    """

    file: Path
    counts: np.ndarray | None = None
    error: str = ""
    uncertainty: float | None = None
    size: tuple[int, int] = (0, 0)
    polygons: list = field(default_factory=list)


@dataclass
class _Work:
    """An image on its way through reading, predicting and writing."""

    task: PredictTask
    reader: ImageReader | None = None
    labels: np.ndarray | None = None
    foreground: np.ndarray | None = None
    probabilities: np.ndarray | None = None
    uncertainty: float = 0.0
    result: PredictResult | None = None  # with an error, or when all is written


class BatchPredictor:
    """Writes the results of images, each file atomically.

    Args:
        predictor: Computes the results.
        classes: Names of the classes.
        palette: Colours of the classes, (classes, 3).
        kinds: Which of `result_files.KINDS` to write.
        mask_format: Values of a mask: "ids" of the classes, "binary" (0 background, 255 else), or "palette" (ids that
            are shown in colour).
        background: Index of the background class; None if there is none.
        reading: Options of `data.read_image`.
    """

    def __init__(
        self,
        predictor: Predictor,
        classes: Sequence[str],
        palette: Sequence[Sequence[int]],
        kinds: Sequence[str],
        mask_format: str = "ids",
        background: int | None = None,
        reading: dict | None = None,
    ):
        option = "--kind cutout" if "cutout" in kinds else "--mask-format binary" if mask_format == "binary" else ""
        if option and background is None:
            raise PredictionError(
                f"{option}: none of the classes {', '.join(classes)} is called background; name one by --background."
            )
        self.predictor, self.classes, self.palette, self.kinds = predictor, classes, palette, kinds
        self.mask_format, self.background, self.reading = mask_format, background, reading or {}

    def predict_all(self, tasks: Iterable[PredictTask]) -> Iterator[PredictResult]:
        """Do the tasks in order; raises OSError if a result cannot be written.

        What is wrong with an image is in its PredictResult.
        """
        pool = ThreadPoolExecutor(2 * IN_FLIGHT)
        try:
            loaded = _map_ahead(pool, self._read, tasks)
            yield from _map_ahead(pool, self._write, map(self._predict, loaded))
        finally:
            pool.shutdown(cancel_futures=True)

    def predict(self, task: PredictTask) -> PredictResult:
        """Do one task, as `predict_all` does."""
        return self._write(self._predict(self._read(task)))

    def _read(self, task: PredictTask) -> _Work:
        return self._attempt(self._load, _Work(task))

    def _predict(self, work: _Work) -> _Work:
        return work if work.result else self._attempt(self._compute, work)

    def _write(self, work: _Work) -> PredictResult:
        return (work if work.result else self._attempt(self._save, work)).result

    @staticmethod
    def _attempt(step: Callable[[_Work], None], work: _Work) -> _Work:
        """Do a step; what is wrong with the image becomes the result."""
        file = work.task.image
        try:
            step(work)
        except (data.DataError, PredictionError) as error:
            message = str(error) if str(file) in str(error) else f"{file}: {error}"
            work.result = PredictResult(file, error=message)
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            work.result = PredictResult(file, error=f"{file}: the names of its results would be too long; rename it.")
        return work

    def _load(self, work: _Work) -> None:
        if not is_large(work.task.image):
            side = 0 if {"overlay", "cutout"} & set(self.kinds) else self.predictor.input_side()
            work.reader = read_reduced(work.task.image, REDUCED_SIDE * side, **self.reading)
        elif "mask" not in self.kinds:
            raise PredictionError(
                f"{work.task.image}: images of more than {LARGE_PIXELS:,} pixels only get a mask; add mask to --kind."
            )

    def _compute(self, work: _Work) -> None:
        if work.reader is None:
            work.result = self._predict_large(work.task)
            return
        labels, foreground, probabilities = [], [], []
        for rows in self.predictor.probability_rows(work.reader):
            largest, row_labels = most_probable(rows)
            labels.append(row_labels.cpu().numpy())
            work.uncertainty += (1 - largest).sum().item()
            if "cutout" in self.kinds:
                foreground.append((1 - rows[self.background]).cpu().numpy())
            if "probabilities" in self.kinds:
                probabilities.append(rows.half().cpu().numpy())
        work.labels = np.concatenate(labels)
        work.foreground = np.concatenate(foreground) if foreground else None
        work.probabilities = np.concatenate(probabilities, 1) if probabilities else None
        work.uncertainty /= work.labels.size

    def _predict_large(self, task: PredictTask) -> PredictResult:
        with tqdm(unit="row", leave=False, disable=None) as bar:

            def progress(done: int, height: int) -> None:
                bar.total = height
                bar.update(done - bar.n)

            file = result_file(task.target, "large mask")
            palette = self.palette if self.mask_format == "palette" else None
            bits = self.reading.get("bits", 0)
            counts = predict_tiff(self.predictor, task.image, file, palette, progress, self._mask_values, bits)
        return PredictResult(task.image, counts)

    def _mask_values(self, labels: np.ndarray) -> np.ndarray:
        if self.mask_format != "binary":
            return labels
        return np.where(labels == self.background, 0, 255).astype(np.uint8)

    def _save(self, work: _Work) -> None:
        (file, target), labels = work.task, work.labels
        files = {kind: result_file(target, kind) for kind in self.kinds if kind != "coco"}
        source = source_id(file)
        if "mask" in files:
            palette = self.palette if self.mask_format == "palette" else None
            outputs.save_mask(files["mask"], self._mask_values(labels), palette, source)
            write_world_file(file, files["mask"])
        if "overlay" in files:
            from .. import visualize  # imports matplotlib, which other kinds do not wait for

            overlay = visualize.overlay(work.reader.image, labels, self.palette, background_class=self.background)
            outputs.save_image(files["overlay"], overlay, source)
        if "cutout" in files:
            alpha = outputs.refine_alpha(work.reader.image, work.foreground)
            outputs.save_image(files["cutout"], outputs.with_alpha(work.reader.image, alpha), source)
        if "probabilities" in files:
            outputs.save_probabilities(files["probabilities"], work.probabilities, self.classes, source)
        shapes = polygons.find_polygons(labels, self.background) if {"coco", "labelme"} & set(self.kinds) else []
        if "labelme" in files:
            polygons.save_labelme(files["labelme"], file, labels.shape, shapes, self.classes, source)
        counts = np.bincount(labels.ravel(), minlength=256)
        work.result = PredictResult(file, counts, "", work.uncertainty, labels.shape, shapes)


def _map_ahead(pool: ThreadPoolExecutor, function: Callable, items: Iterable) -> Iterator:
    """Yield the results of `function` in order, while it works on the next IN_FLIGHT items in other threads."""
    futures = deque()
    for item in items:
        futures.append(pool.submit(function, item))
        if len(futures) > IN_FLIGHT:
            yield futures.popleft().result()
    while futures:
        yield futures.popleft().result()


def read_reduced(file: Path, min_side: int, **reading) -> ArrayReader:
    """Read an image, a JPEG file perhaps at a half, a quarter or an eighth of its size, which is faster.

    `min_side` is what its longer side keeps at least; 0 keeps the size.  `reading` are options of `data.read_image`,
    and errors are the same.
    """
    try:
        with Image.open(file) as image:
            plain = image.format == "JPEG" and image.mode in ("L", "RGB") and "icc_profile" not in image.info
            if plain and min_side and not reading.get("bands") and max(image.size) >= 2 * min_side:
                scale = min_side / max(image.size)
                size = image.size
                image.draft(None, tuple(max(1, int(side * scale)) for side in size))
                reduced = ImageOps.exif_transpose(image)
                turned = (reduced.width > reduced.height) != (image.width > image.height)
                return ArrayReader(np.asarray(reduced.convert("RGB")), size if turned else size[::-1])
    except Exception:  # whatever is wrong with the file, reading all of it reports that
        pass
    return ArrayReader(data.read_image(file, **reading))
