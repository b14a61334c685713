"""Draws one turn of the loop: its steps, the share of wrong answers, the index of drift, and who was right."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from experiments.own_digits.slanted import Drawn
from tests.support.learning_loop.findings import BIN_SECONDS, Findings, Series
from training.evaluation.plots import saved

_OLD, _NEW, _GREY, _RED, _PALE = "#d9722b", "#2563a8", "#6b7280", "#b3261e", "#e5e7eb"
_FEATURES = ("#0f766e", "#7c3aed", "#b45309", "#be185d", "#15803d")  # of those that the alert fired for
_BIN_MINUTES, _FEWEST = 1.0, 50  # of the share of wrong answers; pictures below which none is drawn
_GAP_SECONDS = 15.0  # between two points of a line: none is drawn over more, as a server that starts has no index
_LEAST_INDEX = 0.05  # that is drawn: 0.1 is nothing
_ALERT_ABOVE = 1.0  # expression of DigitsInputChanged
_LEARNED, _MISSED, _APART = 10, 4, 0.5  # pictures that are shown, and the gap between both kinds
_NARROW = 0.07  # share of the width below which the name of a step stands upright


def draw(found: Findings, fresh: Sequence[Drawn], path: Path) -> None:
    """Write the chart as PNG. `found`: of a turn that came to its end; `fresh`: the pictures that it has answers to."""
    with saved(path, 10.5, 9.4) as figure:
        panels = figure.subplot_mosaic(
            [
                ["steps", "steps"],
                ["wrong", "wrong"],
                ["drift", "drift"],
                ["shares", "shadow"],
                ["pictures", "pictures"],
            ],
            height_ratios=[0.75, 2.1, 2.1, 1.5, 1.1],
        )
        end = found.stages["promoted"] / 60
        for name in ("steps", "wrong", "drift"):
            panels[name].set_xlim(0, end)
        _draw_steps(panels["steps"], found, end)
        _draw_wrong(panels["wrong"], found)
        _draw_drift(panels["drift"], found)
        panels["drift"].set_xlabel("minutes")
        panels["wrong"].tick_params(labelbottom=False)
        for moment in _moments(found):
            for name in ("wrong", "drift"):
                panels[name].axvline(moment, color=_GREY, linewidth=0.6, linestyle=":")
        _draw_shares(panels["shares"], found)
        _draw_shadow(panels["shadow"], found)
        _draw_pictures(panels["pictures"], found, fresh)


def steps(found: Findings) -> list[tuple[str, float, float, str]]:
    """Name, begin and end in minutes, and colour of each; the name of labelling is empty, as it takes seconds."""
    stages = found.stages
    named = [("ordinary", 0.0, stages["ordinary"], _PALE), ("new handwriting", stages["ordinary"], stages["alert"], "")]
    before = stages["alert"]
    for each in found.attempts:
        named.append(("", before, each.began, "#818cf8"))
        outcome = "refused" if each.version is None else f"version {each.version} written"
        name = f"{each.pictures} labelled, {each.wrong} of them wrong\nadapting: {outcome}"
        named.append((name, each.began, each.ended, "#dbeafe"))
        before = each.ended
    for name, colour in (("shadow", "#e9d5ff"), ("canary", "#fde68a"), ("promoted", "#bbf7d0")):
        named.append((name, before, stages[name], colour))
        before = stages[name]
    return [(name, begin / 60, end / 60, colour or "#fecaca") for name, begin, end, colour in named]


def _moments(found: Findings) -> list[float]:
    """Minutes at which a step ends."""
    return [end for _, _, end, _ in steps(found)][:-1]


def _draw_steps(axes: Axes, found: Findings, end: float) -> None:
    for name, begin, until, colour in steps(found):
        axes.axvspan(begin, until, color=colour, linewidth=0)
        is_narrow = until - begin < _NARROW * end
        middle, rotation = (begin + until) / 2, 90 if is_narrow else 0
        axes.text(
            middle,
            0.5,
            name.rsplit("\n", 1)[-1] if is_narrow else name,
            ha="center",
            va="center",
            rotation=rotation,
            fontsize=9,
        )
    axes.set(ylim=(0, 1), yticks=[], title="One turn of the loop")
    axes.spines[:].set_visible(False)
    axes.tick_params(bottom=False, labelbottom=False)


def _draw_wrong(axes: Axes, found: Findings) -> None:
    bins: dict[int, dict[int, list[tuple[int, int, int]]]] = defaultdict(lambda: defaultdict(list))
    for start, version, count, wrong in found.answers:
        bins[version][int(start / 60 // _BIN_MINUTES)].append((start, count, wrong))
    for version, colour in zip(sorted(bins), (_OLD, _NEW), strict=False):
        enough = [each for _, each in sorted(bins[version].items()) if sum(count for _, count, _ in each) >= _FEWEST]
        counts = np.array([[sum(count for _, count, _ in each), sum(wrong for *_, wrong in each)] for each in enough])
        minutes = np.array([np.mean([start + BIN_SECONDS / 2 for start, *_ in each]) / 60 for each in enough])
        shares = counts[:, 1] / counts[:, 0]
        error = np.sqrt(shares * (1 - shares) / counts[:, 0])
        axes.errorbar(minutes, 100 * shares, yerr=100 * error, fmt="o-", color=colour, markersize=4, linewidth=1.5)
        total = counts.sum(axis=0)
        label = f"version {version}: {total[1] / total[0]:.1%} of {total[0]:,} wrong"
        axes.plot([], [], "o-", color=colour, markersize=4, label=label)
    axes.set(title="Wrong answers to writers whom nobody has labelled (±1 sigma)", ylabel="% wrong, each minute")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3, linewidth=0.5)
    axes.legend(frameon=False, loc="lower left")


def _draw_drift(axes: Axes, found: Findings) -> None:
    fired = sorted(found.drift, key=lambda feature: -found.drift[feature])
    colours = dict(zip(fired, _FEATURES, strict=False))
    for name, series in found.index.items():
        feature = name.rsplit(" ", 1)[0]
        minutes, values = _with_gaps(series)
        is_fired = feature in colours
        axes.plot(
            *(minutes, values), color=colours.get(feature, "#9ca3af"), linewidth=1.6 if is_fired else 0.7, zorder=3
        )
    for feature, colour in colours.items():
        axes.plot([], [], color=colour, label=feature)
    if any(name.rsplit(" ", 1)[0] not in colours for name in found.index):
        axes.plot([], [], color="#9ca3af", linewidth=0.7, label="other features")
    axes.axhline(_ALERT_ABOVE, color=_RED, linewidth=0.8, linestyle="--")
    firing = sorted({at / 60 for series in found.firing.values() for at, _ in series})
    first = firing[0]
    axes.plot(firing, [_ALERT_ABOVE] * len(firing), "s", color=_RED, markersize=2, zorder=4)
    axes.plot([first], [_ALERT_ABOVE], "v", color=_RED, markersize=9, zorder=4)
    axes.annotate(
        "DigitsInputChanged fires",
        (first, _ALERT_ABOVE),
        xytext=(6, 6),
        textcoords="offset points",
        color=_RED,
        fontsize=9,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.85},
        zorder=5,
    )
    axes.set(title="Drift, against the reference of the version that answers", ylabel="stability index, 5 minutes")
    axes.set(
        yscale="log", ylim=(_LEAST_INDEX, 3 * max(value for series in found.index.values() for _, value in series))
    )
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.grid(alpha=0.3, linewidth=0.5)
    axes.legend(frameon=False, loc="upper left", ncols=6, fontsize=8)


def _with_gaps(series: Series) -> tuple[list[float], list[float]]:
    """Minutes and values, with NaN where nothing was known."""
    minutes, values = [], []
    before = series[0][0]
    for at, value in series:
        if at - before > _GAP_SECONDS:
            minutes.append(at / 60)
            values.append(float("nan"))
        minutes.append(at / 60)
        values.append(value)
        before = at
    return minutes, values


def _draw_shares(axes: Axes, found: Findings) -> None:
    old, new = min(found.canary), max(found.canary)
    bars = [
        (f"before, version {old}", found.fresh, found.wrong["before"], _OLD),
        (f"canary's turn, version {old}", found.canary[old][0], found.canary[old][1], _OLD),
        (f"canary's turn, version {new}", found.canary[new][0], found.canary[new][1], _NEW),
        (f"promoted, version {new}", found.fresh, found.wrong["after"], _NEW),
    ]
    for row, (_, pictures, wrong, colour) in enumerate(bars):
        axes.barh(row, 100 * wrong / pictures, color=colour)
        axes.text(100 * wrong / pictures + 0.3, row, f"{wrong} of {pictures:,}", va="center", fontsize=9)
    axes.set_yticks(range(len(bars)), [name for name, *_ in bars])
    axes.invert_yaxis()
    axes.set_xlim(right=1.25 * max(100 * wrong / pictures for _, pictures, wrong, _ in bars))
    axes.set(title=f"Their {found.fresh:,} pictures, once each", xlabel="% wrong")


def _draw_shadow(axes: Axes, found: Findings) -> None:
    old, new = min(found.canary), max(found.canary)
    bars = [
        ("both", found.judged["both"], "#9ca3af"),
        (f"version {old} alone", found.judged["served"], _OLD),
        (f"version {new} alone", found.judged["candidate"], _NEW),
        ("neither", found.judged["neither"], _PALE),
    ]
    for row, (_, count, colour) in enumerate(bars):
        axes.barh(row, count, color=colour)
        axes.text(count + 0.01 * max(found.judged.values()), row, f"{count:,}", va="center", fontsize=9)
    axes.set_yticks(range(len(bars)), [name for name, *_ in bars])
    axes.invert_yaxis()
    axes.set_xlim(right=1.15 * max(found.judged.values()))
    axes.set(title="Shadow: who was right", xlabel="pictures with feedback")


def _draw_pictures(axes: Axes, found: Findings, fresh: Sequence[Drawn]) -> None:
    """The first pictures that were read wrongly before and rightly after, and those that still are read wrongly."""
    answered = list(zip(fresh, found.answered["before"], found.answered["after"], strict=True))
    learned = [each for each in answered if each[1] != each[0].digit == each[2]][:_LEARNED]
    missed = [each for each in answered if each[1] != each[0].digit != each[2]][:_MISSED]
    for place, (drawn, before, after) in enumerate(learned + missed):
        left = place + _APART * (place >= len(learned))
        axes.imshow(drawn.picture, cmap="gray", vmin=0, vmax=255, extent=(left, left + 0.92, 0, 0.92))
        answers = " → ".join("?" if each < 0 else str(each) for each in (before, after))
        if place >= len(learned):
            answers = f"{drawn.digit}: {answers}"
        axes.text(left + 0.46, -0.08, answers, ha="center", va="top", fontsize=9)
    axes.set(xlim=(0, _LEARNED + _MISSED + _APART), ylim=(-0.4, 1), aspect="equal")
    axes.set_title("Read wrongly before, rightly after" + 31 * " " + "Read wrongly before and after")
    axes.set_axis_off()
