"""How many rollouts sequential allocation would have used, drawn from those that were recorded."""

from dataclasses import dataclass

import numpy as np

import v05

from .report import AllocationRow, interval, ratio, resampled_totals
from .visits import held_out

# Allocation rule -> rule of the baseline that it is made for.
ALLOCATORS = {"osla": "v05", "neyman": "calibrated"}
MOST = 16
HELD_OUT = 2  # rollouts of each visit that are kept to score with


@dataclass(frozen=True)
class Drawn:
    """What an allocation rule did, (s,) arrays over the visits it was tried on."""

    visit: np.ndarray
    rollouts: np.ndarray  # drawn
    error: np.ndarray  # unbiased estimate of (baseline - true mean)^2
    within: np.ndarray  # unbiased variance of all rewards of the visit


def allocate(visits, setting):
    """{allocation rule: Drawn of each random split}, empty where visits have too few rollouts.

    Each visit's rollouts are drawn without replacement, in random order, as `v05.Allocator` asks for them, and never
    the last two: what was not drawn is independent of every decision and scores the baseline without bias. History and
    calibration know what was drawn at earlier visits, as they would have in the run.
    """
    initial = 4 if np.median(visits.count) >= MOST else 2
    usable = visits.count > initial + HELD_OUT
    if not (usable & visits.asked).any():
        return initial, {}
    splits = range(setting.seed, setting.seed + setting.splits)
    return initial, {
        rule: [_draw(visits.shuffled(split), setting, usable, rule, baseline, initial) for split in splits]
        for rule, baseline in ALLOCATORS.items()
    }


def _draw(visits, setting, usable, rule, baseline, initial):
    history = v05.History(setting.discount, start_strength=0, reward_range=setting.reward_range)
    running = v05.RunningCalibration(reward_range=setting.reward_range)
    drawn = np.minimum(visits.count, initial)
    baselines = np.full(len(visits.count), np.nan)
    for first, last in zip(visits.batches[:-1], visits.batches[1:], strict=True):
        batch = np.arange(first, last)
        setting.progress(f"allocation by {rule}", last, len(visits.count))
        prior = visits.logged_prior[batch] if setting.prior == "logged" else history.predict(visits.prompt[batch])[0]
        tried = usable[batch]
        if tried.any():
            calibration = running.calibration if baseline == "calibrated" else None
            known = calibration is not None and calibration.groups >= 8
            with v05.Allocator(
                prior[tried],
                rule=rule,
                reward_range=setting.reward_range,
                initial=initial,
                maximum=np.minimum(visits.count[batch[tried]] - HELD_OUT, MOST),
                calibration=calibration if known else None,
            ) as allocator:
                drawn[batch[tried]] = _drive(allocator, visits, batch[tried])
                baselines[batch[tried]] = allocator.estimate().baseline
        rewards = visits.rewards(batch, take=drawn[batch])
        groups = np.repeat(np.arange(len(batch)), drawn[batch])
        history.record(visits.prompt[batch][groups], rewards)
        running.update(rewards, groups, prior[groups])
    tried = np.flatnonzero(usable & visits.asked)
    truth, noise = held_out(visits, tried, drawn[tried])
    return Drawn(
        visit=tried,
        rollouts=drawn[tried],
        error=(baselines[tried] - truth) ** 2 - noise,
        within=held_out(visits, tried, 0)[1] * visits.count[tried],
    )


def _drive(allocator, visits, batch):
    """Gives the allocator the rewards that it asks for, in the recorded (shuffled) order. Returns how many of each."""
    given = np.zeros(len(batch), np.int64)
    while not allocator.done:
        asked = allocator.request()
        rewards = visits.rewards(batch, skip=given, take=asked)
        allocator.observe(np.repeat(np.arange(len(batch)), asked), rewards)
        given += asked
    return given


def compare_allocation(initial, drawn, prompt, *, seed=0):
    """The `AllocationRow` of every rule; `prompt` (v,) is the prompt of each visit of the log."""
    for rule, splits in drawn.items():
        visit = splits[0].visit
        values = np.mean([(part.error, part.within, part.rollouts) for part in splits], axis=0)
        error, within, rollouts = values.sum(axis=1)
        errors, withins, used = resampled_totals(values, prompt[visit], np.random.default_rng(seed)).T
        worth, worths = ratio(within, error), ratio(withins, errors)
        yield AllocationRow(
            rule=rule,
            baseline=ALLOCATORS[rule],
            initial=initial,
            visits=len(visit),
            rollouts=float(rollouts / len(visit)),
            error=float(error / len(visit)),
            worth=float(worth),
            worth_interval=interval(worths),
            saved=float(1 - ratio(rollouts * error, within * len(visit))),
            saved_interval=interval(1 - ratio(used * errors, withins * len(visit))),
        )
