"""Trainers that score one group at a time: torchtitan, tinker-cookbook and TRL's asynchronous GRPO, by their released
code, and prime-rl by its contract (trainer_contracts/prime_rl.json)."""

import ast
import asyncio
import contextlib
import dataclasses
import importlib
import sys
import types
from types import SimpleNamespace

import numpy as np
import pytest
import v05
from adapter_cases import check_parameters, contract, definitions, host, recorded, released
from v05.training.streaming_estimator import StreamingEstimator

torch = pytest.importorskip("torch")


def groups(seed, count=60, prompts=12):
    generator = np.random.default_rng(seed)
    rate = generator.uniform(0, 1, prompts)
    for _ in range(count):
        prompt, size = int(generator.integers(prompts)), int(generator.integers(1, 7))
        yield prompt, (generator.random(size) < rate[prompt]).astype(float).tolist()


def check(advantages_of, stock_of, options, key_of, tmp_path):
    """advantages_of(options) and stock_of() are functions of (prompt, rewards); key_of gives the key of a prompt."""
    ours, theirs = advantages_of(options), stock_of()
    for prompt, rewards in groups(1):
        np.testing.assert_allclose(ours(prompt, rewards), theirs(prompt, rewards), atol=1e-6)
    plain = {"reward_range": (0, 1), "log": lambda metrics: None}
    ours, reference = advantages_of(plain), StreamingEstimator(**plain)
    for prompt, rewards in groups(2):
        np.testing.assert_allclose(ours(prompt, rewards), reference.group(rewards, key_of(prompt)), atol=1e-6)
    kept = plain | {"state_path": tmp_path / "v05.zip", "every": 5}
    whole = advantages_of(plain)
    parts = advantages_of(kept)
    for number, (prompt, rewards) in enumerate(groups(3)):
        if number == 30:
            parts = advantages_of(kept)  # goes on from the file
        np.testing.assert_array_equal(parts(prompt, rewards), whole(prompt, rewards))
    with pytest.raises(v05.InvalidArgument, match="lie in"):
        advantages_of(plain)(0, [5.0, 0.0])
    with pytest.raises(v05.InvalidArgument, match="rule must be one of"):
        advantages_of({"rule": "best"})


def modules(monkeypatch, **content):
    """Stand-ins for a package that is not installed: {module with __ for .: its names}."""
    for name, names in content.items():
        parts = name.split("__")
        for length in range(1, len(parts) + 1):
            dotted = ".".join(parts[:length])
            if dotted not in sys.modules or length == len(parts):
                monkeypatch.setitem(sys.modules, dotted, types.ModuleType(dotted))
        vars(sys.modules[".".join(parts)]).update(names)
        for length in range(2, len(parts) + 1):
            monkeypatch.setattr(
                sys.modules[".".join(parts[: length - 1])],
                parts[length - 1],
                sys.modules[".".join(parts[:length])],
                raising=False,
            )


def test_torchtitan(request, monkeypatch, tmp_path):
    source = released("torchtitan==0.3.0", request.config.cache, "3.12")
    modules(
        monkeypatch,
        torchtitan__observability={
            "structured_logger": SimpleNamespace(log_trace_span=lambda name: contextlib.nullcontext())
        },
        torchtitan__experiments__rl__rollout__types={"RolloutGroup": object},
    )
    modules(monkeypatch, torchtitan__config={})
    exec(source("torchtitan/config/configurable.py"), vars(sys.modules["torchtitan.config"]))
    modules(monkeypatch, torchtitan__experiments__rl__rollout__advantage={})
    stock = vars(sys.modules["torchtitan.experiments.rl.rollout.advantage"])
    exec(source("experiments/rl/rollout/advantage.py"), stock)
    monkeypatch.delitem(sys.modules, "v05.torchtitan", raising=False)
    adapter = importlib.import_module("v05.torchtitan")

    def group(prompt, rewards):
        turn = SimpleNamespace(prompt_token_ids=[7, prompt, 9])
        return SimpleNamespace(
            group_id=3, rollouts=[SimpleNamespace(reward=reward, turns=[turn]) for reward in rewards]
        )

    def of(options):
        made = adapter.AdvantageEstimator.Config(options=options).build()
        return lambda prompt, rewards: made(group(prompt, rewards))

    def stock_of():
        made = stock["AdvantageEstimator"].Config().build()
        return lambda prompt, rewards: made(group(prompt, rewards))

    check(
        of,
        stock_of,
        adapter.STOCK | {"log": lambda metrics: None},
        lambda prompt: v05._core.prompt_key.token_key([7, prompt, 9]),
        tmp_path,
    )
    for options in ({"id_field": "id"}, {"prior": len}, {"weights": "length"}):
        with pytest.raises(v05.InvalidArgument, match="torchtitan does not hand over"):
            adapter.AdvantageEstimator.Config(options=options).build()
    assert adapter.AdvantageEstimator.Config(options={}).build()(SimpleNamespace(group_id=1, rollouts=[])) == []

    # Its validation asks the same estimator, before the first step, too.
    assert "group_id=-(" in source("experiments/rl/controller.py")
    made = adapter.AdvantageEstimator.Config(options={}).build()
    for number in range(1, 100):
        validation = group(1000 + number, [1.0])
        validation.group_id = -number
        assert len(made(validation)) == 1
    assert made.v05_estimator.steps == 0 and made.v05_estimator.reward_range is None
    assert made(group(0, [0.0, 1.0])) == adapter.AdvantageEstimator.Config(options={}).build()(group(0, [0.0, 1.0]))
    assert made.v05_estimator.steps == 1


