"""Small models of V_0 that the tests share: a random Qwen3 backbone, a tokenizer and a TabPFN, made on the spot."""

from dataclasses import asdict

import pytest

torch = pytest.importorskip("torch", reason="V_0 needs torch")
transformers = pytest.importorskip("transformers", reason="V_0 needs transformers")
pytest.importorskip("tokenizers", reason="the tests make a tokenizer with tokenizers")

from tokenizers import Tokenizer, models, pre_tokenizers  # noqa: E402
from v05.v0 import PromptEmbedding  # noqa: E402

WIDTH = 32
WORDS = "add the numbers and find largest prime sum of two three four five six seven eight nine ten area angle".split()


def make_tokenizer(texts=(), padding_side="left"):
    """One token a word or punctuation mark."""
    split = pre_tokenizers.Whitespace()
    pieces = {piece for text in [*WORDS, *texts] for piece, _ in split.pre_tokenize_str(text)}
    vocabulary = {piece: number for number, piece in enumerate(["<pad>", "<end>", "<unknown>", *sorted(pieces)])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unknown>"))
    tokenizer.pre_tokenizer = split
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="<end>",
        unk_token="<unknown>",
        padding_side=padding_side,
    )


def make_backbone(vocabulary_size, width=WIDTH, layers=2, seed=0):
    torch.manual_seed(seed)
    return transformers.Qwen3Model(
        transformers.Qwen3Config(
            vocab_size=vocabulary_size,
            hidden_size=width,
            intermediate_size=2 * width,
            num_hidden_layers=layers,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=width // 2,
            max_position_embeddings=4096,
            pad_token_id=0,
            eos_token_id=1,
            bos_token_id=None,
            initializer_range=0.2,
        )
    ).eval()


def make_embedding(texts=(), *, padding_side="left", seed=0, width=WIDTH, **options):
    tokenizer = make_tokenizer(texts, padding_side)
    backbone = make_backbone(len(tokenizer), width, seed=seed)
    return PromptEmbedding(backbone, tokenizer, **options).eval()


def save_backbone(folder, texts=(), width=WIDTH, seed=0):
    """A folder as transformers writes it: configuration, weights and tokenizer."""
    tokenizer = make_tokenizer(texts)
    make_backbone(len(tokenizer), width, seed=seed).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def stirred(embedding, seed=1):
    """With an adapter as after training: nothing is zero, every part matters."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in embedding.adapter_layer.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return embedding


def save_tabpfn(path, seed=0):
    """A file in the layout of TabPFN's v2.5 checkpoints, of a small model with random weights."""
    pytest.importorskip("tabpfn", reason="the official head needs tabpfn")
    architecture = pytest.importorskip("tabpfn.architectures.tabpfn_v2_5", reason="tabpfn without its version 2.5")
    configuration = architecture.TabPFNV2p5Config(
        max_num_classes=10, emsize=24, nlayers=2, nhead=3, num_thinking_rows=4, features_per_group=3
    )
    model = architecture.get_architecture(configuration)
    torch.manual_seed(seed)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    torch.save({"state_dict": model.state_dict(), "config": asdict(configuration), "architecture_name": "base"}, path)
    return path


def random_prompts(generator, count):
    """Distinct prompts of 3 to 12 words."""
    prompts = set()
    while len(prompts) < count:
        prompts.add(" ".join(generator.choice(WORDS, generator.integers(3, 13))))
    return sorted(prompts)
