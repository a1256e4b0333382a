"""verl's advantage estimator "v05" as verl calls it, without a trainer: the functions, options, prompts and
checkpoints."""

import asyncio
import logging
import sys
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("verl", reason="verl is not installed: it needs an environment of its own (bash Tests/run slow)")
import v05  # noqa: E402
import v05.verl  # noqa: E402
from omegaconf import OmegaConf  # noqa: E402
from v05.commands.doctor import verl_report  # noqa: E402
from v05.verl import prompts, training  # noqa: E402
from verl.trainer.ppo import core_algos  # noqa: E402
from verl.trainer.ppo.ray_trainer import compute_advantage  # noqa: E402

PADDING = "pad" + "0123456789abcdef" * 2
GRPO = v05.verl.STOCK | {"reward_range": [0, 1]}
RLOO = {"rule": "rloo", "singleton": "raw", "reward_range": [0, 1]}


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(training, "_trainings", {})


def batch(seed, sizes=(4, 8, 12, 16, 4, 1, 5), tokens=7, padding=3, rewards=None):
    """token_level_rewards, response_mask, uids of groups of these sizes, mixed, with rows of padding as verl adds
    them."""
    random = np.random.default_rng(seed)
    uids = [f"{seed}-{group}" for group, size in enumerate(sizes) for _ in range(size)] + [PADDING] * padding
    uids = np.array(uids, object)[random.permutation(len(uids))]
    mask = torch.zeros(len(uids), tokens, dtype=torch.int64)
    given = torch.zeros(len(uids), tokens)
    for row, uid in enumerate(uids):
        if uid != PADDING:
            length = int(random.integers(1, tokens + 1))
            mask[row, :length] = 1
            given[row, length - 1] = float(random.integers(0, 2)) if rewards is None else rewards(random, uid)
    return given, mask, uids


def estimate(batch, options, algorithm=None, **more):
    token_level_rewards, response_mask, uids = batch
    return core_algos.get_adv_estimator_fn("v05")(
        token_level_rewards=token_level_rewards,
        response_mask=response_mask,
        index=uids,
        config=OmegaConf.create({"v05": options}) if algorithm is None else algorithm,
        **more,
    )[0]


def trainer_config(options, **algorithm):
    """The part of verl's V1 configuration that is read, and of it `algorithm`."""
    return OmegaConf.create(
        {
            "algorithm": {"adv_estimator": "v05", "v05": options, **algorithm},
            "transfer_queue": {"enable": True},
            "trainer": {"use_v1": True, "resume_mode": "disable", "default_local_dir": "checkpoints"},
            "actor_rollout_ref": {"rollout": {"n": 4}},
        }
    )


class TransferQueue:
    """What the adapter uses of TransferQueue, over rows of the dataset by uid."""

    def __init__(self, monkeypatch):
        self.rows, self.reads = {}, []
        monkeypatch.setitem(sys.modules, "transfer_queue", self)

    def kv_list(self, partition):
        held = {uid: {"is_prompt": True, "status": "finished"} for uid in self.rows}
        # The first session of a prompt can be missing: its agent loop gave nothing.
        return {partition: held | {f"{uid}_{session}_0": {} for uid in self.rows for session in (3, 1)}}

    def kv_batch_get(self, keys, partition_id, select_fields):
        self.reads.append(select_fields)
        rows = [self.rows[key.rsplit("_", 2)[0]] for key in keys]
        return {field: np.array([row[field] for row in rows] + [None], object)[:-1] for field in select_fields}

    def put(self, uids, extra_info, raw_prompt=lambda name: [{"role": "user", "content": f"question {name}"}]):
        for uid in dict.fromkeys(uids):
            name = uid.partition("-")[2]
            self.rows[uid] = {"extra_info": extra_info(name), "raw_prompt": raw_prompt(name)}


@pytest.fixture
def queue(monkeypatch):
    return TransferQueue(monkeypatch)


def test_registered_under_its_name_by_the_plug_in_module():
    assert core_algos.ADV_ESTIMATOR_REGISTRY["v05"] is v05.verl.compute_v05_advantage


@pytest.mark.parametrize("seed", range(10))
def test_grpo_and_rloo_equal_those_of_verl(seed):
    sizes = np.random.default_rng(seed).integers(1, 17, 24)
    rewards, mask, uids = given = batch(seed, sizes)
    for options, theirs in [
        (GRPO, core_algos.compute_grpo_outcome_advantage),
        (GRPO, core_algos.compute_grpo_vectorized_outcome_advantage),
        (RLOO, core_algos.compute_rloo_outcome_advantage),
    ]:
        expected, returns = theirs(token_level_rewards=rewards.clone(), response_mask=mask, index=uids)
        found = estimate(given, options)
        assert found.dtype == expected.dtype and found.shape == expected.shape
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=2e-6)
        assert returns.equal(expected)
    unscaled, _ = core_algos.compute_grpo_outcome_advantage(
        token_level_rewards=rewards.clone(), response_mask=mask, index=uids, norm_adv_by_std_in_grpo=False
    )
    torch.testing.assert_close(estimate(given, GRPO | {"scale": "none"}), unscaled, rtol=1e-5, atol=2e-6)


