"""The report as a picture; needs matplotlib."""

import numpy as np

COLOURS = ("#22303c", "#8a97a3", "#c9b28a", "#2f6fb5", "#b5344a", "#e0708a", "#6aa67c", "#7b5ea7", "#c08a3e")
PANELS = (
    ("accuracy", "Held-out accuracy"),
    ("gradient_norm", "Norm of the gradient"),
    ("entropy", "Entropy of the tokens, nats"),
    ("rollouts_a_prompt", "Rollouts a prompt"),
    ("prior_weight", "Weight of the prior"),
)


def draw_report(best, all_arms, path):
    """Write the curves of `ArmReport`s against rollouts; an arm has the same colour in every picture.

    The bands are 95 % confidence intervals; only accuracy has them.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    style = {
        "font.size": 10,
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
        places = (grid[:, :2], grid[0, 2], grid[0, 3], grid[1, 2], grid[1, 3])
        for (name, title), place in zip(PANELS, places):
            axes = figure.add_subplot(place)
            for row in best:
                _draw_curve(axes, row, name, COLOURS[all_arms.index(row.arm) % len(COLOURS)])
            axes.set_title(title)
            axes.set_xlabel("rollouts")
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, position: f"{value / 1000:g}k"))
            if name == "accuracy":
                axes.legend(loc="lower right")
            if name in ("gradient_norm", "rollouts_a_prompt"):
                axes.set_ylim(0, None)
        figure.savefig(path, dpi=100)


def _draw_curve(axes, row, name, colour):
    rollouts = np.array([value.mean for value in row.curve["rollouts"]])
    mean = np.array([value.mean for value in row.curve[name]])
    style = "--" if row.arm.v05 is None else "-"
    axes.plot(rollouts, mean, style, color=colour, linewidth=1.8, label=row.arm.label)
    if name == "accuracy":
        half = np.array([value.half_width for value in row.curve[name]])
        axes.fill_between(rollouts, mean - half, mean + half, color=colour, alpha=0.13, linewidth=0)
