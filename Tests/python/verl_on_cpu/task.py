"""A tiny model, its tokenizer and a dataset in verl's format: the response must hold the letter of the prompt."""

from pathlib import Path

LETTERS = "abcd"
PROMPTS = 8


def prompt(number):
    return LETTERS[number % 4] * (number % 3 + 2)


def prior(number):
    """In the dataset's column; the last prompt has none."""
    return number / PROMPTS if number < PROMPTS - 1 else float("nan")


def make(folder):
    """Writes model/ and data.parquet into a folder."""
    import pandas
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import MistralConfig, MistralForCausalLM, PreTrainedTokenizerFast

    folder = Path(folder)
    vocabulary = {token: number for number, token in enumerate(["<pad>", "<bos>", "<eos>", "<unk>", *LETTERS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>", unk_token="<unk>"
    )
    tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    tokenizer.save_pretrained(folder / "model")
    torch.manual_seed(0)
    MistralForCausalLM(
        MistralConfig(
            vocab_size=len(vocabulary),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            max_position_embeddings=256,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
        )
    ).save_pretrained(folder / "model")
    rows = [
        {
            "data_source": "letters",
            "prompt": [{"role": "user", "content": prompt(number)}],
            "reward_model": {"style": "rule", "ground_truth": LETTERS[number % 4]},
            "extra_info": {"index": number, "prior": prior(number)},
        }
        for number in range(PROMPTS)
    ]
    pandas.DataFrame(rows).to_parquet(folder / "data.parquet")


def reward(data_source, solution_str, ground_truth, extra_info=None, **_):
    """1 where the response has the letter, else 0."""
    return float(ground_truth in solution_str)
