"""`v05 demo`: its statistics by hand, its tables and picture from made-up runs, and a few real steps."""

import gzip
import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from math import inf, isnan, sqrt

import pytest
from v05.commands.command_line import main
from v05.commands.demo.arms import ARMS, QUICK, find_arms
from v05.commands.demo.curve import Point, Run
from v05.commands.demo.figures import Figures
from v05.commands.demo.report import interval, mean_areas, mean_regime, report_arms
from v05.commands.demo.setting import LONG, RECORDED, REGIMES, SHORT
from v05.commands.demo.study import run_study
from v05.errors import InvalidArgument

pytest.importorskip("scipy", reason="the intervals of the demo need scipy")

TINY_SIZES = (
    "training_per_level",
    "held_out_per_level",
    "warm_up_questions",
    "width",
    "layers",
    "warm_up_steps",
    "warm_up_batch",
    "confused_steps",
    "rollouts",
    "rollouts_a_step",
    "evaluations",
)
TINY = replace(
    SHORT,
    training_per_level=32,
    held_out_per_level=10,
    warm_up_questions=1000,
    width=16,
    layers=1,
    warm_up_steps=4,
    warm_up_batch=8,
    confused_steps=2,
    rollouts=96,
    rollouts_a_step=32,
    evaluations=3,
)


@pytest.fixture
def trl():
    for name in ("trl", "reasoning_gym", "datasets"):
        pytest.importorskip(name, reason=f"the demo trains with {name}")


def run(arm, seed, accuracies, rate=1e-4):
    points = [Point(0, accuracies[0])]
    for place, accuracy in enumerate(accuracies[1:], 1):
        points.append(Point(100 * place, accuracy, 0.5, 1.0, 0.7, 4.0, 0.25))
    return Run(arm, seed, rate, points)


def made_up_runs():
    return [
        run("grpo-16", 0, [0.1, 0.2, 0.3]),
        run("grpo-16", 1, [0.1, 0.3, 0.5]),
        run("batch-mean-1", 0, [0.1, 0.1, 0.2]),
        run("batch-mean-1", 1, [0.1, 0.1, 0.1]),
        run("calibrated-4", 0, [0.1, 0.3, 0.4]),
        run("calibrated-4", 1, [0.1, 0.4, 0.6]),
    ]


def test_interval_by_hand():
    found = interval([1.0, 2.0, 3.0])
    assert found.mean == 2
    assert found.half_width == pytest.approx(4.302653 / sqrt(3), rel=1e-6)
    assert isnan(interval([1.0]).half_width)
    assert f"{interval([0.25]):+}" == "+0.250" and f"{interval([0.5, 0.5])}" == "0.500 ± 0.000"


def test_report():
    reports = report_arms(made_up_runs(), ARMS)
    grpo, batch_mean, calibrated = reports
    assert [row.arm.name for row in reports] == ["grpo-16", "batch-mean-1", "calibrated-4"]
    assert grpo.to_reference is None and grpo.accuracy.mean == pytest.approx(0.4)
    assert calibrated.to_reference.accuracy.mean == pytest.approx(0.1)
    assert calibrated.to_reference.accuracy.half_width == pytest.approx(0, abs=1e-9)
    # What the seeds share is off: the three arms' last accuracies are .3 .4 .2 and .5 .6 .1, less .3 and .4, plus .35.
    assert grpo.accuracy.half_width == pytest.approx(interval([0.35, 0.45]).half_width * sqrt(3 / 2))
    # The mean curve is .1, .35, .5 at 0, 100, 200 rollouts and GRPO 16 ends at .4.
    assert calibrated.reaches_reference == pytest.approx(100 + 100 / 3)
    assert calibrated.area == pytest.approx((0.225 + 0.425) / 2)
    assert batch_mean.reaches_reference == inf
    assert calibrated.mean("prior_weight") == 0.25


