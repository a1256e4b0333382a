"""What trainers and harnesses call their fields, and which of them a row has."""

import re
from functools import lru_cache

# The first of these that a row has.
PROMPTS = (
    "prompt",
    "question",
    "problem",
    "query",
    "instruction",
    "input",
    "input_prompt",
    "prompt_text",
    "prompts",
    "user_prompt",
    "full_prompt",
    "question_content",
    "question_text",
    "problem_statement",
    "prompt_tokens",
    "prompt_ids",
    "prompt_token_ids",
    "prompt_id",
    "problem_id",
    "question_id",
    "task_id",
    "instance_id",
    "example_id",
    "doc_id",
)
STEPS = (
    "global_step",
    "global_steps",
    "training_step",
    "train_step",
    "trainer_step",
    "step",
    "iteration",
    "iter",
    "update",
    "update_step",
    "policy_version",
    "policy_step",
    "tail_version",
    "epoch",
    "steps",  # often how many steps a rollout took
)
VAGUE_STEPS = ("epoch", "steps")  # not in the place of a step that a first row lacks
VERSIONS = ("policy_version", "policy_step", "tail_version")  # of the policy that a rollout, or a part, was drawn by
# Names that mean a step of the training also inside of an object.
INNER_STEPS = ("global_step", "global_steps", "training_step", "train_step", "trainer_step", "policy_version")
TRAINERS = ("trainer", "train", "training")  # objects whose "step" is one
# One of these is the reward; several are candidates.
REWARDS = (
    "reward",
    "rewards",
    "score",
    "scores",
    "scalar_reward",
    "total_reward",
    "reward_total",
    "final_reward",
    "reward_score",
    "outcome_reward",
    "passed",
    "is_correct",
    "correct",
    "correctness",
    "acc",
    "accuracy",
    "exact_match",
    "extractive_match",
    "graded_list",
    "success",
    "resolved",
    "is_resolved",
    "follow_all_instructions",
)
COMPLETIONS = (
    "completion",
    "completions",
    "response",
    "responses",
    "output",
    "outputs",
    "output_response",
    "generation",
    "generations",
    "completion_ids",
    "response_tokens",
    "response_ids",
    "output_ids",
    "solution",
    "code",
    "pred",
    "trajectory",
    "messages",
)
TOTALS = ("reward", "total_reward", "reward_total")  # of several rewards the first of these is the sum
AGGREGATES = {"mean", "avg", "average", "std", "max", "min", "best", "baseline", "norm", "normalized", "expected"}
# Of several fields of a reward's object this is the reward, and the others are parts of it.
WHOLE = ("reward", "total", "total_reward", "score", "overall", "final", "sum")
# What belongs to a prompt beside its text.
PICTURES = (
    "image",
    "images",
    "image_path",
    "image_paths",
    "image_url",
    "image_urls",
    "image_file",
    "image_files",
    "image_id",
    "video",
    "videos",
    "video_path",
    "audio",
    "audios",
    "audio_path",
)
INPUT = ("input", *PICTURES)  # what belongs to an instruction
TRAJECTORIES = ("trajectory_id", "traj_id", "episode_id")
# Which rollout of its prompt a row is.
SAMPLES = (
    "sample_idx",
    "sample_index",
    "sample_id",
    "rollout_idx",
    "rollout_index",
    "rollout_id",
    "completion_idx",
    "completion_index",
    "completion_id",
    "generation_idx",
    "traj_idx",
    *TRAJECTORIES,
    "attempt",
    "trial",
    "repeat",
    "repetition",
    "seed",
)
GROUPS = ("group_id", "group_index", "group_idx", "group_uid", "group")
# Rows that are of an evaluation by what they say, a text or a flag.
SPLITS = ("split", "mode", "phase", "stage", "partition")
EVALUATIONS = ("is_eval", "is_evaluation", "is_validation", "is_val", "is_test", "eval", "evaluation")
TRAININGS = ("is_train", "is_training", "training")
# What tells apart several logs in one; and the rows of one rollout, where it has one a turn.
RUNS = (
    "run_id",
    "run_name",
    "run",
    "experiment_name",
    "experiment",
    "exp_name",
    "filter",
    "model_name",
    "model",
    "algorithm",
)
NUMBERED_RUNS = ("run_id", "run", "seed", "random_seed", "learning_rate", "lr")
ROLLOUTS = ("rollout_id", *TRAJECTORIES, "sample_id")
# Of what else a row may be called by, what is no row of a dataset and no seed of the run.
OTHER_ROLLOUTS = tuple(name for name in SAMPLES if name not in (*ROLLOUTS, "sample_index", "seed"))
TURNS = ("turn", "turn_id", "turn_idx", "turn_index")
ANSWERS = ("gts", "gt", "ground_truth", "reference_answer", "target", "gold", "label")
ADVANTAGES = ("advantage", "advantages")
# What tells the squared norm of a rollout's score, up to a factor; log-probabilities tell more than a length.
LOG_PROBS = (
    "rollout_log_probs",
    "old_log_probs",
    "sampling_logprobs",
    "completion_logprobs",
    "response_logprobs",
    "output_logprobs",
    "token_logprobs",
    "logprobs",
    "log_probs",
)
LENGTHS = (
    "completion_length",
    "completion_len",
    "completion_tokens",
    "response_length",
    "response_len",
    "response_tokens",
    "output_length",
    "output_len",
    "output_tokens",
    "completion_ids",
    "response_ids",
    "output_ids",
    "num_tokens",
)
TEXTS = {*PROMPTS, *COMPLETIONS, *ANSWERS, "answer"}
NO_REWARD = {*STEPS, *GROUPS, *ADVANTAGES, *LOG_PROBS, *LENGTHS, "prior"}
CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")  # where a word begins in "promptText"


def written(names, row):
    """The fields of a row that are called so: as they are here, else as people write them, "Prompt", "Global step"."""
    if exact := [name for name in names if name in row]:
        return exact
    written = {plain(name): name for name in reversed(row)}
    return [written[name] for name in names if name in written]


def written_in_rows(names, row):
    """`written`, quickly, for rows of which many have the same fields."""
    return _written(names, tuple(row))


@lru_cache(1 << 14)
def _written(names, fields):
    return tuple(written(names, fields))


@lru_cache(4096)
def plain(name):
    """A name as it is here: "Global step", "global-step" and "globalStep" are "global_step"."""
    return CAPITAL.sub("_", str(name).strip()).lower().replace(" ", "_").replace("-", "_")
