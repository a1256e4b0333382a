"""Files of saved states: written whole or not at all, and never in place of something that is no file."""

import errno
import fcntl
import hashlib
import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from ..errors import ArgumentTypeError, CheckpointError, InvalidArgument

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
}
# What a file system says that has no unnamed files; what else it may mean is told again by the named one.
_UNNAMED_MISSING = {errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL, errno.EPERM, errno.EACCES}

_PAUSE, _PATIENCE = 0.02, 250  # seconds to wait for another process, and how often


def file_path(path: Any, name: str = "path") -> str:
    """The absolute path of a file to be read or written, with ~ and symbolic links resolved; else as `local_path`."""
    return os.path.realpath(local_path(path, name))


def local_path(path: Any, name: str = "path") -> str:
    """A path on this machine, with ~ resolved.

    Raises ArgumentTypeError and InvalidArgument for what can be no path: an address such as s3://bucket would become a
    folder "s3:".
    """
    try:
        text = os.fsdecode(path)
    except (TypeError, ValueError) as error:
        raise ArgumentTypeError(f"{name} must be the path of a file, got {path!r:.100}") from error
    # A pathlib.Path has lost one of the slashes.
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", text) and not os.path.isdir(text.partition("/")[0]):
        raise InvalidArgument(f"{name} must be the path of a file on this machine, got the address {text!r:.200}")
    if not text or "\0" in text:
        raise InvalidArgument(f"{name} must be the path of a file, got {text!r:.200}")
    expanded = os.path.expanduser(text)
    if expanded.startswith("~"):
        raise InvalidArgument(f"{name} must begin with the home of a user that exists, got {text!r:.200}")
    return expanded


def check_writable(path: Any, name: str = "path") -> None:
    """Raises where `whole_file` will: for what is no path of a file, and for what stands there and is no file. What may
    mend itself until then, such as a disk that is not mounted, is no error yet."""
    try:
        _standing(file_path(path, name), name)
    except IsADirectoryError:
        raise
    except OSError:
        pass


def read_file(path: Any) -> bytes:
    """The bytes of a file. Raises CheckpointError for what is none, which might never end."""
    where = file_path(path)
    mode = os.stat(where).st_mode
    if not stat.S_ISREG(mode):
        raise CheckpointError(f"{where} must be a file, got {_kind(mode)}")
    with open(os.open(where, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
        return file.read()


@contextmanager
def whole_file(path: Any) -> Iterator[BinaryIO]:
    """A file to be written, in binary, that takes its place when all is written.

    A crash in the middle leaves an old file whole, and nothing beside it: the new one has no name until it is complete.
    Where the file system has no such files it bears a name of its own, always the same for one path, so that the next
    save clears up after a crash.
    """
    where = file_path(path)
    former = _standing(where, "path")
    folder, name = os.path.split(where)
    temporary = _temporary(name)
    within = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        descriptor, named = _unnamed(within), False
        if descriptor is None:
            descriptor, named = _own(within, temporary), True
        try:
            with open(descriptor, "wb") as file:
                if former is not None:
                    _adopt_owner(descriptor, former)
                yield file
                file.flush()
                os.fsync(descriptor)
                if not named:
                    named = True
                    _name(within, descriptor, temporary)
                os.replace(temporary, name, src_dir_fd=within, dst_dir_fd=within)
                named = False
        except BaseException:
            if named:
                _remove(within, temporary)
            raise
    finally:
        os.close(within)


def _temporary(name):
    return f".v05-{hashlib.blake2b(os.fsencode(name), digest_size=12).hexdigest()}"


def _standing(where, name):
    """What stands at a path: the result of stat, None for nothing."""
    try:
        found = os.stat(where)
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, f"{name} must be a file, got a folder", where)
    if not stat.S_ISREG(found.st_mode):
        raise InvalidArgument(f"{name} must be a file or new, got {_kind(found.st_mode)}: {where}")
    return found


def _kind(mode):
    return _KINDS.get(stat.S_IFMT(mode), "something else")


def _unnamed(within):
    """A descriptor of a file without a name in a folder; None where the file system has none, or it could get no
    name."""
    if not os.path.isdir("/proc/self/fd"):
        return None
    try:
        return os.open(".", os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o666, dir_fd=within)
    except OSError as error:
        if error.errno in _UNNAMED_MISSING:
            return None
        raise


def _own(within, temporary):
    """A descriptor of the named temporary file, empty and locked: what a crash left is used again, and of two processes
    that save to one path the second waits."""
    while True:
        descriptor = os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666, dir_fd=within)
        try:
            _lock_file(descriptor)
            if _is(within, temporary, descriptor):  # and not what another process has put into its place meanwhile
                os.ftruncate(descriptor, 0)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _lock_file(descriptor):
    for _ in range(_PATIENCE):
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            held = error
        except OSError as error:  # some shared file systems have no locks: two processes then must not save to one path
            if error.errno in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):
                return
            raise
        time.sleep(_PAUSE)
    raise held


def _name(within, descriptor, temporary):
    """Gives an unnamed file its name for a moment."""
    former = None
    for _ in range(_PATIENCE):
        try:
            # A folder's descriptor makes Python follow the link, which is how a file without a name gets one.
            return os.link(f"/proc/self/fd/{descriptor}", temporary, dst_dir_fd=within)
        except FileExistsError:
            try:
                found = os.stat(temporary, dir_fd=within, follow_symlinks=False).st_ino
            except FileNotFoundError:
                continue
            if found == former:  # another process has it for a moment only: this one was left by a crash
                _remove(within, temporary)
            former = found
            time.sleep(_PAUSE)
    raise FileExistsError(errno.EEXIST, "too many processes save to the same path", temporary)


def _is(within, name, descriptor):
    try:
        return os.path.samestat(os.stat(name, dir_fd=within, follow_symlinks=False), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _remove(within, name):
    try:
        os.unlink(name, dir_fd=within)
    except FileNotFoundError:
        pass


def _adopt_owner(descriptor, former):
    """Owner and mode of the file that is replaced, as far as this user may."""
    mine = os.fstat(descriptor)
    if (mine.st_uid, mine.st_gid) != (former.st_uid, former.st_gid):
        try:
            os.fchown(descriptor, former.st_uid, former.st_gid)
        except OSError:
            pass
    try:
        os.fchmod(descriptor, former.st_mode & 0o777)
    except OSError:  # some file systems refuse it
        pass