def test_every_arm_is_compared_with_its_control():
    runs = made_up_runs() + [
        run(name, seed, [0.1, 0.2, last])
        for name, seed, last in (
            ("batch-mean-1-x4", 0, 0.3),
            ("batch-mean-1-x4", 1, 0.5),
            ("history-1-x4", 0, 0.4),
            ("history-1-x4", 1, 0.4),
            ("grpo-4-x2", 0, 0.1),
            ("grpo-4-x2", 1, 0.1),
        )
    ]
    found = {row.arm.name: row.to_control for row in report_arms(runs, ARMS)}
    assert found["batch-mean-1"] is None and found["batch-mean-1-x4"] is None
    assert found["grpo-4-x2"] is None  # its control was not run
    assert found["calibrated-4"].accuracy.mean == pytest.approx(0.35)
    assert found["calibrated-4"].area.mean == pytest.approx(0.325 - 0.1125)
    assert found["calibrated-4"].better == 2
    reused = found["history-1-x4"]
    assert reused.accuracy.mean == pytest.approx(0) and reused.better == 1
    assert reused.accuracy.half_width == pytest.approx(12.7062 * 0.1, rel=1e-4)


def test_report_of_an_interrupted_study():
    """Arms are compared on the seeds that all of them have; where there is none, those of one seed."""
    reports = report_arms(made_up_runs()[:-1], ARMS)
    assert all(row.seeds == [0] and isnan(row.accuracy.half_width) for row in reports)
    assert reports[2].to_reference.accuracy.mean == pytest.approx(0.1)
    (alone,) = report_arms(made_up_runs()[:2], ARMS)
    assert alone.accuracy.half_width == interval([0.3, 0.5]).half_width
    apart = report_arms([made_up_runs()[0], made_up_runs()[3]], ARMS)
    assert [row.arm.name for row in apart] == ["grpo-16"]


def test_rates_by_area():
    runs = [
        run("grpo-4", seed, accuracies, rate)
        for seed in (100, 101)
        for rate, accuracies in ((1e-4, [0.1, 0.2, 0.6]), (2e-4, [0.1, 0.5, 0.5]), (4e-4, [0.1, 0.1, 0.1]))
    ]
    found = mean_areas(runs)
    assert max(found["grpo-4"], key=found["grpo-4"].get) == 2e-4  # the best at the end is 1e-4
    assert found["grpo-4"] == pytest.approx({1e-4: 0.275, 2e-4: 0.4, 4e-4: 0.1})
    assert mean_areas(runs[:4])["grpo-4"].keys() == {1e-4, 2e-4, 4e-4}  # the whole seed alone


def test_tables_and_picture(tmp_path):
    pytest.importorskip("matplotlib")
    from rich.console import Console
    from v05.commands.demo.plot import COLOURS, draw_report
    from v05.commands.demo.table import print_report, print_tuning

    text = io.StringIO()
    console = Console(file=text, width=120)
    reports = report_arms(made_up_runs(), ARMS)
    print_report(console, reports, SHORT)
    print_tuning(console, ARMS, {"grpo-4": {1e-4: 0.123, 2e-4: 0.234}})
    for part in ("GRPO 16", "0.500 ± 0.778", "+0.100 ± 0.000", "133", "never", "2 seeds", "2 of 2", "0.234"):
        assert part in text.getvalue()
    draw_report(reports, tmp_path / "demo.png")
    assert (tmp_path / "demo.png").read_bytes().startswith(b"\x89PNG")
    draw_report(report_arms(made_up_runs()[:1], ARMS), tmp_path / "one.png")
    assert {arm.name.removesuffix(f"-x{arm.updates}") for arm in ARMS} <= COLOURS.keys()


def test_figures_go_on_from_their_file(tmp_path):
    path = tmp_path / "figures.json"
    figures = Figures(path, SHORT, resume=True)
    assert figures.runs == []
    for one in made_up_runs():
        figures.add(one)
    figures.write(report_arms(figures.runs, ARMS))
    again = Figures(path, SHORT, resume=True)
    assert [run.arm for run in again.runs] == [run.arm for run in figures.runs]
    assert again.runs[0].points[1:] == figures.runs[0].points[1:] and isnan(again.runs[0].points[0].reward)
    assert [path] == list(tmp_path.iterdir())
    with pytest.raises(InvalidArgument, match="resume must go on with the setting of .*: rollouts differ"):
        Figures(path, replace(SHORT, rollouts=64), resume=True)
    with pytest.raises(InvalidArgument, match="resume must come with json"):
        Figures(None, SHORT, resume=True)
    assert Figures(path, SHORT, resume=False).runs == []


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"setting": null, "runs": []}', '{"setting": {}, "runs": 5}']
)
def test_a_file_of_something_else_is_none_to_go_on_from(content, tmp_path):
    path = tmp_path / "figures.json"
    path.write_text(content)
    with pytest.raises(InvalidArgument, match="json must be a file that v05 demo --json wrote, got .*figures.json: "):
        Figures(path, SHORT, resume=True)
    assert path.read_text() == content


