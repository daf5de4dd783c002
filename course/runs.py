"""Read training runs from their folders, and compare their configurations, scores and states.

Neither the network nor the data of a run is loaded.  Incomplete or corrupted folders are read as far as possible.
"""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path

from seglib.config import PLACES, flatten, upgrade_config
from seglib.errors import SeglibError
from seglib.files import read_yaml

RUN_FILES = ("config.yaml", "history.json", "checkpoint.pt")  # a folder that contains any of these files is a run
SCORES = ("miou", "boundary_iou", "pixel_accuracy", "foreground_iou")


class RunError(SeglibError, ValueError):
    """Raised if no runs are found.  The message names the folder and the problem, and says how to fix it."""


@dataclass
class Record:
    """A run that was read from its folder.  `faults` describes each problem with its files in one sentence."""

    folder: Path
    options: dict[str, object] = field(default_factory=dict)  # "optimizer.lr" -> 0.002
    history: list[dict] = field(default_factory=list)
    resumable: bool = False
    faults: list[str] = field(default_factory=list)

    @property
    def metric(self) -> str:
        """The validation score by which the best weights of the run are selected."""
        return str(self.options.get("metric", "miou"))

    @property
    def best(self) -> dict | None:
        """The entry of the history with the best validation score, or None if there is none."""
        return max(
            (entry for entry in self.history if is_number(entry.get("val", {}).get(self.metric))),
            key=lambda entry: entry["val"][self.metric],
            default=None,
        )

    @property
    def minutes(self) -> float:
        """The total training time of the epochs in the history, in minutes, including validation."""
        return sum(entry["seconds"] for entry in self.history if is_number(entry.get("seconds"))) / 60

    @property
    def state(self) -> str:
        """The state (finished, resumable, stopped without a checkpoint, or unknown), and the number of epochs."""
        done, epochs = len(self.history), self.options.get("epochs")
        if not is_number(epochs):
            return f"unknown, {done} epochs"
        if done >= epochs:
            return f"finished, {epochs} epochs"
        return f"{'resumable' if self.resumable else 'stopped'} at epoch {done} of {epochs}"


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def read(folder: Path | str) -> Record:
    """Read the run in `folder`.  Missing or corrupted files do not raise an exception. `faults` lists them."""
    record = Record(Path(folder))
    record.resumable = (record.folder / "checkpoint.pt").is_file()
    record.options = flatten(upgrade_config(_read(record, "config.yaml", dict)))
    entries = _read(record, "history.json", list)
    good = [entry for entry in entries if isinstance(entry, dict) and isinstance(entry.get("val", {}), dict)]
    if len(good) < len(entries):
        record.faults.append(
            f"{record.folder / 'history.json'}: {len(entries) - len(good)} of its {len(entries)} entries are not "
            "epochs and were left out."
        )
    record.history = good
    return record


def _read(record: Record, name: str, kind: type):
    """Read a YAML or JSON file of a run.

    If the file cannot be read, add the problem to `record.faults` and return an empty object of type `kind`.  A missing
    history is not a problem, because a run has no history before the end of its first epoch.
    """
    file = record.folder / name
    try:
        text = file.read_text(encoding="utf-8")
        content = json.loads(text) if file.suffix == ".json" else read_yaml(text)
        if isinstance(content, kind):
            return content
        fault = f"has no {'list of epochs' if kind is list else 'options'}; it was left out."
    except FileNotFoundError:
        fault = "not there, so the options of this run are unknown." if name == "config.yaml" else ""
    except (OSError, ValueError, RecursionError) as error:
        fault = f"cannot be read ({' '.join(str(error).split())[:120]}); the run is shown without it."
    record.faults += [f"{file}: {fault}"] if fault else []
    return kind()


def find(places: list[Path]) -> list[Record]:
    """Read the runs in the folders `places` and in their subfolders, sorted by path.

    Raises:
        RunError: If one of the folders does not exist, or none of them contains a run.
    """
    folders = set()
    for place in map(Path, places):
        if not place.is_dir():
            raise RunError(f"{place}: no such folder; name the one that contains the runs.")
        folders |= {file.parent for name in RUN_FILES for file in place.rglob(name)}
    if not folders:
        raise RunError(f"{', '.join(map(str, places))}: there is no run; start one with `seglib train`.")
    return [read(folder) for folder in sorted(folders)]


def differences(records: list[Record]) -> list[str]:
    """Return the options that differ between the runs, in the order of the configuration, except those in PLACES."""
    runs = [record.options for record in records if record.options]
    names = dict.fromkeys(name for options in runs for name in options if name not in PLACES)
    return [name for name in names if len({format_value(options.get(name)) for options in runs}) > 1]


def table(records: list[Record], width: int = 120) -> str:
    """Return a table of the runs, sorted from the best to the worst score.

    The columns are the state, the training time in minutes, the scores of the best epoch, and the options that differ
    between the runs.  If the table is wider than `width` characters, the remaining columns are put in additional blocks
    below, each of which repeats the paths of the runs.
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
            + [format_value(epoch)] * bool(scores)
            + [format_value(record.options.get(name)) for name in options]
        )
    heads = ["run", "state", "minutes", *scores, *["at epoch"] * bool(scores), *shorten_names(options)]
    return align_columns(heads, rows, width)


def shorten_names(options: list[str]) -> list[str]:
    """Return the last part of each option name, or the full name if the last part is not unique."""
    last = [name.rpartition(".")[2] for name in options]
    return [word if last.count(word) == 1 else name for word, name in zip(last, options, strict=True)]


def format_value(value: object) -> str:
    """Format a value for a table."""
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def align_columns(heads: list[str], rows: list[list[str]], width: int = 120) -> str:
    """Return a text table with aligned columns.

    If the table is wider than `width` characters, the remaining columns are put in additional blocks below.  Every
    block begins with the first column.
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
