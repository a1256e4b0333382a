"""Kinds, dtypes, layouts and devices of every argument; what comes back is as the rewards are."""

import copy

import numpy as np
import pytest
import v05

REWARDS = [1, 0, 1, 1, 0, 0, 1, 0]
GROUPS = [7, 3, 7, 3, 7, 3, 7, 3]
PRIOR = [0.25, 0.75] * 4
# V_0.5 with k = 4, noise = 1/16. Group 7: m = 3/4, V = 1/4, D = 1/4, w = 3/4, b = 5/8. Group 3 is its mirror image.
BASELINES = [0.625, 0.375]
EXPECTED = np.array(REWARDS) - np.tile(BASELINES, 4)

FLOATS = ["float16", "float32", "float64", "longdouble"]
OTHERS = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]


def advantages(rewards, groups=GROUPS, prior=PRIOR, **options):
    return v05.advantages(rewards, groups, prior, **options)


def assert_expected(result, kind=np.ndarray, dtype=None):
    assert type(result) is kind
    if dtype is not None:
        assert result.dtype == dtype
    np.testing.assert_array_equal(np.asarray(result, dtype=np.float64), EXPECTED)  # exact in half precision too


# Rewards.


@pytest.mark.parametrize("kind", [list, tuple])
@pytest.mark.parametrize("element", [int, float, bool, np.float32, np.int64])
def test_sequences_give_lists_of_floats(kind, element):
    rewards = kind(map(element, REWARDS))
    result = advantages(rewards)
    assert_expected(result, list)
    assert {type(value) for value in result} == {float}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("order", ["<", ">"])
def test_floating_dtypes_are_kept(dtype, order):
    dtype = np.dtype(dtype).newbyteorder(order)
    assert_expected(advantages(np.array(REWARDS, dtype=dtype)), dtype=dtype)


@pytest.mark.parametrize("dtype", OTHERS)
@pytest.mark.parametrize("order", ["<", ">"])
def test_integers_and_booleans_give_float64(dtype, order):
    assert_expected(advantages(np.array(REWARDS, dtype=np.dtype(dtype).newbyteorder(order))), dtype=np.float64)


def strided(array):
    return np.repeat(array, 3)[::3]


def reversed_twice(array):
    return array[::-1].copy()[::-1]


def column(array):
    return np.stack([array, array + 1], axis=1)[:, 0]


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def unaligned(array):
    memory = np.zeros(array.nbytes + 1, np.uint8)
    memory[1:] = array.view(np.uint8)
    return memory[1:].view(array.dtype)


@pytest.mark.parametrize("layout", [strided, reversed_twice, column, read_only, unaligned])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int64"])
def test_layouts(layout, dtype):
    rewards = layout(np.array(REWARDS, dtype=dtype))
    groups, prior, mask = layout(np.array(GROUPS)), layout(np.array(PRIOR)), layout(np.ones(8, np.uint8))
    before = copy.deepcopy((rewards, groups, prior, mask))
    assert_expected(advantages(rewards, groups, prior, mask=mask))
    for array, old in zip((rewards, groups, prior, mask), before):
        np.testing.assert_array_equal(array, old)


@pytest.mark.parametrize("empty", [[], (), np.zeros(0), np.zeros(0, np.float32), np.zeros(0, np.int64)])
def test_empty_batch(empty):
    result = v05.advantages(empty, [])
    assert len(result) == 0 and type(result) is (np.ndarray if isinstance(empty, np.ndarray) else list)
    assert getattr(result, "dtype", None) != np.float64 or empty.dtype != np.float32
    estimate = v05.estimate(empty, np.zeros(0, np.int64), {}, rule="calibrated", scale="batch", leave_one_out=True)
    assert len(estimate) == 0 and estimate.rule == "v05"


@pytest.mark.parametrize("rewards", [1.0, np.float64(1), np.zeros((2, 4)), np.zeros(())], ids=repr)
def test_rewards_have_one_dimension(rewards):
    with pytest.raises(v05.InvalidArgument, match=r"rewards must have one dimension .*, got shape \("):
        advantages(rewards)


@pytest.mark.parametrize("dtype", ["O", "c16", "c8", "U3", "S3", "M8[s]", "m8[s]", "V4"])
def test_rewards_are_numbers(dtype):
    with pytest.raises(v05.ArgumentTypeError, match="rewards must be numbers, got dtype"):
        advantages(np.zeros(8, dtype=dtype))


