"""Many training runs in one figure: their curves together, and a search for good options."""

from collections.abc import Mapping, Sequence
from math import isfinite, log10
from pathlib import Path

from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from ..files import write_atomically
from .progress import SCORE_NAMES
from .style import (
    AMBER,
    BLUE,
    FAINT,
    INK,
    ORANGE,
    QUIET,
    WIDTH,
    Picture,
    VisualizeError,
    drawing_style,
    head,
    plain,
    three,
)

_COLOURS = (BLUE, ORANGE, AMBER, QUIET, INK)
_DASHES = ("-", (0, (4, 2)), (0, (1, 1.5)))  # with five colours enough for fifteen runs
_SHOWN = 4  # options whose scores are drawn, the most important ones


def save(figure: Picture, file: Path | str) -> None:
    """Write a figure as PNG, atomically.  VisualizeError for another ending, OSError if it cannot be written."""
    if Path(file).suffix.lower() != ".png":
        raise VisualizeError(f"{file}: a figure is written as PNG, so its name must end in .png")
    write_atomically(Path(file), lambda stream: figure.savefig(stream, format="png"))


def _measured(entries: Sequence[dict], value) -> tuple[list[int], list[float]]:
    """Epochs, counted from 1, and those of their values that are numbers."""
    points = [(entry.get("epoch"), value(entry)) for entry in entries]
    points = [(e + 1, v) for e, v in points if isinstance(e, int) and isinstance(v, int | float) and isfinite(v)]
    return [e for e, _ in points], [v for _, v in points]


