"""The adapter of V_0 against a plain implementation in numpy; features whatever the padding and the length."""

import math

import numpy as np
import pytest
from v0_models import WIDTH, make_embedding, make_tokenizer, random_prompts, stirred, torch
from v05.errors import ArgumentTypeError, InvalidArgument
from v05.v0 import PromptEmbedding, ResidualQueryAdapter
from v05.v0.pooling import last_token_pool

GELU = np.vectorize(lambda x: 0.5 * x * (1 + math.erf(x / math.sqrt(2))))


def layer_norm(rows, weights, name, epsilon=1e-5):
    centred = rows - rows.mean(axis=-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + epsilon)
    return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def linear(rows, weights, name):
    return rows @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def plain_adapter(states, weights, heads=3):
    """Features of one prompt from its (tokens, width) states, with loops; independent of torch."""
    hidden = GELU(layer_norm(linear(states[-1], weights, "generator.0"), weights, "generator.1"))
    queries = weights["static_queries"][0]
    queries = queries + linear(hidden, weights, "generator.4").reshape(queries.shape)
    tokens = linear(states, weights, "proj_kv")
    width = queries.shape[1]
    into, into_bias = weights["mha.in_proj_weight"], weights["mha.in_proj_bias"]
    inputs = layer_norm(queries, weights, "ln_q"), layer_norm(tokens, weights, "ln_kv"), tokens
    asked, keyed, valued = (
        rows @ into[part * width : (part + 1) * width].T + into_bias[part * width : (part + 1) * width]
        for part, rows in enumerate(inputs)
    )
    answers = np.empty_like(asked)
    size = width // heads
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        for row in range(len(asked)):
            logits = keyed[:, part] @ asked[row, part] / math.sqrt(size)
            share = np.exp(logits - logits.max())
            answers[row, part] = share / share.sum() @ valued[:, part]
    return linear(answers, weights, "mha.out_proj").ravel()


@pytest.mark.parametrize("side", ["left", "right"])
def test_forward_equals_a_plain_implementation(side):
    torch.manual_seed(3)
    adapter = ResidualQueryAdapter(24).double().eval()
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    weights = {name: value.numpy() for name, value in adapter.state_dict().items()}
    lengths = [7, 1, 4]
    states = torch.randn(3, 7, 24, dtype=torch.float64)
    mask = torch.zeros(3, 7, dtype=torch.bool)
    for row, length in enumerate(lengths):
        mask[row, 7 - length :] = True
    if side == "right":
        mask = mask.flip(1)
    with torch.no_grad():
        found = adapter(states, mask).numpy()
    assert found.shape == (3, 1008)
    for row in range(3):
        expected = plain_adapter(states[row][mask[row]].numpy(), weights)
        np.testing.assert_allclose(found[row], expected, rtol=0, atol=1e-6)


def test_names_and_shapes_of_the_official_checkpoints():
    shapes = {name: tuple(value.shape) for name, value in ResidualQueryAdapter(1024).state_dict().items()}
    assert shapes == {
        "static_queries": (1, 168, 6),
        "generator.0.weight": (128, 1024),
        "generator.0.bias": (128,),
        "generator.1.weight": (128,),
        "generator.1.bias": (128,),
        "generator.4.weight": (1008, 128),
        "generator.4.bias": (1008,),
        "proj_kv.weight": (6, 1024),
        "proj_kv.bias": (6,),
        "mha.in_proj_weight": (18, 6),
        "mha.in_proj_bias": (18,),
        "mha.out_proj.weight": (6, 6),
        "mha.out_proj.bias": (6,),
        "ln_q.weight": (6,),
        "ln_q.bias": (6,),
        "ln_kv.weight": (6,),
        "ln_kv.bias": (6,),
    }


def test_starts_from_the_static_queries_and_learns_offsets():
    adapter = ResidualQueryAdapter(8)
    assert not adapter.generator[-1].weight.any() and not adapter.generator[-1].bias.any()
    adapter(torch.randn(2, 3, 8), torch.ones(2, 3, dtype=torch.bool)).square().sum().backward()
    assert adapter.generator[-1].weight.grad.abs().sum() > 0


def test_last_token_whatever_the_padding():
    states = torch.arange(12.0).reshape(2, 6, 1)
    mask = torch.tensor([[1, 1, 1, 0, 0, 0], [0, 0, 1, 1, 1, 1]], dtype=torch.bool)
    assert last_token_pool(states, mask)[:, 0].tolist() == [2, 11]
    assert last_token_pool(states, mask.new_tensor([[1, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1]]))[:, 0].tolist() == [0, 11]


