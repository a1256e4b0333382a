"""Ctrl-C that ends a command wherever it comes."""

import contextlib
import signal
import sys
import threading

AGAIN_AFTER = 0.01  # seconds: by then the callback that could not be ended is over


@contextlib.contextmanager
def no_interrupt_is_lost():
    """Inside, Ctrl-C during a callback is raised again when the callback is over.

    Python cannot let an exception out of `__del__`, the callback of a weak reference or a function that C calls: it
    reports it as ignored and goes on, and the command would, too.
    """
    report, repeats = sys.unraisablehook, []

    def repeat_interrupt(unraisable):
        if not issubclass(unraisable.exc_type, KeyboardInterrupt):
            report(unraisable)
            return
        started = False
        while not started:
            with contextlib.suppress(KeyboardInterrupt):  # an earlier repeat that comes here: this one stands for both
                # From another thread: raised here it would be ignored like the first.
                repeats.append(
                    threading.Timer(AGAIN_AFTER, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT))
                )
                repeats[-1].daemon = True
                repeats[-1].start()
                started = True

    sys.unraisablehook = repeat_interrupt
    try:
        yield
    finally:
        sys.unraisablehook = report
        for repeat in repeats:
            repeat.cancel()
