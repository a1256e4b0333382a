"""v05.rllm in a registry like rLLM's (trainer_contracts/rllm.json) and against the formulas."""

import enum
from types import SimpleNamespace

import numpy as np
import pytest
import v05
from adapter_cases import batches, check_parameters, check_resume, check_rules, contract, host, stock, warnings
from v05._core.prompt_key import prompt_key
from v05.training.streaming_estimator import StreamingEstimator


class Estimator(str, enum.Enum):
    """As in rLLM: what it does not know is OTHER."""

    GRPO = "grpo"
    OTHER = "other"

    @classmethod
    def _missing_(cls, value):
        return cls.OTHER


def registered(registry, name):
    def register(function):
        registry[name] = function
        return function

    return register


@pytest.fixture
def registry():
    return {}


@pytest.fixture
def rllm(monkeypatch, registry):
    return host(
        monkeypatch,
        "rllm",
        rllm__trainer__algorithms__advantage={
            "RLLM_ADV_ESTIMATOR_REGISTRY": registry,
            "register_rllm_adv_estimator": lambda name: registered(registry, name),
        },
    )


def group(group_id, task, role="agent"):
    return SimpleNamespace(
        trajectories=[SimpleNamespace(task=task)], group_id=group_id, group_role=role, task_id=group_id.split(":")[0]
    )


def call(function, batch, **arguments):
    """One step as rLLM makes it: the rewards of every group, and back to rows."""
    rows_of = {}
    for row, number in enumerate(batch.groups):
        rows_of.setdefault(number, []).append(row)
    rewards = np.array(batch.rewards, dtype=float)
    groups = [group(f"{number}:agent", {"question": batch.keys[rows[0]]}) for number, rows in rows_of.items()]
    advantages, returns = function(
        rewards=[rewards[rows] for rows in rows_of.values()], algorithm_config=SimpleNamespace(), traj_groups=groups
    )
    assert [len(part) for part in advantages] == [len(rows) for rows in rows_of.values()]
    found = np.empty(len(rewards))
    for rows, part in zip(rows_of.values(), advantages):
        found[rows] = part
    return found


def test_the_name_v05_reaches_the_estimator_through_other(rllm, registry):
    assert registry[Estimator("v05")] is registry["v05"] is rllm.compute_advantages
    check_parameters(rllm.compute_advantages, dict.fromkeys(contract("rllm")["calls"]["estimator"]))


def test_an_entry_of_the_user_under_other_stays(monkeypatch, registry, caplog):
    registry["other"] = theirs = object()
    host(
        monkeypatch,
        "rllm",
        rllm__trainer__algorithms__advantage={
            "RLLM_ADV_ESTIMATOR_REGISTRY": registry,
            "register_rllm_adv_estimator": lambda name: registered(registry, name),
        },
    )
    assert registry["other"] is theirs and "v05" in registry
    assert len(warnings(caplog, 'entry "other" is taken')) == 1


def adapter(rllm, **options):
    rllm.install(reward_range=(0, 1), **options)
    return lambda batch: call(rllm.compute_advantages, batch)


def test_formulas(rllm):
    check_rules(lambda rule: adapter(rllm, rule=rule))


def test_rllms_convention(rllm):
    advantages_of = adapter(rllm, **rllm.STOCK)
    for batch in batches():
        np.testing.assert_allclose(advantages_of(batch), stock(batch, ddof=0, singleton="raw"), atol=1e-9)


def test_resume(rllm, tmp_path):
    def stored(name):
        rllm.install(reward_range=(0, 1), state_path=tmp_path / name / "v05.zip")
        kept = dict(rllm._options), dict(rllm._estimators)

        def advantages_of(batch):
            rllm._options.update(kept[0])
            rllm._estimators.clear()
            rllm._estimators.update(kept[1])
            found = call(rllm.compute_advantages, batch)
            kept[1].update(rllm._estimators)
            return found

        return advantages_of

    check_resume(stored)
    assert (tmp_path / "whole" / "v05-agent.zip").exists()


def test_roles_are_kept_apart(rllm, tmp_path):
    rllm.install(rule="prior", prior="history", reward_range=(0, 1))

    def step(role, reward):
        rewards = [np.array([reward, reward])]
        return rllm.compute_advantages(rewards, None, traj_groups=[group("1:x", {"q": 1}, role)])[0][0].tolist()

    assert step("solver", 1.0) == [0.0, 0.0]  # nothing known
    assert step("judge", 0.0) == [0.0, 0.0]
    # Two rewards and the level, which is worth one: 1/2 at first, and that is in it as one rollout, too.
    assert step("solver", 0.0) == pytest.approx([-(2 + 2.5 / 3) / 3] * 2)
    assert step("judge", 1.0) == pytest.approx([1 - (0 + 0.5 / 3) / 3] * 2)


