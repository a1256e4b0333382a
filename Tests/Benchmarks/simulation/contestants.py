"""Everybody who takes part: ways to spread rollouts over the prompts of a batch, with the baseline they use."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import v05

from .population import INTERVAL

GROUP_SIZES = (2, 4, 8, 16)
MOST = 16  # rollouts of a prompt
INITIAL = 4  # of a prompt, before OSLA and Neyman decide


@dataclass(frozen=True)
class Batch:
    """What a contestant may know of the prompts of one batch, (g, ...)."""

    prior: np.ndarray
    strength: np.ndarray
    rewards: np.ndarray  # (g, MOST), to be taken from the left
    mixture: object  # v05.Mixture of the batches before


@dataclass(frozen=True)
class Result:
    """The rollouts that were made, (n,) each."""

    prompt: np.ndarray  # index in the batch
    reward: np.ndarray
    advantage: np.ndarray


@dataclass(frozen=True)
class Contestant:
    name: str
    baseline: str  # a key of BASELINES
    play: object  # batch -> Result


BASELINES = {
    "grpo": dict(rule="grpo"),
    "rloo": dict(rule="rloo"),
    "james_stein": dict(rule="james_stein"),
    "median": dict(rule="median"),
    "prior": dict(rule="prior"),
    "discounted_beta": dict(rule="discounted_beta"),
    "v05": dict(rule="v05"),
    "v05 exact test": dict(rule="v05", test="exact"),
    "v05 leave-one-out": dict(rule="v05", leave_one_out=True),
    "calibrated": dict(rule="calibrated"),
    "calibrated leave-one-out": dict(rule="calibrated", leave_one_out=True),
    "mixture": dict(rule="mixture"),
    "mixture leave-one-out": dict(rule="mixture", leave_one_out=True),
}
WITHOUT_PRIOR = ("grpo", "rloo", "james_stein", "median")


def fixed_groups(*, with_prior):
    """Every rule with groups of equal size."""
    for baseline in BASELINES:
        if (baseline not in WITHOUT_PRIOR) == with_prior:
            for size in GROUP_SIZES:
                play = partial(_play_ahead, baseline, partial(_equal, size))
                yield Contestant(f"{size} each", baseline, play)


def osla():
    """The paper's allocator. The average of the first one is what `equal_average` is for."""
    for look_ahead in ("same_bias", "same_mean", "derivative"):
        yield _sequential(f"osla {look_ahead}", "v05", rule="osla", look_ahead=look_ahead)
    yield _sequential("osla same_bias", "v05 leave-one-out", rule="osla")
    # With a calibration the gain does not depend on the rewards, with a mixture it is that of its posterior: there is
    # nothing to hold fixed.
    yield _sequential("osla", "calibrated", rule="osla")
    yield _sequential("osla", "mixture", rule="osla")


def neyman():
    """Rollouts as long as each lowers the noise by more than OSLA's cost."""
    for baseline in ("v05", "calibrated", "calibrated leave-one-out", "mixture"):
        yield _sequential("neyman threshold", baseline, rule="neyman")


def equal_average(average):
    """Allocations of `average` rollouts per prompt."""
    for baseline in ("rloo", "v05", "calibrated", "calibrated leave-one-out", "mixture", "mixture leave-one-out"):
        yield Contestant("equal", baseline, partial(_play_ahead, baseline, partial(_equal, average)))
    for initial in (INITIAL, 2):
        for baseline in ("v05", "calibrated", "calibrated leave-one-out", "mixture", "mixture leave-one-out"):
            yield _sequential(f"neyman from {initial}", baseline, rule="neyman", initial=initial, average=average)
    for name, options in AHEAD.items():
        play = partial(_play_ahead, "calibrated", partial(_allocated, average, options))
        yield Contestant(f"ahead {name}", "calibrated", play)


AHEAD = {
    "neyman": dict(objective="neyman"),
    "dynamo 1": dict(objective="dynamo", priority="probability"),
    "dynamo 1/2": dict(objective="dynamo", priority="probability", exponent=0.5),
    "hit": dict(objective="hit"),
    "v0_greedy": dict(objective="v0_greedy"),
}


def _sequential(name, baseline, **options):
    return Contestant(name, baseline, partial(_play_sequential, baseline, **options))


def _play_ahead(baseline, counts_of, batch):
    """Rollouts decided on before any is made."""
    counts = counts_of(batch)
    prompt = np.repeat(np.arange(len(counts)), counts)
    reward = batch.rewards[np.arange(MOST) < counts[:, None]]
    advantage = v05.advantages(
        reward,
        prompt,
        batch.prior[prompt],
        prior_strength=batch.strength[prompt],
        reward_range=INTERVAL,
        **BASELINES[baseline],
    )
    return Result(prompt, reward, advantage)


def _total(average, batch):
    return round(average * len(batch.prior))


def _equal(average, batch):
    share, rest = divmod(_total(average, batch), len(batch.prior))
    return share + (np.arange(len(batch.prior)) < rest)


def _allocated(average, options, batch):
    return v05.allocate(
        (batch.prior + 1) / 2,
        _total(average, batch),
        minimum=2,
        maximum=MOST,
        seen=np.full(len(batch.prior), INITIAL),
        strength=batch.strength,
        **options,
    )


def _play_sequential(baseline, batch, *, rule, look_ahead="same_bias", initial=INITIAL, average=None):
    """Rollouts decided on as results come in, one more a prompt at a time."""
    rule_of_baseline = BASELINES[baseline]["rule"]
    calibration = batch.mixture.calibration if rule_of_baseline == "calibrated" else None
    mixture = batch.mixture if rule_of_baseline == "mixture" else None
    budget = None if average is None else _total(average, batch)
    with v05.Allocator(
        batch.prior,
        rule=rule,
        reward_range=INTERVAL,
        initial=initial,
        maximum=MOST,
        look_ahead=look_ahead,
        budget=budget,
        calibration=calibration,
        mixture=mixture,
    ) as allocator:
        taken = np.zeros(len(batch.prior), np.int64)
        while (wanted := allocator.request()).any():
            prompt = np.repeat(np.arange(len(wanted)), wanted)
            place = np.arange(MOST)
            chosen = (place >= taken[:, None]) & (place < (taken + wanted)[:, None])
            allocator.observe(prompt, batch.rewards[chosen])
            taken += wanted
        prompt, reward = allocator.observations()
        return Result(prompt, reward, allocator.estimate(**BASELINES[baseline]).advantages)
