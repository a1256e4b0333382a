"""Zip archives: inspect's logs of an evaluation, and what others hold that are no log."""

import json
import re
import zipfile
import zlib

from .errors import LogError, UnknownFormat
from .streams import MOST, PICKLE

HEADERS = ("header.json", "_journal/start.json")  # the second of a log that is still being written
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
            model = _model(archive)
            for name, member in samples:
                if member.file_size > MOST:
                    raise LogError(path, None, f"{name} has more than {MOST >> 20} MiB")
                sample = json.loads(archive.read(member))
                yield None, "", model | sample if isinstance(sample, dict) else sample
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error, ValueError) as error:
        if isinstance(error, (LogError, RecursionError)):
            raise
        problem = f"is a zip archive: unpack it ({error})"
        if isinstance(error, NotImplementedError):
            problem = (
                "is a zip archive that is packed in another way; inspect log convert --to json writes a log of text"
            )
        raise UnknownFormat(path, None, problem) from error


def _model(archive):
    """{"model": name} of the evaluation, or {} where the archive has no header."""
    for name in HEADERS:
        if name in archive.namelist() and archive.getinfo(name).file_size <= MOST:
            header = json.loads(archive.read(name))
            run = header.get("eval") if isinstance(header, dict) else None
            return {"model": run["model"]} if isinstance(run, dict) and "model" in run else {}
    return {}


def _other(names):
    if any(name.endswith("data.pkl") for name in names):
        return f"is a file of PyTorch and {PICKLE}"
    if all(name.endswith(".npy") for name in names):
        return "holds arrays of numpy: write a line per rollout of them"
    if any(name.endswith("workbook.xml") for name in names):
        return "is a table of Excel: save it as CSV"
    return "is a zip archive: unpack it"
