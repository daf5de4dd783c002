"""Compare the peak memory of training steps, each in a new process and excluding the imported libraries."""

import json
import subprocess
import sys
from pathlib import Path

from .measure import Skipped, contest

REPOSITORY = Path(__file__).resolve().parents[1]


def peak_bytes() -> int:
    """Return the peak resident memory of this process. Raise Skipped if the system does not report it."""
    return _status("VmHWM")


def resident_bytes() -> int:
    return _status("VmRSS")


def _status(key: str) -> int:
    # getrusage cannot be used, because on Linux its value starts with the peak of the parent process.
    status = Path("/proc/self/status")
    if not status.exists():
        raise Skipped("peak memory of a process is read from /proc/self/status, which only Linux has")
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith(key)) * 1024


def in_fresh_process(module: str, *arguments: str) -> dict:
    """Run `python -m module arguments` and return the JSON object that it prints. Raise Skipped if it fails."""
    done = subprocess.run([sys.executable, "-m", module, *arguments], capture_output=True, text=True, cwd=REPOSITORY)
    if done.returncode:
        raise Skipped(f"its process ended with {done.returncode}: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def training(name: str, device: str) -> dict:
    """Measure the peak memory of two training steps in MiB, for both networks of the pair `name`."""
    from .networks import PAIRS, describe_weights

    pair = PAIRS[name]
    peer = pair.peer()  # raises Skipped if a package is missing
    our_bytes, peer_bytes = ([in_fresh_process(__name__, name, side, device)["bytes"]] for side in ("ours", "peer"))
    numbers = contest(our_bytes, peer_bytes, "MiB", lambda size: size / 2**20, False)
    note = "peak memory of two training steps in a new process, including network and optimizer"
    if not pair.load:  # 16 bytes: weight, gradient, and two moments of the optimizer
        note += f"; {describe_weights(pair.ours(), peer)}, 16 bytes each during training"
    return numbers | {"peer_is": pair.peer_is, "library": pair.library, "note": note}


def _child(name: str, which: str, device: str) -> int:
    import torch

    from .networks import PAIRS, make_side

    pair = PAIRS[name]
    before = resident_bytes()
    side = make_side(pair, which, getattr(pair, which)(), device)
    for _ in range(2):
        side.step()
    return torch.cuda.max_memory_allocated() if device == "cuda" else peak_bytes() - before


if __name__ == "__main__":
    print(json.dumps({"bytes": _child(*sys.argv[1:])}))
