"""An Evaluation as tables for a terminal; needs rich."""

from ..tables import NAMES, check_tables, escape, interval_text, new_console, number_text, report_table

WIDEST = 10_000  # columns, more than any table has
HOW = (
    "How: AUC is the share of pairs of a prompt solved at least half of the time and another that are put in the right "
    "order; within: pairs of one context (policy and step). The squared error has the sampling noise taken off. A "
    "baseline is made from some rollouts of a visit and judged by the others. In brackets: 95% bootstrap intervals "
    "over prompts."
)


def print_evaluation(evaluation, console=None):
    """Print an Evaluation for people, to a `rich.console.Console` or to standard output."""
    check_tables()
    from rich.padding import Padding

    console = console or new_console()
    low, high = evaluation.reward_range
    console.print(f"\n[bold]{escape(evaluation.name)}[/bold]", soft_wrap=True)
    console.print(
        f"{evaluation.visits:,} visits of {evaluation.prompts:,} prompts in {evaluation.contexts:,} contexts, "
        f"{evaluation.rollouts:.1f} rollouts per visit; rewards from {low:g} to {high:g}",
        highlight=False,
    )
    _print_whole(console, _quality_table, evaluation, QUALITIES)
    if any(evaluation.baselines.values()):
        _print_whole(console, _baseline_table, evaluation, _rules(evaluation))
    console.print(Padding(f"[dim]{HOW}[/dim]", (1, 0)), highlight=False)
    for note in evaluation.notes:
        console.print(f"Note: {escape(note)}", highlight=False)


def _print_whole(console, build, evaluation, columns):
    """Prints a table of these columns, or several where it is too wide: no figure is cut at the end of a line."""
    table = build(evaluation, columns)
    needed = console.measure(table, options=console.options.update(width=WIDEST)).minimum
    if len(columns) > 1 and needed > console.width:
        half = (len(columns) + 1) // 2
        _print_whole(console, build, evaluation, columns[:half])
        _print_whole(console, build, evaluation, columns[half:])
        return
    from rich.padding import Padding

    console.print(Padding(table, (1, 0, 0, 0)))


QUALITIES = (
    ("known", lambda quality: f"{quality.known:.0%}"),
    ("AUC", lambda quality: interval_text(quality.auc, quality.auc_interval, "{:.3f}")),
    ("AUC within", lambda quality: interval_text(quality.auc_within, quality.auc_within_interval, "{:.3f}")),
    ("AUC over\nconstant", lambda quality: interval_text(quality.auc_gain, quality.auc_gain_interval, "{:+.3f}")),
    ("squared error", lambda quality: interval_text(quality.error, quality.error_interval, "{:.4f}")),
    ("slope", lambda quality: interval_text(quality.slope, quality.slope_interval, "{:.2f}")),
)


def _quality_table(evaluation, columns):
    table = report_table("How well the priors predict")
    table.add_column("prior", overflow="fold")
    for head, _ in columns:
        table.add_column(head, justify="right", overflow="fold")
    for quality in evaluation.qualities:
        table.add_row(escape(quality.prior), *(write(quality) for _, write in columns))
    return table


def _rules(evaluation):
    return list(dict.fromkeys(row.rule for rows in evaluation.baselines.values() for row in rows if row.rule != "grpo"))


def _baseline_table(evaluation, rules):
    sizes = sorted({row.rollouts for rows in evaluation.baselines.values() for row in rows})
    table = report_table("Squared error of the baseline, relative to the group mean")
    table.add_column("rollouts", justify="right")
    table.add_column("prior", overflow="fold")
    for rule in rules:
        table.add_column(NAMES[rule], justify="right", overflow="fold")
    for size in sizes:
        mean = next(
            row.error
            for rows in evaluation.baselines.values()
            for row in rows
            if (row.rule, row.rollouts) == ("grpo", size)
        )
        mean = f"[dim]error {number_text(mean, '{:.4f}')}[/dim]"
        table.add_row(str(size), "[dim]group mean[/dim]", mean, *[""] * (len(rules) - 1))
        for prior, rows in evaluation.baselines.items():
            found = {row.rule: row for row in rows if row.rollouts == size}
            cells = [
                "[dim]–[/dim]"
                if not found[rule].applied
                else interval_text(found[rule].relative, found[rule].relative_interval, "{:.3f}")
                for rule in rules
            ]
            table.add_row("", escape(prior), *cells)
        table.add_section()
    return table
