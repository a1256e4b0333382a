"""Priors from similar prompts: a known function found again, the same context the same answer, bad input told."""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import v05

pytest.importorskip("sklearn", reason="in-context priors need scikit-learn")

from v05.priors import ContextBuffer, InContextPrior

HEADS = ("gp", "ridge", "knn")
WORDS = "triangle circle integer prime matrix polynomial probability urn graph vertex".split()


def text_task(generator, count):
    """Prompts of which one word decides the success rate, and the rate."""
    easy = generator.random(count) < 0.5
    prompts = [
        f"Let the {generator.choice(WORDS)} and the {generator.choice(WORDS)} be given; find the "
        f"{'sum' if simple else 'eigenvalue'} {generator.integers(1000)}."
        for simple in easy
    ]
    return prompts, np.where(easy, 0.8, 0.2)


def numbers_of(prompts):
    return np.array([[float(word) for word in prompt.split()] for prompt in prompts])


def number_task(generator, count):
    """Prompts that are two numbers, and a smooth function of them."""
    points = generator.random((count, 2))
    prompts = [f"{a:.6f} {b:.6f}" for a, b in points]
    return prompts, 0.5 + 0.4 * np.sin(3 * points[:, 0]) * np.cos(2 * points[:, 1])


@pytest.mark.parametrize("head", HEADS)
def test_a_word_that_decides_is_found(head):
    generator = np.random.default_rng(0)
    prompts, rate = text_task(generator, 300)
    scores = generator.binomial(8, rate) / 8
    value, deviation = InContextPrior(head=head).fit(prompts[:256], scores[:256]).predict(prompts[256:])
    assert value.dtype == deviation.dtype == np.float64 and value.shape == deviation.shape == (44,)
    assert np.mean((value - rate[256:]) ** 2) < 0.15 * np.var(rate)
    assert 0.1 < deviation.mean() < 0.25  # eight rollouts of .2 and .8 have .14


@pytest.mark.parametrize("head, error", [("gp", 0.02), ("ridge", 0.08), ("knn", 0.05)])
def test_a_smooth_function_of_embeddings_is_found(head, error):
    generator = np.random.default_rng(1)
    prompts, rate = number_task(generator, 400)
    prior = InContextPrior(numbers_of, head).fit(prompts[:256], rate[:256])
    value, _ = prior.predict(prompts[256:])
    assert np.sqrt(np.mean((value - rate[256:]) ** 2)) < error


def test_length_is_a_feature():
    generator = np.random.default_rng(2)
    lengths = generator.integers(1, 200, 300)
    scores = 0.9 - 0.8 * np.log1p(lengths) / np.log1p(200)
    prompts = ["x" * length for length in lengths]
    prior = InContextPrior(lambda prompts: np.ones((len(prompts), 1))).fit(prompts[:256], scores[:256])
    assert np.corrcoef(prior.predict(prompts[256:])[0], scores[256:])[0, 1] > 0.98


@pytest.mark.parametrize("head", HEADS)
def test_reward_units_and_the_range(head):
    generator = np.random.default_rng(3)
    prompts, rate = text_task(generator, 200)
    scores = generator.binomial(4, rate) / 4
    value, deviation = InContextPrior(head=head).fit(prompts, scores).predict(prompts)
    other, wider = InContextPrior(head=head, reward_range=(-3, 5)).fit(prompts, 8 * scores - 3).predict(prompts)
    np.testing.assert_allclose(other, 8 * value - 3, atol=1e-9)
    np.testing.assert_allclose(wider, 8 * deviation, atol=1e-9)
    extreme = [f"{number} {number}" for number in range(130)]
    steep = InContextPrior(numbers_of, "ridge").fit(extreme, np.clip(np.arange(130) / 40 - 1, 0, 1))
    value, _ = steep.predict(["-900 -900", "900 900"])
    assert value.tolist() == [0.0, 1.0]