def test_tinker_cookbook(request, monkeypatch, tmp_path):
    source = released("tinker-cookbook==0.6.1", request.config.cache, "3.12")
    theirs = definitions(
        source("tinker_cookbook/rl/data_processing.py"), ["compute_advantages"], torch=torch, TrajectoryGroup=object
    )
    total = definitions(
        source("tinker_cookbook/rl/types.py"),
        ["TrajectoryGroup"],
        field=dataclasses.field,
        Trajectory=object,
        Metrics=dict,
        RolloutError=object,
        safezip=zip,
    ).TrajectoryGroup.get_total_rewards
    printed = []
    modules(
        monkeypatch,
        tinker_cookbook__rl__data_processing={"compute_advantages": theirs.compute_advantages},
        tinker_cookbook__rl__train={"compute_advantages": theirs.compute_advantages},
    )
    train = sys.modules["tinker_cookbook.rl.train"]
    train.print_group = lambda group, tokenizer: printed.append(train.compute_advantages([group]))
    monkeypatch.delitem(sys.modules, "v05.tinker_cookbook", raising=False)
    adapter = importlib.import_module("v05.tinker_cookbook")

    def group(prompt, rewards):
        observed = SimpleNamespace(chunks=[SimpleNamespace(tokens=[1, prompt])])
        first = SimpleNamespace(ob=observed, reward=0.25, ac=SimpleNamespace(tokens=[3]))
        made = SimpleNamespace(
            trajectories_G=[SimpleNamespace(transitions=[first]) for _ in rewards],
            final_rewards_G=[reward - 0.25 for reward in rewards],
        )
        made.get_total_rewards = lambda: total(made)
        return made

    def of(options):
        adapter.install(**options)
        function = train.compute_advantages

        def advantages(prompt, rewards):
            train.compute_advantages = function
            given = group(prompt, rewards)
            train.print_group(given, None)
            (found,) = train.compute_advantages([given])
            torch.testing.assert_close(printed.pop()[0], found)  # the table asks once more, and nothing is learnt of it
            assert found.dtype == torch.float32
            return found.numpy()

        return advantages

    check(
        of,
        lambda: lambda prompt, rewards: theirs.compute_advantages([group(prompt, rewards)])[0].numpy(),
        adapter.STOCK | {"log": lambda metrics: None},
        lambda prompt: adapter._key(group(prompt, [1.0])),
        tmp_path,
    )
    assert sys.modules["tinker_cookbook.rl.data_processing"].compute_advantages is not theirs.compute_advantages
    with pytest.raises(v05.InvalidArgument, match="tinker-cookbook does not hand over"):
        adapter.install(prior="column")
    weighed = group(1, [1.0, 0.0, 1.0])
    drawn = [[-0.1, -0.4], [-0.2], [-0.7, -0.3, -0.5]]
    for trajectory, log_probs in zip(weighed.trajectories_G, drawn):
        first = trajectory.transitions[0]
        trajectory.transitions = [
            SimpleNamespace(ob=first.ob, reward=0, metrics={}, ac=SimpleNamespace(tokens=[5], maybe_logprobs=[number]))
            for number in log_probs
        ]
        unread = SimpleNamespace(tokens=[5, 5], maybe_logprobs=[-2.0, -2.0])
        trajectory.transitions += [
            SimpleNamespace(ob=first.ob, reward=0, metrics={"parse_error_masked": 1.0}, ac=unread)
        ]
    for kind, sizes in (
        ("length", [2, 1, 3]),
        ("score", [sum((1 - np.exp(each)) ** 2) for each in map(np.array, drawn)]),
    ):
        adapter.install(rule="rloo", reward_range=(0, 1), weights=kind)
        rewards = weighed.get_total_rewards()
        (found,) = sys.modules["tinker_cookbook.rl.data_processing"].compute_advantages([weighed])
        expected = v05.advantages(rewards, [0] * 3, rule="rloo", weights=sizes)
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)
    # Without weights lengths are for the figures alone, whatever the log-probabilities are.
    logged = []
    adapter.install(reward_range=(-1, 1), every=3, log=logged.append)
    reference = StreamingEstimator(reward_range=(-1, 1), every=3, log=logged.append)
    for log_prob in ([-0.1], None, [0.5, "odd"]):
        weighed.trajectories_G[0].transitions[0].ac.maybe_logprobs = log_prob
        (found,) = train.compute_advantages([weighed])
        expected = reference.group(rewards, adapter._key(weighed), squared_norms=[2, 1, 3])
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)
    assert "v05/noise/rule" in logged[0] and logged[0] == pytest.approx(logged[1])
    # tinker-cookbook ends a rollout that is stopped before its first turn with an empty observation and no token.
    estimator = adapter.install(rule="rloo", prior="history", reward_range=(0, 1))
    empty = SimpleNamespace(ob=SimpleNamespace(chunks=[]), reward=0.25, ac=SimpleNamespace(tokens=[]))
    for place in range(3):
        stopped = group(5, [1.0, 0.0, 1.0])
        stopped.trajectories_G[place].transitions = [empty]
        assert adapter._key(stopped) == adapter._key(group(5, [1.0]))
        (found,) = train.compute_advantages([stopped])
        counted = [number != place for number in range(3)]
        np.testing.assert_allclose(found, v05.advantages([1, 0, 1], [0] * 3, rule="rloo", mask=counted), atol=1e-6)
    estimator = adapter.install(reward_range=(0, 1))
    silent = group(0, [1.0])
    silent.trajectories_G[0].transitions.clear()
    with pytest.raises(v05.InvalidArgument, match="a group must have a trajectory with a transition"):
        train.compute_advantages([group(0, [1.0, 0.0]), silent])
    assert estimator.steps == 0


