"""An Evaluation as a picture; needs matplotlib."""

import numpy as np

from ..pictures import FAINT, check_picture, new_figure, save_figure
from ..printable import printable
from ..tables import NAMES

COLOURS = ("#8a97a3", "#2f6fb5", "#c08a3e", "#6aa67c", "#b5344a", "#7a5ba6", "#22303c", "#3aa6a6")


def draw_evaluation(evaluation, path):
    """Writes the picture: area under the ROC curve of each prior, and for each rule the error of the baseline relative
    to the group mean against rollouts. The ending of `path` decides the format (.png, .pdf, .svg)."""
    check_picture(path)
    rules = list(
        dict.fromkeys(row.rule for rows in evaluation.baselines.values() for row in rows if row.rule != "grpo")
    )
    figure, axes = new_figure(5 + 4.2 * len(rules), 5, 1, 1 + len(rules))
    first, *others = axes[0]
    _draw_auc(first, evaluation.qualities)
    for axes in others[1:]:
        axes.sharey(others[0])
    for axes, rule in zip(others, rules):
        _draw_errors(axes, evaluation.baselines, rule)
    if others:
        others[0].legend(frameon=False, fontsize=8)
    figure.suptitle(f"Priors on {printable(evaluation.name)}", x=0.012, ha="left")
    save_figure(figure, path)


def _draw_auc(axes, qualities):
    places = np.arange(len(qualities))[::-1]
    for shift, figure, label, marker in (
        (0.12, "auc", "over all", "o"),
        (-0.12, "auc_within", "within a context", "D"),
    ):
        value = np.array([getattr(quality, figure) for quality in qualities])
        low, high = np.array([getattr(quality, f"{figure}_interval") for quality in qualities]).T
        axes.errorbar(
            value,
            places + shift,
            xerr=np.clip([value - low, high - value], 0, None),
            fmt=marker,
            capsize=3,
            color=COLOURS[1] if figure == "auc" else COLOURS[4],
            label=label,
        )
    axes.axvline(0.5, color=FAINT, linestyle="--")
    axes.set_yticks(places, [quality.prior for quality in qualities])
    axes.set_title("Area under the ROC curve")
    axes.legend(frameon=False, fontsize=8)


def _draw_errors(axes, baselines, rule):
    axes.axhline(1, color=FAINT, linestyle="--")
    for number, (prior, rows) in enumerate(baselines.items()):
        rows = [row for row in rows if row.rule == rule and row.applied]
        if not rows:
            continue
        relative = np.array([row.relative for row in rows])
        low, high = np.array([row.relative_interval for row in rows]).T
        axes.errorbar(
            [row.rollouts * 1.03 ** (number - 2) for row in rows],
            relative,
            yerr=np.clip([relative - low, high - relative], 0, None),
            capsize=3,
            marker="o",
            markersize=4,
            color=COLOURS[number % len(COLOURS)],
            label=prior,
        )
    sizes = sorted({row.rollouts for rows in baselines.values() for row in rows})
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.set_xlabel("rollouts per prompt")
    axes.set_title(f"{NAMES[rule]}: error / group mean's")
