"""Options, records and columns of the estimator that adapters hold: what cannot be meant is an error that says so."""

import re
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import numpy as np
import pytest
import v05
from v05.priors import HistoryContextPrior
from v05.priors.sources import HistoryPrior, NoPrior
from v05.training import StoredEstimator, StreamingEstimator

KINDS = [StoredEstimator, StreamingEstimator]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "options, message",
    [
        ({"reward_rnge": (0, 1)}, "there is no option 'reward_rnge'; the options are rule, prior, .*state_path"),
        ({"rule": "prior", "weigths": "score"}, "there is no option 'weigths'"),
        ({"id_field": 5}, "id_field must be the name of a field, got 5"),
        ({"prior": "column", "prior_field": ["x"]}, "prior_field must be the name of a field"),
        ({"log": 5}, "log must be a function of the metrics of a step, got 5"),
    ],
)
def test_options_of_another_kind(kind, options, message):
    with pytest.raises(v05.ArgumentTypeError, match=message):
        kind(**options)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [{}, {"prior": "none"}, {"rule": "grpo"}, {"prior": lambda prompts: []}])
def test_a_field_of_priors_that_nobody_reads_is_no_silent_nothing(kind, options):
    with pytest.raises(v05.InvalidArgument, match="prior_field 'pass_rate' is read with prior \"column\" or"):
        kind(prior_field="pass_rate", **options)
    for prior in ("column", "tracker+column"):
        assert kind(prior=prior, prior_field="pass_rate").column([{"pass_rate": 0.5}]) == [0.5]
        assert kind(prior=prior).column([{"prior": 0.25}]) == [0.25]
        with pytest.raises(v05.InvalidArgument, match=re.escape(f"prior '{prior}' needs the columns of the dataset")):
            kind(prior=prior).refuse("a trainer", columns=True)


@pytest.mark.parametrize("path", ["s3://bucket/v05.zip", "hdfs://x/y", "", "~nobody-of-this-name/x", "a\0b", 7])
def test_a_path_that_can_be_none_is_told_before_another_process_starts(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(v05.Error, match="state_path must"):
        StoredEstimator.check(state_path=path)
    StoredEstimator.check(state_path="/another/machine/v05.zip")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [None, float("nan"), np.float64("nan")])
def test_records_without_an_id_do_not_share_a_history(value):
    estimator = StoredEstimator(id_field="id")
    with pytest.raises(v05.InvalidArgument, match=r"id_field 'id' must be in every record, got (None|.*nan.*) .row 1."):
        estimator.keys([{"id": 1}, {"id": value}], ["a", "b"])
    assert estimator.keys([{"id": 0}, {"id": ""}, {"id": [1]}], ["a"] * 3) == [0, "", "[1]"]


def test_columns_go_by_position():
    """Also those of a table whose rows were shuffled: the labels of a pandas Series say nothing of it."""
    pandas = pytest.importorskip("pandas")
    labels = [3, 1, 9, 0]
    rewards, groups, keys, prior = [1.0, 0.0, 1.0, 0.0], [0, 0, 1, 1], ["a", "a", "b", "b"], [0.5, 0.5, 0.25, 0.25]

    def found(column):
        estimator = StoredEstimator(rule="prior", prior="column", reward_range=(0, 1))
        return estimator.advantages(
            column(rewards), column(groups), column(keys), column=column(prior), rollouts=column([1, 2, 3, 4])
        )

    expected = [0.5, -0.5, 0.75, -0.25]
    for column in (list, np.array, lambda values: pandas.Series(values, index=labels)):
        np.testing.assert_array_equal(found(column), expected)
    texts = pandas.Series(["easy", "easy", "hard", "hard"], index=labels)
    estimator = v05.AdvantageEstimator(
        rule="prior", reward_range=(0, 1), prior=lambda prompts: [0.5 if text == "easy" else 0.25 for text in prompts]
    )
    np.testing.assert_array_equal(estimator.step(rewards, groups, keys, prompts=texts).advantages, expected)


