"""What an AdvantageEstimator saves, and reading it as if somebody meant harm: all is checked before anything is
believed.

A state is {name: bytes}: "estimator", a JSON object with version, rule, prior, reward_range and steps; the checkpoint
of what the rule learns, under its name; "prior/NAME" for each part of the source of priors. In a file it is a zip
archive of these members, not compressed.
"""

import io
import json
import re
import zipfile
from collections.abc import Mapping
from typing import Any, NamedTuple

from .._core.arguments import checked_range
from .._core.files import read_file, whole_file
from .._core.types import FilePath
from ..errors import CheckpointError, Error

#: Name of the file of `AdvantageEstimator.save` in a trainer's checkpoint.
STATE_FILE = "v05.zip"
VERSION = 1
_MEMBER = re.compile(r"estimator|Running[A-Za-z]+|prior/[^/\\]{1,200}")
_MOST_MEMBERS = 1024
_MOST_STEPS = 2**31 - 1  # the core counts them in 32 bits


class About(NamedTuple):
    """The member "estimator", checked. reward_range: (lo, hi), None where no reward was seen."""

    rule: str
    prior: str
    reward_range: tuple[float, float] | None
    steps: int


def about_bytes(about: About) -> bytes:
    return json.dumps({"version": VERSION} | about._asdict()).encode()


def read_about(state: Any) -> About:
    """The About of a state. Raises CheckpointError."""
    if not hasattr(state, "keys") or "estimator" not in state:
        raise CheckpointError('state must be what AdvantageEstimator.state_dict() returned, it has no "estimator"')
    try:
        found = json.loads(bytes(state["estimator"]))
    except (TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f'the member "estimator" of the state must be JSON: {error}') from error
    version = _field(found, "version", int)
    if version > VERSION:
        raise CheckpointError(
            f"the state has version {version}, of a newer release of v05; this one reads up to {VERSION}"
        )
    if version < 1:
        raise CheckpointError(f"version of the state must be at least 1, got {version}")
    steps = _field(found, "steps", int)
    if not 0 <= steps <= _MOST_STEPS:
        raise CheckpointError(f"steps of the state must lie in 0 to {_MOST_STEPS}, got {steps:.20g}")
    reward_range = _field(found, "reward_range", (list, type(None)))
    if reward_range is not None:
        try:
            reward_range = checked_range(reward_range)
        except Error as error:
            raise CheckpointError(f"the state cannot be used: {error}") from error
    return About(_field(found, "rule", str), _field(found, "prior", str), reward_range, steps)


def _field(found, name, kind):
    value = found.get(name) if isinstance(found, dict) else None
    if not isinstance(value, kind) or isinstance(value, bool):
        raise CheckpointError(f"{name} of the state must be of another kind, got {value!r:.100}")
    return value


def write_state(path: FilePath, state: Mapping[str, bytes]) -> None:
    """Raises CheckpointError for what `read_state` would refuse, before anything is written."""
    bad = next((name for name in state if not _MEMBER.fullmatch(name)), None)
    if bad is not None or len(state) > _MOST_MEMBERS:
        raise CheckpointError(
            f"a state must have at most {_MOST_MEMBERS} members, those of a source with names of 1 to 200 characters "
            f"without slashes, got {len(state) if bad is None else bad!r:.100}"
        )
    archive = io.BytesIO()
    file = zipfile.ZipFile(archive, "w")
    try:
        for name, data in state.items():
            file.writestr(zipfile.ZipInfo(name), data)  # no time stamp: the same state gives the same bytes
        file.close()
    except BaseException:
        file.fp = None  # closing what Ctrl-C has interrupted would raise something else
        raise
    with whole_file(path) as file:
        file.write(archive.getbuffer())


def read_state(path: FilePath) -> dict[str, bytes]:
    """The state_dict that `AdvantageEstimator.save` wrote to a file. Raises CheckpointError for what is none."""
    data = read_file(path)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            return {member.filename: file.read(member) for member in _checked(file.infolist(), len(data))}
    except Exception as error:  # zipfile raises a dozen kinds for damaged archives
        raise CheckpointError(f"{path} is no saved AdvantageEstimator: {error}") from error


def _checked(members, file_size):
    if len(members) > _MOST_MEMBERS:
        raise ValueError(f"it has {len(members)} members")
    names = [member.filename for member in members]
    for member in members:
        name = member.filename
        if not _MEMBER.fullmatch(name):
            raise ValueError(f"it has a member {name!r:.100}")
        if names.count(name) > 1:
            raise ValueError(f"it has the member {name!r:.100} more than once")
        if member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size:
            raise ValueError(f"its member {name!r:.100} is compressed")
    if sum(member.file_size for member in members) > file_size:
        raise ValueError("its members are larger than the file")
    return members
