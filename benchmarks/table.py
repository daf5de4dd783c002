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

Written by `python -m benchmarks table` from `benchmarks/results.json`. `make bench` repeats all measurements.
`python -m benchmarks run --resume` resumes an interrupted run, and `--only NAME` measures one row.

Each row compares our code with a baseline. If the ratio is bold, the baseline is a library that is commonly used for
the same task; otherwise it is another variant of our code. Speed is measured alternately in one process, at the same
precision. The table shows medians, and the quartiles of the ratio. A ratio above 1 means that our code is faster or
uses less memory. The results of both are first checked to be equal, except for augmentation, which is random, and for
the U-Net of segmentation-models-pytorch, which is a different network. Our networks run as in our training loop, with
channels-last layout and a fused optimizer. The baselines run with PyTorch's defaults, unless the row says "same layout
and optimizer for both". The *target* was set before measuring.

For inference engines, the baseline is our network in eager PyTorch in float32. Engines that compute in bfloat16 or int8
change the predictions, so that their mIoU is given below. ISNet and MediaPipe's network are fetched from npm for
measuring, and are no part of this project. `python -m benchmarks from_nothing` trains our networks and those of usual
recipes until they reach a score, and writes the score after each validation to `benchmarks/from_nothing.json`.

[Scaling](../benchmarks/scaling.md) estimates the cost of a million and a billion images, and measures large images.
"""
LISTED = ("quality", "networks", "photographs", "training")  # groups whose entries without a baseline are listed
HEADLINES = (  # the rows that the README shows
    "boundary-iou-360x480x11",
    "boundary-iou-1024x2048x19",
    "miou-360x480x11",
    "input-pipeline",
    "augmentation",
    "unet-train",
    "unet-memory",
    "dilated_resnet50-train",
    "dilated_resnet50-infer",
    "hrnet_w18-train",
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
    measured = f"Measured on: {'; '.join(machines)}. " + ", ".join(f"{n} {v}" for n, v in sorted(versions.items()))
    alone = [entry for entry in entries if entry["group"] in LISTED and not _beside(entry)]
    notes = [f"- {entry['title']}, {summary(entry)}: {entry['note']}." for entry in alone if entry.get("note")]
    return "\n".join([*lines, "", measured + ".", "", *behind(entries), *notes])


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
    """Return a line with the entries that are slower or larger than the baseline, and a line with missed targets."""
    losers = [entry for entry in entries if entry["ratio"] is not None and entry["ratio"] < 1]
    notes = "; ".join(f"{entry['title']} ({entry['ratio']:.2f})" for entry in losers)
    lines = [f"Our code has a ratio below 1 in: {notes}." if losers else "No ratio is below 1.", ""]
    short = "; ".join(f"{e['title']} ({summary(e)}; target {e['aim']})" for e in entries if falls_short(e))
    return [*lines, f"Targets that were missed: {short}.", ""] if short else lines


def falls_short(entry: dict) -> bool:
    """Return whether an entry misses its target: a minimum ratio, or a maximum value if there is no baseline."""
    if not entry["aim"] or "skipped" in entry:
        return False
    aim = float(entry["aim"].split()[0])
    return entry["ours"] > aim if entry["ratio"] is None else entry["ratio"] < aim


def page(entries: Sequence[dict]) -> str:
    """Return the page with all rows and their measurement conditions."""
    return f"{INTRODUCTION}\n{text(entries)}\n\n## How each row was measured\n\n{notes(entries)}\n"


def write(entries: Sequence[dict], readme: Path = README, to: Path = PAGE) -> None:
    """Write the main rows to the README, between its markers, and all rows to docs/benchmarks.md.

    Raises:
        OSError: If the markers are missing.
    """
    replace_between(readme, BEGIN, END, headlines(entries))
    files.write_text(to, page(entries))
