"""v05 noise: exact on policies whose gradient is known, and on a small transformer."""

import asyncio
import json
import re

import numpy as np
import pytest
import v05

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

import tiny_trl
from transformers import GenerationConfig
from v05.commands.command_line import main
from v05.commands.noise.gradients import Scores, scores, weights_of
from v05.commands.noise.measure import measure_noise, noise_report
from v05.commands.noise.sampling import Rollouts, sample_rollouts


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


@pytest.mark.parametrize("size", [2, 4, 8])
def test_rollouts_with_each_others_rewards_in_their_baselines_are_correlated(size):
    """The noise of a group's gradient itself, by simulation, is that of the leave-one-out rows."""
    generator = np.random.default_rng(3)
    report = noise_report(*one_decision(np.full(800, 0.3), 32, generator), 1.0)
    rewards = (generator.random((400_000, size)) < 0.3).astype(float)
    others = (rewards.sum(1, keepdims=True) - rewards) / (size - 1)
    noise = size * ((rewards - others) * (rewards - 0.3)).mean(1).var()
    assert report.row(f"leave-one-out of {size}").within == pytest.approx(noise, rel=0.08)


@pytest.mark.parametrize("size", [2, 4])
def test_the_noise_of_the_fused_rule_is_that_of_its_groups(size):
    """By simulation, of the gradient of whole groups with leave-one-out, rewards of each in the baselines of others."""
    generator = np.random.default_rng(4)
    p = generator.choice([0.2, 0.7], 4000)
    report = noise_report(*one_decision(p, 8, generator), 1.0)
    rewards = (generator.random((len(p), 40, size)) < p[:, None, None]).astype(float)
    prior = np.repeat(generator.binomial(4, p[:, None], (len(p), 40)) / 4, size)
    groups = np.repeat(np.arange(len(p) * 40), size)
    advantage = v05.advantages(rewards.ravel(), groups, prior, rule="calibrated", leave_one_out=True)
    gradient = (advantage.reshape(rewards.shape) * (rewards - p[:, None, None])).mean(2)
    row = report.row(f"calibrated of {size}, prior of 4")
    assert row.rollouts == size and row.within == pytest.approx(size * gradient.var(1, ddof=1).mean(), rel=0.03)


@pytest.mark.parametrize("spread", [0.0, 0.05, 0.45])
def test_the_fused_rule_is_never_far_above_the_better_of_its_parts(spread):
    """Where scores say nothing of the outcome: leave-one-out, and the prior, which is of 8 rollouts."""
    generator = np.random.default_rng(5)
    p = generator.uniform(0.5 - spread, 0.5 + spread, (400, 1))
    rewards = (generator.random((400, 16)) < p).astype(float)
    sketch = generator.choice([-1.0, 1.0], (6400, 64)).astype(np.float32)
    report = noise_report(rewards, Scores(np.full(6400, 64.0), sketch, np.full(6400, 64.0), np.ones(6400)), 5.0)
    perfect = report.row("perfect prior").within
    for size in (2, 4, 8):
        fused = report.row(f"calibrated of {size}, prior of 8").within
        assert perfect < fused < 1.02 * min(report.row(f"leave-one-out of {size}").within, 9 / 8 * perfect)


