"""What training runs left in their folders, read back and compared: configuration, history, state.

Nothing here needs the network or the data of a run, so folders of old versions, broken or half-written ones are
read as far as they go.
"""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path

from .errors import SeglibError
from .files import read_yaml

# Where a run lies, what it runs on and what it tells meanwhile: these change nothing in the result.
PLACES = {
    "output_dir",
    "device",
    "num_workers",
    "data.root",
    "data.cache_mb",
    "compile",
    "checkpoint_minutes",
    "tensorboard",
    "profile_steps",
}
MARKS = ("config.yaml", "history.json", "checkpoint.pt")  # a folder with one of these holds a run, or held one
SCORES = ("miou", "boundary_iou", "pixel_accuracy", "foreground_iou")


class RunError(SeglibError, ValueError):
    """Runs that cannot be read; the message names the folder, the fault and the remedy."""


@dataclass
class Record:
    """A run as its folder tells it; `faults` has a sentence for each thing that could not be read."""

    folder: Path
    options: dict[str, object] = field(default_factory=dict)  # "optimizer.lr" -> 0.002
    history: list[dict] = field(default_factory=list)
    resumable: bool = False
    faults: list[str] = field(default_factory=list)

    @property
    def metric(self) -> str:
        """The val score by which the run chose its best weights."""
        return str(self.options.get("metric", "miou"))

    @property
    def best(self) -> dict | None:
        """The entry of the history that scored best on val, or None if none was measured."""
        return max(
            (entry for entry in self.history if is_number(entry.get("val", {}).get(self.metric))),
            key=lambda entry: entry["val"][self.metric],
            default=None,
        )

    @property
    def minutes(self) -> float:
        """Time spent on the epochs in the history, measuring included."""
        return sum(entry["seconds"] for entry in self.history if is_number(entry.get("seconds"))) / 60

    @property
    def state(self) -> str:
        """finished, resumable, stopped (no checkpoint to go on from) or unknown, with the epochs done."""
        done, epochs = len(self.history), self.options.get("epochs")
        if not is_number(epochs):
            return f"unknown, {done} epochs"
        if done >= epochs:
            return f"finished, {epochs} epochs"
        return f"{'resumable' if self.resumable else 'stopped'} at epoch {done} of {epochs}"


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def flat(values: dict, prefix: str = "") -> dict:
    """{"a": {"b": 1}} as {"a.b": 1}; an empty dictionary leaves nothing."""
    found = {}
    for name, value in values.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return found


def read(folder: Path | str) -> Record:
    """The run in `folder`; what is missing or damaged is named in its `faults`, never raised."""
    record = Record(Path(folder))
    record.resumable = (record.folder / "checkpoint.pt").is_file()
    record.options = flat(_content(record, "config.yaml", dict) or {})
    entries = _content(record, "history.json", list) or []
    good = [entry for entry in entries if isinstance(entry, dict) and isinstance(entry.get("val", {}), dict)]
    if len(good) < len(entries):
        record.faults.append(
            f"{record.folder / 'history.json'}: {len(entries) - len(good)} of its {len(entries)} entries are no epochs "
            "and were left out."
        )
    record.history = good
    return record


def _content(record: Record, name: str, kind: type):
    """What a YAML or JSON file holds, or None with a fault if it cannot be read.

    A missing history is a fault only of a run without a configuration: a new run has none before its first epoch ends.
    """
    file = record.folder / name
    try:
        text = file.read_text(encoding="utf-8")
        content = json.loads(text) if file.suffix == ".json" else read_yaml(text)
    except FileNotFoundError:
        if name == "config.yaml":
            record.faults.append(f"{file}: not there, so what was asked of this run is unknown.")
        return None
    except (OSError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:120]
        record.faults.append(f"{file}: cannot be read ({reason}); the run is shown without it.")
        return None
    if not isinstance(content, kind):
        record.faults.append(f"{file}: holds no {'list of epochs' if kind is list else 'options'}; it was left out.")
        return None
    return content


def find(places: list[Path]) -> list[Record]:
    """The runs in these folders and in the folders below them, each once, in the order of their paths.

    RunError for a place that is no folder, or if none of them holds a run.
    """
    folders = set()
    for place in map(Path, places):
        if not place.is_dir():
            raise RunError(f"{place}: no such folder; name the one in which the runs lie.")
        folders |= {file.parent for mark in MARKS for file in place.rglob(mark)}
    if not folders:
        raise RunError(f"{', '.join(map(str, places))}: no run lies there; `seglib train` makes one.")
    return [read(folder) for folder in sorted(folders)]


def differences(records: list[Record]) -> list[str]:
    """The options that differ between the runs, PLACES left out, in the order of the configuration."""
    described = [record.options for record in records if record.options]
    names = list(dict.fromkeys(name for options in described for name in options))
    return [name for name in names if name not in PLACES and len({shown(o.get(name)) for o in described}) > 1]


def table(records: list[Record], width: int = 120) -> str:
    """The runs, the best first: state, minutes, scores of the best epoch, then the options that differ.

    Where the columns need more than `width` letters, they go on below, again beginning with the runs' names.
    """
    ranked = sorted(records, key=lambda r: (-r.best["val"][r.metric] if r.best else 1, str(r.folder)))
    scores = [s for s in SCORES if any(r.best and is_number(r.best["val"].get(s)) for r in ranked)]
    options = differences(ranked)
    rows = []
    for record in ranked:
        val, best = (record.best or {}).get("val", {}), record.best
        epoch = best["epoch"] + 1 if best and is_number(best.get("epoch")) else None
        rows.append(
            [str(record.folder), record.state, f"{record.minutes:.1f}"]
            + [f"{val[name]:.4f}" if is_number(val.get(name)) else "-" for name in scores]
            + [shown(epoch)] * bool(scores)
            + [shown(record.options.get(name)) for name in options]
        )
    heads = ["run", "state", "minutes", *scores, *["at epoch"] * bool(scores), *short_names(options)]
    return aligned(heads, rows, width)


def short_names(options: list[str]) -> list[str]:
    """Each option by its last word, where no other of them ends in the same."""
    last = [name.rpartition(".")[2] for name in options]
    return [word if last.count(word) == 1 else name for word, name in zip(last, options, strict=True)]


def shown(value: object) -> str:
    """A value for a table."""
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def aligned(heads: list[str], rows: list[list[str]], width: int = 120) -> str:
    """Columns side by side, two blanks between; those that exceed `width` go into further blocks.

    Every block begins with the first column.
    """
    widths = [max(len(row[i]) for row in [heads, *rows]) for i in range(len(heads))]
    blocks: list[list[int]] = [[]]
    for i in range(1, len(heads)):
        if blocks[-1] and widths[0] + sum(widths[j] + 2 for j in [*blocks[-1], i]) > width:
            blocks.append([])
        blocks[-1].append(i)
    return "\n\n".join(
        "\n".join("  ".join(row[i].ljust(widths[i]) for i in [0, *block]).rstrip() for row in [heads, *rows])
        for block in blocks
    )
