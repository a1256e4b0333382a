"""The replay's scores: by hand, against a plain loop, against known truths, against the study of a real run."""

import json
from io import StringIO
from math import comb, inf, nan
from pathlib import Path

import numpy as np
import pytest
import v05
from v05.commands.logs import read_log
from v05.commands.replay import LogError, replay, shipped_log
from v05.commands.replay.allocation import allocate
from v05.commands.replay.report import compare
from v05.commands.replay.report_picture import draw_report
from v05.commands.replay.report_tables import print_report
from v05.commands.replay.scoring import RULES, Scores, score
from v05.commands.replay.visits import Setting, gather_visits, walk
from v05.commands.tables import error_text
from v05.errors import InvalidArgument

SHARED_LOG = Path(__file__).resolve().parents[4] / "shared" / "data" / "one-shot-rlvr" / "pass_rates.jsonl"


def write_log(path, visits):
    """A log of (prompt, step, rewards, prior) visits."""
    rows = [
        {"prompt": prompt, "step": step, "reward": reward, "prior": prior}
        for prompt, step, rewards, prior in visits
        for reward in rewards
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def random_log(path, prompts=30, steps=4, rollouts=7, seed=5):
    generator = np.random.default_rng(seed)
    truth = generator.random(prompts)
    visits = []
    for step in range(steps):
        for prompt in range(prompts):
            rewards = (generator.random(rollouts) < truth[prompt]).astype(int).tolist()
            visits.append((prompt, step, rewards, None))
    return write_log(path, visits)


def test_prior_knows_only_earlier_visits(tmp_path):
    log = write_log(tmp_path / "log", [("a", 1, [1, 1, 0, 0], None), ("a", 2, [1] * 4, None), ("a", 3, [0] * 4, None)])
    visits = gather_visits(read_log(log))
    priors = [prior.item() for _, prior in walk(visits, Setting(discount=0.5))]
    np.testing.assert_allclose(priors, [nan, 0.5, (0.5 * 2 + 4) / (0.5 * 4 + 4)])


def test_history_of_a_run_with_fewer_rollouts(tmp_path):
    visits = gather_visits(read_log(random_log(tmp_path / "log"))).shuffled(1)
    batches = list(walk(visits, Setting(discount=0.8), size=3))
    first, second = batches[0][0], batches[1][0]
    expected = [visits.rewards([visit], take=3).mean() for visit in first]
    np.testing.assert_array_equal(visits.prompt[first], visits.prompt[second])
    np.testing.assert_allclose(batches[1][1], expected)


def test_scores_by_hand(tmp_path):
    """Rewards that are equal within a visit leave nothing to chance."""
    log = write_log(tmp_path / "log", [("a", 1, [1] * 4, None), ("a", 2, [0] * 4, None)])
    scores = score(gather_visits(read_log(log)), Setting(), 2)
    # second visit: prior 1, mean 0, noise h^2 / 2 = 1/8, so w = 1 - 1/8 and b = 1/8
    assert scores.error["grpo"].tolist() == [0, 0]
    assert scores.error["prior"].tolist() == [0, 1]
    assert scores.error["v05"].tolist() == [0, 1 / 64]
    assert scores.weight["v05"].tolist() == [1, 7 / 8]
    assert scores.within.tolist() == [0, 0]
    assert scores.groups.rejected.tolist() == [False, True]
    assert scores.applied == {"grpo": 1, "james_stein": 0, "prior": 1, "v05": 1, "calibrated": 0, "mixture": 0}


def test_scores_equal_a_plain_loop(tmp_path):
    size, low, high = 3, 0.0, 1.0
    visits = gather_visits(read_log(random_log(tmp_path / "log")))
    scores = score(visits, Setting(seed=2), size)
    shuffled = visits.shuffled(2)
    known, errors = {}, {"grpo": [], "prior": [], "v05": []}
    for visit in range(len(visits.count)):
        rewards = shuffled.rewards([visit])
        used, held_out = rewards[:size], rewards[size:]
        total, strength = known.get(visits.prompt[visit], (0.0, 0.0))
        prior = total / strength if strength else used.mean()
        squared, noise = (used.mean() - prior) ** 2, ((high - low) / 2) ** 2 / size
        weight = max(0.0, 1 - noise / squared) if squared else 0.0
        baselines = {"grpo": used.mean(), "prior": prior, "v05": prior + weight * (used.mean() - prior)}
        for rule, baseline in baselines.items():
            errors[rule].append((baseline - held_out.mean()) ** 2 - held_out.var(ddof=1) / len(held_out))
        known[visits.prompt[visit]] = 0.8 * total + used.sum(), 0.8 * strength + size
    for rule, expected in errors.items():
        np.testing.assert_allclose(scores.error[rule], expected, rtol=1e-12, atol=1e-15)


def test_small_steps_carry_their_calibration_over(tmp_path):
    visits = gather_visits(read_log(random_log(tmp_path / "log", prompts=8)))
    scores = score(visits, Setting(), 4)
    assert scores.applied["james_stein"] == 1
    assert scores.applied["calibrated"] == 0.75  # all but the first step, where nothing has a prior
    small = gather_visits(read_log(random_log(tmp_path / "small", prompts=4, steps=6)))
    # 4 groups per step, each step counted 0.9 times in the next one: 8 only after three steps with priors
    assert score(small, Setting(), 4).applied["calibrated"] == pytest.approx(2 / 6)


def test_unbiased_for_known_truths(tmp_path):
    """Expected errors by enumeration over all numbers of successes; false alarms: 1 in 10,000 per rule."""
    generator = np.random.default_rng(11)
    truth = generator.choice([0.02, 0.3, 0.5, 0.9], size=6000)
    prior = np.clip(truth + generator.choice([-0.2, 0.0, 0.3], size=6000), 0, 1)
    visits = [
        (prompt, 0, (generator.random(7) < truth[prompt]).astype(int).tolist(), prior[prompt]) for prompt in range(6000)
    ]
    report = replay(write_log(tmp_path / "log", visits), rollouts=[4], splits=1)
    assert report.prior == "logged"
    successes = np.arange(5)
    ways = np.array([comb(4, s) for s in successes])
    chance = ways * truth[:, None] ** successes * (1 - truth[:, None]) ** (4 - successes)
    distance = successes / 4 - prior[:, None]
    weight = np.maximum(0, 1 - (1 / 16) / np.maximum(distance**2, 1e-300))
    baselines = {"grpo": successes / 4 + 0 * distance, "prior": prior[:, None] + 0 * distance}
    baselines["v05"] = prior[:, None] + weight * distance
    for rule, baseline in baselines.items():
        expected = (chance * (baseline - truth[:, None]) ** 2).sum(axis=1).mean()
        noise = report.scores.error[rule].std() / np.sqrt(6000)
        assert abs(report.row(rule).error - expected) < 3.9 * noise, rule
    assert report.row("grpo").worth == pytest.approx(4, rel=0.1)


def test_shares_of_rejected_priors(tmp_path):
    """Right priors are rejected as often as the exact expectation says."""
    generator = np.random.default_rng(12)
    truth = generator.random(5000)
    visits = [(prompt, 0, (generator.random(6) < p).astype(int).tolist(), p) for prompt, p in enumerate(truth)]
    health = replay(write_log(tmp_path / "log", visits), rollouts=[4], splits=1).health[4]
    assert abs(health.rejected - health.rejected_expected) < 3.9 * np.sqrt(health.rejected_expected / 5000)
    assert abs(health.error) < 0.01
    assert health.slope == pytest.approx(1, abs=0.03)


def test_intervals_are_those_of_a_ratio_over_prompts():
    generator = np.random.default_rng(13)
    prompts = np.repeat(np.arange(400), 5)
    mean = np.repeat(generator.exponential(size=400), 5) + 0.1 * generator.standard_normal(2000)
    other = 0.5 * mean + np.repeat(0.2 * generator.standard_normal(400), 5)
    errors, ones = {rule: other for rule in RULES} | {"grpo": mean}, dict.fromkeys(RULES, 1.0)
    scores = Scores(4, np.arange(2000), errors, {}, ones, np.full(2000, 1.0), None, ones)
    rows = {row.rule: row for row in compare(scores, prompts)}
    assert rows["grpo"].relative == 1 and rows["grpo"].relative_interval == (1, 1)
    row = rows["v05"]
    sums = np.stack([np.bincount(prompts, errors[rule]) for rule in ("v05", "grpo")])
    residual = sums[0] - row.relative * sums[1]
    half_width = 1.96 * np.sqrt((residual**2).sum()) / sums[1].sum()  # the delta method
    low, high = row.relative_interval
    assert (high - low) / 2 == pytest.approx(half_width, rel=0.15)
    assert low < row.relative < high
    assert row.worth == pytest.approx(2000 / other.sum())


def test_nothing_left_of_the_error():
    errors, ones = {rule: np.zeros(4) for rule in RULES}, dict.fromkeys(RULES, 1.0)
    scores = Scores(2, np.arange(4), errors, {}, ones, np.ones(4), None, ones)
    row = next(row for row in compare(scores, np.arange(4)) if row.rule == "v05")
    assert np.isnan(row.relative) and row.worth == inf


def test_every_reward_scale_gives_the_same_ratios(tmp_path):
    log = read_log(random_log(tmp_path / "log"))
    reports = [replay(tmp_path / "log", splits=2)]
    for low, high in ((-1, 1), (3, 10)):
        rows = [
            {"prompt": int(p), "step": int(s), "reward": low + (high - low) * r}
            for p, s, r in zip(log.prompt, log.step, log.reward, strict=True)
        ]
        path = tmp_path / f"{high}"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        reports.append(replay(path, splits=2))
    for report, factor in zip(reports[1:], (4, 49), strict=True):
        for row, other in zip(reports[0].rows, report.rows, strict=True):
            assert other.error == pytest.approx(factor * row.error, rel=1e-9)
            assert other.worth == pytest.approx(row.worth, rel=1e-9)


def test_same_seed_same_report(tmp_path):
    path = random_log(tmp_path / "log")
    first, again, other = (replay(path, seed=seed).as_dict() for seed in (3, 3, 4))
    assert first == again != other


def test_report_is_plain_json(tmp_path):
    report = replay(random_log(tmp_path / "log"), rollouts=[2, 5])
    content = json.loads(json.dumps(report.as_dict(), allow_nan=False))
    assert content["sentence"] == report.sentence and content["headline"] == 5
    assert [row["rollouts"] for row in content["rows"]] == [2] * 6 + [5] * 6
    assert [health["rollouts_used"] for health in content["health"]] == [2, 5, None]
    assert content["visits"] == 120 and content["rollouts"] == 840 and content["steps"] == 4


def test_the_share_of_rollouts_that_train_nothing(tmp_path):
    """With the group mean those of groups whose rewards are all equal, here two of three; the history knows better of
    "a", whose rewards change from step to step, and of "b" it is right, too."""
    rewards = {
        "a": lambda step: [step % 2] * 6,
        "b": lambda step: [1] * 6,
        "c": lambda step: [0.1, 0.17, 0.4, 0.65, 0.83, 1],
    }
    visits = [(prompt, step, of(step), None) for step in range(6) for prompt, of in rewards.items()]
    report = replay(write_log(tmp_path / "log", visits), rollouts=[1, 4], splits=1, reward_range=(0, 1))
    assert report.row("grpo", 1).zero_advantages == 1
    assert report.row("grpo", 4).zero_advantages == pytest.approx(2 / 3)
    first = 2 / 3 / 6  # nothing is known of a prompt, and its group mean is taken
    assert report.row("v05", 4).zero_advantages == pytest.approx(first + 5 / 18)
    found = {(row["rule"], row["rollouts"]): row["zero_advantages"] for row in report.as_dict()["rows"]}
    assert found["v05", 4] == report.row("v05", 4).zero_advantages
    console = pytest.importorskip("rich.console", reason="tables need rich").Console(width=80, file=StringIO())
    print_report(report, console)
    line = next(line for line in console.file.getvalue().splitlines() if "advantages of 0, group mean" in line)
    assert line.split()[-2:] == ["100.0%", "66.7%"]


def test_default_sizes_and_headline(tmp_path):
    for rollouts, sizes, headline in ((3, [1], 1), (4, [1, 2], 2), (8, [1, 2, 4], 4), (16, [1, 2, 4, 8], 4)):
        report = replay(random_log(tmp_path / "log", rollouts=rollouts), splits=1)
        assert sorted({row.rollouts for row in report.rows}) == sizes and report.headline == headline


def test_short_visits_feed_the_history_but_are_not_scored(tmp_path):
    path = write_log(tmp_path / "log", [("a", 1, [1, 1], None), ("a", 2, [0] * 6, None), ("b", 2, [0, 1] * 3, None)])
    report = replay(path, rollouts=[4], splits=1)
    assert report.row("v05").visits == 2
    assert report.health[4].without_prior == 0.5
    assert any("1 visits have fewer than 6 rollouts" in note for note in report.notes)


def test_one_visit_a_prompt_is_said(tmp_path):
    report = replay(random_log(tmp_path / "log", steps=1))
    assert any("No prompt was visited twice" in note for note in report.notes)
    assert report.row("v05").relative == report.row("prior").relative == 1
    assert any("no group has a prior" in warning for warning in report.warnings)


def test_only_some_visits(tmp_path):
    report = replay(random_log(tmp_path / "log", steps=6), only_visits=(2, 4), splits=1)
    assert report.visits == 90 and report.steps == 3
    assert report.health[4].without_prior == 0  # the first visits are known by then
    assert report.row("v05").visits == 90 and (report.visits_before >= 1).all()


def test_history_against_the_will_of_the_log(tmp_path):
    path = write_log(tmp_path / "log", [("a", step, [0, 1, 1, 0], 0.75) for step in range(3)])
    assert replay(path).prior == replay(path, prior="logged").prior == "logged"
    assert replay(path, prior="history").prior == "history"


def test_full_history_is_the_better_prior(tmp_path):
    path = random_log(tmp_path / "log", prompts=300, steps=5)
    short, full = (replay(path, rollouts=[2], full_history=full).row("prior").error for full in (False, True))
    assert full < short


BAD_SETTINGS = [
    ({"prior": "guess"}, 'prior must be "auto", "history" or "logged"'),
    ({"prior": "logged"}, "the log has none"),
    ({"rollouts": [0]}, "rollouts must lie between 1 and 5"),
    ({"rollouts": [6]}, "rollouts must lie between 1 and 5"),
    ({"rollouts": []}, "rollouts must lie between 1 and 5"),
    ({"splits": 0}, "splits must lie between 1 and 10000"),
    ({"discount": 1.5}, "discount must lie in"),
    ({"discount": nan}, "discount must lie in"),
    ({"only_visits": (0, 3)}, "visits are counted from 1"),
    ({"only_visits": (3, 2)}, "from a first to a last"),
    ({"reward_range": (1, 1)}, "from a lower to a higher"),
]


@pytest.mark.parametrize("setting, message", BAD_SETTINGS)
def test_bad_settings(setting, message, tmp_path):
    with pytest.raises(InvalidArgument, match=message.replace("[", r"\[")):
        replay(random_log(tmp_path / "log", prompts=3), **setting)


def test_earlier_visits_are_history_and_later_ones_do_not_matter(tmp_path):
    """The scores of the visits asked for are those of a replay of the log up to the last of them."""
    path = random_log(tmp_path / "log", steps=6)
    short = tmp_path / "short"
    short.write_text("".join(line for line in path.read_text().splitlines(True) if json.loads(line)["step"] < 4))
    part = replay(path, rollouts=[4], only_visits=(3, 4), splits=1)
    whole = replay(short, rollouts=[4], splits=1)
    asked = whole.visits_before >= 2
    for rule in RULES:
        np.testing.assert_array_equal(part.scores.error[rule], whole.scores.error[rule][asked])
        np.testing.assert_array_equal(part.scores.weight[rule], whole.scores.weight[rule][asked])


@pytest.mark.parametrize("reward", [0, 1, 0.5, -1])
def test_rewards_that_are_all_equal_are_one_error(reward, tmp_path):
    log = write_log(tmp_path / "log", [(prompt, step, [reward] * 4, None) for prompt in range(4) for step in range(4)])
    for options in ({}, {"reward_range": (-2, 2)}):
        with pytest.raises(LogError, match=f"every reward is {reward:g}: no baseline is better"):
            replay(log, **options)


def test_errors_of_any_scale_are_told():
    values = {0.19775: "0.19775", 0: "0.00000", 2.5e-4: "0.00025", 1.234e-7: "1.23e-07", 4.321e57: "4.32e+57"}
    assert [error_text(value) for value in values] == list(values.values())


def test_a_sentence_rests_on_enough_visits(tmp_path):
    report = replay(random_log(tmp_path / "log", prompts=60, steps=6), splits=2)
    assert report.supported and "measured on 360 visits" in report.sentence
    low, high = report.row("v05").worth_interval
    assert f"({low:.1f} to {high:.1f})" in report.sentence
    few = replay(random_log(tmp_path / "few", prompts=4), splits=2)
    assert not few.supported and "16 of 16 visits could be scored" in few.sentence
    single = [(prompt, step, [prompt % 2], None) for prompt in range(60) for step in range(3)]
    scattered = replay(
        write_log(tmp_path / "other", single + [(f"many {prompt}", 9, [0, 1] * 3, None) for prompt in range(30)])
    )
    assert not scattered.supported and "30 of 210 visits" in scattered.sentence
    assert scattered.as_dict()["supported"] is False


def test_rewards_without_noise_leave_nothing_to_compare(tmp_path):
    log = write_log(
        tmp_path / "log", [(prompt, step, [prompt % 2] * 6, None) for prompt in range(10) for step in range(4)]
    )
    report = replay(log, splits=1)
    assert not report.supported and "stands out of the noise" in report.sentence


def test_a_rule_that_cannot_be_told_from_the_mean(tmp_path):
    report = replay(random_log(tmp_path / "log", steps=1, prompts=150), splits=1)
    assert "has no baseline error that can be told from the group mean's" in report.sentence


def test_logs_that_cannot_be_scored(tmp_path):
    with pytest.raises(LogError, match="no prompt has more than 2 rollouts at one step; a replay needs 3"):
        replay(random_log(tmp_path / "log", rollouts=2))
    with pytest.raises(LogError, match="no prompt has visits 9 to 10"):
        replay(random_log(tmp_path / "log"), only_visits=(9, 10))


def test_progress_is_told(tmp_path):
    told = []
    replay(random_log(tmp_path / "log"), progress=lambda *state: told.append(state))
    assert told[0][0] == "reading" and all(0 <= done <= total for _, done, total in told)
    assert {done == total for stage, done, total in told if stage.startswith("4 of")} == {True, False}


def test_shipped_log():
    report = replay(splits=2)
    assert report.log == f"{shipped_log()} (the log that v05 ships)"
    assert report.row("calibrated").error < report.row("grpo").error
    assert report.row("v05").error < report.row("grpo").error


# Mean squared errors of the study in ../shared/data/README.md, on twice as many prompts.
STUDY = {"grpo": 0.1006, "james_stein": 0.0854, "prior": 0.0200, "v05": 0.0364, "calibrated": 0.0160}
needs_shared_log = pytest.mark.skipif(not SHARED_LOG.exists(), reason=f"the real pass rates are not at {SHARED_LOG}")


@pytest.fixture(scope="module", params=[None, (6, 43)], ids=["whole log", "visits of the study"])
def real_run(request):
    return replay(SHARED_LOG, rollouts=[4], only_visits=request.param)


@needs_shared_log
def test_order_on_a_real_run(real_run):
    assert real_run.row("calibrated").error < real_run.row("v05").error < real_run.row("grpo").error


@needs_shared_log
@pytest.mark.parametrize("rule", STUDY)
def test_errors_on_a_real_run(real_run, rule):
    if rule in ("prior", "calibrated") and real_run.visits < 25_000:
        # The history knows the visits before the sixth, too, which that of the study did not.
        assert real_run.row(rule).relative < STUDY[rule] / STUDY["grpo"]
        if rule == "calibrated":  # as measured in another study of these visits
            assert real_run.row(rule).relative == pytest.approx(0.135, rel=0.05)
        return
    assert real_run.row(rule).relative == pytest.approx(STUDY[rule] / STUDY["grpo"], rel=0.15)
    # successes are 0 or 1 here and were -1 or 1 there: squares are a quarter
    assert 4 * real_run.row(rule).error == pytest.approx(STUDY[rule], rel=0.15)


@needs_shared_log
def test_history_on_a_real_run():
    report = replay(SHARED_LOG, rollouts=[4], splits=1)
    assert report.health[None].error == pytest.approx(0.009, rel=0.15)


class TestAllocation:
    def setting(self, **options):
        return Setting(splits=1, **options)

    def test_draws_at_least_the_floor_and_keeps_two(self, tmp_path):
        visits = gather_visits(read_log(random_log(tmp_path / "log", rollouts=7)))
        initial, drawn = allocate(visits, self.setting())
        assert initial == 2 and set(drawn) == {"osla", "neyman"}
        for (part,) in drawn.values():
            assert part.rollouts.min() >= 2 and part.rollouts.max() <= 5
            assert len(np.unique(part.rollouts)) > 1

    def test_by_hand(self, tmp_path):
        """Without a prior OSLA goes on while h^2 / (k (k + 1)) > h^2 / 6^2: up to k = 6, all that is allowed."""
        log = write_log(tmp_path / "log", [("a", 1, [1, 1, 1, 1, 1, 1, 0, 1], None)])
        visits = gather_visits(read_log(log))
        (part,) = allocate(visits, self.setting())[1]["osla"]
        rewards = visits.shuffled(0).reward
        left = rewards[6:]
        assert part.rollouts.tolist() == [6]
        noise = ((left - left.mean()) ** 2).sum() / 2
        np.testing.assert_allclose(part.error, [(rewards[:6].mean() - left.mean()) ** 2 - noise])

    def test_scores_are_unbiased(self, tmp_path):
        """The true error of a known truth, averaged over splits of many visits, within 4 standard errors."""
        generator = np.random.default_rng(3)
        truth = generator.random(400)
        visits = [
            (
                prompt,
                0,
                (generator.random(10) < truth[prompt]).astype(int).tolist(),
                float(np.clip(truth[prompt] + 0.2, 0, 1)),
            )
            for prompt in range(400)
        ]
        visits = gather_visits(read_log(write_log(tmp_path / "log", visits)))
        (part,) = allocate(visits, self.setting(prior="logged"))[1]["osla"]
        rewards = visits.shuffled(0)
        true = []
        for visit, count in zip(part.visit, part.rollouts, strict=True):
            drawn = rewards.rewards(np.array([visit]), take=count)
            estimate = v05.estimate(drawn, np.zeros(count, int), visits.logged_prior[visit])
            true.append((estimate.baseline[0] - truth[visits.prompt[visit]]) ** 2)
        difference = part.error - np.array(true)
        assert abs(difference.mean()) < 4 * difference.std() / np.sqrt(len(true))

    def test_too_few_rollouts_for_it(self, tmp_path):
        report = replay(random_log(tmp_path / "log", rollouts=4), splits=1)
        assert report.allocation == () and report.drawn == {}

    def test_rows(self, tmp_path):
        report = replay(random_log(tmp_path / "log", rollouts=8), splits=2)
        for row in report.allocation:
            assert 2 <= row.rollouts <= 6
            np.testing.assert_allclose(row.saved, 1 - row.rollouts / row.worth)
        assert [row["rule"] for row in report.as_dict()["allocation"]] == ["osla", "neyman"]


def test_the_mixture_takes_part_where_rewards_are_two_valued(tmp_path):
    report = replay(random_log(tmp_path / "log", prompts=40, steps=6), rollouts=[4], splits=1)
    row = report.row("mixture")
    assert row.applied > 0.7 and 0 < row.relative < 1
    visits = [(prompt, step, [0, 1, 0.5, 1, 0, 1], None) for prompt in range(9) for step in range(3)]
    report = replay(write_log(tmp_path / "other", visits), rollouts=[4], splits=1)
    assert "mixture" not in {row.rule for row in report.rows} and report.row("calibrated")


@pytest.mark.parametrize("prompts", [1, 5, 7])
def test_few_prompts_support_nothing(prompts, tmp_path):
    """Resamples of few prompts differ too little for an interval."""
    report = replay(random_log(tmp_path / "log", prompts=prompts, steps=30), splits=1)
    assert not report.supported and np.isnan(report.row("v05").worth_interval).all()
    words = "1 prompt, which tells" if prompts == 1 else f"{prompts} prompts, which tell"
    assert f"all are of {words} nothing about others; 8 are needed." in report.sentence
    assert report.as_dict()["rows"][0]["worth_interval"] == [None, None]
    assert all(np.isnan(row.worth_interval).all() for row in report.allocation)
    assert replay(random_log(tmp_path / "log", prompts=8, steps=30), splits=1).supported


def test_the_headline_of_the_picture_is_whole(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib", reason="the picture needs matplotlib")
    drawn = []
    monkeypatch.setattr("v05.commands.replay.report_picture.save_figure", lambda figure, path: drawn.append(figure))
    report = replay(random_log(tmp_path / "log", prompts=60, steps=6), splits=1)
    draw_report(report, tmp_path / "report.png")
    figure = drawn[0]
    figure.draw_without_rendering()
    title = figure._suptitle
    assert title.get_text().replace("\n", " ") == report.sentence and len(report.sentence) > 150
    assert title.get_window_extent().x1 < figure.bbox.x1


@pytest.mark.parametrize("width", [60, 80, 200])
def test_no_figure_of_a_table_is_cut(width, tmp_path):
    console = pytest.importorskip("rich.console", reason="tables need rich").Console(width=width, file=StringIO())
    report = replay(random_log(tmp_path / "log", prompts=60, steps=6), splits=1)
    print_report(report, console)
    text = "".join(console.file.getvalue().split())
    assert "…" not in text
    for row in report.rows:
        if row.rule == "v05":
            low, high = row.relative_interval
            assert width < 80 or f"({low:.3f}–{high:.3f})" in text
