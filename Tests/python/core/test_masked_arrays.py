"""Masked arrays of numpy are refused by every argument of every call: what lies under their mask counts for nothing."""

from functools import partial

import numpy as np
import pytest
import v05

REWARDS = np.array([1.0, 0.0, 1.0, 1.0])
GROUPS = np.array([7, 7, 3, 3])
KEYS = np.array([7, 7, 3, 3])
HALF = np.full(4, 0.5)
ALL = np.ones(4, bool)
TOKENS = np.full((2, 3), 0.5)


def estimator(**options):
    return v05.AdvantageEstimator(reward_range=(0, 1), **options)


def allocator():
    made = v05.Allocator(HALF)
    made.request()
    return made


BATCH = dict(rewards=REWARDS, groups=GROUPS, prior=HALF, mask=ALL, weights=HALF)
STEP = dict(rewards=REWARDS, groups=GROUPS, keys=KEYS, column=HALF, mask=ALL, weights=HALF, squared_norms=HALF)
CALLS = {
    "advantages": (v05.advantages, BATCH),
    "advantages, strength": (partial(v05.advantages, rule="discounted_beta"), BATCH | dict(prior_strength=HALF)),
    "estimate": (partial(v05.estimate, rule="calibrated"), BATCH),
    "fit_calibration": (v05.fit_calibration, BATCH),
    "fit_mixture": (v05.fit_mixture, dict(rewards=REWARDS, groups=GROUPS, prior=HALF, mask=ALL)),
    "RunningCalibration.update": (lambda **batch: v05.RunningCalibration().update(**batch), BATCH),
    "prior_from_probability": (v05.prior_from_probability, dict(probability=HALF)),
    "allocate": (partial(v05.allocate, total=8, objective="dynamo"), dict(probability=HALF, seen=np.ones(4, int))),
    "Allocator": (v05.Allocator, dict(prior=HALF)),
    "Allocator.observe": (
        lambda **seen: allocator().observe(**seen),
        dict(prompt_index=np.arange(4), rewards=REWARDS, weights=HALF),
    ),
    "History.record": (
        lambda **seen: v05.History().record(**seen),
        dict(keys=KEYS, rewards=REWARDS, mask=ALL, weights=HALF),
    ),
    "History.predict": (lambda **asked: v05.History().predict(**asked), dict(keys=KEYS)),
    "Tracker.record": (lambda **seen: v05.Tracker().record(**seen), dict(keys=KEYS, rewards=REWARDS, mask=ALL)),
    "Tracker.fuse": (lambda **seen: v05.Tracker().fuse(**seen), dict(keys=KEYS, rewards=REWARDS, prior=HALF, mask=ALL)),
    "AdvantageEstimator.step": (lambda **batch: estimator(prior="column").step(**batch), STEP),
    "AdvantageEstimator.predict": (lambda **asked: estimator().predict(**asked), dict(keys=KEYS)),
    "modulate_advantages": (
        v05.modulate_advantages,
        dict(advantages=np.ones(2), entropy=TOKENS, log_prob=-TOKENS, old_log_prob=-TOKENS, mask=TOKENS > 0),
    ),
}


@pytest.mark.parametrize("call, argument", [(name, key) for name, (_, given) in CALLS.items() for key in given])
def test_refused_by_name(call, argument):
    function, given = CALLS[call]
    function(**given)
    masked = np.ma.masked_array(given[argument], np.zeros(given[argument].shape, bool))
    with pytest.raises(v05.ArgumentTypeError, match="must not be a masked array"):
        function(**given | {argument: masked})
