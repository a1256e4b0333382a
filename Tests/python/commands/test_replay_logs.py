"""Every log format reads the same; every kind of bad log says what is wrong."""

import bz2
import csv
import gzip
import io
import json
import lzma
import os
import tarfile
from math import nan

import numpy as np
import pytest
from v05.commands.logs import detect_reward_range, fields_of, read_log
from v05.commands.logs.numbering import earlier_occurrences
from v05.commands.replay import LogError, replay
from v05.commands.replay.visits import gather_visits
from v05.errors import Error, InvalidArgument

# prompt, step, reward of a run with two prompts, two steps and four rollouts per visit
ROLLOUTS = [
    *(("one", 1, reward) for reward in (1, 0, 0, 1)),
    *(("two", 1, reward) for reward in (0, 0, 0, 1)),
    *(("one", 2, reward) for reward in (1, 1, 1, 1)),
    *(("two", 2, reward) for reward in (0, 1, 0, 0)),
]


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_csv(path, rows, delimiter=","):
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_parquet(path, rows):
    pyarrow = pytest.importorskip("pyarrow", reason="reading parquet needs pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet", reason="reading parquet needs pyarrow")
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


def plain(rows=ROLLOUTS):
    return [{"prompt": prompt, "step": step, "reward": reward} for prompt, step, reward in rows]


def rollout_lines(folder):
    return write_lines(folder / "log.jsonl", plain())


def zipped_lines(folder):
    path = folder / "log.jsonl.gz"
    path.write_bytes(gzip.compress(rollout_lines(folder).read_bytes()))
    return path


def lines_with_byte_order_mark(folder):
    path = folder / "marked.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + rollout_lines(folder).read_bytes())
    return path


def pass_count_lines(folder):
    rows = [{"prompt": 1, "rollouts": 4, "successes": [2, 4]}, {"prompt": 2, "rollouts": 4, "successes": [1, 1]}]
    return write_lines(folder / "counts.jsonl", rows)


def verl_directory(folder):
    names = {1: "9.jsonl", 2: "10.jsonl"}  # in this order by number, not by name
    for step, name in names.items():
        rows = [
            {"input": prompt, "output": "text", "gts": None, "score": float(reward), "step": step, "uid": f"{prompt}_0"}
            for prompt, at, reward in ROLLOUTS
            if at == step
        ]
        write_lines(folder / name, rows)
    return folder


def verl_file_with_numbers_as_text(folder):
    rows = [{"input": p, "output": "", "score": str(float(reward)), "step": step} for p, step, reward in ROLLOUTS]
    return write_lines(folder / "dump.jsonl", rows)


def trl_rows(step):
    return [
        {
            "step": at,
            "prompt": [{"role": "user", "content": prompt}],
            "completion": [{"role": "assistant", "content": f"{row}"}],
            "accuracy": float(reward),
            "format": nan,
            "advantage": 0.5 - reward,
        }
        for row, (prompt, at, reward) in enumerate(ROLLOUTS)
        if at == step
    ]


def trl_directory(folder):
    for step in (1, 2):
        write_parquet(folder / f"completions_{step:05d}.parquet", trl_rows(step))
    return folder


def plain_parquet(folder):
    return write_parquet(folder / "log.parquet", plain())


def comma_separated(folder):
    return write_csv(folder / "log.csv", plain())


def semicolon_separated(folder):
    return write_csv(folder / "log.csv", plain(), ";")


def zipped_csv(folder):
    path = folder / "log.csv.gz"
    path.write_bytes(gzip.compress(comma_separated(folder).read_bytes()))
    return path


@pytest.mark.parametrize(
    "write",
    [
        rollout_lines,
        zipped_lines,
        lines_with_byte_order_mark,
        pass_count_lines,
        verl_directory,
        verl_file_with_numbers_as_text,
        trl_directory,
        plain_parquet,
        comma_separated,
        semicolon_separated,
        zipped_csv,
    ],
)
def test_every_format_reads_the_same(write, tmp_path):
    log = read_log(write(tmp_path))
    assert log.unscorable == 0 and log.repeated == 0 and log.has_steps
    assert detect_reward_range(log) == (0.0, 1.0)
    visits = gather_visits(log)
    np.testing.assert_array_equal(visits.prompt, [0, 1, 0, 1])
    np.testing.assert_array_equal(visits.count, 4)
    np.testing.assert_array_equal(visits.earlier, [0, 0, 1, 1])
    np.testing.assert_array_equal(visits.batches, [0, 2, 4])
    assert np.add.reduceat(visits.reward, visits.start).tolist() == [2, 1, 4, 1]
    assert np.isnan(visits.logged_prior).all()


