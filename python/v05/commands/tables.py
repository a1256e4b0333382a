"""What the tables of all commands have in common; needs rich."""

from importlib.util import find_spec
from math import isfinite

from ..errors import MissingExtra
from .printable import printable

NARROWEST = 60  # columns; a terminal that has fewer wraps lines itself
NAMES = {
    "grpo": "group mean",
    "james_stein": "James-Stein",
    "prior": "prior alone",
    "v05": "V_0.5",
    "calibrated": "V_0.5 calibrated",
    "mixture": "V_0.5 mixture",
}


def check_tables():
    """Raises MissingExtra where tables cannot be printed."""
    if find_spec("rich") is None:
        raise MissingExtra("printing the report as tables (--json does without)", "replay")


def new_console():
    """The console of standard output, never so narrow that a table would be one letter wide, or nothing."""
    from rich.console import Console

    console = Console()
    return console if console.width >= NARROWEST else Console(width=NARROWEST)


def report_table(title):
    """A table without rows."""
    from rich import box
    from rich.table import Table

    return Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)


def number_text(value, pattern):
    """A number in the pattern of str.format, marked up for rich."""
    if value != value:
        return "[dim]unknown[/dim]"
    return pattern.format(value) if isfinite(value) else "∞"


def error_text(value):
    """A squared error, which has the scale of the rewards squared."""
    return f"{value:.5f}" if value == 0 or 1e-3 <= abs(value) < 1e6 else f"{value:.3g}"


def interval_text(value, interval, pattern):
    """A number and its interval where it is known."""
    low, high = (number_text(end, pattern) for end in interval)
    known = all(end == end for end in interval)
    return number_text(value, pattern) + (f" [dim]({low}–{high})[/dim]" if known else "")


def escape(text):
    """Text that is not ours: neither markup of rich nor escape sequences of a terminal."""
    from rich.markup import escape

    return escape(printable(text))