def test_rewards_of_any_size():
    """Means of .1 and .7, which doubles do not hold, lie between them; of few prompts nothing is learnt."""
    for low, high, count in (
        (0.1, 0.7, 30),
        (-1e6, 3e5, 16),
        (0.1, 0.1 + 1e-12, 30),
        (-1e30, 1e30, 17),
        (0.1, 0.7, 15),
    ):
        rewards = np.random.default_rng(6).choice([low, high, high], (count, 6))
        ones = np.ones(rewards.size)
        report = noise_report(rewards, Scores(ones, ones[:, None].astype(np.float32), ones, ones), 1.0)
        assert np.isfinite([(row.within, row.noise, row.relative) for row in report.rows]).all()
        fused = [row.baseline for row in report.rows if row.baseline.startswith("calibrated")]
        assert fused == (["calibrated of 2, prior of 3"] if count >= 16 else [])


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
    for reward, message in (
        (lambda prompts, **rest: [1.0] * len(prompts), "all 16 rewards are 1"),
        (lambda prompts, **rest: [None] * len(prompts), "gave None for one or more of 4 of the 4"),
        (lambda prompts, **rest: [float("inf")] * len(prompts), "must return finite numbers, got inf"),
        (lambda prompts, **rest: [-2e30] + [0.0] * 15, r"at most 1e\+30 in absolute value, got -2e\+30"),
        (lambda prompts, **rest: ["x"], "one number per completion"),
        (lambda prompts, **rest: [0.5], r"one number per completion \(16\), got 1"),
        (lambda prompts, **rest: None, "one number per completion"),
    ):
        with pytest.raises(v05.InvalidArgument, match=message):
            measure_noise(
                model, tiny_trl.tokenizer(), tiny_trl.dataset(8), reward, prompts=4, rollouts=4, maximum_tokens=2
            )


def chats(count):
    return [
        {"prompt": [{"role": "user", "content": f"{row}+{row}="}], "name": row, "log_metric": 0} for row in range(count)
    ]


def test_a_chat_model_as_it_is_released(model):
    """With a template, several ends of an answer, and penalties and cut-offs that are not the policy's."""
    plain = GenerationConfig(eos_token_id=[1, 5], pad_token_id=0)
    released = dict(top_k=1, top_p=0.1, min_p=0.5, temperature=0.1, repetition_penalty=9.0, no_repeat_ngram_size=1)
    released |= dict(suppress_tokens=[3], max_time=1e-6, guidance_scale=3.0, return_dict_in_generate=True)
    released |= dict(do_sample=True, num_return_sequences=2, stop_strings=["1"], min_new_tokens=3)
    asked = []

    def reward(**columns):
        asked.append(columns)
        return [float(3 in tokens) for tokens in columns["completion_ids"]]

    def sampled(config):
        model.generation_config = config
        return sample_rollouts(
            model,
            tiny_trl.tokenizer(tiny_trl.TEMPLATE + "{% if thinks %}={% endif %}"),
            chats(6),
            reward,
            rollouts=4,
            maximum_tokens=8,
            batch_size=8,
            chat_template_kwargs={"thinks": True},
        )

    model.train()
    model.lm_head.eval()
    made = sampled(GenerationConfig(eos_token_id=[1, 5], pad_token_id=0, **released))
    before = model.generation_config.to_dict()
    assert made.completion_ids == sampled(plain).completion_ids
    assert before == GenerationConfig(eos_token_id=[1, 5], pad_token_id=0, **released).to_dict()
    assert model.generation_config is plain and model.training and not model.lm_head.training
    assert [len(ids) for ids in made.prompt_ids] == [5] * 6, "the template was not told what it was to be told"
    assert all(ids[-1] in (1, 5) or len(ids) == 8 for ids in made.completion_ids)
    assert not any({1, 5} & set(ids[:-1]) for ids in made.completion_ids)
    assert {ids[-1] for ids in made.completion_ids} >= {1, 5} and made.rewards.any(), "a test that could not fail"
    # As TRL calls it, for whole prompts.
    assert [columns["name"] for columns in asked[:3]] == [[0] * 4 + [1] * 4, [2] * 4 + [3] * 4, [4] * 4 + [5] * 4]
    first = asked[0]
    assert first["prompts"][0] == chats(1)[0]["prompt"] and first["trainer_state"].global_step == 0
    assert [set(answer[0]) for answer in first["completions"]] == [{"role", "content"}] * 8
    first["log_metric"](name="accuracy", value=1.0), first["log_extra"]("answers", ["1"])


