"""The supervised warm-up, stopped while the model is still half able."""

import torch

from .answers import encode


def warm_up(model, tokenizer, pairs, setting, progress):
    """Trains on (question, answer) pairs as the `Setting` says. progress(done, total) is called after every step."""
    total = setting.warm_up_steps + setting.confused_steps
    optimizer = torch.optim.AdamW(model.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=setting.warm_up_rate, total_steps=setting.warm_up_steps
    )
    for step in _fit(model, tokenizer, pairs, setting, setting.warm_up_steps, optimizer, schedule):
        progress(step, total)
    if setting.confused_steps:
        optimizer = torch.optim.AdamW(model.parameters(), lr=setting.confused_rate)
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=setting.confused_steps)
        pairs = _confuse(pairs, setting.confused_share)
        for step in _fit(model, tokenizer, pairs, setting, setting.confused_steps, optimizer, schedule):
            progress(setting.warm_up_steps + step, total)


def _fit(model, tokenizer, pairs, setting, steps, optimizer, schedule):
    """Yields the number of steps done, after each."""
    tokens, attended, labels = encode(tokenizer, pairs)
    weights = torch.ones(len(tokenizer))
    for word, number in tokenizer.get_vocab().items():
        if word.isdigit() or word == "-":
            weights[number] = setting.number_weight
    loss_function = torch.nn.CrossEntropyLoss(weights.to(model.device), ignore_index=-100)
    for step in range(steps):
        rows = torch.randint(len(tokens), (setting.warm_up_batch,))
        begin = int(attended[rows].argmax(1).min())  # without the columns that are padding in all rows
        batch = [tensor[rows, begin:].to(model.device) for tensor in (tokens, attended, labels)]
        width = int((batch[2] != -100).sum(1).max())
        logits = model(batch[0], attention_mask=batch[1], logits_to_keep=width + 1).logits[:, :-1]
        loss_function(logits.flatten(0, 1), batch[2][:, -width:].flatten()).backward()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        yield step + 1


def _confuse(pairs, share):
    """The pairs, a share of them with the answer of a pair drawn at random."""
    wrong = (torch.rand(len(pairs)) < share).tolist()
    others = torch.randint(len(pairs), (len(pairs),)).tolist()
    return [
        (text, pairs[other][1] if swapped else answer) for (text, answer), swapped, other in zip(pairs, wrong, others)
    ]