def test_through_the_dispatcher_of_verl():
    rewards, mask, uids = batch(3)
    data = SimpleNamespace(
        batch={
            "token_level_rewards": rewards,
            "response_mask": mask,
            "reward_baselines": torch.full((len(uids),), 0.25),
        },
        non_tensor_batch={"uid": uids},
    )
    config = OmegaConf.create({"v05": {"rule": "v05", "leave_one_out": False, "reward_range": [0, 1]}})
    compute_advantage(data, adv_estimator="v05", config=config)
    expected = v05.advantages(rewards.sum(-1), list(uids), 0.25, rule="v05", mask=mask.sum(-1) > 0)
    torch.testing.assert_close(data.batch["advantages"], expected[:, None] * mask)
    assert data.batch["returns"].equal(data.batch["advantages"])


def test_column_of_the_legacy_trainer_by_the_formula():
    rewards, mask, uids = given = batch(4, sizes=[4] * 12)
    prior = {uid: (group + 1) / 16 for group, uid in enumerate(sorted(set(uids)))}
    column = torch.tensor([prior[uid] for uid in uids])
    found = estimate(given, {"rule": "v05", "leave_one_out": False, "reward_range": [0, 1]}, reward_baselines=column)
    for uid in set(uids) - {PADDING}:
        rows = np.flatnonzero(uids == uid)
        r = rewards[rows].sum(-1).numpy()
        noise = 0.25 / len(rows)
        distance = (r.mean() - prior[uid]) ** 2
        weight = max(0, 1 - noise / distance) if distance else 0
        expected = (r - weight * r.mean() - (1 - weight) * prior[uid])[:, None] * mask[rows].numpy()
        np.testing.assert_allclose(found[rows], expected, atol=1e-6)
    assert not found[uids == PADDING].any()


def formula_of_history(visits, discount=0.8):
    """Value of the history after visits, lists of rewards in [0, 1]: both sums decay at each visit."""
    total = count = 0.0
    for rewards in visits:
        total, count = discount * total + sum(rewards), discount * count + len(rewards)
    return total / count if count else None


def test_history_of_the_prompts_in_transfer_queue(queue):
    """Each visit has new uids; the prompt is told by its text, and the baseline is the prior of the visits before."""
    algorithm = trainer_config(
        {"rule": "prior", "reward_range": [0, 1], "singleton": "raw", "start_strength": 0}
    ).algorithm
    visits = {}
    for step in range(3):
        rewards, mask, uids = given = batch(step, sizes=[4] * 8)
        queue.put(uids, lambda name: {"index": 0})
        found = estimate(given, None, algorithm)
        for uid in set(uids) - {PADDING}:
            rows = np.flatnonzero(uids == uid)
            r = rewards[rows].sum(-1).numpy()
            prior = formula_of_history(visits.setdefault(uid.partition("-")[2], []))
            expected = r - (r.mean() if prior is None else prior)
            if prior is None:  # rule "prior" without one: leave-one-out mean
                expected = (r - r.mean()) * 4 / 3
            np.testing.assert_allclose(found[rows], expected[:, None] * mask[rows].numpy(), atol=1e-6)
            visits[uid.partition("-")[2]].append(r)
    assert all(fields == ["extra_info", "raw_prompt"] for fields in queue.reads) and len(queue.reads) == 3


def test_calibrated_by_the_formula_over_two_steps(queue):
    """Leave-one-out of the calibrated rule with the calibration of the first step, in numpy."""
    options = {"rule": "calibrated", "prior_field": "prior", "reward_range": [0, 1]}
    algorithm = trainer_config(options).algorithm
    random = np.random.default_rng(0)
    truth = {str(name): random.uniform(0.1, 0.9) for name in range(40)}
    priors = {name: float(np.clip(p + random.normal(0, 0.1), 0, 1)) for name, p in truth.items()}
    draw = lambda random, uid: float(random.random() < truth[uid.partition("-")[2]])  # noqa: E731
    sizes = [4] * 40
    first = batch(11, sizes, rewards=draw)
    queue.put(first[2], lambda name: {"prior": priors.get(name)})
    estimate(first, None, algorithm)
    calibration = v05.RunningCalibration()
    column = lambda uids: [priors.get(uid.partition("-")[2]) for uid in uids]  # noqa: E731
    calibration.update(first[0].sum(-1).numpy(), list(first[2]), column(first[2]), mask=first[1].sum(-1).numpy() > 0)
    fitted = calibration.calibration

    rewards, mask, uids = second = batch(12, sizes, rewards=draw)
    queue.put(uids, lambda name: {"prior": priors.get(name)})
    found = estimate(second, None, algorithm)
    for uid in set(uids) - {PADDING}:
        rows = np.flatnonzero(uids == uid)
        r = rewards[rows].sum(-1).double().numpy()
        line = np.clip(fitted.intercept + fitted.slope * priors[uid.partition("-")[2]], 0, 1)
        others = (r.sum() - r) / (len(r) - 1)
        noise = fitted.reward_variance / (len(r) - 1)
        weight = fitted.prior_variance / (fitted.prior_variance + noise)
        expected = (r - line - weight * (others - line))[:, None] * mask[rows].numpy()
        np.testing.assert_allclose(found[rows], expected, atol=1e-6)
    assert queue.reads == [["extra_info"]] * 2


