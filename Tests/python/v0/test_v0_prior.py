"""V_0 as a prior: heads, contexts, deviations, and input that cannot be used."""

import json
import warnings

import numpy as np
import pytest
from v0_models import make_embedding, random_prompts, save_backbone, save_tabpfn, stirred, torch
from v05.errors import ArgumentTypeError, InvalidArgument
from v05.v0 import ClassifierHead, KernelHead, PromptEmbedding, TabPFNHead, V0Prior, make_head

linear_model = pytest.importorskip("sklearn.linear_model", reason="tests of heads need scikit-learn")
PROMPTS = random_prompts(np.random.default_rng(1), 200)


def easiness(prompt):
    """Prompts with "prime" are hard, those with "two" easy: 1, 0 or -1."""
    words = prompt.split()
    return np.sign(("two" in words) - ("prime" in words))


@pytest.fixture(scope="module")
def embedding():
    return stirred(make_embedding(PROMPTS))


def make_prior(embedding, head="kernel", **options):
    return V0Prior(embedding, head, **options)


SCORES = np.array([np.clip(0.5 + 0.4 * easiness(prompt), 0, 1) for prompt in PROMPTS])


def quiet_fit(prior, *arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return prior.fit(*arguments)


@pytest.mark.parametrize("head", ["kernel", lambda: linear_model.LogisticRegression(max_iter=1000)])
def test_values_are_probabilities_in_reward_units(embedding, head):
    unit = make_prior(embedding, head).fit(PROMPTS[:150], SCORES[:150])
    value, deviation = unit.predict(PROMPTS[150:])
    assert value.shape == deviation.shape == (50,) and value.dtype == deviation.dtype == np.float64
    assert (value >= 0).all() and (value <= 1).all() and value.std() > 0.01
    assert 0 < deviation[0] < 0.6 and (deviation == deviation[0]).all()
    # The same scores in other units: the same prior in other units.
    wide = make_prior(embedding, head, reward_range=(-1, 3)).fit(PROMPTS[:150], 4 * SCORES[:150] - 1)
    np.testing.assert_allclose(wide.predict(PROMPTS[150:])[0], 4 * value - 1, atol=1e-9)
    np.testing.assert_allclose(wide.predict(PROMPTS[150:])[1], 4 * deviation, atol=1e-9)


def test_the_midpoint_counts_as_solved(embedding):
    seen = []

    def head():
        class Listening(linear_model.LogisticRegression):
            def fit(self, features, labels):
                seen.append(labels)
                return super().fit(features, labels)

        return Listening()

    prior = make_prior(embedding, head, reward_range=(-1, 1))
    quiet_fit(prior, PROMPTS[:4], [0.0, -0.01, 1.0, -1.0]).predict(PROMPTS[4:6])
    assert seen[-1].tolist() == [1, 0, 1, 0]


def test_deviation_is_the_error_on_what_is_left_out(embedding):
    """A head that knows nothing but the share of the context: the error is that of the share."""
    dummy = pytest.importorskip("sklearn.dummy", reason="tests of heads need scikit-learn")
    prior = make_prior(embedding, lambda: dummy.DummyClassifier(strategy="prior"))
    scores = np.tile([0.0, 1.0, 1.0, 1.0], 50)
    value, deviation = prior.fit(PROMPTS, scores).predict(PROMPTS[:1])
    assert value[0] == pytest.approx(0.75)
    assert deviation[0] == pytest.approx(np.sqrt(0.75 * 0.25), rel=1e-6)


def test_a_class_of_one_still_gives_a_deviation(embedding):
    scores = np.ones(150)
    scores[3] = 0.0
    _, deviation = make_prior(embedding).fit(PROMPTS[:150], scores).predict(PROMPTS[150:])
    assert deviation[0] == pytest.approx(scores.std())


def test_each_prompt_passes_the_backbone_once(embedding):
    prior = make_prior(embedding, cache_size=170)
    expected, _ = prior.fit(PROMPTS[:150], SCORES[:150]).predict(PROMPTS[150:170])
    calls = []
    handle = embedding.register_forward_pre_hook(lambda module, arguments: calls.append(len(arguments[0])))
    try:
        again, _ = prior.fit(PROMPTS[:150], SCORES[:150]).predict(PROMPTS[150:170] * 2)
        assert sum(calls) == 0
        np.testing.assert_allclose(again, np.tile(expected, 2), atol=1e-9)
        prior.predict(PROMPTS[170:])
        assert sum(calls) == 30 and len(prior._cache) == 170
    finally:
        handle.remove()


def test_an_embedding_that_was_trained_has_other_features():
    embedding = make_embedding(seed=4)
    prior = make_prior(embedding)
    before, _ = prior.fit(PROMPTS[:150], SCORES[:150]).predict(PROMPTS[150:])
    stirred(embedding)
    after, _ = prior.fit(PROMPTS[:150], SCORES[:150]).predict(PROMPTS[150:])
    expected, _ = make_prior(embedding).fit(PROMPTS[:150], SCORES[:150]).predict(PROMPTS[150:])
    np.testing.assert_array_equal(after, expected)
    assert np.abs(after - before).max() > 0.01


def test_a_head_of_ones_own(embedding):
    def head(context, labels, queries):
        return torch.full((len(queries),), 2.0)

    value, _ = make_prior(embedding, head).fit(PROMPTS[:150], SCORES[:150]).predict(PROMPTS[150:])
    np.testing.assert_allclose(value, 1 / (1 + np.exp(-2.0)), rtol=1e-6)


def test_under_the_autocast_of_a_trainer(embedding):
    plain, _ = make_prior(embedding).fit(PROMPTS[:150], SCORES[:150]).predict(PROMPTS[150:])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, _ = make_prior(embedding).fit(PROMPTS[:150], SCORES[:150]).predict(PROMPTS[150:])
    np.testing.assert_allclose(found, plain, atol=0.02)  # the head's own arithmetic is the trainer's


def test_prompts_that_a_backbone_cannot_take_whole(tmp_path):
    save_backbone(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 8, "use_cache": True}))
    embedding = PromptEmbedding.from_pretrained(tmp_path)
    assert embedding.maximum_tokens == 8 and embedding.backbone.config.use_cache is False
    prompts = ["sum of two " * 50, "sum of two sum of two sum of", "a\ud83d b"]
    features = embedding(prompts)
    assert features.isfinite().all()
    assert torch.allclose(features[0], features[1], atol=1e-5)
    for name in ("batch_size", "maximum_tokens"):
        with pytest.raises(InvalidArgument, match=f"{name} must be at least 1, got 0"):
            PromptEmbedding.from_pretrained("nowhere", **{name: 0})


