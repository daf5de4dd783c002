"""The machine: devices and their precision, cores, memory, and places to write to."""

import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .finding import FAULT, NOTE, OK, Finding

GIB = 1 << 30


def check_torch() -> Iterator[Finding]:
    """The build, the devices, and the precision that training takes on each; each device has to add up numbers."""
    import torch

    from ..optimize import amp_dtype

    cuda = f"CUDA {torch.version.cuda}" if torch.version.cuda else "no CUDA"
    yield Finding(OK, "torch", f"{torch.__version__}, built with {cuda}")
    names = ["cpu"]
    if torch.cuda.is_available():
        names += [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    elif shutil.which("nvidia-smi") or Path("/proc/driver/nvidia/version").exists():
        remedy = "a newer driver, or another build of PyTorch: see https://pytorch.org/get-started/locally"
        yield Finding(NOTE, "cuda", "there is an NVIDIA driver, but this PyTorch cannot use it", remedy)
    if torch.backends.mps.is_available():
        names.append("mps")
    for name in names:
        device = torch.device(name)
        label = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or name
        try:
            if torch.ones(8, 8, device=device).matmul(torch.ones(8, 8, device=device)).sum().item() != 512:
                raise RuntimeError("it computes wrongly")
        except RuntimeError as error:
            reason = str(error).strip().partition("\n")[0]
            yield Finding(FAULT, name, f"{label}: {reason}", "train with --device=cpu until its driver is mended")
            continue
        taken = str(amp_dtype("auto", device) or "float32").removeprefix("torch.")
        yield Finding(OK, name, f"{label}; --amp=auto computes in {taken}")
    if len(names) == 1:
        yield Finding(NOTE, "gpu", "none that PyTorch can use", "the course's quick profile and small runs do without")


def check_processor() -> Iterator[Finding]:
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _first_line("/sys/fs/cgroup/cpu.max").split()
    if len(quota) == 2 and quota[0].isdigit():
        cores = min(cores, max(1, -(-int(quota[0]) // int(quota[1]))))
    threads = torch.get_num_threads()
    text = f"{cores} cores to use, PyTorch takes {threads} threads"
    if threads > cores:
        yield Finding(NOTE, "processor", f"{text}: they wait for each other", f"export OMP_NUM_THREADS={cores}")
    else:
        yield Finding(OK, "processor", text)


def check_memory() -> Iterator[Finding]:
    free = available_memory()
    if free is None:
        yield Finding(NOTE, "memory", "how much is free is unknown here", "small runs need 2 GiB")
    elif free < 2 * GIB:
        yield Finding(NOTE, "memory", f"{free / GIB:.1f} GiB free, little",
                      "close other programs; train with a smaller --batch_size and --data.cache_mb=100")  # fmt: skip
    else:
        yield Finding(OK, "memory", f"{free / GIB:.1f} GiB free")
    shared = Path("/dev/shm")
    if shared.is_dir() and (space := shutil.disk_usage(shared).free) < GIB // 4:
        yield Finding(NOTE, "shared memory", f"{space >> 20} MiB free: processes that load images may die of it",
                      "train with --workers=0, or start the container with --shm-size=2g")  # fmt: skip


def available_memory() -> int | None:
    """Bytes that can still be taken, the limit of a container included; None where nothing tells."""
    found = []
    try:
        import psutil  # comes with Jupyter

        found.append(psutil.virtual_memory().available)
    except ImportError:
        if "SC_AVPHYS_PAGES" in getattr(os, "sysconf_names", {}):
            found.append(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    limit, used = (_first_line(f"/sys/fs/cgroup/memory.{name}") for name in ("max", "current"))
    if limit.isdigit() and used.isdigit():
        found.append(max(0, int(limit) - int(used)))
    return min(found, default=None)


def _first_line(file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8").partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError):
        return ""


def check_runs(folder: Path) -> Iterator[Finding]:
    """Can a run be written there: is the folder, or the nearest one above it that exists, writable and roomy?"""
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    try:
        if not place.is_dir():
            raise NotADirectoryError(0, "is a file")
        with tempfile.TemporaryDirectory(prefix=".seglib-doctor-", dir=place) as probe:
            (Path(probe) / "new").write_bytes(b"1")
            os.replace(Path(probe) / "new", Path(probe) / "old")
    except OSError as error:
        yield Finding(FAULT, "runs", f"{folder}: runs cannot be written there ({place}: {error.strerror})",
                      "train with --run=DIR of a folder you may write to")  # fmt: skip
        return
    free = shutil.disk_usage(place).free
    text = f"{folder}: writable, {free / GIB:.1f} GiB free"
    if free < GIB:
        yield Finding(FAULT if free < GIB // 8 else NOTE, "runs", text, "free some space, or train with --run=DIR")
    else:
        yield Finding(OK, "runs", text)
