"""Scores from files, episodes of pairs, and metrics against plain counting."""

import json
import random
import warnings
from collections import Counter

import numpy as np
import pytest
from v0_models import make_embedding, torch  # noqa: F401
from v05.errors import InvalidArgument
from v05.v0 import ClassifierHead, KernelHead, Score, evaluate, read_scores
from v05.v0.episodes import ContextPool, judging_episodes, training_episodes
from v05.v0.evaluation import metrics

ROW = {"id": 1, "score": 0.2, "model": "policy", "step": 16, "dataset": "math", "type": "context"}


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def scores_of(context, values, prefix=""):
    name = prefix + "/".join(map(str, context))
    return [Score(context, f"{name} {number}", value) for number, value in enumerate(values)]


@pytest.mark.parametrize("layout", ["prompts.jsonl", "prompt_dict.json"])
def test_both_layouts_of_prompts(tmp_path, layout):
    if layout == "prompts.jsonl":
        write_rows(tmp_path / layout, [{"id": "math_1", "prompt": "One?"}, {"id": "math_2", "prompt": "Two?"}])
    else:
        (tmp_path / layout).write_text(json.dumps({"math_1": "One?", "math_2": "Two?"}))
    path = write_rows(tmp_path / "context.jsonl", [ROW, ROW | {"id": 2, "score": -1, "step": 64}])
    expected = [Score(("math", "policy", 16), "One?", 0.2), Score(("math", "policy", 64), "Two?", -1.0)]
    assert read_scores(path) == expected
    assert read_scores(path, prompts=tmp_path / layout) == read_scores(path)


def test_the_real_files(shared_data):
    folder = shared_data / "dapo-math-scores"
    context, queries = read_scores(folder / "context.jsonl"), read_scores(folder / "train.jsonl")
    assert len(context) == 3072 and len(queries) == 192
    assert set(Counter(score.context for score in context).values()) == {512}
    assert {score.context for score in queries} == {score.context for score in context}


@pytest.mark.parametrize(
    "row, words",
    [
        (ROW | {"score": 1.5}, r"line 2: score must lie in \[-1, 1\], got 1.5"),
        (ROW | {"score": float("nan")}, r"line 2: score must lie in \[-1, 1\], got nan"),
        (ROW | {"score": "high"}, "line 2: score must lie in"),
        (ROW | {"score": True}, "line 2: score must lie in"),
        (ROW | {"id": 9}, "line 2: no prompt has the id 'math_9'"),
        ({"id": 1, "score": 0}, "line 2: dataset, model, step missing"),
        ([1, 2], "line 2: must be a JSON object"),
    ],
)
def test_bad_rows_are_named(tmp_path, row, words):
    write_rows(tmp_path / "prompts.jsonl", [{"id": "math_1", "prompt": "One?"}])
    with pytest.raises(InvalidArgument, match=words):
        read_scores(write_rows(tmp_path / "scores.jsonl", [ROW, row]))


def test_bad_files_are_named(tmp_path):
    path = write_rows(tmp_path / "scores.jsonl", [ROW])
    with pytest.raises(InvalidArgument, match="neither prompts.jsonl nor prompt_dict.json"):
        read_scores(path)
    write_rows(tmp_path / "prompts.jsonl", [{"id": "math_1", "prompt": ""}])
    with pytest.raises(InvalidArgument, match="a string and not empty"):
        read_scores(path)
    write_rows(tmp_path / "prompts.jsonl", [{"id": "math_1", "prompt": "One?"}])
    with pytest.raises(InvalidArgument, match="absent.jsonl cannot be read"):
        read_scores(tmp_path / "absent.jsonl")
    path.write_text("")
    with pytest.raises(InvalidArgument, match="has no scores"):
        read_scores(path)
    path.write_text("{broken\n")
    with pytest.raises(InvalidArgument, match="line 1: not JSON"):
        read_scores(path)


def test_pairs_are_of_one_context_and_use_every_query():
    queries = scores_of(("a", "p", 1), [1] * 7 + [-1] * 2) + scores_of(("a", "p", 2), [0, 0.5, -0.1, -0.2, -0.3])
    shown = scores_of(("a", "p", 1), [1, -1] * 10, "shown") + scores_of(("a", "p", 2), [1, -1] * 10, "shown")
    pool = ContextPool(shown, 6, (-1, 1))
    episodes = training_episodes(pool, queries, 4, (-1, 1), random.Random(0))
    uses = Counter()
    for episode in episodes:
        assert {score.context for score in episode.context + episode.queries} == {episode.queries[0].context}
        assert len(episode.queries) in (2, 4) and len(episode.context) == 6
        for place, query in enumerate(episode.queries):
            assert (query.score >= 0) == (place % 2 == 0)
            uses[query] += 1
    first = [uses[query] for query in queries[:9]]
    assert first[:7] == [1] * 7 and sorted(first[7:]) == [3, 4]  # the smaller class in turn
    assert sum(uses[query] for query in queries[9:]) == 6
    again = training_episodes(pool, queries, 4, (-1, 1), random.Random(0))
    assert again == episodes != training_episodes(pool, queries, 4, (-1, 1), random.Random(1))


def test_an_episode_that_leaves_nothing_to_show_is_left_out_alone():
    """The one solved prompt that can be shown is asked for, too: in that episode alone it cannot be."""
    context = ("a", "p", 1)
    shown = scores_of(context, [1] + [-1] * 20)
    queries = scores_of(context, [1] + [-1] * 20) + scores_of(context, [1] * 19, "other")
    pool = ContextPool(shown, 6, (-1, 1))
    with pytest.warns(UserWarning, match=r"one class: \[\('a', 'p', 1\)\]"):
        counts = [len(training_episodes(pool, queries, 8, (-1, 1), random.Random(seed))) for seed in range(20)]
    assert set(counts) == {4}  # of five episodes


