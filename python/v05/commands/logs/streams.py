"""The bytes of a log file as lines of text, with a bound on what a line may take."""

import gzip
import io
import sys
from contextlib import contextmanager

from .errors import LogError, UnknownFormat, UnreadableLog
from .files import STANDARD_INPUT

MOST = 2**27  # bytes of a line, unpacked, and of a document that must be read whole
HEAD = 512
PARQUET = b"PAR1"
GZIP = b"\x1f\x8b"
PACKED = {b"\x28\xb5\x2f\xfd": "zstdcat", b"\xfd7zXZ\0": "xzcat", b"BZh": "bzcat", b"PK\3\4": "unzip -p"}


@contextmanager
def opened(path):
    """(first bytes, binary stream that begins with them) of a file, of a pipe, or of standard input for "-"."""
    if path == STANDARD_INPUT:
        if sys.stdin is None:
            raise UnreadableLog("standard input", None, "is closed; give a file")
        yield _rewound(sys.stdin.buffer)
        return
    try:
        raw = open(path, "rb")
    except OSError as error:
        raise UnreadableLog(path, None, f"cannot be read: {error.strerror}") from error
    with raw:
        yield _rewound(raw)


def unpacked(path, head, stream):
    """The stream of text behind a stream, or an error that says what it is instead."""
    if head.startswith(GZIP):
        return gzip.GzipFile(fileobj=stream)
    for magic, command in PACKED.items():
        if head.startswith(magic):
            raise UnknownFormat(path, None, f"is compressed: {command} FILE | v05 replay -")
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UnknownFormat(path, None, "is UTF-16, not UTF-8 text: iconv -f utf-16 -t utf-8 FILE | v05 replay -")
    if b"\0" in head:
        raise UnknownFormat(path, None, "is neither UTF-8 text nor gzip nor parquet")
    return stream


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
                text = part.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                kind = UnknownFormat if number == 1 else LogError
                raise kind(path, number, f"is neither UTF-8 text nor gzip nor parquet: {error.reason}") from error
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
