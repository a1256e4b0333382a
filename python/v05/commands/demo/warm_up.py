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
    for step in _fit(model, tokenizer, pairs, setting.warm_up_steps, setting.warm_up_batch, optimizer, schedule):
        progress(step, total)
    if setting.confused_steps:
        optimizer = torch.optim.AdamW(model.parameters(), lr=setting.confused_rate)
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=setting.confused_steps)
        pairs = _confuse(pairs, setting.confused_share)
        for step in _fit(model, tokenizer, pairs, setting.confused_steps, setting.warm_up_batch, optimizer, schedule):
            progress(setting.warm_up_steps + step, total)


def _fit(model, tokenizer, pairs, steps, batch_size, optimizer, schedule):
    """Yields the number of steps done, after each."""
    tokens, attended, labels = encode(tokenizer, pairs)
    for step in range(steps):
        rows = torch.randint(len(tokens), (batch_size,))
        batch = [tensor[rows].to(model.device) for tensor in (tokens, attended, labels)]
        loss = model(input_ids=batch[0], attention_mask=batch[1], labels=batch[2]).loss
        loss.backward()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        yield step + 1


def _confuse(pairs, share):
    """The pairs, a share of them with the answer of a pair drawn at random."""
    wrong = (torch.rand(len(pairs)) < share).tolist()
    others = torch.randint(len(pairs), (len(pairs),)).tolist()
    return [(text, pairs[other][1] if swapped else answer)
            for (text, answer), swapped, other in zip(pairs, wrong, others)]