def test_a_cache_of_nothing(embedding):
    prior = make_prior(embedding, cache_size=0).fit(PROMPTS[:150], SCORES[:150])
    assert prior.predict(PROMPTS[:3])[0].shape == (3,)
    assert prior.predict([])[0].shape == prior.predict([])[1].shape == (0,)


def test_a_short_context_warns_with_the_reason(embedding):
    with pytest.warns(UserWarning, match="a context of 127 prompts is short.*near chance below 128"):
        make_prior(embedding).fit(PROMPTS[:127], SCORES[:127])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make_prior(embedding).fit(PROMPTS[:128], SCORES[:128])


@pytest.mark.parametrize(
    "prompts, scores, error, words",
    [
        ([], [], InvalidArgument, "context must not be empty"),
        (PROMPTS[:3], [1, 1, 0.5], InvalidArgument, "both sides of the midpoint.*3 all at or above it"),
        (PROMPTS[:2], [0, 0.1], InvalidArgument, "2 all below it"),
        (PROMPTS[:2], [0, 1.1], InvalidArgument, r"scores\[1\] must lie in \[0, 1\], got 1.1"),
        (PROMPTS[:2], [np.nan, 1], InvalidArgument, r"scores\[0\] must lie in \[0, 1\], got nan"),
        (PROMPTS[:2], [-np.inf, 1], InvalidArgument, r"scores\[0\] must lie in \[0, 1\], got -inf"),
        (PROMPTS[:2], [0, 1, 1], InvalidArgument, r"one entry per prompt, got shape \(3,\) for 2 prompts"),
        (PROMPTS[:2], ["a", "b"], ArgumentTypeError, "scores must be numbers"),
        ([PROMPTS[0], ""], [0, 1], InvalidArgument, r"prompts\[1\] must not be empty"),
        (PROMPTS[0], [0, 1], ArgumentTypeError, "prompts must be a sequence of strings"),
    ],
)
def test_bad_contexts_leave_the_old_one(embedding, prompts, scores, error, words):
    prior = make_prior(embedding).fit(PROMPTS[:150], SCORES[:150])
    before = prior.predict(PROMPTS[150:])
    with pytest.raises(error, match=words):
        quiet_fit(prior, prompts, scores)
    np.testing.assert_array_equal(prior.predict(PROMPTS[150:]), before)


