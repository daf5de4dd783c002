"""Photographs to files: which results a photograph gets, how they are made, and one photograph after the other."""

import errno
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from .. import data, inference, visualize
from ..data.georeference import write_world_file

KINDS = ("mask", "overlay", "cutout")
Job = tuple[Path, Path]  # a photograph, and the place and beginning of the names of its results


@dataclass(frozen=True)
class Result:
    """What became of a photograph: the number of its pixels of every label, int64 (256,), or why there is none."""

    file: Path
    counts: np.ndarray | None
    fault: str = ""


class Segmenter:
    """Writes the results of images, each atomically: `kinds` of KINDS, coloured by `palette` (classes, 3).

    `background` is the class that overlays leave untinted and cutouts remove, None if there is none; `reading` are the
    options of `data.read_image`. Where an image has a place on earth, its mask gets it too.
    """

    def __init__(
        self,
        predictor: inference.Predictor,
        palette: Sequence[Sequence[int]],
        kinds: Sequence[str],
        background: int | None = 0,
        reading: dict | None = None,
    ):
        self.predictor, self.palette, self.kinds = predictor, palette, kinds
        self.background, self.reading = background, reading or {}
        if "cutout" in kinds and background is None:
            raise inference.PredictionError("--kind cutout: none of the classes is the background; leave cutout out.")

    def attempt(self, job: Job) -> Result:
        """Do a job.  OSError if no result can be written; what is wrong with the photograph is in the Result."""
        try:
            return Result(job[0], self._large(*job) if inference.is_large(job[0]) else self._small(*job))
        except (data.DataError, inference.PredictionError) as error:
            fault = str(error)
            return Result(job[0], None, fault if str(job[0]) in fault else f"{job[0]}: {fault}")
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            return Result(job[0], None, f"{job[0]}: the names of its results would be too long; rename it.")

    def _small(self, file: Path, target: Path) -> np.ndarray:
        image, source = data.read_image(file, **self.reading), inference.source_mark(file)
        if "cutout" in self.kinds:
            probabilities = self.predictor.probabilities(image)
            labels = probabilities.argmax(0).astype(np.uint8)
            cutout = inference.cutout(image, probabilities, self.background)
            inference.save_image(result_file(target, "cutout"), cutout, source)
        else:
            labels = self.predictor.labels(image)
        if "overlay" in self.kinds:
            overlay = visualize.overlay(image, labels, self.palette, background_class=self.background)
            inference.save_image(result_file(target, "overlay"), overlay, source)
        if "mask" in self.kinds:
            inference.save_mask(result_file(target, "mask"), labels, self.palette, source)
            write_world_file(file, result_file(target, "mask"))
        return np.bincount(labels.ravel(), minlength=256)

    def _large(self, file: Path, target: Path) -> np.ndarray:
        if "mask" not in self.kinds:
            raise inference.PredictionError(
                f"{file}: an image of more than {inference.LARGE:,} pixels only gets a mask; add mask to --kind."
            )
        with tqdm(unit="row", leave=False, disable=None) as bar:

            def progress(done: int, height: int) -> None:
                bar.total = height
                bar.update(done - bar.n)

            place = result_file(target, "mask", "tif")
            return inference.segment_tiff(
                self.predictor, file, place, self.palette, progress, self.reading.get("bits", 0)
            )


def results(jobs: Sequence[Job], segmenter: Segmenter) -> Iterator[Result]:
    """Do the jobs one after the other, in this process."""
    return map(segmenter.attempt, jobs)


def result_file(target: Path, kind: str, ending: str = "png") -> Path:
    return target.with_name(f"{target.name}_{kind}.{ending}")


def has_results(target: Path, kinds: Sequence[str]) -> bool:
    """Are all `kinds` of results there, or the one that there is of a large picture?"""
    # os.path, as Path.exists raises for names that are too long.
    usual = all(os.path.exists(result_file(target, kind)) for kind in kinds)
    return usual or os.path.exists(result_file(target, "mask", "tif"))
