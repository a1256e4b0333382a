"""Answers sampled from a model at temperature 1, and what they say of the task that the model finds."""

import torch

from .curve import Regime

REGIME_QUESTIONS = 192
REGIME_SAMPLES = 8


@torch.no_grad()
def sample_answers(model, tokenizer, questions, most, seed):
    """(texts, encoded) of one answer to each question, of at most so many tokens; encoded as by `encode`.

    Torch's generators stay as they were.
    """
    prompts = tokenizer([question.text for question in questions], padding=True, return_tensors="pt")
    training = model.training
    model.eval()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        tokens = model.generate(
            input_ids=prompts["input_ids"].to(model.device),
            attention_mask=prompts["attention_mask"].to(model.device),
            do_sample=True,
            temperature=1.0,
            top_k=0,
            top_p=1.0,
            max_new_tokens=most,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    model.train(training)
    asked = prompts["input_ids"].shape[1]
    said = tokens[:, asked:]
    ended = (said == tokenizer.eos_token_id).cumsum(1)
    counted = (ended == 0) | ((ended == 1) & (said == tokenizer.eos_token_id))
    attended = torch.cat([prompts["attention_mask"].to(model.device), counted.long()], 1)
    labels = torch.cat([torch.full_like(tokens[:, :asked], -100), torch.where(counted, said, -100)], 1)
    return tokenizer.batch_decode(said, skip_special_tokens=True), (tokens, attended, labels)


def share_solved(model, tokenizer, questions, most, seed):
    """Share of the questions that one sampled answer to each solves."""
    answers, _ = sample_answers(model, tokenizer, questions, most, seed)
    return sum(question.solved_by(answer) for question, answer in zip(questions, answers)) / len(questions)


def measure_regime(model, tokenizer, questions, most, seed):
    """The `Regime` of questions for a model, from several answers to a part of them, evenly spread."""
    asked = questions[:: max(len(questions) // REGIME_QUESTIONS, 1)]
    solved, lengths, weights = [], [], []
    for sample in range(REGIME_SAMPLES):
        answers, encoded = sample_answers(model, tokenizer, asked, most, seed + sample)
        solved.append([question.solved_by(answer) for question, answer in zip(asked, answers)])
        found = score_norms(model, *encoded)
        weights.append(found[0])
        lengths.append(found[1])
    return regime_of(torch.tensor(solved).double(), torch.stack(lengths).double(), torch.stack(weights).double())


@torch.no_grad()
def score_norms(model, tokens, attended, labels):
    """(weights, lengths) of encoded answers, both (n,).

    The weight W of an answer is the squared norm of its score at the logits: over its tokens t the sum of
    1 - 2 pi_t + sum_v pi_v^2 (method.md, section 13).
    """
    width = labels.shape[1] - int((labels != -100).int().argmax(1).min())  # the longest answer, padded at either side
    answers = labels[:, -width:].to(model.device)
    logits = model(tokens.to(model.device), attention_mask=attended.to(model.device), logits_to_keep=width + 1).logits
    probability = logits[:, :-1].softmax(-1)
    counted = answers != -100
    chosen = probability.gather(2, answers.clamp(min=0)[..., None])[..., 0]
    norms = 1 - 2 * chosen + probability.square().sum(-1)
    return torch.where(counted, norms, 0).sum(1).cpu(), counted.sum(1).cpu()


def regime_of(solved, lengths, weights):
    """The `Regime` of (samples, questions) answers."""
    rate = solved.mean(0)
    within = solved.var(0, unbiased=True).mean()
    total = solved.mean() * (1 - solved.mean())
    both = (rate > 0) & (rate < 1)
    failed = ((1 - solved) * weights).sum(0) / (1 - solved).sum(0)
    right = (solved * weights).sum(0) / solved.sum(0)
    return Regime(
        tokens=float(lengths.mean()),
        solved=float(rate.mean()),
        spread=float(1 - within / total),
        weight_ratio=float(failed[both].mean() / right[both].mean()),
    )