def test_rows_may_come_in_any_order(tmp_path):
    order = np.random.default_rng(0).permutation(len(ROLLOUTS))
    log = read_log(write_lines(tmp_path / "log.jsonl", plain([ROLLOUTS[row] for row in order])))
    visits = gather_visits(log)
    np.testing.assert_array_equal(visits.count, 4)
    assert sorted(np.add.reduceat(visits.reward, visits.start)[:2].tolist()) == [1, 2]


def test_without_steps_the_runs_of_a_prompt_are_its_visits(tmp_path):
    rows = [{"prompt": prompt, "reward": reward} for prompt, _, reward in ROLLOUTS]
    log = read_log(write_lines(tmp_path / "log.jsonl", rows))
    assert not log.has_steps
    np.testing.assert_array_equal(gather_visits(log).batches, [0, 2, 4])


def test_earlier_occurrences():
    assert earlier_occurrences(np.array([3, 0, 3, 3, 0])).tolist() == [0, 0, 1, 2, 1]


def test_rollouts_without_reward_are_left_out_and_counted(tmp_path):
    rows = plain()
    rows[0]["reward"], rows[5]["reward"] = None, nan
    log = read_log(write_lines(tmp_path / "log.jsonl", rows))
    assert log.unscorable == 2 and len(log.reward) == 14
    rows[0]["reward"] = rows[5]["reward"] = ""
    assert read_log(write_csv(tmp_path / "log.csv", rows)).unscorable == 2


def test_reward_fields_by_name_are_added_up(tmp_path):
    rows = [row | {"style": 0.5} for row in plain()]
    log = read_log(write_lines(tmp_path / "log.jsonl", rows), fields=fields_of(("reward", "style")))
    assert sorted(set(log.reward.tolist())) == [0.5, 1.5]
    assert detect_reward_range(log) == (0.5, 1.5)


def test_logged_priors(tmp_path):
    rows = [row | {"prior": None if row["prompt"] == "two" else 0.25} for row in plain()]
    visits = gather_visits(read_log(write_lines(tmp_path / "log.jsonl", rows)))
    np.testing.assert_array_equal(visits.logged_prior, [0.25, nan, 0.25, nan])


def test_trl_writes_a_batch_again_at_the_next_step(tmp_path):
    write_parquet(tmp_path / "completions_00001.parquet", trl_rows(1))
    write_parquet(tmp_path / "completions_00002.parquet", [row | {"step": 2} for row in trl_rows(1)])
    half = [row | {"step": 3} for row in trl_rows(1)[4:]]
    write_parquet(tmp_path / "completions_00003.parquet", half + [row | {"step": 3} for row in trl_rows(2)])
    log = read_log(tmp_path)
    assert log.repeated == 8 + 4
    assert len(log.reward) == 16


def test_verl_pads_its_batches(tmp_path):
    rows = [{"input": p, "score": reward, "step": step, "uid": f"{p}_0_0"} for p, step, reward in ROLLOUTS]
    padding = {"input": "", "score": 0.0, "step": 2, "uid": f"pad{'0123456789abcdef' * 2}_0_0"}
    log = read_log(write_lines(tmp_path / "log.jsonl", [padding, *rows, padding]))
    assert len(log.reward) == 16 and log.unscorable == 2


@pytest.mark.parametrize(
    "rewards, expected",
    [([0, 1], (0, 1)), ([0, 0], (0, 1)), ([1, 1], (0, 1)), ([-1, 1], (-1, 1)), ([-1], (-1, 1)), ([0.2, 3], (0.2, 3))],
)
def test_detected_reward_range(rewards, expected, tmp_path):
    rows = [{"prompt": 1, "reward": reward} for reward in rewards]
    assert detect_reward_range(read_log(write_lines(tmp_path / "log.jsonl", rows))) == expected


def line(**changed):
    row = {"prompt": "p", "step": 1, "reward": 1} | changed
    return json.dumps({name: value for name, value in row.items() if value != "absent"})


def tarred(text):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        entry = tarfile.TarInfo("log.jsonl")
        entry.size = len(text)
        archive.addfile(entry, io.BytesIO(text.encode()))
    return file.getvalue()


