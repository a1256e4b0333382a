"""v05 noise: exact on policies whose gradient is known, and on a small transformer."""

import json

import numpy as np
import pytest
import v05

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

import tiny_trl
from v05.commands.command_line import main
from v05.commands.noise.gradients import Scores, scores, weights_of
from v05.commands.noise.measure import measure_noise, noise_report
from v05.commands.noise.sampling import Rollouts


def one_decision(probability, rollouts, generator):
    """Rewards and Scores of prompts whose answer is one Bernoulli decision with a logit of its own."""
    p = np.asarray(probability)[:, None]
    rewards = (generator.random((len(p), rollouts)) < p).astype(float)
    score = rewards - p  # d log pi / d logit
    sketch = np.zeros((rewards.size, len(p)), np.float32)
    sketch[np.arange(rewards.size), np.repeat(np.arange(len(p)), rollouts)] = score.ravel()
    norms = score.ravel() ** 2
    return rewards, Scores(norms, sketch, norms, np.ones(rewards.size))


def test_noise_of_one_decision_is_that_of_the_formula():
    """Method section 13: with p = .9 the value is worse than no baseline, and 1 - p has no noise at all."""
    p = np.full(400, 0.9)
    rewards, found = one_decision(p, 40, np.random.default_rng(1))
    report = noise_report(rewards, found, 1.0)

    def within(b):
        return 0.9 * 0.1**2 * (1 - b) ** 2 + 0.1 * 0.9**2 * b**2 - (0.1 * 0.9) ** 2

    for name, baseline in (("none", 0.0), ("batch mean", 0.9), ("perfect prior", 0.9)):
        low, high = report.row(name).within_interval
        slack = (high - low) / 2  # an interval twice as wide misses once in ten thousand
        assert low - slack <= within(baseline) <= high + slack, name
    assert abs(report.row("prompt's own, weights exact").within) < 0.05 * report.row("perfect prior").within
    worst = max(report.rows, key=lambda row: row.within).baseline
    assert worst.startswith("leave-one-out") and report.row("perfect prior").within > report.row("none").within
    assert report.norm_ratio == pytest.approx(0.9**2 / 0.1**2, rel=0.05)
    assert "weights" in report.rows[0].baseline and report.rows[0].baseline in report.sentence


def test_where_scores_do_not_depend_on_the_outcome_the_value_is_best():
    generator = np.random.default_rng(2)
    p = generator.uniform(0, 1, (300, 1))
    rewards = (generator.random((300, 16)) < p).astype(float)
    sketch = generator.choice([-1.0, 1.0], (4800, 64)).astype(np.float32)
    report = noise_report(rewards, Scores(np.full(4800, 64.0), sketch, np.full(4800, 64.0), np.ones(4800)), 5.0)
    assert report.norm_ratio == 1 and 0.2 < report.spread < 0.45
    control, perfect = report.row("batch mean"), report.row("perfect prior")
    assert perfect.relative == pytest.approx(1 - report.spread, abs=0.1) and perfect.relative_interval[1] < 1
    expected = {2: 2.0, 4: 4 / 3, 16: 16 / 15}  # noise of the leave-one-out mean over p (1 - p)
    for size, factor in expected.items():
        assert report.row(f"leave-one-out of {size}").within / perfect.within == pytest.approx(factor, rel=0.15)
    assert control.relative == 1 and control.rollouts == 1


@pytest.fixture
def model(tmp_path):
    return tiny_trl.model(tmp_path / "model")


