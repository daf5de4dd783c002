"""Write the results of a search: a summary as JSON, a table, a figure, and the configuration of the best trial."""

import json
from pathlib import Path

import yaml

from seglib import files, visualize
from seglib.config import Config, config_to_dict

from .. import runs
from .figure import search_figure
from .space import Space, get_option, to_yaml_line, with_options

ENOUGH = 4  # with fewer complete trials, importances are not estimated because they would be noise
STATES = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running", "WAITING": "waiting"}


def summarize(optuna, study, config: Config, space: Space, folder: Path) -> dict:
    """Summarize a search as a dictionary that can be written as JSON.

    Returns:
        A dictionary with these keys:

        - `metric`: The name of the score.
        - `space`: {option: {low, high, log} or {choices}}.
        - `trials`: For each trial, its number, state (complete, pruned, failed), score (or None), epochs, minutes,
          options, and the reason for a failure.
        - `importances`: {option: fraction of the variance of the score}, the largest first. They are computed by
          functional ANOVA over the complete trials (Hutter, Hoos and Leyton-Brown, ICML 2014). The dictionary is empty
          if there are fewer than ENOUGH complete trials or all scores are equal.
    """
    trials = [_summarize_trial(frozen, space, folder) for frozen in study.trials if frozen.state.is_finished()]
    complete = [trial["score"] for trial in trials if trial["state"] == "complete"]
    importances = {}
    if len(complete) >= ENOUGH and len(set(complete)) > 1:
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=config.seed)
        importances = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {
        "metric": config.metric,
        "space": {path: entry.to_dict() for path, entry in space.items()},
        "trials": trials,
        "importances": {path: float(share) for path, share in importances.items()},
    }


def _summarize_trial(frozen, space: Space, folder: Path) -> dict:
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
    """Return the complete trial with the highest score, or None."""
    complete = [trial for trial in summary["trials"] if trial["state"] == "complete"]
    return max(complete, key=lambda trial: trial["score"], default=None)


def table(summary: dict, width: int = 120) -> str:
    """Return the trials as a text table, sorted by score, with pruned and failed trials at the end."""
    order = list(STATES.values())
    ranked = sorted(summary["trials"], key=lambda t: (order.index(t["state"]), -(t["score"] or 0), t["number"]))
    rows = []
    for t in ranked:
        score, minutes = "-" if t["score"] is None else f"{t['score']:.4f}", f"{t['minutes']:.1f}"
        options = [runs.format_value(t["options"].get(path)) for path in summary["space"]]
        rows.append([str(t["number"]), t["state"], score, str(t["epochs"]), minutes, *options])
    heads = ["trial", "state", summary["metric"], "epochs", "minutes", *runs.shorten_names(list(summary["space"]))]
    return runs.align_columns(heads, rows, width)


def best_yaml(summary: dict, config: Config, space: Space, folder: Path | str) -> str:
    """Return the configuration of the best trial as YAML.

    The file contains only the options that differ from the defaults. Comments describe the search.
    """
    chosen, first = best(summary), summary["trials"][0]
    before = {path: get_option(config, path) for path in space}
    without = ""
    if first["state"] == "complete" and first is not chosen and first["options"] == before:
        without = f"; without the search it was {first['score']:.4f}"
    lines = [
        f"# The best of {len(summary['trials'])} trials of the search in {folder}: trial {chosen['number']}, "
        f"val {summary['metric']} {chosen['score']:.4f}{without}.",
        "# It was chosen by that score, so the score is slightly too good.",
        f"#     seglib train {Path(folder) / 'best.yaml'}",
    ]
    lines += [f"# {path}: searched: {entry}; it was {to_yaml_line(before[path])}" for path, entry in space.items()]
    changed = with_options(config, {**chosen["options"], "output_dir": f"{config.output_dir}-tuned"})
    values = _find_changes(config_to_dict(changed), config_to_dict(Config()))
    if changed.model.init_from:  # without an explicit rate, `load_config` lowers the default for pre-trained weights
        values.setdefault("optimizer", {}).setdefault("lr", changed.optimizer.lr)
    return "\n".join(lines) + "\n" + yaml.safe_dump(values, sort_keys=False, default_flow_style=None, width=110)


def _find_changes(values: dict, defaults: dict) -> dict:
    """Return the nested values that differ from the defaults. A dictionary with other keys is returned as a whole."""
    changes = {}
    for name, value in values.items():
        default = defaults.get(name)
        if isinstance(value, dict) and isinstance(default, dict) and value.keys() == default.keys():
            value, default = _find_changes(value, default), {}
        if value != default:
            changes[name] = value
    return changes


def write(summary: dict, config: Config, space: Space, folder: Path | str) -> None:
    """Write `trials.json`, `search.png` and `best.yaml` into the folder of a search that has a complete trial."""
    folder = Path(folder)
    files.write_text(folder / "trials.json", json.dumps(summary, indent=1) + "\n")
    files.write_text(folder / "best.yaml", best_yaml(summary, config, space, folder))
    visualize.save(search_figure(summary), folder / "search.png")
