"""Several rounds of generation as one batch of a TRL trainer: which process generates what, and how results are joined.

Nothing here communicates: every process computes the same from gathered data.
"""

import math
from collections import defaultdict, deque
from dataclasses import dataclass

import numpy as np
import torch

from ..errors import InvalidArgument

# What fills the room of shorter rows; prompts and their masks are filled on the left.
_FILLING = {
    "prompt_ids": "pad",
    "prompt_mask": 0,
    "completion_ids": "pad",
    "completion_mask": 0,
    "tool_mask": 1,
    "old_per_token_logps": 0,
    "ref_per_token_logps": 0,
    "sampling_per_token_logps": 0,
    "importance_sampling_ratio": 1,
    "old_logps": 0,
    "advantages": 0,
}
_LEFT = ("prompt_ids", "prompt_mask")
# What a row without any meaning holds, so that no loss and no metric sees it; the rest is a copy of another row.
_MEANINGLESS = {
    "completion_mask": 0,
    "tool_mask": 0,
    "old_per_token_logps": 0,
    "ref_per_token_logps": 0,
    "sampling_per_token_logps": 0,
    "importance_sampling_ratio": 1,
    "old_logps": 0,
    "advantages": 0,
}


@dataclass
class Batch:
    """Rollouts of all processes.

    output: what the trainer made of the rows of this process.
    prompt, process: (n,) of each rollout, which prompt of the generation batch it answers (-1: padding), who holds it.
    rewards_per_function: (n, functions); penalty: (n,) to be added to the reward, or None.
    squared_norms: (n,) squared norms of the scores, up to a factor; None where unknown.
    logs, metrics: what the trainer logged, where that is kept apart.
    """

    output: dict
    prompt: np.ndarray
    process: np.ndarray
    rewards_per_function: torch.Tensor
    penalty: torch.Tensor | None
    logs: dict | None = None
    metrics: dict | None = None
    squared_norms: torch.Tensor | None = None

    def of(self, process):
        """Which rollouts a process holds, in the order of its rows."""
        return np.flatnonzero(self.process == process)


def spread(wanted, held):
    """Which process generates what in a round, as (processes, rows) numbers of prompts with -1 for padding.

    wanted: (g,) rollouts of each prompt; at least one in all. held: (processes,) rollouts that each has already.
    Every process gets equally many rows, the last ones padding; those that hold least get the odd rollouts. The
    rollouts of a prompt lie side by side, for engines that share its prefix.
    """
    prompts = np.repeat(np.arange(len(wanted)), wanted)
    share, odd = divmod(len(prompts), len(held))
    counts = np.full(len(held), share)
    counts[np.argsort(held, kind="stable")[:odd]] += 1
    plan = np.full((len(held), counts.max()), -1)
    for row, part in zip(plan, np.split(prompts, np.cumsum(counts)[:-1])):
        row[: len(part)] = part
    return plan


def join(rounds, process, pad_token):
    """One Batch of several, padding left out, in the order of prompts; metrics are those of all rounds together."""
    prompt = np.concatenate([batch.prompt for batch in rounds])
    order = _order(prompt)
    here = _order(np.concatenate([batch.prompt[batch.of(process)] for batch in rounds]))
    rows = torch.from_numpy(order).to(rounds[0].rewards_per_function.device)
    penalty, squared_norms = (
        None if getattr(rounds[0], name) is None else torch.cat([getattr(batch, name) for batch in rounds])[rows]
        for name in ("penalty", "squared_norms")
    )
    return Batch(
        output=_join_outputs([batch.output for batch in rounds], here, pad_token),
        prompt=prompt[order],
        process=np.concatenate([batch.process for batch in rounds])[order],
        rewards_per_function=torch.cat([batch.rewards_per_function for batch in rounds])[rows],
        penalty=penalty,
        squared_norms=squared_norms,
        logs=_join_logs([(batch.logs, len(batch.prompt)) for batch in rounds], order),
        metrics=_join_metrics([(batch.metrics, len(batch.prompt)) for batch in rounds]),
    )


def add_meaningless_rows(output, count):
    """The output of a process with `count` rows more, which no loss sees: tensors are cut into steps of equal size."""
    if not count:
        return output
    longer = {}
    for name, value in output.items():
        if value.ndim:
            tail = value[-1:].expand(count, *value.shape[1:])
            value = torch.cat([value, torch.full_like(tail, _MEANINGLESS[name]) if name in _MEANINGLESS else tail])
        longer[name] = value
    return longer


def _order(prompt):
    """Where the rollouts that are no padding lie, by prompt."""
    order = np.argsort(prompt, kind="stable")
    return order[prompt[order] >= 0]


def _join_outputs(outputs, here, pad_token):
    joined = {}
    for name, first in outputs[0].items():
        if name == "num_items_in_batch":  # counted anew, without padding
            continue
        if name not in _FILLING:
            raise InvalidArgument(f"allocation must be 'off' here: it cannot join {name!r} of this trainer")
        filling = pad_token if _FILLING[name] == "pad" else _FILLING[name]
        values = [output[name] for output in outputs]
        if first.ndim == 2:
            width = max(value.shape[1] for value in values)
            values = [_widen(value, width, filling, name in _LEFT) for value in values]
        joined[name] = torch.cat(values)[torch.from_numpy(here).to(first.device)]
    return joined


def _widen(value, width, filling, left):
    missing = width - value.shape[1]
    return torch.nn.functional.pad(value, (missing, 0) if left else (0, missing), value=filling)


def _join_logs(rounds, order):
    """The trainer's table of completions; a column that a round did not write is None there."""
    joined = {}
    rows = [count for _, count in rounds]
    for name, first in rounds[0][0].items():
        parts = [logs[name] for logs, _ in rounds]
        if isinstance(first, deque):
            joined[name] = _join_column(parts, rows, order)
        else:
            columns = dict.fromkeys(column for part in parts for column in part)
            joined[name] = {
                column: _join_column([part.get(column, ()) for part in parts], rows, order) for column in columns
            }
    return joined


def _join_column(parts, rows, order):
    if not any(parts):
        return []
    values = [value for part, count in zip(parts, rows) for value in (part or [None] * count)]
    return [values[place] for place in order]


def _join_metrics(rounds):
    """Means of all rollouts from the means of each round: weighted by what each mean is over."""
    values = defaultdict(list)
    for metrics, rows in rounds:
        figures = {name: found[-1] for name, found in metrics.items() if found}
        finished = 1 - figures.get("completions/clipped_ratio", 0.0)
        for name, value in figures.items():
            weight = rows
            if "terminated" in name:
                weight *= finished
            elif name == "kl":
                weight *= figures["completions/mean_length"]
            values[name].append((value, 0.0 if math.isnan(value) else weight))
    return {name: _of_all_rounds(name, found) for name, found in values.items()}


def _of_all_rounds(name, found):
    """One figure of those of several rounds, (value, weight) each."""
    known = [(value, weight) for value, weight in found if weight]
    last = name.rpartition("/")[2]
    if name == "num_tokens" or not known:
        return found[-1][0]
    if last.startswith("min"):
        return min(value for value, _ in known)
    if last.startswith("max"):
        return max(value for value, _ in known)
    return sum(value * weight for value, weight in known) / sum(weight for _, weight in known)