@pytest.mark.parametrize("prompts", [["x"], ["x", "y", "z"], "xy", 3])
def test_prompts_of_another_number(prompts):
    estimator = v05.AdvantageEstimator(prior=lambda texts: [0.5] * len(texts), reward_range=(0, 1))
    for ask in (
        lambda: estimator.step([1.0, 0.0], [0, 1], ["a", "b"], prompts=prompts),
        lambda: estimator.predict(["a", "b"], prompts=prompts),
    ):
        with pytest.raises(v05.Error, match="prompts must have one entry per"):
            ask()
    assert estimator.steps == 0


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"rollouts": [1, 2]}, "rewards, groups and rollouts must have one entry per row, got shape .3,., 3 and 2"),
        ({"groups": [0]}, "rewards, groups and rollouts must have one entry per row"),
        ({"rewards": [[1.0], [0.0], [1.0]]}, "must have one entry per row, got shape .3, 1."),
        ({"rollouts": [[1], [2], [3]]}, "groups and rollouts must be integers or hashables"),
        ({"keys": ["a", "a"]}, "keys must have one entry per reward, got 2"),
        ({"prompts": ["a"]}, "prompts must have one entry per reward, got 1"),
        ({"mask": [True]}, "mask must have one entry per reward"),
        ({"weights": [1.0]}, "weights must have one entry per reward"),
        ({"weights": [1.0, -1.0, 1.0]}, r"weights\[1\] must be finite and not negative"),
    ],
)
def test_parts_of_rollouts_that_cannot_be(changes, message):
    estimator = StoredEstimator(rule="rloo", reward_range=(0, 1))
    given = {"rewards": [1.0, 0.0, 1.0], "groups": [0, 0, 0], "keys": ["a"] * 3, "rollouts": [1, 2, 3]} | changes
    with pytest.raises(v05.Error, match=message):
        estimator.advantages(**given)
    assert estimator.steps == 0 and len(estimator.source.history if hasattr(estimator.source, "history") else ()) == 0


def test_a_rollout_counts_where_one_of_its_parts_does():
    """Whichever part comes first; parts that the mask takes out have no advantage."""
    rewards, rollouts = [1.0, 1.0, 0.0, 0.0, 1.0], [1, 1, 2, 2, 3]
    for mask in ([False, True, True, False, False], [True, False, False, True, False]):
        found = StoredEstimator(rule="rloo", reward_range=(0, 1)).advantages(
            rewards, [0] * 5, ["a"] * 5, rollouts=rollouts, mask=mask
        )
        np.testing.assert_array_equal(found, np.where(mask, [1, 1, -1, -1, 0], 0))


def source_of_a_user():
    """With what every source has, and no more."""
    nothing = NoPrior()
    return SimpleNamespace(
        predict=nothing.predict, record=nothing.record, state_dict=dict, load_state_dict=lambda state: None
    )


@pytest.mark.parametrize(
    "prior, reads, needs",
    [
        *((name, False, False) for name in ("none", "history", "tracker", "column", "tracker+column")),
        ("history+context", True, True),
        (lambda texts: [0.5] * len(texts), True, True),
        (HistoryContextPrior(), True, True),
        (source_of_a_user(), True, False),
        (type("PriorOfAUser", (HistoryPrior,), {})((0.0, 1.0)), True, False),
    ],
)
def test_who_is_given_texts_and_who_cannot_do_without(prior, reads, needs):
    estimator = StoredEstimator(prior=prior, reward_range=(0, 1))
    assert (estimator.reads_texts, estimator.needs_texts) == (reads, needs)
    if needs:
        with pytest.raises(v05.InvalidArgument, match="needs the texts of prompts, which a trainer does not hand over"):
            estimator.refuse("a trainer", texts=True)
    else:
        estimator.refuse("a trainer", texts=True)