@pytest.mark.parametrize(
    "rewards", [[1, 0, None, 1, 0, 0, 1, 0], ["1"] * 8, None, {1: 2}, iter(REWARDS), "10110010", [[1], [2, 3]]]
)
def test_other_kinds_of_rewards(rewards):
    with pytest.raises(v05.ArgumentTypeError, match="rewards must be"):
        advantages(rewards)


def test_objects_with_the_array_protocol_give_arrays():
    assert_expected(advantages(memoryview(np.array(REWARDS, dtype=float))))


# Groups.


@pytest.mark.parametrize("dtype", [*OTHERS, ">i4"])
def test_integer_groups(dtype):
    groups = np.array(GROUPS, dtype=dtype) if dtype != "bool" else np.array(GROUPS) == 7
    estimate = v05.estimate(np.array(REWARDS), groups, PRIOR)
    assert_expected(estimate.advantages)
    assert estimate.groups.tolist() == ([1, 0] if dtype == "bool" else [7, 3])


def test_extreme_integer_groups():
    low, high = -(2**63), 2**63 - 1
    signed = v05.estimate([1, 0, 1], np.array([high, low, high]))
    assert signed.groups.tolist() == [high, low] and signed.groups.dtype == np.int64
    unsigned = v05.estimate([1, 0, 1], np.array([2**64 - 1, 0, 2**64 - 1], np.uint64))
    assert unsigned.groups.tolist() == [2**64 - 1, 0] and unsigned.groups.dtype == np.uint64
    assert v05.estimate([1, 0], [2**70, -(2**70)]).groups.tolist() == [2**70, -(2**70)]


class Ident:
    """Hashable like any object: by identity."""


HASHABLES = {
    "strings": ["b3d2", "a17"],
    "bytes": [b"7", b"3"],
    "tuples": [("a", 1), ("a", 2)],
    "tuples of one": [(1,), (2,)],
    "mixed": [None, frozenset([1])],
    "mixed lengths": [("a",), "b"],
    "objects": [Ident(), Ident()],
    "booleans": [True, False],
}


def generator(groups):
    yield from groups


@pytest.mark.parametrize("kind", [list, tuple, iter, generator])
@pytest.mark.parametrize("ids", HASHABLES.values(), ids=HASHABLES)
def test_hashable_groups(ids, kind):
    groups = [ids[0] if group == 7 else ids[1] for group in GROUPS]
    estimate = v05.estimate(np.array(REWARDS), kind(groups), dict(zip(ids, [0.25, 0.75])))
    assert_expected(estimate.advantages)
    assert estimate.groups.shape == (2,) and estimate.groups.dtype == object
    assert list(estimate.groups) == ids


@pytest.mark.parametrize("dtype", [object, "U4", "S4"])
def test_arrays_of_hashables(dtype):
    ids = np.array(["7" if group == 7 else "3" for group in GROUPS], dtype=dtype)
    estimate = v05.estimate(np.array(REWARDS), ids, {ids[0]: 0.25, ids[1]: 0.75})
    assert_expected(estimate.advantages)
    assert estimate.groups.tolist() == [ids[0], ids[1]]


@pytest.mark.parametrize("kind", [np.ndarray.tolist, np.ndarray.copy, lambda labels: labels.astype(str)])
@pytest.mark.parametrize("sizes", [[3, 3, 3], [1, 1, 1], [2, 2, 1], [1, 2, 2], [2, 1, 3], [4], [1]])
def test_runs_of_the_same_string(sizes, kind):
    labels = np.array([f"uid {run}" for run in range(len(sizes))], object)
    found = v05.estimate(np.zeros(sum(sizes)), kind(labels.repeat(sizes)))
    assert found.groups.tolist() == labels.tolist() and found.count.tolist() == sizes
    assert found.row_group.tolist() == np.repeat(np.arange(len(sizes)), sizes).tolist()


@pytest.mark.parametrize("sizes", [[2, 2, 2], [1, 3, 2]])
def test_equal_strings_are_a_group_wherever_they_lie(sizes):
    first, again = ("".join(["uid ", number]) for number in "77")
    assert first is not again
    found = v05.estimate(np.zeros(6), np.array([first, "uid 8", again], object).repeat(sizes))
    assert found.groups.tolist() == ["uid 7", "uid 8"]
    assert found.row_group.tolist() == np.repeat([0, 1, 0], sizes).tolist()