def test_a_reader_that_goes_away_takes_no_result_along(tmp_path, monkeypatch):
    """After an hour of training `v05 demo | head` has its picture and figures all the same."""

    def gone(*_):
        raise BrokenPipeError

    monkeypatch.setattr("v05.commands.demo.command._run", lambda *_: made_up_runs())
    monkeypatch.setattr("v05.commands.demo.table.print_report", gone)
    monkeypatch.setattr("v05.commands.command_line.settle_output", lambda: None)
    picture, figures = tmp_path / "demo.png", tmp_path / "demo.json"
    arms = ["grpo-16", "batch-mean-1", "calibrated-4"]
    assert main(["demo", "--arms", *arms, "--out", str(picture), "--json", str(figures)]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert {row["arm"] for row in json.loads(figures.read_text())["arms"]} == set(arms)


def test_known_runs_are_not_done_again():
    def never(*_):
        raise AssertionError("nothing is left to do")

    known = {(arm.name, seed, arm.learning_rate) for arm in ARMS for seed in range(2)}
    assert not run_study(ARMS, range(2), TINY, device="cpu", processes=1, progress=never, finished=never, known=known)


def test_progress_without_a_terminal():
    pytest.importorskip("rich")
    from rich.console import Console
    from v05.commands.demo.progress import live_progress

    text = io.StringIO()
    with live_progress(Console(file=text), 3) as progress:
        for done in (1, 2):
            progress("warm-up, seed 0", done, 2, None)
        for done in (64, 128, 130):
            progress("GRPO 4, rate 0.0002, seed 0", done, 128, done / 1000)
    lines = text.getvalue().splitlines()
    assert len(lines) == 2
    assert lines[0].endswith("1 of 3: warm-up, seed 0")
    assert lines[1].endswith("2 of 3: GRPO 4, rate 0.0002, seed 0, accuracy 0.128")


def test_arms_share_what_they_must():
    for setting in REGIMES.values():
        prompts = [arm.prompts_a_step(setting) for arm in ARMS]
        rollouts = [number * (arm.mean_rollouts or arm.rollouts) for number, arm in zip(prompts, ARMS)]
        assert set(rollouts) == {setting.rollouts_a_step}
        questions = len(setting.levels) * setting.training_per_level
        assert all(questions % number == 0 for number in prompts)  # no question is left out of an epoch
        setting.check(ARMS)
        assert set(dict(setting.rates)) <= {arm.name for arm in ARMS}
    assert [arm.prompts_a_step(replace(SHORT, prompts_a_step=8)) for arm in ARMS] == [8] * len(ARMS)
    for wrong in (dict(prompts_a_step=10_000), dict(rollouts_a_step=24)):
        with pytest.raises(InvalidArgument, match="a_step|a step"):
            replace(SHORT, **wrong).check(ARMS)
    assert {arm.control for arm in ARMS} <= {arm.name for arm in ARMS}
    with pytest.raises(InvalidArgument, match="grpo-16.*'nonsense'"):
        find_arms(["nonsense"])
    assert [arm.name for arm in find_arms(QUICK)] == list(QUICK) and {arm.control for arm in find_arms(QUICK)} <= set(
        QUICK
    )


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--resume"], "resume must come with json"),
        (["--arms", "nonsense"], "arms must be among"),
        (["--seeds", "0"], "seeds must be at least 1"),
        (["--tuning-seeds", "0"], "tuning_seeds must be at least 1"),
        (["--out", "/nowhere/demo.png"], "no such directory"),
        (["--out", "demo.txt"], "ends in .png"),
        (["--json", "/"], "/ is no file that could be replaced"),
        (["--json", "/nowhere/demo.json"], "no such directory"),
        (["--json", ""], "json must be the path of a file, got ''"),
        (["--log", "s3://bucket/demo.jsonl"], "log must be the path of a file on this machine"),
        (["--learning-rates", "1e-4", "0"], "learning_rates must be finite and above 0, got 0.0"),
        (["--learning-rates", "nan"], "learning_rates must be finite and above 0, got nan"),
    ],
)
def test_wrong_arguments(arguments, message, capsys, monkeypatch):
    monkeypatch.setattr("v05.commands.demo.command.NEEDED", ())
    assert main(["demo", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_missing_extra(capsys, monkeypatch):
    monkeypatch.setattr("v05.commands.demo.command.NEEDED", ("no_such_package",))
    assert main(["demo"]) == 2
    assert "no_such_package" in (told := capsys.readouterr().err) and "v05[demo]" in told


def test_questions_do_not_overlap(trl):
    from v05.commands.demo.tasks import draw_questions

    one, other = draw_questions(TINY, 0), draw_questions(TINY, 1)
    held_out = {question.text for question in one.held_out}
    assert len(held_out) == 5 * 10 and len(one.training) == 5 * 32
    assert one.held_out != other.held_out
    warm_up = {text for text, _ in one.warm_up}
    assert not held_out & one.training.keys() and not warm_up & held_out and not warm_up & one.training.keys()
    for question in one.training.values():
        assert question.solved_by(question.answer) and not question.solved_by(question.answer + "1")


@pytest.mark.parametrize("regime", REGIMES)
def test_seeds_have_questions_of_their_own(trl, regime):
    """Those of the study and those on which rates are chosen: what two share is what few digits leave to chance."""
    from v05.commands.demo.command import FIRST_TUNING_SEED
    from v05.commands.demo.tasks import draw_questions

    setting = replace(REGIMES[regime], **{name: getattr(TINY, name) for name in TINY_SIZES})
    drawn = []
    for seed in (0, 1, 2, FIRST_TUNING_SEED, FIRST_TUNING_SEED + 1):
        found = draw_questions(setting, seed)
        drawn.append((set(found.training), {one.text for one in found.held_out}, {text for text, _ in found.warm_up}))
    for number, one in enumerate(drawn):
        for other in drawn[:number]:
            for ours, theirs in zip(one, other):
                assert len(ours & theirs) < 0.2 * len(ours)


def test_worked_answers(trl):
    """The last result is what Python makes of the expression, whatever the wording; the length is as promised."""
    import random

    from v05.commands.demo.experiment import prepare
    from v05.commands.demo.tasks import draw_questions
    from v05.commands.demo.worked import final_number, operations

    assert operations("3 - 5 * 2 + 4") == [(5, "*", 2, 10), (3, "-", 10, -7), (-7, "+", 4, -3)]
    assert final_number("soitis-12") == "-12" and final_number("itis12.") == "" == final_number("")
    setting = replace(LONG, **{name: getattr(TINY, name) for name in TINY_SIZES})
    bench = prepare(setting, 0)
    pairs = random.Random(0).sample(bench.questions.warm_up, 200)
    lengths = []
    for question, answer in pairs:
        tokens = bench.tokenizer(answer)["input_ids"]
        lengths.append(len(tokens))
        assert final_number(bench.tokenizer.decode(tokens)) == str(eval(question.removeprefix("Calculate ").strip(".")))
    assert 25 <= min(lengths) and max(lengths) < LONG.completion_tokens and 40 < sum(lengths) / 200 < 60
    assert len({answer for _, answer in pairs}) == 200
    for question in bench.questions.training.values():
        assert question.solved_by("soitis" + question.answer) and not question.solved_by(question.answer + ".")
    assert draw_questions(setting, 0).warm_up == bench.questions.warm_up


def test_score_norms_are_those_of_the_gradient(trl):
    """W of an answer against the gradient of its log-probability at the logits, token by token."""
    import torch
    from v05.commands.demo.answers import encode
    from v05.commands.demo.experiment import prepare
    from v05.commands.demo.sampling import score_norms

    bench = prepare(TINY, 0)
    pairs = [(one.text, one.answer) for one in bench.questions.held_out[::17]]
    weights, lengths = score_norms(bench.model, *encode(bench.tokenizer, pairs))
    for (question, answer), weight, length in zip(pairs, weights, lengths):
        asked = bench.tokenizer(question)["input_ids"]
        said = [*bench.tokenizer(answer)["input_ids"], bench.tokenizer.eos_token_id]
        logits = bench.model(torch.tensor([asked + said])).logits[0, len(asked) - 1 : -1].detach().requires_grad_()
        logits.log_softmax(-1).gather(1, torch.tensor(said)[:, None]).sum().backward()
        assert weight.item() == pytest.approx(logits.grad.square().sum().item(), rel=1e-4) and length == len(said)


def test_regime_by_hand(trl):
    import torch
    from v05.commands.demo.sampling import regime_of

    solved = torch.tensor([[1, 0, 0], [1, 0, 1]]).double()
    weights = torch.tensor([[1, 2, 6], [1, 2, 4]]).double()
    found = regime_of(solved, torch.full((2, 3), 5.0), weights)
    assert (found.tokens, found.solved, found.weight_ratio) == (5.0, 0.5, 1.5)
    assert found.spread == pytest.approx(1 - (0.5 / 3) / 0.25)
    assert mean_regime([run("grpo-4", 0, [0.1, 0.2])]) is None
    runs = [replace(run("grpo-4", seed, [0.1, 0.2]), regime=replace(found, tokens=4.0 + seed)) for seed in (0, 0, 2)]
    assert mean_regime(runs) == found


def test_sampled_answers_leave_the_generators_alone(trl):
    import torch
    from v05.commands.demo.experiment import prepare
    from v05.commands.demo.sampling import sample_answers, share_solved

    bench = prepare(TINY, 0)
    state = torch.random.get_rng_state()
    asked = bench.questions.held_out[:8]
    (one, encoded), (other, _) = (sample_answers(bench.model, bench.tokenizer, asked, 5, seed) for seed in (0, 1))
    assert one == sample_answers(bench.model, bench.tokenizer, asked, 5, 0)[0] != other
    tokens, attended, labels = encoded
    for row, question in enumerate(asked):
        said = labels[row][labels[row] != -100].tolist()
        assert bench.tokenizer.decode(said, skip_special_tokens=True) == one[row] and 1 <= len(said) <= 5
        assert bench.tokenizer.eos_token_id not in said[:-1]
        kept = tokens[row][attended[row] == 1].tolist()
        assert kept == bench.tokenizer(question.text)["input_ids"] + said
    assert torch.equal(state, torch.random.get_rng_state()) and bench.model.training
    assert 0 <= share_solved(bench.model, bench.tokenizer, asked, 5, 0) <= 1


def test_recorded_questions_are_those_of_the_shipped_log(trl):
    from v05.commands.demo.record import SEED
    from v05.commands.demo.tasks import draw_questions
    from v05.commands.replay import shipped_log

    with gzip.open(shipped_log(), "rt") as lines:
        prompts = {json.loads(line)["prompt"] for line in lines}
    assert prompts == draw_questions(RECORDED, SEED).training.keys()


def test_answer_probability_is_that_of_sampling(trl):
    """Against the probabilities of the tokens one by one, without padding."""
    import torch
    from v05.commands.demo.answers import answer_probability, encode
    from v05.commands.demo.experiment import prepare

    bench = prepare(TINY, 0)
    pairs = [(one.text, one.answer) for one in bench.questions.held_out[::9]]
    found = answer_probability(bench.model, *encode(bench.tokenizer, pairs))
    for (question, answer), probability in zip(pairs, found):
        tokens = bench.tokenizer(question)["input_ids"]
        expected = 1.0
        for token in [*bench.tokenizer(answer)["input_ids"], bench.tokenizer.eos_token_id]:
            with torch.no_grad():
                expected *= bench.model(torch.tensor([tokens])).logits[0, -1].softmax(-1)[token].item()
            tokens.append(token)
        assert probability.item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.slow
def test_a_few_steps(trl, tmp_path, monkeypatch, capsys):
    """Two arms in two processes: the whole command, and the same numbers with one process."""
    monkeypatch.setitem(REGIMES, "short", TINY)
    found = []
    for processes in ("2", "1"):
        figures = tmp_path / processes
        status = main(
            [
                "demo",
                "--arms",
                "grpo-4",
                "neyman-2-16",
                "--seeds",
                "1",
                "--processes",
                processes,
                "--out",
                str(tmp_path / "demo.png"),
                "--json",
                str(figures),
            ]
        )
        assert status == 0
        found.append(json.loads(figures.read_text()))
    assert "GRPO 4" in capsys.readouterr().out and (tmp_path / "demo.png").exists()
    runs = [{one["arm"]: one["points"] for one in each["runs"]} for each in found]
    assert runs[0].keys() == {"grpo-4", "neyman-2-16"}
    for points in runs[0].values():
        assert len(points) == TINY.evaluations + 1 and points[-1]["rollouts"] >= TINY.rollouts
    assert runs[0] == runs[1]
    assert runs[0]["grpo-4"][0]["accuracy"] == runs[0]["neyman-2-16"][0]["accuracy"]


def test_log_of_a_run(trl, tmp_path, monkeypatch):
    from v05.commands.demo import record

    monkeypatch.setattr(record, "RECORDED", replace(TINY, held_out_per_level=0, confused_steps=0))
    record.record_log(tmp_path / "log.jsonl.gz", lambda *_: None)
    with gzip.open(tmp_path / "log.jsonl.gz", "rt") as lines:
        rows = [json.loads(line) for line in lines]
    assert len(rows) == TINY.rollouts and [row["step"] for row in rows] == sorted(row["step"] for row in rows)
    assert rows[0].keys() == {"step", "prompt", "reward"} and {row["reward"] for row in rows} <= {0.0, 1.0}


@pytest.mark.slow
def test_rollouts_are_used_again(trl, tmp_path, monkeypatch, capsys):
    """Rates tried on tuning seeds, four updates per batch, as many generations, rollouts and points as with one."""
    monkeypatch.setitem(REGIMES, "short", TINY)
    figures = tmp_path / "figures.json"
    assert (
        main(
            [
                "demo",
                "--arms",
                "grpo-4",
                "history-1-x4",
                "--seeds",
                "1",
                "--tuning-seeds",
                "1",
                "--learning-rates",
                "1e-3",
                "1e-2",
                "--processes",
                "1",
                "--out",
                str(tmp_path / "demo.png"),
                "--json",
                str(figures),
            ]
        )
        == 0
    )
    found = json.loads(figures.read_text())
    assert [one["seed"] for one in found["runs"]] == [100] * 4 + [0] * 2
    once, again = (one["points"] for one in found["runs"][4:])
    assert [point["rollouts"] for point in once] == [point["rollouts"] for point in again] == [0, 32, 64, 96]
    assert once[0]["accuracy"] == again[0]["accuracy"]
    assert all(point["rollouts_a_prompt"] == 1 and 0 <= point["reward"] <= 1 for point in again[1:])
    assert "Learning rates tried" in (told := capsys.readouterr().out) and "history 1 ×4, rate" in told


@pytest.mark.slow
@pytest.mark.parametrize("regime", ["long", "mostly-solved"])
def test_regimes_of_worked_answers(trl, tmp_path, monkeypatch, capsys, regime):
    tiny = replace(REGIMES[regime], **{name: getattr(TINY, name) for name in TINY_SIZES})
    monkeypatch.setitem(REGIMES, regime, tiny)
    figures = tmp_path / "figures.json"
    assert (
        main(
            [
                "demo",
                "--regime",
                regime,
                "--arms",
                "grpo-4",
                "--seeds",
                "1",
                "--processes",
                "1",
                "--out",
                str(tmp_path / "demo.png"),
                "--json",
                str(figures),
            ]
        )
        == 0
    )
    (found,) = json.loads(figures.read_text())["runs"]
    assert len(found["points"]) == 4 and found["regime"]["tokens"] > 5
    assert "At the start an answer has" in capsys.readouterr().out


@pytest.mark.slow
def test_an_interrupted_study_ends_soon(trl):
    """As by Ctrl-C: the runs that are done stay, no process goes on."""
    import multiprocessing

    def progress(job, done, total, accuracy):
        if job.startswith("GRPO") and "seed 2" in job:
            raise KeyboardInterrupt

    runs = []
    assert run_study(
        find_arms(["grpo-4"]), range(50), TINY, device="cpu", processes=2, progress=progress, finished=runs.append
    )
    assert 1 <= len(runs) < 10
    assert not multiprocessing.active_children()


ENDLESS = """
from dataclasses import replace
from v05.commands.demo.arms import ARMS
from v05.commands.demo.setting import SHORT
from v05.commands.demo.study import run_study

setting = replace(SHORT, warm_up_questions=1000, width=16, layers=1, warm_up_steps=10**9)
run_study(
    ARMS, range(2), setting, device="cpu", processes=2, finished=print, progress=lambda job, *_: print(job, flush=True)
)
"""


@pytest.mark.slow
@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_the_study(trl, signal_number):
    """A scheduler or the kernel ends the command alone: its processes would train on for nobody."""
    with subprocess.Popen([sys.executable, "-c", ENDLESS], stdout=subprocess.PIPE, start_new_session=True) as study:
        seen = set()
        for line in study.stdout:
            seen.add(line)
            if len(seen) == 2:  # both processes are at work
                break
        study.send_signal(signal_number)
    assert len(seen) == 2 and all(line.startswith(b"warm-up") for line in seen)
    for _ in range(600):
        try:
            os.killpg(study.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    os.killpg(study.pid, signal.SIGKILL)
    pytest.fail("processes of the study went on for a minute")