def test_drawn_are_the_probabilities_of_the_model(model):
    """What is sampled and what the score is taken of are one policy, at every temperature."""
    torch.manual_seed(3)
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.5)
    model.generation_config = GenerationConfig(eos_token_id=1, pad_token_id=0, top_k=2, repetition_penalty=5.0)
    logits = model(torch.tensor([tiny_trl.tokenizer()("1+1=")["input_ids"]])).logits[0, -1].detach()
    for temperature in (1, 0.5, np.float32(2)):
        made = sample_rollouts(
            model,
            tiny_trl.tokenizer(),
            [{"prompt": "1+1="}],
            lambda prompts, **rest: [0.0] * len(prompts),
            rollouts=4000,
            maximum_tokens=1,
            temperature=temperature,
            batch_size=4000,
        )
        counts = np.bincount([ids[0] for ids in made.completion_ids], minlength=len(logits))
        expected = 4000 * torch.softmax(logits / temperature, -1).numpy()
        assert (np.abs(counts - expected) < 5 * np.sqrt(expected) + 1).all()
        some = Rollouts(made.prompt_ids, made.completion_ids[:4], made.rewards[:, :4])
        found = scores(model, some, temperature=temperature, width=8)
        p = torch.softmax(logits / temperature, -1)
        np.testing.assert_allclose(found.miss, [float((1 - p[ids[0]]) ** 2) for ids in some.completion_ids], rtol=1e-4)


def test_a_reward_that_fails_does_so_at_once_and_leaves_the_model_alone(model):
    drawn = []

    def reward(completions, **columns):
        drawn.append(len(completions))
        raise KeyError("solution")

    model.train()
    with pytest.raises(v05.Error, match="reward raised KeyError in test_noise.py, line [0-9]+: 'solution'"):
        sample_rollouts(model, tiny_trl.tokenizer(), tiny_trl.dataset(8).to_list(), reward, rollouts=4, batch_size=8)
    assert drawn == [8] and model.training
    with pytest.raises(IndexError):
        scores(model, Rollouts([[3]], [[4], [10**6]], np.zeros((1, 2))), width=8)
    assert model.training
    for row in ({"prompt": ""}, {"name": "a"}, {"prompt": None}, {"prompt": []}, "1+1="):
        with pytest.raises(v05.InvalidArgument, match="prompt"):
            sample_rollouts(model, tiny_trl.tokenizer(tiny_trl.TEMPLATE), [row], tiny_trl.reward)


def test_rewards_of_every_kind_that_trl_takes(model):
    """Tensors, generators, coroutines, None; and what a reward does to torch's generators reaches no rollout."""
    rows = [row | ({"answer": "2"} if number == 5 else {}) for number, row in enumerate(tiny_trl.dataset(6).to_list())]

    def numbers(completion_ids, answer, **columns):
        return [float(ids[0] % 3) for ids in completion_ids]

    def seeding(**columns):
        torch.manual_seed(0)
        return torch.tensor(numbers(**columns), dtype=torch.bfloat16)

    async def waiting(**columns):
        await asyncio.sleep(0)
        return (number for number in numbers(**columns))

    def some(**columns):
        return [None if name == "sum 3" else number for name, number in zip(columns["name"], numbers(**columns))]

    def sampled(reward):
        return sample_rollouts(
            model, tiny_trl.tokenizer(), rows, reward, rollouts=4, batch_size=8, temperature=2, maximum_tokens=3
        )

    expected = sampled(numbers)
    for reward in (seeding, waiting):
        found = sampled(reward)
        assert found.completion_ids == expected.completion_ids
        np.testing.assert_array_equal(found.rewards, expected.rewards)
    unjudged = expected.rewards.copy()
    unjudged[3] = np.nan
    np.testing.assert_array_equal(sampled(some).rewards, unjudged)
    options = dict(prompts=6, rollouts=4, maximum_tokens=3, width=64)
    report = measure_noise(model, tiny_trl.tokenizer(), rows, some, **options)
    assert report.prompts == 5 and np.isfinite(report.rows[0].noise)


def test_the_last_block_is_no_expert():
    block = torch.nn.ModuleDict(
        {"experts": torch.nn.ModuleList(torch.nn.Linear(1, 1) for _ in range(4)), "gate": torch.nn.Linear(1, 4)}
    )
    model = torch.nn.ModuleDict({"layers": torch.nn.ModuleList([torch.nn.Linear(2, 2), block]), "head": block["gate"]})
    last = [(1, 1), (1,)] * 4 + [(4, 1), (4,)]
    assert [tuple(weight.shape) for weight in weights_of(model, "last")] == last
    for blocks in (2, 3):  # there are two
        assert [tuple(weight.shape) for weight in weights_of(model, "last", blocks)] == [(2, 2), (2,)] + last