GOOD = line()
BAD_LOGS = {
    "empty": ("", "no rollouts"),
    "blank lines only": ("\n \n", "no rollouts"),
    "only unscorable": (line(reward=None), "none of its 1 rollouts has a reward"),
    "unknown fields": ('{"text": "p", "value": 1}', "line 1: no known log format: found text, value"),
    "broken JSON": (f"{GOOD}\n{{\n", "line 2: is not valid JSON"),
    "a first line that is cut": ('{"prompt": "p", "rew', "line 1: is not valid JSON"),
    "Latin-1": ("prompt,reward\nGröße,1\n".encode("latin-1"), "read by iconv -f latin1 -t utf-8 FILE | v05 replay -"),
    "reward a percentage": ("prompt,reward\np,50%\n", "reward must be a number, true, false, pass or fail, got '50%'"),
    "step a time": (line(step="2026-01-04T00:00:00"), "step must be a number, got '2026-01-04T00:00:00'; --step FIELD"),
    "steps that are one number": (line(step=2**53 + 1), "step must lie below 2^53, got 9007199254740993"),
    "parts of a reward": (line(reward={"accuracy": 1, "format": 0}), "several fields may be the reward: reward.acc"),
    "a mean beside rewards": (line(rewards=[1, 0]), "the reward: reward, rewards; name it by --reward rewards"),
    "not an object": (f"{GOOD}\n17", "line 2: must be a JSON object, got 17"),
    "array with a number": (f"[{GOOD}, 3]", "line 1: must be a JSON object, got 3"),
    "nested": ('{"prompt": ' + "[" * 100_000 + "]" * 100_000 + ', "reward": 1}', "nested too deep"),
    "UTF-16": (GOOD.encode("utf-16"), "is UTF-16, not UTF-8 text"),
    "zstd": (b"\x28\xb5\x2f\xfd\x00", "is compressed: zstdcat FILE | v05 replay -"),
    "zeros": (bytes(10_000), "neither UTF-8 text nor gzip"),
    "no UTF-8 further down": (f"{GOOD}\n".encode() + b'{"prompt": "\xff"}', "line 2: is neither UTF-8 text"),
    "columns of one name": ("prompt,reward,reward\np,1,0\n", "two columns are called 'reward'"),
    "quotation mark left open": ('prompt,reward\n"p,1\n' + "q,1\n" * 9, "has 1 fields where the header has 2"),
    "prompt missing": (f"{GOOD}\n{line(prompt='absent')}", "line 2: the field 'prompt' is missing"),
    "prompt empty": (f"{GOOD}\n{line(prompt='')}", "line 2: prompt is empty"),
    "reward missing": (f"{GOOD}\n{line(reward='absent')}", "line 2: the field 'reward' is missing"),
    "reward no number": (f"{GOOD}\n{line(reward='good')}", "line 2: reward must be a number, got 'good'"),
    "reward infinite": (f"{GOOD}\n{line(reward=float('inf'))}", "line 2: reward must be finite"),
    "reward a list of text": (f"{GOOD}\n{line(reward=['a', 'b'])}", "line 2: reward must be a number"),
    "lists of different lengths": (
        '{"prompt": ["p", "q"], "reward": [1, 0, 1]}',
        "prompt has 2 entries where reward has 3",
    ),
    "a list beside one completion": (
        '{"prompt": "p", "completion": "c", "reward": [1, 0]}',
        "a list of 2 beside one completion",
    ),
    "step no number": (f"{GOOD}\n{line(step='first')}", "line 2: step must be a number"),
    "some steps missing": (f"{GOOD}\n\n{line(step='absent')}", "line 3: step is missing"),
    "prior no number": (line(prior="high"), "prior must be a number"),
    "rollouts no count": ('{"prompt": 1, "rollouts": 0, "successes": [0]}', "rollouts must be a whole number"),
    "too many successes": ('{"prompt": 1, "rollouts": 2, "successes": [3]}', "between 0 and 2 rollouts, got 3"),
    "successes no list": ('{"prompt": 1, "rollouts": 2, "successes": 1}', "successes must be a list"),
    "CSV without header": ("p,1,1\np,1,0\n", "no known log format"),
    "CSV with a short row": ("prompt,step,reward\np,1,0\np,1\n", "line 3: has 2 fields where the header has 3"),
    "not text": (b"\xff\xff\x01", "neither UTF-8 text"),
    "an archive": (gzip.compress(tarred(GOOD)), "holds no text: unpack it and give what is in it"),
    "compressed twice": (gzip.compress(bz2.compress(GOOD.encode())), "holds no text: unpack it and give what is in it"),
    "a zip": (b"PK\3\4\0\0", "is a zip archive: unpack it"),
    "cut gzip": (gzip.compress(GOOD.encode() * 100)[:-12], "cannot be read"),
}


