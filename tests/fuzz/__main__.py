"""Run corrupted inputs of each kind and print the counts, or also write them and the table in docs/reliability.md."""

import argparse
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import version
from pathlib import Path

from tqdm import tqdm

from course.places import replace_between
from seglib import files

from . import watch
from .kinds import KINDS

RESULTS = Path(__file__).with_name("results.json")
PAGE = watch.REPOSITORY / "docs" / "reliability.md"
BEGIN, END = "<!-- inputs: python -m tests.fuzz --write -->", "<!-- end of inputs -->"
PACKAGES = ("pillow", "tifffile", "torch", "safetensors", "pyyaml", "jsonargparse")


def table(results: dict) -> str:
    """Return the table of docs/reliability.md for a results file."""
    columns = ("corrupted input", "files", "accepted", "rejected", "failures", "longest CPU time", "memory increase")
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for entry in results["kinds"]:
        numbers = (f"{entry[name]:,}" for name in ("tried", "read", "refused"))
        lines.append(
            f"| {entry['name']} | {' | '.join(numbers)} | {len(entry['faults'])} "
            f"| {entry['slowest_seconds']:.1f} s | {entry['peak_megabytes']:,} MB |"
        )
    total = {name: sum(entry[name] for entry in results["kinds"]) for name in ("tried", "read", "refused")}
    faults = sum(len(entry["faults"]) for entry in results["kinds"])
    counts = " | ".join(f"{count:,}" for count in total.values())
    return "\n".join([*lines, f"| total (`{results['command']}`) | {counts} | {faults} | | |"])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", allow_abbrev=False, description=__doc__)
    parser.add_argument("--cases", type=int, default=300, help="inputs of each kind (%(default)s)")
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS), help="which (all)")
    parser.add_argument("--jobs", type=int, default=1, help="number of kinds that run at the same time (%(default)s)")
    parser.add_argument("--write", action="store_true", help="write results.json and the table in docs/reliability.md")
    args = parser.parse_args()
    if args.write and set(args.kinds) != set(KINDS):
        parser.error("--write takes all kinds: leave --kinds out")
    with tqdm(total=args.cases * len(args.kinds), unit="input") as bar:
        parts = [dict.fromkeys(args.kinds[i :: args.jobs], args.cases) for i in range(args.jobs)]
        with ThreadPoolExecutor(args.jobs) as pool:  # a thread only waits for its process
            done = {
                kind: tally
                for part in pool.map(partial(watch.run, progress=bar.update), parts)
                for kind, tally in part.items()
            }
        tallies = {kind: done[kind] for kind in args.kinds}
    results = {
        "command": f"python -m tests.fuzz --cases {args.cases} --write",
        "versions": {name: version(name) for name in PACKAGES},
        "kinds": [{"name": KINDS[kind].title, **tally.to_dict()} for kind, tally in tallies.items()],
    }
    print(table(results))
    for kind, tally in tallies.items():
        for fault in tally.faults[:5]:
            print(f"\n{kind}, {fault[:12]}...{fault[-700:]}", file=sys.stderr)
    if args.write:
        files.write_text(RESULTS, json.dumps(results, indent=1) + "\n")
        replace_between(PAGE, BEGIN, END, table(results))
    return int(any(tally.faults for tally in tallies.values()))


if __name__ == "__main__":
    sys.exit(main())