@pytest.mark.parametrize("test", ["bound", "exact"])
@pytest.mark.parametrize("rule", v05._core.rules.RULES)
def test_which_rules_take_weights(rule, test):
    """As the core says where it is asked."""
    try:
        v05.estimate([0.0, 1.0], [0, 0], weights=[1.0, 2.0], rule=rule, test=test)
        taken = True
    except v05.InvalidArgument as error:
        assert "weights must not be given with" in str(error)
        taken = False
    assert v05.AdvantageEstimator(rule=rule, test=test).takes_weights is taken
    assert taken is (test == "bound" and rule not in ("mixture", "median"))


def test_half_precision_knows_the_bounds_of_the_range():
    """0.3 in half precision is more than 0.3, as in v05.advantages."""
    torch = pytest.importorskip("torch")
    for rewards in (
        np.float16([0.3, 0.0]),
        torch.tensor([0.3, 0.0], dtype=torch.bfloat16),
        torch.tensor([0.3, 0.0], dtype=torch.float16, requires_grad=True),
        np.float32([0.3, 0.0]),
    ):
        for estimator in (
            v05.AdvantageEstimator(rule="rloo", reward_range=(0, 0.3)),
            StreamingEstimator(rule="rloo", reward_range=(0, 0.3)),
        ):
            np.testing.assert_allclose(estimator.step(rewards, [0, 0], [0, 0]).advantages, [0.3, -0.3], atol=1e-7)
        parts = StoredEstimator(rule="rloo", reward_range=(0, 0.3))
        np.testing.assert_allclose(parts.advantages(rewards, [0, 0], [0, 0], rollouts=[1, 2]), [0.3, -0.3], atol=1e-7)
        np.testing.assert_allclose(StreamingEstimator(rule="rloo").group(rewards, "a"), [0.3, -0.3], atol=1e-2)


def test_rollouts_that_are_tensors_are_refused():
    """Equal tensors have hashes of their own: each row would count as a rollout."""
    torch = pytest.importorskip("torch")
    estimator = StoredEstimator(reward_range=(0, 1))
    rollouts = torch.tensor([0, 0, 1, 2])
    with pytest.raises(v05.ArgumentTypeError, match=r"rollouts must be integers or hashables, not tensors, got tensor"):
        estimator.advantages([1.0, 1.0, 0.0, 0.0], ["g"] * 4, ["k"] * 4, rollouts=list(rollouts))
    assert estimator.steps == 0
    found = estimator.advantages([1.0, 1.0, 0.0, 0.0], ["g"] * 4, ["k"] * 4, rollouts=rollouts)
    assert found[0] == found[1] and estimator.metrics["v05/rollouts"] == 3


@pytest.mark.parametrize("kind", KINDS)
def test_weights_that_cannot_be(kind):
    with pytest.raises(v05.InvalidArgument, match="weights must be one of 'none', 'length', 'score', got 'scores'"):
        kind(weights="scores")
    with pytest.raises(v05.InvalidArgument, match="median.*weights|weights.*median"):
        kind(rule="median", weights="length")


@pytest.mark.parametrize("kind", KINDS)
def test_score_weights_of_rows_of_any_length(kind, caplog):
    torch = pytest.importorskip("torch")
    masks, log_probs = [[1, 0, 1], [1], []], [[-0.1, -9.0, -0.5], [-1.0], []]
    assert kind().score_weights(masks, log_probs).tolist() == [2, 1, 0]  # lists of numbers take long
    assert kind(weights="length").score_weights(masks).tolist() == [2, 1, 0]
    assert kind(weights="length").score_weights(masks, per_token=True).tolist() == [0.5, 1, 0]
    expected = [(1 - np.exp(-0.1)) ** 2 + (1 - np.exp(-0.5)) ** 2, (1 - np.exp(-1.0)) ** 2, 0]
    estimator = kind(weights="score")
    np.testing.assert_allclose(estimator.score_weights(masks, log_probs), expected, rtol=1e-6)
    tensors = torch.tensor([[1, 0, 1], [1, 0, 0]]), torch.tensor([[-0.1, np.nan, -0.5], [-1.0, np.nan, np.nan]])
    np.testing.assert_allclose(estimator.score_weights(*tensors), expected[:2], rtol=1e-6)
    assert estimator.score_weights([], []).shape == (0,)
    for unknown in (None, [[-0.1, -9.0, -0.5], None, []]):
        assert estimator.score_weights(masks, unknown).tolist() == [2, 1, 0]
    assert sum("weights are the lengths of rollouts" in record.message for record in caplog.records) == 1


