"""One epoch of prompts that are all new: one rollout each learns nearly as four of each, by what is known of others.

Handwritten digits (scikit-learn); the policy is a linear softmax that samples a digit, and is right or not.
"""

import numpy as np
import pytest
import v05

datasets = pytest.importorskip("sklearn.datasets")
SEEDS, PROMPTS_A_STEP, RATE = range(3), 24, 3.0


@pytest.fixture(scope="module")
def digits():
    images, labels = datasets.load_digits(return_X_y=True)
    return np.c_[images / 16 - 0.3, np.ones(len(images))], labels


def probabilities(weights, images):
    logits = images @ weights
    odds = np.exp(logits - logits.max(1, keepdims=True))
    return odds / odds.sum(1, keepdims=True)


def trained(digits, seed, rollouts, **options):
    """(accuracy before, accuracy after) of an epoch, both of sampled answers, in expectation."""
    images, labels = digits
    random = np.random.default_rng(seed)
    order = random.permutation(len(images))
    weights = random.normal(0, 0.3, (images.shape[1], 10))

    def accuracy():
        return probabilities(weights, images)[np.arange(len(labels)), labels].mean()

    before, estimator = accuracy(), v05.AdvantageEstimator(reward_range=(0, 1), **options)
    for start in range(0, len(order) - PROMPTS_A_STEP + 1, PROMPTS_A_STEP):
        rows = np.repeat(order[start : start + PROMPTS_A_STEP], rollouts)
        policy = probabilities(weights, images[rows])
        answers = (policy.cumsum(1) < random.random((len(rows), 1))).sum(1).clip(max=9)
        rewards = (answers == labels[rows]).astype(float)
        advantages = estimator.step(rewards, rows, rows).advantages
        scores = np.eye(10)[answers] - policy
        weights = weights + RATE * images[rows].T @ (scores * advantages[:, None]) / len(rows)
    return before, accuracy()


def mean(digits, *arguments, **options):
    return np.mean([trained(digits, seed, *arguments, **options) for seed in SEEDS], axis=0)


def test_one_rollout_learns_as_four_do(digits):
    _, four = mean(digits, 4, rule="grpo")
    before, one = mean(digits, 1, rule="prior")
    assert one > before + 0.3 and one > 0.85 * four


@pytest.mark.parametrize("rule", ["prior", "calibrated", "v05"])
def test_without_a_start_value_it_learns_nothing_and_says_so_once(digits, rule, caplog):
    before, after = trained(digits, 0, 1, rule=rule, start_strength=0.0)
    assert after == before
    told = [record.message for record in caplog.records if "every advantage of this step is 0" in record.message]
    assert len(told) == 1 and "no prompt has a prior" in told[0]


def test_one_group_has_no_other_to_compare_with(caplog):
    v05.AdvantageEstimator(rule="batch_mean", reward_range=(0, 1)).step([0, 1, 1, 0], [0] * 4, ["a"] * 4)
    assert "those of other groups, and there are none" in caplog.messages[-1]
