"""What came of a search: a summary for JSON, a table, a figure, and the best trial as a configuration."""

import json
from dataclasses import fields, is_dataclass
from pathlib import Path

from .. import files, runs, visualize
from ..config import Config
from .figure import search_figure
from .space import Space, flow, with_options

ENOUGH = 4  # complete trials from which importances are estimated; with fewer they are noise
STATES = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running", "WAITING": "waiting"}


def summarize(optuna, study, config: Config, space: Space, folder: Path) -> dict:
    """The search, ready for JSON.

    `metric`; `space`, {option: {low, high, log} or {choices}}; `trials`, each with number, state (complete, pruned,
    failed), score (None if it has none), epochs, minutes, options and reason (why it failed); `importances`, {option:
    share of the variance of the score}, the largest first, by functional ANOVA over the complete trials
    (Hutter, Hoos and Leyton-Brown, ICML 2014), empty if these are fewer than ENOUGH or all alike.
    """
    found = []
    for frozen in study.trials:
        if frozen.state.is_finished():
            found.append(_trial(frozen, space, folder))
    complete = [trial["score"] for trial in found if trial["state"] == "complete"]
    importances = {}
    if len(complete) >= ENOUGH and len(set(complete)) > 1:
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=config.seed)
        importances = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {
        "metric": config.metric,
        "space": {path: entry.to_dict() for path, entry in space.items()},
        "trials": found,
        "importances": {path: float(share) for path, share in importances.items()},
    }


def _trial(frozen, space: Space, folder: Path) -> dict:
    record = runs.read(folder / f"trial-{frozen.number:03d}")
    last = max(frozen.intermediate_values, default=None)
    score = frozen.value if frozen.value is not None else frozen.intermediate_values.get(last)
    return {
        "number": frozen.number,
        "state": STATES[frozen.state.name],
        "score": score,
        "epochs": len(record.history),
        "minutes": record.minutes,
        "options": {path: space[path].value(key) for path, key in frozen.params.items()},
        "reason": frozen.user_attrs.get("reason", ""),
    }


def best(summary: dict) -> dict | None:
    """The complete trial with the highest score, None if there is none."""
    complete = [trial for trial in summary["trials"] if trial["state"] == "complete"]
    return max(complete, key=lambda trial: trial["score"], default=None)


def table(summary: dict, width: int = 120) -> str:
    """The trials, the best first; pruned ones after those that reached their end."""
    order = list(STATES.values())
    ranked = sorted(summary["trials"], key=lambda t: (order.index(t["state"]), -(t["score"] or 0), t["number"]))
    rows = [
        [str(t["number"]), t["state"], "-" if t["score"] is None else f"{t['score']:.4f}"]
        + [str(t["epochs"]), f"{t['minutes']:.1f}"]
        + [runs.shown(t["options"].get(path)) for path in summary["space"]]
        for t in ranked
    ]
    heads = ["trial", "state", summary["metric"], "epochs", "minutes", *runs.short_names(list(summary["space"]))]
    return runs.aligned(heads, rows, width)


def best_yaml(summary: dict, config: Config, space: Space, folder: Path | str) -> str:
    """The best trial as a configuration file: what differs from the defaults, and what was searched, with comments."""
    chosen, first = best(summary), summary["trials"][0]
    wanted = with_options(config, {**chosen["options"], "output_dir": f"{config.output_dir}-tuned"})
    before = ""
    if first["state"] == "complete" and first is not chosen and first["options"] == _own(config, space):
        before = f"; without the search it was {first['score']:.4f}"
    lines = [
        f"# The best of {len(summary['trials'])} trials of the search in {folder}: trial {chosen['number']}, "
        f"val {summary['metric']} {chosen['score']:.4f}{before}.",
        "# It was chosen by that score, which therefore flatters it a little.",
        f"#     seglib train {Path(folder) / 'best.yaml'}",
    ]
    old = _own(config, space)
    notes = {path: f"searched: {entry}; it was {flow(old[path])}" for path, entry in space.items()}
    return "\n".join(lines + _differing(wanted, Config(), notes, "", "")) + "\n"


def _own(config: Config, space: Space) -> dict:
    """What `config` itself has for the options of the space; None for entries of dictionaries that it lacks."""
    found = {}
    for path in space:
        value = config
        for name in path.split("."):
            value = value.get(name) if isinstance(value, dict) else getattr(value, name)
        found[path] = value
    return found


def _differing(part, default, notes: dict[str, str], prefix: str, indent: str) -> list[str]:
    """Lines of YAML for the options of `part` that are not as in `default`, or have notes."""
    lines = []
    for option in fields(part):
        value, usual, path = getattr(part, option.name), getattr(default, option.name), prefix + option.name
        if is_dataclass(value):
            deeper = _differing(value, usual, notes, f"{path}.", indent + "  ")
            lines += [f"{indent}{option.name}:", *deeper] if deeper else []
            continue
        own = {name: note for name, note in notes.items() if name == path or name.startswith(f"{path}.")}
        if own or value != usual:
            plain = list(value) if isinstance(value, tuple) else value
            lines += [f"{indent}# {'' if name == path else f'{name}: '}{note}" for name, note in own.items()]
            lines.append(f"{indent}{option.name}: {flow(plain)}")
    return lines


def write(summary: dict, config: Config, space: Space, folder: Path | str) -> None:
    """`trials.json`, `search.png` and `best.yaml` of a search with a complete trial, into its folder."""
    folder = Path(folder)
    files.write_text(folder / "trials.json", json.dumps(summary, indent=1) + "\n")
    files.write_text(folder / "best.yaml", best_yaml(summary, config, space, folder))
    visualize.save(search_figure(summary), folder / "search.png")
