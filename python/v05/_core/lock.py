"""Locks of objects that several threads of Python may use: ctypes lets Python's own lock go during a call of the core.

A fork in another thread must neither copy an object in the middle of a call nor leave its lock held for ever in the
child. So a fork waits for the calls in flight: no code of a user runs inside one, and each ends by itself.
"""

import os
import threading
import weakref

_locks = weakref.WeakSet()
_guard = threading.RLock()  # of _locks, which must not change while it is walked
_held = []  # by the thread that forks


def new_lock():
    lock = threading.RLock()
    with _guard:
        _locks.add(lock)
    return lock


def both(one, other):
    """The two locks in the order in which every thread takes them, so that none waits for the other's."""
    return sorted((one, other), key=id)


def _hold_all():
    _guard.acquire()
    for lock in sorted(_locks, key=id):
        lock.acquire()
        _held.append(lock)


def _let_go():
    while _held:
        _held.pop().release()
    _guard.release()


os.register_at_fork(before=_hold_all, after_in_parent=_let_go, after_in_child=_let_go)
