"""Zip archives: inspect's logs of an evaluation, and what others hold that are no log."""

import json
import re
import zipfile
import zlib

from .errors import LogError, UnknownFormat
from .streams import MOST, PICKLE

SAMPLES = re.compile(r"samples/[^/]*\.json")


def archived(path, stream):
    """Yield (None, "", value) for every sample of an .eval file of inspect."""
    try:
        with zipfile.ZipFile(stream) as archive:
            members = archive.infolist()
            samples = sorted(
                {member.filename: member for member in members if SAMPLES.fullmatch(member.filename)}.items()
            )
            if not samples:
                raise UnknownFormat(path, None, _other([member.filename for member in members]))
            for name, member in samples:
                if member.file_size > MOST:
                    raise LogError(path, None, f"{name} has more than {MOST >> 20} MiB")
                yield None, "", json.loads(archive.read(member))
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error, ValueError) as error:
        if isinstance(error, (LogError, RecursionError)):
            raise
        problem = f"is a zip archive: unpack it ({error})"
        if isinstance(error, NotImplementedError):
            problem = (
                "is a zip archive that is packed in another way; inspect log convert --to json writes a log of text"
            )
        raise UnknownFormat(path, None, problem) from error


def _other(names):
    if any(name.endswith("data.pkl") for name in names):
        return f"is a file of PyTorch and {PICKLE}"
    if all(name.endswith(".npy") for name in names):
        return "holds arrays of numpy: write a line per rollout of them"
    if any(name.endswith("workbook.xml") for name in names):
        return "is a table of Excel: save it as CSV"
    return "is a zip archive: unpack it"