def test_bad_arguments(embedding):
    with pytest.raises(InvalidArgument, match="call fit"):
        make_prior(embedding).predict(PROMPTS[:1])
    for reward_range in ((1, 0), (0, np.inf), (np.nan, 1)):
        with pytest.raises(InvalidArgument, match="reward_range must be finite with low < high"):
            make_prior(embedding, reward_range=reward_range)
    with pytest.raises(InvalidArgument, match="cache_size must be at least 0"):
        make_prior(embedding, cache_size=-1)
    with pytest.raises(ArgumentTypeError, match="head must be one of 'tabpfn', 'kernel'"):
        make_prior(embedding, "forest")


def test_embeddings_that_are_not_finite_leave_the_old_context(embedding):
    prior = make_prior(embedding, cache_size=0).fit(PROMPTS[:150], SCORES[:150])
    before = prior.predict(PROMPTS[150:160])
    weight = embedding.adapter_layer.proj_kv.weight
    handle = embedding.backbone.register_forward_hook(
        lambda module, arguments, output: output.__setitem__("last_hidden_state", output[0] * torch.nan)
    )
    try:
        for call in (lambda: prior.fit(PROMPTS[:150], SCORES[:150]), lambda: prior.predict(PROMPTS[150:160])):
            with pytest.raises(InvalidArgument, match="NaN or infinity"):
                call()
    finally:
        handle.remove()
    assert weight.isfinite().all()
    np.testing.assert_array_equal(prior.predict(PROMPTS[150:160]), before)


def test_kernel_head_equals_a_plain_ridge():
    generator = np.random.default_rng(0)
    context, queries = generator.normal(size=(20, 5)), generator.normal(size=(4, 5))
    labels = (context[:, 0] > 0.3).astype(int)
    found = KernelHead(ridge=0.7)(*map(torch.tensor, (context, labels, queries))).numpy()
    between = np.array([[np.sum((a - b) ** 2) for b in context] for a in context])
    scale = between.sum() / (20 * 19)
    share = labels.mean()
    weights = np.linalg.inv(np.exp(-between / (2 * scale)) + 0.7 * np.eye(20)) @ (labels - share)
    gain = [np.exp(-np.sum((query - context) ** 2, axis=1) / (2 * scale)) @ weights for query in queries]
    expected = np.log(share / (1 - share)) + np.array(gain) / (share * (1 - share))
    np.testing.assert_allclose(found, expected, atol=1e-10)


def test_kernel_head_of_a_context_without_differences():
    features = torch.ones(6, 3)
    log_odds = KernelHead()(features, torch.tensor([0, 1, 0, 1, 0, 1]), features[:2])
    torch.testing.assert_close(log_odds, torch.zeros(2), rtol=0, atol=1e-5)


def test_a_classifier_cannot_be_trained_through():
    features = torch.randn(8, 2, requires_grad=True)
    with pytest.raises(InvalidArgument, match="not differentiable"):
        ClassifierHead(linear_model.LogisticRegression)(features, torch.tensor([0, 1] * 4), features)


@pytest.fixture(scope="module")
def tabpfn(tmp_path_factory):
    return save_tabpfn(tmp_path_factory.mktemp("tabpfn") / "tabpfn-v2.5-classifier.ckpt")


def test_tabpfn_head_is_the_mean_of_its_estimators_and_differentiable(tabpfn):
    """tabpfn's own classes, from a file of its version 2.5 with random weights."""
    head = TabPFNHead(tabpfn, estimators=4)
    torch.manual_seed(0)
    for count in (30, 20):  # a second context, of another size, in the same head
        context = torch.randn(count, 1008, requires_grad=True)
        queries = torch.randn(5, 1008, requires_grad=True)
        labels = torch.arange(count) % 2
        log_odds = head(context, labels, queries)
        assert log_odds.shape == (5,) and log_odds.isfinite().all() and log_odds.std() > 0
        log_odds.sum().backward()
        assert context.grad.abs().sum() > 0 and queries.grad.abs().sum() > 0
    classifier = head._classifier
    with torch.no_grad():
        raw = classifier.forward(queries, use_inference_mode=True, return_raw_logits=True)
        raw = raw / classifier.softmax_temperature_
        torch.testing.assert_close(head(context, labels, queries), raw.mean(dim=0)[:, 1] - raw.mean(dim=0)[:, 0])
    assert raw.shape == (4, 5, 2) and (raw.std(dim=0) > 0).all()
    assert not any(
        parameter.requires_grad or parameter.grad is not None
        for model in classifier.models_
        for parameter in model.parameters()
    )


def test_every_estimator_sees_every_feature(tabpfn):
    head = TabPFNHead(tabpfn, estimators=3)
    torch.manual_seed(0)
    context, queries = torch.randn(20, 1008), torch.randn(3, 1008, requires_grad=True)
    head(context, torch.arange(20) % 2, queries)
    raw = head._classifier.forward(queries, use_inference_mode=True, return_raw_logits=True)
    for estimator in range(3):
        (gradient,) = torch.autograd.grad(raw[estimator].square().sum(), queries, retain_graph=True)
        assert (gradient.abs().sum(dim=0) > 0).all()