def test_a_column_goes_through_a_tracker(queue):
    """Its keys are those of the prompts, so that visits say what the column is worth."""
    options = {"rule": "prior", "prior": "tracker+column", "prior_field": "prior", "id_field": "id"}
    algorithm = trainer_config(options | {"reward_range": [0, 1]}).algorithm
    tracker = v05.Tracker()
    for seed in (11, 12):
        rewards, mask, uids = given = batch(seed, [4] * 40)
        names = [uid.partition("-")[2] for uid in uids]
        column = np.array([0.25 if name.isdigit() and int(name) % 2 else 0.75 for name in names])
        queue.put(uids, lambda name: {"id": name, "prior": 0.25 if name.isdigit() and int(name) % 2 else 0.75})
        found = estimate(given, None, algorithm)
        counted, r = mask.sum(-1).numpy() > 0, rewards.sum(-1).double().numpy()
        value = tracker.predict(names, prior=column)[0]
        expected = np.where(counted, r - value, 0)[:, None] * mask.numpy()
        np.testing.assert_allclose(found, expected, atol=1e-6)
        tracker.record(names, r, prior=column, mask=counted)
    assert queue.reads == [["extra_info"]] * 2


def test_a_rejected_rollout_moves_no_baseline():
    rewards, mask, uids = batch(5, sizes=[4, 4], padding=0)
    row = int(np.flatnonzero(uids == uids[0])[1])
    mask[row] = 0
    rewards[row] = np.nan
    found = estimate((rewards, mask, uids), GRPO | {"scale": "none"})
    kept = np.array([index for index in np.flatnonzero(uids == uids[0]) if index != row])
    r = rewards[kept].sum(-1)
    torch.testing.assert_close(found[kept], (r - r.mean())[:, None] * mask[kept])
    assert not found[row].any()


def test_id_field_tells_prompts_apart_and_must_be_there(queue):
    algorithm = trainer_config({"rule": "v05", "id_field": "id", "reward_range": [0, 1]}).algorithm
    given = batch(6)
    queue.put(given[2], lambda name: {"id": name})
    estimate(given, None, algorithm)
    assert queue.reads == [["extra_info"]]
    queue.put(given[2], lambda name: {"id": None})
    with pytest.raises(v05.InvalidArgument, match="extra_info.id must tell all prompts apart"):
        estimate(given, None, algorithm)


def test_prior_field_missing_is_an_error_and_nan_a_warning(queue, caplog):
    algorithm = trainer_config({"rule": "v05", "prior_field": "prior", "reward_range": [0, 1]}).algorithm
    given = batch(7)
    queue.put(given[2], lambda name: {"index": 1, "split": "train"})
    with pytest.raises(v05.InvalidArgument, match="no field 'prior'; its fields: index, split"):
        estimate(given, None, algorithm)
    queue.put(given[2], lambda name: {"prior": None if name == "1" else float("nan")})
    with caplog.at_level(logging.WARNING, "v05"):
        estimate(given, None, algorithm)
        estimate(given, None, algorithm)
    assert [record.message for record in caplog.records].count(
        "the prior column holds no number in this batch: it says nothing of its prompts"
    ) == 1


def test_a_batch_of_nothing_but_padding(queue):
    given = batch(16, sizes=[], padding=4)
    assert not estimate(given, None, trainer_config({"rule": "v05", "reward_range": [0, 1]}).algorithm).any()


def test_a_rollout_that_is_not_in_the_queue_is_an_error(queue):
    with pytest.raises(v05.InvalidArgument, match="TransferQueue holds no rollout of uid"):
        estimate(batch(8), None, trainer_config({"rule": "v05"}).algorithm)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"ruel": "v05"}, "algorithm.v05 has no option 'ruel'; it has rule, prior"),
        ({"rule": "best"}, "rule must be one of"),
        ({"allocation": "osla"}, "algorithm.v05.allocation must hold options"),
        ({"allocation": {"budget": 3}}, "algorithm.v05.allocation has no option 'budget'; it has rule, initial"),
        ({"allocation": {}}, "needs algorithm.v05.reward_range"),
        ({"allocation": {"initial": 9, "maximum": 4}, "reward_range": [0, 1]}, "maximum"),
        ({"prior": "no_such_module.function"}, "cannot be imported"),
        ({"prior": "column"}, "needs algorithm.v05.prior_field"),
        ({"prior": "tracker+column"}, "needs algorithm.v05.prior_field"),
        ({"reward_range": [1, 0]}, "reward_range"),
        ({"log_every": "two"}, "algorithm.v05.log_every must be an integer, got 'two'"),
        ({"log_every": -1}, "algorithm.v05.log_every must be at least 1, or 0 for never, got -1"),
        ({"id_field": 5}, "algorithm.v05.id_field must be the name of a field, got 5"),
        ({"prior": "none", "prior_field": "x"}, "prior_field 'x' is read with prior .* only, got prior 'none'"),
    ],
)
def test_wrong_options_are_told_at_once(options, message):
    with pytest.raises(v05.Error, match=message):
        training.training_of(trainer_config(options).algorithm)