def test_contexts_of_one_class_are_left_out_aloud():
    shown = scores_of(("a", "p", 1), [1, -1] * 5, "shown") + scores_of(("a", "p", 2), [1] * 5, "shown")
    pool = ContextPool(shown, 6, (-1, 1))
    both, one = scores_of(("a", "p", 1), [1, -1]), scores_of(("a", "p", 1), [1, 1])
    with pytest.warns(UserWarning, match=r"one class: \[\('a', 'p', 2\)\]"):
        assert len(training_episodes(pool, both + scores_of(("a", "p", 2), [1, -1]), 2, (-1, 1), random.Random(0))) == 1
    with pytest.raises(InvalidArgument, match="no context has both"):
        training_episodes(pool, one, 2, (-1, 1), random.Random(0))
    with pytest.raises(InvalidArgument, match=r"context of \('a', 'p', 2\) has no prompts of both classes"):
        judging_episodes(pool, scores_of(("a", "p", 2), [1, -1]), random.Random(0))


def test_what_is_asked_is_never_shown_and_both_classes_are():
    scores = scores_of(("a", "p", 1), [1] * 30 + [-1])
    pool = ContextPool(scores, 5, (-1, 1))
    for seed in range(20):
        drawn = pool.draw(("a", "p", 1), scores[:10], random.Random(seed))
        assert len(drawn) == 5 and not set(drawn) & set(scores[:10]) and scores[30] in drawn
    assert pool.draw(("a", "p", 1), scores[30:], random.Random(0)) is None


def test_queries_of_another_dataset_see_the_same_policy():
    pool = ContextPool(scores_of(("a", "p", 1), [1, -1]) + scores_of(("b", "p", 2), [1, -1]), 4, (-1, 1))
    drawn = pool.draw(("c", "p", 1), [], random.Random(0))
    assert {score.context for score in drawn} == {("a", "p", 1)}
    assert pool.draw(("c", "other", 1), [], random.Random(0)) is None


def test_metrics_against_plain_counting():
    generator = np.random.default_rng(0)
    probability = generator.integers(0, 21, 60) / 20
    label = generator.random(60) < probability
    score = generator.random(60)
    group = generator.integers(0, 4, 60)
    found = metrics(probability, label, score, group)

    def plain(same):
        pairs = [
            (probability[i] > probability[j]) + 0.5 * (probability[i] == probability[j])
            for i in range(60)
            for j in range(60)
            if label[i] and not label[j] and same(i, j)
        ]
        return np.mean(pairs)

    slope, intercept = np.polyfit(probability, label, 1)
    bins = {one: [i for i in range(60) if min(int(10 * probability[i]), 9) == one] for one in range(10)}
    error = sum(len(rows) / 60 * abs(label[rows].mean() - probability[rows].mean()) for rows in bins.values() if rows)
    expected = {
        "auc_within": plain(lambda i, j: group[i] == group[j]),
        "auc_pooled": plain(lambda i, j: True),
        "accuracy": np.mean((probability >= 0.5) == label),
        "brier": np.mean((probability - label) ** 2),
        "squared_error": np.mean((probability - score) ** 2),
        "calibration_slope": slope,
        "calibration_intercept": intercept,
        "calibration_error": error,
        "queries": 60,
        "contexts": 4,
    }
    assert found == pytest.approx(expected, rel=1e-9)
    assert json.loads(json.dumps(found)) == found


def test_metrics_that_do_not_exist_are_none():
    found = metrics(np.full(3, 0.5), np.ones(3, dtype=bool), np.ones(3), np.zeros(3))
    absent = [name for name, value in found.items() if value is None]
    assert absent == ["auc_within", "auc_pooled", "calibration_slope", "calibration_intercept"]
    assert found["brier"] == 0.25
    for alike, size in ((0.1, 3), (0.1, 7), (0.3, 11), (0.3, 3)):  # whose mean rounding puts beside them
        label = np.arange(size) % 2 == 0
        assert metrics(np.full(size, alike), label, label * 1.0, np.zeros(size))["calibration_slope"] is None


def test_level_alone_ranks_across_contexts_but_not_within():
    """What the AUC within a context is for: a predictor that knows nothing but the policy."""
    group = np.repeat([0, 1], 100)
    label = np.concatenate([np.arange(100) < 80, np.arange(100) < 20])
    found = metrics(np.where(group == 0, 0.8, 0.2), label, label.astype(float), group)
    assert found["auc_within"] == 0.5 and found["auc_pooled"] == pytest.approx(0.8)


def test_evaluation_repeats_and_leaves_the_embedding_as_it_was():
    context = scores_of(("a", "p", 1), [1, -1] * 20, "two ")
    queries = scores_of(("a", "p", 1), [1, -1, -1], "six ")
    embedding = make_embedding([score.prompt for score in context + queries]).train()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first, second = (evaluate(embedding, KernelHead(), context, queries, context_size=16) for _ in range(2))
    assert first == second and first["queries"] == 3 and embedding.training


def test_a_classifier_that_is_sure_can_be_judged():
    neighbours = pytest.importorskip("sklearn.neighbors", reason="a head of scikit-learn")
    head = ClassifierHead(lambda: neighbours.KNeighborsClassifier(1))
    log_odds = head(torch.tensor([[0.0], [1.0]]), torch.tensor([0, 1]), torch.tensor([[0.1], [0.9]]))
    assert torch.isfinite(log_odds).all() and log_odds[0] < -20 < 20 < log_odds[1]
