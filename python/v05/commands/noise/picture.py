"""A NoiseReport as a picture; needs matplotlib."""

from ..pictures import COLOURS, FAINT, INK, check_picture, new_figure, save_figure


def draw_noise(report, path):
    """Noise of every baseline over that of the batch mean, with 95 % intervals, the least on top."""
    check_picture(path)
    figure, axes = new_figure(8, 1.2 + 0.32 * len(report.rows), 1, 1)
    axes = axes[0, 0]
    for place, row in enumerate(reversed(report.rows)):
        is_v05s = "weights" in row.baseline or "calibrated" in row.baseline
        colour = COLOURS["calibrated"] if is_v05s else COLOURS["v05"]
        low, high = row.relative_interval
        axes.plot((low, high), (place, place), color=colour, linewidth=2)
        axes.plot(row.relative, place, "o", color=colour)
    axes.axvline(1, color=FAINT, zorder=0)
    axes.set_yticks(range(len(report.rows)), [row.baseline for row in reversed(report.rows)])
    axes.set_xscale("log")
    axes.set_xlabel("noise of a step at equal cost, batch mean with one rollout per prompt = 1")
    axes.set_title(
        f"{report.prompts} prompts x {report.rollouts} rollouts, failures/successes {report.norm_ratio:.2f}",
        loc="left",
        color=INK,
    )
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    save_figure(figure, path)
