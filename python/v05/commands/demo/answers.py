"""Questions with their reference answers as tensors, and how probable a model finds those answers."""

import torch


def encode(tokenizer, pairs):
    """(tokens, attended, labels) of (question, answer) pairs, each (n, length) and padded on the left.

    Labels are the tokens of the answer and the end; -100, as transformers wants it, elsewhere.
    """
    encoded = [
        (tokenizer(question)["input_ids"], tokenizer(answer)["input_ids"] + [tokenizer.eos_token_id])
        for question, answer in pairs
    ]
    length = max(len(question) + len(answer) for question, answer in encoded)
    tokens = torch.full((len(encoded), length), tokenizer.pad_token_id)
    labels = torch.full((len(encoded), length), -100)
    for row, (question, answer) in enumerate(encoded):
        tokens[row, length - len(question) - len(answer) :] = torch.tensor(question + answer)
        labels[row, length - len(answer) :] = torch.tensor(answer)
    return tokens, (tokens != tokenizer.pad_token_id).long(), labels


@torch.no_grad()
def answer_probability(model, tokens, attended, labels):
    """(n,) probabilities that the model, sampled at temperature 1, gives exactly the reference answer.

    The product over the answer's tokens, from one pass: what the share of right answers among
    infinitely many samples would be, but for other spellings of the answer (007 for 7).
    """
    training = model.training
    model.eval()
    device = model.device
    width = int((labels != -100).sum(1).max())
    answers = labels[:, -width:].to(device)
    logits = model(tokens.to(device), attention_mask=attended.to(device), logits_to_keep=width + 1).logits[:, :-1]
    model.train(training)
    counted = answers != -100
    chosen = logits.log_softmax(-1).gather(2, answers.clamp(min=0)[..., None])[..., 0]
    return torch.where(counted, chosen, 0).sum(1).exp()
