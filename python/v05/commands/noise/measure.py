"""From a model to its noise: rollouts, the score of each, and what every baseline would leave."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from ..._core.types import Progress
from ...errors import InvalidArgument
from .baselines import baseline_errors, cyclic_mean
from .gradients import scores, weights_of
from .options import check_options, check_prompts
from .report import NoiseReport, NoiseRow
from .sampling import Rollouts, sample_rollouts

RESAMPLES = 1000
PROMPTS = 64
LARGEST_REWARD = 1e30  # of the library


def measure_noise(
    model: Any,
    tokenizer: Any,
    dataset: Any,
    reward: Callable[..., Any],
    *,
    prompts: int = PROMPTS,
    rollouts: int = 16,
    maximum_tokens: int = 256,
    temperature: float = 1.0,
    scope: Literal["all", "lora", "last"] = "all",
    blocks: int = 1,
    width: int = 4096,
    per_token: bool = False,
    batch_size: int = 64,
    seed: int = 0,
    chat_template_kwargs: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> NoiseReport:
    """The NoiseReport of a model (method section 13).

    model: a causal language model of transformers, on its device. tokenizer: its own.
    dataset: rows as dicts with a "prompt", text or chat messages; a list or a dataset of Hugging Face. `prompts` of
        them are drawn.
    reward: function as TRL calls it: reward(prompts=, completions=, and every other column ...) -> list of floats.
        Prompts for one of whose rollouts it says None are left out.
    rollouts: per prompt, at least 4; more make the perfect prior sharper.
    scope: "all", "lora" or "last": the weights whose gradient is looked at: all that train, those of adapters, those of
        the last `blocks` blocks of the model. width: of the random projection of it.
    per_token: the loss in use divides each rollout by its own length, as TRL's loss_type "grpo".
    maximum_tokens, temperature, batch_size, seed, chat_template_kwargs, progress: as in sample_rollouts.

    Costs prompts x rollouts generations and backward passes of one rollout each, and prompts x rollouts x width floats.
    Raises ArgumentTypeError or InvalidArgument for an option that cannot be, before anything is drawn; InvalidArgument
    as well for what sample_rollouts refuses, and for rewards that are all equal; Error where the reward raises.
    """
    check_options(
        prompts=prompts,
        rollouts=rollouts,
        maximum_tokens=maximum_tokens,
        temperature=temperature,
        scope=scope,
        blocks=blocks,
        width=width,
        per_token=per_token,
        batch_size=batch_size,
        seed=seed,
        chat_template_kwargs=chat_template_kwargs,
    )
    check_prompts(prompts, len(dataset))
    weights_of(model, scope, blocks)
    drawn = np.random.default_rng(seed).choice(len(dataset), prompts, replace=False)
    made = sample_rollouts(
        model,
        tokenizer,
        [dataset[int(number)] for number in drawn],
        reward,
        rollouts=rollouts,
        maximum_tokens=maximum_tokens,
        temperature=temperature,
        batch_size=batch_size,
        seed=seed,
        chat_template_kwargs=chat_template_kwargs,
        progress=progress,
    )
    made = _judged(made)
    if np.ptp(made.rewards) == 0:
        raise InvalidArgument(
            f"all {made.rewards.size} rewards are {made.rewards.flat[0]:g}: there is no gradient whose "
            "noise could be measured; take other prompts or more of them"
        )
    if not np.abs(made.rewards).max() <= LARGEST_REWARD:
        raise InvalidArgument(
            f"reward must give numbers of at most {LARGEST_REWARD:g} in absolute value, got "
            f"{made.rewards.flat[np.abs(made.rewards).argmax()]:g}"
        )
    found = scores(
        model,
        made,
        temperature=temperature,
        scope=scope,
        blocks=blocks,
        width=width,
        per_token=per_token,
        seed=seed,
        progress=progress,
    )
    tokens = float(np.mean(list(map(len, made.completion_ids))))
    return noise_report(made.rewards, found, tokens, seed=seed)


def _judged(made):
    """The rollouts of the prompts whose rewards are all known: rules compared at k rollouts need k of them."""
    count, k = made.rewards.shape
    known = np.flatnonzero(~np.isnan(made.rewards).any(1))
    if len(known) < 2:
        raise InvalidArgument(
            f"reward must give numbers for all rollouts of at least 2 prompts, and gave None for one or more of "
            f"{count - len(known)} of the {count}"
        )
    completions = [made.completion_ids[row * k + rollout] for row in known for rollout in range(k)]
    return Rollouts([made.prompt_ids[row] for row in known], completions, made.rewards[known])


def noise_report(rewards: np.ndarray, found: Any, tokens: float, *, seed: int = 0) -> NoiseReport:
    """The NoiseReport of rewards, (P, k), the Scores of their rollouts and their mean number of tokens."""
    count, k = rewards.shape
    norms, miss, length = (each.reshape(rewards.shape) for each in (found.squared_norm, found.miss, found.length))
    own, across = _mean_gradients(rewards, found.sketch.reshape(count, k, -1))
    index = np.random.default_rng(seed).integers(count, size=(RESAMPLES, count))

    def over_prompts(values):  # the estimate, and those of the resamples
        return values.mean(), values[index].mean(1)

    between, between_resampled = over_prompts(own - across)
    rows = {}
    for name, each in baseline_errors(rewards, norms, {"miss": miss, "length": length, "exact": norms}).items():
        siblings = each.rollouts
        within, resampled = over_prompts(each.errors.mean(1) - own * (1 - each.correlation))
        noise, resampled_noise = within + siblings * between, resampled + siblings * between_resampled
        rows[name] = siblings, within, resampled, noise, resampled_noise
    *_, control, resampled_control = rows["batch mean"]
    return NoiseReport(
        prompts=count,
        rollouts=k,
        tokens=tokens,
        success=float(rewards.mean()),
        spread=_spread(rewards),
        norm_ratio=_norm_ratio(rewards, norms),
        between=float(between),
        between_interval=_interval(between_resampled),
        rows=tuple(
            sorted(
                (
                    NoiseRow(
                        name,
                        siblings,
                        float(within),
                        _interval(resampled),
                        float(noise),
                        _interval(resampled_noise),
                        float(noise / control),
                        _interval(resampled_noise / resampled_control),
                    )
                    for name, (siblings, within, resampled, noise, resampled_noise) in rows.items()
                ),
                key=lambda row: row.noise,
            )
        ),
    )


def _mean_gradients(rewards, sketch):
    """(P,) unbiased estimates of the squared norm of each prompt's mean gradient, and of its inner product with that of
    all other prompts together."""
    count, k = rewards.shape
    gradient = (rewards - cyclic_mean(rewards, k - 1))[..., None] * sketch  # leave-one-out: unbiased
    # Pairs of different rollouts whose baselines do not know each other: halves of the prompt.
    half = k // 2
    halves = []
    for part in (slice(0, half), slice(half, None)):
        mine = rewards[:, part]
        halves.append(((mine - cyclic_mean(mine, mine.shape[1] - 1))[..., None] * sketch[:, part]).mean(1))
    own = (halves[0] * halves[1]).sum(1)
    mean = gradient.mean(1)
    across = (mean @ mean.sum(0) - (mean * mean).sum(1)) / (count - 1)
    return own, across


def _spread(rewards):
    within = rewards.var(axis=1, ddof=1).mean()
    between = max(0.0, rewards.mean(1).var(ddof=1) - within / rewards.shape[1])
    return float(between / (between + within)) if between + within > 0 else float("nan")


def _norm_ratio(rewards, norms):
    failed = rewards < rewards.mean()
    return float(norms[failed].mean() / norms[~failed].mean())


def _interval(values):
    return tuple(np.quantile(values, (0.025, 0.975)).tolist())