def answers():
    """What each head says of a context, after it said the same before and something else in between."""
    found = []
    prompts, rate = text_task(np.random.default_rng(4), 200)
    for head in HEADS:
        prior = InContextPrior(head=head)
        first = prior.fit(prompts, rate).predict(prompts)
        prior.fit(prompts[:150], 1 - rate[:150])
        assert np.array_equal(first, prior.fit(prompts, rate).predict(prompts))
        found.append(np.array(first).tolist())
    return found


def test_the_same_context_gives_the_same_answer_in_any_process():
    script = f"""
import json, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_in_context_prior import answers
print(json.dumps(answers()))
"""
    there = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env=dict(os.environ, PYTHONHASHSEED="7"),
    ).stdout
    assert json.loads(there) == answers()


def test_the_cache_changes_nothing_and_is_bounded():
    generator = np.random.default_rng(5)
    prompts, rate = text_task(generator, 200)
    encoded = []

    def encoder(batch):
        encoded.extend(batch)
        return np.array([[len(prompt), prompt.count("s")] for prompt in batch], float)

    cached, plain = InContextPrior(encoder, "ridge"), InContextPrior(encoder, "ridge", cache_size=0)
    for _ in range(2):
        expected = plain.fit(prompts, rate).predict(prompts[:20])
    encoded.clear()
    for _ in range(2):
        found = cached.fit(prompts, rate).predict(prompts[:20])
    assert sorted(encoded) == sorted(set(prompts))  # each once
    np.testing.assert_array_equal(found, expected)
    small = InContextPrior(encoder, "ridge", cache_size=10)
    small.fit(prompts, rate)
    assert len(small._cache) == 10


def test_a_context_buffer_is_a_context():
    generator = np.random.default_rng(6)
    prompts, rate = text_task(generator, 150)
    buffer = ContextBuffer()
    buffer.add(prompts, rate, 0)
    found = InContextPrior().fit(buffer).predict(prompts[:5])
    texts, scores, _ = buffer.pairs()
    np.testing.assert_array_equal(found, InContextPrior().fit(texts, scores).predict(prompts[:5]))
    with pytest.raises(v05.InvalidArgument, match="scores must be left out"):
        InContextPrior().fit(buffer, rate)


def test_a_short_context_is_told_with_the_reason():
    prompts, rate = text_task(np.random.default_rng(7), 130)
    with pytest.warns(UserWarning, match="a context of 20 prompts is short: below 128 predictions are near chance"):
        InContextPrior().fit(prompts[:20], rate[:20])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        InContextPrior().fit(prompts[:128], rate[:128])


@pytest.mark.parametrize("head", HEADS)
def test_two_prompts_are_enough_not_to_fail(head):
    with pytest.warns(UserWarning, match="short"):
        prior = InContextPrior(head=head).fit(["one thing", "another"], [0.0, 1.0])
    value, deviation = prior.predict(["one thing", "三个", "?", "x" * 2_000_000])
    assert np.isfinite(value).all() and np.isfinite(deviation).all() and (deviation >= 0).all()


@pytest.mark.parametrize(
    "prompts, scores, message",
    [
        ([], [], "the context must not be empty"),
        (["a", "b", "c"], [1.0, 1.0, 1.0], "scores must differ, got 3 that are all 1"),
        (["a", "b"], [0.0, 1.2], r"scores\[1\] must lie in \[0, 1\], got 1.2"),
        (["a", "b"], [0.0, np.nan], r"scores\[1\] must lie in \[0, 1\], got nan"),
        (["a", "b"], [0.0], "one entry per prompt"),
        (["a", ""], [0.0, 1.0], r"prompts\[1\] must not be empty"),
        (["a", None], [0.0, 1.0], r"prompts\[1\] must be a string, got NoneType"),
    ],
)
def test_a_bad_context_leaves_the_old_one(prompts, scores, message):
    known, rate = text_task(np.random.default_rng(8), 130)
    prior = InContextPrior(head="ridge").fit(known, rate)
    before = prior.predict(known[:5])
    with pytest.raises(v05.Error, match=message):
        prior.fit(prompts, scores)
    np.testing.assert_array_equal(prior.predict(known[:5]), before)