def test_trls_asynchronous_grpo(monkeypatch, tmp_path):
    pytest.importorskip("trl")
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    worker = pytest.importorskip("trl.experimental.async_grpo.async_rollout_worker")
    from accelerate import PartialState
    from v05.trl import async_grpo

    PartialState()  # of the process in which the loop runs

    def made(kind, **attributes):
        loop = kind.__new__(kind)
        vars(loop).update(
            reward_funcs=[lambda completions, **columns: columns["scores"]],
            reward_func_names=["score"],
            _env_reward_types=[],
            **attributes,
        )
        return loop

    def group(prompt, rewards):
        row = SimpleNamespace(input_ids=[1, 2], completion_mask=[0, 1], old_log_probs=[0.0, -1.0])
        names = {field.name for field in dataclasses.fields(worker.RolloutGroup)}
        given = dict(
            prompts=[[{"role": "user", "content": str(prompt)}]] * len(rewards),
            reward_kwargs={"scores": rewards},
            completions=[[{"role": "assistant", "content": "x"}]] * len(rewards),
            completions_ids=[[1]] * len(rewards),
            completions_sequences=[[row] * (1 + number % 2) for number in range(len(rewards))],
            tool_call_counts=[0] * len(rewards),
            tool_failure_counts=[0] * len(rewards),
            model_version=1,
            group_id=2,
            env_rewards=[None] * len(rewards),
            rollout_rewards=[None] * len(rewards),
        )
        return worker.RolloutGroup(**{name: value for name, value in given.items() if name in names})

    def score(loop, prompt, rewards):
        samples = asyncio.run(loop._score_group(group(prompt, rewards)))
        first = np.cumsum([0] + [1 + number % 2 for number in range(len(rewards))])[:-1]
        for number, start in enumerate(first):  # the rows of one conversation share its advantage
            assert len({sample.advantage for sample in samples[start : start + 1 + number % 2]}) == 1
        return np.array([samples[start].advantage for start in first])

    def of(options):
        loop = made(async_grpo.V05RolloutLoop, v05_estimator=StreamingEstimator(**options))
        return lambda prompt, rewards: score(loop, prompt, rewards)

    stock = made(worker._AsyncRolloutLoop)
    key = v05._core.prompt_key.prompt_key
    check(
        of,
        lambda: lambda prompt, rewards: score(stock, prompt, rewards),
        async_grpo.STOCK | {"log": lambda metrics: None},
        lambda prompt: key([{"role": "user", "content": str(prompt)}]),
        tmp_path,
    )

    before = worker.AsyncRolloutWorker._loop_cls
    monkeypatch.setattr(worker.AsyncRolloutWorker, "_loop_cls", before)
    async_grpo.install(rule="rloo", reward_range=(0, 1))
    loop_class = worker.AsyncRolloutWorker._loop_cls
    assert loop_class.func is async_grpo.V05RolloutLoop and loop_class.keywords["v05"]["rule"] == "rloo"
    with pytest.raises(v05.InvalidArgument, match="rule must be one of"):
        async_grpo.install(rule="best")
    with pytest.raises(v05.InvalidArgument, match="TRL's AsyncGRPOTrainer does not hand over"):
        async_grpo.install(weights="length")


