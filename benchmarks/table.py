"""The README's table of speed and the page of its notes, every number from the file of results."""

from collections.abc import Sequence
from pathlib import Path

from seglib import files

README = Path(__file__).resolve().parents[1] / "README.md"
NOTES = Path(__file__).with_name("notes.md")
BEGIN, END = "<!-- benchmarks: python -m benchmarks table -->", "<!-- end of benchmarks -->"
HEAD = ["work", "ours", "theirs", "times as good", "from - to", "aim", "against"]


def number(value: float) -> str:
    """Three figures, without an exponent."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def summary(entry: dict) -> str:
    """One line for a terminal."""
    if "skipped" in entry:
        return f"skipped: {entry['skipped']}"
    line = f"{number(entry['ours'])} {entry['unit']}"
    if entry["ratio"] is None:
        return line
    return f"{line}, the peer {number(entry['peer'])}: {entry['ratio']:.2f} times as good"


def row(entry: dict) -> list[str]:
    """The cells of an entry that has a peer, or was skipped."""
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
    """The table, then what it was measured on, what is behind, and what was measured without a peer."""
    rows = [HEAD, ["---"] * len(HEAD), *(row(entry) for entry in entries if _beside(entry))]
    lines = [f"| {' | '.join(cells)} |" for cells in rows]
    machines = list(dict.fromkeys(entry["machine"] for entry in entries))
    versions = {name: version for entry in entries for name, version in entry["versions"].items()}
    measured = f"Measured on: {'; '.join(machines)}. " + ", ".join(f"{n} {v}" for n, v in sorted(versions.items()))
    alone = [entry for entry in entries if entry["group"] in ("quality", "networks") and not _beside(entry)]
    told = [f"- {entry['title']}, {summary(entry)}: {entry['note']}." for entry in alone if entry.get("note")]
    return "\n".join([*lines, "", measured + ".", "", *behind(entries), *told])


def notes(entries: Sequence[dict]) -> str:
    """A page that says under which conditions the rows of the table were measured; a note once, with its rows."""
    said: dict[str, list[str]] = {}
    for entry in entries:
        if _beside(entry) and entry.get("note") and "skipped" not in entry:
            said.setdefault(entry["note"], []).append(entry["title"])
    lines = ["# How each row of the table of speed was measured", "", "Written by `python -m benchmarks table`.", ""]
    return "\n".join([*lines, *(f"- {'; '.join(titles)}: {note}." for note, titles in said.items()), ""])


def _beside(entry: dict) -> bool:
    """Is it a row of the table: measured beside a peer, or skipped?"""
    return entry["ratio"] is not None or "skipped" in entry


def behind(entries: Sequence[dict]) -> list[str]:
    """A line that names what is slower or larger than its peer, or that nothing is; and one of the aims not met."""
    losers = [entry for entry in entries if entry["ratio"] is not None and entry["ratio"] < 1]
    told = "; ".join(f"{entry['title']} ({entry['ratio']:.2f})" for entry in losers)
    lines = [f"Ours is behind in: {told}." if losers else "Ours is behind in none of these.", ""]
    short = "; ".join(f"{e['title']} ({summary(e)}; aim {e['aim']})" for e in entries if falls_short(e))
    return [*lines, f"Short of the aim: {short}.", ""] if short else lines


def falls_short(entry: dict) -> bool:
    """Is there an aim that is not met?  It is a ratio, or for what has no peer a number of the entry's unit at most."""
    if not entry["aim"] or "skipped" in entry:
        return False
    aim = float(entry["aim"].split()[0])
    return entry["ours"] > aim if entry["ratio"] is None else entry["ratio"] < aim


def write(entries: Sequence[dict], readme: Path = README, page: Path = NOTES) -> None:
    """Put the table between its marks, and the notes on their page.  OSError if the marks are gone."""
    files.replace_between(readme, BEGIN, END, text(entries))
    files.write_text(page, notes(entries))
