"""The report as tables for a terminal; needs rich."""

from math import isinf

from rich.box import SIMPLE
from rich.table import Table


def print_report(console, reports, setting):
    """Print what `report_arms` found."""
    reference = reports[0].arm.label
    rollouts = reports[0].curve["rollouts"][-1].mean
    results = _table(
        f"Held-out accuracy after {rollouts:,.0f} rollouts",
        "learning\nrate",
        "accuracy",
        f"against\n{reference}",
        "mean over\nthe run",
        f"level with\n{reference} at",
    )
    training = _table(
        "Training",
        "rollouts\nper prompt",
        "prompts\nper step",
        "updates\nper batch",
        "gradient\nnorm",
        "entropy\nat the end",
        "weight of\nthe prior",
    )
    for row in reports:
        results.add_row(
            row.arm.label,
            f"{row.arm.learning_rate:g}",
            f"{row.accuracy}",
            f"{row.to_reference.accuracy:+}" if row.to_reference else "",
            f"{row.area:.3f}",
            "never" if isinf(row.reaches_reference) else f"{row.reaches_reference:,.0f}",
        )
        training.add_row(
            row.arm.label,
            f"{row.mean('rollouts_a_prompt'):.1f}",
            str(row.arm.prompts_a_step(setting)),
            str(row.arm.updates),
            f"{row.mean('gradient_norm'):.2f}",
            f"{row.curve['entropy'][-1].mean:.2f}",
            f"{row.mean('prior_weight'):.2f}",
        )
    console.print(results)
    _print_controls(console, reports)
    console.print(training)
    console.print(_caption(reports, setting), highlight=False)


def print_regime(console, regime):
    """Print what the questions are for the model before training."""
    console.print(
        f"At the start an answer has {regime.tokens:.1f} tokens and {regime.solved:.3f} of the answers are right. "
        f"Spread of the questions' success rates, Var(p) / (Var(p) + mean of p (1 - p)): {regime.spread:.2f}. Squared "
        f"norm of the score, failures to successes of the same question: {regime.weight_ratio:.2f}. Where that ratio "
        "is near 1, the best baseline of a question is its success rate, and the spread is what it takes off the noise "
        "of the batch mean; far above 1 the success rate is a poor baseline, and weights are needed.\n",
        highlight=False,
    )


def _print_controls(console, reports):
    labels = {row.arm.name: row.arm.label for row in reports}
    table = _table("Against the control, seed by seed", "control", "at the end", "over the run", "better at the end on")
    for row in reports:
        if row.to_control:
            table.add_row(
                row.arm.label,
                labels[row.arm.control],
                f"{row.to_control.accuracy:+}",
                f"{row.to_control.area:+}",
                f"{row.to_control.better} of {len(row.seeds)}",
            )
    if table.row_count:
        console.print(table)
        console.print(
            "The control has one rollout per prompt and the mean of the batch as baseline, and uses every "
            "rollout as often: what an arm with one rollout and the control's learning rate gains over it is its "
            "baseline's.\n",
            highlight=False,
        )


def print_tuning(console, arms, areas):
    """Print what `mean_areas` found: the learning rates that were tried."""
    rates = sorted({rate for found in areas.values() for rate in found})
    table = _table("Learning rates tried: mean accuracy over the run", *(f"{rate:g}" for rate in rates))
    for arm in arms:
        found = areas.get(arm.name, {})
        best = max(found, key=found.get, default=None)
        table.add_row(
            arm.label, *(_bold(f"{found[rate]:.3f}", rate == best) if rate in found else "" for rate in rates)
        )
    console.print(table)


def _bold(text, bold):
    return f"[bold]{text}[/bold]" if bold else text


def _table(title, *columns):
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE)
    table.add_column("arm", overflow="fold")
    for name in columns:
        table.add_column(name, justify="right", overflow="fold")
    return table


def _caption(reports, setting):
    seeds = len(reports[0].seeds)
    step = (
        f"{setting.rollouts_a_step} rollouts per step, so that fewer rollouts per prompt mean more prompts per "
        "step; OSLA's steps are as large as it wants them"
    )
    if setting.prompts_a_step:
        step = f"{setting.prompts_a_step} prompts per step, so that fewer rollouts per prompt mean more steps"
    return (
        f"Mean and 95 % t-interval over {seeds} {'seed' if seeds == 1 else 'seeds'}. The arms of a seed begin with the "
        "same weights: what its seed does to all arms is taken off in the intervals, and differences are taken seed by "
        f"seed. All have the same total of rollouts and {step}. "
        "Accuracy: probability that a sampled answer to a question never trained on is right. "
        f"Level with {reports[0].arm.label}: rollouts after which an arm is as good as that one in the end. "
        "×4: every batch of rollouts is used for 4 updates."
    )