def test_the_last_blocks_are_those_whose_gradients_are_taken():
    model = transformers.Qwen2ForCausalLM(
        transformers.Qwen2Config(
            vocab_size=len(tiny_trl.WORDS),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=3,
            num_attention_heads=2,
            num_key_value_heads=2,
        )
    )
    made = Rollouts([[3, 4, 13]], [[6, 1], [7, 8, 1]], np.array([[1.0, 0.0]]))
    norms = [scores(model, made, scope="last", blocks=blocks, width=64).squared_norm for blocks in (1, 2, 3)]
    for layers, found in zip(([2], [1, 2], [0, 1, 2]), norms):
        expected = []
        for completion in made.completion_ids:
            logits = model(torch.tensor([[3, 4, 13, *completion]])).logits[0, 2:-1]
            total = torch.log_softmax(logits, -1)[range(len(completion)), completion].sum()
            weights = [weight for layer in layers for weight in model.model.layers[layer].parameters()]
            expected.append(sum(float((part**2).sum()) for part in torch.autograd.grad(total, weights)))
        np.testing.assert_allclose(found, expected, rtol=1e-4)


WRONG_OPTIONS = (
    ({"rollouts": 2}, "rollouts must be at least 4, got 2"),
    ({"rollouts": "16"}, "rollouts must be an integer, got '16'"),
    ({"rollouts": 4.5}, "rollouts must be an integer, got 4.5"),
    ({"prompts": 1}, "prompts must be at least 2, got 1"),
    ({"prompts": 7}, "prompts must lie between 2 and the 6 of the dataset, got 7"),
    ({"prompts": None}, "prompts must be an integer, got None"),
    ({"maximum_tokens": 0}, "maximum_tokens must be at least 1, got 0"),
    ({"temperature": 0}, "temperature must be above 0 and finite, got 0"),
    ({"temperature": float("nan")}, "temperature must be above 0 and finite, got nan"),
    ({"temperature": "hot"}, "temperature must be a number, got 'hot'"),
    ({"scope": "some"}, "scope must be one of 'all', 'lora', 'last', got 'some'"),
    ({"scope": ["all"]}, "scope must be one of 'all', 'lora', 'last', got ['all']"),
    ({"blocks": 0, "scope": "last"}, "blocks must be at least 1, got 0"),
    ({"blocks": "2", "scope": "last"}, "blocks must be an integer, got '2'"),
    ({"blocks": 2}, 'blocks must be 1 where scope is not "last", got 2'),
    ({"width": 0}, "width must be at least 1, got 0"),
    ({"per_token": "false"}, "per_token must be true or false, got 'false'"),
    ({"batch_size": -1}, "batch_size must be at least 1, got -1"),
    ({"seed": -1}, "seed must be at least 0, got -1"),
    ({"chat_template_kwargs": "x"}, "chat_template_kwargs must be a dict or None, got 'x'"),
)


@pytest.mark.parametrize("change, message", WRONG_OPTIONS)
def test_wrong_options_are_told_before_a_model_is_loaded(tmp_path, monkeypatch, capsys, change, message):
    monkeypatch.chdir(tmp_path)
    rows = tiny_trl.dataset(6).to_list()
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = {"model": "no-such-model", "dataset": "data.jsonl", "reward": "math:fsum", "prompts": 4, "rollouts": 4}
    (tmp_path / "wrong.json").write_text(json.dumps(settings | change))
    assert main(["noise", "wrong.json"]) == 2 and message in capsys.readouterr().err
    with pytest.raises((v05.InvalidArgument, v05.ArgumentTypeError), match=re.escape(message)):
        measure_noise(None, None, rows, None, **{"prompts": 4} | change)


