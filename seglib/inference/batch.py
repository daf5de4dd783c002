"""Photographs to files: which results a photograph gets, how they are made, and one photograph after the other."""

import errno
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from .. import data, inference, visualize

KINDS = ("mask", "overlay", "cutout")
Job = tuple[Path, Path]  # a photograph, and the place and beginning of the names of its results


@dataclass(frozen=True)
class Result:
    """What became of a photograph: the number of its pixels of every label, int64 (256,), or why there is none."""

    file: Path
    counts: np.ndarray | None
    fault: str = ""


class Segmenter:
    """Writes the results of photographs, each atomically: `kinds` of KINDS, coloured by `palette` (classes, 3)."""

    def __init__(self, predictor: inference.Predictor, palette: Sequence[Sequence[int]], kinds: Sequence[str]):
        self.predictor, self.palette, self.kinds = predictor, palette, kinds

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
        image, source = data.read_image(file), inference.source_mark(file)
        if "cutout" in self.kinds:
            probabilities = self.predictor.probabilities(image)
            labels = probabilities.argmax(0).astype(np.uint8)
            inference.save_image(result_file(target, "cutout"), inference.cutout(image, probabilities), source)
        else:
            labels = self.predictor.labels(image)
        if "overlay" in self.kinds:
            overlay = visualize.overlay(image, labels, self.palette, background_class=0)
            inference.save_image(result_file(target, "overlay"), overlay, source)
        if "mask" in self.kinds:
            inference.save_mask(result_file(target, "mask"), labels, self.palette, source)
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
            return inference.segment_tiff(self.predictor, file, place, self.palette, progress)


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
