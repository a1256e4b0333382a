"""The task: arithmetic questions from the generators of reasoning-gym, judged by its verifiers."""

import random
from dataclasses import dataclass

import reasoning_gym

from .worked import final_number, work_out

# Where in the range of a seed the questions of a kind begin; training: 0.
WARM_UP_START = 1_000_000
HELD_OUT_START = 3_000_000
LARGEST_DRAW = 20_000  # questions a generator is asked for until there are enough distinct ones


@dataclass(frozen=True)
class Question:
    """A question, its reference answer, and the verifier that judges other answers.

    worked: the answers are worked out, and it is the number at their end that is judged.
    """

    text: str
    answer: str
    level: int
    verifier: object
    entry: dict
    worked: bool = False

    def solved_by(self, completion):
        """Whether the verifier gives the completion its full score."""
        judged = final_number(completion) if self.worked else completion
        return self.verifier.score_answer(judged, self.entry) == 1.0


@dataclass(frozen=True)
class Questions:
    """Three sets without a common question.

    training: {text: Question}, the prompts of reinforcement learning, level after level.
    held_out: [Question], never trained on.
    warm_up: [(text, answer)] for the supervised warm-up.
    """

    training: dict
    held_out: list
    warm_up: list


def draw_questions(setting, seed):
    """The `Questions` of a seed: as many distinct ones of every level as the `Setting` says."""
    first = seed * setting.seed_stride
    held_out = _distinct(setting, first + HELD_OUT_START, setting.held_out_per_level, without={})
    training = _distinct(setting, first, setting.training_per_level, without=held_out)
    choose = random.Random(seed).choice
    warm_up = []
    for level in setting.levels:
        for entry in _draw(level, first + WARM_UP_START, setting.warm_up_questions // len(setting.levels)):
            if entry["question"] not in held_out and entry["question"] not in training:
                answer = work_out(entry["metadata"]["expression"], choose) if setting.worked else entry["answer"]
                warm_up.append((entry["question"], answer))
    return Questions(training, list(held_out.values()), warm_up)


def _draw(level, seed, size):
    return reasoning_gym.create_dataset(level.generator, seed=seed, size=size, **dict(level.options))


def _distinct(setting, seed, number, without):
    found = {}
    for place, level in enumerate(setting.levels):
        verifier = _draw(level, seed, LARGEST_DRAW)
        fresh = (
            Question(entry["question"], entry["answer"], place, verifier, entry, setting.worked)
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
