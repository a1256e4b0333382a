"""Progress of a study: bars on a terminal, elsewhere a line for every run that is done."""

from contextlib import contextmanager
from datetime import timedelta
from time import monotonic

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


@contextmanager
def live_progress(console, jobs):
    """The callable progress(job, done, total, accuracy) of `run_study` for this many runs and warm-ups."""
    if console.is_terminal:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console, transient=True) as bars:
            yield _bars(bars, jobs)
    else:
        yield _lines(console, jobs)


def _bars(bars, jobs):
    """One bar for the study, one for every job under way."""
    everything = bars.add_task("study", total=jobs, note="")
    tasks, shares = {}, {}

    def progress(job, done, total, accuracy):
        if job not in shares:
            tasks[job] = bars.add_task(job, total=total, note="")
        shares[job] = min(done / total, 1)
        bars.update(tasks[job], completed=done, total=total, note=_note(accuracy), visible=done < total)
        bars.update(everything, completed=sum(shares.values()))

    return progress


def _lines(console, jobs):
    began, finished = monotonic(), set()

    def progress(job, done, total, accuracy):
        if done < total or job in finished:
            return
        finished.add(job)
        elapsed = timedelta(seconds=round(monotonic() - began))
        note = _note(accuracy)
        console.print(
            f"{elapsed}  {len(finished)} of {jobs}: {job}" + (note and f", {note}"), highlight=False, soft_wrap=True
        )

    return progress


def _note(accuracy):
    return "" if accuracy is None else f"accuracy {accuracy:.3f}"