def test_penalty_in_the_reward_needs_a_range():
    config = trainer_config({"rule": "calibrated"}, use_kl_in_reward=True)
    with pytest.raises(v05.InvalidArgument, match="use_kl_in_reward"):
        training.training_of(config.algorithm)
    training.training_of(trainer_config({"rule": "grpo"}, use_kl_in_reward=True).algorithm)


@pytest.mark.parametrize("dtype", ["int64", "bool", "bfloat16"])
def test_rewards_of_any_kind(dtype):
    """Advantages of whole numbers are none, and half precision knows the bounds of the range."""
    whole = torch.tensor([[0, 1], [0, 0], [0, 1]]).to(getattr(torch, dtype))
    given = torch.ones(3, 2), np.array(["a"] * 3, object)
    assert estimate((whole, *given), RLOO)[:, 0].tolist() == [0.5, -1.0, 0.5]
    part = torch.tensor([[0.0, 0.3], [0.0, 0.0]], dtype=torch.bfloat16)
    found = estimate((part, torch.ones(2, 2), np.array(["a"] * 2, object)), {"rule": "rloo", "reward_range": [0, 0.3]})
    assert found[:, 0].tolist() == pytest.approx([0.3, -0.3], abs=2e-3)


def test_without_uids():
    rewards, mask, _ = batch(9)
    with pytest.raises(v05.InvalidArgument, match="uid"):
        v05.verl.compute_v05_advantage(rewards, mask, config=None)


def test_history_where_prompts_cannot_be_known(caplog):
    given = batch(10)
    with pytest.raises(v05.InvalidArgument, match="only the V1 trainer"):
        estimate(given, {"rule": "v05", "prior": "history"})
    with caplog.at_level(logging.WARNING, "v05"):
        estimate(given, {"rule": "v05", "reward_range": [0, 1]})
        estimate(given, {"rule": "v05", "reward_range": [0, 1]})
    assert sum("there is no prior" in record.message for record in caplog.records) == 1


def test_rewards_outside_the_range():
    with pytest.raises(v05.InvalidArgument, match="reward"):
        estimate(batch(11, rewards=lambda random, uid: 2.0), {"rule": "v05", "reward_range": [0, 1]})


def test_priors_of_a_group_that_differ(caplog):
    rewards, mask, uids = given = batch(12)
    column = torch.linspace(0, 1, len(uids))
    with caplog.at_level(logging.WARNING, "v05"):
        estimate(given, {"rule": "v05", "reward_range": [0, 1]}, reward_baselines=column)
    assert "the first value counts" in caplog.text


def test_uids_of_single_rollouts_are_told_once(caplog):
    given = batch(13, sizes=[1] * 16)
    with caplog.at_level(logging.WARNING, "v05"):
        estimate(given, GRPO)
        estimate(given, GRPO)
    assert sum("a uid of its own" in record.message for record in caplog.records) == 1


@pytest.mark.parametrize(
    "options, warned", [({"rule": "prior"}, False), ({"rule": "batch_mean"}, False), ({"rule": "grpo"}, True)]
)
def test_one_rollout_a_prompt_is_for_rules_with_a_prior(queue, caplog, options, warned):
    given = batch(13, sizes=[1] * 16)
    queue.put(given[2], lambda name: {"index": 0})
    config = trainer_config(options | {"reward_range": [0, 1]})
    config.actor_rollout_ref.rollout.n = 1
    with caplog.at_level(logging.WARNING, "v05"):
        estimate(given, None, config.algorithm)
    assert any("a uid of its own" in record.message for record in caplog.records) == warned


@pytest.mark.parametrize(
    "options, known",
    [
        ({"rule": "batch_mean"}, False),
        ({"prior": "column", "prior_field": "prior"}, False),
        ({"rule": "calibrated"}, True),
    ],
)
def test_no_history_of_uids_is_compared(queue, options, known):
    """Uids are new in every step, and places in the batch are no prompts: a history of them would mislead."""
    given = batch(14, sizes=[2] * 8)
    queue.put(given[2], lambda name: {"index": int(name) if name.isdigit() else name, "prior": 0.5})
    config = trainer_config(options | {"reward_range": [0, 1], "weights": "length"})
    for _ in range(3):
        estimate(given, None, config.algorithm)
    figures = training.training_of(config.algorithm).metrics
    assert any(name.startswith("v05/noise/history") for name in figures) == known
    assert "v05/noise/batch_mean" in figures


