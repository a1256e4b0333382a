"""A NoiseReport as a table for a terminal; needs rich."""

from ..tables import check_tables, interval_text, new_console, number_text, report_table

HOW = (
    "How: within is E[W (r - b)^2] of one rollout less the squared norm of its prompt's mean gradient, W the squared "
    "norm of the rollout's score, and what rollouts add by being in each other's baselines; noise adds between, the "
    "variance of the prompts' mean gradients, once per rollout of a prompt. A step of N rollouts has noise / N. In "
    "brackets: 95% bootstrap intervals over prompts."
)


def print_noise(report, console=None):
    """Prints a NoiseReport for people, to a rich.console.Console or to standard output."""
    check_tables()
    from rich.padding import Padding

    console = console or new_console()
    console.print(
        f"\n{report.prompts} prompts, {report.rollouts} rollouts of {report.tokens:.1f} tokens each; mean reward "
        f"{report.success:.3f}; a perfect prior explains {report.spread:.0%} of the rewards' variance",
        highlight=False,
    )
    console.print(
        f"squared norm of the score, failures over successes: {report.norm_ratio:.2f}; between prompts: "
        + interval_text(report.between, report.between_interval, "{:.4g}"),
        highlight=False,
    )
    table = report_table("Noise of the gradient")
    table.add_column("baseline")
    for head in ("rollouts per\nprompt", "within", "noise", "of the batch mean's"):
        table.add_column(head, justify="right")
    for row in report.rows:
        table.add_row(
            row.baseline,
            str(row.rollouts),
            number_text(row.within, "{:.4g}"),
            number_text(row.noise, "{:.4g}"),
            interval_text(row.relative, row.relative_interval, "{:.3f}"),
        )
    console.print(Padding(table, (1, 0, 0, 0)))
    console.print(Padding(f"[dim]{HOW}[/dim]", (1, 0)), highlight=False)
    console.print(f"[bold green]{report.sentence}[/bold green]", highlight=False)
