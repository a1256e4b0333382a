"""The bytes of a log file as lines of text, with a bound on what a line may take."""

import io
import sys
import zlib
from contextlib import contextmanager
from importlib import import_module

from .errors import LogError, UnknownFormat, UnreadableLog
from .files import STANDARD_INPUT

MOST = 2**27  # bytes of a line, unpacked, and of a document that must be read whole
HEAD = 512
MARK = b"\xef\xbb\xbf"  # of UTF-8, at the beginning of each file that was joined into one
PARQUET = b"PAR1"
PACKED = {
    b"\x1f\x8b": ("gzip", "zcat"),
    b"BZh": ("bz2", "bzcat"),
    b"\xfd7zXZ\0": ("lzma", "xzcat"),
    b"\x5d\0\0": ("lzma", "xzcat"),
}
COMMANDS = {b"\x28\xb5\x2f\xfd": "zstdcat", b"\x04\x22\x4d\x18": "lz4cat"}  # what Python does not unpack
UTF_32 = b"\xff\xfe\0\0"
PICKLE = "a pickle, which may run code when it is loaded: write a line per rollout of it, see docs/logs.md"
ARROW = "is an Arrow file: datasets.load_from_disk(FOLDER).to_parquet(FILE), or pyarrow, writes it as parquet"
OTHERS = {
    b"\x80\2": f"is {PICKLE}",
    b"\x80\3": f"is {PICKLE}",
    b"\x80\4": f"is {PICKLE}",
    b"\x80\5": f"is {PICKLE}",
    b"ARROW1": ARROW,
    b"\xff\xff\xff\xff": ARROW,
    b"\x93NUMPY": "is an array of numpy: write a line per rollout of it",
    b"SQLite format 3": "is a database of SQLite: sqlite3 -csv -header FILE 'select * from TABLE' | v05 replay -",
    b"version https://git-lfs": "is a pointer of Git LFS in place of the file: git lfs pull",
    b"\x89HDF": "is HDF5: write a line per rollout of it",
}
ZIP = b"PK\3\4"


@contextmanager
def opened(path):
    """(first bytes, binary stream that begins with them) of a file, of a pipe, or of standard input for "-"."""
    if path == STANDARD_INPUT:
        if sys.stdin is None:
            raise UnreadableLog("standard input", None, "is closed; give a file")
        with _told("standard input"):
            yield _rewound(sys.stdin.buffer)
        return
    try:
        raw = open(path, "rb")
    except OSError as error:
        raise UnreadableLog(path, None, f"cannot be read: {error.strerror}") from error
    with raw, _told(path):
        yield _rewound(raw)


@contextmanager
def _told(path):
    """Tells what a device or a damaged compressed file brings about as a `LogError`."""
    try:
        yield
    except Exception as error:
        # The last is of a module that not every Python has.
        if not isinstance(error, (OSError, EOFError, zlib.error)) and type(error).__name__ != "LZMAError":
            raise
        raise LogError(path, None, f"cannot be read: {error}") from error


def unpacked(path, head, stream):
    """The stream of text behind a stream, or an error that says what it is instead."""
    for magic, (module, command) in PACKED.items():
        if head.startswith(magic):
            try:
                text = import_module(module).open(stream, "rb")
            except ImportError as error:
                raise _packed(path, command) from error
            inner = text.peek(HEAD)[:HEAD]
            if b"\0" in inner or inner.startswith((*PACKED, PARQUET, ZIP)):
                raise UnknownFormat(path, None, "holds no text: unpack it and give what is in it")
            return text
    for magic, command in COMMANDS.items():
        if head.startswith(magic):
            raise _packed(path, command)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) and not head.startswith(UTF_32):
        raise UnknownFormat(path, None, "is UTF-16, not UTF-8 text: iconv -f utf-16 -t utf-8 FILE | v05 replay -")
    for magic, problem in OTHERS.items():
        if head.startswith(magic):
            raise UnknownFormat(path, None, problem)
    if b"\0" in head:
        raise UnknownFormat(path, None, "is neither UTF-8 text nor gzip nor parquet")
    return stream


def _packed(path, command):
    """The error for a log that cannot be unpacked on the way: part of a run is never left out for that."""
    return LogError(path, None, f"is compressed: {command} FILE | v05 replay -, or unpack it")


def text_lines(path, stream):
    """Yield (number, line) with its end, whatever ends lines."""
    number = 0
    while piece := stream.readline(MOST + 1):
        if len(piece) > MOST:
            raise LogError(
                path, number + 1, f"has more than {MOST >> 20} MiB; a log has one rollout, or one table, per line"
            )
        for part in piece.splitlines(keepends=True) if b"\r" in piece else (piece,):
            number += 1
            try:
                text = part.decode("utf-8-sig" if part.startswith(MARK) else "utf-8")
            except UnicodeDecodeError as error:
                if number > 1 and error.end == len(part) and error.reason == "unexpected end of data":
                    text = part[: error.start].decode("utf-8")  # a last line that is not whole
                else:
                    kind = UnknownFormat if number == 1 else LogError
                    problem = (
                        f"is neither UTF-8 text nor gzip nor parquet: {error.reason}; text of another encoding can be "
                        "read by iconv -f latin1 -t utf-8 FILE | v05 replay -"
                    )
                    raise kind(path, number, problem) from error
            yield number, text


def whole(path, stream):
    """All bytes of a stream, as a file that can be searched; bounded."""
    data = stream.read(MOST + 1)
    if len(data) > MOST:
        raise LogError(path, None, f"parquet from a pipe is read up to {MOST >> 20} MiB; give a file")
    return io.BytesIO(data)


def _rewound(raw):
    """(first bytes, stream that begins with them), also where the stream cannot be searched."""
    head = raw.read(HEAD)
    if raw.seekable():
        raw.seek(0)
        return head, raw
    return head, io.BufferedReader(_Joined(head, raw))


class _Joined(io.RawIOBase):
    """Bytes, then the rest of a stream."""

    def __init__(self, head, rest):
        super().__init__()
        self._head, self._rest = head, rest

    def readable(self):
        return True

    def readinto(self, buffer):
        data = self._head[: len(buffer)] or self._rest.read1(len(buffer))
        self._head = self._head[len(data) :]
        buffer[: len(data)] = data
        return len(data)
