"""Live progress of a study: one bar for all of it, and a line for every run under way."""

from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


@contextmanager
def live_progress(console, runs, seeds, setting):
    """The callable progress(job, done, total, accuracy) of `run_study` for this many runs and warm-ups."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"), TimeElapsedColumn(),
               TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        everything = bars.add_task(f"{runs} runs", total=runs + seeds, note="")
        tasks, shares = {}, {}

        def progress(job, done, total, accuracy):
            if job not in shares:
                tasks[job] = bars.add_task(job, total=total, note="")
            shares[job] = min(done / total, 1)
            note = "" if accuracy is None else f"accuracy {accuracy:.3f}"
            bars.update(tasks[job], completed=done, note=note, visible=done < total)
            bars.update(everything, completed=sum(shares.values()))

        yield progress
