"""Training of V_0: the adapter and, if wanted, the backbone, through an in-context head that stays as it is."""

import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from math import cos, isfinite, pi
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid

from .._core.arguments import checked_range
from .._core.generators import seeded_generators
from .._core.types import FilePath, Progress, RewardRange
from ..errors import ArgumentTypeError, CheckpointError, Error, InvalidArgument
from .checkpoint import WEIGHTS, load_weights, read_checkpoint, write_checkpoint
from .embedding import PromptEmbedding
from .episodes import ContextPool, judging_episodes, training_episodes
from .evaluation import episode_log_odds, evaluate
from .heads import Head
from .scores import Score


@dataclass(frozen=True)
class TrainingOptions:
    """How to train; the defaults are the official ones.

    epochs: passes over the queries. queries: an episode, in pairs. context_size: scores an episode shows.
    episodes_per_update: whose gradients are averaged. ranking_weight: in [0, 1], of the ranking loss; cross-entropy has
    the rest. adapter_rate, backbone_rate: peak learning rates of AdamW; a backbone rate of 0 leaves the backbone alone.
    weight_decay: of matrices. warm_up: share of the updates in which the rates rise, before they fall like a cosine.
    gradient_norm: larger gradients are cut to it. reward_range: of the scores. seed: of everything random.
    """

    epochs: int = 50
    queries: int = 8
    context_size: int = 256
    episodes_per_update: int = 2
    ranking_weight: float = 0.25
    adapter_rate: float = 2e-4
    backbone_rate: float = 0.0
    weight_decay: float = 0.01
    warm_up: float = 0.05
    gradient_norm: float = 1.0
    reward_range: RewardRange = (-1.0, 1.0)
    seed: int = 42

    def __post_init__(self) -> None:
        object.__setattr__(self, "reward_range", checked_range(self.reward_range))
        lowest = {"epochs": 1, "queries": 2, "context_size": 2, "episodes_per_update": 1, "seed": 0}
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "reward_range":
                continue
            kind = type(field.default)
            if isinstance(value, bool) or not isinstance(value, int if kind is int else (int, float)):
                raise ArgumentTypeError(f"{field.name} must be a number of type {kind.__name__}, got {value!r}")
            least = lowest.get(field.name, 0)
            if not least <= value < float("inf"):
                raise InvalidArgument(f"{field.name} must be at least {least} and finite, got {value}")
        for name in ("ranking_weight", "warm_up"):
            if getattr(self, name) > 1:
                raise InvalidArgument(f"{name} must be at most 1, got {getattr(self, name)}")
        if self.adapter_rate == self.backbone_rate == 0:
            raise InvalidArgument("adapter_rate and backbone_rate must not both be 0: nothing would be trained")


def training_loss(log_odds: torch.Tensor, target: torch.Tensor, ranking_weight: float = 0.25) -> torch.Tensor:
    """ranking_weight * ranking + (1 - ranking_weight) * cross-entropy, a scalar (V_0, arXiv 2602.03584).

        ranking        mean of -log sigmoid(log_odds of the solved - log_odds of the unsolved prompt of a pair)
        cross-entropy  mean of -target log p - (1 - target) log(1 - p),  p = sigmoid(log_odds)

    log_odds: (q,) with solved and unsolved prompts of one context taking turns. target: (q,) scores scaled to [0, 1].
    """
    ranking = -logsigmoid(log_odds[0::2] - log_odds[1::2]).mean()
    return ranking_weight * ranking + (1 - ranking_weight) * binary_cross_entropy_with_logits(log_odds, target)


