"""v05.openrlhf around OpenRLHF's own experience maker (released wheel), against its numbers and the formulas."""

import itertools
import logging
import os
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import numpy as np
import pytest
import v05
from adapter_cases import (
    Batch,
    batches,
    check_figures,
    check_resume,
    check_rules,
    contract,
    definitions,
    host,
    recorded,
    released,
    warnings,
)

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def released_maker(request):
    source = released("openrlhf==0.11.2", request.config.cache, "3.11")
    logger = logging.getLogger("openrlhf")
    shaping = definitions(source("openrlhf/models/utils.py"), ["compute_reward"])
    penalties = definitions(
        source("ppo_utils/length_penalty.py"),
        ["apply_overlong_penalty", "apply_stop_properly_penalty", "apply_length_penalties"],
        logger=logger,
    )
    maker = definitions(
        source("ppo_utils/experience_maker.py"),
        ["RemoteExperienceMaker"],
        itertools=itertools,
        logger=logger,
        compute_reward=shaping.compute_reward,
        apply_length_penalties=penalties.apply_length_penalties,
    )
    return vars(maker) | vars(penalties)


@pytest.fixture
def openrlhf(monkeypatch, released_maker):
    return host(monkeypatch, "openrlhf", openrlhf__trainer__ppo_utils__experience_maker=released_maker)


def strategy(estimator="group_norm", size=4, **reward):
    return SimpleNamespace(
        args=SimpleNamespace(
            rollout=SimpleNamespace(n_samples_per_prompt=size, max_new_tokens=10),
            reward=SimpleNamespace(
                **{"clip_range": None, "overlong_buffer_len": None, "stop_properly_penalty_coef": None} | reward
            ),
            algo=SimpleNamespace(advantage=SimpleNamespace(estimator=estimator, gamma=1.0, no_std_norm=False)),
        )
    )


def maker(openrlhf, strategy=None, kl=0.0, **options):
    return openrlhf.V05ExperienceMaker(
        None, None, None, None, SimpleNamespace(value=kl), strategy or globals()["strategy"](), None, v05=options
    )


def experiences(batch, micro=5):
    """Micro-batches of the rollouts, in an order of their own, as dynamic batches have it."""
    order = np.random.default_rng(1).permutation(len(batch.rewards))
    for start in range(0, len(order), micro):
        rows = order[start : start + micro]
        lengths = torch.tensor([1 + row % 3 for row in rows])
        mask = torch.arange(3) < lengths[:, None]
        rewards = torch.tensor([float("nan") if batch.rewards[row] is None else batch.rewards[row] for row in rows])
        yield SimpleNamespace(
            rewards=rewards,
            prompts=[batch.keys[row] for row in rows],
            labels=["7"] * len(rows),
            images=[None] * len(rows),
            index=rows.tolist(),
            kl=torch.zeros(len(rows), 3),
            action_mask=mask,
            info={"reward": rewards},
            response_length=lengths,
            truncated=torch.zeros(len(rows), dtype=torch.bool),
        )


def compute(experience_maker, batch, change=lambda experience: None):
    made = list(experiences(batch))
    for experience in made:
        change(experience)
    made = experience_maker.compute_advantages_and_returns(made)
    found = np.empty(len(batch.rewards))
    for experience in made:
        assert experience.kl is None
        found[experience.index] = experience.advantages[:, 0].numpy()
    return found, made


def adapter(openrlhf, change=lambda experience: None, **options):
    experience_maker = maker(openrlhf, reward_range=(0, 1), **options)
    return lambda batch: compute(experience_maker, batch, change)[0]


def test_formulas_with_groups_of_any_size(openrlhf):
    check_rules(lambda rule: adapter(openrlhf, rule=rule))


def test_openrlhfs_numbers(openrlhf):
    for function, options in (
        ("group_norm", {}),
        ("dr_grpo", {"scale": "none"}),
        ("rloo", {"scale": "none", "leave_one_out": True}),
    ):
        experience_maker = maker(openrlhf, strategy(function), **openrlhf.STOCK | options)
        for case in recorded("openrlhf", function):
            batch = Batch(case["rewards"], case["groups"], [f"prompt {group}" for group in case["groups"]])
            np.testing.assert_allclose(compute(experience_maker, batch)[0], case["advantages"], atol=case["tolerance"])