@pytest.mark.parametrize("per_token", [False, True])
def test_score_weights_for_figures_are_those_of_weights_that_are_asked_for(per_token):
    torch = pytest.importorskip("torch")
    mask = torch.tensor([[1, 0, 1], [1, 0, 0], [0, 0, 0]])
    log_prob = torch.tensor([[-0.1, np.nan, -0.5], [-1.0, np.nan, np.nan], [-0.2, -0.3, -0.4]])
    rows = [torch.ones(2), torch.ones(0), torch.tensor([1, 0, 1])], [-torch.rand(2), torch.ones(0), -torch.rand(3)]
    lists = [[1, 0, 1], [True], (0, 0.0), [], np.array([2, 0])]
    for kind, given in (("score", (mask, log_prob)), ("score", rows), ("length", (mask,)), ("length", (lists,))):
        weighted, plain = StoredEstimator(weights=kind), StoredEstimator()
        expected = weighted.step_weights(len(given[0]), weighted.score_weights, *given, per_token=per_token)
        found = plain.step_weights(len(given[0]), plain.score_weights, *given, per_token=per_token)
        assert list(expected) == ["weights"] and list(found) == ["squared_norms"]
        np.testing.assert_allclose(found["squared_norms"], expected["weights"], rtol=1e-6)


def odd_rows(torch):
    """(mask, log-probabilities) as no trainer should hand them over, and the figures' weights: None where there are
    none."""
    mask, known = torch.ones(3, 2), torch.zeros(3, 2)
    return [
        (mask, known[:2], [2, 2, 2]),
        (mask, known[:, :1], [2, 2, 2]),
        (mask, [known[0], None, known[2]], [2, 2, 2]),
        (mask, [[-0.1, -0.2], [-0.3], None], [2, 2, 2]),
        (mask, "abc", [2, 2, 2]),
        (mask, torch.full((3, 2), np.nan), [0, 0, 0]),
        (mask, torch.full((3, 2), -np.inf), [2, 2, 2]),
        (mask, 0.5, None),
        (mask, known.to_sparse(), None),
        (None, None, None),
        (7, known, None),
        ("abc", None, None),
        (["ab", None], None, None),
        (torch.ones(3), None, None),
        (torch.ones(3, 2, 2), None, None),
        ([[1, "x"], [None, 0], [[0], {}]], None, [2, 1, 2]),
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_figures_are_no_end_of_training_whatever_is_handed_over(kind, caplog):
    torch = pytest.importorskip("torch")
    estimator = kind()
    for mask, log_prob, expected in odd_rows(torch):
        found = estimator.step_weights(3, estimator.score_weights, mask, log_prob)
        assert list(found) == ([] if expected is None else ["squared_norms"])
        assert expected is None or found["squared_norms"].tolist() == expected
    for odd in ([1.0, np.inf], [1.0, np.nan], [1.0, -1.0], [1.0], [[1.0, 1.0]]):
        assert estimator.step_weights(2, lambda found=odd: np.array(found)) == {}
    assert estimator.step_weights(2, lambda: 1 / 0) == {}
    assert not caplog.records
    with pytest.raises(ZeroDivisionError):
        kind(weights="length").step_weights(2, lambda: 1 / 0)


def test_lengths_for_figures_need_no_torch():
    program = """
        import sys

        sys.modules["torch"] = None
        from v05.training import StoredEstimator

        estimator = StoredEstimator(reward_range=(0, 1))
        weights = estimator.step_weights(2, estimator.score_weights, [[1, 0, 1], [1]], [[-1.0, -1.0, -1.0], [-1.0]])
        assert weights["squared_norms"].tolist() == [2, 1]
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True)