def test_function_as_prior_reads_what_the_messages_say(queue, monkeypatch):
    asked = []

    def prior(texts):
        asked.extend(texts)
        return [0.5] * len(texts)

    monkeypatch.setitem(sys.modules, "my_priors", SimpleNamespace(of_texts=prior))
    given = batch(14, sizes=[4, 4])
    queue.put(
        given[2],
        lambda name: {},
        lambda name: [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": f"{name}?"}]},
        ],
    )
    estimate(
        given, None, trainer_config({"rule": "v05", "prior": "my_priors.of_texts", "reward_range": [0, 1]}).algorithm
    )
    assert sorted(asked) == ["Be brief.\n0?", "Be brief.\n1?"]


def test_prompts_with_images_need_an_id():
    image = [{"role": "user", "content": [{"type": "image", "image": object()}, {"type": "text", "text": "What?"}]}]
    with pytest.raises(v05.InvalidArgument, match="images or sound"):
        prompts.prompt_keys([{"extra_info": {}, "raw_prompt": image}], None)
    keys = prompts.prompt_keys([{"extra_info": {"index": np.int64(i)}, "raw_prompt": image} for i in (1, 2, 1)], None)
    assert keys[0] == keys[2] != keys[1]


def test_several_outputs_of_a_rollout_count_once_where_the_trainer_tells(queue):
    """Session 1 of prompt a has two outputs; verl scores the last one and gives all of them its advantage."""
    keys = ["a_0_0", "a_1_0", "a_1_1", "b_0_0", "b_1_0", "a_2_0"]
    rewards = torch.tensor([1.0, 0, 0, 1, 0, 1])[:, None]
    mask = torch.ones(6, 1, dtype=torch.int64)
    uids = np.array([key[0] for key in keys], object)
    config = trainer_config(GRPO | {"scale": "none"})
    training.training_of(config.algorithm).batch_keys = keys
    found = estimate((rewards, mask, uids), None, config.algorithm).flatten().tolist()
    np.testing.assert_allclose(found, [1 / 3, -2 / 3, -2 / 3, 0.5, -0.5, 1 / 3], atol=1e-6)


def test_several_outputs_are_told_where_the_trainer_does_not(queue, caplog, monkeypatch):
    given = batch(15)
    queue.put(given[2], lambda name: {"index": 0})
    monkeypatch.setattr(
        queue,
        "kv_list",
        lambda partition: {partition: {f"{uid}_0_{output}": {} for uid in queue.rows for output in (0, 1)}},
    )
    with caplog.at_level(logging.WARNING, "v05"):
        for _ in range(2):
            estimate(given, None, trainer_config({"rule": "v05", "reward_range": [0, 1]}).algorithm)
    assert sum("several outputs" in record.message for record in caplog.records) == 1


# Score weights


@pytest.fixture
def trainers():
    return pytest.importorskip("v05.verl.trainers", reason="the V1 trainer's packages are not installed")


def keep(trainers, monkeypatch, **fields):
    """TransferQueue with these fields of every batch; the keys that were asked for, call by call."""
    asked = []

    class Rows(dict):
        def to_padded_tensor(self):
            return self

    def kv_batch_get(keys, partition_id, select_fields):
        asked.append(keys)
        held = {name: rows for name, rows in fields.items() if name in select_fields}
        if any(isinstance(rows, Exception) for rows in held.values()):
            raise next(iter(held.values()))
        return Rows(held)

    monkeypatch.setattr(trainers, "tq", SimpleNamespace(kv_batch_get=kv_batch_get))
    return asked


@pytest.mark.parametrize("per_token", [False, True])
def test_the_score_of_the_log_probabilities_that_the_trainer_keeps(trainers, monkeypatch, per_token):
    random = np.random.default_rng(0)
    mask = np.array([[1, 1, 1], [1, 1, 0], [0, 1, 0], [0, 0, 0]])
    old, other = -random.random((4, 3)), -random.random((4, 3))
    expected = ((1 - np.exp(old)) ** 2 * mask).sum(1) / (np.maximum(mask.sum(1), 1) ** 2 if per_token else 1)
    rows = SimpleNamespace(keys=list("abcd"), partition_id="train")
    fields = {"response_mask": torch.tensor(mask), "old_log_probs": torch.tensor(old)}
    asked = keep(trainers, monkeypatch, **fields, rollout_log_probs=torch.tensor(other))
    np.testing.assert_allclose(trainers._score(rows, per_token), expected, rtol=1e-6)
    keep(trainers, monkeypatch, response_mask=fields["response_mask"], rollout_log_probs=fields["old_log_probs"])
    np.testing.assert_allclose(trainers._score(rows, per_token), expected, rtol=1e-6)
    keep(trainers, monkeypatch, response_mask=fields["response_mask"])
    assert trainers._score(rows, per_token) is None
    assert asked == [rows.keys]


