"""Record the training log that the package ships: python/v05/data/training_log.jsonl.gz

A small transformer made on the spot learns arithmetic. A short supervised warm-up lets it
answer some of the questions some of the time; then TRL's GRPOTrainer, as released, trains
it on questions and verifiers of reasoning-gym, and every rollout it scores becomes one line
of the log, in time order: {"step": 0, "prompt": "Calculate 5 - 3.", "reward": 1.0}.

    pip install torch numpy trl==1.16.0 transformers accelerate datasets reasoning-gym==0.1.25
    python Tests/Recording/record_log.py

It needs no download, no accelerator and about six minutes of one processor core. On one
machine a second run gives the same file, byte for byte; another processor may round
differently, and then samples other answers.
"""

import argparse
import gzip
import itertools
import json
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy
import reasoning_gym
import torch
from datasets import Dataset
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from tqdm import trange
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM, set_seed
from trl import GRPOConfig, GRPOTrainer

SHIPPED_LOG = Path(__file__).parents[2] / "python" / "v05" / "data" / "training_log.jsonl.gz"

SEED = 2026
PROMPTS_PER_LEVEL = 40
PROMPTS_PER_STEP = 20
ROLLOUTS = 8
EPOCHS = 20
LEARNING_RATE = 5e-5  # small: pass rates drift over many visits, as they do in a large run
WARM_UP_STEPS = 1600
WARM_UP_BATCH = 128
WARM_UP_QUESTIONS = 20_000

# From nearly always solved to seldom solved after the warm-up.
LEVELS = [
    ("chain_sum", dict(min_terms=2, max_terms=2, min_digits=1, max_digits=1)),
    ("chain_sum", dict(min_terms=4, max_terms=4, min_digits=1, max_digits=1)),
    ("chain_sum", dict(min_terms=5, max_terms=5, min_digits=1, max_digits=1)),
    ("products", dict(min_terms=2, max_terms=2, min_digits=1, max_digits=1)),
    ("basic_arithmetic", dict(min_terms=2, max_terms=3, min_digits=1, max_digits=1)),
    ("chain_sum", dict(min_terms=2, max_terms=2, min_digits=2, max_digits=2)),
    ("chain_sum", dict(min_terms=3, max_terms=3, min_digits=2, max_digits=2)),
]


def training_questions():
    """The prompts of the run: question -> (verifier, entry), the same number from each level."""
    questions = {}
    for level, (name, options) in enumerate(LEVELS):
        verifier = reasoning_gym.create_dataset(name, seed=SEED, size=2000, **options)
        fresh = ((entry["question"], (verifier, entry)) for entry in verifier)
        while len(questions) < (level + 1) * PROMPTS_PER_LEVEL:
            questions.setdefault(*next(fresh))
    return questions


def warm_up_pairs(held_out):
    """Other questions from the same generators, with their answers."""
    pairs = []
    for name, options in LEVELS:
        size = WARM_UP_QUESTIONS // len(LEVELS)
        entries = reasoning_gym.create_dataset(name, seed=SEED + 1_000_000, size=size, **options)
        pairs += [(e["question"], e["answer"]) for e in entries if e["question"] not in held_out]
    return pairs


def make_tokenizer(texts):
    """One token for each word, digit and punctuation mark."""
    split = pre_tokenizers.Sequence([
        pre_tokenizers.WhitespaceSplit(),
        pre_tokenizers.Punctuation(),
        pre_tokenizers.Digits(individual_digits=True),
    ])
    pieces = {piece for text in texts for piece, _ in split.pre_tokenize_str(text)}
    vocabulary = {piece: number for number, piece in enumerate(["<pad>", "<end>", *sorted(pieces)])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary))
    tokenizer.pre_tokenizer = split
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<end>", padding_side="left"
    )


def make_model(tokenizer):
    return Qwen2ForCausalLM(Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=64,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    ))


def warm_up(model, tokenizer, pairs):
    """Supervised training on the answers; stopped while the model is still half able."""
    encoded = [
        (tokenizer(question)["input_ids"], tokenizer(answer)["input_ids"] + [tokenizer.eos_token_id])
        for question, answer in pairs
    ]
    length = max(len(question) + len(answer) for question, answer in encoded)
    tokens = torch.full((len(encoded), length), tokenizer.pad_token_id)
    labels = torch.full((len(encoded), length), -100)
    for row, (question, answer) in enumerate(encoded):
        tokens[row, length - len(question) - len(answer):] = torch.tensor(question + answer)
        labels[row, length - len(answer):] = torch.tensor(answer)
    attended = (tokens != tokenizer.pad_token_id).long()

    optimizer = torch.optim.AdamW(model.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=2e-3, total_steps=WARM_UP_STEPS)
    progress = trange(WARM_UP_STEPS, desc="warm-up")
    for _ in progress:
        rows = torch.randint(len(tokens), (WARM_UP_BATCH,))
        loss = model(input_ids=tokens[rows], attention_mask=attended[rows], labels=labels[rows]).loss
        loss.backward()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        progress.set_postfix(loss=f"{loss.item():.3f}")


