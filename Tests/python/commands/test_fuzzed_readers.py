"""Whatever bytes a log holds, reading it gives a whole log or a v05.Error of one line: nothing else, and no long
wait."""

import csv
import gzip
import io
import json
import os
import tempfile

import numpy as np
import pytest
import v05
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from v05.commands.logs import detect_reward_range, fields_of, read_log
from v05.commands.logs.field_names import ADVANTAGES, ANSWERS, COMPLETIONS, GROUPS, PROMPTS, REWARDS, STEPS
from v05.commands.replay import replay
from v05.commands.replay.visits import gather_visits

FEW = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
MINUTE = settings(max_examples=12_000, deadline=None, suppress_health_check=list(HealthCheck))
NAMES = (
    *PROMPTS[:6],
    *REWARDS[:8],
    *STEPS[:7],
    *GROUPS,
    *ADVANTAGES,
    *ANSWERS[:3],
    *COMPLETIONS[:4],
    "uid",
    "epoch",
    "prior",
    "rollouts",
    "successes",
    "columns",
    "data",
    "content",
    "sample_idx",
    "task_id",
    "tail_version",
    "samples",
    "results",
    "value",
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 9),
    st.sampled_from((0, 1)),
    st.floats(),
    st.integers(),
    st.text(max_size=6),
    st.sampled_from(
        ("1", "true", "fail", "nan", "1e999", "pad0123456789abcdef0123456789abcdef_0_0", "a_1_0", "\x1b[2J", "\ud800")
    ),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(NAMES), inner, max_size=4)),
    max_leaves=8,
)
ROWS = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=6)
# Rows that are nearly right, so that what comes after the first look is reached too.
NEARLY = st.builds(
    lambda row, prompt, reward, step: {"prompt": prompt, "reward": reward, "step": step} | row,
    ROWS,
    st.sampled_from("abc"),
    st.sampled_from((0, 1, 0.5)),
    st.integers(0, 3),
)


def as_lines(rows):
    return "\n".join(json.dumps(row) for row in rows).encode()


def as_document(rows):
    return json.dumps(rows, indent=1).encode()


def as_inner(rows):
    return json.dumps({"run": {"results": rows}, "model": "m"}).encode()


def as_columns(rows):
    names = list(dict.fromkeys(name for row in rows for name in row))
    return json.dumps({"columns": names, "data": [[row.get(name) for name in names] for row in rows]}).encode()


def as_table_per_line(rows):
    names = list(dict.fromkeys(name for row in rows for name in row))
    return json.dumps({name: [row.get(name) for row in rows] for name in names}).encode()


def as_csv(rows):
    names = list(dict.fromkeys(name for row in rows for name in row))
    file = io.StringIO()
    csv.writer(file).writerows([names, *([str(row.get(name, "")) for name in names] for row in rows)])
    return file.getvalue().encode("utf-8", "surrogatepass")


WRITERS = (as_lines, as_document, as_inner, as_columns, as_table_per_line, as_csv)
CONTENTS = st.builds(
    lambda write, rows, zipped: gzip.compress(write(rows), 1) if zipped else write(rows),
    st.sampled_from(WRITERS),
    st.lists(st.one_of(NEARLY, NEARLY, ROWS), max_size=24),
    st.booleans(),
)


@st.composite
def damaged(draw):
    """A log of which some bytes were changed, cut out or put in."""
    data = bytearray(draw(CONTENTS))
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(data)))
        data[place : place + draw(st.integers(0, 5))] = draw(st.binary(max_size=4))
    return bytes(data)


def read(data, **options):
    """Reads a log of these bytes as the commands do. A log must be whole; an error must be one line."""
    handle, path = tempfile.mkstemp(suffix=".jsonl")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        log = read_log(path, texts=True, **options)
        for name in ("prompt", "visit", "step", "prior", "times", "file", "line"):
            assert len(getattr(log, name)) == len(log.reward)
        assert np.isfinite(log.reward).all() and np.isfinite(log.step).all() and (log.times >= 1).all()
        assert (np.diff(log.visit) >= 0).all() and (np.diff(log.step) >= 0).all()
        assert 0 <= log.prompt.min() and log.prompt.max() < len(log.texts)
        visits = gather_visits(log)
        assert visits.count.sum() == log.times.sum() == len(visits.reward)
        low, high = detect_reward_range(log)
        assert low <= log.reward.min() and log.reward.max() <= high
    except v05.Error as error:
        assert str(error).isprintable() and len(str(error)) < 4000
    finally:
        os.unlink(path)


def options_of(name):
    return {"fields": fields_of(reward=(name,), prompt="question", step="value", group="group")}


@FEW
@given(CONTENTS)
def test_logs_of_any_fields(data):
    read(data)


@FEW
@given(damaged())
def test_damaged_logs(data):
    read(data)


@FEW
@given(damaged(), st.sampled_from(NAMES))
def test_fields_that_are_named(data, name):
    read(data, **options_of(name))


@FEW
@given(st.binary(max_size=400))
def test_any_bytes(data):
    read(data)


@pytest.mark.slow
@MINUTE
@given(st.one_of(CONTENTS, damaged(), st.binary(max_size=400)), st.one_of(st.none(), st.sampled_from(NAMES)))
def test_logs_for_a_minute(data, name):
    read(data, **(options_of(name) if name else {}))


@pytest.mark.slow
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(NEARLY, min_size=8, max_size=60))
def test_replays_for_a_minute(rows):
    """What can be read can be replayed, or says why not."""
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as file:
        file.write(as_lines(rows))
        file.flush()
        try:
            report = replay(file.name, splits=1)
            json.dumps(report.as_dict(), allow_nan=False)
        except v05.Error as error:
            assert str(error).isprintable()


def damaged_parquet(data, changes):
    data = bytearray(data)
    for place, byte in changes:
        data[place % len(data)] = byte
    return bytes(data)


CHANGES = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=6)


def parquet_log():
    pyarrow = pytest.importorskip("pyarrow", reason="reading parquet needs pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet", reason="reading parquet needs pyarrow")
    rows = [
        {"step": s, "prompt": f"q{p}", "completion": "x", "a": float((s + p + k) % 2), "b": 0.5, "advantage": 0.1 * k}
        for s in range(2)
        for p in range(4)
        for k in range(4)
    ]
    file = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(rows), file)
    return file.getvalue()


@FEW
@given(CHANGES)
def test_damaged_parquet(changes):
    read(damaged_parquet(parquet_log(), changes))
