"""Write the benchmark table of the README, and the page with all rows, from the file of results."""

from collections.abc import Sequence
from pathlib import Path

from course.places import replace_between
from seglib import files

ROOT = Path(__file__).resolve().parents[1]
README, PAGE = ROOT / "README.md", ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- benchmarks: python -m benchmarks table -->", "<!-- end of benchmarks -->"
HEAD = ["work", "ours", "theirs", "ratio", "quartiles", "aim", "compared with"]
INTRODUCTION = """# Benchmarks

Written by `python -m benchmarks table` from `benchmarks/results.json`. `make bench` measures
again; `python -m benchmarks run --resume` continues, `--only NAME` measures one row.

Each row compares our code with the library that people commonly use for the same work. The two run alternately in one
process, at the same precision. The table shows medians and the quartiles of the ratio; a ratio above 1 means that ours
is faster or uses less memory. Both are first checked to give the same result, except for augmentation, which is random,
and for segmentation-models-pytorch's U-Net, which is another network. Ours runs as in our training loop, in
channels-last layout with a fused optimizer, and the others with PyTorch's defaults; where a row says so, the other side
has both too. *Aim* is the target that was set before measuring.

[Scaling](../benchmarks/scaling.md) estimates what a million and a billion images would cost, and measures large images.
"""
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
    return f"{line}, the peer {number(entry['peer'])}: {entry['ratio']:.2f} times as good"


def row(entry: dict) -> list[str]:
    """Return the table cells of an entry that has a peer or was skipped."""
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
    """Return the table, the machines and versions, the slower entries, and the measurements without a peer."""
    lines = _lines([HEAD, ["---"] * len(HEAD), *(row(entry) for entry in entries if _beside(entry))])
    machines = list(dict.fromkeys(entry["machine"] for entry in entries))
    versions = {name: version for entry in entries for name, version in entry["versions"].items()}
    measured = f"Measured on: {'; '.join(machines)}. " + ", ".join(f"{n} {v}" for n, v in sorted(versions.items()))
    alone = [entry for entry in entries if entry["group"] in ("quality", "networks") and not _beside(entry)]
    notes = [f"- {entry['title']}, {summary(entry)}: {entry['note']}." for entry in alone if entry.get("note")]
    return "\n".join([*lines, "", measured + ".", "", *behind(entries), *notes])


def headlines(entries: Sequence[dict]) -> str:
    """Return the README's table, which has the rows in HEADLINES without quartiles and aims."""
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
    return "\n".join(f"- {'; '.join(titles)}: {note}." for note, titles in titles_by_note.items())


def _beside(entry: dict) -> bool:
    """Return whether an entry is a row of the table because it has a peer or was skipped."""
    return entry["ratio"] is not None or "skipped" in entry


def behind(entries: Sequence[dict]) -> list[str]:
    """Return a line with the entries that are slower or larger than the peer, and a line with missed aims."""
    losers = [entry for entry in entries if entry["ratio"] is not None and entry["ratio"] < 1]
    notes = "; ".join(f"{entry['title']} ({entry['ratio']:.2f})" for entry in losers)
    lines = [f"Slower or larger than the peer: {notes}." if losers else "No row is slower or larger than the peer.", ""]
    short = "; ".join(f"{e['title']} ({summary(e)}; aim {e['aim']})" for e in entries if falls_short(e))
    return [*lines, f"Short of the aim: {short}.", ""] if short else lines


def falls_short(entry: dict) -> bool:
    """Return whether an entry misses its aim: a minimum ratio, or without a peer a maximum value."""
    if not entry["aim"] or "skipped" in entry:
        return False
    aim = float(entry["aim"].split()[0])
    return entry["ours"] > aim if entry["ratio"] is None else entry["ratio"] < aim


def page(entries: Sequence[dict]) -> str:
    """Return the page with all rows and their measurement conditions."""
    return f"{INTRODUCTION}\n{text(entries)}\n\n## How each row was measured\n\n{notes(entries)}\n"


def write(entries: Sequence[dict], readme: Path = README, to: Path = PAGE) -> None:
    """Write the table into the README, between its markers, and write the page with all rows.

    Raises:
        OSError: If the markers are missing.
    """
    replace_between(readme, BEGIN, END, headlines(entries))
    files.write_text(to, page(entries))