def test_tasks_of_each_kind(rllm):
    rllm.install(id_field="id", prior="column", prior_field="pass_rate", rule="prior", reward_range=(0, 1))
    task = SimpleNamespace(id="row 7", instruction="add", metadata={"pass_rate": 0.5})
    found, _ = rllm.compute_advantages(
        [np.ones(2), np.ones(1)], None, traj_groups=[group("u:x", task), group("v:x", {"id": 8, "pass_rate": 0.25})]
    )
    assert [part.tolist() for part in found] == [[0.5, 0.5], [0.75]]
    rllm.install(rule="rloo")
    found, _ = rllm.compute_advantages([np.array([1.0, 0.0])], None, traj_groups=[group("u:x", None)])
    assert found[0].tolist() == [1.0, -1.0]
    assert rllm.compute_advantages([], None, traj_groups=[]) == ([], [])


def test_prompts_that_cannot_be_told_apart_are_an_error(rllm):
    with pytest.raises(v05.InvalidArgument, match="traj_groups must hold the group"):
        rllm.compute_advantages([np.ones(2)], None)
    with pytest.raises(v05.InvalidArgument, match="a trajectory must have a task"):
        rllm.compute_advantages([np.ones(2)], None, traj_groups=[group("", None)])


def test_groups_of_several_roles_in_one_call(rllm):
    given = [("solver", "1:x", [1.0, 0.0]), ("judge", "1:x", [1.0, 1.0]), ("solver", "2:x", [0.0, 0.0])]
    rewards = [np.array(each) for _, _, each in given]
    groups = [group(name, {"q": name}, role) for role, name, _ in given]

    def by_itself(role):
        return [row for row, (other, _, _) in enumerate(given) if other == role]

    expected = [None] * 3
    for _ in range(2):
        rllm.install(reward_range=(0, 1))
        for role in ("solver", "judge"):
            own = by_itself(role)
            found, _ = rllm.compute_advantages([rewards[row] for row in own], None, [groups[row] for row in own])
            for row, part in zip(own, found):
                expected[row] = part
    rllm.install(reward_range=(0, 1))
    found, returns = rllm.compute_advantages(rewards, None, groups)
    for ours, same, theirs in zip(found, returns, expected):
        np.testing.assert_array_equal(ours, theirs)
        np.testing.assert_array_equal(same, theirs)


@pytest.mark.parametrize(
    "rewards",
    [
        np.ma.masked_array([1.0, 0.0], [True, False]),
        ["1", "0"],
        np.array([["1"], ["0"]]),
        np.ones((2, 1)),
        np.array(1.0),
        [{"score": 1}],
    ],
)
def test_rewards_that_are_no_list_of_numbers(rllm, rewards):
    rllm.install(rule="rloo", reward_range=(0, 1))
    with pytest.raises(v05.Error, match=r"rewards\[1\] must"):
        rllm.compute_advantages([np.ones(2), rewards], None, [group(f"{n}:x", {"q": n}) for n in range(2)])
    assert rllm._estimators["agent"].steps == 0
    found, _ = rllm.compute_advantages([[1.0, None, 0.0]], None, [group("1:x", {"q": 1})])
    assert found[0].tolist() == [1.0, 0.0, -1.0]


def test_state_paths_of_roles(rllm, tmp_path):
    rllm.install(rule="rloo", reward_range=(0, 1), state_path=bytes(tmp_path / "v05.zip"))
    rllm.compute_advantages([np.ones(2)] * 2, None, traj_groups=[group("1:x", {"q": 1}), group("2:x", {"q": 2})])
    assert (tmp_path / "v05-agent.zip").exists()
    with pytest.raises(v05.InvalidArgument, match="state_path must be the path of a file on this machine"):
        rllm.install(state_path="s3://bucket/v05.zip")


def test_the_earlier_name_of_install(rllm):
    assert rllm.configure is rllm.install


def test_groups_of_one_warn_once(rllm, caplog):
    rllm.install(reward_range=(0, 1))
    for _ in range(2):
        rllm.compute_advantages([np.ones(1)] * 9, None, traj_groups=[group(f"{n}:x", {"q": n}) for n in range(9)])
    assert len(warnings(caplog, "a single rollout")) == 1


def test_weights_that_nobody_hands_over_are_refused(rllm):
    with pytest.raises(v05.InvalidArgument, match="weights 'length' needs the tokens of rollouts, which rLLM does not"):
        rllm.install(weights="length")


def test_one_group_at_a_time_as_asynchronous_training_asks(rllm, tmp_path):
    """Groups are then the steps of a StreamingEstimator; several roles of one task, too."""
    rllm.install(reward_range=(0, 1), rule="calibrated", state_path=tmp_path / "v05.zip")
    expected = StreamingEstimator(reward_range=(0, 1), rule="calibrated", log=lambda metrics: None)
    generator = np.random.default_rng(2)
    for number in range(130):
        rewards, task = generator.integers(0, 2, 4).astype(float), {"question": f"{number % 20}"}
        groups = [group(f"{number}:{role}", task, role) for role in ("solver", "judge")]
        found, _ = rllm.compute_advantages([rewards, rewards], traj_groups=groups)
        right = expected.group(rewards, prompt_key(task))
        np.testing.assert_array_equal(found, [right, right])
    for role in ("solver", "judge"):
        assert rllm._estimators[role].steps == 130 and (tmp_path / f"v05-{role}.zip").exists()