def test_stock_maker_and_this_one_agree_in_everything_else(openrlhf, released_maker):
    """Penalties, clipping, KL, returns and logs, bit for bit, where both shape rewards alike."""
    batch = next(batches(missing=False, even=4))
    settings = dict(
        clip_range=(-1.0, 0.6), overlong_buffer_len=9, overlong_penalty_factor=0.5, stop_properly_penalty_coef=0.5
    )
    made = []
    for experience_maker in (
        released_maker["RemoteExperienceMaker"](
            None, None, None, None, SimpleNamespace(value=0.1), strategy("dr_grpo", **settings), None
        ),
        maker(openrlhf, strategy("dr_grpo", **settings), kl=0.1, rule="grpo", leave_one_out=False),
    ):
        parts = list(experiences(batch, micro=8))
        for part in parts:
            part.kl = torch.linspace(0, 1, 24).reshape(8, 3)
            part.truncated = torch.arange(8) % 3 == 0
        made.append(experience_maker.compute_advantages_and_returns(parts))
        advantage = experience_maker.args.algo.advantage
        assert advantage.estimator == "dr_grpo" and experience_maker.args.rollout.n_samples_per_prompt == 4
        assert vars(experience_maker.args.reward) == settings
    for theirs, ours in zip(*made):
        for name in ("advantages", "returns", "rewards"):
            torch.testing.assert_close(getattr(ours, name), getattr(theirs, name), atol=1e-6, rtol=0)
        assert set(theirs.info) < set(ours.info)
        for name, value in theirs.info.items():
            torch.testing.assert_close(ours.info[name], value, atol=1e-6, rtol=0)


def test_metrics_are_in_the_info_of_every_row(openrlhf):
    experience_maker = maker(openrlhf, reward_range=(0, 1))
    _, made = compute(experience_maker, next(batches()))
    for experience in made:
        assert torch.equal(experience.info["v05/groups"], torch.full((len(experience.index),), 16.0))


def test_resume(openrlhf, tmp_path):
    check_resume(lambda name: adapter(openrlhf, state_path=tmp_path / name / "v05.zip"))


def test_prompts_with_other_labels_or_images_are_other_prompts(openrlhf):
    parts = SimpleNamespace(prompts=["a"] * 3, labels=["1", "2", "1"], images=[None, None, ["x.png"]])
    assert len(set(openrlhf._keys(parts))) == 3


def test_one_rollout_per_prompt_with_flash_reinforce(openrlhf, released_maker):
    """The released class centres on the mean of the batch; the prior of the prompt takes its place."""
    batch = Batch([1.0, 0.0, 1.0, 1.0], [0, 1, 2, 3], ["a", "b", "c", "d"])
    stock = released_maker["RemoteExperienceMaker"](
        None, None, None, None, SimpleNamespace(value=0.0), strategy("flash_reinforce", 1), None
    )
    np.testing.assert_allclose(compute(stock, batch)[0], [0.25, -0.75, 0.25, 0.25])
    ours = maker(openrlhf, strategy("flash_reinforce", 1), rule="prior", reward_range=(0, 1))
    compute(ours, batch)
    key = openrlhf._keys(SimpleNamespace(prompts=["a"], labels=["7"], images=[None]))
    prior = ours.v05_estimator.source.history.predict(key)[0][0]
    again = compute(ours, Batch([0.0], [0], ["a"]))[0]
    np.testing.assert_allclose(again, [0.0 - prior])


def test_rollouts_without_an_action_count_nowhere(openrlhf):
    experience_maker = maker(openrlhf, rule="rloo", reward_range=(0, 1), prior="history")
    (part,) = experiences(Batch([1.0, 0.0, 1.0, 0.0], [0] * 4, ["a"] * 4), micro=4)
    row = part.index.index(1)
    part.action_mask[row] = False
    (made,) = experience_maker.compute_advantages_and_returns([part])
    found = np.empty(4)
    found[made.index] = made.advantages[:, 0].numpy()
    np.testing.assert_allclose(found, [0.5, 0.0, 0.5, -1.0])
    assert experience_maker.v05_estimator.source.history.predict(openrlhf._keys(part))[1][0] == 3


