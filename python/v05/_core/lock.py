"""Locks of objects that several threads of Python may use: ctypes lets Python's own lock go during a call of the core.

A fork in another thread must neither copy an object in the middle of a call nor leave its lock held for ever in the
child. So a fork waits for the calls in flight: no code of a user runs inside one, and each ends by itself.
"""

import os
import threading
import weakref

_locks: weakref.WeakSet = weakref.WeakSet()
_held = threading.local()  # what the thread that forks has taken


def new_lock() -> threading.RLock:
    lock = threading.RLock()
    _locks.add(lock)
    return lock


def both(one, other):
    """The two locks in the order in which every thread takes them, so that none waits for the other's."""
    return sorted((one, other), key=id)


def _hold_all():
    """Takes every lock in the order of all threads, anew where another one came in the meantime. No lock guards the set
    itself: one that an interrupt could leave held would stop all threads."""
    _held.locks = []
    while missing := _all_locks() - set(_held.locks):
        wanted = sorted(missing | set(_held.locks), key=id)
        _let_go()
        for lock in wanted:
            lock.acquire()
            _held.locks.append(lock)


def _all_locks():
    while True:
        try:
            return set(_locks)
        except RuntimeError:  # another thread has added one
            continue


def _let_go():
    while _held.locks:
        _held.locks.pop().release()


os.register_at_fork(before=_hold_all, after_in_parent=_let_go, after_in_child=_let_go)