def test_integers_of_python_are_int64():
    estimate = v05.estimate(np.array(REWARDS), GROUPS, PRIOR)
    assert estimate.groups.dtype == np.int64 and estimate.groups.tolist() == [7, 3]
    assert v05.estimate([], []).groups.dtype == np.int64


@pytest.mark.parametrize("groups", [GROUPS[:-1], GROUPS + [7], [], np.array(GROUPS[:-1]), iter(GROUPS[:-1])])
def test_one_group_a_reward(groups):
    with pytest.raises(v05.InvalidArgument, match=r"groups must have one entry per reward, got \d for 8 rewards"):
        advantages(REWARDS, groups)


WRONG_GROUPS = {
    "floats in an array": np.array(GROUPS, dtype=float),
    "floats in a list": [float(group) for group in GROUPS],
    "numpy floats in a list": list(np.array(GROUPS, dtype=np.float32)),
    "missing ids": ["a", float("nan")] * 4,
    "complex": np.array(GROUPS, dtype=complex),
    "2-D": np.array([GROUPS]),
    "0-D": np.array(7),
    "2-D strings": np.array([["a"]] * 8),
    "a float behind strings": ["", "a", "b", 3.0] * 2,
    "unhashable": [[7], [3]] * 4,
    "string": "73737373",
    "dict": dict.fromkeys(range(8)),
    "number": 7,
    "none": None,
}


@pytest.mark.parametrize("groups", WRONG_GROUPS.values(), ids=WRONG_GROUPS)
def test_wrong_groups(groups):
    with pytest.raises(v05.ArgumentTypeError, match="groups must"):
        advantages(REWARDS, groups)


# Priors.


def priors(prior, groups=GROUPS):
    return v05.estimate(REWARDS, groups, prior).prior.tolist()


@pytest.mark.parametrize(
    "prior", [0.5, np.float32(0.5), np.float16(0.5), np.array(0.5), np.array([0.5] * 8, "f2"), (0.5,) * 8]
)
def test_one_prior_for_all(prior):
    assert priors(prior) == [0.5, 0.5]


@pytest.mark.parametrize("dtype", ["float16", "float32", ">f8", "longdouble", "object"])
def test_prior_by_row(dtype):
    assert priors(np.array(PRIOR, dtype=dtype)) == [0.25, 0.75]


@pytest.mark.parametrize("dtype", ["bool", "int64", "uint8"])
def test_prior_of_integers(dtype):
    assert priors(np.array([0, 1] * 4, dtype=dtype)) == [0, 1]


@pytest.mark.parametrize("prior", [None, float("nan"), {}, [None] * 8, [np.nan] * 8, {7: None}, {"7": 0.5}])
def test_no_prior(prior):
    assert np.isnan(priors(prior)).all()


@pytest.mark.parametrize("groups", [GROUPS, np.array(GROUPS), np.array(GROUPS, np.uint8), tuple(GROUPS)])
def test_prior_by_group(groups):
    found = priors({3: 0.75, 9: 55.0}, groups)
    assert np.isnan(found[0]) and found[1] == 0.75
    assert priors({7: np.float32(0.25), 3: 1}, groups) == [0.25, 1]


def test_prior_with_gaps():
    found = priors([None, 0.75] * 4)
    assert np.isnan(found[0]) and found[1] == 0.75


def test_prior_of_masked_rows_is_not_looked_at():
    estimate = v05.estimate([1, 0, 5], [0, 0, 0], [0.5, 0.5, 99.0], mask=[1, 1, 0])
    assert estimate.prior.tolist() == [0.5]


UIDS = ["a" if group == 7 else "b" for group in GROUPS]
OWN_IDS = {
    "integers": (np.array(GROUPS), "3"),
    "unsigned": (np.array([2**64 - 1 if group == 3 else 7 for group in GROUPS], np.uint64), "18446744073709551615"),
    "list": (GROUPS, "3"),
    "uids": (UIDS, "'b'"),
    "array of uids": (np.array(UIDS), "'b'"),
    "tuples": ([(uid, 0) for uid in UIDS], r"\('b', 0\)"),
}


