"""Write the page about the cost of many images and of large images, computed from the measured entries."""

from collections.abc import Sequence
from pathlib import Path

from seglib import files

from .table import number

PAGE = Path(__file__).with_name("scaling.md")
MANY = (1_000_000, 1_000_000_000)
PARTS = ("predict-read", "predict-compute", "predict-write")
CACHE = 2**30  # bytes of decoded images that training keeps by default


def page(entries: Sequence[dict]) -> str:
    """Return the page in Markdown; if measurements for a section are missing, the section lists them."""
    by_name = {entry["name"]: entry for entry in entries if entry["ours"] is not None}
    machines = "; ".join(dict.fromkeys(entry["machine"] for entry in entries))
    parts = [
        ("Predicting", [*PARTS], _predicting),
        ("Training, one epoch", [], _training),
        ("What breaks first", ["predict-read", "predict-write", "listing", "shuffling"], _limits),
        ("Large images", [], _large),
    ]
    lines = [
        "# What a million and a billion images cost",
        "",
        "Made by `python -m benchmarks table` from `results.json`; all but the last table is estimated from rates "
        f"measured on: {machines}. Nothing was run at these numbers of images.",
    ]
    for title, needed, write in parts:
        missing = [name for name in needed if name not in by_name]
        body = [f"Not measured yet: {', '.join(missing)}."] if missing else write(by_name)
        lines += ["", f"## {title}", "", *body]
    return "\n".join(lines) + "\n"


def hours(seconds: float) -> str:
    """Format seconds as hours, or as minutes below one hour."""
    return f"{number(seconds / 3600)} h" if seconds >= 3600 else f"{number(seconds / 60)} min"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def _predicting(by_name: dict[str, dict]) -> list[str]:
    each = [by_name[name]["ours"] / 1e3 for name in PARTS]  # seconds on one core
    rows = []
    for count in MANY:
        total = sum(each) * count
        rows.append(
            [
                f"{count:,}",
                *(hours(seconds * count) for seconds in each),
                hours(total),
                number(total / 86400),
                f"{number(by_name['predict-read']['bytes'] * count / 1e9)} GB",
                f"{number(by_name['predict-write']['bytes'] * count / 1e9)} GB",
            ]
        )
    head = ["images", "decoding", "computing", "writing", "core hours", "cores for one day", "read", "written"]
    rate = by_name["predict-read"]["bytes"] / sum(each) / 1e6
    return [
        *_table(head, rows),
        "",
        f"Core time, of {by_name['predict-compute']['note']}. Images do not depend on each other, so they can be "
        f"divided among machines. A busy core reads {number(rate)} MB a second, so a slower disk or network is the "
        "limit.",
    ]


def _training(by_name: dict[str, dict]) -> list[str]:
    rows = []
    for name, entry in by_name.items():
        if not (name.endswith("-train") or "-train-" in name) or "layout" in name or "-alike-" in name:
            continue
        rates = [count / entry["ours"] for count in MANY]
        rows.append([entry["title"], f"{number(entry['ours'])} images/s", *map(hours, rates), number(rates[1] / 86400)])
    if not rows:
        return ["Not measured yet: the training steps."]
    lines = _table(["network", "one machine", "a million", "a billion", "machines for a billion a day"], rows)
    if "two-processes" in by_name:
        second = by_name["two-processes"]["ratio"]
        lines += [
            "",
            f"Two processes that train together process {second:.2f} times as many images per second as one on the "
            "cores of this machine. The last column assumes twice as many.",
        ]
    return lines


def _limits(by_name: dict[str, dict]) -> list[str]:
    """Return a table of limits, sorted by the number of images at which each is reached."""
    read, listing, order = by_name["predict-read"], by_name["listing"], by_name["shuffling"]
    limits = [
        (
            CACHE / read["decoded_bytes"],
            "decoded images fill the memory that training keeps for them by default",
            _anew(by_name),
        ),
        (
            60 / (listing["ours"] / 1e6),
            "listing the files takes a minute before the first result",
            "split the images into one folder per machine",
        ),
        (
            2**30 / listing["bytes"],
            "their names fill a GiB in every process that opens the data set",
            "split the list; archives of thousands of images in place of single files",
        ),
        (
            60 / (order["ours"] / 1e9),
            "drawing the order of an epoch takes a minute in each process",
            "shuffle archives, then images within some of them",
        ),
        (2**30 / order["bytes"], "that order fills a GiB in each process", "the same"),
        (2**40 / by_name["predict-write"]["bytes"], "written masks fill a TiB", "keep only what is needed"),
        (2**40 / read["bytes"], "images fill a TiB", "store them beside the machines that read them"),
        (2**40 / 2**14, "a disk of a TiB has no more inodes for files (ext4 makes one for 16 KiB)", "archives"),
    ]
    rows = [[f"{count:,.0f}", what, remedy] for count, what, remedy in sorted(limits)]
    return _table(["images", "what happens", "what helps"], rows)


def _anew(by_name: dict[str, dict]) -> str:
    """Return the advice about the cache, with the slow-down from decoding in each epoch if it was measured."""
    if "decoding-once" not in by_name:
        return "a larger `data.cache_mb`"
    return f"a larger `data.cache_mb`; without, loading is {by_name['decoding-once']['ratio']:.1f} times slower"


def _large(by_name: dict[str, dict]) -> list[str]:
    sizes = sorted((e for name, e in by_name.items() if name.startswith("large-")), key=lambda e: e["side"])
    if not sizes:
        return ["Not measured yet: large-1000 and so on."]
    rows = [
        [f"{e['side']:,} x {e['side']:,}", hours(e["seconds"]), f"{number(e['ours'])} s", f"{e['peak_mib']:,.0f} MiB"]
        for e in sizes
    ]
    first, last = sizes[0], sizes[-1]
    return [
        *_table(["pixels", "time", "a megapixel", "peak memory of the process"], rows),
        "",
        f"An image of {last['side'] ** 2 / first['side'] ** 2:,.0f} times the pixels took "
        f"{last['seconds'] / first['seconds']:,.0f} times as long and {last['peak_mib'] / first['peak_mib']:.2f} times "
        f"the memory (its libraries included). {last['note'].partition('; ')[2]}, files read and written by window.",
    ]


def write(entries: Sequence[dict], file: Path = PAGE) -> None:
    files.write_text(file, page(entries))
