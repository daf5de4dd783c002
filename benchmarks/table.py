"""Write the benchmark tables in README.md and docs/benchmarks.md from the file of results."""

from collections.abc import Sequence
from pathlib import Path

from course.places import replace_between
from seglib import files

ROOT = Path(__file__).resolve().parents[1]
README, PAGE = ROOT / "README.md", ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- benchmarks: python -m benchmarks table -->", "<!-- end of benchmarks -->"
HEAD = ["benchmark", "ours", "baseline", "ratio", "quartiles", "target", "description of the baseline"]
INTRODUCTION = """# Benchmarks

This page is written by `python -m benchmarks table` from `benchmarks/results.json`. `make bench` repeats the
measurements, except for the rows that take longest (`python -m benchmarks run --list` marks them) and the training runs
of `python -m benchmarks from_nothing`. `python -m benchmarks run --resume` resumes an interrupted run, and
`--only NAME` measures the rows whose names in that file begin with NAME.

## How to read the table

- Each row compares our code with a baseline. If the ratio is bold, the baseline is a library that is commonly used for
  the same task. Otherwise, it is another variant of our code or a plain loop.
- A ratio above 1 means that our code is faster or uses less memory. The table shows medians and their
  ratio. The quartiles are those of the ratios of single pairs of measurements, so a ratio may be outside its quartiles.
- Complete training runs (fine-tuning, training from scratch) were made once each, so their quartiles equal the ratio.
  If the baseline did not reach the score, its time is that of the whole run, and the ratio is a lower bound; see
  [below](#how-each-row-was-measured).
- The *target* was set before the measurement.
- The rows were measured on several machines, which are listed below the tables. `benchmarks/results.json` says which
  machine measured which row. Both sides of a row were measured on the same machine.
- Our code and the baseline run alternately in one process and, unless the row names a precision, at the same precision.
  The rows `fine-tuning to mIoU` are an exception: our runs use `amp: auto`, which is bfloat16 on their machine, and the
  baseline runs in float32. The rows `fine-tuning in float32 to mIoU` compare both in float32.
  Memory is measured in new processes, and complete training runs follow each other. First, we check that the results
  are equal; networks that run in bfloat16 are checked in float32. A check is not possible for random augmentation, for
  training runs, for engines in bfloat16 and int8, and if the networks differ (the U-Nets of
  segmentation-models-pytorch, the networks of MediaPipe and ISNet). The plain loop may differ in up to 2% of the
  pixels.
- Our networks run as in our training loop: with a fused optimizer, and in channels-last layout except for U-Net and
  U2-Net in float32 on CPUs without AVX-512. The baselines run with PyTorch's defaults, unless the row says "same layout
  and optimizer for both".
- For inference engines, the baseline is our network in eager PyTorch in float32. Engines that compute in bfloat16 or
  int8 change the predictions. Their mIoU is given [below](#how-each-row-was-measured). It is
  computed on at most 50 validation images, which are all resized to the same height and width and are not flipped, so
  it differs from the mIoU in the model cards.
- ISNet and MediaPipe's network are downloaded from npm for the measurement. They are not part of this project.
- The training runs of `python -m benchmarks from_nothing` are in `benchmarks/from_nothing.json`, with one point for
  each validation.

[Scaling](../benchmarks/scaling.md) estimates the cost of a million and of a billion images, and measures the prediction
of large images.

## Results
"""
PEAK = """For networks, the speed is also given as a fraction of the FLOP/s of a large matrix multiplication on the same
machine. More than 100% means that the network computes faster than this multiplication."""
LISTED = ("quality", "networks", "photographs", "training")  # groups whose entries without a baseline are listed
HEADLINES = (  # the rows that the README shows
    "from-nothing-smp-imagenet-93",
    "from-nothing-smp-imagenet-94",
    "folder-loop",
    "folder-selfie",
    "engine-openvino-bf16-efficientnet_unet-camvid",
    "efficientnet_unet-train",
    "hrnet_small-train",
    "unet-memory",
    "input-pipeline",
    "boundary-iou-1024x2048x19",
)