PRIME_RL = contract("prime_rl")


class Prime:
    """Stand-ins for what v05.prime_rl takes hold of: GRPO is the reward minus the mean of the group's traces."""

    def __init__(self, config, clients):
        self.config = config

    @staticmethod
    def traces(episodes):
        for episode in episodes:
            for trace in episode.traces:
                if trace.agent.trainable and not trace.has_error:
                    yield episode, trace

    @staticmethod
    def assign(trace, values):
        trace.advantage = values

    async def score_group(self, episodes):
        found = [trace for _, trace in self.traces(episodes)]
        for trace in found:
            trace.advantage = trace.reward - sum(other.reward for other in found) / len(found)
            trace.scored = True


class Data(SimpleNamespace):
    """Stands in for verifiers' TaskData: iterates over its fields, as pydantic's models do."""

    def __iter__(self):
        return iter(vars(self).items())


@pytest.fixture
def prime(monkeypatch):
    return host(
        monkeypatch,
        "prime_rl",
        prime_rl__orchestrator__algo={"ALGORITHM_CLASSES": {"grpo": Prime, "rae": object}},
        prime_rl__orchestrator__algo__base={"iter_trainable_traces": Prime.traces},
        prime_rl__orchestrator__algo__grpo={"GRPOAlgorithm": Prime},
        prime_rl__orchestrator__algo__routing={"assign_advantages": Prime.assign},
    )


def episodes(prompt, rewards, environment="math", **task):
    data = Data(**{"idx": prompt, "prompt_text": f"prompt {prompt}"} | task.pop("data", {}))
    task = SimpleNamespace(**{"key": f"task {prompt}", "hash": "of all", "data": data} | task)
    return [
        SimpleNamespace(
            task=task,
            env=SimpleNamespace(name=environment, id="id"),
            traces=[SimpleNamespace(reward=reward, has_error=False, agent=SimpleNamespace(trainable=True))],
        )
        for reward in rewards
    ]


def scored(algorithm, group):
    asyncio.run(algorithm.score_group(group))
    return [trace.advantage for episode in group for trace in episode.traces]


def prime_algorithm(prime, options, **configuration):
    prime.install(**options)
    made = sys.modules["prime_rl.orchestrator.algo"].ALGORITHM_CLASSES["grpo"]
    assert made is prime.V05Algorithm
    return made(SimpleNamespace(**{"length_penalty": None, "length_weighted_baseline": False} | configuration), None)


def test_ids_of_rows_are_those_of_an_environment(prime):
    """Row 5 of one environment's data is another task than row 5 of another's."""
    algorithm = prime_algorithm(prime, dict(id_field="idx", reward_range=(0, 1), rule="prior"))
    for _ in range(8):
        scored(algorithm, episodes(5, [1.0, 1.0], "math"))
        scored(algorithm, episodes(5, [0.0, 0.0], "code"))
    assert scored(algorithm, episodes(5, [1.0], "math"))[0] < 0.1
    assert len(algorithm.v05_estimator.source.history) == 2


