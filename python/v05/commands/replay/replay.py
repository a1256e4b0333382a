"""Replays the rollout log of a training run: what V_0.5 would have done to its baselines."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from ..._core.types import FilePath, Progress, RewardRange
from ...errors import InvalidArgument
from ...training.health import prior_health
from ..logs import LogError, detect_reward_range, fields_of, read_log
from ..logs.field_names import LENGTHS
from .allocation import allocate, compare_allocation
from .gradient_noise import gradient_noise
from .report import Report, compare
from .scoring import look, score
from .visits import Setting, check_sampling, gather_visits


def shipped_log() -> Path:
    """Path of the log of a small training run that the package brings along."""
    return Path(__file__).parents[2] / "data" / "training_log.jsonl.gz"


def replay(
    log: FilePath | None = None,
    *,
    rollouts: Sequence[int] | None = None,
    reward_range: RewardRange | None = None,
    prior: Literal["auto", "history", "logged"] = "auto",
    discount: float = 0.8,
    full_history: bool = False,
    only_visits: tuple[int, int] | None = None,
    reward: Mapping[str, float] | Sequence[str] = (),
    prompt: str | None = None,
    group: str | None = None,
    step: str | None = None,
    where: Mapping[str, object] | Sequence[str] = (),
    exclude: FilePath | None = None,
    only_prompts: FilePath | None = None,
    keep_evaluation: bool = False,
    splits: int = 8,
    seed: int = 0,
    progress: Progress | None = None,
) -> Report:
    """Replays a rollout log in time order and returns a `Report`.

    A visit is all rollouts of one prompt at one step. Every rule estimates the baseline of a visit from `rollouts` of
    its rollouts, drawn at random, and is scored, without bias, against the others; see
    `v05.commands.replay.scoring.score`. Sequential allocation is tried on the same visits; see
    `v05.commands.replay.allocation.allocate`.

    log: path of a file or directory, or "-" for standard input; default: the log that the package ships. Formats are
        recognised by content; docs/logs.md in the source of v05 has them.
    rollouts: how many rollouts per visit to estimate with, a sequence; default: 1, 2, 4, 8 ... as far as the log has
        two more.
    reward_range: (lo, hi) of the rewards; default: detected.
    prior: "history", "logged", or "auto": logged if the log has any prior, else history.
    discount: of the history, for each visit of a prompt.
    full_history: let the history know all recorded rollouts of earlier visits, not only as many as are estimated with.
    only_visits: (first, last), counted from 1: report on these visits of each prompt; earlier ones are history.
    reward: fields of the reward, {name: weight} or a sequence of names that are added up; default: found in the log.
    prompt, group, step: fields of the prompt, of what the rollouts of one visit share, of the training step; default:
        found.
    where: {field: value} or a sequence of "field=value"; only rows of which this is true are read.
    exclude, only_prompts: files of prompts to leave out, or to read alone.
    keep_evaluation: count rollouts of an evaluation that stand between those of the training.
    splits: errors are means over this many random splits of the visits; more splits, less noise, more time.
    seed: of the splits and of the bootstrap.
    progress: called as progress(stage, done, total).

    Raises `LogError` for a log that cannot be used, `InvalidArgument` for an argument that makes no sense and
    `MissingExtra` for a parquet file without pyarrow.
    """
    check_sampling(splits, seed)
    quiet = progress or (lambda stage, done, total: None)
    content = read_log(
        shipped_log() if log is None else log,
        fields=fields_of(reward, prompt, group, step, where),
        exclude=exclude,
        only_prompts=only_prompts,
        keep_evaluation=keep_evaluation,
        progress=quiet,
    )
    visits = gather_visits(content, only_visits)
    setting = Setting(
        reward_range=detect_reward_range(content, reward_range),
        prior=_prior_source(visits, prior),
        discount=discount,
        full_history=full_history,
        splits=splits,
        seed=seed,
        progress=quiet,
    )
    if content.reward.min() == content.reward.max():
        raise LogError(
            content.name,
            None,
            f"every reward is {content.reward[0]:g}: no baseline is better than another; check "
            "that this is the reward (--reward FIELD)",
        )
    sizes = _sizes(content, visits, rollouts)
    headline = _headline(sizes, visits) if rollouts is None else 4 if 4 in sizes else sizes[-1]
    two_valued = bool(np.isin(visits.reward, setting.reward_range).all())
    rows, health = [], {}
    for size in sizes:
        scores = score(visits, setting, size)
        rows += compare(scores, visits.prompt[scores.visit], seed=seed)
        health[size] = _health(scores.groups, setting, two_valued, size)
        if size == headline:
            shown = scores
    health[None] = _health(look(visits, setting), setting, two_valued)
    initial, drawn = allocate(visits, setting)
    noise = gradient_noise(visits, setting)
    return Report(
        log=content.name if log is not None else f"{content.name} (the log that v05 ships)",
        formats=content.formats,
        prompts=len(np.unique(visits.prompt[visits.asked])),
        steps=int(np.add.reduceat(visits.asked, visits.batches[:-1]).astype(bool).sum()),
        visits=int(visits.asked.sum()),
        rollouts=int(visits.count[visits.asked].sum()),
        unscorable=content.unscorable,
        repeated=content.repeated,
        reward_range=setting.reward_range,
        prior=setting.prior,
        discount=discount if setting.prior == "history" else None,
        within_variance=float(shown.within.mean()),
        headline=headline,
        rows=tuple(rows),
        allocation=tuple(compare_allocation(initial, drawn, visits.prompt, seed=seed)),
        noise=noise,
        health=health,
        notes=tuple(_notes(content, visits, setting, rows, headline, noise)),
        scores=shown,
        visits_before=visits.earlier[shown.visit],
        drawn={rule: (_means(visits)[parts[0].visit], parts[0].rollouts) for rule, parts in drawn.items()},
    )


def _why_no_noise(content, visits, noise):
    """A sentence where a log that tells of tokens has no noise of the gradient."""
    norms = visits.squared_norm
    unknown = np.count_nonzero(np.isnan(norms))
    if unknown and (unknown < len(norms) or content.told_by is not None):
        yield (
            f"{unknown:,} of {len(norms):,} rollouts have no length and no log-probabilities that can be read: the "
            "noise of the gradient, which needs those of all, is not shown."
        )
    elif not unknown and not noise and norms.any():
        yield (
            "The noise of the gradient is not shown: the first step is not counted, and no other has what all "
            "baselines need."
        )


def _means(visits):
    return np.add.reduceat(visits.reward, visits.start) / visits.count


def _prior_source(visits, prior):
    logged = not np.isnan(visits.logged_prior).all()
    if prior not in ("auto", "history", "logged"):
        raise InvalidArgument(f'prior must be "auto", "history" or "logged", got {prior!r}')
    if prior == "logged" and not logged:
        raise InvalidArgument('prior is "logged" but the log has none: add a field prior, or take "history"')
    return "logged" if logged and prior != "history" else "history"


def _one_visit(content):
    """What may be meant where a log without steps has no rows of one prompt together."""
    return "" if content.has_steps else "; --group with the field of the prompt takes all its rollouts for one visit"


def _sizes(content, visits, rollouts):
    """Numbers of rollouts to estimate with; two more must be there to score with."""
    most = int(visits.count[visits.asked].max()) - 2
    if most < 1:
        problem = (
            f"no prompt has more than {most + 2} rollouts at one step; a replay needs 3, one to estimate with and two "
            "to score with; where the rollouts of a prompt differ in prompt or step, name the right fields by "
            f"--prompt, --group, --step{_one_visit(content)}"
        )
        raise LogError(content.name, None, problem)
    if rollouts is None:
        return [2**power for power in range(most.bit_length())]
    sizes = sorted({int(size) for size in rollouts})
    if not sizes or sizes[0] < 1 or sizes[-1] > most:
        rule = f"rollouts must lie between 1 and {most}, two below the most of a visit"
        raise InvalidArgument(f"{rule}, got {list(rollouts)}")
    return sizes


def _headline(sizes, visits):
    """The most rollouts up to 4 with which at least half of the visits can be scored; a few large ones say little."""
    count = visits.count[visits.asked]
    scored = [size for size in sizes if size <= 4 and 2 * np.count_nonzero(count >= size + 2) >= len(count)]
    return scored[-1] if scored else 4 if 4 in sizes else sizes[-1]


def _health(groups, setting, two_valued, size=None):
    health = prior_health(groups, groups.calibration, reward_range=setting.reward_range, two_valued=two_valued)
    return replace(health, warnings=()) if size == 1 else health  # groups of one are meant to be here


def _notes(content, visits, setting, rows, headline, noise):
    """What a reader should know before believing the numbers."""
    yield from content.notes
    if content.unscorable:
        yield f"{content.unscorable} rollouts without a reward were left out."
    if content.repeated:
        yield f"{content.repeated} rollouts that the log has twice, or more often, were counted once."
    if not content.has_steps:
        yield "The log has no steps: the n-th visits of all prompts count as one step."
    if setting.prior == "history" and not visits.earlier.any():
        yield "No prompt was visited twice, so the history knows nothing and there is no prior to gain from."
    if noise and content.told_by in LENGTHS:
        yield f"W is taken to be the length ({content.told_by}); log-probabilities of the tokens would tell more."
    yield from _why_no_noise(content, visits, noise)
    asked = int(visits.asked.sum())
    for row in rows:
        if row.rollouts == headline and row.rule == "grpo" and row.visits < asked:
            yield f"{asked - row.visits} visits have fewer than {headline + 2} rollouts and were not scored."
        if row.rollouts == headline and row.rule == "calibrated" and row.applied < 1:
            yield (
                f"The calibrated rule had too few groups with a prior at {1 - row.applied:.0%} of the visits (the "
                f"first step, small steps) and fell back to v05 there."
            )
