"""A transformer of a few thousand weights, its tokenizer, prompts and rewards: TRL trains it in a second on a CPU."""

import gc
import os
import re
import warnings

import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, PrinterCallback, Qwen2Config, Qwen2ForCausalLM
from trl import GRPOConfig, GRPOTrainer, RLOOConfig

# Every training run collects garbage; what the imports made needs no look each time.
gc.freeze()
# All that a message holds, one after the other: TRL wants to see calls of tools where there are environments.
TEMPLATE = (
    "{% for message in messages %}{{ message['content'] }}"
    "{% for call in message['tool_calls'] or [] %}{{ call['function'] }}{% endfor %}{% endfor %}"
)
WORDS = ["<pad>", "<eos>", "<unk>", *"0123456789+="]


def tokenizer(chat_template=None):
    words = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    made = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>")
    made.chat_template = chat_template
    return made


def model(folder):
    """Of a folder, as the reference model of a KL term is loaded from where the model came from."""
    torch.manual_seed(0)
    made = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=len(WORDS),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=2,
            max_position_embeddings=64,
            tie_word_embeddings=True,
            pad_token_id=0,
            eos_token_id=1,
            bos_token_id=None,
        )
    )
    made.save_pretrained(folder)
    return Qwen2ForCausalLM.from_pretrained(folder)


def dataset(prompts=16):
    """Sums that all differ, of two lengths, with an id and a prior each."""
    return Dataset.from_dict(
        {
            "prompt": [f"{5 * row}+{row % 7}=" for row in range(prompts)],
            "name": [f"sum {row}" for row in range(prompts)],
            "prior": [round(0.05 + 0.9 * (row * 7 % 16) / 16, 3) for row in range(prompts)],
        }
    )


def reward(completions, prompts, **columns):
    """1 for a completion that begins with a digit not above a limit that differs between prompts, else 0."""
    return [
        float(text[:1].isdigit() and int(text[0]) <= 2 + int(prompt[0])) for prompt, text in zip(prompts, completions)
    ]


def trainer(
    kind,
    folder,
    v05=None,
    *,
    reward_funcs=reward,
    train_dataset=None,
    listen=None,
    environment=None,
    peft_config=None,
    **options,
):
    """A trainer of 32 rollouts per step and process. listen(trainer, inputs) is called with what reaches the loss.
    train_dataset: False: none at all. environment: what makes the prompts of the dataset's rows, in place of its
    column."""
    torch.manual_seed(1)
    options = (
        dict(
            output_dir=str(folder),
            per_device_train_batch_size=32,
            num_generations=4,
            max_completion_length=4,
            max_steps=3,
            learning_rate=1e-2,
            logging_steps=1,
            save_strategy="no",
            report_to=[],
            use_cpu=True,
            disable_tqdm=True,
        )
        | options
    )
    config = GRPOConfig if issubclass(kind, GRPOTrainer) else RLOOConfig

    class Listening(kind):
        def _compute_loss(self, model, inputs):
            if listen is not None and model.training:
                listen(self, inputs)
            return super()._compute_loss(model, inputs)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = (Listening if listen else kind)(
            model=model(f"{folder}/model-{os.environ.get('RANK', 0)}"),
            reward_funcs=reward_funcs,
            args=config(**options),
            train_dataset=dataset() if train_dataset is None else train_dataset or None,
            processing_class=tokenizer(None if environment is None else TEMPLATE),
            peft_config=peft_config,
            **({} if v05 is None else {"v05": v05}),
            **({} if environment is None else {"environment_factory": environment}),
        )
    made.remove_callback(PrinterCallback)
    return made


def trained(*arguments, **options):
    made = trainer(*arguments, **options)
    made.train()
    return made


def weights(made):
    return torch.cat([value.detach().flatten() for value in made.accelerator.unwrap_model(made.model).parameters()])


def rows(inputs):
    """(prompt, completion, advantage, counts) of what reaches the loss."""
    words = tokenizer()
    tokens = zip(inputs["prompt_ids"], inputs["prompt_mask"], inputs["completion_ids"], inputs["completion_mask"])
    texts = [
        (words.decode(p[m.bool()]), words.decode(c[k.bool()], skip_special_tokens=True), bool(k.any()))
        for p, m, c, k in tokens
    ]
    return [
        (re.sub(" ", "", prompt), re.sub(" ", "", completion), advantage, counts)
        for (prompt, completion, counts), advantage in zip(texts, inputs["advantages"].tolist())
    ]
