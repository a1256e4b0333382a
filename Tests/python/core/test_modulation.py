"""Token-level modulation of advantages: against numpy in float64, odd tokens, bad input, numpy and torch."""

import re

import numpy as np
import pytest
import v05

DEFAULTS = dict(alpha=0.2, floor=0.6, steepness=50.0, threshold=0.99, clip_low=0.2, clip_high=0.2)
SECOND = dict(DEFAULTS, alpha=0.4, threshold=0.9)
NAMES = ("advantages", "entropy", "log_prob", "old_log_prob", "mask")


def tokens(seed, sequences, length, dtype=np.float64):
    """Arrays of a call; what the mask leaves out is NaN or infinite, its advantages aside."""
    generator = np.random.default_rng(seed)
    shape = (sequences, length)
    log_prob = -generator.exponential(0.7, shape)
    arrays = dict(
        advantages=generator.normal(size=shape),
        entropy=generator.exponential(0.6, shape),
        log_prob=log_prob,
        old_log_prob=log_prob + generator.normal(0, 0.2, shape),
    )
    mask = generator.random(shape) < 0.8
    for name in ("entropy", "log_prob", "old_log_prob"):
        arrays[name][~mask] = generator.choice([np.nan, np.inf, -np.inf], (~mask).sum())
    return {name: array.astype(dtype) for name, array in arrays.items()} | {"mask": mask}


def reference(
    advantages, entropy, log_prob, old_log_prob, mask, *, alpha, floor, steepness, threshold, clip_low, clip_high
):
    """Method section 8, sequence by sequence, in float64; also the factors and |dH| of the tokens that count."""
    a, h, now, old = (np.asarray(x, dtype=np.float64) for x in (advantages, entropy, log_prob, old_log_prob))
    mask = np.asarray(mask, dtype=bool)
    a = np.broadcast_to(a[:, None], h.shape) if a.ndim == 1 else a
    change = np.zeros(h.shape)
    for row in range(len(h)):
        counts = np.flatnonzero(mask[row])
        if not counts.size:
            continue
        ratio, q = np.zeros(len(counts)), np.zeros(len(counts))
        for place, token in enumerate(counts):
            if now[row, token] > -np.inf:
                ratio[place] = np.exp(min(now[row, token] - old[row, token], 20.0))
                q[place] = np.exp(now[row, token]) * (now[row, token] + h[row, token])
        own = a[row, counts]
        indicator = ((own > 0) & (ratio <= 1 + clip_high)) | ((own < 0) & (ratio >= 1 - clip_low))
        change[row, counts] = np.abs(-(indicator * ratio * own) * (q - q.mean()))
    result = np.where(np.isfinite(a), a, 0.0)
    if not mask.any():
        return result
    share = change[mask] / (change[mask].max() + 1e-8)
    stabilization = floor + (1 - floor) / (1 + np.exp(steepness * (share - threshold)))
    gain = alpha * (h[mask].max() - h[mask]) / (h[mask].max() - h[mask].min() + 1e-8)
    result[mask] = a[mask] * np.where(a[mask] > 0, 1 + gain, 1) * stabilization
    return result


@pytest.mark.parametrize(
    "settings", [DEFAULTS, SECOND, dict(DEFAULTS, steepness=5.0, floor=0, threshold=0.1, clip_low=1.0)]
)
@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (3, 5), (2, 67), (40, 333)])
def test_equals_numpy(shape, settings):
    given = tokens(sum(shape), *shape)
    found = v05.modulate_advantages(**given, **settings)
    assert found.dtype == np.float64 and found.shape == shape
    np.testing.assert_allclose(found, reference(**given, **settings), rtol=1e-12, atol=1e-12)
    one_each = given | {"advantages": given["advantages"][:, 0]}
    found = v05.modulate_advantages(**one_each, **settings)
    np.testing.assert_allclose(found, reference(**one_each, **settings), rtol=1e-12, atol=1e-12)
    single = tokens(sum(shape), *shape, np.float32)
    found = v05.modulate_advantages(**single, **settings)
    assert found.dtype == np.float32
    # Single precision moves x by 1e-7, and a steepness of 50 that by 1e-5 at most.
    np.testing.assert_allclose(found, reference(**single, **settings), rtol=1e-5, atol=1e-6)


def test_defaults_are_those_of_the_paper():
    given = tokens(1, 8, 40)
    assert (v05.modulate_advantages(**given) == v05.modulate_advantages(**given, **DEFAULTS)).all()


