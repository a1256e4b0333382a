"""What the current policy scored on recent prompts: the context of an in-context prior."""

import json
import math
import zlib
from collections.abc import Sequence

import numpy as np

from .._core.arguments import checked_range, checked_scores, integer
from .._core.checkpoint import Checkpointed
from .._core.types import OptionalNumbers, RewardRange
from ..errors import CheckpointError, InvalidArgument
from .prompt_text import checked_prompts, digest

_FORMAT = b"v05 context 1"


class ContextBuffer(Checkpointed):
    """A bounded, recent and diverse sample of (prompt, mean score, step), filled as training goes.

        context = ContextBuffer()
        for step in training:
            prior.fit(context)
            ...
            context.add(prompts, mean_scores, step)

    Each prompt is kept once, with its latest score. Of more prompts than `capacity` those stay whose

        arrival + capacity / 4 * G        arrival: scores added before its batch, G: standard Gumbel noise

    is largest: a weighted reservoir in which the weight of a prompt falls by e with every capacity / 4 scores that came
    after it. The latest capacity / 2 are nearly all there, and a thinning tail of older ones keeps the context diverse
    where data comes sorted by topic or difficulty. G is made from a hash of prompt and step: the same additions give
    the same context everywhere, whatever the order of rows.

    capacity: V_0 uses 256, the default; with fewer than 128 it is near chance. reward_range: (lo, hi) of the scores.
    Threads take turns.
    """

    def __init__(self, capacity: int = 256, *, reward_range: RewardRange = (0.0, 1.0)) -> None:
        if integer("capacity", capacity) < 1:
            raise InvalidArgument(f"capacity must be at least 1, got {capacity!r}")
        self.capacity = integer("capacity", capacity)
        self.reward_range = checked_range(reward_range)
        # Scores added, and the entries: prompt -> (priority, score, step); replaced, never changed.
        self._kept: tuple[int, dict[str, tuple[float, float, int]]] = 0, {}

    def __len__(self) -> int:
        """Number of prompts."""
        return len(self._kept[1])

    def add(self, prompts: Sequence[str], scores: OptionalNumbers, step: int) -> None:
        """Adds one visit of each prompt; a prompt that comes more than once counts with its mean score.

        prompts: (n,) strings, not empty; of texts longer than 16,384 characters beginning and end are kept.
        scores: (n,) mean rewards within reward_range. step: of training, an integer.
        Raises InvalidArgument or ArgumentTypeError that names the row, and then adds nothing.
        """
        texts = checked_prompts(prompts)
        scores = checked_scores(scores, len(texts), self.reward_range)
        step = integer("step", step)
        visits: dict[str, list[float]] = {}
        for text, score in zip(texts, scores.tolist()):
            visits.setdefault(text, []).append(score)
        with self._lock:
            added, entries = self._kept
            entries = dict(entries)
            for text, found in visits.items():
                priority = added + self.capacity / 4 * _gumbel(text, step)
                entries[text] = priority, math.fsum(found) / len(found), step
            if len(entries) > self.capacity:
                ranked = sorted(entries.items(), key=lambda entry: (-entry[1][0], entry[0]))
                entries = dict(ranked[: self.capacity])
            self._kept = added + len(visits), entries

    def __copy__(self) -> "ContextBuffer":
        """Shares the entries: an addition makes new ones."""
        copied = ContextBuffer(self.capacity, reward_range=self.reward_range)
        copied._kept = self._kept
        return copied

    def pairs(self) -> tuple[list[str], np.ndarray, np.ndarray]:
        """(prompts, scores, steps): a list, (n,) float64 and (n,) int64, by step and then by text."""
        rows = sorted(self._kept[1].items(), key=lambda entry: (entry[1][2], entry[0]))
        prompts = [prompt for prompt, _ in rows]
        scores = np.array([score for _, (_, score, _) in rows], dtype=np.float64)
        return prompts, scores, np.array([step for _, (_, _, step) in rows], dtype=np.int64)

    def _checkpoint_bytes(self):
        added, entries = self._kept
        rows = [[prompt, *entries[prompt]] for prompt in sorted(entries)]
        content = json.dumps(
            {"capacity": self.capacity, "reward_range": self.reward_range, "added": added, "entries": rows}
        ).encode()
        return _FORMAT + b" %08x\n" % zlib.crc32(content) + content

    def _restore(self, data):
        head, _, content = bytes(data).partition(b"\n")
        if head != _FORMAT + b" %08x" % zlib.crc32(content):
            raise CheckpointError("the bytes are no saved ContextBuffer, or they are damaged or truncated")
        try:
            state = json.loads(content)
            restored = ContextBuffer(state["capacity"], reward_range=state["reward_range"])
            restored._kept = (
                int(state["added"]),
                {
                    str(prompt): (float(priority), float(score), int(step))
                    for prompt, priority, score, step in state["entries"]
                },
            )
        except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
            raise CheckpointError(f"the saved ContextBuffer cannot be used: {error!r}") from error
        self.capacity, self.reward_range, self._kept = restored.capacity, restored.reward_range, restored._kept

    def __repr__(self) -> str:
        return f"ContextBuffer({len(self)} of {self.capacity} prompts)"


def _gumbel(text, step):
    """Gumbel noise by a hash of text and step."""
    number = int.from_bytes(digest(f"{step} {text}", 8), "little") >> 11  # 53 bits, which a float holds
    return -math.log(-math.log((number + 0.5) / 2**53))
