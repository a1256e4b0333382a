"""Which of several models should answer a prompt, given what each would achieve and cost (method section 11)."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from .._core.arrays import numbers
from .._core.types import Numbers
from ..errors import InvalidArgument

_COLOURS = ("#2f6fb5", "#6aa67c", "#b5344a", "#8a97a3")


def route(success: Numbers, cost: Numbers, beta: float) -> np.ndarray:
    """The chosen model of each prompt: (n,) int64, the largest of  score = beta r + (1 - beta) (1 - c).

    success: (n, m) predicted success r in [0, 1] of each of m models at each prompt.
    cost: (m,) or (n, m) relative cost c in [0, 1], such as the price divided by that of the dearest model.
    beta: in [0, 1]; 1 looks at success alone, 0 at cost alone.

    Ties go to the cheaper model, then to the first. Raises InvalidArgument. Source: V_0, arXiv 2602.03584.
    """
    success, cost = _predictions(success, cost)
    return _route(success, cost, _weight("beta", beta))


def route_frontier(
    success: Numbers, cost: Numbers, outcome: Numbers, *, betas: Numbers | None = None
) -> "RoutingFrontier":
    """What `route` achieves and costs as beta goes from 0 to 1: a RoutingFrontier.

    success, cost: as in `route`, for at least one prompt.
    outcome: (n, m) what each model achieves at each prompt, in [0, 1]: its mean success.
    betas: (b,) ascending or not; None: 0, 0.01, ... 1.
    """
    success, cost = _predictions(success, cost)
    outcome = _table("outcome", outcome)
    if outcome.shape != success.shape:
        raise InvalidArgument(f"outcome must have the shape of success, {success.shape}, got {outcome.shape}")
    if not len(success):
        raise InvalidArgument("success must have at least one prompt, got none")
    betas = np.linspace(0, 1, 101) if betas is None else numbers(betas, "betas").astype(np.float64)
    if betas.ndim != 1 or not len(betas):
        raise InvalidArgument(f"betas must be one or more numbers, got shape {betas.shape}")
    for beta in betas:
        _weight("betas", beta)
    chosen = np.stack([_route(success, cost, beta) for beta in betas])
    oracle = np.stack([_route(outcome, cost, beta) for beta in betas])
    prompts, models = np.arange(len(success)), success.shape[1]
    spent = cost[prompts, chosen].mean(axis=1)
    single_performance, single_cost = outcome.mean(axis=0), cost.mean(axis=0)
    return RoutingFrontier(
        beta=betas,
        performance=outcome[prompts, chosen].mean(axis=1),
        cost=spent,
        share=(chosen[:, :, None] == np.arange(models)).mean(axis=1),
        mix_performance=_best_mix(single_performance, single_cost, spent),
        oracle_performance=outcome[prompts, oracle].mean(axis=1),
        oracle_cost=cost[prompts, oracle].mean(axis=1),
        single_performance=single_performance,
        single_cost=single_cost,
    )


@dataclass(frozen=True, eq=False)
class RoutingFrontier:
    """Performance against cost of routing, beside what needs no prediction and what needs a perfect one.

    beta: (b,).
    performance, cost: (b,) means over the prompts with the models that `route` chose.
    share: (b, m) share of the prompts that each model got.
    mix_performance: (b,) the best that models drawn at random, whatever the prompt, achieve at the same mean cost or
        less.
    oracle_performance, oracle_cost: (b,) of `route` fed with the outcomes themselves.
    single_performance, single_cost: (m,) of one model for all prompts.

    `str()` is a table, `plot` draws it.
    """

    __module__ = "v05"

    beta: np.ndarray
    performance: np.ndarray
    cost: np.ndarray
    share: np.ndarray
    mix_performance: np.ndarray
    oracle_performance: np.ndarray
    oracle_cost: np.ndarray
    single_performance: np.ndarray
    single_cost: np.ndarray

    def __str__(self) -> str:
        models = range(self.share.shape[1])
        heads = [f"model {model}" for model in models]
        lines = ["   beta performance     cost random mix |" + "".join(f"{head:>10}" for head in heads) + " (share)"]
        shown = np.unique(np.linspace(0, len(self.beta) - 1, 11).round().astype(int))
        for row in shown:
            shares = "".join(f"{share:10.2f}" for share in self.share[row])
            lines.append(
                f"{self.beta[row]:7.2f} {self.performance[row]:11.4f} {self.cost[row]:8.4f} "
                f"{self.mix_performance[row]:10.4f} |{shares}"
            )
        for model, head in enumerate(heads):
            lines.append(f"{head:>7} {self.single_performance[model]:11.4f} {self.single_cost[model]:8.4f}")
        best = np.lexsort((self.oracle_cost, -self.oracle_performance))[0]
        lines.append(f" oracle {self.oracle_performance[best]:11.4f} {self.oracle_cost[best]:8.4f}")
        return "\n".join(lines)

    def plot(self, axes: Any = None) -> Any:
        """Draws performance against cost on matplotlib axes (None: new ones) and returns them. Needs matplotlib."""
        if axes is None:
            from matplotlib.figure import Figure

            axes = Figure(figsize=(7, 5), layout="constrained", facecolor="white").subplots()
        for label, cost, performance, colour in (
            ("routed by prediction", self.cost, self.performance, _COLOURS[0]),
            ("oracle", self.oracle_cost, self.oracle_performance, _COLOURS[1]),
            ("random mix", self.cost, self.mix_performance, _COLOURS[3]),
        ):
            order = np.lexsort((performance, cost))
            axes.plot(cost[order], performance[order], color=colour, marker="o", markersize=3, label=label)
        axes.scatter(self.single_cost, self.single_performance, color=_COLOURS[2], zorder=3, label="one model for all")
        for model, place in enumerate(zip(self.single_cost, self.single_performance)):
            axes.annotate(f" {model}", place)
        axes.set_xlabel("mean relative cost")
        axes.set_ylabel("mean success")
        axes.legend(frameon=False)
        return axes


def _route(success, cost, beta):
    score = beta * success + (1 - beta) * (1 - cost)
    best = score == score.max(axis=1, keepdims=True)
    return np.argmin(np.where(best, cost, np.inf), axis=1).astype(np.int64)


def _best_mix(performance, cost, budget):
    """Performance of the best lottery over models whose mean cost is at most each budget.

    It needs two models at most, one within the budget and one at or above it.
    """
    best = np.max(np.where(cost <= budget[:, None], performance, -np.inf), axis=1)
    for cheap in range(len(cost)):
        for dear in range(len(cost)):
            between = (cost[cheap] <= budget) & (budget < cost[dear])
            part = np.divide(budget - cost[cheap], cost[dear] - cost[cheap], out=np.zeros(len(budget)), where=between)
            mixed = performance[cheap] + part * (performance[dear] - performance[cheap])
            best = np.where(between, np.maximum(best, mixed), best)
    # Rounding can put the mean of equal costs a hair below each of them.
    return np.where(np.isneginf(best), performance[cost == cost.min()].max(), best)


def _predictions(success, cost):
    success = _table("success", success)
    cost = numbers(cost, "cost").astype(np.float64)
    if cost.shape not in (success.shape, success.shape[1:]):
        raise InvalidArgument(
            f"cost must have one entry per model {success.shape[1:]} or the shape of success {success.shape}, "
            f"got {cost.shape}"
        )
    _check_unit("cost", cost)
    return success, np.broadcast_to(cost, success.shape)


def _table(name, values):
    array = numbers(values, name).astype(np.float64)
    if array.ndim != 2 or array.shape[1] < 1:
        raise InvalidArgument(f"{name} must have two dimensions (prompts, models) and a model, got shape {array.shape}")
    _check_unit(name, array)
    return array


def _weight(name, value):
    array = numbers(value, name).astype(np.float64)
    if array.ndim:
        raise InvalidArgument(f"{name} must be a number, got shape {array.shape}")
    _check_unit(name, array)
    return float(array)


def _check_unit(name, array):
    outside = array[~((array >= 0) & (array <= 1))]
    if outside.size:
        raise InvalidArgument(f"{name} must lie in [0, 1], got {outside[0]:g}")