def step_with_score(trainers, queue, options, seed=20, loss="token-mean", asked=True):
    """A step as the trainers of v05 make it; the Training, the advantages of the rows, their rewards and mask."""
    config = trainer_config({"reward_range": [0, 1]} | options)
    config.actor_rollout_ref.actor = {"loss_agg_mode": loss}
    made = training.training_of(config.algorithm)
    rewards, mask, uids = given = batch(seed, sizes=[4] * 8)
    queue.put(uids, lambda name: {"index": 0})
    trainers._tell_score(made, SimpleNamespace(keys=list(uids), partition_id="train"), asked)
    found = estimate(given, None, config.algorithm).sum(1) / mask.sum(1).clamp(min=1)
    return made, found.numpy(), rewards.sum(1).numpy(), mask, list(uids)


def noise_figures(metrics):
    return {name: figure for name, figure in metrics.items() if name.startswith("v05/noise/")}


@pytest.mark.parametrize("loss", ["token-mean", "seq-mean-token-mean"])
@pytest.mark.parametrize("weights", ["score", "none"])
def test_the_score_is_for_weights_or_else_for_the_figures(trainers, queue, monkeypatch, weights, loss):
    mask = batch(20, sizes=[4] * 8)[1]
    log_prob = -torch.rand(mask.shape, generator=torch.Generator().manual_seed(1))
    keep(trainers, monkeypatch, response_mask=mask, old_log_probs=log_prob)
    made, found, rewards, _, uids = step_with_score(trainers, queue, {"rule": "rloo", "weights": weights}, loss=loss)
    size = ((1 - log_prob.exp()) ** 2 * mask).sum(1).double().numpy()
    size = size / np.maximum(mask.sum(1).numpy(), 1) ** (2 if loss.startswith("seq") else 0)
    counted = mask.sum(1).numpy() > 0
    expected = v05.advantages(rewards, uids, rule="rloo", mask=counted, weights=size if weights == "score" else None)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    known = v05.AdvantageEstimator(rule="rloo", reward_range=(0, 1))
    known.keys_recur = False  # uids are new at every step
    name = "weights" if weights == "score" else "squared_norms"
    figures = known.step(rewards, uids, uids, mask=counted, **{name: size}).metrics
    assert noise_figures(made.metrics) == pytest.approx(noise_figures(figures), rel=1e-5)


@pytest.mark.parametrize(
    "held",
    [
        {"response_mask": RuntimeError("the queue is gone")},
        {"old_log_probs": torch.zeros(2, 2)},
        {"response_mask": torch.ones(35, 7)},
        {"response_mask": torch.ones(35, 7), "old_log_probs": torch.zeros(35, 6)},
    ],
)
def test_figures_need_nothing_of_the_queue(trainers, queue, monkeypatch, held, caplog):
    asked = keep(trainers, monkeypatch, **held)
    caplog.set_level(logging.WARNING, "v05")
    options = {"rule": "rloo", "prior": "none", "singleton": "raw"}
    known = v05.AdvantageEstimator(rule="rloo", reward_range=(0, 1))
    known.keys_recur = False  # uids are new at every step
    for seed in range(3):
        made, found, rewards, mask, uids = step_with_score(trainers, queue, options, seed, asked=False)
        length = mask.sum(1).numpy()
        figures = known.step(rewards, uids, uids, mask=length > 0, squared_norms=length).metrics
        np.testing.assert_allclose(found, v05.advantages(rewards, uids, rule="rloo", mask=length > 0), atol=1e-6)
        assert noise_figures(made.metrics) == pytest.approx(noise_figures(figures))
    assert len(asked) == 1 and not caplog.records


def test_weights_that_were_asked_for_do_need_the_queue(trainers, queue, monkeypatch):
    keep(trainers, monkeypatch, response_mask=RuntimeError("the queue is gone"))
    with pytest.raises(RuntimeError, match="the queue is gone"):
        step_with_score(trainers, queue, {"weights": "score"})


def test_a_default_that_nobody_asked_for_ends_no_run(trainers, queue, monkeypatch, caplog):
    keep(trainers, monkeypatch, response_mask=RuntimeError("the queue is gone"))
    for seed in range(2):
        options = {"rule": "rloo", "weights": "score"}
        _, found, rewards, mask, uids = step_with_score(trainers, queue, options, seed, asked=False)
        length = mask.sum(1).numpy()
        expected = v05.advantages(rewards, uids, rule="rloo", mask=length > 0, weights=length.astype(float))
        np.testing.assert_allclose(found, expected, atol=1e-6)
    assert sum("weights are the lengths of rollouts" in record.message for record in caplog.records) == 1


def test_a_score_of_other_rows_is_none_for_figures(queue):
    config = trainer_config({"rule": "rloo", "reward_range": [0, 1]})
    given = batch(3)
    queue.put(given[2], lambda name: {"index": 0})
    training.training_of(config.algorithm).score = np.ones(2)
    estimate(given, None, config.algorithm)
    assert "v05/noise/rule" in training.training_of(config.algorithm).metrics


