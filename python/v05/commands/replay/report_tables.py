"""The report as tables for a terminal; needs rich."""

from ..tables import NAMES, check_tables, error_text, escape, interval_text, new_console, number_text, report_table
from .gradient_noise import CONTROL
from .scoring import RULES

HOW = (
    "How: the baseline from some rollouts of a visit, drawn at random, is compared with the mean of the others, "
    "less the sampling noise of that mean. Steps of fewer than 256 prompts are calibrated on the steps before, "
    "larger ones on themselves; a dash says that there was too little to calibrate. In brackets: 95% bootstrap "
    "intervals over prompts."
)


def print_report(report, console=None):
    """Prints a `Report` for people, to a `rich.console.Console` or to standard output."""
    check_tables()
    from rich.padding import Padding

    console = console or new_console()
    console.print()
    console.print(f"[bold]{escape(report.log)}[/bold]", soft_wrap=True)
    for line in _facts(report):
        console.print(line, highlight=False)
    tables = [_error_table(report), _health_table(report)]
    if report.allocation:
        tables.insert(1, _allocation_table(report))
    if report.noise:
        tables.insert(1, _noise_table(report))
    for table in tables:
        console.print(Padding(table, (1, 0, 0, 0)))
    console.print(Padding(f"[dim]{HOW}[/dim]", (1, 0)), highlight=False)
    for note in report.notes:
        console.print(f"Note: {escape(note)}", highlight=False)
    for warning in report.warnings:
        console.print(f"[yellow]Warning: {escape(warning)}[/yellow]", highlight=False)
    if report.notes or report.warnings:
        console.print()
    style = "bold green" if report.supported else "bold yellow"
    console.print(f"[{style}]{report.sentence}[/{style}]", highlight=False)


def _facts(report):
    low, high = report.reward_range
    yield f"{escape(', '.join(report.formats))}; rewards from {low:g} to {high:g}"
    yield (
        f"{report.prompts:,} prompts, {report.steps:,} steps, {report.visits:,} visits (a prompt at a step), "
        f"{report.rollouts:,} rollouts"
    )
    if report.prior == "logged":
        yield "prior: as logged"
    else:
        yield f"prior: history of each prompt, discount {report.discount:g} a visit"


def _error_table(report):
    table = report_table("Error of the baseline, mean square in reward units²")
    table.add_column("rollouts", justify="right", no_wrap=True)
    table.add_column("rule", no_wrap=True)
    table.add_column("squared\nerror", justify="right", no_wrap=True)
    table.add_column("relative to the\ngroup mean", justify="right", overflow="fold")
    table.add_column("worth a plain\nmean of", justify="right", overflow="fold")
    last = report.rows[-1].rule
    for row in report.rows:
        headline = row.rule in ("v05", "calibrated") and row.rollouts == report.headline
        table.add_row(
            str(row.rollouts) if row.rule == RULES[0] else "",
            NAMES[row.rule],
            *_cells(row),
            style="bold" if headline else None,
            end_section=row.rule == last,
        )
    return table


def _allocation_table(report):
    first = report.allocation[0]
    table = report_table(f"Rollouts where they are needed: {first.initial} or more a visit, as far as the log has them")
    table.add_column("allocation, baseline", no_wrap=True)
    table.add_column("rollouts\nused", justify="right", no_wrap=True)
    table.add_column("squared\nerror", justify="right", no_wrap=True)
    table.add_column("worth a plain\nmean of", justify="right", overflow="fold")
    table.add_column("saved at\nequal error", justify="right", overflow="fold")
    for row in report.allocation:
        table.add_row(
            f"{row.rule}, {NAMES[row.baseline]}",
            f"{row.rollouts:.2f}",
            error_text(row.error),
            interval_text(row.worth, row.worth_interval, "{:.1f}"),
            interval_text(row.saved, row.saved_interval, "{:.0%}"),
        )
    return table


def _noise_table(report):
    table = report_table("Noise of the gradient within prompts, E[W (r - b)²] / E[W], W the squared norm of the score")
    table.add_column("baseline, of other rollouts", no_wrap=True)
    table.add_column("noise", justify="right", no_wrap=True)
    table.add_column("relative to the\nmean of the batch", justify="right", no_wrap=True)
    rows = {row.baseline: row for row in report.noise}
    least = min(report.noise, key=lambda row: row.noise)
    for name, label in NOISE_LINES:
        for row, suffix in ((rows.get(name), ""), (rows.get(f"{name}_weighted"), ", score weights")):
            if row is not None:
                relative = interval_text(row.relative, row.relative_interval, "{:.3f}")
                table.add_row(
                    label + suffix,
                    error_text(row.noise),
                    "1" if row.baseline == CONTROL else relative,
                    style="bold" if row is least else None,
                )
    return table


NOISE_LINES = (
    ("none", "none"),
    ("batch_mean", "mean of the batch"),
    ("group_mean", "mean of the group"),
    ("history", "history of the prompt"),
    ("calibrated", "calibrated, with the history"),
)


def _cells(row):
    if row.applied == 0:
        return "[dim]–[/dim]", "", ""
    if row.rule == "grpo":
        return error_text(row.error), "1", number_text(row.worth, "{:.1f}")
    return (
        error_text(row.error),
        interval_text(row.relative, row.relative_interval, "{:.3f}"),
        interval_text(row.worth, row.worth_interval, "{:.1f}"),
    )


def _health_table(report):
    table = report_table("Prior, test and signal")
    table.add_column("rollouts")
    for size in report.health:
        table.add_column("all" if size is None else str(size), justify="right", no_wrap=True)
    for label, write in HEALTH_LINES:
        table.add_row(label, *(write(health) for health in report.health.values()))
    for rule in ZERO_LINES:
        rows = [None if size is None else report.row(rule, size) for size in report.health]
        table.add_row(f"advantages of 0, {NAMES[rule]}", *map(_zero_advantages, rows))
    return table


def _zero_advantages(row):
    return number_text(row.zero_advantages, "{:.1%}") if row is not None and row.applied > 0 else ""


def _percent(name):
    return lambda health: number_text(getattr(health, name), "{:.1%}")


def _plain(name, pattern="{:.3f}"):
    return lambda health: number_text(getattr(health, name), pattern)


ZERO_LINES = ("grpo", "v05", "calibrated")
HEALTH_LINES = (
    ("groups with all rewards equal", _percent("constant")),
    ("  of these, with a V_0.5 signal", _percent("constant_with_signal")),
    ("    its mean size, in h", _plain("constant_advantage")),
    ("groups without a prior", _percent("without_prior")),
    ("priors rejected by the test", _percent("rejected")),
    ("  expected if all were right", _percent("rejected_expected")),
    ("mean weight of the group mean", _plain("weight")),
    ("error of the prior, in h²", _plain("error", "{:.4f}")),
    ("  limit: V_0.5 worse than the mean", _plain("error_limit")),
    ("differences of prompts explained", _percent("explained_variance")),
    ("line from prior to mean: slope", _plain("slope")),
    ("  intercept", _plain("intercept")),
)