def test_masked_tokens_are_untouched():
    given = tokens(2, 6, 30)
    found = v05.modulate_advantages(**given)
    left_out = ~given["mask"]
    assert (found[left_out] == given["advantages"][left_out]).all() and np.isfinite(found).all()
    given["advantages"][left_out] = np.nan
    again = v05.modulate_advantages(**given)
    assert (again[left_out] == 0).all() and (again[~left_out] == found[~left_out]).all()
    for mask in (given["mask"].astype(np.int64), given["mask"].astype(np.float32), given["mask"].tolist()):
        assert (v05.modulate_advantages(**given | {"mask": mask}) == again).all()


def test_no_token_counts():
    given = tokens(3, 4, 9) | {"mask": np.zeros((4, 9), bool)}
    found, statistics = v05.modulate_advantages(**given, statistics=True)
    assert (found == given["advantages"]).all()
    assert (statistics.token_count, statistics.clipped, statistics.compensation, statistics.stabilization) == (
        0,
        0,
        1,
        1,
    )
    assert np.isnan(statistics.smallest_entropy) and np.isnan(statistics.largest_entropy)
    for shape in ((0, 5), (3, 0)):
        empty = dict.fromkeys(NAMES, np.zeros(shape))
        assert v05.modulate_advantages(**empty).shape == shape


def test_a_single_token():
    """Its q is the mean, its entropy is smallest and largest: nothing changes but by the tail of the sigmoid."""
    found = v05.modulate_advantages([[2.0]], [[0.7]], [[-0.3]], [[-0.2]], [[True]])
    tail = 0.6 + 0.4 / (1 + np.exp(-50 * 0.99))
    assert found.tolist() == [[2 * tail]]


def test_equal_entropies_and_zero_advantages():
    given = tokens(4, 5, 20) | {"entropy": np.full((5, 20), 0.5)}
    given["advantages"][0] = 0
    found, statistics = v05.modulate_advantages(**given, statistics=True)
    assert statistics.compensation == 1 and (found[0] == 0).all()
    np.testing.assert_allclose(found, reference(**given, **DEFAULTS), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "now, old", [(-np.inf, -1.0), (-np.inf, -np.inf), (-1.0, -np.inf), (-1e5, -1e5), (-200.0, -1.0), (0.0, -90.0)]
)
@pytest.mark.parametrize("sign", [-1, 1])
def test_extreme_log_probabilities(now, old, sign, dtype):
    given = tokens(5, 3, 8, dtype)
    given["mask"][1, 2] = True
    given["entropy"][1, 2], given["log_prob"][1, 2], given["old_log_prob"][1, 2] = 1.0, now, old
    given["advantages"][1, 2] = sign
    found = v05.modulate_advantages(**given)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(
        found, reference(**given, **DEFAULTS), rtol=1e-12 if dtype == np.float64 else 1e-5, atol=1e-30
    )


def test_statistics():
    given = tokens(6, 12, 50)
    a, mask = given["advantages"], given["mask"]
    result, found = v05.modulate_advantages(**given, statistics=True)
    with np.errstate(all="ignore"):
        ratio = np.exp(given["log_prob"] - given["old_log_prob"])
        outside = mask & (((a > 0) & (ratio > 1.2)) | ((a < 0) & (ratio < 0.8)))
    assert found.token_count == mask.sum() and found.clipped == pytest.approx(outside.sum() / mask.sum())
    negative = mask & (a < 0)
    assert found.compensation > 1 and 0.6 < found.stabilization <= 1
    factors = result[mask] / a[mask]
    assert factors[negative[mask]].min() >= 0.6 - 1e-12
    assert factors.mean() == pytest.approx(found.compensation * found.stabilization, rel=0.01)
    assert (found.smallest_entropy, found.largest_entropy) == (
        given["entropy"][mask].min(),
        given["entropy"][mask].max(),
    )
    assert found.largest_change > 0


def test_kinds_of_arrays():
    given = {name: array[:, ::-1] for name, array in tokens(7, 4, 10).items()}  # not contiguous
    expected = v05.modulate_advantages(**given)
    listed = v05.modulate_advantages(**{name: array.tolist() for name, array in given.items()})
    assert (listed == expected).all() and listed.dtype == np.float64
    half = v05.modulate_advantages(**given | {"advantages": given["advantages"].astype(np.float16)})
    assert half.dtype == np.float16
    np.testing.assert_allclose(half, expected, rtol=1e-2, atol=1e-2)