def test_a_score_that_is_not_there_is_told_once_where_it_was_asked_for(trainers, queue, monkeypatch, caplog):
    keep(trainers, monkeypatch, response_mask=torch.ones(35, 7))
    for seed in range(3):
        _, found, rewards, mask, uids = step_with_score(trainers, queue, {"rule": "rloo", "weights": "score"}, seed)
        length = mask.sum(1).double().numpy()
        expected = v05.advantages(rewards, uids, rule="rloo", mask=length > 0, weights=length)
        np.testing.assert_allclose(found, expected, atol=1e-6)
    assert sum("weights are the lengths of rollouts" in record.message for record in caplog.records) == 1


@pytest.mark.parametrize("rollouts", [1, 4])
def test_the_plain_estimator_has_figures_of_lengths_and_says_nothing(queue, caplog, rollouts):
    config = trainer_config({"rule": "prior", "reward_range": [0, 1]})
    config.actor_rollout_ref.rollout.n = rollouts
    for seed in range(3):
        given = batch(seed, sizes=[rollouts] * 16)
        queue.put(given[2], lambda name: {"index": 0})
        estimate(given, None, config.algorithm)
    made = training.training_of(config.algorithm)
    assert made.weights == "none" and {"v05/noise/rule", "v05/noise/history_weighted"} < set(made.metrics)
    assert not caplog.records


@pytest.mark.parametrize(
    "options, rollouts, weights",
    [
        (None, 1, "score"),
        (None, 4, "none"),
        ({"rule": "prior"}, 1, "score"),
        ({"rule": "mixture"}, 1, "none"),
        ({"rule": "median"}, 1, "none"),
        ({"rule": "v05", "test": "exact"}, 1, "none"),
        ({"allocation": {"rule": "osla"}, "reward_range": [0, 1]}, 1, "none"),
        ({"weights": "none"}, 1, "none"),
        ({"weights": "length"}, 1, "length"),
        ({"weights": "score"}, 4, "score"),
        ({"weights": None}, 1, "score"),
    ],
)
def test_the_weights_of_the_trainers_of_v05(trainers, monkeypatch, options, rollouts, weights):
    config = trainer_config(options)
    config.trainer.v1 = {"trainer_mode": "v05_sync"}
    config.actor_rollout_ref.rollout.n = rollouts
    if options is None:
        del config.algorithm["v05"]
    OmegaConf.set_struct(config, True)
    assert training.training_of(config.algorithm).weights == ((options or {}).get("weights") or "none")
    kind = trainers.get_trainer_cls("v05_sync")
    monkeypatch.setattr(kind.__mro__[1], "__init__", lambda self, config: None)
    OmegaConf.set_struct(config.trainer, False)  # as verl's own, it has a place for the callback
    kind(config)
    assert config.algorithm.v05.weights == weights and config.trainer.v1.trainer_mode == "sync"
    assert training.recipe_weights(config) == weights


def test_a_wrong_rule_is_told_by_its_name_in_the_configuration():
    config = trainer_config({"rule": "gpro"})
    config.actor_rollout_ref.rollout.n = 1
    with pytest.raises(v05.InvalidArgument, match=r"algorithm\.v05\.rule must be"):
        training.recipe_weights(config)


# Checkpoints


@pytest.fixture
def resumable(tmp_path, queue):
    def config(options, resume_mode="auto"):
        made = trainer_config(options)
        made.trainer.default_local_dir = str(tmp_path)
        made.trainer.resume_mode = resume_mode
        return made

    return config


OPTIONS = {"rule": "calibrated", "reward_range": [0, 1]}


def run(config, queue, steps):
    """The callback and the advantages of steps, as the V1 trainer calls them."""
    callback = v05.verl.V05Checkpoint(config)
    found = []
    for step in steps:
        given = batch(step, sizes=[4] * 16)
        queue.put(given[2], lambda name: {"index": int(name) if name else None})
        found.append(estimate(given, None, config.algorithm))
    return callback, found


def saved(config, queue, tmp_path):
    callback, _ = run(config, queue, range(3))
    callback.on_save(trainer=None, global_step=3, checkpoint_dir=str(tmp_path / "global_step_3"), async_save=False)
    (tmp_path / "latest_checkpointed_iteration.txt").write_text("3")


def test_resumed_equals_uninterrupted(resumable, queue, tmp_path, monkeypatch):
    saved(resumable(OPTIONS), queue, tmp_path)
    _, uninterrupted = run(resumable(OPTIONS, "disable"), queue, range(3, 5))  # the same process goes on
    monkeypatch.setattr(training, "_trainings", {})
    _, resumed = run(resumable(OPTIONS), queue, range(3, 5))
    assert all(a.equal(b) for a, b in zip(resumed, uninterrupted, strict=True))
    monkeypatch.setattr(training, "_trainings", {})
    _, anew = run(resumable(OPTIONS, "disable"), queue, range(3, 5))
    assert not anew[0].equal(resumed[0])


