"""The report as tables for a terminal; needs rich."""

from math import isinf

from rich.box import SIMPLE
from rich.table import Table


def print_report(console, best, others, setting):
    """Print what `report_arms` found."""
    reference = best[0].arm.label
    rollouts = best[0].curve["rollouts"][-1].mean
    results = _table(f"Held-out accuracy after {rollouts:,.0f} rollouts",
                     "learning\nrate", "accuracy", f"against\n{reference}", f"level with\n{reference} at")
    training = _table("Training", "rollouts\na prompt", "prompts\na step", "gradient\nnorm", "entropy\nat the end",
                      "weight of\nthe prior")
    for row in best:
        results.add_row(
            row.arm.label,
            f"{row.learning_rate:g}",
            f"{row.accuracy}",
            f"{row.difference:+}" if row.difference else "",
            "never" if isinf(row.to_reference) else f"{row.to_reference:,.0f}",
        )
        training.add_row(
            row.arm.label,
            f"{row.mean('rollouts_a_prompt'):.1f}",
            str(row.arm.prompts_a_step(setting)),
            f"{row.mean('gradient_norm'):.2f}",
            f"{row.curve['entropy'][-1].mean:.2f}",
            f"{row.mean('prior_weight'):.2f}",
        )
    console.print(results)
    console.print(training)
    console.print(_caption(best, setting), highlight=False)
    if others:
        _print_sweep(console, best, others)


def _table(title, *columns):
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE)
    table.add_column("arm", no_wrap=True)
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _caption(best, setting):
    seeds = len(best[0].seeds)
    step = (f"{setting.rollouts_a_step} rollouts a step, so that fewer rollouts a prompt mean more prompts a step; "
            "OSLA's steps are as large as it wants them")
    if setting.prompts_a_step:
        step = f"{setting.prompts_a_step} prompts a step, so that fewer rollouts a prompt mean more steps"
    return (
        f"Mean and 95 % t-interval over {seeds} {'seed' if seeds == 1 else 'seeds'}. The arms of a seed begin with the "
        "same weights: what its seed does to all arms is taken off in the intervals, and differences are taken seed by "
        f"seed. All have the same total of rollouts and {step}. "
        "Accuracy: probability that a sampled answer to a question never trained on is right. "
        f"Level with {best[0].arm.label}: rollouts after which an arm is as good as that one in the end."
    )


def _print_sweep(console, best, others):
    rates = sorted({row.learning_rate for row in [*best, *others]})
    table = _table("Learning rates tried", *(f"{rate:g}" for rate in rates))
    for row in best:
        found = {other.learning_rate: other.accuracy for other in others if other.arm == row.arm}
        found[row.learning_rate] = row.accuracy
        table.add_row(row.arm.label, *(f"{found[rate]}" if rate in found else "" for rate in rates))
    console.print(table)
    console.print("The tables above and the picture show every arm at its best.", highlight=False)
