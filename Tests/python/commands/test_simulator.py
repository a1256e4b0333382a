"""The simulator of one training step (Tests/Benchmarks/simulator.py) where the right answer is known."""

import json
import sys

import numpy as np
import pytest
from conftest import ROOT

pytest.importorskip("rich")
pytest.importorskip("matplotlib")
sys.path.insert(0, str(ROOT / "Tests" / "Benchmarks"))

import simulator  # noqa: E402
from simulation.columns import COLUMNS, QUANTITIES, summarise  # noqa: E402
from simulation.contestants import GROUP_SIZES, WITHOUT_PRIOR  # noqa: E402
from simulation.population import PRIORS, make_prior, population_of_log  # noqa: E402
from simulation.trial import NO_PRIOR, hold_trial  # noqa: E402

STEPS = 20


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """40 prompts of 12 visits with 8 rollouts, from nearly impossible to nearly easy."""
    generator = np.random.default_rng(1)
    path = tmp_path_factory.mktemp("logs") / "log.jsonl"
    rows = [
        dict(prompt=prompt, rollouts=8, successes=generator.binomial(8, rate, 12).tolist())
        for prompt, rate in enumerate(np.linspace(0.03, 0.97, 40))
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def trial(log):
    return hold_trial(log, STEPS, seed=3, priors=("history", "perfect"))


def near(column, expected, errors=4):
    value, error = column
    return abs(value - expected) <= errors * error + 1e-12


@pytest.mark.parametrize("size", GROUP_SIZES)
def test_leave_one_out_with_16_is_the_unit_of_noise(trial, size):
    columns = trial.row(NO_PRIOR, f"{size} each", "rloo").columns
    assert near(columns["noise"], 15 / 16 * size / (size - 1))
    assert near(columns["scale"], 1)


@pytest.mark.parametrize("size", GROUP_SIZES)
def test_a_perfect_baseline_lowers_the_noise_by_one_over_k(trial, size):
    perfect = trial.row("perfect", f"{size} each", "prior").columns
    assert near(perfect["noise"], 15 / 16)
    assert perfect["error"][0] < 1e-12
    others = trial.row(NO_PRIOR, f"{size} each", "rloo").columns
    assert perfect["noise"][0] / others["noise"][0] == pytest.approx(1 - 1 / size, rel=0.1)


@pytest.mark.parametrize("size", GROUP_SIZES)
def test_the_group_mean_is_leave_one_out_scaled(trial, size):
    mean = trial.row(NO_PRIOR, f"{size} each", "grpo").columns
    others = trial.row(NO_PRIOR, f"{size} each", "rloo").columns
    assert mean["noise"] == pytest.approx(others["noise"])
    assert mean["scale"][0] == pytest.approx((1 - 1 / size) * others["scale"][0])
    variance = trial.population.variance.mean()
    assert near(mean["error"], variance / size)
    assert near(others["error"], variance / (size - 1))


def test_without_stopping_the_mean_is_unbiased(trial):
    for row in trial.rows:
        if row.allocation.endswith("each"):
            assert near(row.columns["bias"], 0)
            assert near(row.columns["bias_rms"], 0)


def test_leave_one_out_neither_scales_nor_distorts(trial):
    for size in GROUP_SIZES:
        columns = trial.row("history", f"{size} each", "v05 leave-one-out").columns
        assert near(columns["scale"], 1)
        assert near(columns["distortion"], 0)


def test_allocations_of_the_same_average(trial):
    for prior in trial.prior_error:
        average = trial.row(prior, "osla same_bias", "v05").columns["rollouts"][0]
        kinds = "equal", "neyman from", "ahead"
        same = [row for row in trial.rows if row.prior == prior and row.allocation.startswith(kinds)]
        assert len(same) == 21
        for row in same:
            assert row.columns["rollouts"][0] == pytest.approx(average, abs=0.5 / len(trial.population))


def test_every_rule_and_column_is_there(trial):
    assert {row.baseline for row in trial.rows if row.prior == NO_PRIOR} == set(WITHOUT_PRIOR)
    assert all(tuple(row.columns) == COLUMNS and np.isfinite(list(row.columns.values())).all() for row in trial.rows)
    content = json.loads(json.dumps(trial.as_dict(), allow_nan=False))
    assert len(content["rows"]) == len(trial.rows)
    assert set(COLUMNS) < set(content["rows"][0])


def test_the_same_seed_gives_the_same_trial(log, trial):
    again = hold_trial(log, STEPS, seed=3, priors=("perfect",))
    assert [row for row in trial.rows if row.prior in (NO_PRIOR, "perfect")] == list(again.rows)
    other = hold_trial(log, 3, seed=4, priors=())
    assert not np.array_equal(other.population.value, again.population.value)


def test_standard_error_of_a_mean():
    outcome = np.random.default_rng(0).random((50, len(QUANTITIES), 7))
    value, error = summarise(outcome, np.ones(7))["error"]
    means = outcome[:, QUANTITIES.index("error")].mean(axis=1)
    assert value == pytest.approx(means.mean())
    assert error == pytest.approx(means.std(ddof=1) / np.sqrt(50))


def test_priors_are_of_the_quality_that_they_say(log):
    generator = np.random.default_rng(0)
    population = population_of_log(log, generator)
    error = {}
    for name in PRIORS:
        prior = make_prior(name, population, generator)
        assert (np.abs(prior.value) <= 1).all() and (prior.strength > 0).all()
        error[name] = np.mean((prior.value - population.value) ** 2)
    assert error["perfect"] == 0
    assert error["constant"] == pytest.approx(population.value.var())
    assert error["adversarial"] == pytest.approx(4 * np.mean(population.value**2))
    assert 0 < error["history"] < error["noise .4"] < error["constant"]
    assert 0.01 < error["noise .2"] < 0.05


def test_the_command(log, tmp_path, capsys):
    picture = tmp_path / "simulation.png"
    arguments = ["--log", str(log), "--steps", "3", "--priors", "constant"]
    assert simulator.main([*arguments, "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["steps"] == 3 and set(content["prior_error"]) == {"constant"}
    assert simulator.main([*arguments, "--out", str(picture)]) == 0
    assert "OSLA against others with as many rollouts" in capsys.readouterr().out
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert simulator.main(["--log", str(tmp_path / "missing.jsonl"), "--steps", "3"]) == 2
    assert "no such file" in capsys.readouterr().err
