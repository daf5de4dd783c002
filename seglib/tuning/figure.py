"""The figure of a hyperparameter search: scores by trial, importances, and scores by option."""

from math import log10

from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from ..visualize.style import (
    BLUE,
    GRAY,
    INK,
    LIGHT_GRAY,
    ORANGE,
    SCORE_NAMES,
    WIDTH,
    NotebookFigure,
    VisualizeError,
    add_title,
    figure_style,
    format_score,
    printable,
)

_MAX_OPTIONS = 4  # that get a chart, the most important ones


@figure_style()
def search_figure(summary: dict) -> NotebookFigure:
    """Show the scores of a search trial by trial, the importances of the options, and the scores by option.

    Args:
        summary: What `seglib.tuning.search` returns and writes as trials.json.

    Raises:
        VisualizeError: If no trial has a score.
    """
    trials = [trial for trial in summary["trials"] if trial["score"] is not None]
    if not trials:
        raise VisualizeError("no trial of the search has a score: there is nothing to show")
    importances = summary["importances"]
    ranked = sorted(summary["space"], key=lambda name: -importances.get(name, 0))[:_MAX_OPTIONS]
    figure = NotebookFigure(figsize=(WIDTH, 5.4), layout="constrained")
    upper, lower = figure.subfigures(2, 1)
    left, right = upper.subplots(1, 2, width_ratios=(1.3, 1))
    _plot_trials(left, summary)
    _plot_importances(right, summary)
    for axes, name in zip(lower.subplots(1, len(ranked), sharey=True, squeeze=False)[0], ranked, strict=True):
        _plot_option(axes, name, trials, summary["space"][name])
    lower.supylabel(printable(_metric(summary)), color=GRAY, fontsize=8.5)
    return figure


def _metric(summary: dict) -> str:
    return SCORE_NAMES.get(summary["metric"], summary["metric"])


def _plot_trials(axes, summary: dict) -> None:
    trials, best, best_so_far = summary["trials"], None, []
    for trial in trials:
        if trial["state"] == "complete":
            best = trial["score"] if best is None else max(best, trial["score"])
            best_so_far.append((trial["number"], best))
    _plot_points(axes, [(trial["number"], trial) for trial in trials if trial["score"] is not None])
    if best_so_far:
        axes.step(*zip(*best_so_far, strict=True), where="post", color=ORANGE, zorder=1)
    failed = [trial["number"] for trial in trials if trial["state"] == "failed"]
    axes.plot(failed, [0.03] * len(failed), "x", color=INK, transform=axes.get_xaxis_transform(), markersize=5)
    counts = [(sum(t["state"] == state for t in trials), state) for state in ("complete", "pruned", "failed")]
    detail = ", ".join(f"{count} {state}" for count, state in counts if count)
    add_title(axes, f"Best {_metric(summary)} so far: {format_score(best)}", f"{detail} (hollow: pruned, x: failed)")
    axes.set(xlabel="trial", ylabel=printable(_metric(summary)))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    axes.grid(axis="y")


def _plot_points(axes, points: list[tuple[object, dict]]) -> None:
    """Plot (x, trial): filled circles for complete trials, hollow ones for pruned trials."""
    for state, style in (("complete", {"color": BLUE}), ("pruned", {"color": LIGHT_GRAY, "markerfacecolor": "none"})):
        xs, ys = [x for x, t in points if t["state"] == state], [t["score"] for _, t in points if t["state"] == state]
        axes.plot(xs, ys, "o", markersize=4.5, **style)


def _plot_importances(axes, summary: dict) -> None:
    importances = sorted(summary["importances"].items(), key=lambda item: item[1])
    complete = sum(trial["state"] == "complete" for trial in summary["trials"])
    add_title(axes, "Importance of the options", f"share of the score's variance, from {complete} complete trials")
    if not importances:
        axes.text(0.5, 0.5, "too few complete trials", ha="center", color=GRAY, transform=axes.transAxes)
        axes.set_axis_off()
        return
    axes.barh(range(len(importances)), [share for _, share in importances], 0.62, color=BLUE)
    for row, (_, share) in enumerate(importances):
        axes.text(share + 0.015, row, f"{100 * share:.0f}%", va="center", color=INK)
    axes.set_yticks(range(len(importances)), [printable(name) for name, _ in importances], color=INK)
    axes.set(xlim=(0, 1.12 * max(share for _, share in importances) + 0.03), xticks=[])
    axes.tick_params(axis="y", length=0)
    axes.spines["bottom"].set_visible(False)


def _plot_option(axes, name: str, trials: list[dict], entry: dict) -> None:
    """Plot the scores over the values of one option."""
    if "choices" in entry:
        choices = entry["choices"]
        _plot_points(
            axes, [(choices.index(t["options"][name]), t) for t in trials if t["options"].get(name) in choices]
        )
        axes.set_xticks(range(len(choices)), [printable(choice) for choice in choices])
        axes.set_xlim(-0.6, len(choices) - 0.4)
    else:
        _plot_points(axes, [(trial["options"][name], trial) for trial in trials if name in trial["options"]])
        low, high = entry["low"], entry["high"]
        if entry.get("log"):
            margin = (high / low) ** 0.05
            axes.set(xscale="log", xlim=(low / margin, high * margin))
            subs = (1, 2, 5) if log10(high / low) < 1.5 else (1,)
            axes.xaxis.set_major_locator(LogLocator(subs=subs, numticks=6))
            axes.xaxis.set_major_formatter("{x:g}")
            axes.xaxis.set_minor_locator(NullLocator())
        else:
            axes.set_xlim(low - 0.05 * (high - low), high + 0.05 * (high - low))
            axes.xaxis.set_major_locator(MaxNLocator(nbins=4))
    axes.set_xlabel(printable(name))
    axes.grid(axis="y")