def test_set_ups_that_cannot_work(openrlhf, caplog):
    for estimator in ("gae", "reinforce"):
        with pytest.raises(v05.InvalidArgument, match=f"algo.advantage.estimator must be one of .* got {estimator}"):
            maker(openrlhf, strategy(estimator))
    with pytest.raises(v05.InvalidArgument, match="OpenRLHF does not hand over"):
        maker(openrlhf, prior="column")
    with pytest.raises(v05.InvalidArgument, match="OpenRLHF does not hand over"):
        openrlhf.install(prior="column")  # not in the process of another actor
    experience_maker = maker(openrlhf)
    for step in range(2):
        compute(experience_maker, Batch([1.0] * 10, [], [f"{step} {row}" for row in range(10)]))
    assert len(warnings(caplog, "a single rollout")) == 1


def test_a_failure_leaves_the_settings_of_the_trainer_alone(openrlhf):
    experience_maker = maker(openrlhf, reward_range=(0, 1))
    with pytest.raises(v05.InvalidArgument):
        compute(experience_maker, Batch([2.0, 0.0], [], ["a", "a"]))
    assert experience_maker.args.rollout.n_samples_per_prompt == 4


def test_install_replaces_the_actors_of_both_trainers(monkeypatch, openrlhf, released_maker):
    """Ray's actor classes keep the class they were made of; install makes actors of a subclass."""

    class Trainer:
        def __init__(self, name, strategy):
            self.name = name
            self.experience_maker = released_maker["RemoteExperienceMaker"](
                "actor", "critic", "reward", "initial", "kl", strategy, "tokenizer"
            )

    def remote(kind):
        return SimpleNamespace(__ray_metadata__=SimpleNamespace(modified_class=kind))

    host(
        monkeypatch,
        "openrlhf",
        ray={"remote": remote},
        openrlhf__trainer__ppo_trainer={"PPOTrainer": remote(Trainer)},
        openrlhf__trainer__ppo_trainer_async={"TrainingActor": remote(Trainer)},
    )
    with pytest.raises(v05.InvalidArgument, match="rule"):
        openrlhf.install(rule="gpro")
    openrlhf.install(rule="rloo")
    from openrlhf.trainer import ppo_trainer, ppo_trainer_async

    for actor in (ppo_trainer.PPOTrainer, ppo_trainer_async.TrainingActor):
        trainer = actor.__ray_metadata__.modified_class("name", strategy=strategy())
        made = trainer.experience_maker
        assert (
            isinstance(made, openrlhf.V05ExperienceMaker)
            and made.v05_estimator.rule == "rloo"
            and trainer.name == "name"
        )
        assert (made.actor_model_group, made.initial_model_group) == ("actor", "initial")
        assert (made.kl_ctl, made.tokenizer) == ("kl", "tokenizer")


def test_the_released_code_is_what_this_was_written_for(request):
    source = released("openrlhf==0.11.2", request.config.cache, "3.11")
    assert contract("openrlhf")["version"].endswith("0.11.2")
    assert "self.experience_maker = RemoteExperienceMaker(" in source("trainer/ppo_trainer.py")
    assert "self.trainer_actor = TrainingActor.remote(" in source("trainer/ppo_trainer_async.py")


STAND_INS = {
    "ppo_utils/experience_maker": """
        class RemoteExperienceMaker:
            def __init__(self, *arguments):
                (self.actor_model_group, self.critic_model_group, self.reward_model_group, self.initial_model_group,
                 self.kl_ctl, self.strategy, self.tokenizer) = arguments
                self.advantage_estimator = "dr_grpo"

        def apply_length_penalties(experiences, args):
            pass
        """,
    "ppo_trainer": """
        import ray
        from openrlhf.trainer.ppo_utils.experience_maker import RemoteExperienceMaker

        class BasePPOTrainer:
            def __init__(self):
                self.experience_maker = RemoteExperienceMaker(*"abcdefg")

            def tell(self):
                return repr(self.experience_maker.v05_estimator)

        @ray.remote
        class PPOTrainer(BasePPOTrainer):
            pass
        """,
    "ppo_trainer_async": """
        import ray
        from openrlhf.trainer.ppo_trainer import BasePPOTrainer

        @ray.remote
        class TrainingActor(BasePPOTrainer):
            pass

        @ray.remote
        class PPOTrainerAsync:
            def tell(self):
                return ray.get(TrainingActor.remote().tell.remote())
        """,
}
SCRIPT = """
    import ray
    import v05.openrlhf
    v05.openrlhf.install(rule="rloo", reward_range=(0, 1))
    ray.init(num_cpus=4, include_dashboard=False)
    from openrlhf.trainer.ppo_trainer import PPOTrainer
    from openrlhf.trainer.ppo_trainer_async import PPOTrainerAsync
    print(ray.get([PPOTrainer.remote().tell.remote(), PPOTrainerAsync.remote().tell.remote()]))
    """


