"""Run inference on many images, on all CPU cores of a machine or a Ray cluster. Requires the optional package Ray.

`seglib predict --engine ray` finds `predict_with_ray` by the entry point group `seglib.engines`.

Moritz et al., "Ray: a distributed framework for emerging AI applications", OSDI 2018.
"""

import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from seglib.errors import import_optional
from seglib.inference import PredictionError
from seglib.inference.batch import BatchPredictor, PredictResult, PredictTask

BLOCK_IMAGES = 8  # number of images per block; if a process dies, another process repeats its block
MAX_BLOCKS = 10_000  # with very many images, blocks are larger
STORE_BYTES = 2**27  # size of Ray's object store; images do not pass through it
SHARED = "the images, the weights and --out must have the same paths on all machines, and seglib be installed"


def predict_with_ray(
    tasks: Sequence[PredictTask], make: Callable[[], BatchPredictor], address: str = "", gpu: bool = False
) -> Iterator[PredictResult]:
    """Run the tasks on all CPU cores of a Ray cluster except one, or on its GPUs.

    If a process dies, it is replaced, and its images are processed again. Result files are written atomically.

    Args:
        tasks: The images and the paths of their results.
        make: Function that creates the predictor. It is called once in each process.
        address: Address of the cluster. By default, a cluster is started on this machine and stopped at the end.
        gpu: Whether to use one process for each GPU of the cluster, if the cluster has any.

    Yields:
        One result for each task, in the order in which they are completed.

    Raises:
        PredictionError: If Ray is missing or fails.
        OSError: If a result cannot be written.
    """
    if not tasks:
        return
    ray = _import_ray()
    try:
        _connect(ray, address)
        waiting = set(range(len(tasks)))
        for row in _rows(ray, [[str(path.absolute()) for path in task] for task in tasks], make, gpu):
            if row["fatal"]:
                raise OSError(row["fatal"])
            waiting.remove(row["number"])
            yield _decode(row["result"], tasks[row["number"]].image)
    except ray.exceptions.RayTaskError:  # a bug, whose traceback is shown
        raise
    except ray.exceptions.RayError as error:
        reason = " ".join(str(error).split())[:300]
        raise PredictionError(f"--engine ray: Ray stopped ({reason}); finished results are kept: {SHARED}.") from None
    finally:
        ray.shutdown()
    if waiting:
        raise PredictionError(f"--engine ray: {len(waiting)} images have no result; resume with --skip-existing.")


def _import_ray():
    # Ray reads these variables on import. They turn off usage statistics and internal warnings.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    import_optional("ray.data", PredictionError, "--engine ray", "'ray[data]'")
    import ray

    return ray


def _connect(ray, address: str) -> None:
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if address:
            ray.init(address, **quiet)
        else:  # at least two, so that one is left for the actors on a machine with a single core
            processors = max(2, os.cpu_count() or 1)
            ray.init("local", num_cpus=processors, include_dashboard=False, object_store_memory=STORE_BYTES, **quiet)
    except Exception as error:  # Ray's exceptions have no common base class
        reason = " ".join(str(error).split())[:200]
        message = "--engine ray: Ray cannot start here; try again when the machine is less busy, or take --engine local"
        if address:
            message = f"--ray-address {address}: no Ray cluster answers there; correct it, or leave it out"
        raise PredictionError(f"{message} ({reason}).") from None
    logging.getLogger("ray.data").setLevel(logging.ERROR)


def _rows(ray, tasks: Sequence[list[str]], make: Callable[[], BatchPredictor], gpu: bool) -> Iterator[dict]:
    """Yield the result of `_Process` for each task."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    resources = ray.cluster_resources()
    gpus, processors = int(resources.get("GPU", 0)) if gpu else 0, int(resources.get("CPU", 0))
    # Ray itself needs one CPU core. If actors used all cores, they would wait for their input forever.
    if processors < 2 - bool(gpus):
        raise PredictionError(f"--ray-address: the cluster has {processors} processors, but needs two; add some.")
    actors = min(len(tasks), gpus or processors - 1)
    items = [{"number": number, "task": task} for number, task in enumerate(tasks)]
    blocks = min(len(tasks), max(4 * actors, min(MAX_BLOCKS, -(-len(tasks) // BLOCK_IMAGES))))
    images = ray.data.from_items(items, override_num_blocks=blocks)
    options = {"compute": ray.data.ActorPoolStrategy(size=actors), "num_cpus": int(not gpus), "num_gpus": int(gpus > 0)}
    yield from images.map(_Process, fn_constructor_args=(make,), **options).iter_rows()


class _Process:
    """A Ray actor. It loads the network once and then runs tasks."""

    def __init__(self, make: Callable[[], BatchPredictor]):
        self.batch_predictor = make()

    def __call__(self, row: dict) -> dict:
        task = PredictTask(*map(Path, row["task"]))
        try:
            result = vars(self.batch_predictor.predict(task))
        except OSError as error:  # for example, the disk is full, so every image would fail
            return {"number": row["number"], "fatal": f"{error.filename or task.target}: {error}", "result": ""}
        # The result is returned as JSON text, so that no paths or messages have to be unpickled.
        text = json.dumps(result | {"file": ""}, default=lambda counts: counts.tolist())
        return {"number": row["number"], "fatal": "", "result": text}


def _decode(text: str, file: Path) -> PredictResult:
    """Return the result for the image `file` from the JSON text that a process returned."""
    values = json.loads(text)
    counts = None if values["counts"] is None else np.array(values["counts"], np.int64)
    return PredictResult(**values | {"file": file, "counts": counts, "size": tuple(values["size"])})