@pytest.mark.parametrize("groups, label", OWN_IDS.values(), ids=OWN_IDS)
def test_errors_name_the_callers_own_group(groups, label):
    prior = [0.25, 0.75] * 3 + [0.25, 0.5]
    with pytest.raises(v05.InvalidArgument, match=rf"prior\[7\] must be .*, got 0.75 and 0.5 \(group {label}\)"):
        v05.advantages(REWARDS, groups, prior)
    with pytest.raises(v05.InvalidArgument, match=rf"prior\[1\] must .*\[0, 1\], got 1.5 \(group {label}\)"):
        v05.advantages(REWARDS, groups, [0.25, 1.5] * 4)


WRONG_PRIORS = [
    "x",
    "0.5",
    b"0.5",
    ["0.5"] * 8,
    1j,
    [1j] * 8,
    np.zeros(8, "M8[s]"),
    object(),
    {7: "x"},
    {7: 1j},
    {7: [1], 3: 0},
    iter(PRIOR),
    {1, 2},
    10**400,
]


@pytest.mark.parametrize("prior", WRONG_PRIORS, ids=lambda prior: repr(prior)[:20])
def test_prior_is_numbers(prior):
    with pytest.raises(v05.ArgumentTypeError, match="prior must be"):
        advantages(REWARDS, prior=prior)


@pytest.mark.parametrize("prior", [[], [0.5] * 7, [[0.5] * 8], {7: [1], 3: [0]}], ids=repr)
def test_shape_of_the_prior(prior):
    with pytest.raises(v05.InvalidArgument, match=r"prior must be a number, a dict .*, got shape \(.* for 8 rewards"):
        advantages(REWARDS, prior=prior)


# Strengths of priors are laid out like priors.


@pytest.mark.parametrize(
    "strength",
    [4, 4.0, [4] * 8, {7: 4, 3: 4}, np.full(8, 4, np.uint8), np.full(16, 4, np.float16)[::2], np.array(4), (4,) * 8],
)
def test_kinds_of_strengths(strength):
    estimate = v05.estimate(REWARDS, GROUPS, PRIOR, prior_strength=strength, rule="discounted_beta")
    assert estimate.weight.tolist() == [0.5, 0.5]
    assert estimate.baseline.tolist() == [0.5, 0.5]


def test_strength_from_torch():
    torch = pytest.importorskip("torch")
    for strength in (torch.tensor(4), torch.full((8,), 4).bfloat16(), torch.full((8,), 4.0, requires_grad=True)):
        estimate = v05.estimate(REWARDS, GROUPS, PRIOR, prior_strength=strength, rule="discounted_beta")
        assert estimate.weight.tolist() == [0.5, 0.5]


def test_strengths_are_not_in_reward_units():
    """What half precision rounds near an end of the range is no end of the range here."""
    strength = np.full(8, 100, np.float16)
    rewards, options = np.array(REWARDS) * 100.01, dict(reward_range=(0, 100.01), rule="discounted_beta")
    found = v05.estimate(rewards, GROUPS, 50, prior_strength=strength, **options)
    assert found.weight.tolist() == [4 / 104] * 2


# Masks.

MASK = [1, 1, 0, 1, 1, 1, 1, 0]


@pytest.mark.parametrize("dtype", ["bool", "int8", "int64", "uint8", "float16", "float32", ">f8"])
def test_mask_dtypes(dtype):
    expected = advantages(REWARDS, mask=MASK)
    assert expected[2] == expected[7] == 0
    assert advantages(REWARDS, mask=np.array(MASK, dtype=dtype)) == expected
    assert advantages(REWARDS, mask=tuple(map(bool, MASK))) == expected


@pytest.mark.parametrize("value", [2, -1, 0.5, np.nan, 255])
def test_mask_is_zero_or_one(value):
    with pytest.raises(v05.InvalidArgument, match="mask must be booleans, or 0 and 1, got"):
        advantages(REWARDS, mask=[1, 1, 1, 1, 1, 1, 1, value])


@pytest.mark.parametrize("mask", [True, [], MASK[:-1], [MASK]], ids=repr)
def test_one_mask_entry_a_reward(mask):
    with pytest.raises(v05.InvalidArgument, match=r"mask must have one entry per reward, got shape \(.* for 8 rewards"):
        advantages(REWARDS, mask=mask)