@drawing_style()
def compared_runs(histories: Mapping[str, Sequence[dict]], score: str = "miou") -> Picture:
    """Training loss and the val `score` by epoch, a line a run; {name: history as training returns it}.

    Runs without an epoch are left out.  VisualizeError if none has any, or none was measured by `score`.
    """
    losses = {name: _measured(entries, lambda e: e.get("loss")) for name, entries in histories.items()}
    scores = {
        name: _measured(entries, lambda e: (e.get("val") or {}).get(score)) for name, entries in histories.items()
    }
    if not any(xs for xs, _ in losses.values()):
        raise VisualizeError("none of the runs has finished an epoch: there is nothing to draw yet")
    if not any(xs for xs, _ in scores.values()):
        known = sorted({name for entries in histories.values() for entry in entries for name in entry.get("val") or {}})
        raise VisualizeError(f"no run has the val score '{score}'; they have: {', '.join(known) or 'none yet'}")
    names = [name for name in histories if losses[name][0] or scores[name][0]]
    figure = Picture(figsize=(WIDTH, 2.9 + 0.17 * len(names)), layout="constrained")
    panels = figure.subplots(1, 2)
    for number, name in enumerate(names):
        look = {"color": _COLOURS[number % 5], "linestyle": _DASHES[number // 5 % 3]}
        for axes, (xs, ys) in zip(panels, (losses[name], scores[name]), strict=True):
            axes.plot(xs, ys, marker="o" if len(xs) < 3 else "", markersize=3, label=plain(name), **look)
    for axes, title in zip(panels, ("Training loss", f"Validation {SCORE_NAMES.get(score, score)}"), strict=True):
        head(axes, title)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        axes.grid(axis="y")
    lines, labels = panels[0].get_legend_handles_labels()
    figure.legend(lines, labels, loc="outside lower left", handlelength=2.2, borderaxespad=0.8)
    return figure


@drawing_style()
def search(summary: dict) -> Picture:
    """A search for good options: the scores trial by trial, what mattered, and the scores by option.

    `summary` is what `seglib.tune.search` returns and writes as trials.json.  VisualizeError if it has no trial with
    a score.
    """
    trials = [trial for trial in summary["trials"] if trial["score"] is not None]
    if not trials:
        raise VisualizeError("no trial of the search has a score: there is nothing to draw")
    weights = summary["importances"]
    ranked = sorted(summary["space"], key=lambda name: -weights.get(name, 0))[:_SHOWN]
    figure = Picture(figsize=(WIDTH, 5.4), layout="constrained")
    upper, lower = figure.subfigures(2, 1)
    left, right = upper.subplots(1, 2, width_ratios=(1.3, 1))
    _trial_by_trial(left, summary)
    _importances(right, summary)
    for axes, name in zip(lower.subplots(1, len(ranked), sharey=True, squeeze=False)[0], ranked, strict=True):
        _by_option(axes, name, trials, summary["space"][name])
    lower.supylabel(plain(_metric(summary)), color=QUIET, fontsize=8.5)
    return figure


def _metric(summary: dict) -> str:
    return SCORE_NAMES.get(summary["metric"], summary["metric"])


def _trial_by_trial(axes, summary: dict) -> None:
    trials, best, so_far = summary["trials"], None, []
    for trial in trials:
        if trial["state"] == "complete":
            best = trial["score"] if best is None else max(best, trial["score"])
            so_far.append((trial["number"], best))
    _dots(axes, [(trial["number"], trial) for trial in trials if trial["score"] is not None])
    if so_far:
        axes.step(*zip(*so_far, strict=True), where="post", color=ORANGE, zorder=1)
    lost = [trial["number"] for trial in trials if trial["state"] == "failed"]
    axes.plot(lost, [0.03] * len(lost), "x", color=INK, transform=axes.get_xaxis_transform(), markersize=5)
    counts = [(sum(t["state"] == state for t in trials), state) for state in ("complete", "pruned", "failed")]
    detail = ", ".join(f"{count} {state}" for count, state in counts if count)
    head(axes, f"Best {_metric(summary)} so far: {three(best)}", f"{detail} (hollow: pruned, x: failed)")
    axes.set(xlabel="trial", ylabel=plain(_metric(summary)))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    axes.grid(axis="y")


def _dots(axes, placed: list[tuple[object, dict]]) -> None:
    for state, look in (("complete", {"color": BLUE}), ("pruned", {"color": FAINT, "markerfacecolor": "none"})):
        points = [(x, trial["score"]) for x, trial in placed if trial["state"] == state]
        axes.plot([x for x, _ in points], [y for _, y in points], "o", markersize=4.5, **look)


def _importances(axes, summary: dict) -> None:
    weights = sorted(summary["importances"].items(), key=lambda item: item[1])
    complete = sum(trial["state"] == "complete" for trial in summary["trials"])
    head(axes, "What mattered", f"share of the score's variance, from {complete} complete trials")
    if not weights:
        axes.text(0.5, 0.5, "too few complete trials to tell", ha="center", color=QUIET, transform=axes.transAxes)
        axes.set_axis_off()
        return
    axes.barh(range(len(weights)), [share for _, share in weights], 0.62, color=BLUE)
    for row, (_, share) in enumerate(weights):
        axes.text(share + 0.015, row, f"{100 * share:.0f}%", va="center", color=INK)
    axes.set_yticks(range(len(weights)), [plain(name) for name, _ in weights], color=INK)
    axes.set(xlim=(0, 1.12 * max(share for _, share in weights) + 0.03), xticks=[])
    axes.tick_params(axis="y", length=0)
    axes.spines["bottom"].set_visible(False)


def _by_option(axes, name: str, trials: list[dict], entry: dict) -> None:
    """The scores over one option's values; choices stand side by side in their order."""
    if "choices" in entry:
        choices = entry["choices"]
        _dots(axes, [(choices.index(t["options"][name]), t) for t in trials if t["options"].get(name) in choices])
        axes.set_xticks(range(len(choices)), [plain(choice) for choice in choices])
        axes.set_xlim(-0.6, len(choices) - 0.4)
    else:
        _dots(axes, [(trial["options"][name], trial) for trial in trials if name in trial["options"]])
        low, high = entry["low"], entry["high"]
        if entry.get("log"):
            stretch = (high / low) ** 0.05
            axes.set(xscale="log", xlim=(low / stretch, high * stretch))
            subs = (1, 2, 5) if log10(high / low) < 1.5 else (1,)
            axes.xaxis.set_major_locator(LogLocator(subs=subs, numticks=6))
            axes.xaxis.set_major_formatter("{x:g}")
            axes.xaxis.set_minor_locator(NullLocator())
        else:
            axes.set_xlim(low - 0.05 * (high - low), high + 0.05 * (high - low))
            axes.xaxis.set_major_locator(MaxNLocator(nbins=4))
    axes.set_xlabel(plain(name))
    axes.grid(axis="y")
