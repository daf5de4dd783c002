"""Write scaling.md, which estimates the cost of many images from the measured entries and covers large images."""

from collections.abc import Sequence
from pathlib import Path

from seglib import files

from .table import number

PAGE = Path(__file__).with_name("scaling.md")
MANY = (1_000_000, 1_000_000_000)
PARTS = ("predict-read", "predict-compute", "predict-write")
CACHE = 2**30  # bytes of decoded images that training keeps by default


def page(entries: Sequence[dict]) -> str:
    """Return the page in Markdown. If measurements for a section are missing, they are listed in the section."""
    by_name = {entry["name"]: entry for entry in entries if entry["ours"] is not None}
    machines = dict.fromkeys(entry["machine"] for entry in entries)
    parts = [
        ("Prediction", [*PARTS], _predicting),
        ("Training, one epoch", [], _training),
        ("Limits", ["predict-read", "predict-write", "listing", "shuffling"], _limits),
        ("Large images", [], _large),
    ]
    lines = [
        "# Cost of a million and a billion images",
        "",
        "This page is written by `python -m benchmarks table` from `results.json`. The table of large images contains "
        "measurements. The other tables are estimates: no run had this many images. They are extrapolated from the "
        "speed measured on these machines:",
        "",
        *(f"- {machine}" for machine in machines),
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
    head = [
        "images",
        "decoding",
        "inference",
        "writing",
        "total",
        "CPU cores to finish in one day",
        "data read",
        "data written",
    ]
    rate = by_name["predict-read"]["bytes"] / sum(each) / 1e6
    return [
        *_table(head, rows),
        "",
        f"Times are for one core and were measured with {by_name['predict-compute']['note']}. The images are "
        "independent, so they can be distributed over several machines. Each core reads "
        f"{number(rate)} MB per second, which the disk and the network must provide.",
    ]


def _training(by_name: dict[str, dict]) -> list[str]:
    rows = []
    for name, entry in by_name.items():
        variant = any(part in name for part in ("layout", "-alike-", "-format-", "-plain-"))
        if variant or not (name.endswith("-train") or "-train-" in name):
            continue
        rates = [count / entry["ours"] for count in MANY]
        rows.append([entry["title"], f"{number(entry['ours'])} images/s", *map(hours, rates), number(rates[1] / 86400)])
    if not rows:
        return ["Not measured yet: the training steps."]
    head = ["network", "speed of one machine", "time for a million", "time for a billion"]
    head += ["machines for a billion per day"]
    lines = _table(head, rows)
    if "two-processes" in by_name:
        second = by_name["two-processes"]["ratio"]
        lines += [
            "",
            f"On one machine, training in two processes that share each batch was {second:.2f} times as fast as in "
            "one process. The last column assumes that the speed is proportional to the number of machines.",
        ]
    return lines


def _limits(by_name: dict[str, dict]) -> list[str]:
    """Return a table of limits, sorted by the number of images at which each is reached."""
    read, listing, order = by_name["predict-read"], by_name["listing"], by_name["shuffling"]
    limits = [
        (
            CACHE / read["decoded_bytes"],
            "decoded images fill the training cache (1 GiB by default)",
            _anew(by_name),
        ),
        (
            60 / (listing["ours"] / 1e6),
            "listing the files takes a minute before the first result",
            "use a separate folder for each machine",
        ),
        (
            2**30 / listing["bytes"],
            "the file paths take 1 GiB in every process that opens the data set",
            "distribute the list over the processes, or store thousands of images in each archive",
        ),
        (
            60 / (order["ours"] / 1e9),
            "shuffling the indices of an epoch takes a minute in each process",
            "shuffle archives, then the images of a few archives at a time",
        ),
        (
            2**30 / order["bytes"],
            "the shuffled indices take 1 GiB in each process",
            "shuffle archives instead of images",
        ),
        (
            2**40 / by_name["predict-write"]["bytes"],
            "the predicted masks fill 1 TiB",
            "keep only the masks that are needed",
        ),
        (2**40 / read["bytes"], "the images fill 1 TiB", "store images close to the machines that read them"),
        (
            2**40 / 2**14,
            "a 1 TiB disk has no inodes left (ext4 creates one per 16 KiB)",
            "store many images in each archive",
        ),
    ]
    rows = [[f"{count:,.0f}", what, remedy] for count, what, remedy in sorted(limits)]
    return _table(["images", "limit", "solution"], rows)


def _anew(by_name: dict[str, dict]) -> str:
    """Return the advice about the cache, with the slowdown from decoding in each epoch if it was measured."""
    if "decoding-once" not in by_name:
        return "increase `data.cache_mb`"
    return (
        f"increase `data.cache_mb`; without the cache, loading is {by_name['decoding-once']['ratio']:.1f} times slower"
    )


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
        *_table(["pixels", "time", "time per megapixel", "peak memory of the process"], rows),
        "",
        f"The largest image has {(last['side'] / first['side']) ** 2:,.0f} times the pixels of the smallest. It took "
        f"{last['seconds'] / first['seconds']:,.0f} times as long and {last['peak_mib'] / first['peak_mib']:.2f} times "
        f"the memory, which includes the libraries. Settings: {last['note'].partition('; ')[2]}.",
    ]


def write(entries: Sequence[dict], file: Path = PAGE) -> None:
    files.write_text(file, page(entries))
