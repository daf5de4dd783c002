"""Photographs to files on many processors, of one machine or of a Ray cluster.  Needs Ray, an optional package.

Moritz et al., "Ray: a distributed framework for emerging AI applications", OSDI 2018.
"""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from . import PredictionError
from .batch import Job, Result, Segmenter

TOGETHER = 8  # photographs that a process is given at once; those of one that dies are done again
MOST_PARTS = 10_000  # into which the work is cut: of very many photographs more are given at once
LEAST_MEMORY = 2**27  # bytes for Ray's store of objects, for the photographs do not go through it
SHARED = "the photographs, the weights and --out must have the same paths on all machines, and seglib be installed"


def results(
    jobs: Sequence[Job], make: Callable[[], Segmenter], address: str = "", gpu: bool = False
) -> Iterator[Result]:
    """Do the jobs on all processors but one of the cluster at `address`, by default of this machine for the while.

    Each process calls `make` once; `gpu`: there is one for each of the cluster's GPUs, if it has any.  When a process
    dies another one does again what it was at: results are replaced whole, by the same.  The Results come in the
    order in which they are ready, one for each job.  Raises PredictionError if Ray is missing or fails, OSError if a
    result cannot be written.
    """
    if not jobs:
        return
    ray = _ray()
    absolute = [(str(file.absolute()), str(target.absolute())) for file, target in jobs]
    try:
        _connect(ray, address)
        waiting = set(range(len(jobs)))
        for row in _rows(ray, absolute, make, gpu):
            if row["fatal"]:
                raise OSError(row["fatal"])
            waiting.remove(row["number"])
            counts = None if row["fault"] else np.array(row["counts"])
            yield Result(jobs[row["number"]][0], counts, row["fault"])
    except ray.exceptions.RayTaskError:  # a fault of this program, which must stay visible
        raise
    except ray.exceptions.RayError as error:
        reason = " ".join(str(error).split())[:300]
        raise PredictionError(f"--engine ray: Ray gave up ({reason}); what is written stays: {SHARED}.") from None
    finally:
        ray.shutdown()
    if waiting:
        raise PredictionError(f"--engine ray: {len(waiting)} photographs got no result; go on with --skip-existing.")


def _ray():
    # Read when Ray is imported: nothing is told to anybody, and warnings for Ray's makers are not shown.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise PredictionError(
            f"--engine ray needs Ray, which is not installed ({error}): python -m pip install 'ray[data]'"
        ) from None
    return ray


def _connect(ray, address: str) -> None:
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if address:
            ray.init(address, **quiet)
        else:  # a processor for the actors' sake even where there is one only
            processors = max(2, os.cpu_count() or 1)
            ray.init("local", num_cpus=processors, include_dashboard=False, object_store_memory=LEAST_MEMORY, **quiet)
    except Exception as error:  # Ray raises whatever it likes, Exception itself among others
        reason = " ".join(str(error).split())[:200]
        told = (
            f"--ray-address {address}: no Ray cluster answers there; correct it, or leave it out to start one here"
            if address
            else "--engine ray: Ray cannot start here; try again when the machine is less busy, or take --engine local"
        )
        raise PredictionError(f"{told} ({reason}).") from None
    logging.getLogger("ray.data").setLevel(logging.ERROR)


def _rows(ray, jobs: Sequence[tuple[str, str]], make: Callable[[], Segmenter], gpu: bool) -> Iterator[dict]:
    """What `_Process` says of every job."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    there = ray.cluster_resources()
    gpus, processors = int(there.get("GPU", 0)) if gpu else 0, int(there.get("CPU", 0))
    # Ray's own work needs a processor: where actors held them all, they would wait for their work for ever.
    if processors < 2 - bool(gpus):
        raise PredictionError(f"--ray-address: the cluster has {processors} processors, but needs two; add some.")
    actors = min(len(jobs), gpus or processors - 1)
    items = [{"number": number, "file": file, "target": target} for number, (file, target) in enumerate(jobs)]
    blocks = min(len(jobs), max(4 * actors, min(MOST_PARTS, -(-len(jobs) // TOGETHER))))
    yield from (
        ray.data.from_items(items, override_num_blocks=blocks)
        .map(
            _Process,
            fn_constructor_args=(make,),
            compute=ray.data.ActorPoolStrategy(size=actors),
            num_cpus=0 if gpus else 1,
            num_gpus=1 if gpus else 0,
        )
        .iter_rows()
    )


class _Process:
    """What runs in one of Ray's processes: the network is loaded once."""

    def __init__(self, make: Callable[[], Segmenter]):
        self.segmenter = make()

    def __call__(self, row: dict) -> dict:
        told = {"number": row["number"], "fault": "", "fatal": "", "counts": []}
        try:
            result = self.segmenter.attempt((Path(row["file"]), Path(row["target"])))
        except OSError as error:  # a full disk would meet every photograph
            return {**told, "fatal": f"{error.filename or row['target']}: {error.strerror or error}"}
        return {**told, "fault": result.fault, "counts": [] if result.counts is None else result.counts.tolist()}
