"""A program as the documents have it, which a type checker reads in strict mode. What it must refuse is marked so: a
mark without an error is an error, too. `run` is what can be run without a model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import v05
from v05.priors import ContextBuffer, HistoryContextPrior, InContextPrior
from v05.replay import replay, shipped_log
from v05.training import StoredEstimator, StreamingEstimator

if TYPE_CHECKING:
    import torch

REWARDS = [0.0, 1.0, 1.0, 0.0, 0.0, 1.0]
GROUPS = ["a", "a", "a", "b", "b", "b"]
PRIOR = {"a": 0.75, "b": None}


def run(folder: Path) -> None:
    plain: list[float] = list(v05.advantages(REWARDS, GROUPS, PRIOR, rule="calibrated"))
    array: np.ndarray = v05.advantages(np.array(REWARDS), np.array([0, 0, 0, 1, 1, 1]), 0.5, scale="group", epsilon=0)
    assert len(plain) == len(array) == 6
    found = v05.estimate(REWARDS, GROUPS, [0.5, 0.5, 0.5, None, None, None], leave_one_out=True)
    baselines: np.ndarray = found.baseline[found.row_group]
    fit: v05.Calibration | None = found.calibration
    assert baselines.shape == (6,) and fit is None and str(found).startswith("Estimate")
    models(found.rule)
    training(folder)
    allocation()
    routing()
    tokens()


def models(rule: str) -> None:
    calibration: v05.Calibration = v05.fit_calibration(REWARDS, GROUPS, PRIOR)
    running = v05.RunningCalibration(reward_range=(0, 1), discount=0.9)
    calibration = running.update(REWARDS, GROUPS, PRIOR)
    mixture: v05.Mixture = v05.RunningMixture().update(REWARDS, GROUPS, PRIOR)
    v05.advantages(REWARDS, GROUPS, rule="mixture", mixture=mixture)
    v05.advantages(REWARDS, GROUPS, rule="calibrated", calibration=running)
    slope: float = calibration.slope
    assert rule == "v05" and slope == slope


def training(folder: Path) -> None:
    estimator = v05.AdvantageEstimator(reward_range=(0, 1))
    for rewards, prompts in steps():
        step = estimator.step(rewards, prompts, prompts)
        metrics: dict[str, float] = step.metrics
        assert step.advantages.shape == (6,) and "v05/groups" in metrics
    estimator.save(folder / "v05.zip")
    stored = StoredEstimator(state_path=folder / "state.zip", log=print, rule="grpo")
    assert stored.advantages(REWARDS, GROUPS, GROUPS).sum() == 0
    streaming = StreamingEstimator(every=2, reward_range=[0, 1])
    assert streaming.group([1.0, None, 0.0], "a prompt").shape == (3,)
    source = HistoryContextPrior(reward_range=(0, 1), model=InContextPrior(head="ridge"), context=ContextBuffer(512))
    v05.AdvantageEstimator(prior=source, reward_range=(0, 1))
    v05.AdvantageEstimator(prior=lambda prompts: [0.5] * len(prompts), rule="v05")
    try:
        estimator.load(folder / "nothing.zip")
    except v05.CheckpointError as error:
        status: str | None = error.status
        assert status is None
    except FileNotFoundError:
        pass


def steps() -> Iterator[tuple[list[float | None], list[str]]]:
    yield [0.0, 1.0, None, 1.0, 0.0, 1.0], GROUPS


def allocation() -> None:
    history = v05.History(capacity=10, start_strength=1.0)
    history.record(["a", "b"], [1.0, 0.0], mask=[True, False])
    value, strength = history.predict(["a", "b"])
    with v05.Allocator(value, rule="neyman", initial=2, maximum=[4, 8], budget=8, strength=strength) as allocator:
        while not allocator.done:
            counts: np.ndarray = allocator.request()
            prompt_index = np.arange(len(counts)).repeat(counts)
            allocator.observe(prompt_index, np.resize([0.0, 1.0], len(prompt_index)))
        assert allocator.counts.sum() == 8
        assert len(np.asarray(allocator.estimate(leave_one_out=True).advantages)) == 8
    shares: np.ndarray = v05.allocate([0.1, None, 0.5], 12, objective="hit", strength=[2, 2, 2])
    assert shares.sum() == 12


def routing() -> None:
    chosen: np.ndarray = v05.route([[0.9, 0.8]], [1.0, 0.1], 0.5)
    frontier: v05.RoutingFrontier = v05.route_frontier([[0.9, 0.8]], [1.0, 0.1], [[1.0, 1.0]])
    assert chosen.tolist() == [1] and frontier.share.shape == (101, 2)
    half: float = v05.prior_from_probability(0.5, reward_range=(-1, 1))
    assert half == 0 and shipped_log().exists()


def tokens() -> None:
    ones = np.ones((2, 3))
    shaped: np.ndarray = v05.modulate_advantages(np.ones(2), ones, -ones, -ones, ones, alpha=0.4)
    _, statistics = v05.modulate_advantages(shaped, ones, -ones, -ones, ones, statistics=True)
    assert statistics.token_count == 6


def on_a_device(rewards: torch.Tensor, uids: list[str], entropy: torch.Tensor) -> torch.Tensor:
    prior: torch.Tensor = v05.prior_from_probability(rewards)
    advantages: torch.Tensor = v05.advantages(rewards, uids, prior)
    return v05.modulate_advantages(advantages, entropy, entropy, entropy, entropy > 0)


def log(rollouts: list[int]) -> float:
    report = replay("run-7/rollouts.jsonl", rollouts=rollouts, prior="history", reward={"score": 1.0, "format": 0.1})
    return report.row("calibrated").relative_interval[0]


def with_a_model(model: object, tokenizer: object, rows: list[dict[str, str]]) -> None:
    from v05.noise import measure_noise
    from v05.trl import V05Config, V05GRPOTrainer
    from v05.v0 import V0Prior, read_scores

    config = V05Config(rule="calibrated", allocation="neyman", initial=2, maximum=16, reward_range=(0, 1))
    V05GRPOTrainer(model=model, reward_funcs=print, v05=config).train()
    value, deviation = V0Prior.from_pretrained("v0.pt", "Qwen/Qwen3-Embedding-0.6B", device="cuda").predict(["1 + 1"])
    sentence: str = measure_noise(model, tokenizer, rows, lambda prompts, completions: [1.0], scope="lora").sentence
    print(value, deviation, sentence, [score.score for score in read_scores("scores.jsonl")])
    V05Config(rule="calibrate")  # type: ignore[arg-type]
    V05Config(discount="0.8")  # type: ignore[arg-type]
    V05GRPOTrainer(model=model, reward_funcs=print, v05={"rule": "grpo"})  # type: ignore[arg-type]
    V0Prior.from_pretrained("v0.pt")  # type: ignore[call-arg]


def refused(rewards: list[float], prompts: list[str]) -> None:
    v05.advantages(rewards, prompts, rule="calibrate")  # type: ignore[arg-type]
    v05.advantages(rewards)  # type: ignore[call-arg]
    v05.estimate(rewards, prompts, scale="prompt")  # type: ignore[arg-type]
    v05.advantages(rewards, prompts, 0.5, "grpo")  # type: ignore[call-arg]
    v05.AdvantageEstimator(reward_range=(0, 1, 2))  # type: ignore[arg-type]
    v05.AdvantageEstimator(reward_range=1.0)  # type: ignore[arg-type]
    v05.AdvantageEstimator(prior="histories")  # type: ignore[arg-type]
    v05.AdvantageEstimator(rule="grpo", cost=1)  # type: ignore[call-arg]
    v05.AdvantageEstimator().step(rewards, prompts)  # type: ignore[call-arg]
    v05.AdvantageEstimator().steps = 3  # type: ignore[misc]
    v05.Allocator(rewards, rule="calibrated")  # type: ignore[arg-type]
    v05.Allocator(rewards, wave=None)  # type: ignore[arg-type]
    v05.Allocator(rewards).observe(0)  # type: ignore[call-arg]
    v05.Allocator(rewards, calibration=v05.RunningMixture())  # type: ignore[arg-type]
    v05.History(reward_range="01")  # type: ignore[arg-type]
    v05.History().predict(7)  # type: ignore[arg-type]
    v05.allocate(rewards, 4, objective="osla")  # type: ignore[arg-type]
    print(v05.fit_mixture(rewards, prompts, None).slope)  # type: ignore[attr-defined]
    print(v05.estimate(rewards, prompts).calibration.slope)  # type: ignore[union-attr]
    v05.modulate_advantages(rewards, rewards, rewards, rewards, rewards)  # type: ignore[call-overload]
    text: str = v05.library_path  # type: ignore[assignment]
    StreamingEstimator(every="64")  # type: ignore[arg-type]
    ContextBuffer().add("a prompt", 0.5)  # type: ignore[call-arg]
    InContextPrior(head="forest")  # type: ignore[arg-type]
    replay(prior="v0")  # type: ignore[arg-type]
    print(text)