VALUE, TYPE = v05.InvalidArgument, v05.ArgumentTypeError
BAD = {
    "NaN entropy": (
        lambda g: g["entropy"].__setitem__((1, 2), np.nan),
        VALUE,
        "entropy[7] must be at most 1e30 in absolute value where mask counts it, got nan (sequence 1, token 2)",
    ),
    "infinite entropy": (lambda g: g["entropy"].__setitem__((0, 0), np.inf), VALUE, "entropy[0] must be at most 1e30"),
    "NaN log_prob": (
        lambda g: g["log_prob"].__setitem__((2, 4), np.nan),
        VALUE,
        "log_prob[14] must be a log-probability (1 at most) where mask counts it, got nan (sequence 2, token 4)",
    ),
    "a probability": (
        lambda g: g["log_prob"].__setitem__((0, 1), 1.25),
        VALUE,
        "log_prob[1] must be a log-probability",
    ),
    "NaN old_log_prob": (lambda g: g["old_log_prob"].__setitem__((0, 1), np.nan), VALUE, "old_log_prob[1] must be"),
    "infinite advantage": (
        lambda g: g["advantages"].__setitem__((1, 0), -np.inf),
        VALUE,
        "advantages[5] must be at most 1e30 in absolute value where mask counts it, got -inf (sequence 1, token 0)",
    ),
    "infinite advantage of a sequence": (
        lambda g: g.update(advantages=np.array([1, np.inf, 1])),
        VALUE,
        "advantages[1] must be at most 1e30 in absolute value where mask counts it, got inf (sequence 1)",
    ),
    "shape of entropy": (
        lambda g: g.update(entropy=np.zeros(5)),
        VALUE,
        "entropy must have two dimensions (sequences, tokens), got shape (5,)",
    ),
    "shape of log_prob": (
        lambda g: g.update(log_prob=np.zeros((3, 4))),
        VALUE,
        "log_prob must have the shape of entropy (3, 5), got (3, 4)",
    ),
    "shape of mask": (
        lambda g: g.update(mask=np.ones(3)),
        VALUE,
        "mask must have the shape of entropy (3, 5), got (3,)",
    ),
    "shape of advantages": (
        lambda g: g.update(advantages=np.zeros(5)),
        VALUE,
        "advantages must have shape (3, 5) or (3,), got (5,)",
    ),
    "mask of numbers": (lambda g: g.update(mask=np.full((3, 5), 2)), VALUE, "mask must be booleans, or 0 and 1, got 2"),
    "mask of text": (lambda g: g.update(mask=np.full((3, 5), "1")), TYPE, "mask must be booleans, got dtype <U1"),
    "text": (lambda g: g.update(entropy=np.full((3, 5), "1")), TYPE, "entropy must be numbers, got dtype <U1"),
    "alpha": (lambda g: g.update(alpha=-1), VALUE, "alpha must lie in [0, 1e6], got -1"),
    "floor": (lambda g: g.update(floor=np.nan), VALUE, "floor must lie in [0, 1], got nan"),
    "steepness": (lambda g: g.update(steepness=np.inf), VALUE, "steepness must be finite and not negative, got inf"),
    "threshold": (lambda g: g.update(threshold="x"), TYPE, "threshold must be a number, got 'x'"),
    "clip_low": (lambda g: g.update(clip_low=1.5), VALUE, "clip_low must lie in [0, 1], got 1.5"),
    "clip_high": (lambda g: g.update(clip_high=-0.1), VALUE, "clip_high must be finite and not negative, got -0.1"),
}


def bad_call(change):
    given = dict(tokens(8, 3, 5), mask=np.ones((3, 5), bool))
    for name in ("entropy", "log_prob", "old_log_prob"):
        given[name] = np.where(np.isfinite(given[name]), given[name], -0.5)
    change(given)
    return given


@pytest.mark.parametrize("change, kind, message", BAD.values(), ids=BAD)
def test_bad_input(change, kind, message):
    given = bad_call(change)
    with pytest.raises(kind, match=re.escape(message)) as caught:
        v05.modulate_advantages(**given)
    assert type(caught.value) is kind


# torch: on the CPU the core, elsewhere operations of torch, which the CPU can also do.


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="torch is not installed")


@pytest.fixture
def by_torch(torch, monkeypatch):
    """As if the tensors were on another device."""
    monkeypatch.setattr("v05._core.modulation._fits_core", lambda given: False)


def tensors(torch, given, dtype=None):
    found = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in given.items()}
    return {name: value if name == "mask" or dtype is None else value.to(dtype) for name, value in found.items()}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("settings", [DEFAULTS, SECOND])