def test_predict_needs_a_context_and_texts():
    prior = InContextPrior()
    with pytest.raises(v05.InvalidArgument, match="call fit first"):
        prior.predict(["a"])
    prompts, rate = text_task(np.random.default_rng(9), 130)
    prior.fit(prompts, rate)
    assert [array.shape for array in prior.predict([])] == [(0,), (0,)]
    with pytest.raises(v05.InvalidArgument, match=r"prompts\[0\] must not be empty"):
        prior.predict([""])


@pytest.mark.parametrize(
    "encoder, message",
    [
        (lambda prompts: np.full((len(prompts), 3), np.nan), "embeddings must be finite, got nan for prompt"),
        (lambda prompts: np.full((len(prompts), 3), 1e300), "embeddings must be finite"),
        (lambda prompts: np.ones(len(prompts)), r"embeddings must have shape \(130, d\)"),
        (lambda prompts: np.ones((3, 2)), r"embeddings must have shape \(130, d\)"),
        (lambda prompts: [["x"]] * len(prompts), "embeddings must be numbers"),
    ],
)
def test_bad_embeddings(encoder, message):
    prompts, rate = text_task(np.random.default_rng(10), 200)
    prompts = list(dict.fromkeys(prompts))[:130]
    with pytest.raises(v05.Error, match=message):
        InContextPrior(encoder).fit(prompts, rate[:130])


def test_another_width_of_embeddings():
    prompts, rate = text_task(np.random.default_rng(11), 140)
    width = [3]
    prior = InContextPrior(lambda prompts: np.random.default_rng(0).random((len(prompts), width[0])))
    prior.fit(prompts[:130], rate[:130])
    width[0] = 5
    with pytest.raises(v05.InvalidArgument, match="embeddings must keep their width, got 5 after 3"):
        prior.predict(["never seen"])


def test_wide_embeddings():
    generator = np.random.default_rng(12)
    prompts, rate = number_task(generator, 200)
    mixing = generator.normal(size=(2, 500))
    prior = InContextPrior(lambda prompts: numbers_of(prompts) @ mixing).fit(prompts[:150], rate[:150])
    assert np.sqrt(np.mean((prior.predict(prompts[150:])[0] - rate[150:]) ** 2)) < 0.05


def test_bad_options():
    with pytest.raises(v05.InvalidArgument, match="head must be one of 'gp', 'ridge', 'knn', got 'tree'"):
        InContextPrior(head="tree")
    with pytest.raises(v05.ArgumentTypeError, match="encoder must be"):
        InContextPrior(encoder=3)
    with pytest.raises(v05.InvalidArgument, match="cache_size must be at least 0"):
        InContextPrior(cache_size=-1)
    with pytest.raises(v05.InvalidArgument, match="reward_range"):
        InContextPrior(reward_range=(1, 0))


def test_a_missing_package_is_told_at_once(monkeypatch):
    monkeypatch.setattr("v05.priors.in_context_prior.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'v05\[priors\]'"):
        InContextPrior()
    monkeypatch.undo()
    monkeypatch.setattr("v05.priors.encoders.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'v05\[embeddings\]'"):
        InContextPrior("sentence-transformers/all-MiniLM-L6-v2")


def test_a_sentence_transformers_model_is_used_by_name(monkeypatch):
    import importlib.machinery
    import types

    class SentenceTransformer:
        def __init__(self, name):
            assert name == "some/model"

        def encode(self, prompts, show_progress_bar):
            return numbers_of(prompts).astype(np.float32)

    module = types.ModuleType("sentence_transformers")
    module.SentenceTransformer = SentenceTransformer
    module.__spec__ = importlib.machinery.ModuleSpec("sentence_transformers", None)
    monkeypatch.setitem(sys.modules, "sentence_transformers", module)
    prompts, rate = number_task(np.random.default_rng(13), 150)
    named = InContextPrior("some/model", "ridge").fit(prompts, rate).predict(prompts)
    np.testing.assert_allclose(
        named, InContextPrior(numbers_of, "ridge").fit(prompts, rate).predict(prompts), atol=1e-6
    )