@pytest.mark.parametrize("case", BAD_LOGS)
def test_bad_log(case, tmp_path):
    content, message = BAD_LOGS[case]
    path = tmp_path / "log"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(LogError) as error:
        read_log(path)
    assert str(error.value).startswith(str(path)) and message in str(error.value)


def test_bad_paths(tmp_path):
    with pytest.raises(LogError, match="no such file"):
        read_log(tmp_path / "absent")
    with pytest.raises(LogError, match="has no log file"):
        read_log(tmp_path)
    for path in ("", "a\0b", 3, "s3://bucket/log.jsonl"):
        with pytest.raises(Error, match="^log must be the path of a file"):
            replay(path)


def test_paths_of_every_kind(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    path = rollout_lines(tmp_path)
    for other in (os.fsencode(path), f"~/{path.name}"):
        assert len(read_log(other).reward) == 16


def test_part_of_a_run_is_not_left_out_for_its_compression(tmp_path):
    rollout_lines(tmp_path)
    (tmp_path / "step_2.jsonl.zst").write_bytes(b"\x28\xb5\x2f\xfd\x00")
    with pytest.raises(LogError, match=r"step_2.jsonl.zst: is compressed: zstdcat FILE \| v05 replay -, or unpack it"):
        read_log(tmp_path)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_cut_files_of_prompts_and_logs(pack, tmp_path):
    path = rollout_lines(tmp_path)
    (tmp_path / "cut").write_bytes(pack(path.read_bytes())[:-12])
    for options in (dict(path=tmp_path / "cut"), dict(path=path, exclude=tmp_path / "cut")):
        with pytest.raises(LogError, match="cut: cannot be read"):
            read_log(**options)


def test_bad_parquet(tmp_path):
    pytest.importorskip("pyarrow", reason="reading parquet needs pyarrow")
    (tmp_path / "log.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(LogError, match="no valid parquet"):
        read_log(tmp_path)
    write_parquet(tmp_path / "log.parquet", [{"text": "p", "value": 1.0}])
    with pytest.raises(LogError, match="no known log format"):
        read_log(tmp_path)


def test_unknown_reward_field(tmp_path):
    with pytest.raises(LogError, match="no reward field 'acc': found prompt, step, reward"):
        read_log(rollout_lines(tmp_path), fields=fields_of(("acc",)))


@pytest.mark.parametrize("given, message", [((0, 0.5), "line 1: reward 1.0 lies outside"), ((2, 3), "outside")])
def test_reward_outside_the_given_range(given, message, tmp_path):
    with pytest.raises(LogError, match=message):
        detect_reward_range(read_log(rollout_lines(tmp_path)), given)


def test_bad_reward_range(tmp_path):
    with pytest.raises(InvalidArgument, match="from a lower to a higher"):
        detect_reward_range(read_log(rollout_lines(tmp_path)), (1, 0))
    rows = [{"prompt": 1, "reward": reward} for reward in (0, 5e-324)]
    with pytest.raises(LogError, match="too close to each other"):
        detect_reward_range(read_log(write_lines(tmp_path / "log.jsonl", rows)))


def test_prior_outside_the_range(tmp_path):
    path = write_lines(tmp_path / "log.jsonl", [row | {"prior": 1.5} for row in plain()])
    with pytest.raises(LogError, match=r"line 1: prior 1\.5 lies outside"):
        detect_reward_range(read_log(path))


def test_priors_of_a_visit_must_agree(tmp_path):
    rows = [row | {"prior": 0.5} for row in plain()]
    rows[2]["prior"] = 0.25
    with pytest.raises(LogError, match=r"line 3: prior 0\.25 differs from 0\.5"):
        gather_visits(read_log(write_lines(tmp_path / "log.jsonl", rows)))


def test_a_few_large_visits_do_not_choose_what_is_shown(tmp_path):
    """A prompt that came twice in one batch: the others are scored with as many rollouts as they have."""
    generator = np.random.default_rng(1)
    rows = [
        {"step": step, "prompt": f"q{number}", "reward": int(generator.random() < number / 40)}
        for step in range(4)
        for number in range(40)
        for _ in range(8 if (step, number) == (1, 7) else 4)
    ]
    report = replay(write_lines(tmp_path / "log.jsonl", rows))
    assert report.headline == 2 and len(report.visits_before) == 160
    assert replay(tmp_path / "log.jsonl", rollouts=(1, 4)).headline == 4