@pytest.mark.slow
def test_install_reaches_the_processes_of_ray(tmp_path):
    """The trainers are actors in processes of their own, the asynchronous one an actor of an actor."""
    pytest.importorskip("ray")
    for name, text in STAND_INS.items():
        path = tmp_path / "openrlhf" / "trainer" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SCRIPT)], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.stdout.count("AdvantageEstimator(rule='rloo'") == 2, done.stderr


@pytest.mark.parametrize("actor", [{}, {"loss_agg_mode": "seq-mean-token-mean"}, {"policy_loss_type": "gspo"}])
@pytest.mark.parametrize("weights", ["length", "score"])
def test_weights_from_what_the_experiences_hold(openrlhf, weights, actor):
    batch = next(batches(missing=False))
    made = list(experiences(batch))
    generator = torch.Generator().manual_seed(1)
    expected = np.empty(len(batch.rewards))
    for experience in made:
        experience.action_log_probs = -torch.rand(experience.action_mask.shape, generator=generator)
        miss = torch.where(experience.action_mask, 1 - experience.action_log_probs.exp(), 0.0)
        size = (miss**2 if weights == "score" else experience.action_mask).sum(1)
        expected[experience.index] = size / experience.action_mask.sum(1) ** 2 if actor else size
    found = np.empty(len(batch.rewards))
    settings = strategy()
    settings.args.actor = SimpleNamespace(**{"loss_agg_mode": "token-mean", "policy_loss_type": "ppo"} | actor)
    weighted = maker(openrlhf, settings, reward_range=(0, 1), rule="rloo", weights=weights)
    for experience in weighted.compute_advantages_and_returns(made):
        found[experience.index] = experience.advantages[:, 0].numpy()
    np.testing.assert_allclose(
        found, v05.advantages(batch.rewards, batch.keys, rule="rloo", weights=expected), atol=1e-5
    )


def test_without_log_probabilities_weights_are_lengths(openrlhf, caplog):
    batch = next(batches(missing=False))
    for weights in ("score", "length"):
        found = adapter(openrlhf, rule="rloo", weights=weights)(batch)
        lengths = [1.0 + row % 3 for row in range(len(batch.rewards))]
        np.testing.assert_allclose(
            found, v05.advantages(batch.rewards, batch.keys, rule="rloo", weights=lengths), atol=1e-5
        )
    assert len(warnings(caplog, "weights are the lengths of rollouts")) == 1


def lengths(batch):
    return np.array([1.0 + row % 3 for row in range(len(batch.rewards))])


def give_log_probs(experience):
    """The same for all tokens of a row."""
    rows = torch.tensor(experience.index)[:, None]
    experience.action_log_probs = (-0.1 - rows / 50).expand(experience.action_mask.shape)


def scores(batch):
    return lengths(batch) * (1 - np.exp(-0.1 - np.arange(len(batch.rewards)) / 50)) ** 2


@pytest.mark.parametrize("norms_of", [lengths, scores])
def test_figures_without_weights_are_of_what_the_experiences_hold(openrlhf, norms_of):
    change = give_log_probs if norms_of is scores else lambda experience: None
    check_figures(lambda **options: adapter(openrlhf, change, **options), norms_of)


@pytest.mark.parametrize("odd", [None, 7, "abc", [], [[-0.1], None], torch.zeros(1, 3), torch.full((5, 3), torch.nan)])
def test_odd_log_probabilities_end_no_training_without_weights(openrlhf, odd, caplog):
    def change(experience):
        give_log_probs(experience)
        if 3 in experience.index:
            experience.action_log_probs = odd

    batch = next(batches())
    np.testing.assert_array_equal(adapter(openrlhf, change)(batch), adapter(openrlhf)(batch))
    assert not warnings(caplog, "length")