@pytest.mark.parametrize(
    "mask",
    ["11011110", ["1"] * 8, [None] * 8, [True, None] * 4, [1j] * 8, pytest.param(iter(MASK), id="an iterator")],
    ids=repr,
)
def test_mask_is_booleans(mask):
    with pytest.raises(v05.ArgumentTypeError, match="mask must be booleans, got dtype"):
        advantages(REWARDS, mask=mask)


# Reward ranges that half precision cannot say.

RANGES = [(0, 0.3), (0, 0.7), (0.1, 1.1), (-1 / 3, 2 / 3)]


def ends(low, high, dtype):
    return np.array([low, high, high, low, high, high, low, low], dtype=dtype)


def assert_ends_are_bounds(rewards, priors, low, high, tolerance):
    """Rounded rewards and priors at the ends are as good as exact ones, for every function that takes a range."""
    exact = ends(low, high, np.float64)
    for prior, exact_prior in priors:
        for options in ({}, {"test": "exact"}, {"rule": "calibrated"}, {"leave_one_out": True}):
            found = v05.estimate(rewards, GROUPS, prior, reward_range=(low, high), **options)
            expected = v05.estimate(exact, GROUPS, exact_prior, reward_range=(low, high), **options)
            np.testing.assert_allclose(found.baseline, expected.baseline, atol=1e-6)
            np.testing.assert_allclose(np.array(found.advantages.tolist()), expected.advantages, atol=tolerance)
            assert found.rejected.tolist() == expected.rejected.tolist()
        calibration = v05.fit_calibration(rewards, GROUPS, prior, reward_range=(low, high))
        running = v05.RunningCalibration(reward_range=(low, high)).update(rewards, GROUPS, prior)
        assert calibration.total_groups == running.total_groups == 2


@pytest.mark.parametrize("low, high", RANGES)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_ranges_in_numpy(low, high, dtype):
    priors = [(value, value) for value in (None, low, high)] + [(np.float16(value), value) for value in (low, high)]
    assert_ends_are_bounds(ends(low, high, dtype), priors, low, high, 1e-3)


@pytest.mark.parametrize("low, high", RANGES)
@pytest.mark.parametrize("name", ["bfloat16", "float16", "float32", "float64"])
def test_ranges_in_torch(low, high, name):
    torch = pytest.importorskip("torch")
    dtype = getattr(torch, name)
    priors = [(value, value) for value in (None, low, high)]
    priors += [(torch.full((8,), value, dtype=torch.bfloat16), value) for value in (low, high)]
    priors += [(torch.tensor(value, dtype=torch.float16), value) for value in (low, high)]
    assert_ends_are_bounds(torch.tensor(ends(low, high, float), dtype=dtype), priors, low, high, 8e-3)


def test_half_precision_beyond_the_range_is_refused():
    beyond = np.nextafter(np.float16(0.3), np.float16(1))
    with pytest.raises(v05.InvalidArgument, match=r"rewards\[1\] must lie in reward_range \[0, 0.3.*\], got 0.3002"):
        v05.advantages(np.array([0, beyond]), [0, 0], reward_range=(0, 0.3))
    with pytest.raises(v05.InvalidArgument, match=r"rewards\[0\] must be finite"):
        v05.advantages(np.array([np.inf, 0], np.float16), [0, 0], reward_range=(0, 1e5))


# Probabilities.


@pytest.mark.parametrize(
    "probability, expected", [(0.25, -0.5), (1, 1.0), (True, 1.0), (np.float32(0.5), 0.0), (np.array(0.5), 0.0)]
)
def test_prior_from_one_probability(probability, expected):
    value = v05.prior_from_probability(probability, reward_range=(-1, 1))
    assert type(value) is float and value == expected


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_prior_from_probabilities_keeps_the_dtype(dtype):
    value = v05.prior_from_probability(np.array([[0.25, np.nan]], dtype=dtype), reward_range=(-1, 1))
    assert value.dtype == dtype and value.shape == (1, 2) and value[0, 0] == -0.5 and np.isnan(value[0, 1])


@pytest.mark.parametrize("probability", [[0, 1], np.array([0, 1]), np.array([False, True])])
def test_prior_from_certain_outcomes(probability):
    value = v05.prior_from_probability(probability, reward_range=(-1, 3))
    assert value.dtype == np.float64 and value.tolist() == [-1, 3]


def test_missing_probability_is_a_missing_prior():
    assert np.isnan(v05.prior_from_probability(None))
    assert np.isnan(v05.prior_from_probability([None, 0.5])).tolist() == [True, False]


