"""`v05 priors evaluate`: its figures against plain loops and known truths, on logs, on files, and on real scores."""

import itertools
import json
from io import StringIO

import numpy as np
import pytest
import v05
from v05.commands.command_line import main

pytest.importorskip("sklearn", reason="in-context priors need scikit-learn")

from v05.commands.prior_evaluation.cases import cases_of_log, cases_of_scores
from v05.commands.prior_evaluation.evaluate import CONSTANT, RULES, evaluate
from v05.commands.prior_evaluation.evaluation_tables import print_evaluation
from v05.commands.prior_evaluation.quality import qualities
from v05.commands.replay import LogError
from v05.commands.replay.visits import Visits

TOPICS = ("sum of small integers", "eigenvalues of a large matrix")


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Scores of two policies; the topic of a prompt decides half of it."""
    folder = tmp_path_factory.mktemp("scores")
    generator = np.random.default_rng(0)
    topics = generator.integers(0, 2, 260)
    write(
        folder / "prompts.jsonl",
        [{"id": f"d_{row}", "prompt": f"Find the {TOPICS[topic]} number {row}."} for row, topic in enumerate(topics)],
    )

    def scores(rows):
        for level, model in ((0.3, "weak"), (0.6, "strong")):
            for row in rows:
                rate = np.clip(level + (0.3 if topics[row] else -0.3) + generator.normal(0, 0.1), 0, 1)
                yield {
                    "dataset": "d",
                    "id": row,
                    "model": model,
                    "step": 1,
                    "score": 2 * generator.binomial(10, rate) / 10 - 1,
                }

    write(folder / "context.jsonl", scores(range(150)))
    write(folder / "query.jsonl", scores(range(150, 260)))
    return folder


@pytest.fixture(scope="module")
def evaluation(files):
    return evaluate(context=files / "context.jsonl", query=files / "query.jsonl", heads=("ridge",), splits=2)


def quality_of(evaluation, prior):
    return next(quality for quality in evaluation.qualities if quality.prior == prior)


def test_a_prior_that_knows_is_better_than_the_constant(evaluation):
    constant, ridge = (quality_of(evaluation, name) for name in (CONSTANT, "TF-IDF, ridge"))
    assert (evaluation.visits, evaluation.prompts, evaluation.contexts, evaluation.rollouts) == (220, 110, 2, 10)
    assert constant.auc_within == 0.5 and constant.auc_gain == 0
    assert ridge.auc > 0.85 > constant.auc and ridge.auc_within > 0.85 and ridge.auc_gain_interval[0] > 0
    assert ridge.error < 0.5 * constant.error and 0.8 < ridge.slope < 1.2
    # Rates are off the topic's mean by .1 sd, scores by twice that.
    assert 0.02 < ridge.error < 0.08


def test_baselines_are_made_with_each_prior(evaluation):
    for prior, rows in evaluation.baselines.items():
        assert [(row.rollouts, row.rule) for row in rows] == list(itertools.product((2, 4, 8), RULES))
    error = {(prior, row.rule, row.rollouts): row.error for prior, rows in evaluation.baselines.items() for row in rows}
    assert error[CONSTANT, "grpo", 4] == error["TF-IDF, ridge", "grpo", 4]
    for rule in ("v05", "calibrated"):
        assert error["TF-IDF, ridge", rule, 2] < 0.7 * error[CONSTANT, rule, 2]


def plain_auc(value, solved, context):
    right = pairs = 0.0
    for i, j in itertools.product(np.flatnonzero(solved), np.flatnonzero(~solved)):
        if context[i] == context[j]:
            pairs += 1
            right += 1.0 if value[i] > value[j] else 0.5 if value[i] == value[j] else 0.0
    return right / pairs


def visits_of(rewards, batches, prompt=None):
    count, each = rewards.shape
    return Visits(
        prompt=np.arange(count) if prompt is None else prompt,
        count=np.full(count, each),
        start=np.arange(count) * each,
        reward=rewards.ravel(),
        logged_prior=np.full(count, np.nan),
        earlier=np.zeros(count, int),
        batches=np.array(batches),
        asked=np.ones(count, bool),
    )


def test_figures_against_plain_loops():
    generator = np.random.default_rng(1)
    rate = generator.random(60)
    rewards = (generator.random((60, 6)) < rate[:, None]).astype(float)
    value = np.round(rate + generator.normal(0, 0.3, 60), 1)  # with ties
    value[::7] = np.nan
    visits = visits_of(rewards, [0, 20, 60])
    (found,) = qualities(visits, {"some": value}, (0.0, 1.0))
    known = ~np.isnan(value)
    mean = rewards.mean(axis=1)
    context = np.repeat([0, 1], [20, 40])
    assert found.known == known.mean()
    assert found.auc == pytest.approx(plain_auc(value[known], mean[known] >= 0.5, np.zeros(60)), abs=1e-12)
    assert found.auc_within == pytest.approx(plain_auc(value[known], mean[known] >= 0.5, context[known]), abs=1e-12)
    noise = rewards.var(axis=1, ddof=1) / 6
    assert found.error == pytest.approx(np.mean(((value - mean) ** 2 - noise)[known]), abs=1e-12)
    assert found.slope == pytest.approx(np.polyfit(value[known], mean[known], 1)[0], abs=1e-9)
    assert np.isnan(found.auc_gain)


def test_the_sampling_noise_is_subtracted_without_bias():
    generator = np.random.default_rng(2)
    rate = generator.random(4_000)
    rewards = (generator.random((4_000, 4)) < rate[:, None]).astype(float)
    value = np.clip(rate + 0.1, 0, 1)
    (found,) = qualities(visits_of(rewards, [0, 4_000]), {"some": value}, (0.0, 1.0))
    truth = np.mean((value - rate) ** 2)
    assert found.error == pytest.approx(truth, abs=0.006)  # about 3 standard errors
    assert found.error_interval[0] < truth < found.error_interval[1]


def test_the_intervals_know_that_visits_of_a_prompt_belong_together():
    generator = np.random.default_rng(3)
    rewards = np.repeat((generator.random((40, 4)) < generator.random((40, 1))).astype(float), 9, axis=0)
    value = np.repeat(generator.random(40), 9)
    prompt = np.repeat(np.arange(40), 9)
    (together,) = qualities(visits_of(rewards, [0, 360], prompt), {"some": value}, (0.0, 1.0))
    (alone,) = qualities(visits_of(rewards, [0, 360]), {"some": value}, (0.0, 1.0))
    width = [high - low for low, high in (together.error_interval, alone.error_interval)]
    assert 2 < width[0] / width[1] < 4  # 3 = sqrt(9)


def test_folds_never_show_a_prompt_its_own_score(files):
    cases = cases_of_scores(files / "context.jsonl", folds=5)
    assert len(cases.episodes) == 10
    assert sorted(np.concatenate([episode.rows for episode in cases.episodes])) == list(range(300))
    for episode in cases.episodes:
        assert len(episode.prompts) == 120 and not set(episode.prompts) & {cases.texts[row] for row in episode.rows}
    found = evaluate(context=files / "context.jsonl", heads=("ridge",), folds=5, splits=1, rollouts=(4,))
    assert quality_of(found, CONSTANT).auc_within == 0.5 and quality_of(found, "TF-IDF, ridge").auc_within > 0.85


def log_of(folder, steps=12, prompts=20, epochs=2):
    generator = np.random.default_rng(4)
    rows = []
    for step in range(steps * epochs):
        for row in range(prompts):
            number = step % steps * prompts + row
            topic = number % 2
            rows += [
                {
                    "step": step,
                    "prompt": f"Find the {TOPICS[topic]} number {number}.",
                    "prior": 0.5,
                    "reward": int(generator.random() < (0.2 if topic else 0.9)),
                }
                for _ in range(6)
            ]
    return write(folder / "log.jsonl", rows)


def test_a_log(tmp_path):
    log = log_of(tmp_path)
    found = evaluate(log, heads=("ridge",), rollouts=(2, 4, 8), splits=1)
    names = [quality.prior for quality in found.qualities]
    assert names == [CONSTANT, "TF-IDF, ridge", "logged", "history", "history, else TF-IDF"]
    assert quality_of(found, "history").known == 0.5
    assert quality_of(found, "logged").auc == 0.5
    assert quality_of(found, "TF-IDF, ridge").auc > 0.9 and quality_of(found, "history, else TF-IDF").auc > 0.9
    assert {row.rollouts for row in found.baselines["history"]} == {2, 4}
    assert any("at most 4 rollouts" in note for note in found.notes)
    json.dumps(found.as_dict(), allow_nan=False)


def test_first_visits_of_a_log_have_no_history(tmp_path):
    found = evaluate(log_of(tmp_path), heads=("ridge",), rollouts=(2,), splits=1, only_visits=(1, 1))
    assert [quality.prior for quality in found.qualities] == [CONSTANT, "TF-IDF, ridge", "logged"]


def test_no_context_of_a_log_knows_the_future(tmp_path):
    cases = cases_of_log(log_of(tmp_path, epochs=1), refits=5, context_size=50)
    assert len(cases.episodes) == 5
    for episode in cases.episodes:
        assert not set(episode.prompts) & {cases.texts[row] for row in range(episode.rows[0], len(cases.texts))}
        assert len(episode.prompts) <= 50
    assert np.concatenate([episode.rows for episode in cases.episodes]).tolist() == list(range(len(cases.texts)))


def test_the_mixture_rule_is_left_out_where_rewards_have_more_than_two_values(tmp_path):
    rows = [
        {"step": step, "prompt": f"prompt {prompt}", "reward": (prompt + step + rollout) % 3 / 2}
        for step in range(3)
        for prompt in range(12)
        for rollout in range(6)
    ]
    found = evaluate(write(tmp_path / "log.jsonl", rows), heads=("knn",), rollouts=(2,), splits=1)
    assert [row.rule for row in found.baselines["history"]] == ["grpo", "v05", "calibrated"]
    assert any('"mixture" is left out' in note for note in found.notes)


def test_prompts_by_number_have_no_text(tmp_path):
    rows = [{"prompt": prompt, "rollouts": 6, "successes": [prompt % 7, 3, 5 * (prompt % 2)]} for prompt in range(20)]
    found = evaluate(write(tmp_path / "log.jsonl", rows), rollouts=(2,), splits=1)
    assert [quality.prior for quality in found.qualities] == ["history"]
    assert any("by number" in note for note in found.notes)
    with pytest.raises(v05.InvalidArgument, match="refits must be at least 1, got 0"):
        evaluate(tmp_path / "log.jsonl", refits=0)


@pytest.mark.parametrize(
    "options, message",
    [
        ({}, "give either a log or a context"),
        ({"heads": ("tree",)}, "heads must be one or more of gp, ridge, knn, got tree"),
        ({"heads": ()}, "heads must be one or more"),
        ({"folds": 1}, "folds must lie between 2 and the 150 prompts"),
        ({"score_rollouts": 7}, "rollouts must be what the scores are means of, got 7"),
        ({"prompts": "missing.jsonl"}, "cannot be read"),
        ({"rollouts": (2, 0)}, r"rollouts must be one or more numbers of at least 1, got \[2, 0\]"),
        ({"rollouts": ()}, "rollouts must be one or more numbers"),
        ({"step": "when"}, "step is an option for a log, not a context of scores, got 'when'"),
        ({"where": ["a=b"]}, "where is an option for a log, not a context"),
        ({"only_visits": (1, 1)}, "only_visits is an option for a log"),
        ({"context_size": 0}, "context_size is an option for a log"),
        ({"refits": 0}, "refits is an option for a log"),
        ({"discount": 7}, "discount is an option for a log"),
        ({"query": "q.jsonl", "folds": 0}, "folds is for contexts without query"),
    ],
)
def test_bad_options(files, options, message):
    given = {} if not options else {"context": files / "context.jsonl"} | options
    with pytest.raises(v05.InvalidArgument, match=message):
        evaluate(**given)


@pytest.mark.parametrize(
    "options",
    [{"query": "q.jsonl"}, {"prompts": "p.jsonl"}, {"score_rollouts": 8}, {"score_rollouts": 0}, {"folds": 0}],
)
def test_options_of_scores_are_none_of_a_log(options):
    with pytest.raises(v05.InvalidArgument, match=f"{next(iter(options))} is an option for a context of scores, not a"):
        evaluate("log.jsonl", **options)


def test_an_encoder_that_is_none_is_told_before_the_log_is_read(tmp_path):
    pytest.importorskip("sentence_transformers")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{")
    with pytest.raises(v05.InvalidArgument, match="encoder cannot be loaded from"):
        evaluate("no-such-log.jsonl", encoder=str(tmp_path / "model"))


def test_bad_files(tmp_path, files):
    with pytest.raises(LogError, match="no such file"):
        evaluate(tmp_path / "none.jsonl")
    write(tmp_path / "prompts.jsonl", [{"id": "d_1", "prompt": "one"}, {"id": "d_2", "prompt": "two"}])
    row = {"dataset": "d", "id": 1, "model": "m", "step": 1, "score": 0.5}
    shares = write(tmp_path / "shares.jsonl", [row, row | {"id": 2, "score": 0.25}])
    with pytest.raises(v05.InvalidArgument, match="reward_range must be given where no score is below 0"):
        evaluate(context=shares, folds=2)
    context = write(tmp_path / "context.jsonl", [row, row | {"id": 2, "score": -0.1 * 2**0.5}])
    with pytest.raises(v05.InvalidArgument, match="means of no number of successes up to 64"):
        evaluate(context=context, folds=2)
    with pytest.raises(v05.InvalidArgument, match="no context in .* is of d / strong / 1"):
        write(tmp_path / "query.jsonl", [row | {"model": "strong"}])
        evaluate(context=context, query=tmp_path / "query.jsonl")


def test_one_class_contexts_are_told_and_left_out(tmp_path):
    write(tmp_path / "prompts.jsonl", [{"id": f"d_{row}", "prompt": f"prompt {row}"} for row in range(40)])
    rows = [
        {"dataset": "d", "id": row, "model": model, "step": 1, "score": float(score)}
        for model, scores in (("a", np.ones(40)), ("b", np.arange(40) % 3 - 1))
        for row, score in enumerate(scores)
    ]
    found = evaluate(
        context=write(tmp_path / "context.jsonl", rows), heads=("ridge",), rollouts=(1,), splits=1, score_rollouts=4
    )
    assert quality_of(found, "TF-IDF, ridge").known == 0.5
    assert any("scores must differ" in note for note in found.notes)
    assert any("is short" in note for note in found.notes)


def test_the_command(files, tmp_path, capsys, monkeypatch):
    pytest.importorskip("rich", reason="tables need rich")
    pytest.importorskip("matplotlib", reason="the picture needs matplotlib")
    monkeypatch.setenv("COLUMNS", "140")
    arguments = [
        "priors",
        "evaluate",
        "--context",
        str(files / "context.jsonl"),
        "--query",
        str(files / "query.jsonl"),
        "--heads",
        "ridge",
        "--splits",
        "1",
        "--rollouts",
        "2",
        "4",
    ]
    assert main([*arguments, "--out", str(tmp_path / "priors.png")]) == 0
    out, _ = capsys.readouterr()
    assert "TF-IDF, ridge" in out and "AUC within" in out and "V_0.5 calibrated" in out
    assert (tmp_path / "priors.png").stat().st_size > 10_000
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["visits"] == 220 and {row["rule"] for row in found["baselines"]["TF-IDF, ridge"]} == set(RULES)
    assert main(["priors", "evaluate"]) == 2
    assert "give either a log or a context" in capsys.readouterr().err


@pytest.mark.parametrize("width", [60, 80, 200])
def test_no_figure_is_cut(evaluation, width):
    console = pytest.importorskip("rich.console", reason="tables need rich").Console(width=width, file=StringIO())
    print_evaluation(evaluation, console)
    text = console.file.getvalue()
    assert "…" not in text
    for quality in evaluation.qualities:
        low, high = quality.auc_interval
        assert f"({low:.3f}–{high:.3f})" in text
    for row in evaluation.baselines["TF-IDF, ridge"]:
        if row.rule == "calibrated":
            low, high = row.relative_interval
            assert f"({low:.3f}–{high:.3f})" in text


@pytest.mark.slow
def test_real_scores(shared_data):
    """Held-out prompts of six contexts of 448: TF-IDF against the constant, and the rules that make baselines of it."""
    context = shared_data / "dapo-math-scores" / "context.jsonl"
    found = evaluate(context=context, heads=("ridge",), rollouts=(4,), splits=2)
    constant, ridge = (quality_of(found, name) for name in (CONSTANT, "TF-IDF, ridge"))
    assert 0.60 < constant.auc < 0.64
    assert ridge.auc >= 0.69 and ridge.auc_within >= 0.64 and ridge.auc_gain_interval[0] > 0.05
    relative = {row.rule: row.relative_interval for row in found.baselines["TF-IDF, ridge"]}
    assert relative["v05"][0] > 1.1  # a weak prior makes the paper's rule worse than the plain mean,
    assert relative["calibrated"][1] < 0.85  # and the calibrated rule better


def test_a_prompt_that_is_asked_for_is_never_shown(tmp_path):
    """Neither where it has several scores, nor where the file of queries holds it, too."""
    rows = [{"dataset": "d", "id": row % 30, "model": "m", "step": 1, "score": (-1) ** row} for row in range(60)]
    write(tmp_path / "prompts.jsonl", [{"id": f"d_{row}", "prompt": f"prompt {row}"} for row in range(30)])
    context = write(tmp_path / "context.jsonl", rows)
    query = write(tmp_path / "query.jsonl", rows[:10])
    for cases in (cases_of_scores(context), cases_of_scores(context, query)):
        for episode in cases.episodes:
            assert episode.prompts and {cases.texts[row] for row in episode.rows}.isdisjoint(episode.prompts)
        assert sorted(row for episode in cases.episodes for row in episode.rows) == list(range(len(cases.texts)))


def test_a_blank_prompt_does_not_end_it(tmp_path):
    generator = np.random.default_rng(1)
    rows = [
        {"step": step, "prompt": f"question {prompt} {'easy' * (prompt % 2)}" if prompt else " ", "reward": reward}
        for step in range(4)
        for prompt in range(20)
        for reward in generator.integers(0, 2, 4).tolist()
    ]
    found = evaluate(write(tmp_path / "log.jsonl", rows), heads=("knn",), splits=2)
    assert found.qualities