def train(
    embedding: PromptEmbedding,
    head: Head,
    context: Sequence[Score],
    queries: Sequence[Score],
    output: FilePath,
    options: TrainingOptions = TrainingOptions(),
    *,
    held_out: Sequence[Score] | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Trains a PromptEmbedding in place; returns a dict for each epoch: epoch, loss and, with held_out, its metrics.

    head: a differentiable one. context, queries, held_out: lists of Scores; held_out is evaluated after each epoch.
    output: folder of checkpoint_epoch_<n>.pt in the official layout (the newest two are kept) and of metrics.jsonl.
    resume: goes on after the newest checkpoint in output, if there is one; on the CPU bit for bit as if never stopped.
    progress: callable (stage, done, total).

    Raises CheckpointError when the checkpoint was made with other options, and Error when a loss is not finite; the
    last checkpoint stays.
    """
    output = Path(output)
    newest = check_training(context, queries, output, options, held_out=held_out, resume=resume)
    output.mkdir(parents=True, exist_ok=True)
    embedding.freeze_backbone(options.backbone_rate == 0)

    def episodes_of(epoch):
        return _episodes(context, queries, options, epoch)

    # Now and then an epoch leaves an episode out.
    updates = sum(-(-len(episodes_of(epoch)) // options.episodes_per_update) for epoch in range(1, options.epochs + 1))
    optimizer = _optimizer(embedding, options)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda update: _rate(update, options.warm_up, updates))
    if newest:
        _restore(_checkpoint_path(output, newest), embedding, optimizer, schedule, options)
    history = _read_metrics(output, newest)
    with open(output / "metrics.jsonl", "w", encoding="utf-8") as log:
        log.writelines(json.dumps(row) + "\n" for row in history)
        for epoch in range(newest + 1, options.epochs + 1):
            # A seed for each epoch: resuming needs no state of random generators.
            with seeded_generators(options.seed + epoch, embedding.device):
                loss = _train_epoch(
                    embedding,
                    head,
                    episodes_of(epoch),
                    optimizer,
                    schedule,
                    options,
                    _told(progress, epoch, options.epochs),
                )
            history.append({"epoch": epoch, "loss": loss})
            # First: what fails later does not cost the epoch.
            write_checkpoint(
                _checkpoint_path(output, epoch),
                {
                    "epoch": epoch,
                    WEIGHTS: embedding.state_dict(),
                    "optimizer_state_dict": optimizer.state_dict(),
                    "scheduler_state_dict": schedule.state_dict(),
                    "args": asdict(options),
                },
            )
            if held_out:
                history[-1] |= evaluate(
                    embedding,
                    head,
                    context,
                    held_out,
                    context_size=options.context_size,
                    reward_range=options.reward_range,
                    seed=options.seed,
                )
            log.write(json.dumps(history[-1]) + "\n")
            log.flush()
            _checkpoint_path(output, epoch - 2).unlink(missing_ok=True)
    return history


def check_training(
    context: Sequence[Score],
    queries: Sequence[Score],
    output: FilePath,
    options: TrainingOptions,
    *,
    held_out: Sequence[Score] | None = None,
    resume: bool = False,
) -> int:
    """Raise for what `train` would refuse of these; the epoch after which it would go on, 0 for none."""
    newest = _newest_epoch(Path(output))
    if newest and not resume:
        raise InvalidArgument(f"{output} holds checkpoints: resume, or choose another folder")
    for epoch in range(1, options.epochs + 1):
        _episodes(context, queries, options, epoch)
    if held_out:
        pool = ContextPool(context, options.context_size, options.reward_range)
        judging_episodes(pool, held_out, random.Random(options.seed))
    return newest


def _episodes(context, queries, options, epoch):
    pool = ContextPool(context, options.context_size, options.reward_range)
    chance = random.Random(f"{options.seed} {epoch}")
    return training_episodes(pool, queries, options.queries, options.reward_range, chance)


def _train_epoch(embedding, head, episodes, optimizer, schedule, options, progress):
    """Mean loss of the episodes, each before the update that it belongs to; afterwards the embedding is for use."""
    embedding.train()
    if options.backbone_rate == 0:
        embedding.backbone.eval()  # what does not learn has no dropout
    try:
        return _epoch_loss(embedding, head, episodes, optimizer, schedule, options, progress)
    finally:
        embedding.eval()


def _epoch_loss(embedding, head, episodes, optimizer, schedule, options, progress):
    losses = []
    low, high = options.reward_range
    for start in range(0, len(episodes), options.episodes_per_update):
        batch = episodes[start : start + options.episodes_per_update]
        for episode in batch:
            log_odds = episode_log_odds(embedding, head, episode, options.reward_range)
            target = torch.tensor([(query.score - low) / (high - low) for query in episode.queries]).to(log_odds)
            loss = training_loss(log_odds, target, options.ranking_weight)
            losses.append(loss.item())
            if not isfinite(losses[-1]):
                raise Error(f"the loss is not finite ({losses[-1]}): lower the learning rate; checkpoints are whole")
            (loss / len(batch)).backward()
        torch.nn.utils.clip_grad_norm_(embedding.parameters(), options.gradient_norm)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        progress(losses, start + len(batch), len(episodes))
    return sum(losses) / len(losses)


def _optimizer(embedding, options):
    """AdamW; weight decay for matrices only."""
    groups = []
    for module, rate in ((embedding.adapter_layer, options.adapter_rate), (embedding.backbone, options.backbone_rate)):
        if rate == 0:
            continue
        parameters = list(module.parameters())
        groups.append({"params": [one for one in parameters if one.ndim > 1], "lr": rate})
        groups.append({"params": [one for one in parameters if one.ndim <= 1], "lr": rate, "weight_decay": 0.0})
    return torch.optim.AdamW(groups, weight_decay=options.weight_decay)


def _rate(update, warm_up, total):
    rise = int(warm_up * total)
    if update < rise:
        return (update + 1) / (rise + 1)
    return 0.5 * (1 + cos(pi * min((update - rise) / max(total - rise, 1), 1)))


def _told(progress, epoch, epochs):
    """progress with a stage that names the epoch and the mean loss so far."""
    if progress is None:
        return lambda losses, done, total: None
    return lambda losses, done, total: progress(
        f"epoch {epoch}/{epochs}  loss {sum(losses) / len(losses):.4f}", done, total
    )


def _checkpoint_path(output, epoch):
    return output / f"checkpoint_epoch_{epoch:04d}.pt"


def _newest_epoch(output):
    """0 if there is none."""
    return max(
        (
            int(path.stem.rsplit("_", 1)[1])
            for path in output.glob("checkpoint_epoch_*.pt")
            if path.stem.rsplit("_", 1)[1].isdecimal()
        ),
        default=0,
    )


def _restore(path, embedding, optimizer, schedule, options):
    content = read_checkpoint(path)
    saved, now = content.get("args") or {}, asdict(options)
    other = [f"{name} {saved.get(name)!r}, now {value!r}" for name, value in now.items() if saved.get(name) != value]
    if other:
        raise CheckpointError(f"{path} was made with other options: {'; '.join(other)}")
    load_weights(embedding, content[WEIGHTS], path)
    optimizer.load_state_dict(content["optimizer_state_dict"])
    schedule.load_state_dict(content["scheduler_state_dict"])


def _read_metrics(output, newest):
    """A row for each epoch up to the newest; where its line is missing or cut, as by a full disk, it has no figures."""
    rows = {epoch: {"epoch": epoch} for epoch in range(1, newest + 1)}
    path = output / "metrics.jsonl"
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else ():
        try:
            row = json.loads(line)
            rows[row["epoch"]] = rows[row["epoch"]] | row
        except (ValueError, KeyError, TypeError):
            continue
    return list(rows.values())