# pandas.


def test_pandas():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"reward": REWARDS, "uid": UIDS, "prior": PRIOR, "counted": True}, index=range(20, 28))
    estimate = v05.estimate(frame.reward, frame.uid, frame.prior, mask=frame.counted)
    assert_expected(estimate.advantages)
    assert estimate.groups.tolist() == ["a", "b"]
    assert_expected(advantages(frame.reward.astype("Float64"), frame.uid.astype("category"), frame.prior))
    assert_expected(advantages(frame.reward, pandas.Series(GROUPS), mask=frame.counted.astype("boolean")))
    with pytest.raises(v05.InvalidArgument, match=r"rewards\[1\] must be finite"):
        advantages(frame.reward.where(frame.uid == "a"))
    with pytest.raises(v05.ArgumentTypeError, match="groups must"):
        advantages(REWARDS, frame.uid.where(frame.uid == "a"))


# torch.


@pytest.fixture(params=["cpu", "cuda"])
def device(request):
    torch = pytest.importorskip("torch")
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return request.param


def assert_tensor(result, dtype, device):
    torch = pytest.importorskip("torch")
    assert type(result) is torch.Tensor
    assert result.dtype == dtype and result.device.type == device and not result.requires_grad
    np.testing.assert_array_equal(result.cpu().double().numpy(), EXPECTED)


@pytest.mark.parametrize("name", ["float64", "float32", "bfloat16", "float16"])
def test_floating_tensors(name, device):
    torch = pytest.importorskip("torch")
    dtype = getattr(torch, name)
    rewards = torch.tensor(REWARDS, dtype=dtype, device=device)
    assert_tensor(advantages(rewards), dtype, device)
    groups, prior = torch.tensor(GROUPS, device=device), torch.tensor(PRIOR, device=device, dtype=dtype)
    mask = torch.ones(8, dtype=dtype, device=device)
    assert_tensor(advantages(rewards, groups, prior, mask=mask), dtype, device)
    assert_tensor(advantages(rewards, groups, prior, mask=mask.bool()), dtype, device)
    for tensor, values in ((rewards, REWARDS), (groups, GROUPS), (prior, PRIOR), (mask, [1] * 8)):
        assert tensor.tolist() == values


@pytest.mark.parametrize("name", ["int64", "int32", "int8", "uint8", "bool"])
def test_other_tensors_give_the_default_dtype(name, device):
    torch = pytest.importorskip("torch")
    rewards = torch.tensor(REWARDS, device=device).to(getattr(torch, name))
    assert_tensor(advantages(rewards), torch.float32, device)
    torch.set_default_dtype(torch.float64)
    try:
        assert_tensor(advantages(rewards), torch.float64, device)
    finally:
        torch.set_default_dtype(torch.float32)


def test_no_gradient_flows(device):
    torch = pytest.importorskip("torch")
    leaf = torch.tensor(REWARDS, dtype=torch.float32, device=device, requires_grad=True)
    prior = torch.tensor(PRIOR, device=device, requires_grad=True)
    for rewards in (leaf, leaf * 1, torch.nn.Parameter(leaf.detach())):
        assert_tensor(advantages(rewards, prior=prior), torch.float32, device)
    assert leaf.requires_grad and leaf.grad is None


def test_tensor_views(device):
    torch = pytest.importorskip("torch")
    rewards = torch.tensor(REWARDS, dtype=torch.float32, device=device)
    matrix = torch.stack([rewards, rewards + 1], dim=1)
    assert not matrix[:, 0].is_contiguous()
    groups = torch.tensor([GROUPS, GROUPS], device=device).T[:, 1]
    assert_tensor(advantages(matrix[:, 0], groups), torch.float32, device)
    assert_tensor(advantages(torch._neg_view(-rewards)), torch.float32, device)
    assert_tensor(advantages(rewards[:1].expand(8) * rewards), torch.float32, device)
    with torch.inference_mode():
        assert advantages(rewards.clone()).tolist() == EXPECTED.tolist()


