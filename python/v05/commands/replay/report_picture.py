"""The report as a picture of four panels; needs matplotlib."""

from textwrap import fill

import numpy as np

from ..pictures import COLOURS, FAINT, INK, MARKERS, check_picture, new_figure, save_figure
from ..printable import printable
from ..tables import NAMES

BINS = 12
LINE = 110  # characters of the headline that are as wide as the picture, at least
STYLE = {
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.titlepad": 12,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.grid": True,
    "grid.color": "#e8ecef",
    "legend.frameon": False,
    "svg.hashsalt": "v05",
}


def draw_report(report, path):
    """Write a `Report` as a picture; the ending of `path` decides the format (.png, .pdf, .svg).

    Error of the baseline by rule and rollouts per visit, log scale, 95 % intervals of the ratio
    to the group mean. What the prior predicted against what the visits showed, in bins of
    equal width, with the fitted line. Mean weight of the group mean against the number of
    earlier visits of the prompt. Rollouts that sequential allocation used against the mean
    reward of the visit.
    """
    check_picture(path)
    from matplotlib import rc_context

    with rc_context(STYLE):
        figure, ((errors, calibration), (weights, allocation)) = new_figure(13, 9.6, 2, 2)
        figure.get_layout_engine().set(w_pad=0.12, h_pad=0.12)
        _draw_errors(errors, report)
        _draw_calibration(calibration, report)
        _draw_weights(weights, report)
        _draw_allocation(allocation, report)
        figure.suptitle(fill(printable(report.sentence), LINE), x=0.012, ha="left", fontsize=13, color=INK)
        save_figure(figure, path)


def _draw_errors(axes, report):
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    sizes = sorted({row.rollouts for row in report.rows})
    for shift, rule in enumerate(NAMES):
        rows = [row for row in report.rows if row.rule == rule and row.applied > 0 and row.error > 0]
        if not rows:
            continue
        mean = [report.row("grpo", row.rollouts).error for row in rows]
        error = np.array([row.error for row in rows])
        low, high = np.transpose([row.relative_interval for row in rows]) * mean
        axes.errorbar(
            [row.rollouts * 1.02 ** (shift - 2) for row in rows],
            error,
            yerr=np.clip([error - low, high - error], 0, None),
            color=COLOURS[rule],
            marker=MARKERS[rule],
            markersize=6,
            linewidth=2.4 if rule in ("v05", "calibrated") else 1.6,
            capsize=3,
            label=NAMES[rule],
        )
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, position: f"{value:g}"))
    axes.set_xlabel("rollouts per visit that the baseline is made from")
    axes.set_ylabel("mean squared error, reward units²")
    axes.set_title("Error of the baseline")
    axes.legend()


def _draw_calibration(axes, report):
    groups = report.scores.groups
    known = ~np.isnan(groups.prior)
    low, high = report.reward_range
    axes.set_title("Is the prior right?")
    axes.set_xlabel("prior")
    axes.set_ylabel("mean reward of the visit")
    axes.plot([low, high], [low, high], color=FAINT, linewidth=1.5, linestyle="--", label="always right")
    if not known.any():
        _say(axes, "no visit has a prior")
        return
    prior, mean = groups.prior[known], groups.mean[known]
    edges = np.linspace(low, high, BINS + 1)
    place = np.clip(np.searchsorted(edges, prior, side="right") - 1, 0, BINS - 1)
    many = np.bincount(place, minlength=BINS)
    filled = many > 0
    many = many[filled]
    x = np.bincount(place, prior, BINS)[filled] / many
    y = np.bincount(place, mean, BINS)[filled] / many
    spread = np.sqrt(np.maximum(np.bincount(place, mean**2, BINS)[filled] / many - y**2, 0) / many)
    health = report.health[report.headline]
    line = np.linspace(low, high, 200)
    fitted = np.clip(health.intercept + health.slope * line, low, high)
    label = f"fitted: slope {health.slope:.2f}, intercept {health.intercept:.3f}"
    axes.plot(line, fitted, color=COLOURS["calibrated"], linewidth=1.6, label=label)
    axes.errorbar(x, y, yerr=2 * spread, fmt="none", ecolor=COLOURS["v05"], capsize=3, zorder=3)
    area = 25 + 225 * many / many.max()
    axes.scatter(x, y, s=area, color=COLOURS["v05"], edgecolor="white", zorder=4, label="visits (area: how many)")
    axes.legend(loc="upper left", markerscale=0.6)


def _draw_weights(axes, report):
    from matplotlib.ticker import MaxNLocator

    before = report.visits_before
    many = np.bincount(before)
    enough = np.flatnonzero(many >= min(20, many.max()))
    for rule in ("v05", "calibrated"):
        mean = np.bincount(before, report.scores.weight[rule])[enough] / many[enough]
        axes.plot(enough, mean, color=COLOURS[rule], marker="o", markersize=3, linewidth=1.6, label=NAMES[rule])
    axes.set_ylim(0, 1.03)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title("How much the group mean still counts")
    axes.set_xlabel("earlier visits of the prompt")
    axes.set_ylabel(f"mean weight of the group mean, {report.headline} rollouts")
    axes.legend(loc="upper right")


def _draw_allocation(axes, report):
    axes.set_title("Where allocation spends rollouts")
    axes.set_xlabel("mean reward of the visit")
    axes.set_ylabel("rollouts used a visit")
    low, high = report.reward_range
    edges = np.linspace(low, high, 2 * BINS // 3 + 1)
    for rule, (mean, rollouts) in report.drawn.items():
        place = np.clip(np.searchsorted(edges, mean, side="right") - 1, 0, len(edges) - 2)
        many = np.bincount(place, minlength=len(edges) - 1)
        filled = many > 0
        x = np.bincount(place, mean, len(many))[filled] / many[filled]
        y = np.bincount(place, rollouts, len(many))[filled] / many[filled]
        row = next(row for row in report.allocation if row.rule == rule)
        label = f"{rule} over {NAMES[row.baseline]}: {row.rollouts:.1f} on average"
        axes.plot(x, y, color=COLOURS[row.baseline], marker=MARKERS[row.baseline], linewidth=1.6, label=label)
    if not report.drawn:
        _say(axes, "visits have too few rollouts to try it")
        return
    axes.set_ylim(0, None)
    axes.legend(loc="lower right")


def _say(axes, text):
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes)
