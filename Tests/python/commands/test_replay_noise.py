"""Noise of the gradient in a log that tells the tokens of its rollouts (method section 13)."""

import json
import math

import numpy as np
import pytest
import v05
from v05.replay import replay


def written(path, rollouts=3, prompts=12, steps=4, tokens="logprobs", change=lambda row: row):
    """A log, and its rows (step, prompt, reward, squared norm)."""
    generator = np.random.default_rng(4)
    rate, rows = generator.random(prompts), []
    with open(path, "w") as file:
        for step in range(steps):
            for prompt in np.repeat(np.arange(prompts), rollouts):
                reward = float(generator.random() < rate[prompt])
                log_probs = np.log(generator.uniform(0.3, 1, generator.integers(1, 6))).tolist()
                norm = sum((1 - math.exp(each)) ** 2 for each in log_probs) if tokens == "logprobs" else len(log_probs)
                count = len(log_probs)
                told = {"logprobs": log_probs, "response_length": count, "completion_ids": [7] * count}[tokens]
                row = {"step": step, "prompt": f"q{prompt}", "completion": f"answer {len(rows)}", "reward": reward}
                row = change(row | {tokens: told})
                file.write(json.dumps(row) + "\n")
                rows.append((step, int(prompt), reward, norm))
    return rows


def by_hand(rows):
    """{baseline: sum of W (r - b)^2 / sum of W} of all steps but the first."""
    sums, total = {}, 0.0
    histories = {"": v05.History(), "_weighted": v05.History()}
    calibrations = {"": v05.RunningCalibration(), "_weighted": v05.RunningCalibration()}
    for step in sorted({row[0] for row in rows}):
        prompt, reward, norm = (np.array([row[k] for row in rows if row[0] == step]) for k in (1, 2, 3))
        total += norm.sum() * (step > 0)
        for suffix, history in histories.items():
            weight = norm if suffix else np.ones(len(norm))
            value = history.predict(prompt)[0]
            others = {
                "batch_mean": lambda row, prompt=prompt: prompt != prompt[row],
                "group_mean": lambda row, prompt=prompt: (prompt == prompt[row]) & (np.arange(len(prompt)) != row),
            }
            found = {
                name: [np.average(reward[of(row)], weights=weight[of(row)]) for row in range(len(reward))]
                for name, of in others.items()
            }
            found["history"] = value
            found["calibrated"] = reward - v05.advantages(
                reward,
                prompt,
                value,
                rule="calibrated",
                leave_one_out=True,
                calibration=calibrations[suffix],
                weights=weight,
            )
            calibrations[suffix].update(reward, prompt, value, weights=weight)
            history.record(prompt, reward, weights=weight)
            if not suffix:
                found["none"] = np.zeros(len(reward))
            for name, baseline in found.items():
                if step > 0:
                    error = (norm * (reward - np.asarray(baseline)) ** 2).sum()
                    sums[name + suffix] = sums.get(name + suffix, 0.0) + error
    return {name: value / total for name, value in sums.items()}


@pytest.mark.parametrize("tokens", ["logprobs", "response_length", "completion_ids"])
def test_every_baseline_by_hand(tmp_path, tokens):
    rows = written(tmp_path / "log.jsonl", tokens=tokens)
    report = replay(tmp_path / "log.jsonl", splits=1)
    expected = by_hand(rows)
    assert {row.baseline: row.noise for row in report.noise} == pytest.approx(expected, rel=1e-6)
    for row in report.noise:
        assert row.relative == pytest.approx(expected[row.baseline] / expected["batch_mean"], rel=1e-6)
        assert row.relative_interval[0] <= row.relative <= row.relative_interval[1]
    assert any("length" in note for note in report.notes) == (tokens != "logprobs")
    assert [each["baseline"] for each in report.as_dict()["noise"]] == [row.baseline for row in report.noise]


@pytest.mark.parametrize(
    "change, told",
    [
        (lambda row: {name: value for name, value in row.items() if name != "logprobs"}, None),
        (lambda row: row | {"logprobs": None}, None),
        (lambda row: row | {"logprobs": "none"}, "144 of 144"),
        (lambda row: row | {"logprobs": [-0.1, None]}, "144 of 144"),
        (lambda row: row | {"logprobs": []}, "144 of 144"),
        (lambda row: row | ({"logprobs": None} if row["prompt"] == "q3" else {}), "12 of 144"),
    ],
)
def test_where_a_rollout_does_not_tell_there_is_no_table_but_a_note(tmp_path, change, told):
    written(tmp_path / "log.jsonl", change=change)
    report = replay(tmp_path / "log.jsonl", splits=1)
    notes = [note for note in report.notes if "noise of the gradient" in note]
    assert report.noise == () and len(notes) == (told is not None)
    assert told is None or notes[0].startswith(f"{told} rollouts have no length and no log-probabilities")


def test_one_step_has_no_noise_and_a_note(tmp_path):
    written(tmp_path / "log.jsonl", steps=1)
    report = replay(tmp_path / "log.jsonl", splits=1)
    assert report.noise == () and any("the first step is not counted" in note for note in report.notes)


def test_lengths_are_no_reward_and_the_table_prints(tmp_path, capsys):
    pytest.importorskip("rich")
    from v05.commands.replay.report_tables import print_report

    written(tmp_path / "log.jsonl", tokens="response_length", change=lambda row: row | {"reward": row["reward"]})
    print_report(replay(tmp_path / "log.jsonl", splits=1))
    out = capsys.readouterr().out
    assert "history of the prompt, score weights" in out and "W is taken to be the length" in out