@pytest.mark.parametrize("name", ["int64", "int32", "int16", "uint8", "bool"])
def test_tensors_of_groups(name):
    torch = pytest.importorskip("torch")
    groups = (torch.tensor(GROUPS) - (3 if name == "bool" else 0)).to(getattr(torch, name))
    estimate = v05.estimate(np.array(REWARDS), groups, PRIOR)
    assert_expected(estimate.advantages)
    assert estimate.groups.tolist() == ([1, 0] if name == "bool" else [7, 3])
    assert type(estimate.groups) is np.ndarray
    found = v05.estimate(np.array(REWARDS), groups, {7: 0.25, 3: 0.75, 1: 0.25, 0: 0.75}).advantages
    assert_expected(found)


def test_unsigned_tensor_of_groups():
    torch = pytest.importorskip("torch")
    groups = torch.tensor([2**64 - 1, 5, 5], dtype=torch.uint64)
    assert v05.estimate([1, 0, 1], groups).groups.tolist() == [2**64 - 1, 5]


@pytest.mark.parametrize("name", ["float64", "float32", "bfloat16", "float16"])
def test_tensors_of_priors(name):
    torch = pytest.importorskip("torch")
    dtype = getattr(torch, name)
    assert priors(torch.tensor(0.5, dtype=dtype)) == [0.5, 0.5]
    assert priors(torch.tensor(PRIOR, dtype=dtype)) == [0.25, 0.75]
    assert priors({7: torch.tensor(0.25), 3: torch.tensor(0.75)}) == [0.25, 0.75]
    assert priors([torch.tensor(value) for value in PRIOR]) == [0.25, 0.75]


@pytest.mark.parametrize("name", ["float32", "bfloat16"])
def test_prior_from_a_tensor_of_probabilities(name, device):
    torch = pytest.importorskip("torch")
    dtype = getattr(torch, name)
    value = v05.prior_from_probability(torch.tensor([0.25, 1], dtype=dtype, device=device), reward_range=(-1, 1))
    assert value.dtype == dtype and value.device.type == device and value.tolist() == [-0.5, 1]
    with pytest.raises(v05.InvalidArgument, match=r"probability must lie in \[0, 1\], got 2"):
        v05.prior_from_probability(torch.tensor([0.5, 2]))


def unusable_tensors():
    torch = pytest.importorskip("torch")
    return {
        "on the meta device": torch.zeros(8, device="meta"),
        "sparse": torch.tensor(REWARDS).to_sparse(),
        "complex": torch.zeros(8, dtype=torch.complex64),
        "nested": torch.nested.nested_tensor([torch.zeros(2), torch.zeros(6)], layout=torch.jagged),
    }


@pytest.mark.parametrize("name", ["on the meta device", "sparse", "complex", "nested"])
def test_unusable_tensors(name):
    tensor = unusable_tensors()[name]
    calls = {
        "rewards": lambda: advantages(tensor),
        "groups": lambda: advantages(REWARDS, groups=tensor),
        "prior": lambda: advantages(REWARDS, prior=tensor),
        "mask": lambda: advantages(REWARDS, mask=tensor),
        "probability": lambda: v05.prior_from_probability(tensor),
    }
    for argument, call in calls.items():
        with pytest.raises(v05.ArgumentTypeError, match=f"{argument} must be .*, got "):
            call()


def test_tensors_are_no_ids():
    torch = pytest.importorskip("torch")
    with pytest.raises(v05.ArgumentTypeError, match="groups must be integers or hashables, neither floats nor tensors"):
        advantages(REWARDS, list(torch.tensor(GROUPS)))
    with pytest.raises(v05.ArgumentTypeError, match="groups must be one-dimensional integers"):
        advantages(REWARDS, torch.tensor(GROUPS).bfloat16())


@pytest.mark.parametrize("shape", [(), (2, 4), (8, 1)])
def test_tensors_have_one_dimension(shape):
    torch = pytest.importorskip("torch")
    with pytest.raises(v05.InvalidArgument, match=r"rewards must have one dimension .*, got shape \("):
        advantages(torch.zeros(shape))


def test_advantages_beyond_half_precision_are_its_largest_number():
    rewards = np.array([60000.0, -60000.0, -60000.0, 1.0], np.float16)
    with np.errstate(all="raise"):
        found = v05.advantages(rewards, [0, 0, 1, 1], rule="rloo")
    assert found.dtype == np.float16 and found.tolist() == [65504, -65504, -60000, 60000]
    torch = pytest.importorskip("torch")
    again = v05.advantages(torch.from_numpy(rewards), [0, 0, 1, 1], rule="rloo")
    assert again.tolist() == found.tolist()