def test_padding_side_and_company_change_nothing():
    prompts = random_prompts(np.random.default_rng(0), 9)
    left, right, single = (
        stirred(make_embedding(padding_side=side, batch_size=size))
        for side, size in (("left", 4), ("right", 4), ("left", 1))
    )
    with torch.no_grad():
        expected = single(prompts)
        assert expected.shape == (9, 1008) and expected.std(dim=0).mean() > 1e-3
        torch.testing.assert_close(left(prompts), expected, rtol=0, atol=1e-4)
        torch.testing.assert_close(right(prompts), expected, rtol=0, atol=1e-4)
        torch.testing.assert_close(left(prompts[::-1]), expected.flip(0), rtol=0, atol=1e-4)
        assert left([]).shape == (0, 1008)


def test_a_prompt_of_megabytes_is_cut():
    embedding = stirred(make_embedding(maximum_tokens=16))
    start = "find the largest prime of two three four five six seven eight nine ten and the sum "
    seen = []
    tokenize = embedding.tokenizer.__class__.__call__

    class Listening(embedding.tokenizer.__class__):
        def __call__(self, texts, **options):
            seen.extend(map(len, texts))
            return tokenize(self, texts, **options)

    embedding.tokenizer.__class__ = Listening
    with torch.no_grad():
        long = embedding([start * 40_000])
        torch.testing.assert_close(long, embedding([" ".join((start * 2).split()[:16])]), rtol=0, atol=1e-4)
    assert max(seen) == 16 * 64


@pytest.mark.parametrize(
    "prompts, error, words",
    [
        ("find", ArgumentTypeError, "prompts must be a sequence of strings, got str"),
        (["find", 3], ArgumentTypeError, r"prompts\[1\] must be a string, got int"),
        (["find", ""], InvalidArgument, r"prompts\[1\] must not be empty"),
        (["find", "  "], InvalidArgument, "at least one token"),
    ],
)
def test_bad_prompts(prompts, error, words):
    with pytest.raises(error, match=words):
        make_embedding()(prompts)


def test_embeddings_that_are_not_finite():
    embedding = make_embedding()
    word = embedding.tokenizer.convert_tokens_to_ids("angle")
    with torch.no_grad():
        embedding.backbone.embed_tokens.weight[word] = torch.nan
    with torch.no_grad():
        assert embedding(["find the area"]).isfinite().all()
        with pytest.raises(InvalidArgument, match="NaN or infinity for the prompt 'find the angle'"):
            embedding(["find the area of six and seven", "find the angle", "two three"])


def test_gradients_reach_the_backbone_only_when_it_is_tuned():
    embedding = make_embedding()
    embedding.freeze_backbone()
    embedding(["find the area", "two"]).sum().backward()
    assert embedding.adapter_layer.proj_kv.weight.grad is not None
    assert all(parameter.grad is None for parameter in embedding.backbone.parameters())
    embedding.freeze_backbone(False)
    stirred(embedding)(["find the area", "two"]).sum().backward()
    assert embedding.backbone.layers[0].mlp.up_proj.weight.grad.abs().sum() > 0
    assert embedding.backbone.config.hidden_size == WIDTH


@pytest.mark.parametrize("kind", ["gpt2", "bert"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_company_changes_nothing_for_backbones_that_count_positions(kind, side):
    """They would take a prompt that is padded on the left for one that begins later."""
    transformers = pytest.importorskip("transformers")
    tokenizer = make_tokenizer(["one two three"], side)
    sizes = dict(vocab_size=len(tokenizer), bos_token_id=0, eos_token_id=0, pad_token_id=0)
    torch.manual_seed(0)
    if kind == "gpt2":
        backbone = transformers.GPT2Model(
            transformers.GPT2Config(n_embd=32, n_layer=2, n_head=2, n_positions=64, **sizes)
        )
    else:
        backbone = transformers.BertModel(
            transformers.BertConfig(
                hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, **sizes
            )
        )
    embedding = stirred(PromptEmbedding(backbone, tokenizer).eval())
    with torch.no_grad():
        alone, (beside, _) = embedding(["one two"])[0], embedding(["one two", "one two three " * 8])
    torch.testing.assert_close(beside, alone, atol=1e-5, rtol=1e-4)
