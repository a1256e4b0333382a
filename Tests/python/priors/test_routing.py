"""Routing: against brute force, its frontier against plain loops, and what bad arguments get."""

import itertools

import numpy as np
import pytest
import v05


def tables(seed, prompts=40, models=3):
    generator = np.random.default_rng(seed)
    success = generator.integers(0, 5, (prompts, models)) / 4  # many ties
    cost = generator.integers(0, 3, models) / 2
    outcome = (generator.random((prompts, models)) < success).astype(float)
    return success, cost, outcome


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("beta", [0, 0.25, 0.5, 1])
def test_the_best_score_wins_and_ties_go_to_the_cheaper_model(seed, beta):
    success, cost, _ = tables(seed)
    chosen = v05.route(success, cost, beta)
    assert chosen.dtype == np.int64
    for row, choice in zip(success, chosen):
        ranked = sorted(range(len(row)), key=lambda m: (-(beta * row[m] + (1 - beta) * (1 - cost[m])), cost[m], m))
        assert choice == ranked[0]


def test_costs_can_differ_between_prompts():
    assert v05.route([[0.5, 0.5], [0.5, 0.5]], [[0.1, 0.9], [0.9, 0.1]], 0.5).tolist() == [0, 1]
    assert v05.route(np.empty((0, 2)), [0.0, 1.0], 0.5).shape == (0,)


@pytest.mark.parametrize("seed", range(4))
def test_frontier_against_plain_loops(seed):
    success, cost, outcome = tables(seed)
    frontier = v05.route_frontier(success, cost, outcome, betas=[0, 0.3, 0.7, 1])
    for row, beta in enumerate(frontier.beta):
        chosen = v05.route(success, cost, beta)
        perfect = v05.route(outcome, cost, beta)
        picked = range(len(chosen))
        assert frontier.performance[row] == pytest.approx(np.mean([outcome[i, chosen[i]] for i in picked]), abs=1e-12)
        assert frontier.cost[row] == pytest.approx(np.mean([cost[chosen[i]] for i in picked]), abs=1e-12)
        assert frontier.oracle_performance[row] == pytest.approx(
            np.mean([outcome[i, perfect[i]] for i in picked]), abs=1e-12
        )
        np.testing.assert_allclose(frontier.share[row], [(chosen == model).mean() for model in range(3)], atol=1e-12)
    np.testing.assert_allclose(frontier.single_performance, outcome.mean(axis=0))
    assert frontier.oracle_performance[-1] == pytest.approx(outcome.max(axis=1).mean())  # beta 1: success alone


@pytest.mark.parametrize("seed", range(4))
def test_the_random_mix_is_the_best_lottery_over_models(seed):
    from scipy.optimize import linprog

    success, _, outcome = tables(seed, models=4)
    cost = np.random.default_rng(seed).random(4)
    frontier = v05.route_frontier(success, cost, outcome, betas=np.linspace(0, 1, 7))
    for budget, mixed in zip(frontier.cost, frontier.mix_performance):
        best = linprog(-outcome.mean(axis=0), A_ub=[cost], b_ub=[budget + 1e-12], A_eq=[np.ones(4)], b_eq=[1])
        assert mixed == pytest.approx(-best.fun, abs=1e-9)


@pytest.mark.parametrize("cost", [0.1, 0.3, 0.7, 1 / 3])
def test_of_models_that_cost_the_same_the_mix_is_the_best(cost):
    """Whatever rounding makes of the mean cost of many prompts."""
    outcome = np.tile([0.2, 0.9, 0.5], (1000, 1))
    frontier = v05.route_frontier(outcome, [cost] * 3, outcome)
    np.testing.assert_allclose(frontier.mix_performance, 0.9)


def test_good_predictions_beat_the_random_mix_and_nothing_beats_the_oracle_at_full_beta():
    generator = np.random.default_rng(1)
    success = generator.beta(0.5, 0.5, (400, 2)) * [0.7, 1.0]
    outcome = (generator.random((400, 2)) < success).astype(float)
    frontier = v05.route_frontier(success, [0.1, 1.0], outcome)
    middle = (frontier.share[:, 0] > 0.2) & (frontier.share[:, 0] < 0.8)
    assert middle.any() and (frontier.performance > frontier.mix_performance)[middle].all()
    assert frontier.performance.max() <= frontier.oracle_performance[-1]


def test_table_and_plot(tmp_path):
    pytest.importorskip("matplotlib", reason="the plot needs matplotlib")
    frontier = v05.route_frontier(*tables(3))
    assert "model 2" in str(frontier) and "oracle" in str(frontier)
    axes = frontier.plot()
    axes.figure.savefig(tmp_path / "frontier.png")
    assert len(axes.lines) == 3 and (tmp_path / "frontier.png").stat().st_size > 1000


@pytest.mark.parametrize(
    "arguments, message",
    [
        (([[0.5, np.nan]], [0, 1], 0.5), "success must lie in .0, 1., got nan"),
        (([[0.5, 1.5]], [0, 1], 0.5), "success must lie in .0, 1., got 1.5"),
        (([0.5, 0.5], [0, 1], 0.5), "success must have two dimensions"),
        ((np.empty((2, 0)), np.empty(0), 0.5), "and a model"),
        (([[0.5, 0.5]], [0, 2], 0.5), "cost must lie in .0, 1., got 2"),
        (([[0.5, 0.5]], [0, 1, 1], 0.5), "cost must have one entry per model"),
        (([[0.5, 0.5]], [0, 1], 1.5), "beta must lie in .0, 1., got 1.5"),
        (([[0.5, 0.5]], [0, 1], [0.5]), "beta must be a number"),
        (([["a", "b"]], [0, 1], 0.5), "success must be numbers"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(v05.Error, match=message):
        v05.route(*arguments)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"outcome": [[1.0]]}, "outcome must have the shape of success"),
        ({"outcome": [[1.0, 3.0]]}, "outcome must lie in .0, 1., got 3"),
        ({"betas": []}, "betas must be one or more numbers"),
        ({"betas": [0.1, np.nan]}, "betas must lie in .0, 1., got nan"),
        ({"success": np.empty((0, 2)), "outcome": np.empty((0, 2))}, "at least one prompt"),
    ],
)
def test_bad_frontiers(change, message):
    with pytest.raises(v05.InvalidArgument, match=message):
        v05.route_frontier(**{"success": [[0.1, 0.2]], "cost": [0, 1], "outcome": [[0.0, 1.0]]} | change)


def test_every_pair_of_dyadic_scores():
    values = [0, 0.25, 0.5, 1]
    for one, two, cheap, dear in itertools.product(values, repeat=4):
        scores = 0.5 * one + 0.5 * (1 - cheap), 0.5 * two + 0.5 * (1 - dear)
        expected = 0 if scores[0] > scores[1] else 1 if scores[1] > scores[0] else int(dear < cheap)
        assert v05.route([[one, two]], [cheap, dear], 0.5)[0] == expected
