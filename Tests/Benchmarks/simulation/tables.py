"""The trial as tables for a terminal."""

import math

from rich import box
from rich.console import Console
from rich.table import Table

from .columns import COLUMNS
from .trial import NO_PRIOR

TITLES = dict(bias_rms="bias rms", silent="no signal")
DIGITS = dict.fromkeys(COLUMNS, 4) | dict(rollouts=2)  # where there is no error to tell
ROUNDING = 1e-9  # a smaller standard error is none
WIDTH = 160  # characters where the output is no terminal
COMPARED = (
    ("OSLA, v05", "osla same_bias", "v05"),
    ("equal, leave-one-out", "equal", "rloo"),
    ("equal, calibrated", "equal", "calibrated"),
    ("Neyman from 2, calibrated", "neyman from 2", "calibrated"),
)


def print_trial(trial):
    console = Console()
    if not console.is_terminal:
        console.width = WIDTH
    console.print(
        f"{trial.log}: {len(trial.population)} prompts, mean variance of a reward "
        f"{trial.population.variance.mean():.4f} h², {trial.steps} repeats, seed {trial.seed}",
        highlight=False,
    )
    for name in (NO_PRIOR, *trial.prior_error):
        title = "without prior" if name == NO_PRIOR else f"prior: {name} (error {trial.prior_error[name]:.4f} h²)"
        table = _table(title, "rollouts are", "baseline", *(TITLES.get(column, column) for column in COLUMNS))
        rows = [row for row in trial.rows if row.prior == name]
        for row, after in zip(rows, [*rows[1:], None], strict=True):
            cells = (_cell(column, *row.columns[column]) for column in COLUMNS)
            ends = after is None or _section(row) != _section(after)
            table.add_row(row.allocation, row.baseline, *cells, end_section=ends)
        console.print(table)
    console.print(_comparison(trial))
    console.print("0.0172(3) is 0.0172 with a standard error of 0.0003. Definitions: at the top of simulator.py.")


def _section(row):
    if row.allocation.endswith("each"):
        return row.baseline
    return "sequential" if row.allocation.startswith(("osla", "neyman threshold")) else "equal average"


def _comparison(trial):
    table = _table(
        "OSLA against others with as many rollouts: error of the baseline | gradient noise",
        "prior",
        "rollouts",
        *(title for title, _, _ in COMPARED),
    )
    for name in trial.prior_error:
        rows = [trial.row(name, allocation, baseline).columns for _, allocation, baseline in COMPARED]
        cells = (f"{_cell('error', *row['error'])} | {_cell('noise', *row['noise'])}" for row in rows)
        table.add_row(name, _cell("rollouts", *rows[0]["rollouts"]), *cells)
    return table


def _table(title, *columns):
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        text = column in ("rollouts are", "baseline", "prior")
        table.add_column(column, justify="left" if text else "right", no_wrap=True)
    return table


def _cell(column, value, error):
    """0.0172(3) for 0.0172 with a standard error of 0.0003: as many digits as the error has zeros, and one more."""
    digits = DIGITS[column]
    if error > ROUNDING:
        digits = min(max(math.ceil(-math.log10(error)), 2), 5)
        return f"{value:.{digits}f}({math.ceil(error * 10**digits)})"
    return f"{value:.{digits}f}"
