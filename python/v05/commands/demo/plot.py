"""The report as a picture; needs matplotlib."""

from math import isnan

import numpy as np

COLOURS = {
    "grpo-16": "#22303c",
    "grpo-4": "#8a97a3",
    "grpo-2": "#b9c2ca",
    "rloo-4": "#c9b28a",
    "batch-mean-1": "#e08a1e",
    "no-baseline-1": "#e6c15c",
    "v05-4": "#2f6fb5",
    "calibrated-4": "#7fb2e5",
    "calibrated-2": "#5aa9a3",
    "history-1": "#6aa67c",
    "weighted-batch-mean-1": "#e0708a",
    "weighted-history-1": "#b5344a",
    "half-batch-mean-1": "#b8731a",
    "half-history-1": "#4f9a94",
    "weighted-calibrated-2": "#7b5ea7",
    "osla-4-16": "#a0522d",
    "neyman-2-16": "#c08a3e",
}
PANELS = (("gradient_norm", "Norm of the gradient"), ("entropy", "Entropy of a token, nats"))


def draw_report(reports, path):
    """Write the curves of `ArmReport`s against rollouts, and what each arm gains over its control.

    Stock arms are dashed, controls dotted, arms that use their rollouts again thick. Bands and bars are 95 %
    confidence intervals; of the curves only accuracy has them.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    style = {
        "font.size": 10,
        "axes.titlesize": 11,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlelocation": "left",
        "axes.titleweight": "bold",
        "axes.grid": True,
        "grid.color": "#e8ecef",
        "legend.frameon": False,
    }
    with rc_context(style):
        figure = Figure(figsize=(13, 8), layout="constrained", facecolor="white")
        FigureCanvasAgg(figure)
        grid = figure.add_gridspec(2, 4)
        accuracy = figure.add_subplot(grid[:, :2])
        _draw_gains(figure.add_subplot(grid[0, 2:]), reports)
        panels = [(accuracy, "accuracy", "Held-out accuracy")]
        panels += [(figure.add_subplot(grid[1, 2 + place]), *panel) for place, panel in enumerate(PANELS)]
        for axes, name, title in panels:
            for row in reports:
                _draw_curve(axes, row, name)
            axes.set_title(title)
            axes.set_xlabel("rollouts")
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, position: f"{value / 1000:g}k"))
        accuracy.legend(loc="lower right", fontsize=9)
        panels[1][0].set_ylim(0, None)
        figure.savefig(path, dpi=100)


def _colour(arm):
    return COLOURS.get(arm.name.removesuffix(f"-x{arm.updates}"), "#444444")


def _draw_curve(axes, row, name):
    rollouts = np.array([value.mean for value in row.curve["rollouts"]])
    mean = np.array([value.mean for value in row.curve[name]])
    style = "--" if row.arm.v05 is None else ":" if row.arm.name == row.arm.control else "-"
    axes.plot(
        rollouts,
        mean,
        style,
        color=_colour(row.arm),
        linewidth=1.4 if row.arm.updates == 1 else 2.6,
        label=row.arm.label,
    )
    if name == "accuracy":
        half = np.array([value.half_width for value in row.curve[name]])
        axes.fill_between(rollouts, mean - half, mean + half, color=_colour(row.arm), alpha=0.13, linewidth=0)


def _draw_gains(axes, reports):
    """Of every arm over its control at the end, seed by seed."""
    rows = [row for row in reports if row.to_control]
    for place, row in enumerate(reversed(rows)):
        gain = row.to_control.accuracy
        half = 0 if isnan(gain.half_width) else gain.half_width
        axes.errorbar(
            gain.mean,
            place,
            xerr=half,
            fmt="o",
            color=_colour(row.arm),
            markersize=5,
            capsize=2,
            linewidth=1.4 if row.arm.updates == 1 else 2.6,
        )
    axes.axvline(0, color="#22303c", linewidth=1, linestyle=":")
    axes.set_yticks(range(len(rows)), [row.arm.label for row in reversed(rows)], fontsize=9)
    axes.set_ylim(-0.6, max(len(rows), 1) - 0.4)
    axes.set_title("Gain over the control (dotted) at the end")
    if not rows:
        axes.text(0.5, 0.5, "control not run", transform=axes.transAxes, ha="center", color="#8a97a3")