def test_resume_from_a_given_path_with_another_rule_warns(resumable, queue, tmp_path, monkeypatch, caplog):
    saved(resumable(OPTIONS), queue, tmp_path)
    config = resumable(OPTIONS | {"rule": "v05"}, "resume_path")
    config.trainer.resume_from_path = str(tmp_path / "global_step_3")
    with caplog.at_level(logging.WARNING, "v05"):
        callback, _ = run(config, queue, [])
    assert callback.v05_estimator.steps == 3
    assert any("saved with rule 'calibrated' and goes on with 'v05'" in record.message for record in caplog.records)


def test_resume_with_another_range_is_an_error(resumable, queue, tmp_path):
    saved(resumable(OPTIONS), queue, tmp_path)
    with pytest.raises(v05.CheckpointError, match="reward_range"):
        run(resumable(OPTIONS | {"reward_range": [0.5, 2]}), queue, [])
    run(resumable(OPTIONS | {"reward_range": [-1, 1]}), queue, [])  # one that holds it


def test_resume_without_a_state_warns_and_damaged_is_an_error(resumable, queue, tmp_path, caplog):
    saved(resumable(OPTIONS), queue, tmp_path)
    path = tmp_path / "global_step_3" / "v05.zip"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(v05.CheckpointError):
        run(resumable(OPTIONS), queue, [])
    path.unlink()
    with caplog.at_level(logging.WARNING, "v05"):
        run(resumable(OPTIONS), queue, [])
    assert any("start anew" in record.message for record in caplog.records)


def test_checkpoints_of_another_estimator():
    config = trainer_config({})
    config.algorithm.adv_estimator = "v50"
    with pytest.raises(v05.InvalidArgument, match="got 'v50'; registered are .*grpo.*, v05"):
        v05.verl.V05Checkpoint(config)


# Rollouts in rounds


def rounds(rewards, prior=0.5, **options):
    """What allocate_rollouts made of rewards by session; the sessions that were started, round by round."""
    rollouts = pytest.importorskip("v05.verl.rollouts", reason="the V1 trainer's packages are not installed")
    started = []

    async def roll_out(session):
        started.append(session)
        await asyncio.sleep(0)
        if isinstance(rewards[session], BaseException):
            raise rewards[session]
        return rewards[session]

    allocator = v05.Allocator([prior], **{"initial": 4, "maximum": 8} | options)
    return asyncio.run(rollouts.allocate_rollouts(allocator, roll_out, "uid")), started


def test_a_prompt_goes_on_while_its_rewards_contradict_the_prior():
    assert rounds([1.0] * 8, prior=0.0)[1] == list(range(8))
    assert rounds([1.0, 0, 1, 0], prior=0.5)[0] == 4
    assert rounds([1.0] * 8, prior=0.0, wave=2)[1] == list(range(8))


@pytest.mark.parametrize("reward", [None, float("nan"), 7.0])
def test_a_reward_that_cannot_be_used_ends_a_prompt(reward, caplog):
    count, started = rounds([1.0, reward, 1.0, 1.0], prior=0.0)
    assert count == len(started) == 4
    assert any("does not count" in record.message for record in caplog.records)


@pytest.mark.parametrize("error", [ValueError("server gone"), asyncio.CancelledError()])
def test_a_rollout_that_fails_fails_the_prompt_after_the_round(error):
    with pytest.raises(RuntimeError, match="of the prompt with uid uid failed"):
        rounds([1.0, error, 1.0, 1.0])


# v05 doctor verl


def entry_point(group):
    assert group == "verl.plugins"
    return [SimpleNamespace(name="v05", value="v05.verl")]


def test_report_of_a_registered_plug_in(capsys):
    verl_report.print_verl_report(entry_point)
    printed = capsys.readouterr().out
    assert "registered  yes" in printed and "grpo" in printed and "entry point v05.verl" in printed


@pytest.mark.parametrize(
    "points, policy, broken, message",
    [
        ([], "auto", False, "no entry point"),
        ([SimpleNamespace(name="v05", value="v05.verl")], "other", False, "VERL_USE_EXTERNAL_PLUGINS=other"),
        ([SimpleNamespace(name="v05", value="v05.verl")], "auto", True, "cannot be loaded: ModuleNotFoundError"),
    ],
)
def test_report_says_why_the_plug_in_is_not_registered(monkeypatch, capsys, points, policy, broken, message):
    monkeypatch.delitem(core_algos.ADV_ESTIMATOR_REGISTRY, "v05")
    monkeypatch.setenv("VERL_USE_EXTERNAL_PLUGINS", policy)
    if broken:
        monkeypatch.setitem(sys.modules, "v05.verl", None)
    with pytest.raises(v05.Error, match=message):
        verl_report.print_verl_report(lambda group: points)
    assert "registered  no" in capsys.readouterr().out