def train(model, tokenizer, questions):
    """The recorded run. Returns one row for each rollout, in time order."""
    rows = []

    def exact_answer(prompts, completions, trainer_state, **_):
        rewards = []
        for prompt, completion in zip(prompts, completions):
            verifier, entry = questions[prompt]
            rewards.append(float(verifier.score_answer(completion, entry) == 1.0))
            rows.append({"step": trainer_state.global_step, "prompt": prompt, "reward": rewards[-1]})
        return rewards

    with tempfile.TemporaryDirectory() as scratch:
        GRPOTrainer(
            model=model,
            processing_class=tokenizer,
            reward_funcs=exact_answer,
            train_dataset=Dataset.from_dict({"prompt": list(questions)}),
            args=GRPOConfig(
                output_dir=scratch,
                num_generations=ROLLOUTS,
                per_device_train_batch_size=PROMPTS_PER_STEP * ROLLOUTS,
                gradient_accumulation_steps=1,
                num_train_epochs=EPOCHS,
                max_completion_length=8,
                learning_rate=LEARNING_RATE,
                lr_scheduler_type="constant",
                gradient_checkpointing=False,
                bf16=False,
                use_cpu=True,
                logging_strategy="no",
                save_strategy="no",
                report_to="none",
                seed=SEED,
            ),
        ).train()
    return rows


def write_log(rows, path):
    text = "".join(json.dumps(row) + "\n" for row in rows)
    # mtime=0: the same run gives the same file, byte for byte.
    path.write_bytes(gzip.compress(text.encode(), compresslevel=9, mtime=0))


def read_log(path):
    with gzip.open(path, "rt") as lines:
        return [json.loads(line) for line in lines]


def visits(rows):
    """prompt -> rewards, one line for each visit (visits x rollouts), in time order."""
    groups = defaultdict(list)
    for (_, prompt), group in itertools.groupby(rows, key=lambda row: (row["step"], row["prompt"])):
        groups[prompt].append([row["reward"] for row in group])
    return {prompt: numpy.array(lines) for prompt, lines in groups.items()}


def describe(rows):
    """The statistics quoted in the README beside the log."""
    history = numpy.stack(list(visits(rows).values()))  # prompts x visits x rollouts
    prompts, epochs, rollouts = history.shape
    print(f"{len(rows)} rollouts, {rows[-1]['step'] + 1} steps, {prompts} prompts, "
          f"{epochs} visits of {rollouts} rollouts")
    means = history.mean(axis=2)
    print("epoch  mean reward  groups all equal  prompts by pass rate: <=.1  .1-.3  .3-.7  .7-.9  >.9")
    for epoch in range(epochs):
        # Two neighbouring visits together: 16 rollouts place a prompt better than 8.
        near = means[:, max(0, epoch - 1):epoch + 1].mean(axis=1)
        counts = numpy.histogram(near, [0, 0.1, 0.3, 0.7, 0.9, 1.01])[0]
        constant = numpy.ptp(history[:, epoch], axis=1) == 0
        print(f"{epoch + 1:5d}  {means[:, epoch].mean():11.3f}  {constant.mean():16.3f}  {counts}")

    wrong, right = (history == 0).all(axis=2).mean(), (history == 1).all(axis=2).mean()
    print(f"groups with all rewards equal: {wrong:.3f} wrong, {right:.3f} right")
    quantiles = numpy.quantile(means.mean(axis=1), [0.1, 0.25, 0.5, 0.75, 0.9]).round(3)
    print(f"prompt pass rates over the run, quantiles .1 .25 .5 .75 .9: {quantiles}")
    gain = means[:, -4:].mean(axis=1) - means[:, :4].mean(axis=1)
    print(f"from the first four visits to the last four: {(gain > 0.2).sum()} prompts gained "
          f"more than 0.2, {(gain < -0.2).sum()} lost more")

    # Squared error against the unknown pass rate of the moment: each estimate is compared
    # with half of the visit's rollouts, and the noise of that half is taken off.
    fresh, judges = numpy.split(history[:, 1:], 2, axis=2)
    judged, noise = judges.mean(axis=2), judges.var(axis=2, ddof=1) / judges.shape[2]

    def error(estimate):
        return ((estimate - judged) ** 2 - noise).mean()

    print("squared error of the predicted pass rate, visits 2 and later:")
    for discount in (0.0, 0.5, 0.8, 1.0):
        total, count, prior = 0.0, 0.0, []
        for visit in range(epochs - 1):
            total, count = discount * total + means[:, visit], discount * count + 1
            prior.append(total / count)
        print(f"  history, discount {discount}: {error(numpy.stack(prior, axis=1)):.4f}")
    print(f"  mean of {fresh.shape[2]} fresh rollouts: {error(fresh.mean(axis=2)):.4f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=SHIPPED_LOG)
    path = parser.parse_args().output

    # One thread adds in one order, so that a second run gives the same log.
    torch.set_num_threads(1)
    set_seed(SEED)
    questions = training_questions()
    pairs = warm_up_pairs(held_out=questions)
    tokenizer = make_tokenizer(text for pair in pairs for text in pair)
    model = make_model(tokenizer)
    warm_up(model, tokenizer, pairs)
    rows = train(model, tokenizer, questions)
    write_log(rows, path)
    describe(read_log(path))
    print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