def test_the_official_way_in_from_files_to_values(tmp_path, tabpfn):
    folder = save_backbone(tmp_path / "backbone", PROMPTS)
    trained = stirred(make_embedding(PROMPTS, seed=3))
    torch.save({"epoch": 1, "model_state_dict": trained.state_dict()}, tmp_path / "v_0.pt")
    prior = V0Prior.from_pretrained(tmp_path / "v_0.pt", str(folder), tabpfn)
    quiet_fit(prior, PROMPTS[:40], SCORES[:40])
    value, deviation = prior.predict(PROMPTS[40:45])
    assert ((value > 0) & (value < 1)).all() and value.std() > 0 and deviation[0] > 0
    context, queries = (trained(prompts).detach() for prompts in (PROMPTS[:40], PROMPTS[40:45]))
    log_odds = TabPFNHead(tabpfn)(context, torch.tensor(SCORES[:40] >= 0.5).long(), queries)
    np.testing.assert_allclose(value, torch.sigmoid(log_odds).numpy(), atol=1e-4)


def test_tabpfn_without_a_file():
    pytest.importorskip("tabpfn", reason="the official head needs tabpfn")
    for model in (None, "absent.ckpt"):
        with pytest.raises(InvalidArgument, match="tabpfn_model must be the file of a TabPFN classifier"):
            make_head("tabpfn", model)


def test_a_fit_that_fails_after_training_leaves_context_and_features_of_one_model(embedding, monkeypatch):
    prior = make_prior(stirred(make_embedding(PROMPTS))).fit(PROMPTS[:150], SCORES[:150])
    before = vars(prior).copy()
    with torch.no_grad():
        next(prior.embedding.parameters()).add_(0.5)
    monkeypatch.setattr(prior, "_cross_fitted_deviation", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        prior.fit(PROMPTS[:150], SCORES[:150])
    assert all(vars(prior)[name] is before[name] for name in ("_cache", "_weights", "_context", "_deviation"))


@pytest.mark.parametrize("fused", [False, True])
def test_features_are_those_of_the_weights_whatever_optimizer_trained_them(fused):
    """A fused one does not count the versions of tensors."""
    prior = make_prior(stirred(make_embedding(PROMPTS)))
    quiet_fit(prior, PROMPTS[:60], SCORES[:60])
    before = prior.predict(PROMPTS[60:80])[0]
    optimizer = torch.optim.AdamW(prior.embedding.adapter_layer.parameters(), lr=0.05, fused=fused)
    for _ in range(3):
        optimizer.zero_grad()
        prior.embedding(PROMPTS[:8]).square().sum().backward()
        optimizer.step()
    quiet_fit(prior, PROMPTS[:60], SCORES[:60])
    anew = quiet_fit(make_prior(prior.embedding), PROMPTS[:60], SCORES[:60])
    found = prior.predict(PROMPTS[60:80])[0]
    np.testing.assert_allclose(found, anew.predict(PROMPTS[60:80])[0], atol=1e-6)
    assert np.abs(found - before).max() > 1e-4


def test_a_row_that_is_kept_keeps_no_other(embedding):
    prior = make_prior(embedding, cache_size=10)
    quiet_fit(prior, PROMPTS[:40], SCORES[:40])
    prior.predict(PROMPTS)
    assert len(prior._cache._rows) == 10 and all(row.base is None for row in prior._cache._rows.values())


def test_an_error_in_the_first_fit_of_tabpfn_leaves_it_to_be_done(tabpfn, embedding, monkeypatch):
    with torch.no_grad():
        context, queries = embedding(PROMPTS[:40]), embedding(PROMPTS[40:44])
    labels = torch.tensor(SCORES[:40] >= 0.5).long()
    expected = TabPFNHead(tabpfn)(context, labels, queries)
    head = TabPFNHead(tabpfn)
    fit, classifier = head._classifier.fit_with_differentiable_input, head._classifier

    def fails(*arguments):
        fit(*arguments)
        raise torch.OutOfMemoryError("on a GPU that others use, too")

    monkeypatch.setattr(classifier, "fit_with_differentiable_input", fails)
    with pytest.raises(torch.OutOfMemoryError):
        head(context, labels, queries)
    monkeypatch.undo()
    torch.testing.assert_close(head(context, labels, queries), expected)
    assert not any(weight.requires_grad for model in classifier.models_ for weight in model.parameters())
