"""The trial as a picture: gradient noise against rollouts, a panel a prior."""

import math

from .contestants import GROUP_SIZES
from .trial import NO_PRIOR

INK = "#22303c"
LINES = {  # groups of equal size
    "rloo": ("leave-one-out", "#8a97a3"),
    "v05": ("V_0.5", "#2f6fb5"),
    "calibrated": ("calibrated", "#b5344a"),
}
POINTS = {  # (allocation, baseline)
    ("osla same_bias", "v05"): ("OSLA, V_0.5", "D", "#2f6fb5"),
    ("osla", "calibrated"): ("OSLA, calibrated", "D", "#b5344a"),
    ("neyman threshold", "calibrated"): ("Neyman threshold, calibrated", "^", "#b5344a"),
    ("neyman from 2", "calibrated"): ("Neyman budget, calibrated", "v", "#b5344a"),
    ("ahead neyman", "calibrated"): ("Neyman ahead, calibrated", "s", "#6aa67c"),
    ("ahead dynamo 1/2", "calibrated"): ("DynaMO 1/2 ahead, calibrated", "o", "#c08a3e"),
}


def draw_trial(trial, path):
    """Write a `Trial` as a picture; the ending of `path` decides the format."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    style = {
        "font.size": 11,
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.edgecolor": "#c9d1d8",
        "axes.grid": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlelocation": "left",
        "axes.titleweight": "bold",
        "xtick.color": INK,
        "ytick.color": INK,
        "grid.color": "#e8ecef",
        "legend.frameon": False,
        "svg.hashsalt": "v05",
    }
    columns = min(4, len(trial.prior_error))
    rows = math.ceil(len(trial.prior_error) / columns)
    with rc_context(style):
        figure = Figure(figsize=(4.2 * columns + 0.6, 3.7 * rows + 1.8), layout="constrained", facecolor="white")
        figure.get_layout_engine().set(w_pad=0.1, h_pad=0.12)
        FigureCanvasAgg(figure)
        panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
        for panel, name in zip(panels, trial.prior_error, strict=False):
            _draw_prior(panel, trial, name)
        for panel in panels[len(trial.prior_error) :]:
            panel.set_visible(False)
        for panel in panels[max(0, len(trial.prior_error) - columns) : len(trial.prior_error)]:
            panel.set_xlabel("rollouts per prompt")
            panel.tick_params(labelbottom=True)
        figure.supylabel("gradient noise × rollouts, leave-one-out with 16 = 1")
        figure.suptitle(
            "Gradient noise for the same number of rollouts, by the quality of the prior (lower is better)",
            x=0.01,
            ha="left",
            fontsize=14,
        )
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=min(5, 2 * columns))
        figure.savefig(path, dpi=130)


def _draw_prior(axes, trial, name):
    for shift, (baseline, (label, colour)) in enumerate(LINES.items()):
        prior = NO_PRIOR if baseline == "rloo" else name
        rows = [trial.row(prior, f"{size} each", baseline) for size in GROUP_SIZES]
        _draw(axes, rows, 1.01 ** (shift - 1), color=colour, marker=".", linewidth=1.8, label=f"{label}, equal groups")
    for (allocation, baseline), (label, marker, colour) in POINTS.items():
        _draw(
            axes,
            [trial.row(name, allocation, baseline)],
            color=colour,
            marker=marker,
            markersize=8,
            linestyle="",
            markeredgecolor="white",
            label=label,
            zorder=4 if marker == "D" else 3,
        )
    axes.set_title(f"{name} (error {trial.prior_error[name]:.2g} h²)")
    axes.set_xscale("log", base=2)
    axes.set_xticks(GROUP_SIZES, [str(size) for size in GROUP_SIZES])
    axes.minorticks_off()


def _draw(axes, rows, stretch=1.0, **style):
    x = [stretch * row.columns["rollouts"][0] for row in rows]
    y, error = zip(*(row.columns["noise"] for row in rows), strict=True)
    axes.errorbar(x, y, yerr=[2 * one for one in error], capsize=2, **style)