def test_adapters_of_a_checkpoint(model, tmp_path, monkeypatch, capsys):
    """A folder that a LoRA run has written: transformers loads it frozen."""
    peft = pytest.importorskip("peft")
    monkeypatch.chdir(tmp_path)
    model.save_pretrained("base")
    adapted = peft.get_peft_model(
        model, peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    )
    adapted.peft_config["default"].base_model_name_or_path = str(tmp_path / "base")
    adapted.save_pretrained("adapter")
    tiny_trl.tokenizer().save_pretrained("adapter")
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in tiny_trl.dataset(6)))
    (tmp_path / "scoring_of_adapters.py").write_text(
        "def reward(completion_ids, **columns):\n    return [float(ids[0] % 2) for ids in completion_ids]\n"
    )
    options = {"prompts": 4, "rollouts": 4, "maximum_tokens": 3}
    settings = {"model": "adapter", "dataset": "data.jsonl", "reward": "scoring_of_adapters:reward"} | options
    reports = {}
    for scope in ("lora", "all", "last"):
        (tmp_path / "noise.json").write_text(json.dumps(settings | {"scope": scope}))
        assert main(["noise", "noise.json", "--json"]) == 0
        reports[scope] = json.loads(capsys.readouterr().out)
    assert reports["lora"] == reports["all"] == reports["last"], "there is one block, and adapters alone train"
    rows = tiny_trl.dataset(6).to_list()

    def reward(completion_ids, **columns):
        return [float(ids[0] % 2) for ids in completion_ids]

    expected = measure_noise(adapted, tiny_trl.tokenizer(), rows, reward, **options)
    assert reports["lora"]["rows"][0]["noise"] == pytest.approx(expected.rows[0].noise, rel=1e-5)
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            weight.mul_(3 if "lora_" in name else 1)
    other = measure_noise(adapted, tiny_trl.tokenizer(), rows, reward, **options)
    assert other.rows[0].noise != pytest.approx(expected.rows[0].noise, rel=1e-3), "a test that could not fail"
    monkeypatch.setattr("v05.commands.noise.command.find_spec", lambda name: None if name == "peft" else name)
    assert main(["noise", "noise.json"]) == 2 and "needs peft: pip install peft" in capsys.readouterr().err


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
    (tmp_path / "failing_reward.py").write_text("def reward(**columns):\n    return 1 + 'a'\n")
    (tmp_path / "chats.jsonl").write_text("".join(json.dumps(row) + "\n" for row in chats(6)))
    (tmp_path / "numbers.jsonl").write_text(json.dumps({"prompt": 3}) + "\n")
    for change, message in (
        ({"rolouts": 4}, "knows no rolouts"),
        ({"reward": "nowhere:reward"}, "cannot be imported"),
        ({"reward": "broken_reward:reward"}, "cannot be imported: SyntaxError: "),
        ({"reward": "..:reward"}, 'reward must be "module:function", got'),
        ({"reward": ":"}, 'reward must be "module:function", got'),
        ({"reward": None}, "reward in wrong.json must be a text, got None"),
        ({"dataset": 0}, "dataset in wrong.json must be a text, got 0"),
        ({"chat_template_kwargs": {"a": 1}, "dataset": "chats.jsonl"}, "every prompt must fit the chat template"),
        ({"reward": "failing_reward:reward"}, "reward raised TypeError in failing_reward.py, line 2: "),
        ({"dataset": "numbers.jsonl"}, "numbers.jsonl, line 1: must have a field prompt, text or messages, got 3"),
        ({"model": ""}, "model in wrong.json must be a text, got ''"),
        ({"reward": "noise"}, "module:function"),
    ):
        (tmp_path / "wrong.json").write_text(json.dumps(settings | change))
        assert main(["noise", "wrong.json"]) == 2 and message in capsys.readouterr().err
    assert main(["noise", "noise.json", "--device", "gpu"]) == 2
    assert "device must be one that PyTorch has here, got 'gpu'" in capsys.readouterr().err
    (tmp_path / "wrong.json").write_text("{")
    assert main(["noise", "wrong.json"]) == 2 and "must be JSON" in capsys.readouterr().err
