"""python -m benchmarks run | table | compare | from_nothing | starting_points | pasting"""

import argparse
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

from seglib.data import DataError  # noqa: E402

from . import comparison, from_nothing, groups, pasting, results, scaling, starting_points, table  # noqa: E402
from .measure import Skipped, Unequal  # noqa: E402


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m benchmarks", allow_abbrev=False, description=__doc__)
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")
    run = verbs.add_parser("run", allow_abbrev=False, help="measure, and write each result immediately")
    run.add_argument("--only", nargs="+", default=[], metavar="NAME", help="entries whose names begin with NAME")
    run.add_argument("--resume", action="store_true", help="skip entries that the last run has measured")
    run.add_argument("--root", type=Path, default=Path("data"), help="folder of the data sets (%(default)s)")
    run.add_argument("--results", type=Path, default=results.FILE, help="file of results (%(default)s)")
    run.add_argument("--list", action="store_true", help="print the names of the entries and exit")
    table_parser = verbs.add_parser(
        "table", help="write the README's table, docs/benchmarks.md and scaling.md from the results"
    )
    table_parser.add_argument("--results", type=Path, default=results.FILE, help="file of results (%(default)s)")
    compare = verbs.add_parser("compare", help="train and compare networks, losses and seeds (takes hours, resumable)")
    _add_only(compare, list(comparison.VARIANTS), "comparison.json")
    compare.add_argument("--root", type=Path, default=Path("data"), help="folder of the data sets (%(default)s)")
    compare.add_argument("--runs", type=Path, default=Path("runs/comparison"), help="folder for the runs (%(default)s)")
    compare.add_argument("--note", default="", help="a note on the machine, such as that it was shared")
    scratch = verbs.add_parser("from_nothing", help="train with our and with common recipes until a score is reached")
    _add_only(scratch, list(from_nothing.RECIPES), "from_nothing.json")
    scratch.add_argument("--root", type=Path, default=Path("data"), help="folder of the data sets (%(default)s)")
    scratch.add_argument("--limit", type=float, default=60.0, help="CPU minutes per run (%(default)s)")
    scratch.add_argument("--wall-limit", type=float, default=60.0, help="minutes per run (%(default)s)")
    scratch.add_argument("--curves", type=Path, default=from_nothing.FILE, help="file of curves (%(default)s)")
    starts = verbs.add_parser("starting_points", help="train from different starting points with equal processor time")
    _add_only(starts, list(starting_points.STARTS), "starting_points.json")
    starts.add_argument("--root", type=Path, default=Path("data"), help="folder of the data sets (%(default)s)")
    starts.add_argument("--runs", type=Path, default=Path("runs/starts"), help="folder for the runs (%(default)s)")
    pasted = verbs.add_parser("pasting", help="train on people with and without pasting them on other backgrounds")
    pasted.add_argument("--root", type=Path, default=Path("data"), help="folder of the data sets (%(default)s)")
    pasted.add_argument("--runs", type=Path, default=Path("runs/pasting"), help="folder for the runs (%(default)s)")
    return top


def _add_only(parser: argparse.ArgumentParser, runs: list[str], file: str) -> None:
    text = f"names of runs (default: all runs that are not in {file})"
    parser.add_argument("--only", nargs="+", choices=runs, default=runs, metavar="NAME", help=text)


def chosen(entries: list[groups.Entry], only: list[str]) -> list[groups.Entry]:
    """Return the entries whose names start with a name in `only`, or all entries that are not optional.

    Raises:
        ValueError: If no entry starts with one of the names.
    """
    for name in only:
        if not any(entry.name.startswith(name) for entry in entries):
            raise ValueError(f"--only {name}: no such entry; `python -m benchmarks run --list` shows all.")
    if not only:
        return [entry for entry in entries if not entry.optional]
    return [entry for entry in entries if any(entry.name.startswith(name) for name in only)]


def measure(entry: groups.Entry) -> dict:
    """Measure an entry and return its results.  If it cannot be measured, `skipped` is the reason.

    Raises:
        Unequal: If the results of the two implementations differ.
    """
    whole = {"name": entry.name, "group": entry.group, "title": entry.title, "aim": entry.aim}
    numbers = {"unit": None, "ours": None, "peer": None, "ratio": None, "spread": None}
    try:
        numbers |= entry.measure()
    except (Skipped, DataError) as reason:
        numbers["skipped"] = str(reason)
    return whole | numbers | {"machine": results.machine(), "versions": results.versions()}


def run(args: argparse.Namespace) -> int:
    every = groups.entries(args.root)
    if args.list:
        print("\n".join(entry.name + (" (only if named)" if entry.optional else "") for entry in every))
        return 0
    before = results.read(args.results)
    number = results.last_round(before) + (0 if args.resume or args.only else 1)
    selected = chosen(every, args.only)
    if args.resume:
        done = {entry["name"] for entry in before if entry.get("round") == number}
        selected = [entry for entry in selected if entry.name not in done]
    failed = 0
    for count, entry in enumerate(selected, 1):
        began = time.perf_counter()
        print(f"[{count}/{len(selected)}] {entry.name}", end=": ", flush=True)
        try:
            measured = measure(entry) | {"round": max(1, number)}
        except Unequal as difference:
            failed += 1
            print(f"not measured; {difference}", flush=True)
            continue
        results.write_entry(measured, [e.name for e in every], args.results)
        print(f"{table.summary(measured)} ({time.perf_counter() - began:.0f} s)", flush=True)
    print(f"{len(selected) - failed} entries are in {args.results}. Show them with: python -m benchmarks table")
    return 1 if failed else 0


def show(args: argparse.Namespace) -> int:
    entries = results.read(args.results)
    if not entries:
        raise results.ResultsError(f"{args.results}: there are no results yet; measure with: python -m benchmarks run")
    table.write(entries)
    scaling.write(entries)
    print(table.text(entries))
    return 0


def main() -> int:
    args = parser().parse_args()
    try:
        if args.verb == "from_nothing":
            return from_nothing.run(args.only, args.root, args.limit, args.wall_limit, args.curves)
        if args.verb == "starting_points":
            return starting_points.run(args.only, args.runs, args.root)
        if args.verb == "pasting":
            return pasting.run(args.runs, args.root)
        if args.verb == "compare":
            return 1 if comparison.run(args.only, args.runs, args.root, args.note) else 0
        return run(args) if args.verb == "run" else show(args)
    except KeyboardInterrupt:
        print(f"\nStopped; continue with: python -m benchmarks {args.verb}{' --resume' if args.verb == 'run' else ''}")
        return 130
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
