"""A transformer of a few thousand weights, its tokenizer, prompts and rewards: TRL trains it in a second on a CPU."""

import random

import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

WORDS = ["<pad>", "<eos>", "<unk>", *"0123456789+="]


def tokenizer():
    words = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>")


def model():
    torch.manual_seed(0)
    return Qwen2ForCausalLM(Qwen2Config(
        vocab_size=len(WORDS), hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=64, tie_word_embeddings=True, pad_token_id=0, eos_token_id=1,
        bos_token_id=None))


def dataset(rows=24):
    """Sums of prompts of two lengths. `prior` is a number in [0, 1], `name` an id."""
    dice = random.Random(0)
    prompts = [f"{dice.randint(0, 99) if row % 2 else dice.randint(0, 9)}+{dice.randint(0, 9)}=" for row in range(rows)]
    return Dataset.from_dict({
        "prompt": prompts, "name": [f"sum {row}" for row in range(rows)],
        "prior": [round(dice.random(), 3) for _ in range(rows)]})


def reward(completions, prompts, **kwargs):
    """1 where the completion's first letter is a digit not above a limit that differs between prompts, else 0."""
    return [float(text[:1].isdigit() and int(text[0]) <= int(prompt[0])) for prompt, text in zip(prompts, completions)]
