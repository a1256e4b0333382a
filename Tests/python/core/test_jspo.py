"""Rule "jspo" against its authors' procedure, group by group in numpy (arXiv 2511.03710)."""

import numpy as np
import pytest
import v05


def by_hand(groups, epsilon, weights=None):
    """(advantages of each group's rewards, weight, baseline, mse of each group)"""
    weights = weights or [np.ones(len(group)) for group in groups]
    groups = [np.asarray(group, float) for group in groups]
    means = np.array([np.average(group, weights=w) if len(group) else np.nan for group, w in zip(groups, weights)])
    noise = []
    for group, w, mean in zip(groups, weights, means):
        count = w.sum() ** 2 / (w**2).sum() if len(group) else 0
        variance = (w * (group - mean) ** 2).sum() / (w.sum() - (w**2).sum() / w.sum()) if len(group) > 1 else np.nan
        noise.append(variance / count if count else np.nan)
    noise = np.array(noise)
    rows, found = [], []
    for g, (group, w) in enumerate(zip(groups, weights)):
        others = [o for o in range(len(groups)) if o != g and len(groups[o]) > 1]
        if not others:
            center, share, mse = np.nan, 0.0, 0.25 / max(len(group), 1)
        else:
            center, v = means[others].mean(), noise[others].mean()
            s = ((means[others] - center) ** 2).mean()
            share = v / (v + s + epsilon) if v else 0.0
            mse = (1 - share) ** 2 * v + share**2 * max(0.0, s - v)
        found.append((1 - share, (1 - share) * means[g] + (share * center if share else 0), mse))
        for row in range(len(group)):
            rest, of = np.delete(group, row), np.delete(w, row)
            if len(rest):
                mean = np.average(rest, weights=of)
                rows.append(group[row] - ((1 - share) * mean + (share * center if share else 0)))
            else:
                rows.append(group[row] - center if others else 0.0)
    return np.array(rows), np.array(found)


def laid_out(groups):
    return np.concatenate(groups), np.repeat(np.arange(len(groups)), [len(group) for group in groups])


@pytest.mark.parametrize("k", [2, 4, 8])
@pytest.mark.parametrize("count", [2, 3, 16, 64])
@pytest.mark.parametrize("epsilon", [0.0, 1e-6, 0.1])
def test_against_the_authors_procedure(k, count, epsilon):
    random = np.random.default_rng([k, count])
    groups = [(random.random(k) < p).astype(float) for p in random.random(count)]
    expected, of_groups = by_hand(groups, epsilon)
    rewards, ids = laid_out(groups)
    found = v05.estimate(rewards, ids, rule="jspo", epsilon=epsilon)
    np.testing.assert_allclose(found.advantages, expected, rtol=0, atol=1e-13)
    np.testing.assert_allclose(found.weight, of_groups[:, 0], atol=1e-13)
    np.testing.assert_allclose(found.baseline, of_groups[:, 1], atol=1e-13)
    np.testing.assert_allclose(found.mse, of_groups[:, 2], atol=1e-13)
    assert found.rule == "jspo" and found.calibration is None and found.refused_groups == 0
    # It is leave-one-out whether that is asked for or not.
    both = v05.advantages(rewards, ids, rule="jspo", epsilon=epsilon, leave_one_out=True)
    np.testing.assert_array_equal(both, found.advantages)


def test_groups_of_any_size_and_weights():
    random = np.random.default_rng(3)
    groups = [random.normal(size=size) for size in (2, 5, 3, 1, 2, 7)]
    weights = [random.random(len(group)) + 0.1 for group in groups]
    rewards, ids = laid_out(groups)
    order = random.permutation(len(rewards))
    for given in (None, weights):
        expected, of_groups = by_hand(groups, 1e-6, given)
        given = None if given is None else np.concatenate(given)[order]
        found = v05.estimate(rewards[order], ids[order], rule="jspo", weights=given)
        np.testing.assert_allclose(found.advantages, expected[order], rtol=0, atol=1e-12)
        known = np.argsort(found.groups)
        np.testing.assert_allclose(found.baseline[known][[0, 1, 2, 4, 5]], of_groups[[0, 1, 2, 4, 5], 1], atol=1e-12)


def test_a_group_that_outweighs_all_others():
    groups = [[1e20, 3e20], [0.0, 1.0], [1.0, 2.0], [0.5, 0.75]]
    rewards, ids = laid_out([np.array(group) for group in groups])
    found = v05.estimate(rewards, ids, rule="jspo", epsilon=0.0)
    others = by_hand(groups[1:] + [[7.0, 7.0]], 0.0)[1][3]  # what the three small ones say of a fourth
    assert found.weight[0] == pytest.approx(others[0], rel=1e-12)


def test_no_other_groups_and_single_rollouts():
    assert v05.advantages([1.0, 0.0, 0.0], [5, 5, 5], rule="jspo") == pytest.approx([1, -0.5, -0.5])
    assert v05.advantages([1.0], [5], rule="jspo") == [0]
    assert v05.advantages([1.0], [5], rule="jspo", singleton="raw") == [1]
    # A single rollout has the mean of the others, like "batch_mean"; it tells these nothing.
    found = v05.advantages([1.0, 1.0, 0.0, 1.0, 1.0], [5, 6, 6, 7, 7], rule="jspo")
    assert found[0] == pytest.approx(1 - 0.75)
    np.testing.assert_allclose(found[1:], v05.advantages([1.0, 0.0, 1.0, 1.0], [6, 6, 7, 7], rule="jspo"))


def test_no_row_sees_a_reward_of_its_own_group_beyond_the_mean():
    """Changing one reward moves the baselines of its group's other rows by w / (k - 1), and its own not at all."""
    random = np.random.default_rng(8)
    groups = [(random.random(4) < p).astype(float) for p in random.random(9)]
    rewards, ids = laid_out(groups)
    changed = rewards.copy()
    changed[0] = 1 - changed[0]
    before = rewards - v05.advantages(rewards, ids, rule="jspo")
    after = changed - v05.advantages(changed, ids, rule="jspo")
    weight = v05.estimate(rewards, ids, rule="jspo").weight[0]
    assert before[0] == pytest.approx(after[0], abs=1e-15)
    np.testing.assert_allclose(after[1:4] - before[1:4], weight / 3 * (changed[0] - rewards[0]), atol=1e-15)