def test_torch_on_the_cpu_is_the_core(torch, dtype, settings):
    given = tokens(9, 7, 33, dtype)
    found = v05.modulate_advantages(**tensors(torch, given), **settings)
    assert found.dtype == torch.from_numpy(given["advantages"]).dtype
    assert (found.numpy() == v05.modulate_advantages(**given, **settings)).all()


@pytest.mark.parametrize("dtype, close", [(np.float32, 1e-6), (np.float64, 1e-12)])
@pytest.mark.parametrize("settings", [DEFAULTS, SECOND])
@pytest.mark.parametrize("shape", [(1, 1), (7, 33), (40, 333)])
def test_torch_operations_give_the_same_numbers(torch, by_torch, dtype, close, settings, shape):
    given = tokens(10, *shape, dtype)
    if shape[1] > 4:
        given["mask"][0, :3] = True
        given["entropy"][0, :3] = 1
        given["log_prob"][0, :3], given["old_log_prob"][0, :3] = (-np.inf, -np.inf, -1), (-1, -np.inf, -np.inf)
    for advantages in (given["advantages"], given["advantages"][:, 0]):
        changed = given | {"advantages": advantages}
        expected, counted = v05.modulate_advantages(**changed, **settings, statistics=True)
        found, statistics = v05.modulate_advantages(**tensors(torch, changed), **settings, statistics=True)
        np.testing.assert_allclose(found.numpy(), expected, rtol=close, atol=close)
        for name in ("token_count", "clipped", "compensation", "stabilization", "smallest_entropy", "largest_entropy"):
            assert getattr(statistics, name) == pytest.approx(getattr(counted, name), rel=1e-5, nan_ok=True)
        assert statistics.largest_change == pytest.approx(counted.largest_change, rel=1e-5)


@pytest.mark.parametrize("name", ["bfloat16", "float16"])
def test_half_precision(torch, name):
    dtype = getattr(torch, name)
    given = tensors(torch, tokens(11, 5, 40), dtype)
    found = v05.modulate_advantages(**given)
    assert found.dtype == dtype
    exact = v05.modulate_advantages(**{key: value if key == "mask" else value.float() for key, value in given.items()})
    torch.testing.assert_close(found, exact.to(dtype))


@pytest.mark.parametrize("elsewhere", [False, True])
def test_no_gradient_flows(torch, elsewhere, monkeypatch):
    if elsewhere:
        monkeypatch.setattr("v05._core.modulation._fits_core", lambda given: False)
    given = tensors(torch, tokens(12, 3, 10))
    log_prob = torch.where(given["mask"], given["log_prob"], -1.0).requires_grad_()
    entropy = torch.where(given["mask"], given["entropy"], 1.0).requires_grad_()
    found = v05.modulate_advantages(given["advantages"], entropy, log_prob, given["old_log_prob"], given["mask"])
    assert not found.requires_grad
    (found * (2 * log_prob)).sum().backward()
    assert torch.equal(log_prob.grad, 2 * found) and entropy.grad is None


def test_torch_operations_of_nothing(torch, by_torch):
    given = tensors(torch, tokens(13, 4, 9) | {"mask": np.zeros((4, 9), bool)})
    found, statistics = v05.modulate_advantages(**given, statistics=True)
    assert torch.equal(found, given["advantages"]) and statistics.token_count == 0
    empty = {name: torch.zeros(3, 0) for name in NAMES}
    assert v05.modulate_advantages(**empty).shape == (3, 0)


@pytest.mark.parametrize("change, kind, message", BAD.values(), ids=BAD)
def test_bad_input_of_torch_operations(torch, by_torch, change, kind, message):
    given = bad_call(change)
    if kind is TYPE and "number, got" not in message:
        pytest.skip("not a tensor")
    given = {name: torch.from_numpy(value) if isinstance(value, np.ndarray) else value for name, value in given.items()}
    with pytest.raises(kind, match=re.escape(message.split(" (sequence")[0].partition("[")[0].split(" must")[0])):
        v05.modulate_advantages(**given)


def test_kinds_must_not_be_mixed(torch):
    given = tokens(14, 2, 3)
    with pytest.raises(TYPE, match="entropy must be a tensor as advantages is, got ndarray"):
        v05.modulate_advantages(**given | {"advantages": torch.from_numpy(given["advantages"])})


def test_a_device(torch):
    if not torch.cuda.is_available():
        pytest.skip("there is no CUDA device")
    given = tensors(torch, tokens(15, 16, 200, np.float32))
    found = v05.modulate_advantages(**{name: value.cuda() for name, value in given.items()})
    assert found.is_cuda
    torch.testing.assert_close(found.cpu(), v05.modulate_advantages(**given), rtol=1e-5, atol=1e-6)