def test_prime_rl_hands_over_no_tokens(prime):
    with pytest.raises(
        v05.InvalidArgument, match="weights 'score' needs the tokens of rollouts, which prime-rl does not"
    ):
        prime.install(weights="score")


def test_prime_rl(prime, tmp_path):
    check_parameters(prime.V05Algorithm, PRIME_RL["calls"]["Algorithm"])
    check_parameters(prime.V05Algorithm.score_group, ["self", *PRIME_RL["calls"]["score_group"]])

    def of(options):
        algorithm = prime_algorithm(prime, options)
        return lambda prompt, rewards: scored(algorithm, episodes(prompt, rewards))

    check(
        of,
        lambda: lambda prompt, rewards: [reward - sum(rewards) / len(rewards) for reward in rewards],
        prime.STOCK | {"log": lambda metrics: None},
        lambda prompt: f'["math", "task {prompt}"]',
        tmp_path,
    )
    assert sys.modules["prime_rl.orchestrator.algo"].ALGORITHM_CLASSES["rae"] is object


def test_prime_rls_own_numbers(prime):
    algorithm = prime_algorithm(prime, prime.STOCK | {"log": lambda metrics: None})
    for case in recorded("prime_rl", "GRPOAlgorithm"):
        rewards, groups, theirs = (np.array(case[name]) for name in ("rewards", "groups", "advantages"))
        for group in np.unique(groups):
            ours = scored(algorithm, episodes(int(group), rewards[groups == group].tolist()))
            np.testing.assert_allclose(ours, theirs[groups == group], atol=case["tolerance"])


def test_prime_rl_traces_that_are_not_trained_count_nowhere(prime):
    algorithm = prime_algorithm(prime, {"rule": "rloo", "reward_range": (0, 1)})
    group = episodes(1, [1.0, 0.0, 1.0, 1.0])
    group[2].traces[0].has_error, group[3].traces[0].agent.trainable = True, False
    group[2].traces[0].advantage = group[3].traces[0].advantage = None
    assert scored(algorithm, group) == [1.0, -1.0, None, None]
    assert group[0].traces[0].scored  # prime-rl's own scoring ran
    assert scored(algorithm, []) == [] and algorithm.v05_estimator.steps == 1


def test_prime_rl_tells_tasks_apart(prime):
    algorithm = prime_algorithm(prime, {"reward_range": (0, 1), "rule": "prior"})
    seen = algorithm.v05_estimator.source.history

    def known():
        return len(seen if seen is algorithm.v05_estimator.source.history else algorithm.v05_estimator.source.history)

    for number, group in enumerate(
        (
            episodes(1, [1.0]),
            episodes(1, [1.0], environment="code"),
            episodes(1, [1.0], environment=None),
            episodes(1, [1.0], key=None),
            episodes(1, [1.0], key=None, hash=None),
            episodes(1, [1.0], key=None, hash=None, data={"idx": None}),
        ),
        start=1,
    ):
        scored(algorithm, group)
        scored(algorithm, group)
        assert known() == number
    by_field = prime_algorithm(prime, {"reward_range": (0, 1), "id_field": "uid", "prior": "column", "rule": "prior"})
    group = episodes(1, [1.0], data={"uid": "a", "prior": 0.25})
    assert scored(by_field, group) == [0.75]
    with pytest.raises(v05.InvalidArgument, match="id_field 'uid' must be in every record"):
        scored(by_field, episodes(1, [1.0]))


@pytest.mark.parametrize("option", [{"length_penalty": object()}, {"length_weighted_baseline": True}])
def test_prime_rl_options_that_make_a_reward_depend_on_its_group(prime, option):
    with pytest.raises(v05.InvalidArgument, match=f"algo.{next(iter(option))} must be unset with v05"):
        prime_algorithm(prime, {"reward_range": (0, 1)}, **option)


def test_prime_rls_episodes_are_those_of_verifiers(request):
    """Every field that the adapter reads stands in the released classes."""
    source = released("verifiers==0.4.0", request.config.cache, "3.12")
    for path, fields in PRIME_RL["fields"].items():
        module, name = path.split("::")
        (node,) = (
            node for node in ast.walk(ast.parse(source(module))) if isinstance(node, ast.ClassDef) and node.name == name
        )
        held = {part.target.id for part in node.body if isinstance(part, ast.AnnAssign)}
        held |= {part.name for part in node.body if isinstance(part, ast.FunctionDef)}
        assert set(fields) <= held
