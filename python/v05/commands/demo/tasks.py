"""The task: arithmetic questions from the generators of reasoning-gym, judged by its verifiers."""

from dataclasses import dataclass

import reasoning_gym

HELD_OUT_SEED = 3_000_000
WARM_UP_SEED = 1_000_000
LARGEST_DRAW = 20_000  # questions a generator is asked for until there are enough distinct ones


@dataclass(frozen=True)
class Question:
    """A question, its reference answer, and the verifier that judges other answers."""

    text: str
    answer: str
    level: int
    verifier: object
    entry: dict

    def solved_by(self, completion):
        """Whether the verifier gives the completion its full score."""
        return self.verifier.score_answer(completion, self.entry) == 1.0


@dataclass(frozen=True)
class Questions:
    """Three sets without a common question.

    training: {text: Question}, the prompts of reinforcement learning, level after level.
    held_out: [Question], never trained on; the same for every seed.
    warm_up: [(text, answer)] for the supervised warm-up.
    """

    training: dict
    held_out: list
    warm_up: list


def draw_questions(setting, seed):
    """The `Questions` of a seed: as many distinct ones of every level as the `Setting` says."""
    held_out = _distinct(setting.levels, HELD_OUT_SEED, setting.held_out_per_level, without={})
    training = _distinct(setting.levels, seed, setting.training_per_level, without=held_out)
    warm_up = []
    for level in setting.levels:
        entries = _draw(level, seed + WARM_UP_SEED, setting.warm_up_questions // len(setting.levels))
        warm_up += [(entry["question"], entry["answer"]) for entry in entries]
    warm_up = [(text, answer) for text, answer in warm_up if text not in held_out and text not in training]
    return Questions(training, list(held_out.values()), warm_up)


def _draw(level, seed, size):
    return reasoning_gym.create_dataset(level.generator, seed=seed, size=size, **dict(level.options))


def _distinct(levels, seed, number, without):
    found = {}
    for place, level in enumerate(levels):
        verifier = _draw(level, seed, LARGEST_DRAW)
        fresh = (
            Question(entry["question"], entry["answer"], place, verifier, entry)
            for entry in verifier
            if entry["question"] not in without
        )
        one_level = {}
        while len(one_level) < number:
            question = next(fresh)
            if question.text not in found:
                one_level.setdefault(question.text, question)
        found |= one_level
    return found
