"""Draw the figure of a hyperparameter search: scores by trial, importances, and scores by option."""

import numpy as np

from seglib.visualize import VisualizeError, style
from seglib.visualize.style import NotebookFigure, add_title, figure_style, format_score, printable

from ..figures.training import SCORE_NAMES

_MAX_OPTIONS = 4  # maximum number of options, the most important ones, against which scores are plotted
_STATES = {"complete": {"color": style.BLUE}, "pruned": {"color": style.LIGHT_GRAY, "markerfacecolor": "none"}}


@figure_style()
def search_figure(summary: dict) -> NotebookFigure:
    """Show the score of every trial, the importances of the options, and the scores by option.

    Args:
        summary: The dictionary that `course.tuning.search` returns and writes to trials.json.

    Raises:
        VisualizeError: If no trial has a score.
    """
    trials = [trial for trial in summary["trials"] if trial["score"] is not None]
    if not trials:
        raise VisualizeError("no trial of the search has a score: there is nothing to show")
    importances = summary["importances"]
    options = sorted(summary["space"], key=lambda name: -importances.get(name, 0))[:_MAX_OPTIONS]
    metric = printable(SCORE_NAMES.get(summary["metric"], summary["metric"]))
    figure = NotebookFigure(figsize=(style.WIDTH, 5.4), layout="constrained")
    upper, lower = figure.subfigures(2, 1)
    left, right = upper.subplots(1, 2, width_ratios=(1.3, 1))
    _plot_trials(left, [trial["number"] for trial in trials], trials)
    complete = [trial for trial in trials if trial["state"] == "complete"]
    best = np.maximum.accumulate([trial["score"] for trial in complete])
    left.step([trial["number"] for trial in complete], best, where="post", color=style.ORANGE, zorder=1)
    counts = f"{len(complete)} of {len(summary['trials'])} trials complete (hollow: pruned)"
    add_title(left, f"Best {metric} so far: {format_score(best[-1] if complete else None)}", counts)
    left.set(xlabel="trial", ylabel=metric)
    add_title(
        right,
        "Importance of the hyperparameters",
        "fraction of the score's variance" if importances else "too few trials",
    )
    shares = sorted(importances.items(), key=lambda item: item[1])
    bars = right.barh([printable(name) for name, _ in shares], [share for _, share in shares], color=style.BLUE)
    right.bar_label(bars, fmt="{:.0%}", padding=2)
    for axes, name in zip(lower.subplots(1, len(options), sharey=True, squeeze=False)[0], options, strict=True):
        _plot_option(axes, name, trials, summary["space"][name])
    lower.supylabel(metric, color=style.GRAY, fontsize=8.5)
    return figure


def _plot_trials(axes, xs: list, trials: list[dict]) -> None:
    """Plot scores against `xs`, with filled circles for complete trials and hollow circles for pruned trials."""
    for state, line in _STATES.items():
        points = [(x, trial["score"]) for x, trial in zip(xs, trials, strict=True) if trial["state"] == state]
        axes.plot([x for x, _ in points], [y for _, y in points], "o", markersize=4.5, **line)
    axes.grid(axis="y")


def _plot_option(axes, name: str, trials: list[dict], entry: dict) -> None:
    """Plot the scores against the values of the option `name`, whose entry in the search space is `entry`."""
    trials = [trial for trial in trials if name in trial["options"]]
    values = [trial["options"][name] for trial in trials]
    if "choices" in entry:
        values = [entry["choices"].index(value) for value in values]
        axes.set_xticks(range(len(entry["choices"])), [printable(choice) for choice in entry["choices"]])
    elif entry.get("log"):
        axes.set_xscale("log")
    _plot_trials(axes, values, trials)
    axes.set_xlabel(printable(name))