def test_scores_are_those_of_autograd(model):
    made = Rollouts([[3, 4, 13], [5, 13]], [[6, 1], [7, 8, 1], [4, 1], [9]], np.array([[1.0, 0.0], [0.0, 1.0]]))
    found = scores(model, made, width=2**14)
    exact = []
    for row, completion in enumerate(made.completion_ids):
        prompt = made.prompt_ids[row // 2]
        ids = torch.tensor([prompt + completion])
        log_prob = torch.log_softmax(model(ids).logits[0], -1)
        total = sum(log_prob[len(prompt) - 1 + place, token] for place, token in enumerate(completion))
        gradient = torch.autograd.grad(total, list(model.parameters()))
        exact.append(torch.cat([part.flatten() for part in gradient]).double().numpy())
        drawn = [
            float(log_prob[len(prompt) - 1 + place, token].detach().exp()) for place, token in enumerate(completion)
        ]
        assert found.miss[row] == pytest.approx(sum((1 - p) ** 2 for p in drawn), rel=1e-4)
    exact = np.array(exact)
    np.testing.assert_allclose(found.squared_norm, (exact**2).sum(1), rtol=1e-4)
    inner = exact @ exact.T
    scale = np.sqrt(np.outer(np.diag(inner), np.diag(inner)))
    assert np.abs(found.sketch @ found.sketch.T - inner).max() < 0.06 * scale.max()
    assert list(found.length) == [2, 3, 2, 1]
    shared = scores(model, made, width=64, per_token=True)
    np.testing.assert_allclose(shared.squared_norm, found.squared_norm / found.length**2, rtol=1e-4)
    assert len(weights_of(model, "last")) < len(weights_of(model, "all"))
    with pytest.raises(v05.InvalidArgument, match="scope 'lora' must name weights"):
        weights_of(model, "lora")


def test_a_model_from_rollouts_to_report(model):
    stages, generator = [], torch.random.get_rng_state()
    report = measure_noise(
        model,
        tiny_trl.tokenizer(),
        tiny_trl.dataset(8),
        tiny_trl.reward,
        prompts=6,
        rollouts=4,
        maximum_tokens=3,
        progress=lambda stage, done, total: stages.append(stage),
    )
    assert report.prompts == 6 and report.rollouts == 4 and 1 <= report.tokens <= 3
    assert set(stages) == {"rollouts", "gradients"} and model.training is False
    assert torch.equal(torch.random.get_rng_state(), generator)  # in the middle of training it changes nothing
    for row in report.rows:
        assert np.isfinite(row.noise)
    for wrong, message in (
        (dict(rollouts=3), "rollouts must be at least 4"),
        (dict(prompts=9), "between 2 and the 8"),
        (dict(scope="some"), "scope must be one of"),
    ):
        with pytest.raises(v05.InvalidArgument, match=message):
            measure_noise(
                model,
                tiny_trl.tokenizer(),
                tiny_trl.dataset(8),
                tiny_trl.reward,
                **dict(prompts=4, rollouts=4, maximum_tokens=2) | wrong,
            )
    for reward, message in (
        (lambda prompts, **rest: [1.0] * len(prompts), "all 16 rewards are 1"),
        (lambda prompts, **rest: [None] * len(prompts), "one finite number per completion"),
        (lambda prompts, **rest: ["x"], "one number per completion"),
    ):
        with pytest.raises(v05.InvalidArgument, match=message):
            measure_noise(
                model, tiny_trl.tokenizer(), tiny_trl.dataset(8), reward, prompts=4, rollouts=4, maximum_tokens=2
            )


def test_the_command(model, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tiny_trl.tokenizer().save_pretrained("model")
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in tiny_trl.dataset(6)))
    (tmp_path / "scoring_of_noise.py").write_text(
        "def reward(prompts, completions, **columns):\n    return [float(len(text) % 2) for text in completions]\n"
    )
    settings = {
        "model": "model",
        "dataset": "data.jsonl",
        "reward": "scoring_of_noise:reward",
        "prompts": 4,
        "rollouts": 4,
        "maximum_tokens": 3,
    }
    (tmp_path / "noise.json").write_text(json.dumps(settings))
    assert main(["noise", "noise.json", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["prompts"] == 4 and {row["baseline"] for row in report["rows"]} >= {
        "none",
        "batch mean",
        "perfect prior",
    }
    pytest.importorskip("matplotlib")
    assert main(["noise", "noise.json", "--out", "noise.png"]) == 0
    assert "Noise of the gradient" in capsys.readouterr().out and (tmp_path / "noise.png").stat().st_size > 1000
    (tmp_path / "broken_reward.py").write_text("def reward(:\n")
    for change, message in (
        ({"rollouts": 2}, "rollouts must be at least 4"),
        ({"rolouts": 4}, "knows no rolouts"),
        ({"reward": "nowhere:reward"}, "cannot be imported"),
        ({"reward": "broken_reward:reward"}, "cannot be imported: SyntaxError: "),
        ({"reward": "..:reward"}, 'reward must be "module:function", got'),
        ({"reward": ":"}, 'reward must be "module:function", got'),
        ({"reward": None}, "reward in wrong.json must be a text, got None"),
        ({"dataset": 0}, "dataset in wrong.json must be a text, got 0"),
        ({"model": ""}, "model in wrong.json must be a text, got ''"),
        ({"reward": "noise"}, "module:function"),
    ):
        (tmp_path / "wrong.json").write_text(json.dumps(settings | change))
        assert main(["noise", "wrong.json"]) == 2 and message in capsys.readouterr().err
    (tmp_path / "wrong.json").write_text("{")
    assert main(["noise", "wrong.json"]) == 2 and "must be JSON" in capsys.readouterr().err