def number(value: float) -> str:
    """Format a number with about three significant digits and without an exponent."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def summary(entry: dict) -> str:
    """Return the result of an entry in one line, for the terminal."""
    if "skipped" in entry:
        return f"skipped: {entry['skipped']}"
    line = f"{number(entry['ours'])} {entry['unit']}"
    if entry["ratio"] is None:
        return line
    return f"{line}, baseline {number(entry['peer'])}, ratio {entry['ratio']:.2f}"


def row(entry: dict) -> list[str]:
    """Return the table cells of an entry that has a baseline or was skipped."""
    if "skipped" in entry:
        return [entry["title"], "skipped", "", "", "", entry["aim"], entry["skipped"]]
    ratio, spread = ([f"{value:.2f}" for value in values] for values in ([entry["ratio"]], entry["spread"]))
    return [
        entry["title"],
        f"{number(entry['ours'])} {entry['unit']}",
        f"{number(entry['peer'])} {entry['unit']}",
        f"**{ratio[0]}**" if entry.get("library", True) else ratio[0],
        " - ".join(spread),
        entry["aim"],
        entry["peer_is"],
    ]


def text(entries: Sequence[dict]) -> str:
    """Return the table, the machines and versions, the slower entries, and the measurements without a baseline."""
    lines = _lines([HEAD, ["---"] * len(HEAD), *(row(entry) for entry in entries if _beside(entry))])
    machines = list(dict.fromkeys(entry["machine"] for entry in entries))
    versions = {name: version for entry in entries for name, version in entry["versions"].items()}
    used = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    measured = _bullets("Machines:", machines) + ["", f"Package versions: {used}."]
    alone = [entry for entry in entries if entry["group"] in LISTED and not _beside(entry)]
    notes = [f"{entry['title']}: {summary(entry)} ({entry['note']})" for entry in alone if entry.get("note")]
    without = ["", *_bullets("Measurements without a baseline:", notes)] if notes else []
    return "\n".join([*lines, "", *behind(entries), *without, "", *measured])


def headlines(entries: Sequence[dict]) -> str:
    """Return the README's table, which contains the rows in HEADLINES without quartiles and targets."""
    cells = [row(entry) for entry in entries if entry["name"] in HEADLINES and _beside(entry)]
    return "\n".join(_lines([[*line[:4], line[6]] for line in [HEAD, ["---"] * len(HEAD), *cells]]))


def _lines(rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in rows]


def notes(entries: Sequence[dict]) -> str:
    """Return a list of the measurement conditions, with the titles of the rows that share each condition."""
    titles_by_note: dict[str, list[str]] = {}
    for entry in entries:
        if _beside(entry) and entry.get("note") and "skipped" not in entry:
            titles_by_note.setdefault(entry["note"], []).append(entry["title"])
    return "\n".join(f"- **{'; '.join(titles)}:** {note}." for note, titles in titles_by_note.items())


def _beside(entry: dict) -> bool:
    """Return whether an entry is a row of the table, which is the case if it has a baseline or was skipped."""
    return entry["ratio"] is not None or "skipped" in entry


def behind(entries: Sequence[dict]) -> list[str]:
    """Return a list of the entries that are slower or larger than the baseline, and a list of missed targets."""
    losers = [entry for entry in entries if entry["ratio"] is not None and entry["ratio"] < 1]
    slower = [f"{entry['title']} ({entry['ratio']:.2f})" for entry in losers]
    lines = _bullets("Our code is slower or uses more memory in:", slower) if slower else ["No ratio is below 1."]
    missed = [f"{e['title']} ({summary(e)}; target {e['aim']})" for e in entries if falls_short(e)]
    return [*lines, "", *_bullets("Missed targets:", missed)] if missed else lines


def _bullets(title: str, items: Sequence[str]) -> list[str]:
    """Return the lines of a list with a title."""
    return [title, "", *(f"- {item}" for item in items)]


def falls_short(entry: dict) -> bool:
    """Return whether an entry misses its target: a minimum ratio, or a maximum value if there is no baseline."""
    if not entry["aim"] or "skipped" in entry:
        return False
    aim = float(entry["aim"].split()[0])
    return entry["ours"] > aim if entry["ratio"] is None else entry["ratio"] < aim


def page(entries: Sequence[dict]) -> str:
    """Return the page with all rows and their measurement conditions."""
    return f"{INTRODUCTION}\n{text(entries)}\n\n## How each row was measured\n\n{PEAK}\n\n{notes(entries)}\n"


def write(entries: Sequence[dict], readme: Path = README, to: Path = PAGE) -> None:
    """Write the main rows to the README, between its markers, and all rows to docs/benchmarks.md.

    Raises:
        OSError: If the markers are missing.
    """
    replace_between(readme, BEGIN, END, headlines(entries))
    files.write_text(to, page(entries))
